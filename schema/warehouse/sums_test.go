package warehouse_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// sumsOf is what SliceSums should return, by the definition: newest is the newest version of each slice.
func sumsOf(newest map[int64]schema.Slice, q schema.SumsQuery) []schema.SliceSums {
	sums := make([]schema.SliceSums, len(q.Segments))
	for i, segment := range q.Segments {
		for _, s := range newest {
			if s.State != schema.SliceMeasured || s.Start.Before(segment.From) || !s.Start.Before(segment.To) {
				continue
			}
			sums[i].Measured++
			sums[i].Good += s.Good
			sums[i].Total += s.Total
			if s.Total > 0 {
				sums[i].Valid++
				sums[i].BadFraction += (s.Total - s.Good) / s.Total
				if s.Good/s.Total >= q.SliceTarget {
					sums[i].GoodSlices++
				}
			}
		}
	}
	return sums
}

// correctedSlices stores a random history of slices, of two months, that are corrected block after block, and returns the newest
// version of each.
func correctedSlices(t *testing.T, db *warehouse.DB, random *rand.Rand, indicator string) map[int64]schema.Slice {
	t.Helper()
	newest := map[int64]schema.Slice{}
	for block := range 1 + random.IntN(3) {
		var rows []schema.Slice
		for range random.IntN(40) {
			minute := random.Int64N(120)
			s := schema.Slice{Indicator: indicator, Revision: "r", Start: monthEdge.Add(time.Duration(minute) * time.Minute), Seconds: 60,
				State: schema.SliceMeasured, Version: newest[minute].Version + 1}
			s.Total = float64(random.IntN(5))
			s.Good = float64(random.IntN(int(s.Total) + 1))
			if random.IntN(5) == 0 {
				s.Good, s.Total, s.State = 0, 0, schema.SliceGap
			}
			rows, newest[minute] = append(rows, s), s
		}
		if err := db.InsertSlices(t.Context(), fmt.Sprint(indicator, "/", block), rows); err != nil {
			t.Fatal(err)
		}
	}
	return newest
}

// monthEdge is an hour before December.
var monthEdge = time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)

// TestSliceSumsAgainstTheDefinition compares SQL with the definition on random histories of corrected slices.
func TestSliceSumsAgainstTheDefinition(t *testing.T) {
	db := warehousetest.Open(t)
	if err := db.Exec(t.Context(), "SYSTEM STOP MERGES sli_slices"); err != nil { // they would hide a query that forgets older versions
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 5))
	histories := make([]map[int64]schema.Slice, 10)
	for i := range histories {
		histories[i] = correctedSlices(t, db, random, fmt.Sprint("indicator ", i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, len(histories)-1).Draw(rt, "history")
		q := schema.SumsQuery{Indicator: fmt.Sprint("indicator ", i), Revision: "r"}
		q.SliceTarget = rapid.SampledFrom([]float64{0.5, 0.75, 1, 2. / 3}).Draw(rt, "target")
		at := monthEdge.Add(-time.Hour)
		for range rapid.IntRange(0, 8).Draw(rt, "segments") {
			gap := time.Duration(rapid.IntRange(0, 2000).Draw(rt, "gap before")) * 500 * time.Millisecond
			length := time.Duration(rapid.IntRange(0, 10_000).Draw(rt, "length")) * 500 * time.Millisecond
			q.Segments = append(q.Segments, schema.Segment{From: at.Add(gap), To: at.Add(gap + length)})
			at = at.Add(gap + length)
		}
		got, err := db.SliceSums(t.Context(), q)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(sumsOf(histories[i], q), got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
			rt.Fatalf("sums (-want +got):\n%s", diff)
		}
	})
}

// TestManySumsOverDaysAgainstTheDefinition asks several questions at once about stretches of days, which are read from the sums of days,
// of hours, and from slices, as their bounds cut them.
func TestManySumsOverDaysAgainstTheDefinition(t *testing.T) {
	db := warehousetest.Open(t)
	random := rand.New(rand.NewPCG(6, 6))
	histories := make([]map[int64]schema.Slice, 12)
	for i := range histories {
		newest := map[int64]schema.Slice{}
		for block := range 2 {
			var rows []schema.Slice
			for quarter := range int64(5 * 24 * 4) { // five days of quarters of an hour
				if random.IntN(3) == 0 {
					continue
				}
				s := schema.Slice{Indicator: fmt.Sprint("days ", i), Revision: "r", Start: monthEdge.Add(time.Duration(quarter) * 15 * time.Minute),
					Seconds: 900, Total: 4, Good: float64(random.IntN(5)), State: schema.SliceMeasured, Version: newest[quarter].Version + 1}
				rows, newest[quarter] = append(rows, s), s
			}
			if err := db.InsertSlices(t.Context(), fmt.Sprint("days/", i, "/", block), rows); err != nil {
				t.Fatal(err)
			}
		}
		histories[i] = newest
	}
	rapid.Check(t, func(rt *rapid.T) {
		shapes := make([][]schema.Segment, rapid.IntRange(1, 3).Draw(rt, "shapes"))
		for i := range shapes {
			at := monthEdge.Add(-time.Hour)
			for range rapid.IntRange(1, 5).Draw(rt, "segments") {
				gap := time.Duration(rapid.SampledFrom([]int{0, 0, 1, 37, 60, 24 * 60}).Draw(rt, "gap before")) * time.Minute
				length := time.Duration(rapid.SampledFrom([]int{0, 13, 60, 97, 24 * 60, 50*60 + 1}).Draw(rt, "length")) * time.Minute
				shapes[i] = append(shapes[i], schema.Segment{From: at.Add(gap), To: at.Add(gap + length)})
				at = at.Add(gap + length)
			}
		}
		var qs []schema.SumsQuery
		for i := range histories {
			qs = append(qs, schema.SumsQuery{Indicator: fmt.Sprint("days ", i), Revision: "r", Segments: rapid.SampledFrom(shapes).Draw(rt, "shape"),
				SliceTarget: rapid.SampledFrom([]float64{0.5, 1}).Draw(rt, "target")})
		}
		got, err := db.SliceSumsOf(t.Context(), qs)
		if err != nil {
			rt.Fatal(err)
		}
		for i, q := range qs {
			if diff := cmp.Diff(sumsOf(histories[i], q), got[i], cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				rt.Fatalf("sums of %v (-want +got):\n%s", q, diff)
			}
		}
	})
}

// month stores a month of minute slices of one indicator, written block after block as a probe does, some corrected.
func month(b *testing.B, db *warehouse.DB, indicators int) {
	for day := range 28 {
		err := db.Exec(b.Context(), fmt.Sprintf(`INSERT INTO sli_slices
			SELECT 'indicator-' || toString(number %% %d), 'r', '', toDateTime('2026-11-01 00:00:00', 'UTC') + INTERVAL %d DAY + INTERVAL intDiv(number, %d) MINUTE,
				60, 99, 100, 'measured', 1 FROM numbers(%d)`, indicators, day, indicators, indicators*1440))
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSlices(b *testing.B) {
	db := warehousetest.Open(b)
	month(b, db, 50)
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	to := from.AddDate(0, 0, 28)
	b.Run("read", func(b *testing.B) {
		for range b.N {
			all, err := db.Slices(b.Context(), schema.SliceQuery{Indicator: "indicator-7", Revision: "r", From: from, To: to})
			if err != nil || len(all) != 28*1440 {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("sums", func(b *testing.B) {
		q := schema.SumsQuery{Indicator: "indicator-7", Revision: "r", SliceTarget: 0.99}
		for at := from; at.Before(to); at = at.Add(time.Hour) {
			q.Segments = append(q.Segments, schema.Segment{From: at, To: at.Add(time.Hour)})
		}
		for range b.N {
			sums, err := db.SliceSums(b.Context(), q)
			if err != nil || math.Abs(sums[671].Good-60*99) > 1e-6 {
				b.Fatal(sums, err)
			}
		}
	})
	b.Run("record a minute of 5000", func(b *testing.B) {
		rows := make([]schema.Slice, 5000)
		for i := range rows {
			rows[i] = schema.Slice{Indicator: fmt.Sprint("objective-", i), Revision: "r", Start: noon, Seconds: 60, Good: 1, Total: 1, State: schema.SliceMeasured}
		}
		for i := range b.N {
			if err := db.InsertSlices(b.Context(), fmt.Sprint(i, "of", b.N), rows); err != nil {
				b.Fatal(err)
			}
		}
	})
}
