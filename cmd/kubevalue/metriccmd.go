package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/reports"
)

func metricCommand() *cobra.Command {
	return group("metric", "List, evaluate, explain and test metrics",
		"A metric is one definition in YAML with the question that it answers, its SQL, its unit and its interval method. journey/METRICS.md lists them.",
		metricListCommand(), metricShowCommand(), metricEvalCommand(), metricExplainCommand(), metricAnalyseCommand(), metricTestCommand(), metricPublishCommand(), metricRevisionsCommand())
}

// configuredMetrics are the built-in metrics and, with a configuration, the user's own.
func configuredMetrics(path string) ([]journey.Metric, error) {
	if path == "" {
		return catalogue.Load()
	}
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	return cfg.loadMetrics()
}

func metricListCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "list", Short: "List the metrics", Args: cobra.NoArgs,
		Long: "Lists the built-in metrics and, with --config, those of journey.metrics in that configuration."}
	cmd.Flags().StringVar(&path, "config", "", "configuration file whose metrics are listed, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		metrics, err := configuredMetrics(path)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tTITLE\tUNIT\tGOOD\tPHASE\tPERSPECTIVES\tDIMENSIONS")
		for _, m := range metrics {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.Title, m.Unit, m.Direction, m.Phase, strings.Join(m.Perspectives, ","), strings.Join(m.Dimensions, ","))
		}
		return w.Flush()
	}
	return cmd
}

func metricShowCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "show ID", Short: "Print the definition of a metric, with its SQL", Args: one("the ID of a metric")}
	cmd.Flags().StringVar(&path, "config", "", "configuration file whose metrics are known, too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		metrics, err := configuredMetrics(path)
		if err != nil {
			return err
		}
		m, err := catalogue.Evaluator{Metrics: metrics}.Metric(args[0])
		if err != nil {
			return err
		}
		printMetric(cmd.OutOrStdout(), m)
		return nil
	}
	return cmd
}

// grainHelp says what --grain is for: other periods name theirs.
const grainHelp = "day, week, month or quarter: of the default period (week unless given), and of one that begins on a date (day unless given)"

// evalFlags are those of `kubevalue metric eval`.
type evalFlags struct {
	period, grain, by, format string
	periods                   int
	filter                    map[string]string
	compare, latest           bool
}

func metricEvalCommand() *cobra.Command {
	var flags evalFlags
	cmd := &cobra.Command{
		Use:   "eval ID",
		Short: "Compute a metric over periods, as a table, CSV or JSON",
		Long: `Prints the values of a metric with n, 95% interval and coverage. Of periods that have closed it prints what was published, and says so when
there are later revisions (` + "`kubevalue metric revisions`" + `); with --latest, what is computed from the tables now.`,
		Example: `  kubevalue metric eval C15 --periods 12
  kubevalue metric eval A1 --period 2026-10 --by team --format csv`,
		Args: one("the ID of a metric"),
	}
	path := configFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.period, "period", "", "the last period: 2026-W46, 2026-11, 2026-Q4, a day, or current (default: the last complete one)")
	f.StringVar(&flags.grain, "grain", "", grainHelp)
	f.IntVar(&flags.periods, "periods", 1, "how many periods, up to the last")
	f.StringVar(&flags.by, "by", "", "split by a dimension of the metric")
	f.StringToStringVar(&flags.filter, "filter", nil, "restrict a dimension, e.g. team=payments")
	f.BoolVar(&flags.compare, "compare", false, "add the period before and the same period a year before")
	f.StringVar(&flags.format, "format", "table", "table, csv or json")
	f.BoolVar(&flags.latest, "latest", false, "compute closed periods anew instead of printing what was published")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withFigures(cmd, *path, func(fig *figures) error {
			r, err := flags.request(fig, args[0])
			if err != nil {
				return usageError{err: err, text: cmd.UsageString()}
			}
			evaluate := fig.asPublished(fig.evaluator.Evaluate)
			if flags.latest {
				evaluate = fig.evaluator.Evaluate
			}
			values, err := evaluate(cmd.Context(), r)
			if err != nil {
				return err
			}
			return printValues(cmd.OutOrStdout(), flags.format, values)
		})
	}
	return cmd
}

func (e evalFlags) request(f *figures, id string) (journey.Request, error) {
	r := journey.Request{Metric: id, By: e.by, Filter: e.filter, Compare: e.compare}
	grain, err := journey.ParseGrain(orElse(e.grain, string(journey.GrainWeek)))
	if err != nil {
		return r, fmt.Errorf("--%w", err)
	}
	if !slices.Contains([]string{"table", "csv", "json"}, e.format) {
		return r, fmt.Errorf("--format %q: want table, csv or json", e.format)
	}
	if e.periods < 1 || e.periods > 1000 {
		return r, fmt.Errorf("--periods %d: want 1 to 1000", e.periods)
	}
	var last journey.Period
	switch e.period {
	case "":
		last = f.calendar.Last(grain, 1, f.now())[0]
	case "current":
		last = f.calendar.Period(grain, f.now())
	default:
		if last, err = f.calendar.Parse(e.period, journey.Grain(e.grain)); err != nil {
			return r, fmt.Errorf("--%w", err)
		}
	}
	for range e.periods {
		r.Periods = append(r.Periods, last)
		last = f.calendar.Previous(last)
	}
	slices.Reverse(r.Periods)
	return r, nil
}

func printValues(w io.Writer, format string, values []journey.Value) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(values)
	case "csv":
		return printCSV(w, values)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "PERIOD\tOF\tVALUE\t95% INTERVAL\tN\tCOVERAGE\tBEFORE\tA YEAR AGO")
	for _, v := range values {
		label := v.Period.Label
		if v.Partial {
			label += " (not over)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", label, dimensionText(v.Dimensions), valueText(v, ""), intervalText(v), v.N, optionalText(v.Coverage, reports.Ratio), comparedText(v.Previous), comparedText(v.YearAgo))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(values) == 0 {
		fmt.Fprintln(w, "no data: there is nothing to split")
	}
	if line := sparkline(values); line != "" {
		fmt.Fprintln(w, line)
	}
	for _, v := range values {
		if p := v.Published; p != nil && p.Revisions > p.Revision {
			fmt.Fprintf(w, "%s is as published; %d later revisions, the last one for: %s\n", v.Period.Label, p.Revisions-p.Revision, p.Newest)
		}
	}
	return nil
}

func intervalText(v journey.Value) string {
	if v.Low == nil || v.High == nil {
		return "-"
	}
	return reports.Value(*v.Low, v.Unit) + " to " + reports.Value(*v.High, v.Unit)
}

func comparedText(v *journey.Value) string {
	if v == nil {
		return "-"
	}
	return valueText(*v, "")
}

func dimensionText(d map[string]string) string {
	if len(d) == 0 {
		return "all"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(d)) {
		parts = append(parts, k+"="+d[k])
	}
	return strings.Join(parts, " ")
}

// sparkline draws the values of one series from zero or their minimum, whichever is lower; gaps stay empty. Empty for fewer than three values.
func sparkline(values []journey.Value) string {
	if len(values) < 3 || values[0].Period.Label == values[1].Period.Label {
		return ""
	}
	low, high := 0.0, 0.0
	for _, v := range values {
		if v.Value != nil {
			low, high = min(low, *v.Value), max(high, *v.Value)
		}
	}
	if low == high {
		return ""
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = ' '
		if v.Value != nil {
			line[i] = blocks[int((*v.Value-low)/(high-low)*float64(len(blocks)-1)+0.5)]
		}
	}
	return string(line)
}

func printCSV(w io.Writer, values []journey.Value) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"metric", "version", "period", "from", "to", "timezone", "dimensions", "value", "unit", "numerator", "denominator", "n", "low", "high", "interval", "coverage", "partial", "withheld", "computed_at", "revision"}}
	number := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', -1, 64)
	}
	const layout = "2006-01-02T15:04:05Z07:00"
	for _, v := range values {
		rows = append(rows, []string{
			v.Metric, strconv.Itoa(v.Version), v.Period.Label, v.Period.From.Format(layout), v.Period.To.Format(layout), v.Period.Zone, dimensionText(v.Dimensions),
			number(v.Value), v.Unit, number(v.Numerator), number(v.Denominator), strconv.Itoa(v.N), number(v.Low), number(v.High), string(v.Interval),
			number(v.Coverage), strconv.FormatBool(v.Partial), v.Withheld, v.ComputedAt.UTC().Format(layout), revisionText(v),
		})
	}
	return errors.Join(out.WriteAll(rows), out.Error())
}

// revisionText is the number of the published revision, empty when the value was computed for this answer.
func revisionText(v journey.Value) string {
	if v.Published == nil {
		return ""
	}
	return strconv.FormatUint(uint64(v.Published.Revision), 10)
}
