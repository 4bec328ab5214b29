package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/chdb"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/slotest"
)

func sloTestCommand() *cobra.Command {
	var pure bool
	var library string
	cmd := &cobra.Command{
		Use:   "test FILE…",
		Short: "Check the arithmetic of objectives against expectations written in YAML",
		Long: `Runs tests of service level arithmetic, like promtool test rules. Each case runs through the formulas on its slices and,
unless --pure is given, through tables and SQL of an embedded engine of its own; both must agree.

  tests:
    - name: occurrences with a gap
      objective: {name: login, target: 0.99, window: 1h, method: occurrences}
      start: 2026-03-01T00:00:00Z
      slice: 5m
      slices: "100/100*10 90/100 _"
      expect:
        - {at: 1h, sli: 0.990909, coverage: 0.916667, budget_consumed: 0.909091, budget_remaining: 0.090909}

Slices are good/total, *N stands for N copies, _ is a slice without data; the files in slo/testdata show every key.
Exit code 0 when all passed, 1 when a test failed, 2 when a file is malformed.`,
		Args: atLeastOne("the FILEs to run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var files []slotest.Source
			for _, name := range args {
				text, err := os.ReadFile(name)
				if err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "kubevalue: %v\n", err)
					return exitError{2}
				}
				files = append(files, slotest.Source{Name: name, Text: text})
			}
			var others []slotest.Evaluator
			if !pure {
				tables, closeTables, err := scratchTables(cmd.Context(), library, cmd.ErrOrStderr())
				if err != nil {
					return fmt.Errorf("%w\nor run the formulas alone with --pure", err)
				}
				defer closeTables()
				others = append(others, slotest.Evaluator{Name: "tables and SQL", Load: tables.load})
			}
			if code := slotest.Run(cmd.Context(), cmd.OutOrStdout(), files, others...).ExitCode(); code != 0 {
				return exitError{code}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&pure, "pure", false, "run the formulas only, without the embedded engine")
	cmd.Flags().StringVar(&library, "library", "", "path of libchdb (default: searched)")
	return cmd
}

// scratch is an embedded engine on a temporary directory, for commands that compute on tables of their own.
type scratch struct {
	dir string
	log *slog.Logger
	// open are its databases; the first holds the engine.
	open []*warehouse.DB
}

func startScratch(ctx context.Context, library string, log io.Writer) (*scratch, error) {
	dir, err := os.MkdirTemp(chdb.ScratchDir(), "kubevalue-scratch-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a scratch engine: %w", err)
	}
	s := &scratch{dir: dir, log: quiet(log)}
	db, err := warehouse.Open(ctx, warehouse.Options{DSN: "embedded:" + dir, Library: library, Logger: s.log})
	if err != nil {
		s.close()
		return nil, err
	}
	s.open = append(s.open, db)
	return s, nil
}

// database is a new database with all tables.
func (s *scratch) database(ctx context.Context, name string) (*warehouse.DB, error) {
	db, err := warehouse.Open(ctx, warehouse.Options{DSN: "embedded:" + s.dir + "?database=" + name, Attach: true, Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, db)
	_, err = db.Migrate(ctx)
	return db, err
}

// close stops the engine and removes its files.
func (s *scratch) close() {
	for _, db := range slices.Backward(s.open) {
		_ = db.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// sloTables evaluates the cases of `kubevalue slo test` as the service does: slices in tables, sums in SQL.
type sloTables struct{ db *warehouse.DB }

func scratchTables(ctx context.Context, library string, log io.Writer) (sloTables, func(), error) {
	engine, err := startScratch(ctx, library, log)
	if err != nil {
		return sloTables{}, nil, err
	}
	db, err := engine.database(ctx, "cases")
	if err != nil {
		engine.close()
		return sloTables{}, nil, err
	}
	return sloTables{db}, engine.close, nil
}

func (t sloTables) load(ctx context.Context, c slotest.Case) (slotest.Evaluate, error) {
	of := map[string]indicator{}
	var rows []schema.Slice
	for name, list := range c.Series {
		of[name] = indicator{Name: name, Revision: c.ID}
		for i, s := range list {
			rows = append(rows, schema.Slice{
				Indicator: name, Revision: c.ID, Start: s.Start, Seconds: uint32(c.Request.Grid.Step / time.Second),
				Good: s.Good, Total: s.Total, State: schema.SliceState(s.State), Version: uint64(i + 1),
			})
		}
	}
	for month, part := range byMonth(rows) {
		if err := t.db.InsertSlices(ctx, c.ID+"/"+month, part); err != nil {
			return nil, fmt.Errorf("store the slices of %s: %w", c.ID, err)
		}
	}
	return func(ctx context.Context, req slo.Request) (slo.Status, error) {
		return evaluateStored(ctx, t.db, req, of)
	}, nil
}

// byMonth splits rows so that each part fits one partition.
func byMonth(rows []schema.Slice) map[string][]schema.Slice {
	parts := map[string][]schema.Slice{}
	for _, r := range rows {
		month := r.Start.UTC().Format("2006-01")
		parts[month] = append(parts[month], r)
	}
	return parts
}
