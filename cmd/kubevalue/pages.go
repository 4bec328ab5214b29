package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// sources are what the pages and the API show.
func (s *service) sources() dashboards.Sources {
	f := s.figures
	return dashboards.Sources{
		Journey: f.journey, Objectives: f.objectives.statuses, Metric: f.metric,
		Metrics: func(context.Context) ([]journey.Metric, error) { return f.evaluator.Metrics, nil },
		Budgets: f.askBudgets, Series: f.series, Statements: f.statements, Split: f.split, Published: f.published, Objective: f.objectives.detail,
		Active: f.active, Adoption: f.adoption, Lifecycle: f.lifecycle, Retention: f.retention, Teams: f.teamLists, Fleet: f.fleet, Targets: f.targets, Visit: s.visit,
	}
}

// visit takes note of a page that somebody looked at, as a usage event like any other: who, as a pseudonym, and in which role.
func (s *service) visit(ctx context.Context, v dashboards.Visit) {
	now := s.now().UTC()
	err := s.pipe.Append(context.WithoutCancel(ctx), schema.Batch{Events: []schema.Event{{
		Source: "kubevalue", Time: now, Received: now, Name: "dashboard.visit", Actor: v.User, Persona: v.Role, Object: v.Page,
	}}})
	if err != nil {
		s.log.WarnContext(ctx, "a visit could not be recorded", "page", v.Page, "error", err)
	}
}

// span are the arguments of an analysis over the periods of a span.
func (f *figures) span(s dashboards.Span, entity analysis.Entity) (analysis.Args, error) {
	last, err := f.period(s.Period)
	if err != nil {
		return analysis.Args{}, err
	}
	periods := f.back(last, s.Periods)
	return analysis.Args{Entity: entity, Grain: last.Grain, From: periods[0].From, To: last.To}, nil
}

// analyses asks the tables with the organisation's settings.
func (f *figures) analyses() analysis.Source {
	return analysis.Source{Query: f.db.Query, Calendar: f.calendar, Now: f.now(), NotValue: f.evaluator.Settings.NotValue, Objectives: f.evaluator.Objectives}
}

func (f *figures) active(ctx context.Context, entity analysis.Entity, span dashboards.Span) ([]analysis.ActiveRow, error) {
	args, err := f.span(span, entity)
	if err != nil {
		return nil, err
	}
	return f.analyses().Active(ctx, args)
}

func (f *figures) adoption(ctx context.Context, voluntary *bool, span dashboards.Span) ([]analysis.AdoptionRow, error) {
	args, err := f.span(span, analysis.Teams)
	if err != nil {
		return nil, err
	}
	return f.analyses().Adoption(ctx, args, voluntary)
}

func (f *figures) lifecycle(ctx context.Context, entity analysis.Entity, span dashboards.Span) ([]analysis.LifecycleRow, error) {
	args, err := f.span(span, entity)
	if err != nil {
		return nil, err
	}
	return f.analyses().Lifecycle(ctx, args)
}

func (f *figures) retention(ctx context.Context, entity analysis.Entity, span dashboards.Span) ([]analysis.RetentionRow, error) {
	args, err := f.span(span, entity)
	if err != nil {
		return nil, err
	}
	return f.analyses().Retention(ctx, analysis.RetentionArgs{Args: args})
}

// teamLists says which teams joined, returned, stalled and left in a period.
func (f *figures) teamLists(ctx context.Context, label string) (reports.Adoption, error) {
	var out reports.Adoption
	p, err := f.period(label)
	if err != nil {
		return out, err
	}
	teams, err := f.teams(ctx, p, f.calendar.Previous(p))
	if err == nil {
		recent := f.calendar.Period(journey.GrainDay, p.From.AddDate(0, 0, -7*reports.StalledWeeks)).From
		out.Sort(teams, p.From, recent, f.cfg.Organisation.SmallGroup)
	}
	return out, err
}

// about lists the objectives whose name or probed indicator is the cluster's.
func (s *objectiveSet) about(cluster string) []string {
	out := []string{}
	for _, o := range s.all {
		if o.Definition.Name == cluster || slices.ContainsFunc(o.Labels["cluster"], func(v string) bool { return v == cluster }) {
			out = append(out, o.Definition.Name)
		}
	}
	return out
}

// burnDownPoints is how finely the burn-down of a window is drawn.
const burnDownPoints = 56

// detail is an objective with what explains its status.
func (s *objectiveSet) detail(ctx context.Context, name string) (dashboards.ObjectiveDetail, error) {
	i := slices.IndexFunc(s.all, func(o configuredObjective) bool { return o.Definition.Name == name })
	if i < 0 {
		return dashboards.ObjectiveDetail{}, dashboards.NotFoundError{What: "the objective " + name}
	}
	o := s.all[i]
	all, err := s.shown(ctx, s.all[i:i+1])
	if err != nil || all[0].Status == nil {
		return dashboards.ObjectiveDetail{Objective: dashboards.Objective{Name: name, Service: o.Service, Error: "its status cannot be computed"}}, err
	}
	out := dashboards.ObjectiveDetail{Objective: all[0]}
	period := all[0].Status.Period
	incidents, err := s.store.Incidents(ctx, period.From, period.To)
	if err != nil {
		return out, fmt.Errorf("objective %s: %w", name, err)
	}
	out.Incidents = slices.DeleteFunc(incidents, func(in schema.Incident) bool { return !concerns(in, o) })
	if !o.grouped() {
		explained, err := s.explain(ctx, name, "", all[0].Status.At)
		if err != nil {
			return out, err
		}
		out.Definition, out.Formulas = explained.Definition, explained.Formulas
	}
	out.BurnDown, err = s.burnDown(ctx, o, all[0].Status)
	return out, err
}

// burnDown shares what was consumed over the window, by when the bad amounts came. Objectives per group have none.
func (s *objectiveSet) burnDown(ctx context.Context, o configuredObjective, status *slo.Status) ([]dashboards.BudgetPoint, error) {
	if o.grouped() || status.Consumed == nil {
		return nil, nil
	}
	qs, err := s.questions(ctx, []configuredObjective{o}, status.At)
	if err != nil {
		return nil, err
	}
	req := qs[0].req
	counted := countedSegments(o.Grid, slo.Interval{From: status.Period.From, To: status.At}, req.Exclusions)
	sums, err := objectiveSums(ctx, s.store, o.Definition, o.Of, counted)
	if err != nil {
		return nil, fmt.Errorf("burn-down of %s: %w", o.Definition.Name, err)
	}
	bad, total := make([]float64, len(sums)), 0.0
	for i, sum := range sums {
		t := slo.Tally{Sums: sum}
		if since := counted[i]; since.To.After(req.Since) {
			if since.From.Before(req.Since) {
				since.From = req.Since
			}
			t.Missing = starts(o.Grid, since) - sum.Measured
		}
		bad[i] = o.Definition.Bad(t)
		total += bad[i]
	}
	points := []dashboards.BudgetPoint{{At: status.Period.From, Remaining: new(1.0)}}
	soFar := 0.0
	for i, segment := range counted {
		soFar += bad[i]
		left := 1.0
		if total > 0 {
			left = 1 - *status.Consumed*soFar/total
		}
		points = append(points, dashboards.BudgetPoint{At: segment.To, Remaining: &left})
	}
	return points, nil
}

// countedSegments cuts an interval into pieces on the grid, without the slices that exclusions touch.
func countedSegments(grid slo.Grid, in slo.Interval, exclusions []slo.Exclusion) []schema.Segment {
	step := max(grid.Step, in.Length()/burnDownPoints).Truncate(grid.Step)
	excluded := func(t time.Time) bool {
		return slices.ContainsFunc(exclusions, func(e slo.Exclusion) bool { return len(e.Within(slo.Interval{From: t, To: t.Add(grid.Step)})) > 0 })
	}
	var out []schema.Segment
	start := grid.Floor(in.From)
	if start.Before(in.From) {
		start = start.Add(grid.Step)
	}
	open := false
	for t := start; t.Before(in.To); t = t.Add(grid.Step) {
		if excluded(t) {
			open = false
			continue
		}
		end := t.Add(grid.Step)
		if open && out[len(out)-1].To.Sub(out[len(out)-1].From) < step {
			out[len(out)-1].To = end
			continue
		}
		out, open = append(out, schema.Segment{From: t, To: end}), true
	}
	return out
}
