package slo

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"
)

// CompositeKind says how the slices of a composite objective follow from those of its children.
type CompositeKind string

// The kinds.
const (
	// Weighted: a slice is sum of w x good/total / sum of w over the children with valid events; a gap of any child
	// makes a gap. Budgeted as RatioTimeslices.
	Weighted CompositeKind = "weighted"
	// AnyDown: a slice is bad if any measured child is below its time slice target, else a gap if any child has a gap,
	// else good. Budgeted as Timeslices.
	AnyDown CompositeKind = "any_down"
)

func (k CompositeKind) method() BudgetingMethod {
	if k == Weighted {
		return RatioTimeslices
	}
	return Timeslices
}

// Composite is an objective over the slices of other indicators, slice by slice.
type Composite struct {
	Kind CompositeKind
	Of   []Child
}

// Child is one indicator of a composite.
type Child struct {
	Name            string
	Weight          float64 // above 0; for Weighted
	TimeSliceTarget float64 // in (0, 1]; for AnyDown
}

// GoodFrom is the least quotient good/total, in double precision, of a slice that has reached TimeSliceTarget.
func (c Child) GoodFrom() float64 { return goodFrom(c.TimeSliceTarget) }

func (c Composite) check() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Kind != Weighted && c.Kind != AnyDown {
		add("unknown composite kind %q: must be weighted or any_down", c.Kind)
	}
	if len(c.Of) == 0 {
		add("composite of nothing: list its children under of")
	}
	seen := map[string]bool{}
	for _, child := range c.Of {
		switch {
		case child.Name == "":
			add("composite child without a name")
		case seen[child.Name]:
			add("composite child %s is given twice", child.Name)
		}
		seen[child.Name] = true
		if !(child.Weight > 0) || child.Weight > 1e12 {
			add("composite child %s: weight %v must be above 0", child.Name, child.Weight)
		}
		if !(child.TimeSliceTarget > 0 && child.TimeSliceTarget <= 1) {
			add("composite child %s: time_slice_target %v is outside (0, 1]", child.Name, child.TimeSliceTarget)
		}
	}
	return joinFaults(faults)
}

// Slices computes the composite's slices from those of its children, by name; what is in no child is in no slice. A
// slice has Total 1 and Good 0..1, or is 0 of 0 when every child is.
func (c Composite) Slices(grid Grid, children map[string][]Slice) ([]Slice, error) {
	if err := grid.check(); err != nil {
		return nil, err
	}
	var faults []error
	left := make([][]Slice, len(c.Of)) // of each child, in order
	longest := 0
	for i, child := range c.Of {
		series, err := NewSeries(grid, children[child.Name])
		if err != nil {
			faults = append(faults, fmt.Errorf("composite child %s: %w", child.Name, err))
		}
		left[i] = series.slices
		longest = max(longest, len(left[i]))
	}
	for name := range maps.Keys(children) {
		if !slices.ContainsFunc(c.Of, func(child Child) bool { return child.Name == name }) {
			faults = append(faults, fmt.Errorf("series %s is no child of the composite", name))
		}
	}
	if len(faults) > 0 {
		sort.Slice(faults, func(a, b int) bool { return faults[a].Error() < faults[b].Error() })
		return nil, joinFaults(faults)
	}
	out := make([]Slice, 0, longest)
	of := make([]Slice, len(c.Of))
	for {
		start, ok := earliestStart(left)
		if !ok {
			return out, nil
		}
		for i, rest := range left {
			of[i] = Slice{}
			if len(rest) > 0 && rest[0].Start.Equal(start) {
				of[i], left[i] = rest[0], rest[1:]
			}
		}
		out = append(out, c.slice(grid.start(grid.floor(start)), of))
	}
}

// earliestStart is the earliest of the first slices; false when there is none.
func earliestStart(left [][]Slice) (start time.Time, ok bool) {
	for _, rest := range left {
		if len(rest) > 0 && (!ok || rest[0].Start.Before(start)) {
			start, ok = rest[0].Start, true
		}
	}
	return start, ok
}

// slice combines the children's slices of one step, in the order of c.Of; a zero Slice is a gap.
func (c Composite) slice(start time.Time, of []Slice) Slice {
	gap, bad := false, false
	var up, weights float64
	for i, s := range of {
		switch {
		case s.State != Measured:
			gap = true
		case s.Total > 0:
			ratio := s.Good / s.Total
			up += c.Of[i].Weight * ratio
			weights += c.Of[i].Weight
			bad = bad || ratio < c.Of[i].GoodFrom()
		}
	}
	out := Slice{Start: start, State: Measured}
	switch {
	case c.Kind == AnyDown && bad:
		out.Total = 1
	case gap:
		out.State = Gap
	case weights == 0:
	case c.Kind == AnyDown:
		out.Good, out.Total = 1, 1
	default:
		out.Good, out.Total = min(1, up/weights), 1
	}
	return out
}
