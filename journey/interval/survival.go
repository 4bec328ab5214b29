package interval

import (
	"math"
	"slices"
)

// Observation is how long an entity was watched, and whether what was waited for came (or the watch ended first).
type Observation struct {
	// Duration is 0 or more, in any unit; the median has the same.
	Duration float64
	Reached  bool
}

// Survival is a Kaplan-Meier estimate.
type Survival struct {
	N, Reached, Censored int
	// Median is the first time at which at most half have not got there yet; nil: that never happened.
	Median *float64
	// Low and High bound the median at 95%; nil: the data do not bound it on that side.
	Low, High *float64
}

// half is where the median lies; sums of rounded logarithms and products may miss it by a hair.
const half = 0.5 + 1e-12

// KaplanMeier estimates when half of the entities got there. Those who had not got there when the watch ended are
// censored, not dropped. An event and a censoring at the same time count as event first.
//
// Kaplan and Meier (1958), J. Am. Stat. Assoc. 53, 457-481; variance by Greenwood (1926); the interval of the median
// by Brookmeyer and Crowley (1982), Biometrics 38, 29-41, on the log(-log) scale of the survival function.
func KaplanMeier(observations []Observation) Survival {
	sorted := slices.Clone(observations)
	slices.SortFunc(sorted, func(a, b Observation) int {
		switch {
		case a.Duration < b.Duration:
			return -1
		case a.Duration > b.Duration:
			return 1
		}
		return 0
	})
	out := Survival{N: len(sorted)}
	survival, greenwood := 1.0, 0.0
	for i := 0; i < len(sorted); {
		at, atRisk, events := sorted[i].Duration, float64(len(sorted)-i), 0.0
		for ; i < len(sorted) && sorted[i].Duration == at; i++ {
			if sorted[i].Reached {
				events++
			}
		}
		if events == 0 {
			continue
		}
		out.Reached += int(events)
		survival *= 1 - events/atRisk
		if atRisk > events {
			greenwood += events / (atRisk * (atRisk - events))
		}
		low, high := logLogBounds(survival, greenwood)
		first(&out.Low, low <= half, at)
		first(&out.Median, survival <= half, at)
		first(&out.High, high <= half, at)
	}
	out.Censored = out.N - out.Reached
	return out
}

// logLogBounds is the pointwise 95% interval of the survival function.
func logLogBounds(survival, greenwood float64) (low, high float64) {
	if survival <= 0 || survival >= 1 {
		return survival, survival
	}
	spread := z95 * math.Sqrt(greenwood) / math.Abs(math.Log(survival))
	return math.Pow(survival, math.Exp(spread)), math.Pow(survival, math.Exp(-spread))
}

func first(to **float64, crossed bool, at float64) {
	if crossed && *to == nil {
		*to = &at
	}
}
