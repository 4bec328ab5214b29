package slo

import (
	"fmt"
	"math"
	"time"
)

// Sums is what was measured in a segment of time: a plain sum over slices, so sums of disjoint segments add up.
//
// A database fills it over the newest version of each measured slice (state = measured) of the indicator with
// from <= slice_start < to, in double precision:
//
//	Measured    = count()
//	Valid       = countIf(total > 0)
//	GoodSlices  = countIf(total > 0 AND good / total >= goodFrom), see [Objective.GoodFrom]
//	Good        = sum(good)
//	Total       = sum(total)
//	BadFraction = sumIf((total - good) / total, total > 0)
//
// GoodSlices compares the quotient, not good with target*total: only so do both sides round alike.
type Sums struct {
	Measured    int64   `json:"measured"`
	Valid       int64   `json:"valid"`
	GoodSlices  int64   `json:"good_slices"`
	Good        float64 `json:"good"`
	Total       float64 `json:"total"`
	BadFraction float64 `json:"bad_fraction"`
}

// Add merges the sums of two disjoint segments.
func (s Sums) Add(o Sums) Sums {
	return Sums{
		Measured: s.Measured + o.Measured, Valid: s.Valid + o.Valid, GoodSlices: s.GoodSlices + o.GoodSlices,
		Good: s.Good + o.Good, Total: s.Total + o.Total, BadFraction: s.BadFraction + o.BadFraction,
	}
}

// check refuses sums that no slices can have, before they become a plausible number.
func (s Sums) check(slices int64) error {
	const slack = 1e-9
	finite := !math.IsNaN(s.Good+s.Total+s.BadFraction) && !math.IsInf(s.Good+s.Total+s.BadFraction, 0)
	switch {
	case s.Measured < 0 || s.Measured > slices:
		return fmt.Errorf("%d measured slices in a segment of %d: slices of another length are stored under the same revision; measure those under another",
			s.Measured, slices)
	case s.Valid < 0 || s.Valid > s.Measured:
		return fmt.Errorf("%d slices with events among %d measured", s.Valid, s.Measured)
	case s.GoodSlices < 0 || s.GoodSlices > s.Valid:
		return fmt.Errorf("%d good slices among %d with events", s.GoodSlices, s.Valid)
	case !finite:
		return fmt.Errorf("sums good %v, total %v, bad fraction %v are not finite", s.Good, s.Total, s.BadFraction)
	case s.Good < 0 || s.Good > s.Total*(1+slack):
		return fmt.Errorf("good %v > total %v or negative", s.Good, s.Total)
	case s.BadFraction < 0 || s.BadFraction > float64(s.Valid)*(1+slack):
		return fmt.Errorf("bad fraction %v of %d slices", s.BadFraction, s.Valid)
	}
	return nil
}

// Tally is an interval's sums together with what was expected of it. Tallies of disjoint intervals, and of the groups
// of one objective, add up.
type Tally struct {
	Sums           // over measured slices that are not excluded
	Slices   int64 `json:"slices"`   // slices that start in the interval
	Excluded int64 `json:"excluded"` // of them excluded, measured or not
	Missing  int64 `json:"missing"`  // of the others those without data that [MissingPolicy] speaks about
}

// Add merges two tallies.
func (t Tally) Add(o Tally) Tally {
	return Tally{Sums: t.Sums.Add(o.Sums), Slices: t.Slices + o.Slices, Excluded: t.Excluded + o.Excluded, Missing: t.Missing + o.Missing}
}

// Expected is the slices that should have been measured.
func (t Tally) Expected() int64 { return t.Slices - t.Excluded }

// Coverage is measured / expected slices, nil when none was expected.
func (t Tally) Coverage() *float64 {
	if t.Expected() == 0 {
		return nil
	}
	return new(float64(t.Measured) / float64(t.Expected()))
}

// Figures are the numbers of one interval. Ratios are 0..1, except for the budget: Consumed is >= 0 and Remaining
// <= 1, neither clamped. nil means undefined.
type Figures struct {
	SLI        *float64 `json:"sli"`
	ErrorRatio *float64 `json:"error_ratio"`
	Coverage   *float64 `json:"coverage"`
	Consumed   *float64 `json:"budget_consumed"`
	Remaining  *float64 `json:"budget_remaining"`
	// Good and Total are event sums of the measured slices that are not excluded; nil for composites.
	Good  *float64 `json:"good"`
	Total *float64 `json:"total"`
	// GoodSlices and BadSlices are nil unless budgeted as time slices.
	GoodSlices *int64 `json:"good_slices"`
	BadSlices  *int64 `json:"bad_slices"`

	// Uptime is 1 - bad minutes / minutes of the slices that count with an event; nil without any. It weighs every
	// minute alike, also where the SLI weighs by events.
	Uptime *float64 `json:"uptime"`

	MeasuredSlices int64   `json:"measured_slices"`
	ExcludedSlices int64   `json:"excluded_slices"`
	ExpectedSlices int64   `json:"expected_slices"`
	BadMinutes     float64 `json:"bad_minutes"`
}

// amounts are the numerator and denominator of the error ratio.
type amounts struct {
	bad, valid float64
	counted    bool // at least one slice counts, if only as 0 of 0
}

// amounts is where the budgeting methods differ.
func (o Objective) amounts(t Tally) amounts {
	if o.method() == Occurrences {
		return amounts{bad: t.Total - t.Good, valid: t.Total, counted: t.Measured > 0}
	}
	a := amounts{counted: t.Measured > 0}
	a.bad, a.valid = o.badSlices(t)
	a.counted = a.counted || a.valid > 0
	return a
}

// Bad is what the budgeting method charges of a tally: events, slices, or parts of slices. Those of disjoint intervals add up.
func (o Objective) Bad(t Tally) float64 { return o.amounts(t).bad }

// errorRatio is nil without a valid event. Rounding of sums must not push it out of [0, 1].
func (a amounts) errorRatio() *float64 {
	if a.valid == 0 {
		return nil
	}
	return new(min(1, max(0, a.bad/a.valid)))
}

// badSlices is bad slices for time slices, the sum of 1 - good/total otherwise, and the slices that it is out of.
func (o Objective) badSlices(t Tally) (bad, of float64) {
	bad, of = t.BadFraction, float64(t.Valid)
	if o.method() == Timeslices {
		bad = float64(t.Valid - t.GoodSlices)
	}
	switch o.Missing {
	case MissingBad:
		return bad + float64(t.Missing), of + float64(t.Missing)
	case MissingGood:
		return bad, of + float64(t.Missing)
	}
	return bad, of
}

func (o Objective) badMinutes(t Tally, step time.Duration) float64 {
	bad, _ := o.badSlices(t)
	return bad * step.Minutes()
}

// Figures computes the numbers of an interval from its tally. toCome is the number of slices, not excluded, that the
// interval's period still has after it: 0 for rolling windows and complete calendar periods.
//
// Consumed is errorRatio / (1 - target); for slice methods in a period under way it is
// bad / ((1 - target) x (counted + toCome)), so that a bad slice costs the same on the first day as on the last.
func (o Objective) Figures(t Tally, step time.Duration, toCome int64) Figures {
	a := o.amounts(t)
	f := Figures{
		ErrorRatio: a.errorRatio(), Coverage: t.Coverage(),
		MeasuredSlices: t.Measured, ExcludedSlices: t.Excluded, ExpectedSlices: t.Expected(),
		BadMinutes: o.badMinutes(t, step),
	}
	if bad, of := o.badSlices(t); of > 0 {
		f.Uptime = new(min(1, max(0, 1-bad/of)))
	}
	if o.Composite == nil {
		f.Good, f.Total = new(t.Good), new(t.Total)
	}
	if o.method() == Timeslices {
		f.GoodSlices, f.BadSlices = new(int64(a.valid-a.bad)), new(int64(a.bad))
	}
	switch {
	case !a.counted:
		return f
	case f.ErrorRatio == nil:
		f.Consumed = new(0.0)
	case o.method() == Occurrences:
		f.Consumed = new(*f.ErrorRatio / o.Budget())
	default:
		f.Consumed = new(a.bad / (o.Budget() * (a.valid + float64(toCome))))
	}
	if f.ErrorRatio != nil {
		f.SLI = new(1 - *f.ErrorRatio)
	}
	f.Remaining = new(1 - *f.Consumed)
	return f
}

// BurnRate is the error ratio of an interval / (1 - target): 1 spends the budget exactly over the window, and the most
// that there can be is 1 / (1 - target). nil without a valid event.
func (o Objective) BurnRate(t Tally) *float64 {
	e := o.amounts(t).errorRatio()
	if e == nil {
		return nil
	}
	return new(*e / o.Budget())
}
