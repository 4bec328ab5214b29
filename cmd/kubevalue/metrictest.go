package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/pipeline/replay"
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

- stands for standard input. The files in journey/testdata show every key. Exit code 0 when all passed, 1 when an expectation was not met, 2 when a file is malformed.`,
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
		var databases atomic.Int64
		read := func(path string) (string, []byte, error) { return readInput(cmd.InOrStdin(), path) }
		runner := metrictest.Runner{AtOnce: caseDatabases, Read: read, Evaluate: evaluateCase(metrics), Open: func(ctx context.Context) (metrictest.Environment, error) {
			db, err := engine.database(ctx, fmt.Sprintf("case%d", databases.Add(1)))
			if err != nil {
				return nil, err
			}
			return caseEnvironment{replay.New(db), db}, nil
		}}
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
			Objectives: c.Input.Figures, Worth: c.Input.Figures,
		}.Evaluate(ctx, r)
	}
}

// caseEnvironment plays cases in a warehouse of its own.
type caseEnvironment struct {
	*replay.Stage
	*warehouse.DB
}

// Reset empties what the last case filled.
func (e caseEnvironment) Reset(ctx context.Context) error { return e.Clear(ctx) }

// Ingest hands a case over in one batch, in the order of delivery.
func (e caseEnvironment) Ingest(ctx context.Context, c metrictest.Case) error {
	h := replay.History{
		Now: c.Now, Prices: c.Input.Prices, Shared: c.Input.Shared, Capabilities: c.Input.Capabilities, Batches: []schema.Batch{c.Input.Batch()},
	}
	for _, t := range c.Input.Roster {
		h.Roster = append(h.Roster, identity.Team(t))
	}
	return e.Play(ctx, h)
}
