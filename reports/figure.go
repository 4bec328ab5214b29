package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/kubevalue/kubevalue/journey"
)

// margin is the relative change from which a figure without an interval counts as moved.
const margin = 0.1

// figure evaluates a metric over the weeks; place has the map's expectation and target.
func (b *builder) figure(id string, place journey.CellMetric, owner string) (Figure, []journey.Value) {
	m, ok := b.src.Metrics(id)
	if !ok {
		b.Quality.Failed++
		return Figure{Metric: id, Title: id, Missing: "the catalogue has no such metric", Owner: owner, Trend: journey.TrendUnknown, State: journey.StateNoData}, nil
	}
	fig := Figure{
		Metric: m.ID, Title: m.Title, Question: m.Question, Unit: m.Unit, Expect: place.Expect, Target: place.Target, Owner: owner,
		Trend: journey.TrendUnknown, State: journey.StateNoData,
	}
	if fig.Expect == "" {
		fig.Expect = m.Direction
	}
	values, err := b.src.Evaluate(b.ctx, journey.Request{Metric: id, Periods: b.weeks})
	if err != nil || len(values) != len(b.weeks) {
		b.Quality.Failed++
		fig.Missing = "could not be computed"
		return fig, nil
	}
	for i := range values {
		values[i] = b.suppress(m, values[i])
	}
	fig.fill(values, m.MinSample)
	if values[len(values)-1].Withheld != "" {
		b.Quality.Withheld++
	}
	if b.o.Audience == Consumers {
		fig.Parts = b.parts(m)
	}
	return fig, values
}

// suppress withholds what is about too few people, whether or not the evaluator did, and drops the value of a period in which
// nothing was measured: that is no zero.
func (b *builder) suppress(m journey.Metric, v journey.Value) journey.Value {
	if m.SmallGroup == journey.SmallGroupWithhold && v.Withheld == "" && v.Value != nil && v.N > 0 && v.N < b.o.MinGroup {
		v.Value, v.Numerator, v.Low, v.High = nil, nil, nil, nil
		v.Withheld = "small group"
	}
	if v.Coverage != nil && *v.Coverage == 0 {
		v.Value, v.Numerator, v.Low, v.High = nil, nil, nil, nil
	}
	if v.Withheld != "" {
		v.N = 0
	}
	return v
}

// fill judges the last of the values, oldest first, against the one before it and the target.
func (f *Figure) fill(values []journey.Value, minSample int) {
	v, prior := values[len(values)-1], values[len(values)-2]
	f.Value, f.N, f.Low, f.High, f.Coverage = v.Value, v.N, v.Low, v.High, v.Coverage
	f.Numerator, f.Denominator, f.PriorDenominator, f.Prior = v.Numerator, v.Denominator, prior.Denominator, prior.Value
	f.Missing = missing(v)
	f.State = state(f.Value, f.Target, f.Expect)
	for i := len(values) - 1; i >= 0 && wholly(values[i]) && state(values[i].Value, f.Target, f.Expect) == journey.StateMissed; i-- {
		f.Missed++
	}
	if f.Value == nil || f.Prior == nil {
		return
	}
	f.Change = new(*f.Value - *f.Prior)
	if f.Doubt = doubt(v, prior, minSample); f.Doubt != "" {
		return
	}
	f.Notable = f.moved()
	f.Trend = trend(*f.Change, *f.Prior, f.Expect)
}

// wholly says that a value speaks for its whole period: that is over, and its sources reported in nearly all of it.
func wholly(v journey.Value) bool {
	return !v.Partial && (v.Coverage == nil || *v.Coverage >= MinCoverage)
}

func missing(v journey.Value) string {
	switch {
	case v.Value != nil:
		return ""
	case v.Withheld != "":
		return "withheld: " + v.Withheld
	case v.Coverage != nil && *v.Coverage == 0:
		return "not measured"
	}
	return "no data"
}

// doubt says why two values cannot be compared.
func doubt(v, prior journey.Value, minSample int) string {
	switch {
	case min(v.N, prior.N) < minSample:
		return fmt.Sprintf("a sample below %d", minSample)
	case v.Version != prior.Version:
		return "the definition changed"
	case v.Partial:
		return "the week is not over"
	case v.Coverage != nil && *v.Coverage < MinCoverage:
		return "only " + Ratio(*v.Coverage) + " of this week was measured"
	case prior.Coverage != nil && *prior.Coverage < MinCoverage:
		return "only " + Ratio(*prior.Coverage) + " of the week before was measured"
	}
	return ""
}

// moved says whether the change is beyond the margin.
func (f *Figure) moved() bool {
	if *f.Change == 0 {
		return false
	}
	if f.Low != nil && f.High != nil {
		return *f.Prior < *f.Low || *f.Prior > *f.High
	}
	if f.counts() && math.Abs(*f.Change) < chance*math.Sqrt(*f.Value+*f.Prior) {
		return false
	}
	return math.Abs(*f.Change) >= margin*math.Abs(*f.Prior)
}

// chance is how many standard deviations two counts of the same rate differ by in one of twenty cases; that of their difference is
// the root of their sum, as of Poisson variables.
const chance = 1.96

// counts says whether a figure is a count of things rather than a mean or a share of them.
func (f *Figure) counts() bool {
	return f.Denominator == nil && float64(f.N) == *f.Value && *f.Prior >= 0
}

// trend judges a change by the expected direction.
func trend(change, prior float64, expect journey.Direction) journey.Trend {
	if math.Abs(change) <= 1e-9*math.Abs(prior) {
		return journey.TrendSame
	}
	switch {
	case expect == journey.DirectionUp && change > 0, expect == journey.DirectionDown && change < 0:
		return journey.TrendBetter
	case expect == journey.DirectionUp, expect == journey.DirectionDown:
		return journey.TrendWorse
	}
	return journey.TrendUnknown
}

// state compares a value with its target.
func state(v, target *float64, expect journey.Direction) journey.State {
	switch {
	case v == nil:
		return journey.StateNoData
	case target == nil, expect != journey.DirectionUp && expect != journey.DirectionDown:
		return journey.StateUnrated
	case expect == journey.DirectionUp && *v >= *target, expect == journey.DirectionDown && *v <= *target:
		return journey.StateMet
	}
	return journey.StateMissed
}

// maxParts is how many clusters a figure is split into; the rest is on the pages.
const maxParts = 5

// parts splits a figure by cluster, where it can be, the worst first.
func (b *builder) parts(m journey.Metric) []Part {
	if !hasDimension(m, "cluster") {
		return nil
	}
	values, err := b.src.Evaluate(b.ctx, journey.Request{Metric: m.ID, Periods: b.weeks[len(b.weeks)-1:], By: "cluster"})
	if err != nil {
		b.Quality.Failed++
		return nil
	}
	var parts []Part
	for _, v := range values {
		v = b.suppress(m, v)
		if v.Value == nil && v.Withheld == "" {
			continue
		}
		parts = append(parts, Part{Name: v.Dimensions["cluster"], Value: v.Value, Missing: missing(v), N: v.N})
	}
	sortParts(parts, m.Direction)
	return parts[:min(len(parts), maxParts)]
}

func hasDimension(m journey.Metric, name string) bool {
	return slices.Contains(m.Dimensions, name)
}

// sortParts puts the worst first, what is withheld last; equal ones by name.
func sortParts(parts []Part, good journey.Direction) {
	slices.SortFunc(parts, func(a, b Part) int {
		switch {
		case a.Value == nil || b.Value == nil:
			return cmp.Or(boolOrder(a.Value == nil, b.Value == nil), cmp.Compare(a.Name, b.Name))
		case good == journey.DirectionUp:
			return cmp.Or(cmp.Compare(*a.Value, *b.Value), cmp.Compare(a.Name, b.Name))
		}
		return cmp.Or(cmp.Compare(*b.Value, *a.Value), cmp.Compare(a.Name, b.Name))
	})
}

// boolOrder sorts false before true.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
