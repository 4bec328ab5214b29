package interval

import (
	"cmp"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Mean is the mean of a sample with Student's t interval. The mean is undefined for an empty sample (ok false), the
// interval for fewer than two values (bounded false).
//
// Student (1908), Biometrika 6, 1-25.
func Mean(sample []float64) (mean, low, high float64, ok, bounded bool) {
	n := float64(len(sample))
	if n == 0 {
		return 0, 0, 0, false, false
	}
	mean, sd := stat.MeanStdDev(sample, nil)
	if n < 2 {
		return mean, 0, 0, true, false
	}
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975) * sd / math.Sqrt(n)
	return mean, mean - half, mean + half, true, true
}

// Median is the middle value of a sample, or the mean of the middle two. It sorts a copy. ok is false for an empty
// sample.
func Median(sample []float64) (median float64, ok bool) {
	n := len(sample)
	if n == 0 {
		return 0, false
	}
	s := slices.Clone(sample)
	slices.Sort(s)
	if n%2 == 1 {
		return s[n/2], true
	}
	return (s[n/2-1] + s[n/2]) / 2, true
}

// bootstrapRounds is enough for percentiles whose own error is far below the width of the interval.
const bootstrapRounds = 1000

// Bootstrap is the percentile interval of a statistic under resampling of whole clusters (teams, as a rule), since what
// people of one team do is not independent. statistic gets the indices of the clusters drawn, with repetition, and says
// whether it is defined for them. The interval is undefined for fewer than two clusters, or when more than a tenth of
// the resamples are. The same seed gives the same interval.
//
// Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 and 13.
func Bootstrap(clusters int, seed uint64, statistic func(drawn []int) (float64, bool)) (low, high float64, ok bool) {
	if clusters < 2 {
		return 0, 0, false
	}
	random := rand.NewPCG(seed, 0x6b756265)
	drawn := make([]int, clusters)
	values := make([]float64, 0, bootstrapRounds)
	for range bootstrapRounds {
		draw(random, drawn)
		if v, defined := statistic(drawn); defined {
			values = append(values, v)
		}
	}
	if len(values) < bootstrapRounds*9/10 {
		return 0, 0, false
	}
	slices.Sort(values)
	return stat.Quantile(0.025, stat.Empirical, values, nil), stat.Quantile(0.975, stat.Empirical, values, nil), true
}

// draw fills in numbers from 0 to len(drawn)-1, all equally likely: those that rand.Rand's IntN gives, by the same method, without a call for
// each. They are the upper half of a random number's product with len(drawn), unless the lower half tells that this would favour some.
//
// Lemire (2019), Fast Random Integer Generation in an Interval, ACM Transactions on Modeling and Computer Simulation 29.
func draw(random *rand.PCG, drawn []int) {
	n := uint64(len(drawn))
	if n&(n-1) == 0 {
		for i := range drawn {
			drawn[i] = int(random.Uint64() & (n - 1)) //nolint:gosec // below len(drawn)
		}
		return
	}
	unfair := -n % n
	for i := range drawn {
		high, low := bits.Mul64(random.Uint64(), n)
		for low < unfair {
			high, low = bits.Mul64(random.Uint64(), n)
		}
		drawn[i] = int(high) //nolint:gosec // below len(drawn)
	}
}

// DrawnMean is the mean of the values in the groups drawn, for Bootstrap.
func DrawnMean(groups [][]float64) func(drawn []int) (float64, bool) {
	sums := make([]float64, len(groups))
	for i, group := range groups {
		for _, v := range group {
			sums[i] += v
		}
	}
	return func(drawn []int) (float64, bool) {
		sum, n := 0.0, 0
		for _, i := range drawn {
			sum += sums[i]
			n += len(groups[i])
		}
		return sum / float64(n), n > 0
	}
}

// DrawnMedian is the median of the values in the groups drawn, for Bootstrap. It sorts once and counts, for every few values, how many
// of each group have come so far: a draw then finds its middle between two such marks, and walks along the values only there.
func DrawnMedian(groups [][]float64) func(drawn []int) (float64, bool) {
	all := membersOf(groups)
	const stride = 256
	marks := [][]int{make([]int, len(groups))} // marks[b][g] are the values of group g before all[b*stride]
	for from := 0; from < len(all); from += stride {
		mark := slices.Clone(marks[len(marks)-1])
		for _, m := range all[from:min(from+stride, len(all))] {
			mark[m.group]++
		}
		marks = append(marks, mark)
	}
	last := len(marks) - 1
	times := make([]int, len(groups))
	passedAt := func(b int) (n int) {
		for group, mark := range marks[b] {
			n += mark * times[group]
		}
		return n
	}
	b := last / 2 // the middles of draws lie near each other
	return func(drawn []int) (float64, bool) {
		clear(times)
		for _, i := range drawn {
			times[i]++
		}
		n := passedAt(last)
		if n == 0 {
			return 0, false
		}
		lower, upper := (n-1)/2, n/2 // the middle positions; one and the same when n is odd
		passed := passedAt(b)
		for passed > lower {
			b--
			passed = passedAt(b)
		}
		for b < last {
			next := passedAt(b + 1)
			if next > lower {
				break
			}
			b, passed = b+1, next
		}
		sum := 0.0
		for _, m := range all[b*stride:] {
			from, to := passed, passed+times[m.group]
			if from <= lower && lower < to {
				sum += m.value
			}
			if from <= upper && upper < to {
				return (sum + m.value) / 2, true
			}
			passed = to
		}
		return 0, false
	}
}

// member is a value of a group.
type member struct {
	value float64
	group int
}

// membersOf are the values of all groups, sorted.
func membersOf(groups [][]float64) []member {
	var all []member
	for i, group := range groups {
		for _, v := range group {
			all = append(all, member{v, i})
		}
	}
	slices.SortFunc(all, func(a, b member) int { return cmp.Compare(a.value, b.value) })
	return all
}

// SystemUsability is the System Usability Scale score 0..100 of one answer to its ten items, each 1..5: 2.5 times the
// sum of (x - 1) over the odd items and (5 - x) over the even ones. ok is false for an item out of range.
//
// Brooke (1996), "SUS: a quick and dirty usability scale".
func SystemUsability(items [10]int) (score float64, ok bool) {
	sum := 0
	for i, x := range items {
		if x < 1 || x > 5 {
			return 0, false
		}
		if i%2 == 0 {
			sum += x - 1
		} else {
			sum += 5 - x
		}
	}
	return 2.5 * float64(sum), true
}
