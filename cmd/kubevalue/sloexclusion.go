package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/schema"
)

func sloExclusionCommand() *cobra.Command {
	return group("exclusion", "Leave time out of budgets, and see who did so and why",
		`Announced maintenance and the like counts for no budget: a slice that an exclusion touches leaves the figures, whether it was good or bad, and what
it spared is shown beside them. Exclusions stand in the configuration (exclusions:) or are recorded here or by POST /api/v1/slo/exclusions.
Nothing of a recorded one is ever changed or removed: ending or withdrawing it is another entry, with author and reason. Figures of closed periods
stay as they were published; an exclusion of the past appends a revision that names it.`,
		exclusionListCommand(), exclusionAddCommand(), exclusionEndCommand(), exclusionWithdrawCommand())
}

// exclusionsAnswer is all that is excluded, or was.
type exclusionsAnswer struct {
	Zone       string           `json:"timezone"`
	Exclusions []shownExclusion `json:"exclusions"`

	zone    *time.Location
	history bool
}

// shownExclusion is the newest version of an exclusion, and how it came to be so.
type shownExclusion struct {
	schema.Exclusion
	// State is planned, active, over, ended or withdrawn; a weekly one is active while it is valid.
	State string `json:"state"`
	// Source is configuration or recorded.
	Source string `json:"source"`
	// History are the versions of a recorded one, oldest first, this one included.
	History []schema.Exclusion `json:"history"`
}

// exclusionList are the exclusions of an objective, or of all when it is empty, those of the configuration first.
func (s *objectiveSet) exclusionList(ctx context.Context, objective string) (exclusionsAnswer, error) {
	out := exclusionsAnswer{Zone: s.calendar.Zone.String(), Exclusions: []shownExclusion{}, zone: s.calendar.Zone}
	if _, err := s.named(objective); err != nil {
		return out, err
	}
	recorded, err := s.store.Exclusions(ctx)
	if err != nil {
		return out, fmt.Errorf("exclusions: %w", err)
	}
	show := func(e schema.Exclusion, source string, history []schema.Exclusion) {
		if e.Objectives == nil {
			e.Objectives = []string{}
		}
		if objective == "" || applies(e, objective) {
			out.Exclusions = append(out.Exclusions, shownExclusion{e, exclusionState(e, s.now()), source, history})
		}
	}
	for _, e := range s.exclusions {
		show(e, "configuration", []schema.Exclusion{})
	}
	for _, e := range newestOf(recorded) {
		show(e, "recorded", slices.DeleteFunc(slices.Clone(recorded), func(r schema.Exclusion) bool { return r.ID != e.ID }))
	}
	return out, nil
}

func exclusionState(e schema.Exclusion, now time.Time) string {
	switch over := !e.To.IsZero() && !now.Before(e.To); {
	case e.Change == schema.ExclusionWithdrawn:
		return "withdrawn"
	case over && e.Change == schema.ExclusionEnded:
		return "ended"
	case over:
		return "over"
	case now.Before(e.From):
		return "planned"
	}
	return "active"
}

// print writes the answer for a terminal.
func (a exclusionsAnswer) print(out io.Writer) error {
	if len(a.Exclusions) == 0 {
		_, err := fmt.Fprintln(out, "nothing is excluded")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "EXCLUSION\tSTATE\tWHEN (%s)\tOBJECTIVES\tAUTHOR\tREASON\n", a.Zone)
	for _, e := range a.Exclusions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.State, whenText(e.Exclusion, a.zone), orAll(e.Objectives), e.Author, e.Reason)
		if !a.history {
			continue
		}
		for _, v := range e.History {
			fmt.Fprintf(w, "  %s\t%s\t%s\t\t%s\t%s\n", clockText(v.Recorded, a.zone), v.Change, whenText(v, a.zone), v.ChangedBy, v.ChangeReason)
		}
	}
	return w.Flush()
}

func orAll(names []string) string {
	if len(names) == 0 {
		return "all"
	}
	return strings.Join(names, ", ")
}

func exclusionListCommand() *cobra.Command {
	var objective string
	var history bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what is excluded, was or will be",
		Example: "  kubevalue slo exclusion list --objective checkout\n  kubevalue slo exclusion list --history",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&objective, "objective", "", "those of one objective (default: all)")
	cmd.Flags().BoolVar(&history, "history", false, "also who recorded, ended or withdrew each of them, when and why")
	return answering(cmd, func(cmd *cobra.Command, f *figures, _ []string) (printable, error) {
		if _, err := f.db.Migrate(cmd.Context()); err != nil {
			return nil, err
		}
		answer, err := f.objectives.exclusionList(cmd.Context(), objective)
		answer.history = history
		return answer, err
	})
}

// exclusionChanged is what came of a change of exclusions.
type exclusionChanged struct {
	Exclusion schema.Exclusion `json:"exclusion"`
	// Restated is what was published because of it.
	Restated publication `json:"restated"`

	zone *time.Location
}

// print writes the answer for a terminal.
func (a exclusionChanged) print(out io.Writer) error {
	e := a.Exclusion
	fmt.Fprintf(out, "exclusion %s is %s: %s (%s), objectives: %s\n", e.ID, e.Change, whenText(e, a.zone), a.zone, orAll(e.Objectives))
	if a.Restated.Revised > 0 {
		fmt.Fprintf(out, "%d figures of closed periods were revised: %s\n", a.Restated.Revised, someOf(a.Restated.Revisions))
		fmt.Fprintln(out, "what was published stays: `kubevalue slo revisions NAME --period LABEL` shows both, with the reason")
	}
	return a.Restated.printGone(out)
}

// restated publishes the closed periods of a stretch of time again.
func (f *figures) restated(ctx context.Context, e schema.Exclusion, from, to time.Time) (exclusionChanged, error) {
	out := exclusionChanged{Exclusion: e, zone: f.calendar.Zone}
	if from.IsZero() {
		from = f.now().Add(-longestHistory)
	}
	if _, err := f.objectives.recordDefinitions(ctx); err != nil {
		return out, err
	}
	var err error
	if out.Restated, err = f.objectives.publishWithin(ctx, from, to); err != nil {
		err = fmt.Errorf("exclusion %s is %s, but closed periods could not be published: %w; run `kubevalue slo publish`", e.ID, e.Change, err)
	}
	return out, err
}

func exclusionAddCommand() *cobra.Command {
	var n newExclusion
	var days []string
	var hours, zone string
	cmd := &cobra.Command{
		Use:   "add [ID]",
		Short: "Exclude a stretch of time, once or every week",
		Long: `Records an exclusion, of all objectives unless some are named. Dates are in the reporting zone; a slice that it touches at all is left out. It may lie
in the past: then figures of closed periods are revised. One that overlaps with another is refused unless --overlapping says that
this is meant; time that several exclude counts once.`,
		Example: `  kubevalue slo exclusion add network-2026-12 --from 2026-12-01T22:00:00Z --to 2026-12-02T02:00:00Z \
      --reason "announced work on the network" --author ann@example.com
  kubevalue slo exclusion add --days sunday --hours 02:00-04:00 --timezone Europe/Berlin --objective checkout \
      --reason "weekly maintenance" --author ann@example.com`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringVar(&n.From, "from", "", "first date or time of it; of a weekly one, since when it is valid (default: now)")
	cmd.Flags().StringVar(&n.To, "to", "", "its end, not part of it; of a weekly one, until when it is valid (default: until further notice)")
	cmd.Flags().StringSliceVar(&days, "days", nil, "days of every week, such as sunday or monday-friday")
	cmd.Flags().StringVar(&hours, "hours", "", "time of these days, such as 02:00-04:00")
	cmd.Flags().StringVar(&zone, "timezone", "", "zone of these hours (default: the reporting zone)")
	cmd.Flags().StringSliceVar(&n.Objectives, "objective", nil, "objectives that it applies to (default: all)")
	cmd.Flags().StringVar(&n.Reason, "reason", "", "why this time does not count (required)")
	cmd.Flags().StringVar(&n.Author, "author", "", "who stands for it (required)")
	cmd.Flags().BoolVar(&n.Overlapping, "overlapping", false, "it may overlap with other exclusions")
	return answering(cmd, func(cmd *cobra.Command, f *figures, args []string) (printable, error) {
		n.ID = first(args)
		if days != nil || hours != "" || zone != "" {
			from, to, _ := strings.Cut(hours, "-")
			n.Weekly = &WeeklyExclusionConfig{Days: days, From: from, To: to, Timezone: zone}
		}
		e, err := n.record(f.cfg, f.now())
		if err != nil {
			return nil, usageError{err: err, text: cmd.UsageString()}
		}
		if _, err := f.db.Migrate(cmd.Context()); err != nil {
			return nil, err
		}
		if e, err = f.objectives.addExclusion(cmd.Context(), e, n.Overlapping); err != nil {
			return nil, err
		}
		return f.restated(cmd.Context(), e, e.From, e.To)
	})
}

func exclusionEndCommand() *cobra.Command {
	var by exclusionEnd
	cmd := &cobra.Command{
		Use:     "end ID",
		Short:   "End an exclusion: what comes after counts again",
		Example: `  kubevalue slo exclusion end network-2026-12 --at 2026-12-02T00:30:00Z --reason "done early" --author ann@example.com`,
		Args:    one("the ID of an exclusion"),
	}
	cmd.Flags().StringVar(&by.At, "at", "", "since when, date or time (default: now)")
	return exclusionChangeCommand(cmd, &by, schema.ExclusionEnded)
}

func exclusionWithdrawCommand() *cobra.Command {
	var by exclusionEnd
	cmd := &cobra.Command{
		Use:     "withdraw ID",
		Short:   "Take an exclusion back that was a mistake: all of its time counts",
		Example: `  kubevalue slo exclusion withdraw network-2026-12 --reason "was an outage, not announced" --author bob@example.com`,
		Args:    one("the ID of an exclusion"),
	}
	return exclusionChangeCommand(cmd, &by, schema.ExclusionWithdrawn)
}

func exclusionChangeCommand(cmd *cobra.Command, by *exclusionEnd, change schema.ExclusionChange) *cobra.Command {
	cmd.Flags().StringVar(&by.Reason, "reason", "", "why (required)")
	cmd.Flags().StringVar(&by.Author, "author", "", "who says so (required)")
	return answering(cmd, func(cmd *cobra.Command, f *figures, args []string) (printable, error) {
		at, err := f.cfg.instant(by.At)
		if err != nil {
			return nil, usageError{err: fmt.Errorf("--at: %w", err), text: cmd.UsageString()}
		}
		if _, err := f.db.Migrate(cmd.Context()); err != nil {
			return nil, err
		}
		e, again, err := f.objectives.changeExclusion(cmd.Context(), args[0], change, at, *by)
		if err != nil {
			return nil, err
		}
		return f.restated(cmd.Context(), e, again.From, again.To)
	})
}
