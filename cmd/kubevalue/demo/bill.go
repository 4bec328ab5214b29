package demo

import (
	"math/rand/v2"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// The classes of what the clusters have, which the demo's configuration gives prices.
const (
	NodeLarge   = "large"
	NodeSmall   = "small"
	StorageDisk = "standard"
)

const gib = 1 << 30

// node is the class of a cluster's nodes with the cores that pods can have, and what a pod requests; memory is 4 GiB for each core.
func (c Cluster) node() (class string, cores, request float64) {
	switch c.Stage {
	case "dev":
		return NodeSmall, 4, 0.08
	case "staging":
		return NodeSmall, 4, 0.15
	}
	return NodeLarge, 8, 0.9
}

// Consumption is what teams had of the clusters on the day that starts at midnight, until the last full hour. Real collectors tell by the
// hour; one record a day is enough for a story of half a year.
func (w *World) Consumption(midnight time.Time) []schema.Consumption {
	until := midnight.Add(24 * time.Hour)
	if now := w.Until.Truncate(time.Hour); now.Before(until) {
		until = now
	}
	day := until.Sub(midnight).Seconds()
	if day <= 0 {
		return nil
	}
	var out []schema.Consumption
	for i, c := range w.Clusters {
		class, cores, _ := c.node()
		nodes := float64(c.nodes()) * day
		out = append(out, schema.Consumption{
			Cluster: w.Clusters[i].Name, Start: midnight, Kind: schema.ConsumedNode, Class: class, Seconds: nodes, CoreSeconds: nodes * cores, ByteSeconds: nodes * cores * 4 * gib,
		})
	}
	for i := range w.Spaces {
		s := &w.Spaces[i]
		from, to := later(s.Ready, midnight), until
		if !s.Emptied.IsZero() && s.Emptied.Before(to) {
			to = s.Emptied
		}
		if !s.Ready.IsZero() && from.Before(to) {
			out = append(out, w.podsOf(s, midnight, to.Sub(from).Seconds())...)
		}
		out = append(out, w.keptBy(s, midnight, until)...)
	}
	return out
}

// podsOf is what the pods of a namespace had on a day on which they ran for some seconds.
func (w *World) podsOf(s *Space, midnight time.Time, seconds float64) []schema.Consumption {
	c := w.Clusters[s.Cluster]
	class, _, request := c.node()
	r := rand.New(rand.NewPCG(w.Seed^0xc0, uint64(s.Team)))
	used := 0.2 + 0.3*r.Float64()
	if midnight.After(w.week(15)) && s.Team%3 == 0 { // they looked at what they request in vain
		request *= 0.7
		used /= 0.7
	}
	var out []schema.Consumption
	for _, name := range s.workloads() {
		team := w.workload(s, name).Team
		n := len(out) - 1
		if n < 0 || out[n].Team != team {
			out = append(out, schema.Consumption{Cluster: c.Name, Start: midnight, Kind: schema.ConsumedPod, Class: class, Namespace: s.Name, Team: team})
			n++
		}
		pods := 3 * seconds
		out[n].Seconds += pods
		out[n].CoreSeconds += pods * request
		out[n].ByteSeconds += pods * request * 4 * gib
		out[n].RequestedCoreSeconds += pods * request
		out[n].UsedCoreSeconds += pods * request * used
	}
	return out
}

// keptBy is what a namespace keeps, whether anything runs in it or not: volumes, and a load balancer in production.
func (w *World) keptBy(s *Space, midnight, until time.Time) []schema.Consumption {
	from := later(s.Born, midnight)
	if !s.Gone.IsZero() && s.Gone.Before(until) {
		until = s.Gone
	}
	if !from.Before(until) {
		return nil
	}
	c, seconds := w.Clusters[s.Cluster], until.Sub(from).Seconds()
	one := schema.Consumption{Cluster: c.Name, Start: midnight, Namespace: s.Name, Team: w.Teams[s.Team].Name}
	disk, balancer := one, one
	disk.Kind, disk.Class, disk.ByteSeconds = schema.ConsumedStorage, StorageDisk, seconds*20*gib
	balancer.Kind, balancer.Seconds = schema.ConsumedBalancer, seconds
	if s.Feature {
		return []schema.Consumption{disk}
	}
	disk.ByteSeconds *= 5
	if c.environment() != "production" {
		return []schema.Consumption{disk}
	}
	return []schema.Consumption{disk, balancer}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
