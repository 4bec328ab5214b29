package catalogue

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/journey/interval"
)

// fromAnalysis takes figures from an analysis. A split asks once for each value that the dimension has.
func (e Evaluator) fromAnalysis(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period, now time.Time) (map[place]*cell, error) {
	args := analysis.Args{Entity: analysis.Entity(m.Analysis.Entity), Cluster: r.Filter[journey.DimensionCluster], Persona: r.Filter[journey.DimensionPersona]}
	if r.By == "" {
		return e.analysed(ctx, m, args, "", periods, now)
	}
	names, err := e.dimensionValues(ctx, r.By, periods)
	if err != nil {
		return nil, err
	}
	all := map[place]*cell{}
	for _, name := range names {
		switch r.By {
		case journey.DimensionCluster:
			args.Cluster = name
		case journey.DimensionPersona:
			args.Persona = name
		}
		cells, err := e.analysed(ctx, m, args, name, periods, now)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, cells)
	}
	return all, nil
}

// dimensionValues are the values, other than none, that a column of events has in the periods.
func (e Evaluator) dimensionValues(ctx context.Context, column string, periods []journey.Period) ([]string, error) {
	q := question{periods: periods}
	sql := fmt.Sprintf("SELECT DISTINCT toString(%[1]s) AS value FROM events WHERE %[1]s != '' AND %[2]s ORDER BY value", column, q.during())
	result, err := e.Query(ctx, sql, nil)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, row := range result.Rows {
		if name, ok := row[0].(string); ok {
			out = append(out, name)
		}
	}
	return out, nil
}

// analysed asks for each run of neighbouring periods, so that a comparison with a year ago does not read the year between.
func (e Evaluator) analysed(ctx context.Context, m journey.Metric, args analysis.Args, dim string, periods []journey.Period, now time.Time) (map[place]*cell, error) {
	all := map[place]*cell{}
	for i := 0; i < len(periods); {
		j := i + 1
		for j < len(periods) && periods[j].From.Equal(periods[j-1].To) {
			j++
		}
		cells, err := e.neighbours(ctx, m, args, dim, periods[i:j], now)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, cells)
		i = j
	}
	return all, nil
}

func (e Evaluator) neighbours(ctx context.Context, m journey.Metric, args analysis.Args, dim string, periods []journey.Period, now time.Time) (map[place]*cell, error) {
	cells := map[place]*cell{}
	for _, p := range periods {
		cells[place{p.From.UnixMilli(), dim}] = &cell{}
	}
	source := e.source(now)
	if m.Analysis.Name == "nps" {
		return cells, promoters(ctx, source, args, periods, func(p journey.Period) *cell { return cells[place{p.From.UnixMilli(), dim}] })
	}
	args.Grain, args.From, args.To = periods[0].Grain, periods[0].From, periods[len(periods)-1].To
	switch m.Analysis.Name {
	case "churn", "quick_ratio":
		rows, err := source.Lifecycle(ctx, args)
		for _, row := range rows {
			if c := cells[place{row.Period.From.UnixMilli(), dim}]; c != nil {
				c.lifecycle(m.Analysis.Name, row)
			}
		}
		return cells, err
	case "retention":
		args.From = e.Settings.Calendar.Previous(periods[0]).From
		rows, err := source.Retention(ctx, analysis.RetentionArgs{Args: args})
		for _, row := range rows {
			next := e.Settings.Calendar.Next(row.Cohort)
			if c := cells[place{next.From.UnixMilli(), dim}]; c != nil && len(row.Cells) > 1 {
				c.proportion(row.Cells[1], row.Size)
			}
		}
		return cells, err
	}
	return cells, e.followed(ctx, m, args, periods, source, func(p journey.Period) *cell { return cells[place{p.From.UnixMilli(), dim}] })
}

// promoters asks for the score of each period's answers by themselves; the periods follow each other.
func promoters(ctx context.Context, source analysis.Source, args analysis.Args, periods []journey.Period, at func(journey.Period) *cell) error {
	all, err := source.Surveys(ctx, analysis.SurveyArgs{Args: args, Kind: analysis.SurveyNPS}, periods)
	for i, r := range all {
		c, numerator, denominator := at(periods[i]), float64(r.Favourable-r.Unfavourable), float64(r.Answers)
		c.value, c.low, c.high, c.n, c.numerator, c.denominator = r.Score, r.Low, r.High, r.Answers, &numerator, &denominator
	}
	return err
}

// followed is for analyses that watch entities from their start on. Activation judges, in a period, those whose horizon ends
// in it.
func (e Evaluator) followed(ctx context.Context, m journey.Metric, args analysis.Args, periods []journey.Period, source analysis.Source, at func(journey.Period) *cell) error {
	horizon, err := analysis.ParseDuration(m.Analysis.Horizon)
	if err != nil {
		return err
	}
	shift := time.Duration(0)
	if m.Analysis.Name == "activation" {
		shift = horizon
	}
	args.Grain, args.From, args.To = "", args.From.Add(-shift), args.To.Add(-shift)
	all, err := source.Watch(ctx, analysis.TimeToValueArgs{Args: args, Start: m.Analysis.Start, Reach: m.Analysis.Reach, Horizon: horizon})
	if err != nil {
		return err
	}
	for _, p := range periods {
		from, to := p.From.Add(-shift), p.To.Add(-shift)
		var watched []analysis.Watched
		for _, w := range all {
			if !w.Start.Before(from) && w.Start.Before(to) {
				watched = append(watched, w)
			}
		}
		if c := at(p); m.Analysis.Name == "activation" {
			found := source.ActivationOf(watched, horizon)
			c.proportion(found.Activated, found.Mature)
		} else {
			found := analysis.SurvivalOf(watched)
			c.n, c.value, c.low, c.high = found.N, found.Median, found.Low, found.High
		}
	}
	return nil
}

func (c *cell) lifecycle(name string, row analysis.LifecycleRow) {
	if name == "churn" {
		c.proportion(row.Dormant, row.Retained+row.Dormant)
		return
	}
	numerator, denominator := float64(row.New+row.Resurrected), float64(row.Dormant)
	c.numerator, c.denominator, c.value = &numerator, &denominator, row.QuickRatio()
	c.n = row.New + row.Resurrected + row.Dormant
}

func (c *cell) proportion(k, n int) {
	numerator, denominator := float64(k), float64(n)
	c.numerator, c.denominator, c.n = &numerator, &denominator, n
	if n == 0 {
		return
	}
	value := numerator / denominator
	c.value = &value
	if low, high, ok := interval.Wilson(numerator, denominator); ok {
		c.low, c.high = &low, &high
	}
}
