package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// unpricedSQL is what was had since {since:DateTime64(3, 'UTC')} and has no price now: kind, class, and in how many clusters.
const unpricedSQL = `
WITH (SELECT groupArray((toString(kind), toString(class))) FROM resource_prices_current
    WHERE valid_from <= {now:DateTime64(3, 'UTC')} AND {now:DateTime64(3, 'UTC')} < valid_to) AS prices
SELECT toString(kind) AS kind, toString(class) AS class, uniqExact(cluster) AS clusters FROM consumption
WHERE start >= {since:DateTime64(3, 'UTC')} AND kind IN ('node', 'storage', 'balancer')
    AND NOT has(prices, (kind, class)) AND NOT has(prices, (kind, ''))
GROUP BY kind, class ORDER BY kind, class`

// unpricedEvery is how often it is looked for what has no price, unpricedWithin how old it may be.
const (
	unpricedEvery  = 10 * time.Minute
	unpricedWithin = 24 * time.Hour
)

// unpricedClass is something that costs nobody knows what.
type unpricedClass struct{ kind, class string }

// unpriced is what was had of late and has no price, with the number of clusters that have it.
func unpriced(ctx context.Context, db *warehouse.DB, now time.Time) (map[unpricedClass]int64, error) {
	result, err := db.Query(ctx, unpricedSQL, map[string]any{"now": now, "since": now.Add(-unpricedWithin)})
	if err != nil {
		return nil, fmt.Errorf("what has no price: %w", err)
	}
	all := map[unpricedClass]int64{}
	for _, row := range result.Rows {
		all[unpricedClass{text(row[0]), text(row[1])}] = count(row[2])
	}
	return all, nil
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
