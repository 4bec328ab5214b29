package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// question is one question to the engine about a configured objective.
type question struct {
	o   configuredObjective
	req slo.Request
	// members are the groups of an objective per group, in order of name.
	members []member
	// err says why it cannot be asked.
	err error
}

// member is one group of an objective, such as a cluster, with where its slices are.
type member struct {
	group string
	of    indicator
}

// answer is what the engine says, or why it says nothing. Groups is nil unless the objective is per group; Status is then that of all
// groups together.
type answer struct {
	status slo.Status
	groups *slo.GroupStatus
	err    error
}

// questions are about objectives as of a moment, but never later than what has been measured.
func (s *objectiveSet) questions(ctx context.Context, of []configuredObjective, at time.Time) ([]question, error) {
	out := make([]question, len(of))
	var series []schema.SliceQuery // the last minutes of all that is measured
	var owner []int
	now := s.now()
	for i, o := range of {
		out[i] = question{o: o, req: slo.Request{Objective: o.Definition, Grid: o.Grid, At: at}}
		var err error
		if out[i].members, err = s.members(ctx, o, at); err != nil {
			return nil, err
		}
		recent := slo.Interval{From: o.Grid.Floor(now.Add(-s.maxLag)), To: now}
		if !recent.From.Before(at) {
			recent = slo.Interval{} // measurement has reached it
		}
		for _, ind := range out[i].indicators() {
			series = append(series, ind.query(recent.From, recent.To))
			owner = append(owner, i)
		}
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return s.marks(ctx, out, series, owner) })
	all.Go(func() error { return s.exclude(ctx, out) })
	return out, all.Wait()
}

// exclude gives each question the exclusions that hold for its objective.
func (s *objectiveSet) exclude(ctx context.Context, qs []question) error {
	holding, err := s.excluding(ctx)
	for _, e := range holding {
		spans := spansOf(e)
		for i := range qs {
			if applies(e, qs[i].o.Definition.Name) {
				qs[i].req.Exclusions = append(qs[i].req.Exclusions, spans...)
			}
		}
	}
	return err
}

// marks says of each question when measuring began in the first of its series, and moves questions about times that measurement has not
// reached back to where it is complete in all of their series.
func (s *objectiveSet) marks(ctx context.Context, qs []question, series []schema.SliceQuery, owner []int) error {
	marks, err := s.store.SeriesMarks(ctx, series)
	if err != nil {
		return fmt.Errorf("when measuring began and how far it has come: %w", err)
	}
	for k, i := range owner {
		q, mark := &qs[i], marks[k]
		if !mark.First.IsZero() && (q.req.Since.IsZero() || mark.First.Before(q.req.Since)) {
			q.req.Since = mark.First
		}
		if !series[k].From.Before(series[k].To) {
			continue
		}
		end, err := q.req.Grid.ContiguousEnd(series[k].From, mark.Measured)
		if err != nil {
			q.err = fmt.Errorf("slices of %s: %w", series[k].Indicator, err)
			continue
		}
		if complete := slo.Watermark(q.req.Grid, end, series[k].To, s.maxLag); complete.Before(q.req.At) {
			q.req.At = complete
		}
	}
	for i := range qs {
		if qs[i].req.Since.IsZero() {
			qs[i].req.Since = s.started // nothing was measured yet: measuring begins with this process
		}
	}
	return nil
}

// members are the groups that an objective has at a time: those it names, or those with slices in its window. Just after the beginning of a
// period they are those of the period before, too, which the last complete measurements are of.
func (s *objectiveSet) members(ctx context.Context, o configuredObjective, at time.Time) ([]member, error) {
	if !o.PerGroup {
		return o.Groups, nil
	}
	ind := o.Of[o.Definition.Name]
	window := o.Definition.Window
	names, err := s.store.SliceGroups(ctx, ind.query(around(window.Period(at), window.Period(o.Grid.Floor(at.Add(-s.maxLag)))).From, at))
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", o.Definition.Name, err)
	}
	var out []member
	for _, name := range names {
		out = append(out, member{name, indicator{Name: ind.Name, Revision: ind.Revision, Group: name}})
	}
	return out, nil
}

// grouped says whether an objective has a status for each group.
func (o configuredObjective) grouped() bool { return o.PerGroup || len(o.Groups) > 0 }

// indicators are all series that a question is about.
func (q question) indicators() []indicator {
	var out []indicator
	if q.o.grouped() {
		for _, m := range q.members {
			out = append(out, m.of)
		}
		return out
	}
	for _, ind := range q.o.Of {
		out = append(out, ind)
	}
	return out
}

// inOwnWindows asks about objectives over their own windows as of a moment, with all burn rates and incidents.
func (s *objectiveSet) inOwnWindows(ctx context.Context, of []configuredObjective, at time.Time) ([]question, error) {
	var qs []question
	var incidents []schema.Incident
	both, bothCtx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		qs, err = s.questions(bothCtx, of, at)
		return err
	})
	both.Go(func() (err error) {
		var whole slo.Interval
		for _, o := range of { // its watermark will be one of these or between them
			whole = around(whole, o.Definition.Window.Period(o.Grid.Floor(s.now().Add(-s.maxLag))))
			whole = around(whole, o.Definition.Window.Period(at))
		}
		incidents, err = s.incidents(bothCtx, whole)
		return err
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	for i := range qs {
		qs[i].req.BurnWindows = s.lookbacks()
	}
	attach(incidents, qs)
	return qs, nil
}

// addIncidents gives each question the incidents that concern its objective in its window.
func (s *objectiveSet) addIncidents(ctx context.Context, qs []question) error {
	var whole slo.Interval
	for _, q := range qs {
		whole = around(whole, q.req.Objective.Window.Period(q.req.At))
	}
	all, err := s.incidents(ctx, whole)
	attach(all, qs)
	return err
}

// around is the shortest interval with both in it; an empty one has nothing in it.
func around(a, b slo.Interval) slo.Interval {
	if a.From.IsZero() || b.From.Before(a.From) {
		a.From = b.From
	}
	if b.To.After(a.To) {
		a.To = b.To
	}
	return a
}

// incidents are those in a period, none in an empty one.
func (s *objectiveSet) incidents(ctx context.Context, whole slo.Interval) ([]schema.Incident, error) {
	if whole.From.IsZero() {
		return nil, nil
	}
	all, err := s.store.Incidents(ctx, whole.From, whole.To)
	if err != nil {
		return nil, fmt.Errorf("incidents: %w", err)
	}
	return all, nil
}

// attach gives each question those of the incidents that concern its objective in its window.
func attach(all []schema.Incident, qs []question) {
	for i := range qs {
		p := qs[i].req.Objective.Window.Period(qs[i].req.At)
		for _, in := range all {
			if concerns(in, qs[i].o) && in.Start.Before(p.To) && (in.Resolved.IsZero() || in.Resolved.After(p.From)) {
				qs[i].req.Incidents = append(qs[i].req.Incidents, pureIncident(in))
			}
		}
	}
}

// incidentID is how answers call an incident: as it is called, unless it took the name of what no incident accounts for when doors still let it.
func incidentID(in schema.Incident) string {
	if in.ID == schema.Unattributed {
		return "incident " + in.ID
	}
	return in.ID
}

func pureIncident(in schema.Incident) slo.Incident {
	cause := slo.Cause(in.Origin)
	if in.Origin == schema.OriginUnknown {
		cause = ""
	}
	return slo.Incident{ID: incidentID(in), From: in.Start, To: in.Resolved, Title: in.Title, Class: in.Class, Cause: cause}
}

// statusesAt are the standings of objectives over their own windows as of a moment, in their order.
func (s *objectiveSet) statusesAt(ctx context.Context, of []configuredObjective, at time.Time) ([]answer, error) {
	qs, err := s.inOwnWindows(ctx, of, at)
	if err != nil {
		return nil, err
	}
	return evaluateAll(ctx, s.store, qs)
}
