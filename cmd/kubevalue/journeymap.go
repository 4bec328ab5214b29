package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// loadMetrics are the built-in metrics and the configured ones, which may not take an id that is in use. Those about costs are in the
// currency of the configured prices.
func (c *Config) loadMetrics() ([]journey.Metric, error) {
	metrics, err := catalogue.Load()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, m := range metrics {
		known[m.ID] = true
	}
	for _, pattern := range c.Journey.Metrics {
		files, err := filepath.Glob(c.path(pattern))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("journey.metrics: no file matches %q", pattern)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read a metric: %w", err)
			}
			m, err := catalogue.Parse(data)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if known[m.ID] {
				return nil, fmt.Errorf("%s: the id %s is taken: choose one of your own", name, m.ID)
			}
			known[m.ID] = true
			metrics = append(metrics, m)
		}
	}
	return catalogue.InCurrency(metrics, c.Costs.Currency, c.currencyOfMinutes()), nil
}

// loadMap is the configured journey map, or the built-in one; it has passed the lint.
func (c *Config) loadMap(metrics []journey.Metric) (journey.Map, error) {
	if c.Journey.Map == "" {
		m, err := journey.BuiltInMap()
		if err != nil {
			return m, err
		}
		return m, m.Lint(metrics)
	}
	name := c.path(c.Journey.Map)
	data, err := os.ReadFile(name)
	if err != nil {
		return journey.Map{}, fmt.Errorf("read the journey map: %w", err)
	}
	m, err := journey.ParseMap(data)
	if err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	if err := m.Lint(metrics); err != nil {
		return m, fmt.Errorf("%s:\n%w", name, err)
	}
	return m, nil
}

// withFigures runs a command on the read side of the configuration at path.
func withFigures(cmd *cobra.Command, path string, run func(f *figures) error) error {
	return withWarehouse(cmd, path, func(cfg *Config, db *warehouse.DB) error {
		if _, err := db.Migrate(cmd.Context()); err != nil {
			return err
		}
		f, err := newFigures(cfg, db, time.Now)
		if err != nil {
			return err
		}
		return run(f)
	})
}

func journeyCommand() *cobra.Command {
	return group("journey", "Show and check the customer journey value map",
		`The map places metrics on the phases of the customer journey (Creation, Operation, Cleanup), once for each perspective. A cell has metrics,
or a declared gap with its reason.`,
		journeyShowCommand(), journeyLintCommand())
}

func journeyShowCommand() *cobra.Command {
	var period string
	cmd := &cobra.Command{Use: "show", Short: "Print the map with the values of a period", Args: cobra.NoArgs,
		Example: "  kubevalue journey show --period 2026-W46"}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&period, "period", "", "2026-W46, 2026-11, 2026-Q4, a day, or current (default: the last complete week)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withFigures(cmd, *path, func(f *figures) error {
			shown, err := f.journey(cmd.Context(), period)
			if err != nil {
				return err
			}
			return printMap(cmd.OutOrStdout(), shown)
		})
	}
	return cmd
}

func printMap(w io.Writer, shown journey.Shown) error {
	p := shown.Period
	fmt.Fprintf(w, "%s: %s to %s (%s)\n", p.Label, p.From.Format(time.RFC3339), p.To.Format(time.RFC3339), p.Zone)
	phase := ""
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, cell := range shown.Cells {
		if cell.Phase != phase {
			phase = cell.Phase
			fmt.Fprintf(t, "\n%s\nACTIVITY\tPERSPECTIVE\tMETRIC\tVALUE\tTARGET\tN\tCOVERAGE\tTREND\n", strings.ToUpper(phase))
		}
		for _, f := range cell.Figures {
			fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t%s\t%d\t%s\t%s\n", cell.Activity, cell.Perspective, f.Metric.ID, f.Metric.Title, valueText(f.Value, f.Error),
				optionalText(f.Place.Target, func(v float64) string { return reports.Value(v, f.Metric.Unit) }), f.Value.N, optionalText(f.Value.Coverage, reports.Ratio), f.Trend)
		}
		if cell.Gap != "" {
			fmt.Fprintf(t, "%s\t%s\tno figure yet: %s\n", cell.Activity, cell.Perspective, cell.Gap)
		}
	}
	return t.Flush()
}

// valueText is a value with its unit, or why there is none.
func valueText(v journey.Value, fault string) string {
	switch {
	case fault != "":
		return "error: " + fault
	case v.Value != nil:
		return reports.Value(*v.Value, v.Unit)
	}
	return v.Missing()
}

func optionalText(v *float64, text func(float64) string) string {
	if v == nil {
		return "-"
	}
	return text(*v)
}

func journeyLintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lint [FILE]",
		Short: "Refuse a map with a cell that has neither a metric nor a declared gap",
		Long:  "Checks a map file, or the built-in map, against the built-in metrics: every activity needs a cell for each perspective, with known metrics or a gap and its reason. Exit code 1 when something is wrong.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg := defaults()
			name := "the built-in map"
			if len(args) == 1 {
				name, cfg.Journey.Map = args[0], args[0]
			}
			metrics, err := cfg.loadMetrics()
			if err != nil {
				return err
			}
			m, err := cfg.loadMap(metrics)
			if err != nil {
				return err
			}
			activities := 0
			for _, p := range m.Phases {
				activities += len(p.Activities)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is complete: %d phases, %d activities, %d perspectives\n", name, len(m.Phases), activities, len(m.Perspectives))
			return nil
		},
	}
	return cmd
}
