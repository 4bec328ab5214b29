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

Exit code 0 when all passed, 1 when a test failed (it prints what it wanted, what it got and the slices around), 2 when a file is
malformed (with line and column) or cannot be read; the tests of the other files run. - stands for standard input. The files in slo/testdata
show every key.

A test
  objective    {name, target, window, method, time_slice_target: 1, missing: gap, min_coverage: 0.9, min_events: 0, alerts}, with the
               defaults shown. target is a ratio inside (0, 1); window a duration (rolling) or {calendar: day|week|month|quarter|year,
               timezone: Europe/Berlin}, weeks from Monday; method occurrences, timeslices or ratio_timeslices; missing gap, good or
               bad; alerts a list of {severity, long, short, factor}, the default pairs when absent, [] for none.
  openslo      in place of it: a text block with documents that define one SLO. The startTime of its calendar anchors the periods.
               SLIs and data sources that it refers to may be elsewhere: the slices are the test's.
  composite    in place of it: {name, target, window, kind: weighted, of: [{name, weight: 1, time_slice_target: 1}], missing,
               min_coverage, alerts}, kind weighted or any_down, with series: {name: "..."} in place of slices.
  start        the time of the first slice listed, and slice: the length of one, both in whole seconds. All slices lie on this raster.
  slices       good/total per slice, *N for N copies in all, _ for a slice without data, with blanks or line breaks between.
  exclusions   [{from, to, reason, author}], or weekly: {day: sunday, from: "02:00", to: "04:00", timezone} in place of from and to.
  incidents    [{id, from, to, class, cause: own|upstream, title}]; without to it lasts.
  tolerance    of the numbers of this test; without it they agree within max(1e-6 x |want|, 1e-6).
  expect       a list, see below. Times are offsets from start (90m, 1h30m, 4w) or times (2026-03-01T00:00:00+01:00); intervals are
               half-open.

What is expected, every key optional
  at           the watermark, floored to the slice unless a calendar period ends at it; the end of the slices listed when absent.
  sli, error_ratio, coverage, budget_consumed, budget_remaining, good, total, good_slices, bad_slices, measured_slices,
  excluded_slices, expected_slices, bad_minutes, allowed_minutes, remaining_minutes, spared_minutes, spared_budget: a number, or null
  for undefined; partial: true|false; exhausted_at: a time
  burn_rate    {5m: 1.5, 1h: null}
  alerts       [{severity: page, state: firing|frozen|inactive}]; severities that are not listed may be in any state
  attribution  {INC-1: 0.5, unattributed: 0.5}, shares of the budget consumed; null when nothing was consumed
  error        a text that the refusal contains; alone, without figures

Rules
  - A rolling window is [at - window, at); at on a calendar boundary evaluates the period that just ended. A window has the slices that
    start in it. Slices from start to at that are not listed are gaps; those before start are expected and unmeasured, and missing
    does not speak about them.
  - A slice is excluded, or belongs to an incident, when it overlaps the interval at all. An exclusion beats a gap, and exclusions
    that overlap count once. expected = slices of the window - excluded, in a calendar period under way up to at; coverage = measured
    / expected, null when everything is excluded.
  - A slice is good when good/total is not below the time slice target; a difference in the 12th digit is rounding and none. 0/0 is
    measured: without effect on occurrences, outside the denominator of slice methods. Counted slices without any valid event: sli,
    error_ratio and burn_rate null, consumed 0. Nothing counted: the budget is null, too.
  - Consumed is error ratio / (1 - target). Slice methods in a calendar period under way: bad / ((1 - target) x (counted + still to
    come, not excluded)).
  - missing: good and bad count a missing slice as a whole, without raising coverage; bad ones belong to the incidents over them.
    Both are refused with occurrences.
  - Default pairs are 14.4 1h/5m and 6 6h/30m (page), 3 1d/2h and 1 3d/6h (ticket) for 30 days, the factors scaled to the window.
    Those with a long window above a seventh of the window's actual length, or a factor not below 1/(1 - target), are left out; given
    explicitly, one with a long window above the whole window, or such a factor, is refused.
  - A pair is frozen when the coverage of its long window is below min_coverage, all of it is excluded, or its short window has no
    measured slice (never has one, when it is shorter than a slice). Else it fires when both burn rates are above the factor, beyond
    rounding. A severity fires if any pair does, else is frozen if any pair is, else inactive.
  - weighted: per slice sum of weight x good/total / sum of weights over the children with events; any child's gap makes a gap;
    budgeted as ratio_timeslices. any_down: bad if any measured child is below its time_slice_target, else a gap if any is a gap, else
    good; budgeted as timeslices. All 0/0 makes 0/0. good and total are null.
  - Incidents that overlap share a slice's bad amount equally; one outside of the window is listed with 0.`,
		Args: atLeastOne("the FILEs to run"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var files []slotest.Source
			unread := false
			for _, name := range args {
				shown, text, err := readInput(cmd.InOrStdin(), name)
				if err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "kubevalue: %v: name files with tests\n", err)
					unread = true
					continue
				}
				files = append(files, slotest.Source{Name: shown, Text: text})
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
			code := slotest.Run(cmd.Context(), cmd.OutOrStdout(), files, others...).ExitCode()
			if unread {
				code = 2
			}
			if code != 0 {
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
