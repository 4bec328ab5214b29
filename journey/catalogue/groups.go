package catalogue

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
)

// groupsOf is the dimension whose values are groups of people that add up to a figure which may be shown, too: that of the split, or else
// of a filter; empty: there is none.
func groupsOf(r journey.Request) string {
	of := []string{journey.DimensionTeam, journey.DimensionPersona, journey.DimensionCluster}
	if slices.Contains(of, r.By) {
		return r.By
	}
	for _, d := range of {
		if _, filtered := r.Filter[d]; filtered && r.By == "" {
			return d
		}
	}
	return ""
}

// split is a request for all groups of a dimension.
func split(r journey.Request, groups string) journey.Request {
	all := journey.Request{Metric: r.Metric, By: groups, Filter: maps.Clone(r.Filter)}
	if r.By == "" {
		delete(all.Filter, groups)
	}
	return all
}

// withholdGroups marks the figures of groups that are too small, and of as many further ones that the difference between the whole and the
// groups that are shown tells of no small group either. A group asked for alone is treated as it is among the others.
func (e Evaluator) withholdGroups(r journey.Request, groups string, people map[place]float64, cells map[place]*cell) {
	hidden := hiddenGroups(people, float64(e.Settings.SmallGroup))
	for p, c := range cells {
		if r.By == "" {
			p.dim = r.Filter[groups]
		}
		if hidden[p] || people[p] == 0 {
			c.withheld = smallGroup
		}
	}
}

// hiddenGroups are the groups of fewer people than least and, in a period that has any, the next larger ones until those that are hidden are
// two at least and have least people together.
func hiddenGroups(people map[place]float64, least float64) map[place]bool {
	byPeriod := map[int64][]place{}
	for p, n := range people {
		if n > 0 {
			byPeriod[p.period] = append(byPeriod[p.period], p)
		}
	}
	hidden := map[place]bool{}
	for _, groups := range byPeriod {
		slices.SortFunc(groups, func(a, b place) int {
			return cmp.Or(cmp.Compare(people[a], people[b]), strings.Compare(a.dim, b.dim))
		})
		together := 0.0
		for i, p := range groups {
			if enough := i == 0 || i > 1 && together >= least; enough && people[p] >= least {
				break
			}
			hidden[p] = true
			together += people[p]
		}
	}
	return hidden
}
