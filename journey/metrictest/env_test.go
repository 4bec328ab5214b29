package metrictest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }

// environment is the real thing: the drainer's processor, the tables, the queries.
type environment struct {
	*warehouse.DB
	round int
	// filled are the tables that the last case filled.
	filled []string
}

func (e *environment) Reset(ctx context.Context) error {
	e.round++
	return e.Truncate(ctx, e.filled...)
}

// Ingest delivers everything at once.
func (e *environment) Ingest(ctx context.Context, c metrictest.Case) error {
	return e.ingest(ctx, c, []schema.Batch{{Events: c.Input.Events, Aliases: c.Input.Aliases, Changes: c.Input.Resources, Slices: c.Input.Slices, Incidents: c.Input.Incidents, Feedback: c.Input.Feedback, Consumption: c.Input.Consumption}})
}

func (e *environment) ingest(ctx context.Context, c metrictest.Case, batches []schema.Batch) error {
	e.filled = c.Input.Tables()
	resolver, err := identity.New(identity.Config{
		Keys: []identity.Key{{Version: 1, Secret: make([]byte, 32)}}, Store: e.DB, Now: func() time.Time { return c.Now },
	})
	if err != nil {
		return err
	}
	var teams []identity.Team
	for _, m := range c.Input.Roster {
		teams = append(teams, identity.Team{Name: m.Name, Members: m.Members, From: m.From, To: m.To, Voluntary: m.Voluntary, Persona: m.Persona})
	}
	digest, roster, err := resolver.Roster(ctx, teams)
	if err != nil {
		return err
	}
	if _, err := e.PutRoster(ctx, digest, c.Now, roster); err != nil {
		return err
	}
	if _, err := e.PutPrices(ctx, c.Now, c.Input.Prices, c.Input.Shared); err != nil {
		return err
	}
	if _, err := e.PutCapabilities(ctx, c.Now, c.Input.Capabilities); err != nil {
		return err
	}
	processor := pipeline.NewProcessor(pipeline.ProcessorConfig{Store: e.DB, Identity: resolver, Attributes: []string{"commit_time", "environment", "items"}})
	for i, b := range batches {
		if _, err := processor.Process(ctx, fmt.Sprintf("case-%d-%d", e.round, i), b); err != nil {
			return err
		}
	}
	return nil
}

func newRunner(t testing.TB) metrictest.Runner {
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	return metrictest.Runner{
		Environment: &environment{DB: warehousetest.Open(t)},
		Beside:      []metrictest.Environment{&environment{DB: warehousetest.Open(t)}},
		Evaluate: func(ctx context.Context, c metrictest.Case, query journey.QueryFunc, r journey.Request) ([]journey.Value, error) {
			e := catalogue.Evaluator{Query: query, Settings: c.Settings, Metrics: metrics, Now: func() time.Time { return c.Now },
				Objectives: c.Input.Figures}
			return e.Evaluate(ctx, r)
		},
	}
}
