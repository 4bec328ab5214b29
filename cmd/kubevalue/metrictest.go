package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func metricTestCommand() *cobra.Command {
	var library string
	cmd := &cobra.Command{
		Use:   "test FILE…",
		Short: "Check analyses and metrics against expectations written in YAML",
		Long: `Runs cases through the same ingestion, tables and SQL as production, on an embedded engine of its own. A case has events, a roster and
aliases, or what happened to resources in clusters, and expects rows of an analysis (active, adoption, lifecycle, retention, funnel, stickiness, time_to_value, …) or values of a metric:

  settings: {timezone: UTC, week_start: monday}
  tests:
    - name: two of three people came back
      now: 2026-01-10T00:00:00Z
      events:
        - {time: 2026-01-05T10:00:00Z, actor: ann, name: deploy}
      expect:
        - analysis: active
          args: {entity: actor, event: deploy, grain: day, from: 2026-01-05, to: 2026-01-06}
          rows: [[2026-01-05, 1]]

The files in journey/testdata show every key. Exit code 0 when all passed, 1 when an expectation was not met, 2 when a file is malformed.`,
		Args: atLeastOne("the FILEs to run"),
	}
	cmd.Flags().StringVar(&library, "library", "", "path of libchdb (default: searched)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		metrics, err := catalogue.Load()
		if err != nil {
			return err
		}
		engine, err := startScratch(cmd.Context(), library, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		defer engine.close()
		runner := metrictest.Runner{Evaluate: evaluateCase(metrics)}
		for i := range caseDatabases {
			db, err := engine.database(cmd.Context(), fmt.Sprintf("case%d", i))
			if err != nil {
				return err
			}
			if i == 0 {
				runner.Environment = &caseEnvironment{db: db}
			} else {
				runner.Beside = append(runner.Beside, &caseEnvironment{db: db})
			}
		}
		exit, err := runner.Files(cmd.Context(), args, cmd.OutOrStdout())
		if err != nil {
			return err
		}
		if exit != metrictest.ExitPassed {
			return exitError{int(exit)}
		}
		return nil
	}
	return cmd
}

// caseDatabases is how many cases run at once, each in a database of its own.
const caseDatabases = 4

// evaluateCase evaluates a metric with the settings, the clock and the objectives of a case.
func evaluateCase(metrics []journey.Metric) metrictest.EvaluateFunc {
	return func(ctx context.Context, c metrictest.Case, query journey.QueryFunc, r journey.Request) ([]journey.Value, error) {
		return catalogue.Evaluator{
			Query: query, Settings: c.Settings, Metrics: metrics, Now: func() time.Time { return c.Now },
			Objectives: c.Input.Figures,
		}.Evaluate(ctx, r)
	}
}

// caseEnvironment ingests cases by the pipeline's own processor into a warehouse of their own.
type caseEnvironment struct {
	db    *warehouse.DB
	round int
	// filled are the tables that the last case filled.
	filled []string
	// registered says whether the last case had prices or capabilities, which hold until there are others.
	registered bool
}

// Reset empties what cases fill. Actor keys stay: the same name keeps its surrogate, which no case sees.
func (e *caseEnvironment) Reset(ctx context.Context) error {
	e.round++
	return e.db.Truncate(ctx, e.filled...)
}

// Ingest hands a case to the processor in one batch, in the order of delivery.
func (e *caseEnvironment) Ingest(ctx context.Context, c metrictest.Case) error {
	e.filled = c.Input.Tables()
	resolver, err := identity.New(identity.Config{
		Keys: []identity.Key{{Version: 1, Secret: []byte(strings.Repeat("metric test ", 4))}}, Store: e.db, Now: func() time.Time { return c.Now },
	})
	if err != nil {
		return err
	}
	processor := pipeline.NewProcessor(pipeline.ProcessorConfig{Store: e.db, Identity: resolver, Attributes: attributesOf(c.Input.Events)})
	var teams []identity.Team
	for _, t := range c.Input.Roster {
		teams = append(teams, identity.Team(t))
	}
	digest, rows, err := resolver.Roster(ctx, teams)
	if err != nil {
		return err
	}
	if _, err := e.db.PutRoster(ctx, digest, c.Now, rows); err != nil {
		return err
	}
	registers := len(c.Input.Prices)+len(c.Input.Shared)+len(c.Input.Capabilities) > 0
	if registers || e.registered {
		if _, err := e.db.PutPrices(ctx, c.Now, c.Input.Prices, c.Input.Shared); err != nil {
			return err
		}
		if _, err := e.db.PutCapabilities(ctx, c.Now, c.Input.Capabilities); err != nil {
			return err
		}
	}
	e.registered = registers
	_, err = processor.Process(ctx, fmt.Sprintf("case-%d", e.round), schema.Batch{
		Events: c.Input.Events, Aliases: c.Input.Aliases, Changes: c.Input.Resources, Slices: c.Input.Slices,
		Incidents: c.Input.Incidents, Feedback: c.Input.Feedback, Consumption: c.Input.Consumption, Backfill: true,
	})
	return err
}

// Query runs a read-only statement.
func (e *caseEnvironment) Query(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
	return e.db.Query(ctx, sql, params)
}

// attributesOf are the keys of all attributes: a case keeps what it gives.
func attributesOf(events []schema.Event) []string {
	var keys []string
	for _, e := range events {
		for k := range e.Attributes {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}
