package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// Slice is what a probe of a cluster's API server measured in SliceLength: Good of Total attempts succeeded.
type Slice struct {
	Cluster     int
	Start       time.Time
	Good, Total float64
}

// SliceLength is the length of the simulated slices.
const SliceLength = 5 * time.Minute

// attempts is the number of probes in a slice, one every ten seconds.
const attempts = 30

// Slices simulates the probes of the day that starts at midnight. Now and then a probe itself is away for some hours: a gap.
func (w *World) Slices(midnight time.Time) []Slice {
	r := rand.New(rand.NewPCG(w.Seed^0x51, uint64(midnight.Unix())))
	var out []Slice
	for c := range w.Clusters {
		away := time.Duration(-1)
		if r.Float64() < 0.01 {
			away = time.Duration(r.IntN(20)) * time.Hour
		}
		for t := time.Duration(0); t < 24*time.Hour; t += SliceLength {
			if away >= 0 && t >= away && t < away+3*time.Hour {
				continue
			}
			at := midnight.Add(t)
			if at.Add(SliceLength).After(w.Until) {
				break
			}
			bad := math.Round(attempts * w.bad(c, at))
			if bad == 0 && r.Float64() < 0.004 {
				bad = 1
			}
			out = append(out, Slice{Cluster: c, Start: at, Good: attempts - bad, Total: attempts})
		}
	}
	return out
}
