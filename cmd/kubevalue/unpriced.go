package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// classesSQL is what was had since {since:DateTime64(3, 'UTC')}: kind, class, in how many clusters, and what a unit of it costs an hour now,
// NULL where nobody says.
const classesSQL = `
WITH (SELECT groupArray((toString(kind), toString(class), per_hour)) FROM resource_prices_current
    WHERE valid_from <= {now:DateTime64(3, 'UTC')} AND {now:DateTime64(3, 'UTC')} < valid_to) AS prices,
    arraySort(p -> p.2 = '', arrayFilter(p -> p.1 = kind AND p.2 IN (class, ''), prices)) AS fitting
SELECT toString(kind) AS kind, toString(class) AS class, uniqExact(cluster) AS clusters, if(empty(fitting), NULL, fitting[1].3) AS per_hour FROM consumption
WHERE start >= {since:DateTime64(3, 'UTC')} AND kind IN ('node', 'storage', 'balancer')
GROUP BY kind, class ORDER BY kind, class`

// unpricedEvery is how often it is looked for what has no price, hadWithin how old what was had may be.
const (
	unpricedEvery = 10 * time.Minute
	hadWithin     = 24 * time.Hour
)

// unpricedClass is something that costs nobody knows what.
type unpricedClass struct{ kind, class string }

// hadClass is something that was had of late.
type hadClass struct {
	unpricedClass
	clusters int64
	// perHour is its price in the currency of the configuration; nil: it has none.
	perHour *float64
}

// had is what was had of late, in order of kind and class.
func had(ctx context.Context, db *warehouse.DB, now time.Time) ([]hadClass, error) {
	result, err := db.Query(ctx, classesSQL, map[string]any{"now": now, "since": now.Add(-hadWithin)})
	if err != nil {
		return nil, fmt.Errorf("what has a price: %w", err)
	}
	var all []hadClass
	for _, row := range result.Rows {
		price, _ := row[3].(*float64)
		all = append(all, hadClass{unpricedClass{text(row[0]), text(row[1])}, count(row[2]), price})
	}
	return all, nil
}

// unpriced is what was had of late and has no price, with the number of clusters that have it.
func unpriced(ctx context.Context, db *warehouse.DB, now time.Time) (map[unpricedClass]int64, error) {
	all, err := had(ctx, db, now)
	without := map[unpricedClass]int64{}
	for _, c := range all {
		if c.perHour == nil {
			without[c.unpricedClass] = c.clusters
		}
	}
	return without, err
}

// warnUnpriced says once of each kind and class that it has no price, as long as other things have one, until the context ends. Figures
// about costs cover less then; without any price they are withheld, and nobody who wants none is bothered.
func (s *service) warnUnpriced(ctx context.Context) error {
	if len(s.cfg.Costs.things()) == 0 {
		<-ctx.Done()
		return nil
	}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubevalue_costs_unpriced_classes", Help: "Types of nodes, storage classes and classes of load balancers in use that have no price.",
	})
	if err := s.registry.Register(gauge); err != nil {
		return err
	}
	told := map[unpricedClass]bool{}
	ticker := time.NewTicker(unpricedEvery)
	defer ticker.Stop()
	for {
		classes, err := unpriced(ctx, s.db, s.now())
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "resources without a price are not known", "error", err)
		}
		if err == nil {
			gauge.Set(float64(len(classes)))
		}
		for c, clusters := range classes {
			if !told[c] {
				told[c] = true
				s.log.WarnContext(ctx, "a resource has no price: figures about costs leave it out; add it to costs, with 0 if it costs nothing",
					"kind", c.kind, "class", c.class, "clusters", clusters)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
