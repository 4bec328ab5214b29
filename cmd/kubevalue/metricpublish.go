package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
)

// metricPublication is what a run of the publisher found and, unless it only checked, wrote.
type metricPublication struct {
	Periods   int `json:"periods"`
	Compared  int `json:"compared"`
	Published int `json:"published"`
	Revised   int `json:"revised"`
	// Changed are the figures that differ from what was published last, with the reason.
	Changed []changedFigure `json:"changed"`
	checked bool
}

// changedFigure is a published figure that is computed differently now.
type changedFigure struct {
	Metric   string   `json:"metric"`
	Period   string   `json:"period"`
	Revision uint32   `json:"revision"`
	Reason   string   `json:"reason"`
	Was      *float64 `json:"was"`
	Is       *float64 `json:"is"`
	unit     string
}

// unexplained counts the figures that differ although no input has changed.
func (p metricPublication) unexplained() int {
	n := 0
	for _, c := range p.Changed {
		if c.Reason == recomputed {
			n++
		}
	}
	return n
}

// publishMetrics writes the values of all metrics in closed periods that end after a time and are not published yet, and a revision of
// each that is computed differently now, with its reason. With checkOnly it writes nothing.
func (f *figures) publishMetrics(ctx context.Context, since time.Time, checkOnly bool) (metricPublication, error) {
	done := metricPublication{Changed: []changedFigure{}, checked: checkOnly}
	began, err := f.reportingBegan(ctx)
	if err != nil || began.IsZero() {
		return done, err
	}
	if began.After(since) {
		since = began
	}
	for _, grain := range publishedGrains {
		var periods []journey.Period
		for p := f.calendar.Period(grain, since); f.objectives.answerPeriod(p).State == periodClosed; p = f.calendar.Next(p) {
			periods = append(periods, p)
		}
		if len(periods) == 0 {
			continue
		}
		rows, err := f.publishableValues(ctx, periods, &done)
		if err != nil {
			return done, fmt.Errorf("publish metrics by %s: %w", grain, err)
		}
		done.Periods += len(periods)
		if checkOnly || len(rows) == 0 {
			continue
		}
		token := fmt.Sprintf("%s/%s/%d", schema.KindMetric, grain, f.now().UnixNano())
		if err := f.db.InsertPublished(ctx, token, rows); err != nil {
			return done, fmt.Errorf("publish metrics by %s: %w", grain, err)
		}
	}
	return done, nil
}

// reportingBegan is when the first event, change of a resource or slice happened; zero: there is none.
func (f *figures) reportingBegan(ctx context.Context) (time.Time, error) {
	began, err := f.objectives.measuringBegan(ctx)
	if err != nil {
		return began, err
	}
	for _, sql := range []string{"SELECT count(), min(toDateTime64(hour, 3, 'UTC')) FROM source_hours", "SELECT count(), min(time) FROM resource_changes"} {
		result, err := f.db.Query(ctx, sql, nil)
		if err != nil {
			return began, fmt.Errorf("look for the first event: %w", err)
		}
		if first := instantOf(result.Rows[0][1]); count(result.Rows[0][0]) > 0 && (began.IsZero() || first.Before(began)) {
			began = first
		}
	}
	return began, nil
}

// publishableValues are the values of neighbouring closed periods that are new or have changed; done counts what was compared and found.
func (f *figures) publishableValues(ctx context.Context, periods []journey.Period, done *metricPublication) ([]schema.Published, error) {
	inputs, err := f.metricInputs(ctx, periods)
	if err != nil {
		return nil, err
	}
	published, err := f.publishedValues(ctx, "", periods)
	if err != nil {
		return nil, err
	}
	evaluator := f.evaluator.Remembering()
	var out []schema.Published
	for _, m := range f.evaluator.Metrics {
		values, err := evaluator.Evaluate(ctx, journey.Request{Metric: m.ID, Periods: periods})
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			old := published[publishedKey{m.ID, v.Period.From.UnixMilli()}]
			made, err := inputs[i].of(m)
			if err != nil {
				return nil, err
			}
			row, changed, err := nextValue(old, v, made)
			if err != nil {
				return nil, err
			}
			done.Compared += min(1, len(old))
			if !changed {
				continue
			}
			if row.Revision == 1 {
				done.Published++
			} else {
				was, err := publishedValue(old[len(old)-1])
				if err != nil {
					return nil, err
				}
				done.Revised++
				done.Changed = append(done.Changed, changedFigure{m.ID, v.Period.Label, row.Revision, row.Reason, was.Value, v.Value, m.Unit})
			}
			out = append(out, row)
		}
	}
	return out, nil
}

type publishedKey struct {
	metric string
	from   int64 // Unix milliseconds
}

// publishedValues are the revisions of metrics (empty: all) in neighbouring periods, oldest first.
func (f *figures) publishedValues(ctx context.Context, metric string, periods []journey.Period) (map[publishedKey][]schema.Published, error) {
	last := periods[len(periods)-1]
	rows, err := f.db.PublishedOf(ctx, schema.PublishedQuery{
		Kind: schema.KindMetric, Subject: metric, Grain: string(last.Grain), From: periods[0].From, To: last.To,
	})
	ends := map[int64]time.Time{}
	for _, p := range periods {
		ends[p.From.UnixMilli()] = p.To
	}
	out := map[publishedKey][]schema.Published{}
	for _, r := range rows {
		key := publishedKey{r.Subject, r.Period.From.UnixMilli()}
		if ends[key.from].Equal(r.Period.To) { // else of a reporting zone or a start of the week that was in use then
			out[key] = append(out[key], r)
		}
	}
	return out, err
}

// nextValue is the revision that a value makes unless it is the one that was published last: false. A period of which nothing was
// reported is not published before something was.
func nextValue(old []schema.Published, v journey.Value, inputs map[string]string) (schema.Published, bool, error) {
	row := schema.Published{
		Kind: schema.KindMetric, Subject: v.Metric, Period: storedPeriod(v.Period), Revision: 1, Reason: "closed",
		Version: fmt.Sprint(v.Version), Inputs: inputs, ComputedAt: v.ComputedAt.UTC().Truncate(time.Millisecond),
	}
	if len(old) == 0 && v.N == 0 && (v.Coverage == nil || *v.Coverage == 0) {
		return row, false, nil
	}
	if len(old) > 0 {
		last := old[len(old)-1]
		was, err := publishedValue(last)
		if err != nil || sameValues(was, v) {
			return row, false, err
		}
		row.Revision, row.Reason = last.Revision+1, metricReason(last.Inputs, inputs)
	}
	var err error
	row.Value, err = json.Marshal(v)
	return row, true, err
}

func publishedValue(r schema.Published) (journey.Value, error) {
	var v journey.Value
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return v, fmt.Errorf("revision %d of metric %s in %s is not what was written: %w", r.Revision, r.Subject, r.Period.Label, err)
	}
	return v, nil
}

// sameValues compares what a reader sees. Sums are the same up to rounding only, since they are added in any order.
func sameValues(a, b journey.Value) bool {
	same := func(a, b *float64) bool {
		if a == nil || b == nil {
			return a == b
		}
		return math.Abs(*a-*b) <= 1e-9*max(1, math.Abs(*a), math.Abs(*b))
	}
	return a.Version == b.Version && a.N == b.N && a.Unit == b.Unit && a.Withheld == b.Withheld && same(a.Value, b.Value) && same(a.Numerator, b.Numerator) &&
		same(a.Denominator, b.Denominator) && same(a.Low, b.Low) && same(a.High, b.High) && same(a.Coverage, b.Coverage)
}

// asPublished answers a request with what was published of closed periods, and computes the rest. Figures that are split or restricted
// are not published, so they are always computed.
func (f *figures) asPublished(evaluate journey.EvaluateFunc) journey.EvaluateFunc {
	return func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		values, err := evaluate(ctx, r)
		if err != nil || r.By != "" || len(r.Filter) > 0 {
			return values, err
		}
		return f.replacePublished(ctx, r.Metric, values)
	}
}

func (f *figures) replacePublished(ctx context.Context, metric string, values []journey.Value) ([]journey.Value, error) {
	var all []*journey.Value
	out := slices.Clone(values)
	for i := range out {
		all = append(all, &out[i])
		for _, compared := range []**journey.Value{&out[i].Previous, &out[i].YearAgo} {
			if *compared != nil {
				clone := **compared
				*compared = &clone
				all = append(all, *compared)
			}
		}
	}
	var periods []journey.Period
	for _, v := range all {
		if f.objectives.answerPeriod(v.Period).State == periodClosed {
			periods = append(periods, v.Period)
		}
	}
	if len(periods) == 0 {
		return out, nil
	}
	slices.SortFunc(periods, func(a, b journey.Period) int { return a.From.Compare(b.From) })
	published, err := f.publishedValues(ctx, metric, periods)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		revisions := published[publishedKey{metric, v.Period.From.UnixMilli()}]
		if len(revisions) == 0 {
			continue
		}
		first, last := revisions[0], revisions[len(revisions)-1]
		was, err := publishedValue(first)
		if err != nil {
			return nil, err
		}
		was.Period, was.Previous, was.YearAgo = v.Period, v.Previous, v.YearAgo
		was.Published = &journey.Publication{Revision: first.Revision, Revisions: last.Revision, Reason: first.Reason, Newest: last.Reason}
		*v = was
	}
	return out, nil
}

// publishingMetrics publishes the metrics of closed periods every hour, and so checks that published and recomputed values agree or
// say why.
func (s *service) publishingMetrics(ctx context.Context) error {
	since := s.now().Add(-longestHistory)
	for tick := time.NewTicker(publishEvery); ; {
		done, err := s.figures.publishMetrics(ctx, since, false)
		switch {
		case err == nil:
			since = s.now().Add(-recheck)
			if done.Published+done.Revised > 0 {
				s.log.InfoContext(ctx, "metrics of closed periods published", "published", done.Published, "revised", done.Revised)
			}
			if n := done.unexplained(); n > 0 {
				s.log.WarnContext(ctx, "published metrics are computed differently although no input has changed; a revision says so", "figures", n)
			}
		case ctx.Err() == nil:
			s.log.ErrorContext(ctx, "metrics of closed periods could not be published; it is tried again in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
	}
}

func metricPublishCommand() *cobra.Command {
	var since string
	var checkOnly bool
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Publish the metrics of closed periods, and revisions of those that have changed",
		Long: `Writes the values of all metrics in the weeks, months and quarters that have closed and are not published yet. Where late data, merged
identities, the roster or a definition have changed a published value, it appends a revision with the reason; what was published never changes.
Values that are split or restricted by a dimension are not published. ` + "`kubevalue serve`" + ` does so by itself every hour for the last 120 days.

With --check nothing is written: it compares what was published last with what is computed now, and exits with 1 if a value differs although
nothing that it is made of has changed.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&since, "since", "", "look at the periods from this date on (default: two years ago)")
	cmd.Flags().BoolVar(&checkOnly, "check", false, "write nothing, only compare")
	return answering(cmd, func(cmd *cobra.Command, f *figures, _ []string) (printable, error) {
		from, err := f.cfg.instant(since)
		if err != nil {
			return nil, fmt.Errorf("--since: %w", err)
		}
		if from.IsZero() {
			from = f.now().Add(-longestHistory)
		}
		done, err := f.publishMetrics(cmd.Context(), from, checkOnly)
		if err == nil && checkOnly && done.unexplained() > 0 {
			err = errors.Join(done.print(cmd.OutOrStdout()), fmt.Errorf("%d published values are computed differently although no input has changed", done.unexplained()))
		}
		return done, err
	})
}

// print writes the answer for a terminal.
func (p metricPublication) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if len(p.Changed) > 0 {
		fmt.Fprintln(w, "METRIC\tPERIOD\tREVISION\tWAS\tIS\tREASON")
	}
	for _, c := range p.Changed {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", c.Metric, c.Period, c.Revision, numberText(c.Was, c.unit), numberText(c.Is, c.unit), c.Reason)
	}
	if p.checked {
		fmt.Fprintf(w, "%d closed periods: %d published values compared, %d differ, %d of them without a reason; %d not published yet\n",
			p.Periods, p.Compared, p.Revised, p.unexplained(), p.Published)
	} else {
		fmt.Fprintf(w, "%d closed periods: %d values published, %d revised\n", p.Periods, p.Published, p.Revised)
	}
	return w.Flush()
}

func numberText(v *float64, unit string) string {
	if v == nil {
		return "undefined"
	}
	return valueText(journey.Value{Value: v, Unit: unit}, "")
}
