package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
	"github.com/kubevalue/kubevalue/slo"
)

// The data of the comparison: quarters of an hour from 1 March to 12 April 2026, over the changes of clocks in New York (8 March),
// Berlin (29 March) and on Lord Howe (5 April, by half an hour).
const lateIndicators = 4

var (
	lateFrom = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	lateTo   = time.Date(2026, 4, 12, 0, 0, 0, 0, time.UTC)
	lateGrid = slo.EpochGrid(15 * time.Minute)
)

// lateIndicator is the series of slices with that number.
func lateIndicator(i int) indicator {
	return indicator{Name: "late", Revision: "r", Group: fmt.Sprint("g", i)}
}

// lateHistory stores slices in three rounds as late data comes: later rounds correct some slices, turn some into gaps, bring some that
// were missing, and repeat old versions, which must not win. It returns what is true in the end.
func lateHistory(t *testing.T) (store sliceStore, truth [][]slo.Slice) {
	t.Helper()
	db := warehousetest.Open(t)
	random := rand.New(rand.NewPCG(7, 7))
	truth = make([][]slo.Slice, lateIndicators)
	for i := range truth {
		newest := map[time.Time]schema.Slice{}
		for round, share := range []float64{0.9, 0.1, 0.02} {
			var rows []schema.Slice
			for at := lateFrom; at.Before(lateTo); at = at.Add(lateGrid.Step) {
				if random.Float64() >= share {
					continue
				}
				ind := lateIndicator(i)
				s := schema.Slice{Indicator: ind.Name, Revision: ind.Revision, Group: ind.Group, Start: at, Seconds: 900, State: schema.SliceMeasured, Version: uint64(random.IntN(4) + 2*round)}
				if s.Total = float64(random.IntN(6)); random.IntN(3) > 0 {
					s.Good = s.Total
				} else {
					s.Good = float64(random.IntN(int(s.Total) + 1))
				}
				if random.IntN(20) == 0 {
					s.Good, s.Total, s.State = 0, 0, schema.SliceGap
				}
				if old, known := newest[at]; known && old.Version == s.Version {
					s = old // a version says one thing only
				}
				rows = append(rows, s)
				if old, known := newest[at]; !known || s.Version > old.Version {
					newest[at] = s
				}
			}
			for month, part := range byMonth(rows) {
				if err := db.InsertSlices(t.Context(), fmt.Sprint(i, round, month), part); err != nil {
					t.Fatal(err)
				}
			}
		}
		var all []schema.Slice
		for _, s := range newest {
			all = append(all, s)
		}
		truth[i] = pureSlices(all)
	}
	return db, truth
}

// TestTablesAgreeWithThePureEngineOnLateData asks random questions through the tables and of package slo with the slices themselves:
// rolling and calendar windows in zones that change their clocks, all methods and policies, exclusions, incidents, composites, groups.
func TestTablesAgreeWithThePureEngineOnLateData(t *testing.T) {
	store, truth := lateHistory(t)
	rapid.Check(t, func(rt *rapid.T) {
		qs := make([]question, rapid.IntRange(1, 10).Draw(rt, "questions"))
		for i := range qs {
			qs[i] = lateQuestion(rt)
		}
		got, err := evaluateAll(rt.Context(), store, qs)
		if err != nil {
			rt.Fatal(err)
		}
		for i, q := range qs {
			want := pureAnswer(q, truth)
			if want.err != nil {
				if got[i].err == nil || got[i].err.Error() != want.err.Error() {
					rt.Fatalf("%+v: want the error %v, got %v", q.req, want.err, got[i].err)
				}
				continue
			}
			if got[i].err != nil {
				rt.Fatalf("%+v: %v", q.req, got[i].err)
			}
			approx := cmpopts.EquateApprox(1e-9, 1e-9)
			if diff := gocmp.Diff(want.status, got[i].status, approx, cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
				rt.Fatalf("%+v (-pure +tables):\n%s", q.req, diff)
			}
			if diff := gocmp.Diff(want.groups, got[i].groups, approx, cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
				rt.Fatalf("groups of %+v (-pure +tables):\n%s", q.req, diff)
			}
			if groups := got[i].groups; groups != nil {
				pooled(rt, groups)
			}
		}
	})
}

func lateQuestion(rt *rapid.T) question {
	o := slo.Objective{
		Name: "o", Target: rapid.SampledFrom([]float64{0.5, 0.9, 0.99}).Draw(rt, "target"), Window: lateWindow(rt), MinCoverage: 0.8,
		Method:          rapid.SampledFrom([]slo.BudgetingMethod{slo.Occurrences, slo.Timeslices, slo.RatioTimeslices}).Draw(rt, "method"),
		TimeSliceTarget: rapid.SampledFrom([]float64{0.4, 0.75, 1}).Draw(rt, "slice target"),
	}
	if o.Method != slo.Occurrences {
		o.Missing = rapid.SampledFrom([]slo.MissingPolicy{slo.MissingGap, slo.MissingGood, slo.MissingBad}).Draw(rt, "missing")
	}
	q := question{o: configuredObjective{Of: map[string]indicator{"o": lateIndicator(rapid.IntRange(0, lateIndicators-1).Draw(rt, "indicator"))}, Grid: lateGrid}}
	switch rapid.SampledFrom([]string{"plain", "composite", "groups"}).Draw(rt, "kind") {
	case "composite":
		o.Method, o.Missing = "", ""
		o.Composite = &slo.Composite{Kind: rapid.SampledFrom([]slo.CompositeKind{slo.Weighted, slo.AnyDown}).Draw(rt, "composite")}
		q.o.Of = map[string]indicator{}
		for i := range rapid.IntRange(1, lateIndicators).Draw(rt, "children") {
			ind := lateIndicator(i)
			q.o.Of[ind.Group] = ind
			o.Composite.Of = append(o.Composite.Of, slo.Child{
				Name: ind.Group, Weight: rapid.Float64Range(0.1, 5).Draw(rt, "weight"), TimeSliceTarget: rapid.SampledFrom([]float64{0.4, 1}).Draw(rt, "child's target"),
			})
		}
	case "groups":
		q.o.PerGroup = true
		for i := range rapid.IntRange(1, lateIndicators).Draw(rt, "groups") {
			q.members = append(q.members, member{lateIndicator(i).Group, lateIndicator(i)})
		}
	}
	q.req = slo.Request{Objective: o, Grid: lateGrid, At: lateTime(rt, "at"), BurnWindows: []time.Duration{time.Hour, 26 * time.Hour}}
	if rapid.Bool().Draw(rt, "since") {
		q.req.Since = lateFrom
	}
	for range rapid.IntRange(0, 2).Draw(rt, "exclusions") {
		from := lateTime(rt, "excluded from")
		q.req.Exclusions = append(q.req.Exclusions, slo.Exclusion{From: from, To: from.Add(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "minutes")) * time.Minute), Reason: "r", Author: "a"})
	}
	for i := range rapid.IntRange(0, 2).Draw(rt, "incidents") {
		from := lateTime(rt, "incident from")
		q.req.Incidents = append(q.req.Incidents, slo.Incident{ID: fmt.Sprint("INC-", i), From: from, To: from.Add(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "minutes")) * time.Minute)})
	}
	return q
}

func lateWindow(rt *rapid.T) slo.Window {
	zone, err := slo.LoadZone(rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"}).Draw(rt, "zone"))
	if err != nil {
		rt.Fatal(err)
	}
	return rapid.SampledFrom([]slo.Window{
		slo.RollingWindow(7 * 24 * time.Hour), slo.RollingWindow(28 * 24 * time.Hour), slo.RollingWindow(5 * time.Hour),
		slo.CalendarWindow(slo.Day, zone), slo.CalendarWindow(slo.Week, zone), slo.CalendarWindow(slo.Month, zone),
	}).Draw(rt, "window")
}

// lateTime is a minute of the data, often one at which clocks change or a day begins somewhere.
func lateTime(rt *rapid.T, label string) time.Time {
	near := rapid.SampledFrom([]time.Time{
		lateFrom, lateTo, time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC), time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 15, 0, 0, 0, time.UTC),
		time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC),
	}).Draw(rt, label+" near")
	return near.Add(time.Duration(rapid.IntRange(-2000, 2000).Draw(rt, label)) * time.Minute)
}

// pureAnswer is what package slo says of the slices themselves; of groups together it is what follows from theirs.
func pureAnswer(q question, truth [][]slo.Slice) answer {
	of := func(ind indicator) []slo.Slice { return truth[ind.Group[1]-'0'] }
	var a answer
	switch {
	case q.req.Objective.Composite != nil:
		children := map[string][]slo.Slice{}
		for name, ind := range q.o.Of {
			children[name] = of(ind)
		}
		var combined []slo.Slice
		if combined, a.err = q.req.Objective.Composite.Slices(lateGrid, children); a.err == nil {
			a.status, a.err = slo.Evaluate(q.req, combined)
		}
	case q.o.grouped():
		a.groups = &slo.GroupStatus{}
		a.status, a.err = pureGroups(q, of, a.groups)
	default:
		a.status, a.err = slo.Evaluate(q.req, of(q.o.Of["o"]))
	}
	return a
}

// pureGroups fills in each group's status, and returns that of all together.
func pureGroups(q question, of func(indicator) []slo.Slice, out *slo.GroupStatus) (slo.Status, error) {
	plan, err := slo.NewPlan(q.req)
	if err != nil {
		return slo.Status{}, err
	}
	var sums []slo.GroupSums
	for _, m := range q.members {
		series, err := slo.NewSeries(lateGrid, of(m.of))
		if err != nil {
			return slo.Status{}, err
		}
		one, err := slo.Evaluate(q.req, of(m.of))
		if err != nil {
			return slo.Status{}, err
		}
		sums = append(sums, slo.GroupSums{Group: m.group, Sums: plan.Sum(series)})
		out.Groups = append(out.Groups, slo.NamedStatus{Group: m.group, Status: one})
		if one.Remaining == nil {
			out.Undefined = append(out.Undefined, m.group)
		}
	}
	defined := slices.DeleteFunc(slices.Clone(out.Groups), func(s slo.NamedStatus) bool { return s.Status.Remaining == nil })
	if len(defined) > 0 {
		out.Worst = slices.MinFunc(defined, func(a, b slo.NamedStatus) int { return cmp.Compare(*a.Status.Remaining, *b.Status.Remaining) }).Group
	}
	all, err := plan.EvaluateGroups(sums)
	out.Total = all.Total
	return all.Total, err
}

// pooled checks that events, slices and minutes of all groups together are the sums of theirs.
func pooled(rt *rapid.T, groups *slo.GroupStatus) {
	var measured, expected int64
	var good, minutes float64
	for _, g := range groups.Groups {
		measured, expected = measured+g.Status.MeasuredSlices, expected+g.Status.ExpectedSlices
		good, minutes = good+*g.Status.Good, minutes+g.Status.BadMinutes
	}
	total := groups.Total
	if total.MeasuredSlices != measured || total.ExpectedSlices != expected || math.Abs(*total.Good-good) > 1e-6 || math.Abs(total.BadMinutes-minutes) > 1e-6 {
		rt.Fatalf("of all groups: %+v; their sums: %d of %d slices, %v good, %v minutes", total.Figures, measured, expected, good, minutes)
	}
}
