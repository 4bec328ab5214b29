package reports

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// The stretches that a report looks back on.
const (
	weeksBack  = 6
	monthsBack = 12
)

// MinCoverage is the measured share of a period below which a change is not judged.
const MinCoverage = 0.9

// Build makes the report of one week. A source that fails makes its figures missing, and is named in Quality; an error means
// that there is no report: the options are wrong, or ctx ended.
func Build(ctx context.Context, now time.Time, src Sources, o Options) (Report, error) {
	o = o.defaults()
	period, err := o.check(now, src)
	if err != nil {
		return Report{}, fmt.Errorf("building a report: %w", err)
	}
	b := &builder{ctx: ctx, now: now, src: src, o: o, period: period, weeks: weeksUpTo(o.Calendar, period), periods: map[string]map[string]*journey.ObjectiveFigure{}}
	b.Report = Report{
		Audience: o.Audience, Name: "weekly/" + string(o.Audience), Org: o.Org, BaseURL: o.BaseURL,
		Period: period, Previous: o.Calendar.Previous(period), Partial: !period.Complete(now), WeekStart: o.Calendar.WeekStart,
		Built: now, MinGroup: o.MinGroup,
	}
	b.quality() // first: it has the sources' own words, the others count into it
	b.adoption()
	b.objectives()
	b.followups()
	b.phases()
	b.charts()
	b.exceptions()
	b.Headline = headline(&b.Report)
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("building the report of %s: %w", period.Label, err)
	}
	return b.Report, nil
}

// builder is a report under way.
type builder struct {
	Report
	ctx    context.Context //nolint:containedctx // lives as long as one Build
	now    time.Time
	src    Sources
	o      Options
	period journey.Period
	weeks  []journey.Period // the last one is period
	// adoptionWeeks are the values of the first adoption metric in weeks, periods the objectives' figures by period label.
	adoptionWeeks []journey.Value
	periods       map[string]map[string]*journey.ObjectiveFigure
}

// weeksUpTo are the weeks that end with p, oldest first.
func weeksUpTo(c journey.Calendar, p journey.Period) []journey.Period {
	out := []journey.Period{p}
	for len(out) < weeksBack {
		p = c.Previous(p)
		out = append(out, p)
	}
	slices.Reverse(out)
	return out
}

// monthsUpTo are the complete months before the end of the reported week, oldest first.
func (b *builder) monthsUpTo() []journey.Period {
	return b.o.Calendar.Last(journey.GrainMonth, monthsBack, b.period.To)
}

// at is the instant that the report's standing figures speak of: the end of the period, or now while it lasts.
func (b *builder) at() time.Time {
	if b.now.Before(b.period.To) {
		return b.now
	}
	return b.period.To
}

// owner finds who answers for something, given its ids from the most special to the most general.
func (b *builder) owner(ids ...string) string {
	for _, id := range ids {
		if o := b.o.Owners[id]; o != "" {
			return o
		}
	}
	return ""
}

// sees says whether the audience looks at the map from a perspective.
func (b *builder) sees(perspective string) bool {
	for _, p := range b.src.Map.Perspectives {
		if p.ID == perspective {
			return p.Customer == (b.o.Audience == Managers)
		}
	}
	return false
}

func (b *builder) adoption() {
	for i, id := range b.o.Adoption {
		place, ids := b.place(id)
		fig, values := b.figure(id, place, b.owner(ids...))
		if i == 0 {
			b.adoptionWeeks = values
		}
		b.Adoption.Figures = append(b.Adoption.Figures, fig)
	}
	b.teams()
}

// place finds what the map expects of a metric, from whatever perspective, and the ids that its owner may be found by.
func (b *builder) place(id string) (journey.CellMetric, []string) {
	for _, ph := range b.src.Map.Phases {
		for _, act := range ph.Activities {
			for _, cell := range act.Cells {
				for _, place := range cell.Metrics {
					if place.Metric == id {
						return place, []string{id, "adoption", act.ID, ph.ID}
					}
				}
			}
		}
	}
	return journey.CellMetric{Metric: id}, []string{id, "adoption"}
}

// phases are the figures of the map's cells that the audience sees, each metric once, those of the adoption section left out.
func (b *builder) phases() {
	shown := map[string]bool{}
	for _, id := range b.o.Adoption {
		shown[id] = true
	}
	for _, ph := range b.src.Map.Phases {
		out := Phase{ID: ph.ID, Title: ph.Title}
		for _, act := range ph.Activities {
			for _, cell := range act.Cells {
				if !b.sees(cell.Perspective) {
					continue
				}
				if cell.Gap != nil {
					b.Quality.Gaps = append(b.Quality.Gaps, Gap{Phase: ph.Title, Activity: act.Title, Perspective: b.perspective(cell.Perspective), Reason: cell.Gap.Reason})
				}
				for _, place := range cell.Metrics {
					if shown[place.Metric] {
						continue
					}
					shown[place.Metric] = true
					if len(out.Rows) == b.o.Rows {
						out.More++
						continue
					}
					fig, _ := b.figure(place.Metric, place, b.owner(place.Metric, act.ID, ph.ID))
					out.Rows = append(out.Rows, fig)
				}
			}
		}
		b.Phases = append(b.Phases, out)
	}
}

func (b *builder) perspective(id string) string {
	for _, p := range b.src.Map.Perspectives {
		if p.ID == id && p.Title != "" {
			return p.Title
		}
	}
	return id
}

func (b *builder) quality() {
	if b.src.Quality == nil {
		b.Quality.Missing = "nothing watches the sources"
		return
	}
	q, err := b.src.Quality(b.ctx, b.period)
	if err != nil {
		b.Quality = Quality{Missing: "could not be computed"}
		return
	}
	b.Quality = q
}
