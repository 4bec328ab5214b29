package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

// rolling stands for each objective's own window in place of a period.
const rolling = "rolling"

// attributionAnswer says what used the budgets.
type attributionAnswer struct {
	// Period is nil when each objective is asked about in its own window up to now.
	Period     *answerPeriod          `json:"period"`
	Objectives []objectiveAttribution `json:"objectives"`
}

// objectiveAttribution is what used an objective's budget. Causes sums the parts by whose fault they were.
type objectiveAttribution struct {
	standing
	Causes *causeShares `json:"causes"`
}

// causeShares are shares of the budget consumed; they sum to 1. Unknown is that of incidents nobody gave a cause.
type causeShares struct {
	Own          float64 `json:"own"`
	Upstream     float64 `json:"upstream"`
	Unknown      float64 `json:"unknown"`
	Unattributed float64 `json:"unattributed"`
}

// attribute divides the budgets used among incidents. An empty name asks about all objectives, rolling about their own windows.
func (s *objectiveSet) attribute(ctx context.Context, name, period string, v view) (attributionAnswer, error) {
	answer := attributionAnswer{Objectives: []objectiveAttribution{}}
	var all []standing
	var err error
	if period == rolling {
		all, err = s.ownWindows(ctx, name)
	} else {
		p, wrong := s.period(period)
		if wrong != nil {
			return answer, wrong
		}
		answer.Period = new(s.answerPeriod(p))
		all, err = s.standings(ctx, name, p, v)
	}
	for _, one := range all {
		answer.Objectives = append(answer.Objectives, objectiveAttribution{one, causesOf(one.Status)})
	}
	return answer, err
}

// ownWindows are the standings of objectives in their own windows up to now.
func (s *objectiveSet) ownWindows(ctx context.Context, name string) ([]standing, error) {
	of, err := s.named(name)
	if err != nil {
		return nil, err
	}
	answers, err := s.statusesAt(ctx, of, s.now())
	out := make([]standing, len(answers))
	for i, a := range answers {
		out[i] = standing{Objective: of[i].Definition.Name, Service: of[i].Service, defined: of[i]}
		out[i].set(a)
	}
	return out, err
}

func causesOf(s *slo.Status) *causeShares {
	if s == nil || s.Attribution == nil {
		return nil
	}
	var c causeShares
	for _, p := range s.Attribution.Parts {
		switch {
		case p.ID == slo.Unattributed:
			c.Unattributed += p.Share
		case p.Cause == slo.Own:
			c.Own += p.Share
		case p.Cause == slo.Upstream:
			c.Upstream += p.Share
		default:
			c.Unknown += p.Share
		}
	}
	return &c
}

func sloAttributeCommand() *cobra.Command {
	var period string
	var newest bool
	cmd := &cobra.Command{
		Use:   "attribute [NAME]",
		Short: "Divide the budget used among incidents and what no incident accounts for",
		Long: `Divides the budget that an objective used among the incidents that overlap its bad slices; what is under no incident is
"unattributed". A slice under several incidents is divided equally. The parts sum to the whole exactly. Time that exclusions spared
is a memo beside the sum.

--period is a label such as 2026-10, 2026-W46 or 2026-Q4, month, week or quarter for the last one that has ended, current for
the month under way, or rolling for each objective's own window up to now.`,
		Example: `  kubevalue slo attribute --period 2026-10
  kubevalue slo attribute checkout --period rolling --json`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringVar(&period, "period", rolling, "a label, month, week, quarter, current, or rolling")
	latestFlag(cmd, &newest)
	return answering(cmd, func(cmd *cobra.Command, f *figures, args []string) (printable, error) {
		return f.objectives.attribute(cmd.Context(), first(args), period, view(newest))
	})
}

// first is the first of a command's arguments, or nothing.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// print writes the answer for a terminal.
func (a attributionAnswer) print(out io.Writer) error {
	if a.Period != nil {
		fmt.Fprintf(out, "%s\n", a.Period)
	} else {
		fmt.Fprintln(out, "each objective in its own window up to what has been measured")
	}
	if len(a.Objectives) == 0 {
		return noObjectives(out)
	}
	for _, o := range a.Objectives {
		fmt.Fprintln(out)
		if o.Status == nil {
			fmt.Fprintf(out, "%s: %s\n", o.Objective, o.Fault)
			continue
		}
		if err := o.print(out); err != nil {
			return err
		}
	}
	return nil
}

func (o objectiveAttribution) print(out io.Writer) error {
	s := o.Status
	t := figuresOf(s)
	fmt.Fprintf(out, "%s (%s): target %s, %s of the budget used from %s to %s (UTC), coverage %s, n %s slices\n", o.Objective, o.Service, t.target, t.consumed,
		timeText(s.Period.From), timeText(s.At), t.coverage, t.n)
	if s.Attribution == nil {
		why := "nothing was used"
		if s.Consumed == nil {
			why = "nothing was measured"
		}
		fmt.Fprintln(out, "  "+why)
	} else {
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "  INCIDENT\tCLASS\tCAUSE\tSHARE\tBUDGET USED\tBAD (MIN)")
		for _, p := range s.Attribution.Parts {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\n", p.ID, orDash(p.Class), orDash(string(p.Cause)), reports.Ratio(p.Share), reports.Ratio(p.Consumed), reports.Number(p.BadMinutes))
		}
		fmt.Fprintf(w, "  sum\t\t\t%s\t%s\t%s\n", reports.Ratio(1), t.consumed, t.bad)
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(out, "  by cause: own %s, upstream %s, incidents without a cause %s, unattributed %s\n", reports.Ratio(o.Causes.Own), reports.Ratio(o.Causes.Upstream),
			reports.Ratio(o.Causes.Unknown), reports.Ratio(o.Causes.Unattributed))
	}
	for _, p := range s.Spared.Parts {
		fmt.Fprintf(out, "  not counted: %s bad minutes in %s slices, excluded as %q by %s\n", reports.Number(p.BadMinutes), reports.Number(p.Slices), p.Reason, orDash(p.Author))
	}
	for _, remark := range o.remarks() {
		fmt.Fprintln(out, " ", remark)
	}
	if c := s.Spared.Consumed; c != nil && len(s.Spared.Parts) > 0 {
		fmt.Fprintf(out, "  without the exclusions the budget used would differ by %s\n", reports.Change(*c, "ratio"))
	}
	return nil
}
