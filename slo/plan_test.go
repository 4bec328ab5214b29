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

// Where the local month begins at half past, a slice of an hour hangs over its end: it starts in the month, and belongs to it.
func TestASliceThatHangsOverTheEndOfAPeriodIsOfIt(t *testing.T) {
	kolkata, err := LoadZone("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	window := CalendarWindow(Month, kolkata)
	june := window.Period(at(t, "2026-06-15T00:00:00Z"))
	var all []Slice
	for start := june.From.Add(-30 * time.Minute); start.Before(june.To.Add(24 * time.Hour)); start = start.Add(time.Hour) {
		all = append(all, Slice{Start: start, Good: 1, Total: 1, State: Measured})
	}
	all[0].Good, all[720].Good = 0, 0 // the last of May, and the last of June
	for _, c := range []struct {
		at                     string
		partial                bool
		expected, good, length int64
	}{
		{"2026-06-30T18:00:00Z", true, 719, 719, 30 * 24},
		{"2026-06-30T18:29:59Z", true, 719, 719, 30 * 24},
		{"2026-06-30T18:30:00Z", false, 720, 719, 30 * 24},
		{"2026-06-30T18:30:01Z", true, 719, 719, 30 * 24}, // the watermark is floored: June
		{"2026-06-30T19:00:00Z", true, 0, 0, 31 * 24},
		{"2026-06-30T20:00:00Z", true, 1, 1, 31 * 24},
	} {
		s, err := Evaluate(Request{
			Objective: Objective{Name: "o", Target: 0.9, Window: window, Method: Timeslices, TimeSliceTarget: 1, MinCoverage: 0.9, Alerts: []AlertWindow{}},
			Grid:      EpochGrid(time.Hour), At: at(t, c.at), Since: all[0].Start,
		}, all)
		if err != nil {
			t.Fatal(err)
		}
		if s.Partial != c.partial || s.ExpectedSlices != c.expected || s.MeasuredSlices != c.expected || *s.GoodSlices != c.good || int64(s.Period.Length().Hours()) != c.length {
			t.Errorf("at %s: partial %v, %d expected, %d measured, %d good in %s; want %+v", c.at, s.Partial, s.ExpectedSlices, s.MeasuredSlices, *s.GoodSlices, s.Period, c)
		}
	}
}
