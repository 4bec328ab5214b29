package catalogue

import (
	"cmp"
	"context"
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

// withholdGroups marks the figures of groups that are too small, and of as many further ones that the difference between the whole and the
// groups that are shown tells of no small group either. A group asked for alone is treated as it is among the others.
func (e Evaluator) withholdGroups(ctx context.Context, r journey.Request, groups string, periods []journey.Period, cells map[place]*cell) error {
	split := journey.Request{Metric: r.Metric, By: groups, Filter: maps.Clone(r.Filter)}
	if r.By == "" {
		delete(split.Filter, groups)
	}
	q, err := e.question(ctx, split, periods, e.Now())
	if err != nil {
		return err
	}
	people, err := e.people(ctx, allPeopleSQL, q)
	if err != nil {
		return err
	}
	hidden := hiddenGroups(people, float64(e.Settings.SmallGroup))
	for p, c := range cells {
		if r.By == "" {
			p.dim = r.Filter[groups]
		}
		if hidden[p] || people[p] == 0 {
			c.withheld = smallGroup
		}
	}
	return nil
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
