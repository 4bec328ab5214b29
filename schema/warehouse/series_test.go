package warehouse_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// TestSeveralQuestionsAtOnce compares questions of like and of unlike shapes, asked together, with the definition, while every version
// of every slice, hour and day is still there.
func TestSeveralQuestionsAtOnce(t *testing.T) {
	db := warehousetest.Open(t)
	for _, table := range []string{"sli_slices", "sli_hours", "sli_days"} {
		if err := db.Exec(t.Context(), "SYSTEM STOP MERGES "+table); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(7, 7))
	histories := make([]map[int64]schema.Slice, 12)
	for i := range histories {
		histories[i] = correctedSlices(t, db, random, fmt.Sprint("series ", i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		var qs []schema.SumsQuery
		var of []int
		for range rapid.IntRange(1, 4).Draw(rt, "shapes") {
			segments, target := drawSegments(rt), rapid.SampledFrom([]float64{0.5, 1}).Draw(rt, "target")
			first := rapid.IntRange(0, len(histories)-1).Draw(rt, "first")
			last := rapid.IntRange(first, len(histories)-1).Draw(rt, "last")
			for i := first; i <= last; i++ {
				qs = append(qs, schema.SumsQuery{Indicator: fmt.Sprint("series ", i), Revision: "r", SliceTarget: target, Segments: segments})
				of = append(of, i)
			}
		}
		got, err := db.SliceSumsOf(t.Context(), qs)
		if err != nil {
			rt.Fatal(err)
		}
		for i, q := range qs {
			if diff := cmp.Diff(sumsOf(histories[of[i]], q), got[i], cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				rt.Fatalf("question %d about %v (-want +got):\n%s", i, q, diff)
			}
		}
	})
}

// drawSegments draws disjoint segments, some of them longer than the history.
func drawSegments(rt *rapid.T) []schema.Segment {
	var segments []schema.Segment
	at := monthEdge.Add(-rapid.SampledFrom([]time.Duration{3, 23, 25}).Draw(rt, "hours before") * time.Hour)
	for range rapid.IntRange(0, 6).Draw(rt, "segments") {
		gap := time.Duration(rapid.IntRange(0, 120).Draw(rt, "gap before")) * time.Minute
		length := time.Duration(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(1380, 3000)).Draw(rt, "length")) * time.Minute
		segments = append(segments, schema.Segment{From: at.Add(gap), To: at.Add(gap + length)})
		at = at.Add(gap + length)
	}
	return segments
}

// TestHoursAreThoseOfTheSlices compares the sums of hours and days with the slices after corrections, months apart.
func TestHoursAreThoseOfTheSlices(t *testing.T) {
	db := warehousetest.Open(t)
	random := rand.New(rand.NewPCG(9, 9))
	for i := range 5 {
		correctedSlices(t, db, random, fmt.Sprint("series ", i))
	}
	result, err := db.Query(t.Context(), `
		SELECT count(), countIf(h.version != s.version OR h.measured != s.measured OR abs(h.good - s.good) > 1e-9) FROM
			(SELECT hour, series, version, measured, good FROM sli_hours FINAL) AS h
			FULL JOIN (SELECT toStartOfHour(slice_start) AS hour, series, sum(toUInt128(version)) AS version, countIf(state = 'measured') AS measured, sum(good) AS good
				FROM sli_slices FINAL GROUP BY hour, series) AS s USING (hour, series)`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if hours, wrong := result.Rows[0][0].(uint64), result.Rows[0][1].(uint64); hours < 8 || wrong != 0 {
		t.Errorf("%d of %d hours are not the sums of their slices", wrong, hours)
	}
	result, err = db.Query(t.Context(), `
		SELECT count(), countIf(d.version != h.version OR d.measured != h.measured OR d.valid != h.valid OR d.perfect != h.perfect OR d.good != h.good
			OR d.total != h.total OR abs(d.bad_fraction - h.bad_fraction) > 1e-9) FROM (SELECT * FROM sli_days FINAL) AS d
			FULL JOIN (SELECT toStartOfDay(hour) AS day, series, sum(version) AS version, sum(measured) AS measured, sum(valid) AS valid, sum(perfect) AS perfect,
				sum(good) AS good, sum(total) AS total, sum(bad_fraction) AS bad_fraction FROM sli_hours FINAL GROUP BY day, series) AS h USING (day, series)`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if days, wrong := result.Rows[0][0].(uint64), result.Rows[0][1].(uint64); days < 8 || wrong != 0 {
		t.Errorf("%d of %d days are not the sums of their hours", wrong, days)
	}
}

func TestQuestionsAboutManySeries(t *testing.T) {
	db := warehousetest.Open(t)
	var rows []schema.Slice
	for i := range 3 {
		for minute := range 4 {
			rows = append(rows, schema.Slice{Indicator: "it's", Revision: "r", Group: fmt.Sprint("g", i), Start: monthEdge.Add(time.Duration(10*i+minute) * time.Minute),
				Seconds: 60, Good: 1, Total: 2, State: schema.SliceMeasured, Version: 1})
		}
	}
	rows[1].State, rows[1].Good, rows[1].Total = schema.SliceGap, 0, 0
	if err := db.InsertSlices(t.Context(), "t", rows); err != nil {
		t.Fatal(err)
	}
	qs := []schema.SliceQuery{
		{Indicator: "it's", Revision: "r", Group: "g2", From: monthEdge.Add(21 * time.Minute), To: monthEdge.Add(23 * time.Minute)},
		{Indicator: "it's", Revision: "other", Group: "g2", From: monthEdge, To: monthEdge.Add(time.Hour)},
		{Indicator: "it's", Revision: "r", Group: "g0", From: monthEdge, To: monthEdge.Add(2 * time.Minute)},
		{Indicator: "it's", Revision: "r", Group: "g1"},
	}
	got, err := db.SeriesMarks(t.Context(), qs)
	if err != nil {
		t.Fatal(err)
	}
	want := []schema.SeriesMarks{
		{First: monthEdge.Add(20 * time.Minute), Measured: []time.Time{rows[9].Start, rows[10].Start}}, {}, {First: monthEdge, Measured: []time.Time{rows[0].Start}},
		{First: monthEdge.Add(10 * time.Minute)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	none, err := db.SeriesMarks(t.Context(), nil)
	if err != nil || len(none) != 0 {
		t.Errorf("no question: %v, %v", none, err)
	}
}

// TestMostOfAllSeries asks about so many series that naming them is spared: what comes of the others is left out.
func TestMostOfAllSeries(t *testing.T) {
	db := warehousetest.Open(t)
	const known = 130
	begin := monthEdge.Add(-26 * time.Hour)
	var rows []schema.Slice
	for i := range known {
		for _, at := range []time.Duration{0, 25 * time.Hour, 26*time.Hour + 10*time.Minute} {
			rows = append(rows, schema.Slice{Indicator: fmt.Sprint("series ", i), Revision: "r", Start: begin.Add(at), Seconds: 60, Good: float64(i), Total: known, State: schema.SliceMeasured, Version: 1})
		}
	}
	if err := db.InsertSlices(t.Context(), "t", rows); err != nil {
		t.Fatal(err)
	}
	for _, asked := range []int{1, 60, 100, known} {
		var sums []schema.SumsQuery
		var last []schema.SliceQuery
		for i := range asked {
			q := schema.SliceQuery{Indicator: fmt.Sprint("series ", known-1-i), Revision: "r", From: monthEdge, To: monthEdge.Add(time.Hour)}
			last = append(last, q)
			sums = append(sums, schema.SumsQuery{Indicator: q.Indicator, Revision: q.Revision, SliceTarget: 1, Segments: []schema.Segment{{From: begin, To: q.To}}})
		}
		got, err := db.SliceSumsOf(t.Context(), sums)
		if err != nil {
			t.Fatal(err)
		}
		marks, err := db.SeriesMarks(t.Context(), last)
		if err != nil {
			t.Fatal(err)
		}
		for i := range asked {
			good := float64(known - 1 - i)
			want := []schema.SliceSums{{Measured: 3, Valid: 3, Good: 3 * good, Total: 3 * known, BadFraction: 3 * (known - good) / known}}
			if diff := cmp.Diff(want, got[i], cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				t.Errorf("sums of the %dth of %d series (-want +got):\n%s", i, asked, diff)
			}
			if diff := cmp.Diff(schema.SeriesMarks{First: begin, Measured: []time.Time{monthEdge.Add(10 * time.Minute)}}, marks[i]); diff != "" {
				t.Errorf("marks of the %dth of %d series (-want +got):\n%s", i, asked, diff)
			}
		}
	}
}
