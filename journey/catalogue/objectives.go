package catalogue

import (
	"context"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// fromObjectives takes figures from the SLO engine. A ratio is never computed from ratios: several objectives are pooled by
// their sums, or the worst one speaks for all.
func (e Evaluator) fromObjectives(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period, now time.Time) (map[place]*cell, error) {
	cells := map[place]*cell{}
	if r.By == "" {
		for _, p := range periods {
			cells[place{p.From.UnixMilli(), ""}] = &cell{}
		}
	}
	if e.Objectives == nil || e.Worth == nil && m.Objective.Figure == journey.FigureGained {
		return cells, nil
	}
	for _, p := range periods {
		if !p.Begun(now) {
			continue
		}
		all, err := e.objectiveFigures(ctx, m, p, now)
		if err != nil {
			return nil, err
		}
		groups := map[string][]journey.ObjectiveFigure{}
		for _, o := range all {
			if selects(m, r, o) {
				groups[dimOf(o, r.By)] = append(groups[dimOf(o, r.By)], o)
			}
		}
		for dim, group := range groups {
			cells[place{p.From.UnixMilli(), dim}] = combine(m, group)
		}
	}
	return cells, nil
}

// objectiveFigures are what the SLO engine says of a period for a metric.
func (e Evaluator) objectiveFigures(ctx context.Context, m journey.Metric, p journey.Period, now time.Time) ([]journey.ObjectiveFigure, error) {
	switch m.Objective.Figure {
	case journey.FigureGained:
		return e.Worth(ctx, p, now)
	case figureChange:
		return e.changes(ctx, p, now)
	}
	return e.Objectives(ctx, p, now)
}

// figureChange is the budget that was consumed less that of the period before.
const figureChange = "budget_change"

// changes have in BudgetConsumed the change since the period before; nil where one of them is not known, or the period is not over: the
// budget of a part of a period is always less.
func (e Evaluator) changes(ctx context.Context, p journey.Period, now time.Time) ([]journey.ObjectiveFigure, error) {
	before, err := e.Objectives(ctx, e.Settings.Calendar.Previous(p), now)
	if err != nil {
		return nil, err
	}
	was := map[string]*float64{}
	for _, o := range before {
		was[o.Objective] = o.BudgetConsumed
	}
	all, err := e.Objectives(ctx, p, now)
	all = slices.Clone(all)
	for i := range all {
		o := &all[i]
		if then := was[o.Objective]; then == nil || o.BudgetConsumed == nil || !p.Complete(now) {
			o.BudgetConsumed = nil
		} else {
			o.BudgetConsumed = new(*o.BudgetConsumed - *then)
		}
	}
	return all, err
}

func dimOf(o journey.ObjectiveFigure, by string) string {
	switch by {
	case journey.DimensionObjective:
		return o.Objective
	case journey.DimensionService:
		return o.Service
	}
	return ""
}

func selects(m journey.Metric, r journey.Request, o journey.ObjectiveFigure) bool {
	for k, v := range m.Objective.Labels {
		if o.Labels[k] != v {
			return false
		}
	}
	for by, want := range r.Filter {
		if dimOf(o, by) != want {
			return false
		}
	}
	return true
}

// combine makes one figure of several. n is the number of measured slices, coverage the smallest: that of an objective of which
// nothing is known is 0.
func combine(m journey.Metric, group []journey.ObjectiveFigure) *cell {
	c := &cell{}
	pooled := m.Objective.Combine == "pooled"
	if pooled && len(group) > 1 { // alone, a composite speaks for itself; among others, its parts do
		group = slices.DeleteFunc(group, func(o journey.ObjectiveFigure) bool { return o.SLI != nil && o.Total == nil })
	}
	for _, o := range group {
		c.n += o.Measured
		coverage := o.Coverage
		if coverage == nil && o.SLI == nil && o.Total == nil {
			coverage = new(float64)
		}
		if coverage != nil && (c.coverage == nil || *coverage < *c.coverage) {
			c.coverage = coverage
		}
	}
	switch {
	case pooled:
		c.pool(group)
		return c
	case m.Objective.Combine == "sum":
		c.add(group)
		return c
	}
	for _, o := range group {
		v := figureOf(o, m.Objective.Figure)
		if v != nil && (c.value == nil || worse(m.Objective.Figure, *v, *c.value)) {
			c.value = v
		}
	}
	return c
}

// pool sums good and total over the objectives; one of which nothing is known has nothing to add.
func (c *cell) pool(group []journey.ObjectiveFigure) {
	if len(group) == 1 {
		c.value, c.numerator, c.denominator = group[0].SLI, group[0].Good, group[0].Total
		return
	}
	for _, o := range group {
		if o.Good == nil || o.Total == nil {
			continue
		}
		c.numerator, c.denominator = new(orZero(c.numerator)+*o.Good), new(orZero(c.denominator)+*o.Total)
	}
	if orZero(c.denominator) > 0 {
		c.value = new(*c.numerator / *c.denominator)
	}
}

// add sums up money, which has to be of one currency.
func (c *cell) add(group []journey.ObjectiveFigure) {
	currency := ""
	for _, o := range group {
		if o.Gained == nil {
			continue
		}
		if c.value != nil && o.Currency != currency {
			c.withheld = "several currencies"
		}
		currency, c.value = o.Currency, new(orZero(c.value)+*o.Gained)
	}
}

func figureOf(o journey.ObjectiveFigure, figure string) *float64 {
	switch figure {
	case "budget_consumed", figureChange:
		return o.BudgetConsumed
	case "budget_remaining":
		return o.BudgetRemaining
	case "burn_rate":
		return o.BurnRate
	}
	return o.SLI
}

// worse says whether a is worse than b.
func worse(figure string, a, b float64) bool {
	if figure == "budget_consumed" || figure == "burn_rate" || figure == figureChange {
		return a > b
	}
	return a < b
}
