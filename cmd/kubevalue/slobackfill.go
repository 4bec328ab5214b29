package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/promquery"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func sloBackfillCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "backfill [OBJECTIVE]",
		Short: "Fetch the past of objectives from Prometheus servers",
		Long: `Asks the Prometheus servers of all objectives, or of one, for the slices of a period, in chunks and with progress, and stores what is new
about them. A slice without samples becomes a gap, unless something was measured in it before; what lies before the first measured slice
is left out. It can be stopped and repeated: what is known is not stored again. ` + "`kubevalue serve`" + ` fetches the last day by itself.

Where it changes figures of closed periods, the service appends revisions: within an hour, or within a day for periods that ended more than
120 days ago; ` + "`kubevalue slo publish`" + ` does so at once. Slices older than retention.slices are refused: they would go at once.`,
		Example: "  kubevalue slo backfill --from 2026-01-01\n  kubevalue slo backfill checkout --from 2026-01-01 --to 2026-02-01",
		Args:    cobra.MaximumNArgs(1),
	}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&from, "from", "", "first date or time of the period, in the reporting zone")
	cmd.Flags().StringVar(&to, "to", "", "end of the period, not part of it (default: now)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withWarehouse(cmd, *path, func(cfg *Config, db *warehouse.DB) error {
			period, err := cfg.backfillPeriod(from, to, time.Now())
			if err != nil {
				return usageError{err: err, text: cmd.UsageString()}
			}
			indicators, err := cfg.backfilled(first(args))
			if err != nil {
				return err
			}
			if _, err := db.Migrate(cmd.Context()); err != nil {
				return err
			}
			return backfillAll(cmd, cfg, db, indicators, period)
		})
	}
	return cmd
}

// backfillPeriod reads the bounds of a period that ends now at the latest.
func (c *Config) backfillPeriod(from, to string, now time.Time) (schema.Segment, error) {
	var p schema.Segment
	var err error
	if from == "" {
		return p, fmt.Errorf("--from: since when? write a date or a time")
	}
	if p.From, err = c.instant(from); err != nil {
		return p, fmt.Errorf("--from: %w", err)
	}
	if p.To, err = c.instant(to); err != nil {
		return p, fmt.Errorf("--to: %w", err)
	}
	if kept := time.Duration(c.Retention.Slices); kept > 0 && p.From.Before(now.Add(-kept)) {
		return p, fmt.Errorf("--from %s: slices are kept for %s only (retention.slices), so what is before %s would go at once", from, daysText(kept), now.Add(-kept).UTC().Format("2006-01-02 15:04 UTC"))
	}
	if end := now.Add(-promquery.DefaultLag); p.To.IsZero() || p.To.After(end) {
		p.To = end
	}
	if !p.From.Before(p.To) {
		return p, fmt.Errorf("--from %s is not before the end of the period, %s", from, p.To.Format(time.RFC3339))
	}
	return p, nil
}

// backfilled are the indicators that Prometheus servers are asked for, for all objectives or for one.
func (c *Config) backfilled(name string) ([]promquery.Indicator, error) {
	objectives, err := c.loadObjectives()
	if err != nil {
		return nil, err
	}
	of, err := objectiveNamed(objectives, name)
	if err != nil {
		return nil, err
	}
	var out []promquery.Indicator
	for _, i := range c.promIndicators {
		at := indicator{Name: i.Name, Revision: promquery.Revision(i)}
		if slices.ContainsFunc(of, func(o configuredObjective) bool { return o.measures(at) }) {
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no objective asks a Prometheus server: their metricSource has another type than Prometheus")
	}
	return out, nil
}

// measures says whether an objective is computed from the slices of an indicator.
func (o configuredObjective) measures(at indicator) bool {
	for _, of := range o.Of {
		if of == at {
			return true
		}
	}
	return false
}

func backfillAll(cmd *cobra.Command, cfg *Config, db *warehouse.DB, indicators []promquery.Indicator, period schema.Segment) error {
	servers, err := cfg.promSources()
	if err != nil {
		return err
	}
	known := func(ctx context.Context, q schema.SliceQuery) ([]schema.Slice, error) { return db.Slices(ctx, q) }
	_, err = storing(cmd, cfg, db, func(pipe *pipeline.Pipeline) error {
		for _, i := range indicators {
			bar := newBar(cmd.ErrOrStderr(), "backfill "+i.Name, int64(period.To.Sub(period.From)/i.Slice))
			sum, err := promquery.Backfill(cmd.Context(), promquery.BackfillConfig{
				Indicator: i, Ask: servers[i.Server].Ask, Sink: pipe, Known: known, From: period.From, To: period.To,
				Progress: func(asked int) { _ = bar.Set(asked) },
			})
			_ = bar.Finish()
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d slices asked for, %d measured and %d gaps stored\n", i.Name, sum.Asked, sum.Measured, sum.Gaps)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
