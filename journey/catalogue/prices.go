package catalogue

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
)

// unitOfCosts is the unit of costs where no currency is known.
const unitOfCosts = "currency units"

// InCurrency returns the metrics with currencies in the units of those that are about money: that of what clusters cost, and that of minutes
// of availability. An empty currency changes nothing.
func InCurrency(metrics []journey.Metric, costs, minutes string) []journey.Metric {
	metrics = slices.Clone(metrics)
	for i := range metrics {
		currency := costs
		if metrics[i].Objective != nil {
			currency = minutes
		}
		if currency != "" {
			metrics[i].Unit = strings.Replace(metrics[i].Unit, unitOfCosts, currency, 1)
		}
	}
	return metrics
}

// What reads relations about costs is priced; a column or a text may have the same name.
var (
	readsCosts     = regexp.MustCompile(`(?i)\b(from|join|in)\s+costs\b`)
	readsReclaimed = regexp.MustCompile(`(?i)\b(from|join|in)\s+reclaimed\b`)
)

// pricedSQL tells how much of what a relation has (what was had, or what went) has a price; without names up to twenty kinds and classes that have none.
const pricedSQL = `SELECT period, dim, sum(weight) AS value, sumIf(weight, has_price) AS known,
    arraySort(groupUniqArrayIf(20)(concat(cluster, ': ', priced_as, ' ', if(class = '', '(no class)', class)), NOT has_price)) AS without
FROM %s GROUP BY period, dim`

// price corrects figures about costs for what has no price: it lowers their coverage to the share of hours of nodes, pods, volumes and load
// balancers that have one, and a figure of which nothing has a price is withheld, rather than being 0. So is a figure of all teams in a
// period in which nothing was seen at all; that nothing went is 0.
func (e Evaluator) price(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period, cells map[place]*cell) error {
	const had, went = "priced", "reclaimed"
	relation := ""
	if m.SQL != nil {
		for _, s := range m.SQL.Statements() {
			switch {
			case readsCosts.MatchString(s.SQL):
				relation = had
			case readsReclaimed.MatchString(s.SQL):
				relation = went
			}
		}
	}
	if relation == "" {
		return nil
	}
	q, err := e.question(ctx, r, periods, e.Now())
	if err != nil {
		return err
	}
	priced := map[place]float64{}
	err = e.rows(ctx, fmt.Sprintf(pricedSQL, relation), q, func(p place, l line) error {
		whole, err := l.number("value")
		if err != nil {
			return err
		}
		known, err := l.number("known")
		if orZero(whole) > 0 {
			priced[p] = orZero(known) / *whole
		}
		return err
	})
	_, ofTeam := r.Filter[journey.DimensionTeam]
	for p, c := range cells {
		share, seen := priced[p]
		switch {
		case seen && share == 0:
			c.withheld = "no price is known"
		case seen && c.coverage != nil:
			covered := *c.coverage * share
			c.coverage = &covered
		case !seen && !ofTeam && r.By == "" && relation == had:
			c.value, c.numerator = nil, nil
		}
	}
	return err
}
