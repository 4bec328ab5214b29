package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

func sloCommand() *cobra.Command {
	return group("slo", "Show error budgets, what used them and what that was worth, and test their arithmetic",
		"Objectives come from the OpenSLO documents of the configuration, their slices from probes, scraped targets, Prometheus servers and agents.",
		sloStatusCommand(), sloCompareCommand(), sloAttributeCommand(), sloFollowupsCommand(), sloValueCommand(), sloExplainCommand(), sloPublishCommand(), sloRevisionsCommand(),
		sloExclusionCommand(), sloTestCommand(), sloOpenSLOCommand(), sloBackfillCommand(), sloRecomputeCommand(), sloControlPlaneCommand())
}

func sloStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Print SLI, budget, burn rates, forecast, coverage and watermark of objectives",
		Long: `Prints all objectives in a table, or one with all that is known of it. Figures are of the objective's own window up to the watermark, the time
up to which measurement is complete. A dash is an undefined value, never a zero. USED UP is when, at the present burn rate, nothing will be left of
the budget: a dash if that cannot be told, or not before the calendar period ends. An objective per group is shown for all groups
together, and by its name for each of them.`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withFigures(cmd, *path, func(f *figures) error {
			of, err := f.objectives.named(first(args))
			if err != nil {
				return err
			}
			all, err := f.objectives.withGroups(cmd.Context(), of)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				enc := json.NewEncoder(out)
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			case len(args) == 1:
				return errors.Join(printObjective(out, all[0].Objective, f.now()), all[0].printGroups(out))
			}
			return printObjectives(out, all, f.now())
		})
	}
	return cmd
}

func printObjectives(out io.Writer, all []groupedObjective, now time.Time) error {
	if len(all) == 0 {
		fmt.Fprintln(out, "no objective is configured: list OpenSLO files under objectives.openslo")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "OBJECTIVE\tTARGET\tWINDOW\tSLI\tBUDGET USED\tLEFT\tLEFT (MIN)\tBURN RATE\tUSED UP\tCOVERAGE\tN (SLICES)\tWATERMARK (UTC)\tALERTS")
	for _, o := range all {
		if o.Status == nil {
			fmt.Fprintf(w, "%s\t%s\n", o.Name, o.Error)
			continue
		}
		s := o.Status
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.Name, reports.Ratio(s.Target), o.Window, optionalText(s.SLI, reports.Ratio), optionalText(s.Consumed, reports.Ratio),
			optionalText(s.Remaining, reports.Ratio), optionalText(s.RemainingMinutes, reports.Number), burnText(s.Forecast), usedUp(s.Forecast, now), coverageText(s),
			reports.Number(float64(s.MeasuredSlices)), timeText(s.At), alertText(s))
	}
	return w.Flush()
}

// burnText is the present burn rate with the window that it is of.
func burnText(f slo.Forecast) string {
	return optionalText(f.Burn, reports.Number) + " (" + slo.FormatDuration(f.Window) + ")"
}

// usedUp is the date of the forecast as of now; a dash when there is none.
func usedUp(f slo.Forecast, now time.Time) string {
	switch {
	case f.Exhausted:
		return "already"
	case f.At != nil && f.At.Sub(now) > farAway:
		return "not in a year"
	case f.At != nil:
		return timeText(*f.At)
	}
	return "-"
}

func coverageText(s *slo.Status) string {
	text := optionalText(s.Coverage, reports.Ratio)
	if s.LowCoverage {
		text += " (too little)"
	}
	return text
}

// alertText are the alerts that are not inactive, with why a frozen one cannot tell.
func alertText(s *slo.Status) string {
	var out []string
	for _, a := range s.Alerts {
		if a.State == slo.Inactive {
			continue
		}
		text := a.Severity + " " + string(a.State)
		if i := slices.IndexFunc(s.Pairs, func(p slo.PairStatus) bool { return p.Severity == a.Severity && p.State == a.State }); i >= 0 && s.Pairs[i].Reason != "" {
			text += " (" + s.Pairs[i].Reason + ")"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

func printObjective(out io.Writer, o dashboards.Objective, now time.Time) error {
	if o.Status == nil {
		return fmt.Errorf("objective %s: %s", o.Name, o.Error)
	}
	s := o.Status
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("objective", "%s (%s)", o.Name, o.Service)
	line("target", "%s over %s, budgeted by %s", reports.Ratio(s.Target), o.Window, o.Method)
	line("period", "%s to %s%s", timeText(s.Period.From), timeText(s.Period.To), map[bool]string{true: ", under way", false: ""}[s.Partial])
	line("measured up to", "%s (UTC)", timeText(s.At))
	line("SLI", "%s", optionalText(s.SLI, reports.Ratio))
	if s.Good != nil { // a composite has no events of its own
		line("events", "%s good of %s", optionalText(s.Good, reports.Number), optionalText(s.Total, reports.Number))
	}
	line("coverage", "%s: %d of %d slices, %d excluded", coverageText(s), s.MeasuredSlices, s.ExpectedSlices, s.ExcludedSlices)
	line("budget used", "%s", optionalText(s.Consumed, reports.Ratio))
	line("budget left", "%s, or %s of %s", optionalText(s.Remaining, reports.Ratio), optionalText(s.RemainingMinutes, reports.Minutes), reports.Minutes(s.AllowedMinutes))
	line("forecast", "%s", forecastText(s.Forecast, now))
	for _, b := range s.BurnRates {
		line("burn rate", "%s over the last %s (coverage %s)", optionalText(b.Rate, reports.Number), slo.FormatDuration(b.Window), optionalText(b.Coverage, reports.Ratio))
	}
	line("alerts", "%s", alertText(s))
	if s.Attribution != nil {
		for _, part := range s.Attribution.Parts {
			line("budget used by", "%s: %s", part.ID, reports.Ratio(part.Share))
		}
	}
	for _, warning := range s.Warnings {
		line("warning", "%s", warning)
	}
	return w.Flush()
}

// farAway is when a forecast says no more than that nothing is about to happen.
const farAway = 365 * 24 * time.Hour

func forecastText(f slo.Forecast, now time.Time) string {
	switch {
	case f.Exhausted:
		return "the budget is used up"
	case f.At != nil && f.At.Sub(now) > farAway:
		return fmt.Sprintf("not within a year at the burn rate of the last %s", slo.FormatDuration(f.Window))
	case f.At != nil:
		return fmt.Sprintf("used up on %s at the burn rate of the last %s", f.At.UTC().Format(time.RFC3339), slo.FormatDuration(f.Window))
	}
	return f.Reason
}
