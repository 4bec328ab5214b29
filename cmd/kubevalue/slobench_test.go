//go:build bench

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// The size of the measures of budgets: 500 objectives over 28 days of minutes are 20,160,000 slices.
const (
	benchObjectives = 500
	benchDays       = 28
	benchSLORounds  = 15
	benchRecorded   = 5000 // objectives whose minute is recorded
)

// benchNow is in the middle of an hour and a day, so that windows cut both.
var benchNow = time.Date(2026, 3, 29, 13, 37, 0, 0, time.UTC)

// benchSlice is a minute of an objective: about 100 events, in one of 50 minutes some of them bad.
func benchSlice(rng *rand.Rand, objective int, at time.Time) schema.Slice {
	total := float64(50 + rng.IntN(100))
	good := total
	if rng.IntN(50) == 0 {
		good -= float64(1 + rng.IntN(10))
	}
	return schema.Slice{Indicator: benchName(objective), Revision: "r", Start: at, Seconds: 60, Good: good, Total: total, State: schema.SliceMeasured, Version: 1}
}

func benchName(objective int) string { return fmt.Sprintf("objective-%04d", objective) }

// benchSlices calls take with a history minute by minute, the same one at every call.
func benchSlices(from, to time.Time, take func(minute []schema.Slice)) {
	rng := rand.New(rand.NewPCG(uint64(from.Unix()), 1))
	minute := make([]schema.Slice, benchObjectives)
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		for i := range minute {
			minute[i] = benchSlice(rng, i, at)
		}
		take(minute)
	}
}

// storeBenchSlices writes them as the drainer does, in blocks of the same hours.
func storeBenchSlices(t *testing.T, db *warehouse.DB, from, to time.Time) {
	t.Helper()
	var block []schema.Slice
	flush := func() {
		if len(block) == 0 {
			return
		}
		if err := db.InsertSlices(t.Context(), block[0].Start.String(), block); err != nil {
			t.Fatal(err)
		}
		block = block[:0]
	}
	benchSlices(from, to, func(minute []schema.Slice) {
		if len(block) > 0 && minute[0].Start.Truncate(6*time.Hour) != block[0].Start.Truncate(6*time.Hour) {
			flush()
		}
		block = append(block, minute...)
	})
	flush()
}

// benchSet is all objectives with the alerts.
func benchSet(t *testing.T, alerts []slo.AlertWindow) (*objectiveSet, *warehouse.DB) {
	var all []configuredObjective
	for i := range benchObjectives {
		name := benchName(i)
		all = append(all, configuredObjective{
			Objective: openslo.Objective{Service: "bench", Definition: slo.Objective{
				Name: name, Target: 0.999, Window: slo.RollingWindow(benchDays * 24 * time.Hour), Method: slo.Occurrences, TimeSliceTarget: 1, MinCoverage: 0.9, Alerts: alerts,
			}},
			Of: map[string]indicator{name: {Name: name, Revision: "r"}}, Grid: slo.EpochGrid(time.Minute),
		})
	}
	s, db := answerSet(t, all...)
	s.now = func() time.Time { return benchNow }
	return s, db
}

// benchStatus is the median time in milliseconds of asking for objectives with all their windows, warm.
func (s *objectiveSet) benchStatus(t *testing.T, n int) float64 {
	t.Helper()
	return warm(t, func(ctx context.Context) error {
		answers, err := s.statusesAt(ctx, s.all[:n], benchNow)
		for i, a := range answers {
			if a.err != nil {
				return fmt.Errorf("%s: %w", s.all[i].Definition.Name, a.err)
			}
			if a.status.MeasuredSlices != benchDays*24*60 || !a.status.At.Equal(benchNow) {
				return fmt.Errorf("%s: %d slices up to %s", s.all[i].Definition.Name, a.status.MeasuredSlices, a.status.At)
			}
		}
		return err
	})
}

// warm is the median time in milliseconds of doing something, after twice that does not count.
func warm(t *testing.T, do func(ctx context.Context) error) float64 {
	t.Helper()
	var took []float64
	for round := range benchSLORounds + 2 {
		begin := time.Now()
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round >= 2 {
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
		}
	}
	return median(took)
}

// TestBenchSLOStatus measures all windows of the default alerts and the 28-day budgets of 500 objectives with minute slices, the
// budgets alone against Prometheus over the same data, and how the cost grows with objectives and with what is kept.
func TestBenchSLOStatus(t *testing.T) {
	s, db := benchSet(t, nil)
	from := benchNow.Add(-benchDays * 24 * time.Hour)
	begin := time.Now()
	storeBenchSlices(t, db, from, benchNow)
	t.Logf("%d slices stored in %s", benchObjectives*benchDays*24*60, time.Since(begin).Round(time.Second))

	all, fifth := s.benchStatus(t, benchObjectives), s.benchStatus(t, benchObjectives/5)
	measureTime("slo_status_500x28d", all, 60)
	measureTime("slo_status_100x28d", fifth, all/5)

	prometheus := startPrometheusOn(t, prometheusBlocks(t, from, benchNow))
	ours, theirs := s.benchBudgets(t), prometheusBudgets(t, prometheus)
	sameBudgets(t, ours, theirs)
	fmt.Printf("bench slo_status_vs_prometheus value=%.1f unit=ms baseline=%.1f ratio=%.1f\n", ours.took, theirs.took, theirs.took/ours.took)

	storeBenchSlices(t, db, from.Add(-benchDays*24*time.Hour), from)
	measureTime("slo_status_retention", s.benchStatus(t, benchObjectives), all)

	composites := *s // last, since they put everybody else's slices out of the engine's cache
	composites.all = s.composites(20, 5)
	measureTime("slo_composites_20x5x28d", composites.benchStatus(t, len(composites.all)), fifth)
}

// composites are n objectives, each over so many of the set's indicators: 100 series as slo_status_100x28d reads, which slice by slice.
func (s *objectiveSet) composites(n, children int) []configuredObjective {
	var out []configuredObjective
	for i := range n {
		o := configuredObjective{Objective: s.all[i].Objective, Of: map[string]indicator{}, Grid: s.all[i].Grid}
		o.Definition.Method, o.Definition.TimeSliceTarget, o.Definition.Composite = "", 0, &slo.Composite{Kind: slo.Weighted}
		for k := range children {
			name := benchName(i*children + k)
			o.Of[name] = indicator{Name: name, Revision: "r"}
			o.Definition.Composite.Of = append(o.Definition.Composite.Of, slo.Child{Name: name, Weight: float64(k + 1), TimeSliceTarget: 1})
		}
		out = append(out, o)
	}
	return out
}

// measureTime prints a time beside what it is compared with, in milliseconds.
func measureTime(name string, value, baseline float64) {
	fmt.Printf("bench %s value=%.1f unit=ms baseline=%.1f ratio=%.3f\n", name, value, baseline, value/baseline)
}

// budgets are the budgets consumed of all objectives, and how long asking took.
type budgets struct {
	took     float64
	consumed []float64
}

// benchBudgets asks for the 28-day budgets alone: without alerts.
func (s *objectiveSet) benchBudgets(t *testing.T) budgets {
	t.Helper()
	of := slices.Clone(s.all)
	for i := range of {
		of[i].Definition.Alerts = []slo.AlertWindow{}
	}
	out := budgets{consumed: make([]float64, len(of))}
	out.took = warm(t, func(ctx context.Context) error {
		qs, err := s.questions(ctx, of, benchNow)
		if err != nil {
			return err
		}
		answers, err := evaluateAll(ctx, s.store, qs)
		for i, a := range answers {
			if a.err != nil {
				return a.err
			}
			out.consumed[i] = *a.status.Consumed
		}
		return err
	})
	return out
}

// TestBenchSLORecord measures recording a minute of 5,000 objectives, the last one of an hour whose other minutes are there.
func TestBenchSLORecord(t *testing.T) {
	_, db := benchSet(t, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	hour := benchNow.Truncate(time.Hour)
	minute := make([]schema.Slice, benchRecorded)
	var took []float64
	for m := range 120 {
		at := hour.Add(time.Duration(m) * time.Minute)
		for i := range minute {
			minute[i] = benchSlice(rng, i, at)
		}
		begin := time.Now()
		if err := db.InsertSlices(t.Context(), at.String(), minute); err != nil {
			t.Fatal(err)
		}
		if m%60 >= 45 {
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
		}
	}
	measureTime("slo_record_5000", median(took), 200)
}
