// Package interval holds the confidence intervals of the metric catalogue, each formula once. All of them are 95%
// intervals unless a function says otherwise. Undefined is (nil, nil) by way of ok = false, never a number.
package interval

import "math"

// z95 is the 97.5% quantile of the standard normal distribution.
const z95 = 1.959963984540054

// Wilson is the score interval of a proportion of k successes among n trials, without continuity correction and
// without finite population correction. It is undefined for n = 0 or k outside [0, n].
//
// Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; recommended for small n by Brown, Cai and DasGupta (2001), Stat.
// Science 16, 101-133.
func Wilson(k, n float64) (low, high float64, ok bool) {
	if !(n > 0) || k < 0 || k > n {
		return 0, 0, false
	}
	p, zz := k/n, z95*z95
	centre := (p + zz/(2*n)) / (1 + zz/n)
	half := z95 / (1 + zz/n) * math.Sqrt(p*(1-p)/n+zz/(4*n*n))
	// The bounds at the ends are exact; rounding must not push them past.
	low, high = math.Max(0, centre-half), math.Min(1, centre+half)
	if k == 0 {
		low = 0
	}
	if k == n {
		high = 1
	}
	return low, high, true
}

// WilsonFinite is Wilson for a sample of n drawn without replacement from a finite population, such as the answers to a
// survey of a known number of people: the variance is that of the larger sample n (N-1)/(N-n), which is the finite
// population correction sqrt((N-n)/(N-1)) on the standard error. When everybody was asked and answered, the interval
// is the proportion itself. It is undefined when n > population.
func WilsonFinite(k, n, population float64) (low, high float64, ok bool) {
	switch {
	case !(n > 0) || k < 0 || k > n || n > population:
		return 0, 0, false
	case n == population:
		return k / n, k / n, true
	}
	scale := (population - 1) / (population - n)
	return Wilson(k*scale, n*scale)
}

// AdjustedWald is the interval of a proportion by adding z²/2 successes and z²/2 failures, cut to [0, 1].
// It is undefined for n = 0 or k outside [0, n].
//
// Agresti and Coull (1998), The American Statistician 52, 119-126.
func AdjustedWald(k, n float64) (low, high float64, ok bool) {
	if !(n > 0) || k < 0 || k > n {
		return 0, 0, false
	}
	zz := z95 * z95
	m := n + zz
	p := (k + zz/2) / m
	half := z95 * math.Sqrt(p*(1-p)/m)
	return math.Max(0, p-half), math.Min(1, p+half), true
}

// NetPromoter is the net promoter score (promoters - detractors) / n as a share -1..1 with its adjusted-Wald interval:
// three answers are added, three quarters of one to the promoters, as many to the detractors and the rest to the
// passives. It is undefined for n = 0.
//
// Rocks (2016), "Interval estimation for the Net Promoter Score", The American Statistician 70, 365-372.
func NetPromoter(promoters, detractors, n float64) (score, low, high float64, ok bool) {
	if !(n > 0) || promoters < 0 || detractors < 0 || promoters+detractors > n {
		return 0, 0, 0, false
	}
	m := n + 3
	p, d := (promoters+0.75)/m, (detractors+0.75)/m
	half := z95 * math.Sqrt((p+d-(p-d)*(p-d))/m)
	return (promoters - detractors) / n, math.Max(-1, p-d-half), math.Min(1, p-d+half), true
}

// Difference is p1 - p2 of two independent proportions k1 of n1 and k2 of n2, with the interval of Newcombe's hybrid score method. It
// is undefined when either has no trials or k outside [0, n].
//
// Newcombe (1998), Statistics in Medicine 17, 873-890, method 10.
func Difference(k1, n1, k2, n2 float64) (difference, low, high float64, ok bool) {
	l1, u1, ok1 := Wilson(k1, n1)
	l2, u2, ok2 := Wilson(k2, n2)
	if !ok1 || !ok2 {
		return 0, 0, 0, false
	}
	p1, p2 := k1/n1, k2/n2
	return p1 - p2, p1 - p2 - math.Hypot(p1-l1, u2-p2), p1 - p2 + math.Hypot(u1-p1, p2-l2), true
}
