package dashboards

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// fleetView is the page of the clusters.
type fleetView struct {
	part
	Summary  string
	Clusters []clusterRow
	// Versions and Regions count clusters.
	Versions, Regions []tally
	// Watched says that the API server of at least one cluster is watched, so that its inventory is known; Measured that the coverage
	// of one is.
	Watched, Measured bool
}

// clusterRow is a cluster with what is to be said about it in words.
type clusterRow struct {
	Cluster
	Contact    verdict
	Ago        string
	Age        string
	Objectives []objectiveRow
}

// tally is a name with how many clusters have it, and its share in percent.
type tally struct {
	Name  string
	Count int
	Share float64
}

// SilentAfter is how long a cluster may be silent and still counts as reporting.
const SilentAfter = 15 * time.Minute

func (s *server) fleetPage(c *gin.Context) {
	view := fleetView{}
	if s.cfg.Sources.Fleet == nil {
		view.part = s.missing(c, "clusters", false, nil)
	} else {
		fleet, err := s.cfg.Sources.Fleet(c.Request.Context())
		if err != nil {
			s.fail(c, err)
			return
		}
		objectives, err := s.cfg.Sources.Objectives(c.Request.Context())
		if err != nil {
			s.cfg.Logger.ErrorContext(c, "part of a page failed", "part", "objectives of clusters", "error", err)
		}
		view.fill(fleet, objectives, s.cfg.Now())
	}
	s.show(c, "fleet.html", "fleet", frame{Title: "Fleet", Here: "fleet", Content: view})
}

func (v *fleetView) fill(fleet []Cluster, objectives []Objective, now time.Time) {
	byName := map[string]Objective{}
	for _, o := range objectives {
		byName[o.Name] = o
	}
	versions, regions := map[string]int{}, map[string]int{}
	var silent []string
	for _, cl := range fleet {
		row := clusterRow{Cluster: cl, Contact: contact(cl, now), Ago: agoText(now, cl.LastContact)}
		if !cl.Created.IsZero() {
			row.Age = lastedText(now.Sub(cl.Created).Truncate(24 * time.Hour))
		}
		for _, name := range cl.Objectives {
			if o, ok := byName[name]; ok {
				row.Objectives = append(row.Objectives, rowOf(o))
			}
		}
		v.Watched = v.Watched || cl.Version != "" || cl.Nodes != nil || cl.Workloads != nil
		v.Measured = v.Measured || cl.Coverage != nil
		if row.Contact.Class != classGood {
			silent = append(silent, cl.Name)
		}
		versions[cmp.Or(minor(cl.Version), "not known")]++
		regions[cmp.Or(cl.Region, "not known")]++
		v.Clusters = append(v.Clusters, row)
	}
	slices.SortFunc(v.Clusters, func(a, b clusterRow) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Name, b.Name))
	})
	v.Versions, v.Regions = tallies(versions, len(fleet)), tallies(regions, len(fleet))
	if len(fleet) == 0 {
		v.Missing = "No cluster is connected."
		return
	}
	v.Summary = plural(len(fleet), "cluster") + " in " + plural(len(regions), "region") + "; " + reporting(len(fleet), silent) + "."
}

// namedSilent is how many clusters that do not report are named.
const namedSilent = 4

// reporting says which of the clusters report.
func reporting(all int, silent []string) string {
	slices.Sort(silent)
	switch n := len(silent); {
	case n == 0:
		return "all of them report"
	case n == all:
		return "none of them reports now"
	case n > namedSilent:
		return fmt.Sprintf("%d report now, %s and %d more do not", all-n, strings.Join(silent[:namedSilent], ", "), n-namedSilent)
	}
	return fmt.Sprintf("%d report now, %s not", all-len(silent), strings.Join(silent, ", "))
}

// contact says whether a cluster reports.
func contact(c Cluster, now time.Time) verdict {
	switch {
	case c.Fault != "":
		return verdict{classBad, c.Fault}
	case c.LastContact.IsZero():
		return verdict{classUnknown, "never seen"}
	case now.Sub(c.LastContact) > SilentAfter:
		return verdict{classBad, "silent"}
	}
	return verdict{classGood, "reporting"}
}

// minor is a version without its patch: v1.37.2 is 1.37.
func minor(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}

// tallies are ordered by count, then by name, the later version first.
func tallies(counts map[string]int, all int) []tally {
	var out []tally
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, tally{name, counts[name], 100 * float64(counts[name]) / float64(all)})
	}
	slices.SortStableFunc(out, func(a, b tally) int { return cmp.Or(b.Count-a.Count, cmp.Compare(b.Name, a.Name)) })
	return out
}
