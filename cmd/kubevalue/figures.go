package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/slo"
)

// figures is the read side: it answers for the API, the pages, the reports and the command line, all from the same tables.
type figures struct {
	cfg       *Config
	db        *warehouse.DB
	now       func() time.Time
	calendar  journey.Calendar
	evaluator catalogue.Evaluator
	// values are those that were asked for before.
	values     *memo[[]journey.Value]
	objectives *objectiveSet
	journeyMap journey.Map
	// watches says how the watches of clusters stand; nil: this process watches none.
	watches func() []kube.Status
	// tries says how the newest tries of targets went; nil: this process tries none.
	tries func() []dashboards.Target
}

func newFigures(cfg *Config, db *warehouse.DB, now func() time.Time) (*figures, error) {
	f := &figures{cfg: cfg, db: db, now: now, calendar: cfg.calendar()}
	objectives, err := cfg.loadObjectives()
	if err != nil {
		return nil, err
	}
	f.objectives = &objectiveSet{
		all: objectives, store: db, exclusions: cfg.exclusions(), maxLag: time.Duration(cfg.Objectives.MaxLag),
		closeAfter: time.Duration(cfg.Objectives.CloseAfter), keeps: time.Duration(cfg.Retention.Slices), pricing: cfg.pricing(objectives), effective: cfg.effective(),
		now: now, started: now(), calendar: f.calendar,
	}
	metrics, err := cfg.loadMetrics()
	if err != nil {
		return nil, err
	}
	if f.journeyMap, err = cfg.loadMap(metrics); err != nil {
		return nil, err
	}
	f.evaluator = catalogue.Evaluator{
		Query: db.Query, Settings: cfg.settings(), Metrics: metrics, Now: now,
		Objectives: rememberingObjectives(now, f.objectives.figures), Worth: rememberingObjectives(now, f.objectives.worth),
	}
	f.values = newMemo[[]journey.Value](now)
	return f, nil
}

// answering evaluates for one page, report or answer: all of its figures are of the same instant, and share what they ask the
// tables. What was computed a short while ago comes from memory.
func (f *figures) answering() journey.EvaluateFunc {
	e, now := f.evaluator.Remembering(), f.now()
	e.Now = func() time.Time { return now }
	return remembering(f.values, e.Evaluate)
}

func (c *Config) calendar() journey.Calendar {
	return journey.Calendar{Zone: c.zone, WeekStart: weekdays[c.Organisation.WeekStart]}
}

// settings are what the reporting organisation decided for all figures.
func (c *Config) settings() journey.Settings {
	return journey.Settings{Calendar: c.calendar(), SmallGroup: c.Organisation.SmallGroup, NotValue: journey.DefaultNotValue}
}

// period reads a label; empty is the last complete week, "current" the one under way.
func (f *figures) period(label string) (journey.Period, error) {
	switch label {
	case "":
		return f.calendar.Last(journey.GrainWeek, 1, f.now())[0], nil
	case "current":
		return f.calendar.Period(journey.GrainWeek, f.now()), nil
	}
	p, err := f.calendar.Parse(label, "")
	if err != nil {
		return p, dashboards.BadRequestError{Why: err.Error()}
	}
	return p, nil
}

// metric is one metric with its values over the periods up to a period, the last first.
func (f *figures) metric(ctx context.Context, id, label string, periods int) (journey.Metric, []journey.Value, error) {
	m, err := f.evaluator.Metric(id)
	if errors.Is(err, catalogue.ErrUnknownMetric) {
		return m, nil, dashboards.NotFoundError{What: "the metric " + id}
	}
	p, err := f.period(label)
	if err != nil {
		return m, nil, err
	}
	values, err := f.answering()(ctx, journey.Request{Metric: id, Periods: f.back(p, periods)})
	slices.Reverse(values)
	return m, values, err
}

// adoptionMetrics head the reports, the adoption of eligible teams first.
var adoptionMetrics = []string{"C15", "A2", "A1", "C16"}

// report builds the report of a week.
func (f *figures) report(ctx context.Context, audience reports.Audience, label string) (reports.Report, error) {
	if label == "current" {
		label = f.calendar.Period(journey.GrainWeek, f.now()).Label
	}
	return reports.Build(ctx, f.now(), reports.Sources{
		Map: f.journeyMap,
		Metrics: func(id string) (journey.Metric, bool) {
			m, err := f.evaluator.Metric(id)
			return m, err == nil
		},
		Evaluate:   f.answering(),
		Objectives: f.objectives.figures,
		Status:     f.objectives.forReport,
		Incidents:  f.db.Incidents,
		Followups:  f.followups,
		Teams:      f.teams,
		Quality:    f.quality,
	}, reports.Options{
		Audience: audience, Period: label, Calendar: f.calendar, Org: f.cfg.Organisation.Name, BaseURL: f.cfg.Server.BaseURL,
		MinGroup: f.cfg.Organisation.SmallGroup, Adoption: adoptionMetrics,
	})
}

// followups are what the work on incidents came to, as of a moment.
func (f *figures) followups(ctx context.Context, at time.Time) ([]slo.FollowUpEffect, error) {
	then := *f.objectives
	then.now = func() time.Time { return at }
	answer, err := then.followups(ctx, time.Time{}, 0)
	return answer.Classes, err
}

// teams is what every team did in a period.
func (f *figures) teams(ctx context.Context, p, _ journey.Period) ([]reports.TeamUse, error) {
	rows, err := f.analyses().TeamRows(ctx, analysis.Args{}, p)
	out := make([]reports.TeamUse, len(rows))
	for i, r := range rows {
		out[i] = reports.TeamUse(r)
	}
	return out, err
}

// quality says how far the figures of a period can be trusted.
func (f *figures) quality(ctx context.Context, p journey.Period) (reports.Quality, error) {
	var q reports.Quality
	until := p.To
	if now := f.now(); now.Before(until) {
		until = now
	}
	params := map[string]any{"from": p.From, "to": until}
	result, err := f.db.Query(ctx, `
		SELECT source, uniqExact(toStartOfDay(time, 'UTC')) AS days, max(time) AS last
		FROM events WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
		GROUP BY source ORDER BY source`, params)
	if err != nil {
		return q, fmt.Errorf("sources of events: %w", err)
	}
	for _, r := range result.Rows {
		q.Sources = append(q.Sources, reports.SourceQuality{Name: text(r[0]), Last: instantOf(r[2]), Reporting: true})
	}
	result, err = f.db.Query(ctx, `
		WITH members AS (SELECT actor, valid_from, valid_to FROM roster_current WHERE actor != 0)
		SELECT count() AS people, countIf(actor_team = '' AND actor NOT IN (SELECT actor FROM members WHERE valid_from < {to:DateTime64(3, 'UTC')} AND valid_to > {from:DateTime64(3, 'UTC')})) AS nobody
		FROM events WHERE actor_kind = 'human' AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}`, params)
	if err != nil {
		return q, fmt.Errorf("unattributed actions: %w", err)
	}
	people, nobody := count(result.Rows[0][0]), count(result.Rows[0][1])
	q.People = people
	if people > 0 {
		q.Unattributed = new(float64(nobody) / float64(people))
	}
	held, err := f.db.Query(ctx, `SELECT count() FROM quarantine FINAL WHERE state = 'held' AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}`, params)
	if err != nil {
		return q, fmt.Errorf("quarantine: %w", err)
	}
	q.Quarantined = count(held.Rows[0][0])
	return q, f.probeQuality(ctx, p, until, &q)
}

// probeQuality adds what the probes measured of the period.
func (f *figures) probeQuality(ctx context.Context, p journey.Period, until time.Time, q *reports.Quality) error {
	seen := map[indicator]bool{}
	for _, o := range f.objectives.all {
		for _, ind := range o.Of {
			if seen[ind] || o.PerGroup || !p.From.Before(until) {
				continue
			}
			seen[ind] = true
			rows, err := f.db.SliceSums(ctx, schema.SumsQuery{
				Indicator: ind.Name, Revision: ind.Revision, Group: ind.Group, SliceTarget: 1, Segments: []schema.Segment{{From: p.From, To: until}},
			})
			if err != nil {
				return fmt.Errorf("coverage of %s: %w", ind.Name, err)
			}
			expected := float64(until.Sub(p.From) / o.Grid.Step)
			if expected == 0 {
				continue
			}
			coverage := min(1, float64(rows[0].Measured)/expected)
			q.Sources = append(q.Sources, reports.SourceQuality{Name: "probe " + ind.Name, Coverage: &coverage, Reporting: coverage > 0})
		}
	}
	return nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func instantOf(v any) time.Time {
	if t, ok := v.(*time.Time); ok && t != nil {
		return *t
	}
	t, _ := v.(time.Time)
	return t
}

func count(v any) int64 {
	n, _ := v.(uint64)
	return int64(n)
}
