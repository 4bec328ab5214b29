package main

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
)

// lookback is the values of several metrics in a period, in those before it and in that of a year ago, by the metric's id. A metric that
// cannot be computed has an error in place of values.
type lookback struct {
	calendar journey.Calendar
	values   map[string][]journey.Value
	faults   map[string]error
}

// parallelMetrics is how many metrics of one answer are computed at a time: a few, since each leaves the engine idle between its
// questions, and not all, since others wait for it, too.
const parallelMetrics = 4

// lookBack asks for the figures of a whole page at once: what the map shows and what its small lines draw are one question for each
// metric. It fails only when ctx ends.
func (f *figures) lookBack(ctx context.Context, metrics []string, periods []journey.Period) (lookback, error) {
	out := lookback{calendar: f.calendar, values: map[string][]journey.Value{}, faults: map[string]error{}}
	asked := slices.Clone(periods)
	if before := f.calendar.YearAgo(periods[len(periods)-1]); before.From.Before(periods[0].From) {
		asked = append([]journey.Period{before}, asked...)
	}
	type answer struct {
		values []journey.Value
		err    error
	}
	evaluate, answers := f.answering(), make([]answer, len(metrics))
	var g errgroup.Group
	g.SetLimit(parallelMetrics)
	for i, id := range metrics {
		g.Go(func() error {
			answers[i].values, answers[i].err = evaluate(ctx, journey.Request{Metric: id, Periods: asked})
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return out, err
	}
	for i, id := range metrics {
		if answers[i].err != nil {
			out.faults[id] = answers[i].err
			continue
		}
		out.values[id] = answers[i].values
	}
	return out, nil
}

// evaluate is a journey.EvaluateFunc for the figures that were looked up: one period, with those that it is compared with.
func (l lookback) evaluate(_ context.Context, r journey.Request) ([]journey.Value, error) {
	if err := l.faults[r.Metric]; err != nil {
		return nil, err
	}
	at := func(p journey.Period) *journey.Value {
		i := slices.IndexFunc(l.values[r.Metric], func(v journey.Value) bool { return v.Period.From.Equal(p.From) })
		if i < 0 {
			return nil
		}
		return new(l.values[r.Metric][i])
	}
	compared := func(p journey.Period) *journey.Value {
		if v := at(p); v != nil {
			return v.Compared()
		}
		return nil
	}
	var out []journey.Value
	for _, p := range r.Periods {
		if v := at(p); v != nil {
			v.Previous, v.YearAgo = compared(l.calendar.Previous(p)), compared(l.calendar.YearAgo(p))
			out = append(out, *v)
		}
	}
	return out, nil
}

// back are a number of periods of which the given one is the last, oldest first.
func (f *figures) back(last journey.Period, number int) []journey.Period {
	out := []journey.Period{last}
	for len(out) < number {
		out = append(out, f.calendar.Previous(out[len(out)-1]))
	}
	slices.Reverse(out)
	return out
}

// journey fills the map with the values of a period.
func (f *figures) journey(ctx context.Context, label string) (journey.Shown, error) {
	p, err := f.period(label)
	if err != nil {
		return journey.Shown{}, err
	}
	found, err := f.lookBack(ctx, f.journeyMap.MetricIDs(), f.back(p, dashboards.LookbackPeriods))
	if err != nil {
		return journey.Shown{}, err
	}
	return journey.Show(ctx, f.journeyMap, f.evaluator.Metrics, found.evaluate, p)
}

// series are the values of several metrics; one that cannot be computed is left out.
func (f *figures) series(ctx context.Context, metrics []string, span dashboards.Span) (map[string][]journey.Value, error) {
	last, err := f.period(span.Period)
	if err != nil {
		return nil, err
	}
	found, err := f.lookBack(ctx, metrics, f.back(last, span.Periods))
	if err != nil {
		return nil, err
	}
	out := map[string][]journey.Value{}
	for id, values := range found.values {
		out[id] = values[len(values)-span.Periods:]
	}
	return out, nil
}
