package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
)

// valueRevisions is all that was published of a metric in a period.
type valueRevisions struct {
	Metric    string          `json:"metric"`
	Period    answerPeriod    `json:"period"`
	Revisions []valueRevision `json:"revisions"`
}

type valueRevision struct {
	Revision   uint32            `json:"revision"`
	Reason     string            `json:"reason"`
	ComputedAt time.Time         `json:"computed_at"`
	Inputs     map[string]string `json:"inputs"`
	Value      journey.Value     `json:"value"`
}

func (f *figures) valueHistory(ctx context.Context, id string, p journey.Period) (valueRevisions, error) {
	answer := valueRevisions{Metric: id, Period: f.objectives.answerPeriod(p), Revisions: []valueRevision{}}
	if _, err := f.evaluator.Metric(id); err != nil {
		return answer, err
	}
	all, err := f.publishedValues(ctx, id, []journey.Period{p})
	if err != nil {
		return answer, err
	}
	for _, r := range all[publishedKey{id, p.From.UnixMilli()}] {
		v, err := publishedValue(r)
		if err != nil {
			return answer, err
		}
		answer.Revisions = append(answer.Revisions, valueRevision{r.Revision, r.Reason, r.ComputedAt, r.Inputs, v})
	}
	return answer, nil
}

// published are the revisions of a metric in the periods up to a period, oldest first.
func (f *figures) published(ctx context.Context, id, label string, periods int) ([]dashboards.Revision, error) {
	last, err := f.period(label)
	if err != nil {
		return nil, err
	}
	asked := f.back(last, periods)
	all, err := f.publishedValues(ctx, id, asked)
	if err != nil {
		return nil, err
	}
	var out []dashboards.Revision
	for _, p := range asked {
		for _, r := range all[publishedKey{id, p.From.UnixMilli()}] {
			v, err := publishedValue(r)
			if err != nil {
				return nil, err
			}
			out = append(out, dashboards.Revision{Number: r.Revision, Reason: r.Reason, Value: v})
		}
	}
	return out, nil
}

func metricRevisionsCommand() *cobra.Command {
	var period string
	cmd := &cobra.Command{
		Use:     "revisions ID",
		Short:   "Print what was published of a metric in a closed period, and why it was revised",
		Example: "  kubevalue metric revisions C15 --period 2026-10",
		Args:    one("the ID of a metric"),
	}
	cmd.Flags().StringVar(&period, "period", "month", "the period: month, week, quarter (the last that has ended), or a label")
	return answering(cmd, func(cmd *cobra.Command, f *figures, args []string) (printable, error) {
		p, err := f.objectives.period(period)
		if err != nil {
			return nil, err
		}
		return f.valueHistory(cmd.Context(), args[0], p)
	})
}

// print writes the answer for a terminal.
func (a valueRevisions) print(out io.Writer) error {
	fmt.Fprintf(out, "%s in %s\n", a.Metric, a.Period)
	if len(a.Revisions) == 0 {
		_, err := fmt.Fprintln(out, "nothing was published yet")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "REVISION\tCOMPUTED (UTC)\tREASON\tVALUE\t95% INTERVAL\tN\tCOVERAGE\tDEFINITION")
	for _, r := range a.Revisions {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%s\tversion %d\n", r.Revision, timeText(r.ComputedAt), r.Reason, valueText(r.Value, ""), intervalText(r.Value), r.Value.N,
			optionalText(r.Value.Coverage, reports.Ratio), r.Value.Version)
	}
	return w.Flush()
}
