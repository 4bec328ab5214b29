package demo

import (
	"math/rand/v2"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// uptimeSlice is the length of the simulated slices of workloads; real ones have a minute.
const uptimeSlice = time.Hour

// Uptime simulates the availability of the teams' production workloads on the day that starts at midnight: incidents take a
// part of the pods with them, and now and then a workload stumbles by itself.
func (w *World) Uptime(midnight time.Time) []schema.Slice {
	r := rand.New(rand.NewPCG(w.Seed^0xA7, uint64(midnight.Unix())))
	lost := make([][24]float64, len(w.Clusters))
	for c := range lost {
		for minute := range 24 * 60 {
			lost[c][minute/60] += 0.4 * 60 * w.bad(c, midnight.Add(time.Duration(minute)*time.Minute))
		}
	}
	var out []schema.Slice
	for i := range w.Spaces {
		s := &w.Spaces[i]
		if s.Feature || s.Cluster != w.Teams[s.Team].Clusters[0] {
			continue
		}
		for hour := range 24 {
			start := midnight.Add(time.Duration(hour) * uptimeSlice)
			if start.Before(s.Ready) || start.Add(uptimeSlice).After(w.Until) || !s.Emptied.IsZero() && start.Add(uptimeSlice).After(s.Emptied) {
				continue
			}
			bad := lost[s.Cluster][hour]
			if r.Float64() < 0.01 {
				bad += 20 + r.ExpFloat64()*60
			}
			total := uptimeSlice.Seconds()
			out = append(out, schema.Slice{
				Indicator: schema.WorkloadAvailability, Revision: schema.WorkloadRevision(),
				Group: schema.WorkloadGroup(w.Clusters[s.Cluster].Name, s.Name, schema.KindDeployment, "web"), Start: start, Seconds: uint32(total),
				Good: max(0, total-bad), Total: total, State: schema.SliceMeasured, Version: 1,
			})
		}
	}
	return out
}
