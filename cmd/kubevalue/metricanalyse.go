package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey/analysis"
)

// analysisAnswer is what an analysis found.
type analysisAnswer struct {
	Analysis string         `json:"analysis"`
	Args     map[string]any `json:"args"`
	Columns  []string       `json:"columns,omitempty"`
	Rows     [][]any        `json:"rows,omitempty"`
	Value    map[string]any `json:"value,omitempty"`
}

func metricAnalyseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "analyse NAME KEY=VALUE…",
		Short: "Run an analysis: retention, funnel, lifecycle, segments, teams, reliability, …",
		Long: `Runs one of the analyses: ` + strings.Join(analysis.Names(), ", ") + `.

The arguments are those of cases for ` + "`kubevalue metric test`" + `, values in YAML: entity (actor, team), event, grain, from and to (half-open), actor_kind, cluster,
persona, min_members, and those of the analysis, such as steps and window of a funnel. ` + "`reliability`" + ` asks whether teams fell silent more often
after incidents and burnt error budgets (cause=incident or cause=budget: after one of them only), and admits when it cannot tell; ` + "`teams`" + ` says by name who joined, returned, stalled or left.`,
		Example: `  kubevalue metric analyse retention entity=team grain=week from=2026-08-03 to=2026-11-16
  kubevalue metric analyse funnel steps=[namespaces.create,deployments.create] window=7d from=2026-10-01 to=2026-11-01
  kubevalue metric analyse survey kind=nps from=2026-07-01 to=2026-10-01`,
		Args: cobra.MinimumNArgs(1),
	}
	return answering(cmd, func(cmd *cobra.Command, f *figures, args []string) (printable, error) {
		answer := analysisAnswer{Analysis: args[0], Args: map[string]any{}}
		for _, arg := range args[1:] {
			key, text, ok := strings.Cut(arg, "=")
			if !ok {
				return nil, fmt.Errorf("argument %q: want KEY=VALUE", arg)
			}
			value := any(text)
			if key != "from" && key != "to" {
				if err := yaml.Unmarshal([]byte(text), &value); err != nil {
					return nil, fmt.Errorf("argument %s: %w", key, err)
				}
			}
			if n, ok := value.(uint64); ok {
				value = int(n)
			}
			answer.Args[key] = value
		}
		found, err := analysis.Run(cmd.Context(), f.analyses(), answer.Analysis, answer.Args)
		answer.Columns, answer.Rows, answer.Value = found.Columns, found.Rows, found.Value
		return answer, err
	})
}

// print writes the answer for a terminal.
func (a analysisAnswer) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if len(a.Columns) > 0 {
		fmt.Fprintln(w, strings.ToUpper(strings.Join(a.Columns, "\t")))
	}
	for _, row := range a.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = analysedText(v)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	for _, key := range slices.Sorted(maps.Keys(a.Value)) {
		fmt.Fprintf(w, "%s\t%s\n", key, analysedText(a.Value[key]))
	}
	return w.Flush()
}

// analysedText is a cell of an analysis; a dash is undefined.
func analysedText(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case float64:
		return fmt.Sprintf("%.4g", v)
	case string:
		return orDash(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
