package slo

import (
	"testing"
	"time"
)

// BenchmarkStatus is what one objective costs besides its database query: cutting the plan and computing all figures
// from sums.
func BenchmarkStatus(b *testing.B) {
	req := Request{
		Objective: Objective{Name: "o", Target: 0.999, Window: RollingWindow(28 * day), Method: Timeslices, TimeSliceTarget: 1, MinCoverage: 0.9},
		Grid:      EpochGrid(time.Minute), At: march,
	}
	for b.Loop() {
		p, err := NewPlan(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Evaluate(make([]Sums, len(p.Segments()))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSlices is a month of minutes from raw slices.
func BenchmarkSlices(b *testing.B) {
	req := Request{
		Objective: Objective{Name: "o", Target: 0.999, Window: RollingWindow(28 * day), Method: Timeslices, TimeSliceTarget: 1, MinCoverage: 0.9},
		Grid:      EpochGrid(time.Minute), At: march,
	}
	in := slicesOf(march.Add(-28*day), time.Minute, repeat(28*24*60, 99, 100)...)
	for b.Loop() {
		if _, err := Evaluate(req, in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkComposite is a month of minutes of five children, from their slices.
func BenchmarkComposite(b *testing.B) {
	c := &Composite{Kind: Weighted}
	children := map[string][]Slice{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		c.Of = append(c.Of, Child{Name: name, Weight: 1, TimeSliceTarget: 1})
		children[name] = slicesOf(march.Add(-28*day), time.Minute, repeat(28*24*60, 99, 100)...)
	}
	req := Request{
		Objective: Objective{Name: "o", Target: 0.999, Window: RollingWindow(28 * day), MinCoverage: 0.9, Composite: c},
		Grid:      EpochGrid(time.Minute), At: march,
	}
	for b.Loop() {
		combined, err := c.Slices(req.Grid, children)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Evaluate(req, combined); err != nil {
			b.Fatal(err)
		}
	}
}
