package slo

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// State says whether a slice was measured. Exclusions are no state: they are applied when a status is computed.
type State string

// A measured slice with total 0 is covered: it saw no valid event. A gap saw nothing; a failed query is a gap.
const (
	Measured State = "measured"
	Gap      State = "gap"
)

// Slice is what one indicator measured in one step of its grid. Good and Total are counts of events (or seconds, or
// any other amount), finite, 0 <= Good <= Total; both are 0 in a gap. A missing Slice is a gap.
type Slice struct {
	Start time.Time `json:"start"`
	Good  float64   `json:"good"`
	Total float64   `json:"total"`
	State State     `json:"state"`
}

// check says what is wrong with a slice; most have nothing, and many are asked.
func (s Slice) check() error {
	if (s.State == Measured || s.State == Gap) && s.Good >= 0 && s.Good <= s.Total && s.Total <= math.MaxFloat64 {
		return nil
	}
	at := s.Start.UTC().Format(time.RFC3339)
	for name, v := range map[string]float64{"good": s.Good, "total": s.Total} {
		switch {
		case math.IsNaN(v):
			return fmt.Errorf("slice %s: %s is NaN: a count must be a finite number", at, name)
		case math.IsInf(v, 0):
			return fmt.Errorf("slice %s: %s is infinite: a count must be a finite number", at, name)
		case v < 0:
			return fmt.Errorf("slice %s: %s %v is negative: a count must be 0 or more", at, name, v)
		}
	}
	switch {
	case s.State != Measured && s.State != Gap:
		return fmt.Errorf("slice %s: unknown state %q: must be measured or gap", at, s.State)
	case s.Good > s.Total:
		return fmt.Errorf("slice %s: good > total: good %v exceeds total %v", at, s.Good, s.Total)
	}
	return nil
}

// Series is the checked slices of one indicator on one grid, in order, each start once.
type Series struct {
	grid   Grid
	slices []Slice
}

// NewSeries checks and orders slices: the order does not matter, and of several slices with one start the last given
// counts; slices that are in order are kept as they are, and must not be changed. It refuses, all faults at once (up to ten), slices off the grid, negative, NaN or infinite counts, and
// good > total.
func NewSeries(grid Grid, in []Slice) (Series, error) {
	if err := grid.check(); err != nil {
		return Series{}, err
	}
	var faults []error
	for _, s := range in {
		err := s.check()
		if err == nil {
			err = grid.checkStart(s.Start)
		}
		if err != nil && len(faults) < 10 {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return Series{}, joinFaults(faults)
	}
	if inOrder(in) {
		return Series{grid: grid, slices: in}, nil
	}
	out := slices.Clone(in)
	sort.SliceStable(out, func(a, b int) bool { return out[a].Start.Before(out[b].Start) })
	kept := out[:0]
	for i, s := range out {
		if i+1 == len(out) || !out[i+1].Start.Equal(s.Start) {
			kept = append(kept, s)
		}
	}
	return Series{grid: grid, slices: kept}, nil
}

// inOrder says whether each slice starts after the one before it.
func inOrder(in []Slice) bool {
	for i := 1; i < len(in); i++ {
		if !in[i-1].Start.Before(in[i].Start) {
			return false
		}
	}
	return true
}

// Within returns the slices that start in i, gaps that are not stored left out.
func (s Series) Within(i Interval) []Slice {
	lo := sort.Search(len(s.slices), func(k int) bool { return !s.slices[k].Start.Before(i.From) })
	hi := sort.Search(len(s.slices), func(k int) bool { return !s.slices[k].Start.Before(i.To) })
	return s.slices[lo:max(lo, hi)]
}

// Sums adds up the measured slices that start in i; a slice is good from the quotient goodFrom, see [Objective.GoodFrom].
func (s Series) Sums(i Interval, goodFrom float64) Sums {
	var sum Sums
	for _, sl := range s.Within(i) {
		sum = sum.Add(sl.sums(goodFrom))
	}
	return sum
}

func (s Slice) sums(goodFrom float64) Sums {
	if s.State != Measured {
		return Sums{}
	}
	sum := Sums{Measured: 1, Good: s.Good, Total: s.Total}
	if s.Total > 0 {
		sum.Valid = 1
		sum.BadFraction = (s.Total - s.Good) / s.Total
		if s.Good/s.Total >= goodFrom {
			sum.GoodSlices = 1
		}
	}
	return sum
}
