package metrictest_test

import (
	"context"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/pipeline/replay"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }

// environment is the real thing: the drainer's processor, the tables, the queries.
type environment struct {
	*warehouse.DB
	*replay.Stage
}

func newEnvironment(t testing.TB) environment {
	db := warehousetest.Open(t)
	return environment{db, replay.New(db)}
}

func (e environment) Reset(ctx context.Context) error { return e.Clear(ctx) }

// Ingest delivers everything at once.
func (e environment) Ingest(ctx context.Context, c metrictest.Case) error {
	return e.ingest(ctx, c, []schema.Batch{c.Input.Batch()})
}

func (e environment) ingest(ctx context.Context, c metrictest.Case, batches []schema.Batch) error {
	h := replay.History{Now: c.Now, Prices: c.Input.Prices, Shared: c.Input.Shared, Capabilities: c.Input.Capabilities, Batches: batches}
	for _, t := range c.Input.Roster {
		h.Roster = append(h.Roster, identity.Team(t))
	}
	return e.Play(ctx, h)
}

func newRunner(t testing.TB) metrictest.Runner {
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	environments := make(chan metrictest.Environment, 2)
	for range cap(environments) {
		environments <- newEnvironment(t)
	}
	return metrictest.Runner{
		Open:   func(context.Context) (metrictest.Environment, error) { return <-environments, nil },
		AtOnce: cap(environments),
		Evaluate: func(ctx context.Context, c metrictest.Case, query journey.QueryFunc, r journey.Request) ([]journey.Value, error) {
			e := catalogue.Evaluator{Query: query, Settings: c.Settings, Metrics: metrics, Now: func() time.Time { return c.Now },
				Objectives: c.Input.Figures, Worth: c.Input.Figures}
			return e.Evaluate(ctx, r)
		},
	}
}
