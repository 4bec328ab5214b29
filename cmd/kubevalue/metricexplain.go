package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
)

func metricExplainCommand() *cobra.Command {
	flags := evalFlags{periods: 1}
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "Show how a figure comes about: definition, SQL, parameters and the rows that it was made of",
		Long: `Computes the figure of one period anew and prints the definition, each statement that was put to the tables with its parameters and what it
returned, and the figure that was made of it. A statement and its parameters can be given to any ClickHouse client as they stand.`,
		Example: `  kubevalue metric explain C15 --period 2026-W46
  kubevalue metric explain A1 --filter cluster=eu-1`,
		Args: one("the ID of a metric"),
	}
	path := configFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.period, "period", "", "the period: 2026-W46, 2026-11, 2026-Q4, a day, or current (default: the last complete one)")
	f.StringVar(&flags.grain, "grain", "", grainHelp)
	f.StringVar(&flags.by, "by", "", "split by a dimension of the metric")
	f.StringToStringVar(&flags.filter, "filter", nil, "restrict a dimension, e.g. team=payments")
	f.StringVar(&flags.format, "format", "table", "table or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withFigures(cmd, *path, func(fig *figures) error {
			r, err := flags.request(fig, args[0])
			if err == nil && flags.format == "csv" {
				err = fmt.Errorf("--format csv: an explanation is no table, want table or json")
			}
			if err != nil {
				return usageError{err: err, text: cmd.UsageString()}
			}
			explained, err := fig.evaluator.Explain(cmd.Context(), r)
			if err != nil {
				return err
			}
			if flags.format == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(explained)
			}
			return printExplanation(cmd.OutOrStdout(), explained)
		})
	}
	return cmd
}

// shownRows is how many rows of an answer an explanation prints; JSON has them all.
const shownRows = 20

func printExplanation(w io.Writer, e catalogue.Explanation) error {
	printMetric(w, e.Metric)
	for i, s := range e.Statements {
		fmt.Fprintf(w, "\nstatement %d of %d, %s:\n%s\n", i+1, len(e.Statements), s.Took.Round(time.Millisecond), s.SQL)
		for _, name := range slices.Sorted(maps.Keys(s.Params)) {
			fmt.Fprintf(w, "  %s = %s\n", name, cellText(s.Params[name]))
		}
		if len(s.Rows) == 0 {
			fmt.Fprintln(w, "returned no rows")
			continue
		}
		fmt.Fprintf(w, "returned %d rows: %s\n", len(s.Rows), strings.Join(s.Columns, ", "))
		for k, row := range s.Rows {
			if k == shownRows {
				fmt.Fprintf(w, "  … and %d more\n", len(s.Rows)-shownRows)
				break
			}
			cells := make([]string, len(row))
			for c, v := range row {
				cells[c] = cellText(v)
			}
			fmt.Fprintf(w, "  %s\n", strings.Join(cells, ", "))
		}
	}
	if len(e.Statements) == 0 {
		fmt.Fprintln(w, "\nno statement: the figure is the SLO engine's, see kubevalue slo status")
	}
	for _, v := range e.Values {
		fmt.Fprintf(w, "\n%s, %s, version %d, computed %s\n", v.Period.Label, dimensionText(v.Dimensions), v.Version, timeText(v.ComputedAt))
		if v.Numerator != nil && v.Denominator != nil {
			fmt.Fprintf(w, "  numerator / denominator: %s / %s\n", cellText(v.Numerator), cellText(v.Denominator))
		}
	}
	fmt.Fprintln(w)
	return printValues(w, "table", e.Values)
}

// printMetric prints a definition with its SQL.
func printMetric(out io.Writer, m journey.Metric) {
	fmt.Fprintf(out, "%s %s (version %d, %s)\n%s\n\n%s\n\nunit: %s, good is %s\nsources: %s\ninterval: %s\n", m.ID, m.Title, m.Version, m.Stability, m.Question, strings.TrimSpace(m.Definition), m.Unit, m.Direction, strings.Join(m.Sources, ", "), m.Interval)
	fmt.Fprintf(out, "dimensions: %s\nminimum sample: %d, small groups: %s\n", orDash(strings.Join(m.Dimensions, ", ")), m.MinSample, m.SmallGroup)
	switch {
	case m.Analysis != nil:
		fmt.Fprintf(out, "computed by the analysis %s of %ss\n", m.Analysis.Name, m.Analysis.Entity)
	case m.Objective != nil:
		fmt.Fprintf(out, "taken from the SLO engine: %s, %s over the objectives\n", m.Objective.Figure, m.Objective.Combine)
	case m.SQL != nil:
		for _, part := range m.SQL.Statements() {
			if part.SQL == strings.TrimSpace(m.SQL.Sample) {
				part.Name += ", of which the " + string(m.SQL.Statistic)
			}
			fmt.Fprintf(out, "\n%s:\n%s\n", part.Name, part.SQL)
		}
	}
}

// longText is how much of a parameter or a cell is printed, in bytes.
const longText = 400

// cellText prints a parameter or a cell, cut where it is long.
func cellText(v any) string {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return "NULL"
		}
		v = r.Elem().Interface()
	}
	s := fmt.Sprint(v)
	if t, ok := v.(string); ok {
		s = fmt.Sprintf("%q", t)
	}
	if len(s) > longText {
		s = strings.ToValidUTF8(s[:longText], "") + " …"
	}
	return s
}
