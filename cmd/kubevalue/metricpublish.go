package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// publishOptions say what a run of the publisher does.
type publishOptions struct {
	// Since is the time that periods end after.
	Since time.Time
	// CheckOnly compares and writes nothing.
	CheckOnly bool
	// Settled leaves periods alone that are not published yet and of which events came in within the last settleTime: an import may
	// be under way.
	Settled bool
}

const settleTime = 24 * time.Hour

// publishMetrics writes the values of all metrics in closed periods that are not published yet, and a revision of each that is
// computed differently now, with its reason.
func (f *figures) publishMetrics(ctx context.Context, o publishOptions) (metricPublication, error) {
	done := metricPublication{Changed: []changedFigure{}, checked: o.CheckOnly}
	since := o.Since
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
		rows, err := f.publishableValues(ctx, periods, o.Settled, &done)
		if err != nil {
			return done, fmt.Errorf("publish metrics by %s: %w", grain, err)
		}
		done.Periods += len(periods)
		if o.CheckOnly || len(rows) == 0 {
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
func (f *figures) publishableValues(ctx context.Context, periods []journey.Period, settled bool, done *metricPublication) ([]schema.Published, error) {
	inputs, err := f.metricInputs(ctx, periods)
	if err != nil {
		return nil, err
	}
	published, err := f.publishedValues(ctx, "", periods)
	if err != nil {
		return nil, err
	}
	requests := make([]journey.Request, len(f.evaluator.Metrics))
	for i, m := range f.evaluator.Metrics {
		requests[i] = journey.Request{Metric: m.ID, Periods: periods}
	}
	all, err := f.evaluator.EvaluateAll(ctx, requests)
	if err != nil {
		return nil, err
	}
	var out []schema.Published
	for n, m := range f.evaluator.Metrics {
		for i, v := range all[n] {
			old := published[publishedKey{m.ID, v.Period.From.UnixMilli()}]
			if len(old) == 0 && settled && f.now().Sub(inputs[i].received) < settleTime || f.gone(m, v.Period) {
				continue
			}
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

// gone says that a value of a period would be made of what is left of its events and changes, or slices: it stays as it was published, and
// is not published if it was not.
func (f *figures) gone(m journey.Metric, p journey.Period) bool {
	keeps := []Duration{f.cfg.Retention.Events, f.cfg.Retention.Changes}
	if m.Objective != nil {
		keeps = []Duration{f.cfg.Retention.Slices}
	}
	return slices.ContainsFunc(keeps, func(d Duration) bool { return d > 0 && p.From.Before(f.now().Add(-time.Duration(d))) })
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

// sameValues compares what a reader sees.
func sameValues(a, b journey.Value) bool {
	return a.Version == b.Version && a.N == b.N && a.Unit == b.Unit && a.Withheld == b.Withheld && sameOptional(a.Value, b.Value) && sameOptional(a.Numerator, b.Numerator) &&
		sameOptional(a.Denominator, b.Denominator) && sameOptional(a.Low, b.Low) && sameOptional(a.High, b.High) && sameOptional(a.Coverage, b.Coverage)
}

// asPublished answers a request with what was published of closed periods, and computes only the rest. Figures that are split or
// restricted are not published, so they are always computed.
func (f *figures) asPublished(evaluate journey.EvaluateFunc) journey.EvaluateFunc {
	return func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		periods := f.allPeriods(r)
		if r.By != "" || len(r.Filter) > 0 || len(periods) == 0 {
			return evaluate(ctx, r)
		}
		known, err := f.firstPublished(ctx, r.Metric, periods)
		if err != nil {
			return nil, err
		}
		if len(known) == 0 {
			return evaluate(ctx, r)
		}
		missing := slices.DeleteFunc(periods, func(p journey.Period) bool { _, ok := known[p.From.UnixMilli()]; return ok })
		if len(missing) > 0 {
			values, err := evaluate(ctx, journey.Request{Metric: r.Metric, Periods: missing})
			if err != nil {
				return nil, err
			}
			for _, v := range values {
				known[v.Period.From.UnixMilli()] = v
			}
		}
		out := make([]journey.Value, len(r.Periods))
		for i, p := range r.Periods {
			out[i] = known[p.From.UnixMilli()]
			if r.Compare {
				out[i].Previous = known[f.calendar.Previous(p).From.UnixMilli()].Compared()
				out[i].YearAgo = known[f.calendar.YearAgo(p).From.UnixMilli()].Compared()
			}
		}
		return out, nil
	}
}

// allPeriods are the periods of a request and those that they are compared with, in order, each once.
func (f *figures) allPeriods(r journey.Request) []journey.Period {
	all := slices.Clone(r.Periods)
	if r.Compare {
		for _, p := range r.Periods {
			all = append(all, f.calendar.Previous(p), f.calendar.YearAgo(p))
		}
	}
	slices.SortFunc(all, func(a, b journey.Period) int { return a.From.Compare(b.From) })
	return slices.CompactFunc(all, func(a, b journey.Period) bool { return a.From.Equal(b.From) })
}

// firstPublished are the values of a metric as they were published first, by the beginning of the period in Unix milliseconds.
func (f *figures) firstPublished(ctx context.Context, metric string, periods []journey.Period) (map[int64]journey.Value, error) {
	closed := slices.DeleteFunc(slices.Clone(periods), func(p journey.Period) bool { return f.objectives.answerPeriod(p).State != periodClosed })
	if len(closed) == 0 {
		return nil, nil
	}
	published, err := f.publishedValues(ctx, metric, closed)
	if err != nil {
		return nil, err
	}
	out := map[int64]journey.Value{}
	for _, p := range closed {
		revisions := published[publishedKey{metric, p.From.UnixMilli()}]
		if len(revisions) == 0 {
			continue
		}
		first, last := revisions[0], revisions[len(revisions)-1]
		v, err := publishedValue(first)
		if err != nil {
			return nil, err
		}
		newest, err := publishedValue(last)
		if err != nil {
			return nil, err
		}
		if newest.Withheld != "" { // what is to be withheld by now must not be read from an older revision
			v, first = newest, last
		}
		v.Period = p
		v.Published = &journey.Publication{Revision: first.Revision, Revisions: last.Revision, Reason: first.Reason, Newest: last.Reason}
		out[p.From.UnixMilli()] = v
	}
	return out, nil
}

// publishingMetrics publishes the metrics of closed periods as they close, and so checks that published and recomputed values agree or
// say why.
func (s *service) publishingMetrics(ctx context.Context) error {
	var r rechecks
	return s.everyHour(ctx, "metrics", nil, func(ctx context.Context) error { return s.publishMetricsDue(ctx, &r) })
}

// publishMetricsDue publishes what may have changed: every time in periods of the last months, once a day in all of the last two years.
func (s *service) publishMetricsDue(ctx context.Context, r *rechecks) error {
	now := s.now()
	done, err := s.figures.publishMetrics(ctx, publishOptions{Since: r.from(now), Settled: true})
	if err != nil {
		return err
	}
	r.looked(now)
	if done.Published+done.Revised > 0 {
		s.log.InfoContext(ctx, "metrics of closed periods published", "published", done.Published, "revised", done.Revised)
	}
	if n := done.unexplained(); n > 0 {
		s.log.WarnContext(ctx, "published metrics are computed differently although no input has changed; a revision says so", "figures", n)
	}
	return nil
}

func metricPublishCommand() *cobra.Command {
	var since string
	var checkOnly bool
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Publish the metrics of closed periods, and revisions of those that have changed",
		Long: `Writes the values of all metrics in the weeks, months and quarters that have closed and are not published yet. Where late data, merged
identities, the roster or a definition have changed a published value, it appends a revision with the reason; what was published never changes.
Values that are split or restricted by a dimension are not published. ` + "`kubevalue serve`" + ` does so by itself, every hour for the last 120 days and every day
for the last two years; it waits until no event of a period has come in for a day before it publishes the period for the first time. A period stays
as it was published once events or changes of it have gone (retention.events, retention.changes).

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
		done, err := f.publishMetrics(cmd.Context(), publishOptions{Since: from, CheckOnly: checkOnly})
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
