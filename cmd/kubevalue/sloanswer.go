package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

// printable is an answer: its JSON says all, print what fits a terminal.
type printable interface{ print(out io.Writer) error }

// answering makes a command of a question about objectives, with --config and --json.
func answering(cmd *cobra.Command, ask func(cmd *cobra.Command, f *figures, args []string) (printable, error)) *cobra.Command {
	var asJSON bool
	path := configFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withFigures(cmd, *path, func(f *figures) error {
			answer, err := ask(cmd, f, args)
			if err != nil {
				return err
			}
			if !asJSON {
				return answer.print(cmd.OutOrStdout())
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(answer)
		})
	}
	return cmd
}

// latestFlag adds --latest.
func latestFlag(cmd *cobra.Command, newest *bool) {
	cmd.Flags().BoolVar(newest, "latest", false, "figures of closed periods from what the tables have now, not as they were published")
}

func noObjectives(out io.Writer) error {
	_, err := fmt.Fprintln(out, "no objective is configured: list OpenSLO files under objectives.openslo")
	return err
}

// statusTexts are the figures of a status for a table; a dash is an undefined value, never a zero.
type statusTexts struct{ target, consumed, uptime, bad, coverage, n string }

func figuresOf(s *slo.Status) statusTexts {
	if s == nil {
		return statusTexts{"-", "-", "-", "-", "-", "-"}
	}
	t := statusTexts{
		target: reports.Ratio(s.Target), consumed: optionalText(s.Consumed, reports.Ratio), uptime: optionalText(s.Uptime, reports.Ratio),
		bad: reports.Number(s.BadMinutes), coverage: coverageText(s), n: reports.Number(float64(s.MeasuredSlices)),
	}
	if s.Uptime == nil {
		t.bad = "-"
	}
	return t
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
