package slo

import (
	"slices"
	"testing"
	"time"
)

// Objectives that are alike are asked about in one statement: when each began is no matter while missing slices are gaps.
func TestAgeCutsSegmentsOnlyWhereMissingSlicesCount(t *testing.T) {
	segments := func(missing MissingPolicy, since time.Time) []Interval {
		p, err := NewPlan(Request{
			Objective: Objective{Name: "o", Target: 0.99, Window: RollingWindow(28 * day), Method: Timeslices, TimeSliceTarget: 1, MinCoverage: 0.9, Missing: missing},
			Grid:      EpochGrid(time.Minute), At: march, Since: since,
		})
		if err != nil {
			t.Fatal(err)
		}
		return p.Segments()
	}
	young, old := march.Add(-100*time.Hour), march.Add(-50*day)
	for missing, same := range map[MissingPolicy]bool{MissingGap: true, "": true, MissingGood: false, MissingBad: false} {
		if got := slices.Equal(segments(missing, young), segments(missing, old)); got != same {
			t.Errorf("missing slices are %q: the same segments for a young and an old objective: %t", missing, got)
		}
	}
}
