package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// The inputs of a published figure, and what it is called when one of them has changed.
const (
	inputDefinition = "definition"
	inputSlices     = "slices"
	inputIncidents  = "incidents"
	inputExclusions = "exclusions"
)

var inputChanges = []struct{ input, reason string }{
	{inputDefinition, "definition change"}, {inputSlices, "late data"}, {inputIncidents, "incident change"}, {inputExclusions, "exclusion change"},
}

// recomputed is the reason of a revision none of whose inputs has changed.
const recomputed = "computed by another version of kubevalue"

// publishedGrains are the calendar periods whose figures are published.
var publishedGrains = []journey.Grain{journey.GrainWeek, journey.GrainMonth, journey.GrainQuarter}

// longestHistory bounds how far back periods are looked at by themselves, also for an exclusion that has no beginning.
const longestHistory = 2 * 366 * 24 * time.Hour

// publication is what a run of the publisher wrote.
type publication struct {
	Periods   int `json:"periods"`
	Published int `json:"published"`
	Revised   int `json:"revised"`
	// Revisions are the objectives and periods whose figures were revised.
	Revisions []string `json:"revisions"`
	// Gone are the periods that stay as they were published, since slices of them are kept no longer.
	Gone []string `json:"slices_gone"`
}

// publish writes the figures of all closed periods that end after a time and are not published yet, and a revision of each that has
// changed since.
func (s *objectiveSet) publish(ctx context.Context, since time.Time) (publication, error) {
	return s.publishWithin(ctx, since, time.Time{})
}

// publishWithin does so for the closed periods that overlap a stretch of time; a zero end leaves it open.
func (s *objectiveSet) publishWithin(ctx context.Context, since, until time.Time) (publication, error) {
	done := publication{Revisions: []string{}, Gone: []string{}}
	began, err := s.measuringBegan(ctx)
	if err != nil || began.IsZero() {
		return done, err
	}
	if began.After(since) {
		since = began
	}
	for _, grain := range publishedGrains {
		for p := s.calendar.Period(grain, since); s.answerPeriod(p).State == periodClosed; p = s.calendar.Next(p) {
			if !until.IsZero() && !p.From.Before(until) {
				break
			}
			if p.From.Before(s.slicesKept()) {
				done.Gone = append(done.Gone, p.Label)
				continue
			}
			rows, err := s.publishable(ctx, p)
			if err != nil {
				return done, fmt.Errorf("publish %s: %w", p.Label, err)
			}
			for _, r := range rows {
				if r.Revision == 1 {
					done.Published++
				} else {
					done.Revised++
					done.Revisions = append(done.Revisions, r.Subject+" in "+p.Label)
				}
			}
			token := fmt.Sprintf("%s/%s/%s/%d", schema.KindObjective, p.Grain, p.Label, s.now().UnixNano())
			if err := s.store.InsertPublished(ctx, token, rows); err != nil {
				return done, fmt.Errorf("publish %s: %w", p.Label, err)
			}
			done.Periods++
		}
	}
	return done, nil
}

// slicesKept is since when all slices are there; zero: since measuring began. What is computed of the time before would miss some.
func (s *objectiveSet) slicesKept() time.Time {
	if s.keeps == 0 {
		return time.Time{}
	}
	return s.now().Add(-s.keeps)
}

// measuringBegan is the start of the first slice of any objective; zero when there is none.
func (s *objectiveSet) measuringBegan(ctx context.Context) (time.Time, error) {
	all, err := s.inForce(ctx, s.now())
	if err != nil {
		return time.Time{}, err
	}
	var series []schema.SliceQuery
	for _, o := range all {
		members, err := s.members(ctx, o, s.now())
		if err != nil {
			return time.Time{}, err
		}
		for _, ind := range (question{o: o, members: members}).indicators() {
			series = append(series, ind.query(time.Time{}, time.Time{}))
		}
	}
	marks, err := s.store.SeriesMarks(ctx, series)
	var began time.Time
	for _, m := range marks {
		if began.IsZero() || !m.First.IsZero() && m.First.Before(began) {
			began = m.First
		}
	}
	return began, err
}

// publishable are the figures of a closed period that are new or have changed.
func (s *objectiveSet) publishable(ctx context.Context, p journey.Period) ([]schema.Published, error) {
	of, err := s.inForce(ctx, p.To)
	if err != nil {
		return nil, err
	}
	qs, err := s.questionsIn(ctx, of, p)
	if err != nil {
		return nil, err
	}
	if err := s.addIncidents(ctx, qs); err != nil {
		return nil, err
	}
	answers, err := evaluateAll(ctx, s.store, qs)
	if err != nil {
		return nil, err
	}
	inputs, err := s.inputs(ctx, qs, p)
	if err != nil {
		return nil, err
	}
	published, err := s.revisions(ctx, p)
	if err != nil {
		return nil, err
	}
	exclusions, err := s.store.Exclusions(ctx)
	if err != nil {
		return nil, err
	}
	var out []schema.Published
	for i, q := range qs {
		if answers[i].err != nil {
			continue // the period has no figure that could be published; the answer says why
		}
		name := q.o.Definition.Name
		row, changed, err := nextRevision(published[name], answers[i].status, inputs[i], func(since time.Time) string {
			return changedExclusions(exclusions, name, storedPeriod(p), since)
		})
		if err != nil {
			return nil, err
		}
		if !changed {
			continue
		}
		row.Subject, row.Period, row.ComputedAt = name, storedPeriod(p), s.now().UTC().Truncate(time.Millisecond)
		out = append(out, row)
	}
	return out, nil
}

func storedPeriod(p journey.Period) schema.PublishedPeriod {
	return schema.PublishedPeriod{Grain: string(p.Grain), From: p.From, To: p.To, Label: p.Label, Zone: p.Zone}
}

// revisions are the published figures of a period, by objective, oldest first.
func (s *objectiveSet) revisions(ctx context.Context, p journey.Period) (map[string][]schema.Published, error) {
	rows, err := s.store.Published(ctx, schema.KindObjective, storedPeriod(p))
	out := map[string][]schema.Published{}
	for _, r := range rows {
		out[r.Subject] = append(out[r.Subject], r)
	}
	return out, err
}

// inputs are the hashes of what goes into the figures of a period.
func (s *objectiveSet) inputs(ctx context.Context, qs []question, p journey.Period) ([]map[string]string, error) {
	var series []schema.SliceQuery
	for _, q := range qs {
		for _, ind := range q.indicators() {
			series = append(series, ind.query(p.From, p.To))
		}
	}
	versions, err := s.store.SliceVersions(ctx, series)
	if err != nil {
		return nil, err
	}
	out := make([]map[string]string, len(qs))
	for i, q := range qs {
		n := len(q.indicators())
		measured := slices.Sorted(slices.Values(versions[:n])) // children have no order
		versions = versions[n:]
		since := q.req.Since
		if since.Before(p.From) {
			since = p.From
		}
		_, definition := q.o.version()
		out[i] = map[string]string{
			inputDefinition: definition,
			inputSlices:     digest(fmt.Append(nil, since.Unix(), measured)),
			inputIncidents:  digest(fmt.Append(nil, incidentTexts(q.req.Incidents))),
			inputExclusions: digest(fmt.Append(nil, exclusionTexts(q.req.Exclusions, p))),
		}
	}
	return out, nil
}

// incidentTexts say what attribution looks at.
func incidentTexts(all []slo.Incident) []string {
	var out []string
	for _, in := range all {
		out = append(out, fmt.Sprintf("%q %q %q %d %d", in.ID, in.Class, in.Cause, in.From.UnixMilli(), in.To.UnixMilli()))
	}
	return out
}

// exclusionTexts say what was excluded of a period.
func exclusionTexts(all []slo.Exclusion, p journey.Period) []string {
	var out []string
	for _, e := range all {
		for _, i := range e.Within(slo.Interval{From: p.From, To: p.To}) {
			out = append(out, fmt.Sprintf("%q %q %s", e.Reason, e.Author, i))
		}
	}
	return out
}

// nextRevision is the figure of a period unless it is the one that was published last: false. A period of which nothing was measured
// is not published before something was. excluded says who has changed exclusions since a time, and why.
func nextRevision(old []schema.Published, status slo.Status, inputs map[string]string, excluded func(since time.Time) string) (schema.Published, bool, error) {
	row := schema.Published{Kind: schema.KindObjective, Revision: 1, Reason: "closed", Version: inputs[inputDefinition], Inputs: inputs}
	if len(old) == 0 && status.MeasuredSlices == 0 {
		return row, false, nil
	}
	if len(old) > 0 {
		last := old[len(old)-1]
		was, err := publishedStatus(last)
		if err != nil {
			return row, false, err
		}
		if last.Version == row.Version && sameFigures(was, status) {
			return row, false, nil
		}
		var reasons []string
		for _, c := range inputChanges {
			if last.Inputs[c.input] == inputs[c.input] {
				continue
			}
			reason := c.reason
			if why := excluded(last.ComputedAt); c.input == inputExclusions && why != "" {
				reason += " (" + why + ")"
			}
			reasons = append(reasons, reason)
		}
		row.Revision, row.Reason = last.Revision+1, cmp.Or(strings.Join(reasons, ", "), recomputed)
	}
	var err error
	row.Value, err = json.Marshal(status)
	return row, true, err
}

func publishedStatus(r schema.Published) (slo.Status, error) {
	var s slo.Status
	if err := json.Unmarshal(r.Value, &s); err != nil {
		return s, fmt.Errorf("revision %d of %s in %s is not what was written: %w", r.Revision, r.Subject, r.Period.Label, err)
	}
	return s, nil
}

// same compares sums, which are the same up to rounding only, since they are added in any order.
func same(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

// sameOptional compares sums that may be undefined.
func sameOptional(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return same(*a, *b)
}

// sameFigures compares what a reader sees.
func sameFigures(a, b slo.Status) bool {
	for _, pair := range [][2]*float64{{a.SLI, b.SLI}, {a.Coverage, b.Coverage}, {a.Consumed, b.Consumed}, {a.Good, b.Good}, {a.Total, b.Total}, {a.Uptime, b.Uptime}} {
		if !sameOptional(pair[0], pair[1]) {
			return false
		}
	}
	if a.MeasuredSlices != b.MeasuredSlices || a.ExcludedSlices != b.ExcludedSlices || a.ExpectedSlices != b.ExpectedSlices || !a.At.Equal(b.At) ||
		!same(a.BadMinutes, b.BadMinutes) || !same(a.AllowedMinutes, b.AllowedMinutes) {
		return false
	}
	return slices.EqualFunc(attributed(a), attributed(b), func(p, q slo.AttributionPart) bool {
		return p.ID == q.ID && p.Class == q.Class && p.Cause == q.Cause && same(p.Share, q.Share)
	}) && slices.EqualFunc(a.Spared.Parts, b.Spared.Parts, func(p, q slo.SparedPart) bool {
		return p.Reason == q.Reason && p.Author == q.Author && same(p.Slices, q.Slices) && same(p.BadMinutes, q.BadMinutes)
	})
}

// attributed are the parts of an attribution that used something.
func attributed(s slo.Status) []slo.AttributionPart {
	if s.Attribution == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Attribution.Parts), func(p slo.AttributionPart) bool { return p.Share == 0 })
}

func sloPublishCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Publish the figures of closed periods, and revisions of those that have changed",
		Long: `Writes the figures of all weeks, months and quarters that have closed and are not published yet; where late data, incidents, exclusions
or a definition have changed a published figure, it appends a revision with the reason. What was published is never changed.
` + "`kubevalue serve`" + ` does so by itself: every hour for periods of the last 120 days and for what an exclusion touches that was recorded since,
every day for the last two years. A period stays as it was published once slices of it have gone (retention.slices).`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&since, "since", "", "look at the periods from this date on (default: two years ago)")
	return answering(cmd, func(cmd *cobra.Command, f *figures, _ []string) (printable, error) {
		from, err := f.cfg.instant(since)
		if err != nil {
			return nil, fmt.Errorf("--since: %w", err)
		}
		if from.IsZero() {
			from = f.now().Add(-longestHistory)
		}
		if _, err := f.objectives.recordDefinitions(cmd.Context()); err != nil {
			return nil, err
		}
		return f.objectives.publish(cmd.Context(), from)
	})
}

func (p publication) print(out io.Writer) error {
	fmt.Fprintf(out, "%d closed periods: %d figures published, %d revised\n", p.Periods, p.Published, p.Revised)
	return p.printGone(out)
}

// printGone says which periods could not be computed anew.
func (p publication) printGone(out io.Writer) error {
	if len(p.Gone) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(out, "%d periods stay as they were published, since slices of them have gone (retention.slices): %s\n", len(p.Gone), someOf(p.Gone))
	return err
}

// revisionsAnswer is all that was published of an objective in a period.
type revisionsAnswer struct {
	Objective string          `json:"objective"`
	Period    answerPeriod    `json:"period"`
	Revisions []shownRevision `json:"revisions"`
}

type shownRevision struct {
	Revision   uint32     `json:"revision"`
	Reason     string     `json:"reason"`
	Definition string     `json:"definition"`
	ComputedAt time.Time  `json:"computed_at"`
	Status     slo.Status `json:"status"`
}

func (s *objectiveSet) history(ctx context.Context, name string, p journey.Period) (revisionsAnswer, error) {
	answer := revisionsAnswer{Objective: name, Period: s.answerPeriod(p), Revisions: []shownRevision{}}
	if _, err := s.defined(ctx, p, name); err != nil {
		return answer, err
	}
	all, err := s.revisions(ctx, p)
	if err != nil {
		return answer, err
	}
	for _, r := range all[name] {
		status, err := publishedStatus(r)
		if err != nil {
			return answer, err
		}
		answer.Revisions = append(answer.Revisions, shownRevision{r.Revision, r.Reason, r.Version, r.ComputedAt, status})
	}
	return answer, nil
}

func sloRevisionsCommand() *cobra.Command {
	var period string
	cmd := &cobra.Command{
		Use:     "revisions NAME",
		Short:   "Print what was published of an objective in a closed period, and why it was revised",
		Example: "  kubevalue slo revisions checkout --period 2026-10",
		Args:    one("the NAME of an objective"),
	}
	cmd.Flags().StringVar(&period, "period", "month", "the period: month, week, quarter (the last that has ended), or a label")
	return answering(cmd, func(cmd *cobra.Command, f *figures, args []string) (printable, error) {
		p, err := f.objectives.period(period)
		if err != nil {
			return nil, err
		}
		return f.objectives.history(cmd.Context(), args[0], p)
	})
}

// print writes the answer for a terminal.
func (a revisionsAnswer) print(out io.Writer) error {
	fmt.Fprintf(out, "%s in %s\n", a.Objective, a.Period)
	if len(a.Revisions) == 0 {
		_, err := fmt.Fprintln(out, "nothing was published yet")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "REVISION\tCOMPUTED (UTC)\tREASON\tTARGET\tBUDGET USED\tUPTIME\tBAD (MIN)\tCOVERAGE\tN (SLICES)\tDEFINITION")
	for _, r := range a.Revisions {
		t := figuresOf(&r.Status)
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Revision, timeText(r.ComputedAt), r.Reason, t.target, t.consumed, t.uptime, t.bad, t.coverage, t.n, r.Definition)
	}
	return w.Flush()
}
