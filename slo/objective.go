package slo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// BudgetingMethod says what the error budget is made of; the names are OpenSLO's.
type BudgetingMethod string

// The budgeting methods.
const (
	// Occurrences: SLI = sum of good / sum of total.
	Occurrences BudgetingMethod = "occurrences"
	// Timeslices: SLI = good slices / slices with events; a slice is good when good/total >= the time slice target.
	Timeslices BudgetingMethod = "timeslices"
	// RatioTimeslices: SLI = mean of good/total over the slices with events.
	RatioTimeslices BudgetingMethod = "ratio_timeslices"
)

// MissingPolicy says what a slice without data counts as. Coverage falls whatever it says.
type MissingPolicy string

// The policies. Good and bad are for the slice methods only: a missing slice counts as one whole slice.
const (
	MissingGap  MissingPolicy = "gap"
	MissingGood MissingPolicy = "good"
	MissingBad  MissingPolicy = "bad"
)

// Defaults of a definition that leaves them out; [Objective] itself has no defaults but the alerts.
const (
	DefaultTimeSliceTarget = 1.0
	DefaultMinCoverage     = 0.9
)

// Objective is one service level objective.
type Objective struct {
	Name string
	// Target is a ratio inside (0, 1), such as 0.999.
	Target float64
	Window Window
	// Method is empty for composites, whose kind decides it.
	Method BudgetingMethod
	// TimeSliceTarget in (0, 1] is the ratio from which a slice is good, for Timeslices; else unused.
	TimeSliceTarget float64
	// Missing is gap when empty.
	Missing MissingPolicy
	// MinCoverage in [0, 1] is the coverage below which a figure is marked and an alert freezes.
	MinCoverage float64
	// MinEvents is the number of valid events that the long window must have before an alert fires; 0 for any.
	MinEvents float64
	// Alerts: nil stands for the default pairs scaled to the window, an empty slice for none.
	Alerts []AlertWindow
	// Composite is set when the slices are computed from those of other indicators, see [Composite.Slices].
	Composite *Composite
}

// countsMissing says whether a missing slice counts, as good or as bad.
func (o Objective) countsMissing() bool { return o.Missing == MissingGood || o.Missing == MissingBad }

// method is the budgeting method, the kind's for composites.
func (o Objective) method() BudgetingMethod {
	if o.Composite != nil {
		return o.Composite.Kind.method()
	}
	return o.Method
}

// SliceTarget is the ratio from which a slice of the objective is good; for composites, whose slices are computed, 1.
func (o Objective) SliceTarget() float64 {
	if o.Composite != nil || o.TimeSliceTarget == 0 {
		return DefaultTimeSliceTarget
	}
	return o.TimeSliceTarget
}

// GoodFrom is the least quotient good/total, in double precision, of a slice that has reached [Objective.SliceTarget].
func (o Objective) GoodFrom() float64 { return goodFrom(o.SliceTarget()) }

// goodFrom is a hair below target, so that 0.37/3.7, which is 0.09999999999999999 in doubles, reaches 0.1. Of 1 nothing is
// taken: equal counts divide to 1 exactly.
func goodFrom(target float64) float64 {
	const hair = 1e-12 // above what reading and dividing two numbers can lose, below what one of 10^12 events changes
	if target >= 1 {
		return target
	}
	return target * (1 - hair)
}

// Budget is 1 - Target as decimals, to 15 places: the budget of 0.9 is 0.1, not the 0.09999999999999998 of doubles.
func (o Objective) Budget() float64 {
	const places = 1e15
	if budget := math.Round((1-o.Target)*places) / places; budget > 0 {
		return budget
	}
	return 1 - o.Target
}

// MaxBurnRate is 1 / (1 - Target): the burn rate while every event fails.
func (o Objective) MaxBurnRate() float64 { return 1 / o.Budget() }

// Validate refuses definitions that cannot be evaluated, all faults at once.
func (o Objective) Validate() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if !(o.Target > 0 && o.Target < 1) {
		add("target %v is outside (0, 1): it must be a ratio between 0 and 1, both excluded, such as 0.999 for 99.9%%", o.Target)
	}
	if err := o.Window.check(); err != nil {
		faults = append(faults, err)
	}
	if o.Composite != nil {
		if o.Method != "" {
			add("method %s: a composite has none, its kind decides", o.Method)
		}
		if err := o.Composite.check(); err != nil {
			faults = append(faults, err)
		}
		if o.MinEvents != 0 {
			add("min_events %v: a composite has no event counts", o.MinEvents)
		}
	} else if o.Method != Occurrences && o.Method != Timeslices && o.Method != RatioTimeslices {
		add("unknown method %q: must be occurrences, timeslices or ratio_timeslices", o.Method)
	}
	if o.Composite == nil && !(o.TimeSliceTarget > 0 && o.TimeSliceTarget <= 1) && (o.Method == Timeslices || o.TimeSliceTarget != 0) {
		add("time_slice_target %v is outside (0, 1]", o.TimeSliceTarget)
	}
	if !slices.Contains([]MissingPolicy{"", MissingGap, MissingGood, MissingBad}, o.Missing) {
		add("unknown missing policy %q: must be gap, good or bad", o.Missing)
	}
	if o.method() == Occurrences && o.countsMissing() {
		add("missing %s cannot be used with occurrences: a missing slice has no number of events; use gap, or a slice method", o.Missing)
	}
	if !(o.MinCoverage >= 0 && o.MinCoverage <= 1) {
		add("min_coverage %v is outside [0, 1]", o.MinCoverage)
	}
	if !(o.MinEvents >= 0) || math.IsInf(o.MinEvents, 0) {
		add("min_events %v must be 0 or more", o.MinEvents)
	}
	if len(faults) == 0 {
		for _, a := range o.Alerts {
			if err := o.checkAlert(a, o.Window.longest()); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return joinFaults(faults)
}

// Lookback is how much history the objective can need: the longest of its window and its alerts' long windows.
func (o Objective) Lookback() time.Duration {
	longest := o.Window.longest()
	for _, a := range o.Alerts {
		longest = max(longest, a.Long)
	}
	return longest
}

// joinFaults makes one error of several, on one line.
func joinFaults(faults []error) error {
	if len(faults) < 2 {
		return errors.Join(faults...)
	}
	return Faults(faults)
}

// Faults is several refusals at once, separated by semicolons.
type Faults []error

// Error joins the faults' texts.
func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the single faults to errors.Is and errors.As.
func (f Faults) Unwrap() []error { return f }
