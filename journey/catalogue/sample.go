package catalogue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/interval"
)

// sample reduces arrays of numbers.
func (e Evaluator) sample(ctx context.Context, m journey.Metric, q question, cells map[place]*cell) error {
	reducing := inParallel()
	seen := map[place]bool{}
	err := e.rows(ctx, m.SQL.Sample, q, func(p place, l line) error {
		values, err := l.numbers("sample")
		if err != nil {
			return err
		}
		if seen[p] {
			return fmt.Errorf("the statement returns several rows of one period and dim (%q): want one, whose sample has all values", p.dim)
		}
		seen[p] = true
		c := at(cells, p)
		reducing.Go(func() error { return c.reduce(m, p, l, values) })
		return nil
	})
	return cmp.Or(err, reducing.Wait())
}

// reduce is the statistic of a sample with its interval.
func (c *cell) reduce(m journey.Metric, p place, l line, values []float64) error {
	c.n = len(values)
	switch m.SQL.Statistic {
	case journey.StatisticKMMedian:
		return c.survival(l, values)
	case journey.StatisticMean:
		mean, low, high, ok, bounded := interval.Mean(values)
		if ok {
			c.value = &mean
		}
		if bounded && m.Interval == journey.IntervalT {
			c.low, c.high = &low, &high
		}
	case journey.StatisticMedian:
		if m.Interval == journey.IntervalBootstrap {
			break // finds it on its way
		}
		if median, ok := interval.Median(values); ok {
			c.value = &median
		}
	}
	if m.Interval == journey.IntervalBootstrap {
		return c.bootstrap(m, p, l, values)
	}
	return nil
}

func (c *cell) survival(l line, durations []float64) error {
	censored, err := l.numbers("censored")
	if err != nil {
		return err
	}
	if len(censored) != len(durations) {
		return fmt.Errorf("sample has %d values, censored %d", len(durations), len(censored))
	}
	observations := make([]interval.Observation, len(durations))
	for i, d := range durations {
		observations[i] = interval.Observation{Duration: d, Reached: censored[i] == 0}
	}
	s := interval.KaplanMeier(observations)
	c.value, c.low, c.high = s.Median, s.Low, s.High
	return nil
}

// bootstrap resamples the teams that the column cluster names beside each value.
func (c *cell) bootstrap(m journey.Metric, p place, l line, values []float64) error {
	names, ok := l.column("cluster")
	clusters, isTexts := names.([]string)
	if !ok || !isTexts || len(clusters) != len(values) {
		return fmt.Errorf("interval bootstrap wants a column cluster with a text for each value of sample")
	}
	byCluster := map[string][]float64{}
	for i, name := range clusters {
		byCluster[name] = append(byCluster[name], values[i])
	}
	groups := make([][]float64, 0, len(byCluster))
	once := make([]int, 0, len(byCluster)) // each group
	for i, name := range slices.Sorted(maps.Keys(byCluster)) {
		groups, once = append(groups, byCluster[name]), append(once, i)
	}
	statistic := interval.DrawnMedian(groups)
	if m.SQL.Statistic == journey.StatisticMean {
		statistic = interval.DrawnMean(groups)
	} else if median, ok := statistic(once); ok {
		c.value = &median
	}
	low, high, ok := interval.Bootstrap(len(groups), seed(m, p), statistic)
	if ok {
		c.low, c.high = &low, &high
	}
	return nil
}
