package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/slo"
)

// explanationAnswer is a status with everything that it was computed from.
type explanationAnswer struct {
	Objective string `json:"objective"`
	Service   string `json:"service"`
	// InForce is the version of the definition; nil when it was never recorded.
	InForce *inForce `json:"in_force"`
	// Source names the slices that were read, by the child's name for a composite.
	Source map[string]sliceSource `json:"source"`
	Slice  string                 `json:"slice"`
	slo.Explanation
	// all prints every run of slices, however many there are.
	all bool
}

// inForce is a version of a definition, since when it is in force (the Unix epoch: since ever) and why it changed.
type inForce struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Reason  string    `json:"reason"`
}

// sliceSource is where slices came from.
type sliceSource struct {
	Indicator string `json:"indicator"`
	Revision  string `json:"revision"`
	Group     string `json:"group,omitempty"`
}

// explain answers from raw slices, by the definition in force at a time. A group names one of an objective per group.
func (s *objectiveSet) explain(ctx context.Context, name, group string, at time.Time) (explanationAnswer, error) {
	if at.After(s.now()) {
		return explanationAnswer{}, dashboards.BadRequestError{Why: fmt.Sprintf("%s is still to come", timeText(at))}
	}
	if at.Before(earliest) {
		return explanationAnswer{}, dashboards.BadRequestError{Why: fmt.Sprintf("%s is before 1970, when there was nothing to measure", timeText(at))}
	}
	o, err := s.definedAt(ctx, name, at)
	if err != nil {
		return explanationAnswer{}, err
	}
	answer := explanationAnswer{Objective: o.Definition.Name, Service: o.Service, Source: map[string]sliceSource{}, Slice: slo.FormatDuration(o.Grid.Step)}
	if o, err = s.ofGroup(ctx, o, group, at); err != nil {
		return answer, err
	}
	if d := o.InForce; d != nil {
		answer.InForce = &inForce{d.Version, d.From, d.Reason}
	}
	for child, ind := range o.Of {
		answer.Source[child] = sliceSource{Indicator: ind.Name, Revision: ind.Revision, Group: ind.Group}
	}
	qs, err := s.inOwnWindows(ctx, []configuredObjective{o}, at)
	if err != nil {
		return answer, err
	}
	req := qs[0].req
	if qs[0].err != nil {
		return answer, qs[0].err
	}
	raw, err := rawSlices(ctx, s.store, req, o.Of)
	if err != nil {
		return answer, err
	}
	answer.Explanation, err = slo.Explain(req, raw)
	if err != nil {
		return answer, fmt.Errorf("objective %s: %w", name, err)
	}
	return answer, nil
}

// rawSlices are all slices that a request can look at, by the child's name for a composite.
func rawSlices(ctx context.Context, store sliceStore, req slo.Request, of map[string]indicator) (map[string][]slo.Slice, error) {
	plan, err := slo.NewPlan(req)
	if err != nil {
		return nil, err
	}
	segments := plan.Segments()
	if len(segments) == 0 {
		return nil, nil
	}
	whole := slo.Interval{From: segments[0].From, To: segments[len(segments)-1].To}
	return storedSlices(ctx, store, req.Objective.Name, of, whole)
}

func sloExplainCommand() *cobra.Command {
	var at, group string
	var all bool
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Print the slices, the formulas and the numbers behind a status",
		Long: `Prints the definition in force, each formula with the numbers in it, and the slices that went in, equal neighbours together, so that
the figures can be recomputed by hand. Long lists of slices are cut unless --all is given; --json has them all.`,
		Example: `  kubevalue slo explain checkout --at 2026-11-02T12:00:00Z`,
		Args:    one("the NAME of an objective"),
	}
	cmd.Flags().StringVar(&at, "at", "", "a time such as 2026-11-02T12:00:00Z, or a date (default: now)")
	cmd.Flags().StringVar(&group, "group", "", "the group of an objective that has a status for each")
	cmd.Flags().BoolVar(&all, "all", false, "print all slices")
	return answering(cmd, func(cmd *cobra.Command, f *figures, args []string) (printable, error) {
		moment, err := f.cfg.instant(at)
		if err != nil {
			return nil, fmt.Errorf("--at: %w", err)
		}
		if moment.IsZero() {
			moment = f.now()
		}
		answer, err := f.objectives.explain(cmd.Context(), args[0], group, moment)
		answer.all = all
		return answer, err
	})
}

// unremarkable says whether a run of slices is good and counts as usual.
func unremarkable(r slo.SliceRun) bool {
	return r.State == slo.Measured && r.Good == r.Total && len(r.Exclusions) == 0 && len(r.Incidents) == 0
}

// shownRuns is how many runs of slices are printed of a long list.
const shownRuns = 100

// print writes the answer for a terminal.
func (a explanationAnswer) print(out io.Writer) error {
	fmt.Fprintf(out, "%s (%s) from %s to %s (UTC)\n\ndefinition\n", a.Objective, a.Service, timeText(a.Status.Period.From), timeText(a.Status.At))
	for _, line := range a.Definition {
		fmt.Fprintln(out, " ", line)
	}
	if d := a.InForce; d != nil {
		since := "ever"
		if d.Since.Unix() > 0 {
			since = timeText(d.Since) + " (UTC)"
		}
		fmt.Fprintf(out, "  version %s, in force since %s: %s\n", d.Version, since, d.Reason)
	}
	for _, child := range slices.Sorted(maps.Keys(a.Source)) {
		s := a.Source[child]
		fmt.Fprintf(out, "  slices of %s: %s of indicator %s, revision %s", child, a.Slice, s.Indicator, s.Revision)
		if s.Group != "" {
			fmt.Fprintf(out, ", group %s", s.Group)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, "\nformulas")
	for _, line := range a.Formulas {
		fmt.Fprintln(out, " ", line)
	}
	fmt.Fprintln(out, "\nslices, good/total, from (UTC)")
	runs := a.Runs
	if len(runs) > shownRuns && !a.all {
		runs = slices.DeleteFunc(slices.Clone(runs), unremarkable)
		runs = runs[:min(len(runs), shownRuns)]
	}
	for _, r := range runs {
		fmt.Fprintf(out, "  %s  %s\n", r.From.UTC().Format("2006-01-02 15:04:05"), r)
	}
	if left := len(a.Runs) - len(runs); left > 0 {
		fmt.Fprintf(out, "  and %d more runs of equal slices; those without errors went first: print them with --all or --json\n", left)
	}
	for _, warning := range a.Status.Warnings {
		fmt.Fprintln(out, "warning:", warning)
	}
	return nil
}
