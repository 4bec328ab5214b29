package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

// comparisonAnswer says how the objectives did in a period, against an earlier one.
type comparisonAnswer struct {
	Period     answerPeriod          `json:"period"`
	With       answerPeriod          `json:"with"`
	Services   []serviceComparison   `json:"services"`
	Objectives []objectiveComparison `json:"objectives"`
}

// objectiveComparison is one objective in both periods.
type objectiveComparison struct {
	Objective string `json:"objective"`
	Service   string `json:"service"`
	// Before and After say where the figures come from, or why there are none.
	Before     standing        `json:"before"`
	After      standing        `json:"after"`
	Comparison *slo.Comparison `json:"comparison"`
}

// serviceComparison sums a service up by its objectives. Budgets of different objectives cannot be added: each figure is that of
// the objective that did worst in its period.
type serviceComparison struct {
	Service string       `json:"service"`
	Before  serviceWorst `json:"before"`
	After   serviceWorst `json:"after"`
}

// serviceWorst is the worst of a service's objectives; nil where nothing was measured.
type serviceWorst struct {
	Objectives int `json:"objectives"`
	// Missed are those that used more than their budget.
	Missed int `json:"missed"`
	// Worst used most of its budget, Consumed of it.
	Worst    string   `json:"worst,omitempty"`
	Consumed *float64 `json:"budget_consumed"`
	// Uptime is the lowest.
	Uptime *float64 `json:"uptime"`
}

func (w *serviceWorst) add(s standing) {
	w.Objectives++
	if s.Status == nil {
		return
	}
	if c := s.Status.Consumed; c != nil {
		if *c > 1 {
			w.Missed++
		}
		if w.Consumed == nil || *c > *w.Consumed {
			w.Worst, w.Consumed = s.Objective, c
		}
	}
	if u := s.Status.Uptime; u != nil && (w.Uptime == nil || *u < *w.Uptime) {
		w.Uptime = u
	}
}

// compare sets a period beside another one. Objectives are those of either.
func (s *objectiveSet) compare(ctx context.Context, p, with journey.Period, v view) (comparisonAnswer, error) {
	answer := comparisonAnswer{Period: s.answerPeriod(p), With: s.answerPeriod(with), Objectives: []objectiveComparison{}, Services: []serviceComparison{}}
	after, err := s.standings(ctx, "", p, v)
	if err != nil {
		return answer, err
	}
	before, err := s.standings(ctx, "", with, v)
	if err != nil {
		return answer, err
	}
	for i, j := 0, 0; i < len(after) || j < len(before); { // both are in order of name
		var now, was standing
		switch {
		case j == len(before) || i < len(after) && after[i].Objective < before[j].Objective:
			now, was = after[i], absent(after[i], with)
			i++
		case i == len(after) || before[j].Objective < after[i].Objective:
			now, was = absent(before[j], p), before[j]
			j++
		default:
			now, was = after[i], before[j]
			i, j = i+1, j+1
		}
		one := objectiveComparison{Objective: now.Objective, Service: now.Service, Before: was, After: now}
		if was.Status != nil && now.Status != nil {
			one.Comparison = new(slo.Compare(*was.Status, *now.Status))
		}
		answer.Objectives = append(answer.Objectives, one)
	}
	answer.sumUp()
	return answer, nil
}

// absent is an objective in a period in which there was none of that name.
func absent(o standing, p journey.Period) standing {
	return standing{Objective: o.Objective, Service: o.Service, Fault: "it was not defined in " + p.Label}
}

// sumUp fills in the services.
func (a *comparisonAnswer) sumUp() {
	for _, o := range a.Objectives {
		i := slices.IndexFunc(a.Services, func(s serviceComparison) bool { return s.Service == o.Service })
		if i < 0 {
			i, a.Services = len(a.Services), append(a.Services, serviceComparison{Service: o.Service})
		}
		a.Services[i].Before.add(o.Before)
		a.Services[i].After.add(o.After)
	}
	slices.SortFunc(a.Services, func(x, y serviceComparison) int { return strings.Compare(x.Service, y.Service) })
}

func sloCompareCommand() *cobra.Command {
	var period, with string
	var newest bool
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Compare a month, week or quarter with the one before: budget, uptime, and what changed why",
		Long: `Compares the budget used and the uptime of every objective and service in a calendar period with those in another one, and
attributes the difference to incidents, to changed targets, and to what no incident accounts for. The budget is that of the
calendar period, whatever the objective's own window. Parts of a change sum to it exactly.

--period is month, week or quarter for the last one that has ended, a label such as 2026-10, 2026-W46 or 2026-Q4, or current
for the month under way, which is marked partial. --with is previous, year-ago, or a label. Figures of closed periods are those that
were published, by the definitions in force at their end; --latest computes them from what is known now.`,
		Example: `  kubevalue slo compare --period month --with previous
  kubevalue slo compare --period 2026-Q3 --with year-ago --json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&period, "period", "month", "the period: month, week, quarter (the last that has ended), a label, or current")
	cmd.Flags().StringVar(&with, "with", "previous", "what to compare with: previous, year-ago, or a label")
	latestFlag(cmd, &newest)
	return answering(cmd, func(cmd *cobra.Command, f *figures, _ []string) (printable, error) {
		p, other, err := f.objectives.periods(period, with)
		if err != nil {
			return nil, err
		}
		return f.objectives.compare(cmd.Context(), p, other, view(newest))
	})
}

// print writes the answer for a terminal.
func (a comparisonAnswer) print(out io.Writer) error {
	fmt.Fprintf(out, "%s\nagainst %s\n\n", a.Period, a.With)
	if len(a.Objectives) == 0 {
		return noObjectives(out)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "OBJECTIVE\tSERVICE\tTARGET\tBUDGET USED\tBEFORE\tCHANGE\tUPTIME\tBEFORE\tBAD (MIN)\tBEFORE\tCOVERAGE\tBEFORE\tN (SLICES)\tBEFORE")
	for _, o := range a.Objectives {
		after, before := figuresOf(o.After.Status), figuresOf(o.Before.Status)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.Objective, o.Service, after.target, after.consumed, before.consumed, o.change(),
			after.uptime, before.uptime, after.bad, before.bad, after.coverage, before.coverage, after.n, before.n)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nServices, each by the objective that did worst:")
	w = tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tBUDGET USED\tBEFORE\tUPTIME\tBEFORE\tOVER BUDGET\tBEFORE\tWORST")
	for _, s := range a.Services {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d of %d\t%d of %d\t%s\n", s.Service, optionalText(s.After.Consumed, reports.Ratio), optionalText(s.Before.Consumed, reports.Ratio),
			optionalText(s.After.Uptime, reports.Ratio), optionalText(s.Before.Uptime, reports.Ratio), s.After.Missed, s.After.Objectives, s.Before.Missed, s.Before.Objectives, s.After.Worst)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return a.printChanges(out)
}

// printChanges writes what the differences are made of.
func (a comparisonAnswer) printChanges(out io.Writer) error {
	var rows strings.Builder
	w := tabwriter.NewWriter(&rows, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "OBJECTIVE\tINCIDENT\tCLASS\tCAUSE\tBEFORE\tAFTER\tCHANGE")
	for _, o := range a.Objectives {
		if o.Comparison == nil {
			continue
		}
		for _, p := range o.Comparison.Parts {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.Objective, p.ID, orDash(p.Class), orDash(string(p.Cause)), reports.Ratio(p.Before), reports.Ratio(p.After), reports.Change(p.Change, "ratio"))
		}
		if o.Comparison.Consumed != nil {
			fmt.Fprintf(w, "%s\tsum\t\t\t%s\t%s\t%s\n", o.Objective, optionalText(o.Before.Status.Consumed, reports.Ratio), optionalText(o.After.Status.Consumed, reports.Ratio), o.change())
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if strings.Count(rows.String(), "\n") > 1 {
		fmt.Fprint(out, "\nWhat changed, as shares of the later period's budget:\n"+rows.String())
	}
	a.printNotes(out)
	return nil
}

// change is the difference of the budget used, in points.
func (o objectiveComparison) change() string {
	if o.Comparison == nil || o.Comparison.Consumed == nil {
		return "-"
	}
	return reports.Change(*o.Comparison.Consumed, "ratio")
}

// printNotes writes each note once, with the objectives that it is about.
func (a comparisonAnswer) printNotes(out io.Writer) {
	var notes []string
	about := map[string][]string{}
	add := func(note, objective string) {
		if about[note] == nil {
			notes = append(notes, note)
		}
		about[note] = append(about[note], objective)
	}
	for _, o := range a.Objectives {
		for _, s := range []standing{o.Before, o.After} {
			for _, remark := range s.remarks() {
				add(remark, o.Objective)
			}
		}
		if o.Comparison != nil {
			for _, n := range o.Comparison.Notes {
				add(n, o.Objective)
			}
		}
	}
	for i, note := range notes {
		if i == 0 {
			fmt.Fprintln(out)
		}
		of := strings.Join(about[note], ", ")
		if n := len(a.Objectives); n > 1 && len(about[note]) == n {
			of = "all objectives"
		}
		fmt.Fprintf(out, "%s: %s\n", of, note)
	}
}
