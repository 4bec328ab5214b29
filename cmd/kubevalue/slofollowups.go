package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

// followupsAnswer says whether the work on incidents helped.
type followupsAnswer struct {
	// From is since when incidents have been recorded, Until when the question was asked.
	From      time.Time            `json:"from"`
	Until     time.Time            `json:"until"`
	Incidents int                  `json:"incidents"`
	Classes   []slo.FollowUpEffect `json:"classes"`
	zone      *time.Location
}

// followupSeed makes the permutation tests repeatable: the same incidents give the same p-values.
const followupSeed = 1

// longestFollowup is the longest time before and after that is compared unless somebody says otherwise.
const longestFollowup = "90d"

// followups studies the incidents since a time, the first incident's start when it is zero.
func (s *objectiveSet) followups(ctx context.Context, since time.Time, longest time.Duration) (followupsAnswer, error) {
	answer := followupsAnswer{Classes: []slo.FollowUpEffect{}, From: since, Until: s.now(), zone: s.calendar.Zone}
	if longest <= 0 {
		return answer, dashboards.BadRequestError{Why: fmt.Sprintf("longest %s: the time that is compared must be above 0, such as %s", slo.FormatDuration(longest), longestFollowup)}
	}
	if !since.Before(answer.Until) {
		return answer, dashboards.BadRequestError{Why: fmt.Sprintf("since %s: must be in the past", clockText(since, s.calendar.Zone))}
	}
	all, err := s.store.Incidents(ctx, time.Unix(0, 0), answer.Until)
	if err != nil {
		return answer, fmt.Errorf("incidents: %w", err)
	}
	study := slo.FollowUpStudy{Now: answer.Until, Longest: longest, Seed: followupSeed}
	for _, in := range all {
		if in.Start.Before(since) {
			continue
		}
		if answer.From.IsZero() {
			answer.From = in.Start // they come in order of their start
		}
		study.Incidents = append(study.Incidents, pureIncident(in))
		for _, f := range in.Followups {
			done := f.Done
			if done.After(answer.Until) {
				done = time.Time{}
			}
			study.FollowUps = append(study.FollowUps, slo.FollowUp{Incident: incidentID(in), Done: done})
		}
	}
	study.From, answer.Incidents = answer.From, len(study.Incidents)
	if answer.Incidents == 0 {
		return answer, nil
	}
	classes, err := study.Evaluate()
	answer.Classes = append(answer.Classes, classes...)
	return answer, err
}

func sloFollowupsCommand() *cobra.Command {
	var since, longest string
	cmd := &cobra.Command{
		Use:   "followups",
		Short: "Ask, per class of incidents, whether the follow-up work on them helped",
		Long: `Compares, for each class of incidents that led to follow-ups, the time before its first incident that did with the time after the last
one was done: equal lengths, the triggering incident and the repair in between left out, since incidents trigger follow-ups, so a
plain before and after always looks like an improvement. Classes without follow-ups are the control. The verdict needs both the 95 %
interval of the rate ratio and a permutation test to agree, and is "cannot tell" otherwise.`,
		Example: `  kubevalue slo followups --since 2026-01-01 --longest 60d`,
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&since, "since", "", "since when incidents have been recorded without a gap: a date or a time (default: the first incident)")
	cmd.Flags().StringVar(&longest, "longest", longestFollowup, "the longest time to compare before and after")
	return answering(cmd, func(cmd *cobra.Command, f *figures, _ []string) (printable, error) {
		from, err := f.cfg.instant(since)
		if err != nil {
			return nil, fmt.Errorf("--since: %w", err)
		}
		length, err := slo.ParseDuration(longest)
		if err != nil {
			return nil, fmt.Errorf("--longest: %w", err)
		}
		return f.objectives.followups(cmd.Context(), from, length)
	})
}

// print writes the answer for a terminal.
func (a followupsAnswer) print(out io.Writer) error {
	if a.Incidents == 0 {
		_, err := fmt.Fprintln(out, "no incident is recorded: send incidents with their follow-ups to the API, or connect Alertmanager")
		return err
	}
	fmt.Fprintf(out, "%d incidents from %s to %s %s\n", a.Incidents, clockText(a.From, a.zone), clockText(a.Until, a.zone), a.zone)
	if len(a.Classes) == 0 {
		_, err := fmt.Fprintln(out, "none of them has a follow-up")
		return err
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CLASS\tVERDICT\tDONE\tOPEN\tEACH\tINCIDENTS BEFORE\tAFTER\tDOWN (MIN) BEFORE\tAFTER\tCONTROL BEFORE\tAFTER\tRATE RATIO\t95% INTERVAL\tP INCIDENTS\tP DOWNTIME")
	for _, e := range a.Classes {
		high := "unbounded"
		if e.High != nil {
			high = reports.Number(*e.High)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%d\t%d\t%s\t%s\t%d\t%d\t%s\t%s to %s\t%.2g\t%.2g\n", className(e.Class), e.Verdict, e.Done, e.Open,
			reports.Length(e.Before.Length()), e.IncidentsBefore, e.IncidentsAfter, reports.Number(e.DowntimeBefore), reports.Number(e.DowntimeAfter),
			e.ControlBefore, e.ControlAfter, optionalText(e.RateRatio, reports.Number), reports.Number(e.Low), high, e.PIncidents, e.PDowntime)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, e := range a.Classes {
		fmt.Fprintf(out, "%s: %s, since %s", className(e.Class), e.Verdict, e.Reason)
		if !e.Before.From.IsZero() {
			fmt.Fprintf(out, " (before: %s to %s, after: %s to %s)", clockText(e.Before.From, a.zone), clockText(e.Before.To, a.zone), clockText(e.After.From, a.zone), clockText(e.After.To, a.zone))
		}
		fmt.Fprintln(out)
	}
	return nil
}

func className(class string) string { return cmp.Or(class, "(no class)") }
