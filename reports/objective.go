package reports

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
)

// objectives joins the figures of the period, those of the one before, the standing over each objective's window, and incidents.
func (b *builder) objectives() {
	var status []ObjectiveStatus
	var err error
	if b.src.Status != nil {
		if status, err = b.src.Status(b.ctx, b.at()); err != nil {
			b.Quality.Failed++
		}
	}
	week, prior := b.objectiveFigures(b.period), b.objectiveFigures(b.Previous)
	since := b.period.From
	for _, s := range status {
		if s.Status != nil && s.Status.Period.From.Before(since) {
			since = s.Status.Period.From
		}
	}
	incidents := b.incidents(since)
	for _, s := range status {
		o := Objective{
			Name: s.Name, Title: cmp.Or(s.Title, s.Name), Service: s.Service, Owner: cmp.Or(b.owner(s.Name, s.Service), s.Owner),
			Target: s.Target, Window: s.Window, Status: s.Status, Fault: s.Fault, Week: week[s.Name], Prior: prior[s.Name],
		}
		for _, inc := range incidents {
			if !concerns(inc, s) {
				continue
			}
			one := b.incident(inc, s)
			switch earlier := !inc.Resolved.IsZero() && !inc.Resolved.After(b.period.From); {
			case !earlier:
				o.Incidents = append(o.Incidents, one)
			case one.Share != nil && *one.Share > 0:
				o.Earlier = append(o.Earlier, one)
			}
		}
		slices.SortStableFunc(o.Earlier, func(x, y Incident) int { return cmp.Compare(*y.Share, *x.Share) })
		b.Objectives = append(b.Objectives, o)
	}
	slices.SortStableFunc(b.Objectives, func(x, y Objective) int {
		return cmp.Or(cmp.Compare(remaining(x), remaining(y)), compareNames(x.Title, y.Title))
	})
}

// remaining sorts objectives: those of which nothing is known come last.
func remaining(o Objective) float64 {
	if o.Status == nil || o.Status.Remaining == nil {
		return math.Inf(1)
	}
	return *o.Status.Remaining
}

// objectiveFigures are the figures of a period by objective; they are asked for once.
func (b *builder) objectiveFigures(p journey.Period) map[string]*journey.ObjectiveFigure {
	if known, ok := b.periods[p.Label]; ok {
		return known
	}
	out := map[string]*journey.ObjectiveFigure{}
	b.periods[p.Label] = out
	if b.src.Objectives == nil {
		return out
	}
	figures, err := b.src.Objectives(b.ctx, p, b.now)
	if err != nil {
		b.Quality.Failed++
		return out
	}
	for _, f := range figures {
		out[f.Objective] = &f
	}
	return out
}

// incidents are those since an instant, in the order of their beginnings.
func (b *builder) incidents(since time.Time) []schema.Incident {
	if b.src.Incidents == nil {
		return nil
	}
	list, err := b.src.Incidents(b.ctx, since, b.at())
	if err != nil {
		b.Quality.Failed++
	}
	slices.SortFunc(list, func(x, y schema.Incident) int {
		return cmp.Or(x.Start.Compare(y.Start), cmp.Compare(x.ID, y.ID))
	})
	return list
}

func concerns(inc schema.Incident, s ObjectiveStatus) bool {
	if len(inc.Objectives) > 0 {
		return slices.Contains(inc.Objectives, s.Name)
	}
	return inc.Service != "" && inc.Service == s.Service
}

func (b *builder) incident(inc schema.Incident, s ObjectiveStatus) Incident {
	end := inc.Resolved
	open := end.IsZero() || end.After(b.at())
	if open {
		end = b.at()
	}
	from := inc.Start
	if from.Before(b.period.From) && end.After(b.period.From) {
		from = b.period.From
	}
	out := Incident{
		ID: inc.ID, Class: inc.Class, Start: inc.Start, Open: open, Minutes: max(0, end.Sub(from).Minutes()), Followups: len(inc.Followups),
	}
	if inc.Origin != schema.OriginUnknown {
		out.Origin = string(inc.Origin)
	}
	if b.o.Audience == Consumers {
		out.Title = inc.Title
	}
	for _, f := range inc.Followups {
		if f.Done.IsZero() || f.Done.After(b.at()) {
			out.FollowupsOpen++
		}
	}
	if s.Status != nil && s.Status.Attribution != nil {
		if share, ok := s.Status.Attribution.Share(inc.ID); ok {
			out.Share = new(share)
		}
	}
	return out
}

// Used is the share of the period's error budget that was used: 1 is all of it, nil is not known.
func (o Objective) Used() *float64 { return used(o.Week) }

func used(f *journey.ObjectiveFigure) *float64 {
	if f == nil {
		return nil
	}
	return f.BurnRate
}

// worst is the figure that used the most of its budget in a period; nil: none is known.
func worst(figures map[string]*journey.ObjectiveFigure) *journey.ObjectiveFigure {
	var out *journey.ObjectiveFigure
	for _, f := range figures {
		if f.BurnRate == nil {
			continue
		}
		if out == nil || *f.BurnRate > *out.BurnRate || *f.BurnRate == *out.BurnRate && f.Objective < out.Objective {
			out = f
		}
	}
	return out
}

// measuredEnough says whether a figure's coverage allows a statement.
func measuredEnough(f *journey.ObjectiveFigure) bool {
	return f != nil && f.SLI != nil && (f.Coverage == nil || *f.Coverage >= MinCoverage)
}

// compareNames sorts as people expect: case does not matter.
func compareNames(a, b string) int {
	return cmp.Or(cmp.Compare(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(a, b))
}

// lasted is a duration in words.
func lasted(minutes float64) string { return Length(time.Duration(minutes * float64(time.Minute))) }
