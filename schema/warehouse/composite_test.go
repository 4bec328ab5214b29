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

// compositeOf is the definition: minute by minute, what the children's newest slices make of a composite's.
func compositeOf(histories []map[int64]schema.Slice, of []int, q schema.CompositeQuery) []schema.SliceSums {
	sums := make([]schema.SliceSums, len(q.Segments))
	for minute := range int64(120) {
		gap, down, up, weights := false, false, 0.0, 0.0
		for i, child := range q.Of {
			s := histories[of[i]][minute]
			switch {
			case s.State != schema.SliceMeasured:
				gap = true
			case s.Total > 0:
				up += child.Weight * s.Good / s.Total
				weights += child.Weight
				down = down || s.Good/s.Total < child.GoodFrom
			}
		}
		var one schema.SliceSums
		switch {
		case q.AnyDown && down:
			one = schema.SliceSums{Measured: 1, Valid: 1, Total: 1, BadFraction: 1}
		case gap:
		case weights == 0:
			one.Measured = 1
		case q.AnyDown:
			one = schema.SliceSums{Measured: 1, Valid: 1, GoodSlices: 1, Good: 1, Total: 1}
		default:
			one = schema.SliceSums{Measured: 1, Valid: 1, Good: up / weights, Total: 1, BadFraction: 1 - up/weights}
			if one.BadFraction < 1e-12 {
				one.GoodSlices = 1
			}
		}
		for i, segment := range q.Segments {
			if at := monthEdge.Add(time.Duration(minute) * time.Minute); !at.Before(segment.From) && at.Before(segment.To) {
				sums[i].Measured += one.Measured
				sums[i].Valid += one.Valid
				sums[i].GoodSlices += one.GoodSlices
				sums[i].Good += one.Good
				sums[i].Total += one.Total
				sums[i].BadFraction += one.BadFraction
			}
		}
	}
	return sums
}

// TestCompositeSumsAgainstTheDefinition has children with corrected slices, with gaps, of one series, and one that was never measured.
func TestCompositeSumsAgainstTheDefinition(t *testing.T) {
	db := warehousetest.Open(t)
	if err := db.Exec(t.Context(), "SYSTEM STOP MERGES sli_slices"); err != nil { // they would hide a query that forgets older versions
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(11, 11))
	histories := make([]map[int64]schema.Slice, 8)
	for i := range len(histories) - 1 {
		histories[i] = correctedSlices(t, db, random, fmt.Sprint("child ", i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		q := schema.CompositeQuery{AnyDown: rapid.Bool().Draw(rt, "any down"), Segments: drawSegments(rt)}
		var of []int
		for range rapid.IntRange(1, 4).Draw(rt, "children") {
			i := rapid.IntRange(0, len(histories)-1).Draw(rt, "child")
			of = append(of, i)
			q.Of = append(q.Of, schema.CompositeChild{
				Indicator: fmt.Sprint("child ", i), Revision: "r", Weight: rapid.SampledFrom([]float64{1, 2, 0.5}).Draw(rt, "weight"),
				GoodFrom: rapid.SampledFrom([]float64{0.5, 0.75, 1}).Draw(rt, "good from"),
			})
		}
		got, err := db.CompositeSums(t.Context(), q)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(compositeOf(histories, of, q), got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
			rt.Fatalf("%+v (-want +got):\n%s", q, diff)
		}
	})
}
