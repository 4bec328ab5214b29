package slo

import "math"

// oddsInterval bounds the ratio of rates at 95 %, exactly, given the totals: a0 and a1 are counts over equal lengths
// before and after, c0 and c1 those of a control, 0 and 0 without one. Given its totals the count after follows
// Fisher's noncentral hypergeometric distribution (without control the binomial one); each bound is the ratio at which
// what was seen, or more, has a chance of 2.5 %. A nil high is unbounded.
func oddsInterval(a0, a1, c0, c1 int) (low float64, high *float64) {
	d := conditional(a0, a1, c0, c1)
	if a1 > d.lo {
		low = solve(func(logRatio float64) float64 { return d.atLeast(a1, logRatio) - 0.025 })
	}
	if a1 < d.hi {
		high = new(solve(func(logRatio float64) float64 { return 0.025 - d.atMost(a1, logRatio) }))
	}
	return low, high
}

// distribution of the count after: weights are logarithms of the number of ways to get lo, lo+1, … hi.
type distribution struct {
	lo, hi  int
	weights []float64
}

func conditional(a0, a1, c0, c1 int) distribution {
	n, control, late := a0+a1, c0+c1, a1+c1
	d := distribution{lo: 0, hi: n}
	if control > 0 {
		d.lo, d.hi = max(0, late-control), min(n, late)
	}
	for k := d.lo; k <= d.hi; k++ {
		w := logChoose(n, k)
		if control > 0 {
			w += logChoose(control, late-k)
		}
		d.weights = append(d.weights, w)
	}
	return d
}

func logChoose(n, k int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return lg(n) - lg(k) - lg(n-k)
}

// atLeast is the chance of k or more when the ratio is e^logRatio.
func (d distribution) atLeast(k int, logRatio float64) float64 {
	return d.chance(logRatio, func(i int) bool { return i >= k })
}

func (d distribution) atMost(k int, logRatio float64) float64 {
	return d.chance(logRatio, func(i int) bool { return i <= k })
}

func (d distribution) chance(logRatio float64, counts func(int) bool) float64 {
	top := math.Inf(-1)
	for i, w := range d.weights {
		top = max(top, w+float64(d.lo+i)*logRatio)
	}
	var in, all float64
	for i, w := range d.weights {
		p := math.Exp(w + float64(d.lo+i)*logRatio - top)
		all += p
		if counts(d.lo + i) {
			in += p
		}
	}
	return in / all
}

// solve finds where an increasing function of the logarithm of a ratio is 0, and returns the ratio.
func solve(f func(float64) float64) float64 {
	lo, hi := -50.0, 50.0
	for range 200 {
		mid := (lo + hi) / 2
		if f(mid) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return math.Exp((lo + hi) / 2)
}
