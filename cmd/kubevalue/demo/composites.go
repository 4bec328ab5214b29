package demo

import (
	"fmt"
	"slices"
)

// Composite is a promise about several clusters at once.
type Composite struct {
	Name, Title string
	// Region is empty for one over all regions.
	Region string
	// AnyDown: it is down while any of its clusters is. Else its clusters count by Weights.
	AnyDown  bool
	Clusters []int
	// Weights are the numbers of teams that use the clusters, in their order.
	Weights []float64
}

// Composites are one of the production clusters of each region, which is down while either is, and one of all production clusters,
// weighted by teams.
func (w *World) Composites() []Composite {
	all := Composite{Name: "production", Title: "All production clusters, by their teams"}
	var out []Composite
	for c, cluster := range w.Clusters {
		if cluster.Stage != "prod-a" && cluster.Stage != "prod-b" {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Region != cluster.Region {
			out = append(out, Composite{Name: cluster.Region + "-production", Title: fmt.Sprintf("Production in %s, both clusters", cluster.Region), Region: cluster.Region, AnyDown: true})
		}
		teams := 0.0
		for _, t := range w.Teams {
			if slices.Contains(t.Clusters, c) {
				teams++
			}
		}
		for _, of := range []*Composite{&out[len(out)-1], &all} {
			of.Clusters, of.Weights = append(of.Clusters, c), append(of.Weights, teams)
		}
	}
	return append(out, all)
}
