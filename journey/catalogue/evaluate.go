package catalogue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
)

// ErrUnknownMetric is wrapped by the error about a metric that the catalogue does not have.
var ErrUnknownMetric = errors.New("unknown metric")

// Evaluator computes values. The zero values of Objectives and Worth are allowed: metrics from the SLO engine are then undefined.
type Evaluator struct {
	Query    journey.QueryFunc
	Settings journey.Settings
	// Metrics are the definitions: Load's, and users' own.
	Metrics []journey.Metric
	// Objectives asks the SLO engine for budgets, Worth for the objectives of priced services with the money that they gained.
	Objectives, Worth journey.ObjectivesFunc
	Now               func() time.Time
}

// Metric finds a definition by its id.
func (e Evaluator) Metric(id string) (journey.Metric, error) {
	for _, m := range e.Metrics {
		if m.ID == id {
			return m, nil
		}
	}
	return journey.Metric{}, fmt.Errorf("%w %q: `kubevalue metric list` shows those that there are", ErrUnknownMetric, id)
}

// Evaluate computes the values of a request: journey.EvaluateFunc. All values of one call are of the same instant.
func (e Evaluator) Evaluate(ctx context.Context, r journey.Request) ([]journey.Value, error) {
	m, err := e.Metric(r.Metric)
	if err != nil {
		return nil, err
	}
	if err := check(m, r); err != nil {
		return nil, err
	}
	now := e.Now()
	e.Query = journey.Remember(e.Query) // merged identities and the roster's changes are asked for by several parts
	periods := e.allPeriods(r)
	cells, err := e.figures(ctx, m, r, periods, now)
	if err != nil {
		return nil, fmt.Errorf("metric %s: %w", m.ID, err)
	}
	var out []journey.Value
	for _, p := range r.Periods {
		at := p.From.UnixMilli()
		for _, dim := range dims(cells, at, r.By) {
			v := e.value(m, r, cells[place{at, dim}], dim, p, now)
			if r.Compare {
				v.Previous = e.compared(m, r, cells, dim, e.Settings.Calendar.Previous(p), now)
				v.YearAgo = e.compared(m, r, cells, dim, e.Settings.Calendar.YearAgo(p), now)
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// figures are the cells of all periods, with all that belongs to them. What neither needs the other is asked for at the same time.
func (e Evaluator) figures(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period, now time.Time) (cells map[place]*cell, err error) {
	var covered map[int64]*float64
	var crowds map[place]float64
	asking, together := errgroup.WithContext(ctx)
	asking.Go(func() (err error) {
		cells, err = e.cells(together, m, r, periods, now)
		return err
	})
	asking.Go(func() (err error) {
		covered, err = e.cover(together, m, periods, now)
		return wrap("coverage", err)
	})
	asking.Go(func() (err error) {
		crowds, err = e.crowds(together, m, r, periods)
		return wrap("small groups", err)
	})
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	begun := map[int64]bool{}
	for _, p := range periods {
		begun[p.From.UnixMilli()] = p.Begun(now)
	}
	maps.DeleteFunc(cells, func(at place, _ *cell) bool { return !begun[at.period] }) // that nothing was done in it yet is no 0
	if m.Objective == nil {
		for at, c := range cells {
			c.coverage = covered[at.period]
		}
	}
	if err := e.price(ctx, m, r, periods, cells); err != nil {
		return nil, wrap("prices", err)
	}
	return cells, wrap("small groups", e.withhold(ctx, m, r, periods, crowds, cells))
}

// wrap says what failed, if anything did.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// atOnce is how many requests EvaluateAll works on at a time: planning a statement keeps one core of the engine busy, running it often both
// of a small machine.
const atOnce = 3

// EvaluateAll computes the values of several requests, in their order, for one report or page: they are of one instant, share what they ask
// the tables, and several are under way at a time. The first error, which names its metric, ends all.
func (e Evaluator) EvaluateAll(ctx context.Context, requests []journey.Request) ([][]journey.Value, error) {
	e = e.Remembering()
	now := e.Now()
	e.Now = func() time.Time { return now }
	out := make([][]journey.Value, len(requests))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, r := range requests {
		group.Go(func() (err error) {
			out[i], err = e.Evaluate(ctx, r)
			return err
		})
	}
	return out, group.Wait()
}

// check refuses what the metric cannot answer.
func check(m journey.Metric, r journey.Request) error {
	if len(r.Periods) == 0 {
		return fmt.Errorf("metric %s: no period was asked for", m.ID)
	}
	asked := slices.Sorted(maps.Keys(r.Filter))
	if r.By != "" {
		asked = append(asked, r.By)
	}
	for _, d := range asked {
		if !slices.Contains(m.Dimensions, d) {
			have := "it has none"
			if len(m.Dimensions) > 0 {
				have = "it has " + strings.Join(m.Dimensions, ", ")
			}
			return fmt.Errorf("metric %s has no dimension %q: %s", m.ID, d, have)
		}
	}
	return nil
}

// allPeriods are the periods of a request and those they are compared with, in order, each once.
func (e Evaluator) allPeriods(r journey.Request) []journey.Period {
	all := slices.Clone(r.Periods)
	if r.Compare {
		for _, p := range r.Periods {
			all = append(all, e.Settings.Calendar.Previous(p), e.Settings.Calendar.YearAgo(p))
		}
	}
	slices.SortFunc(all, func(a, b journey.Period) int { return a.From.Compare(b.From) })
	return slices.CompactFunc(all, func(a, b journey.Period) bool { return a.From.Equal(b.From) })
}

// place is where a figure belongs: a period by its beginning in Unix milliseconds, and a value of the dimension.
type place struct {
	period int64
	dim    string
}

// cell is a figure under construction. Undefined is nil.
type cell struct {
	value, numerator, denominator *float64
	low, high                     *float64
	coverage                      *float64
	// sampled is n where a ratio's numerator gives it, since the denominator is no sample.
	sampled  *float64
	n        int
	withheld string
}

// cells computes the figures of all periods.
func (e Evaluator) cells(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period, now time.Time) (map[place]*cell, error) {
	switch {
	case m.Objective != nil:
		return e.fromObjectives(ctx, m, r, periods, now)
	case m.Analysis != nil:
		return e.fromAnalysis(ctx, m, r, periods, now)
	}
	return e.fromTables(ctx, m, r, periods, now)
}

// dims are the values of the dimension in a period, in order. Without a split there is one, the empty one.
func dims(cells map[place]*cell, period int64, by string) []string {
	if by == "" {
		return []string{""}
	}
	var out []string
	for at := range cells {
		if at.period == period {
			out = append(out, at.dim)
		}
	}
	slices.Sort(out)
	return out
}

func (e Evaluator) value(m journey.Metric, r journey.Request, c *cell, dim string, p journey.Period, now time.Time) journey.Value {
	if c == nil {
		c = &cell{}
	}
	v := journey.Value{
		Metric: m.ID, Version: m.Version, Period: p, Unit: m.Unit, Interval: m.Interval, Coverage: c.coverage, N: c.n,
		Partial: !p.Complete(now), ComputedAt: now, Withheld: c.withheld, Dimensions: maps.Clone(r.Filter),
	}
	if r.By != "" {
		if v.Dimensions == nil {
			v.Dimensions = map[string]string{}
		}
		v.Dimensions[r.By] = dim
	}
	if v.Withheld == "" {
		v.Value, v.Numerator, v.Denominator, v.Low, v.High = c.value, c.numerator, c.denominator, c.low, c.high
	}
	return v
}

func (e Evaluator) compared(m journey.Metric, r journey.Request, cells map[place]*cell, dim string, p journey.Period, now time.Time) *journey.Value {
	return e.value(m, r, cells[place{p.From.UnixMilli(), dim}], dim, p, now).Compared()
}

// source is where analyses get their facts.
func (e Evaluator) source(now time.Time) analysis.Source {
	return analysis.Source{Query: e.Query, Calendar: e.Settings.Calendar, Now: now, NotValue: e.Settings.NotValue}
}
