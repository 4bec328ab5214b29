package catalogue

import (
	"context"
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
	if e.Objectives == nil {
		return cells, nil
	}
	for _, p := range periods {
		if p.From.After(now) {
			continue
		}
		all, err := e.Objectives(ctx, p, now)
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

// combine makes one figure of several. n is the number of measured slices, coverage the smallest.
func combine(m journey.Metric, group []journey.ObjectiveFigure) *cell {
	c := &cell{}
	for _, o := range group {
		c.n += o.Measured
		if o.Coverage != nil && (c.coverage == nil || *o.Coverage < *c.coverage) {
			c.coverage = o.Coverage
		}
	}
	if m.Objective.Combine == "pooled" {
		c.pool(group)
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

// pool sums good and total over the objectives that have them; if any has none, the sum would be of another thing.
func (c *cell) pool(group []journey.ObjectiveFigure) {
	if len(group) == 1 {
		c.value, c.numerator, c.denominator = group[0].SLI, group[0].Good, group[0].Total
		return
	}
	good, total := 0.0, 0.0
	for _, o := range group {
		if o.Good == nil || o.Total == nil {
			return
		}
		good, total = good+*o.Good, total+*o.Total
	}
	c.numerator, c.denominator = &good, &total
	if total > 0 {
		sli := good / total
		c.value = &sli
	}
}

func figureOf(o journey.ObjectiveFigure, figure string) *float64 {
	switch figure {
	case "budget_consumed":
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
	if figure == "budget_consumed" || figure == "burn_rate" {
		return a > b
	}
	return a < b
}
