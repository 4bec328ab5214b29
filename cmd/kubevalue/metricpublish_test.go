package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/pipeline/replay"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// measuredPlatform is the read side of a warehouse that cases are ingested into, with a few metrics: publishing all takes its time.
type measuredPlatform struct {
	*figures
	t   *testing.T
	env caseEnvironment
}

func newMeasuredPlatform(t *testing.T, now time.Time, settings string) *measuredPlatform {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "kubevalue.yaml")
	text := fmt.Sprintf("identity: {key_file: identity.key}\nwarehouse: {dsn: %q}\n%s", warehousetest.DSN(t), settings)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	db := warehousetest.OpenDSN(t, cfg.Warehouse.DSN)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := newFigures(cfg, db, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	f.evaluator.Metrics = slices.DeleteFunc(f.evaluator.Metrics, func(d journey.Metric) bool { return !slices.Contains([]string{"A1", "A9", "C15"}, d.ID) })
	return &measuredPlatform{figures: f, t: t, env: caseEnvironment{replay.New(db), db}}
}

// ingest adds what a case says, in YAML: roster, events and aliases.
func (m *measuredPlatform) ingest(text string) {
	m.t.Helper()
	cases, err := metrictest.Parse("case.yaml", []byte("tests: [{name: more, now: 2026-03-01T00:00:00Z, "+text+", expect: [{metric: A1, args: {period: 2026-W01}, error: x}]}]"))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.env.Ingest(m.t.Context(), cases[0]); err != nil {
		m.t.Fatal(err)
	}
}

func (m *measuredPlatform) publish(checkOnly bool) metricPublication {
	m.t.Helper()
	done, err := m.publishMetrics(m.t.Context(), publishOptions{CheckOnly: checkOnly})
	if err != nil {
		m.t.Fatal(err)
	}
	return done
}

// revised is what was published of a metric in a period: revision, reason and value.
func (m *measuredPlatform) revised(metric, label string) []string {
	m.t.Helper()
	p, err := m.calendar.Parse(label, "")
	if err != nil {
		m.t.Fatal(err)
	}
	answer, err := m.valueHistory(m.t.Context(), metric, p)
	if err != nil {
		m.t.Fatal(err)
	}
	var out []string
	for _, r := range answer.Revisions {
		out = append(out, fmt.Sprintf("%d %s: %g", r.Revision, r.Reason, *r.Value.Value))
	}
	return out
}

const (
	januaryRoster = "roster: [{team: a, members: [ann, bob, ann2]}, {team: b, members: [cy]}]"
	januaryEvents = `events: [
  {id: e1, time: 2026-01-05T10:00:00Z, actor: ann, name: deploy}, {id: e2, time: 2026-01-06T10:00:00Z, actor: ann2, name: deploy},
  {id: e3, time: 2026-01-07T10:00:00Z, actor: bob, name: deploy}, {id: e4, time: 2026-01-13T10:00:00Z, actor: ann, name: deploy}]`
)

// A figure that was published stays; each cause of another one makes a revision that names it.
func TestPublishedMetricsAreRevisedWithReasons(t *testing.T) {
	m := newMeasuredPlatform(t, time.Date(2026, 1, 23, 12, 0, 0, 0, time.UTC), "organisation: {small_group: 1}")
	if done := m.publish(false); done.Periods+done.Published != 0 {
		t.Errorf("an empty warehouse published %+v", done)
	}
	m.ingest(januaryRoster + ", " + januaryEvents)
	// The weeks 2 and 3 have closed; January has not.
	if done := m.publish(false); done.Periods != 2 || done.Published == 0 || done.Revised != 0 {
		t.Errorf("published %+v", done)
	}
	if done := m.publish(false); done.Published+done.Revised != 0 || done.Compared == 0 {
		t.Errorf("nothing has changed, but %+v", done)
	}

	m.ingest(januaryRoster + ", events: [{id: e5, time: 2026-01-08T10:00:00Z, received: 2026-01-22T10:00:00Z, actor: cy, name: deploy}]")
	checked := m.publish(true)
	if checked.Revised == 0 || checked.unexplained() != 0 || checked.Changed[0].Reason != "late data" {
		t.Errorf("checked %+v", checked)
	}
	if got := m.revised("A1", "2026-W02"); len(got) != 1 {
		t.Errorf("a check has written: %v", got)
	}
	m.publish(false)
	m.ingest(januaryRoster + ", aliases: [{from: ann2, to: ann}]")
	m.publish(false)
	m.ingest(`roster: [{team: a, members: [ann, bob, ann2]}, {team: b, members: [cy]}, {team: c, members: [dee]}]`)
	m.publish(false)
	for i := range m.evaluator.Metrics {
		if d := &m.evaluator.Metrics[i]; d.ID == "A1" {
			d.Version++
		}
	}
	m.publish(false)
	want := []string{"1 closed: 3", "2 late data: 4", "3 merged identities: 3", "4 definition change, roster change: 3"}
	if diff := cmp.Diff(want, m.revised("A1", "2026-W02")); diff != "" {
		t.Errorf("people in week 2 (-want +got):\n%s", diff)
	}
	want = []string{"1 closed: 0.5", "2 late data: 1", fmt.Sprintf("3 merged identities, roster change: %g", 2/3.)}
	if diff := cmp.Diff(want, m.revised("C15", "2026-W02")); diff != "" {
		t.Errorf("adoption in week 2 (-want +got):\n%s", diff)
	}
	// The retention of newcomers in week 3 stands on the week before it, whose late data change it.
	want = []string{fmt.Sprintf("1 closed: %g", 1/3.), "2 late data of earlier periods: 0.25", fmt.Sprintf("3 merged identities: %g", 1/3.)}
	if diff := cmp.Diff(want, m.revised("A9", "2026-W03")); diff != "" {
		t.Errorf("newcomers of week 3 (-want +got):\n%s", diff)
	}
	if again := m.publish(true); again.Revised != 0 {
		t.Errorf("what was just published differs: %+v", again)
	}
}

// Consumption of a period that is replaced is a change, and that the warehouse still holds what was replaced is none: merges take it away.
func TestReplacedConsumptionIsAChange(t *testing.T) {
	known := func(seconds ...int) string {
		m := newMeasuredPlatform(t, time.Date(2026, 1, 23, 12, 0, 0, 0, time.UTC), "organisation: {small_group: 1}")
		for _, s := range seconds {
			m.ingest(fmt.Sprintf("consumption: [{cluster: c1, start: 2026-01-07T10:00:00Z, kind: balancer, namespace: shop, seconds: %d}]", s))
		}
		week, err := m.calendar.Parse("2026-W02", "")
		if err != nil {
			t.Fatal(err)
		}
		inputs, err := m.metricInputs(t.Context(), []journey.Period{week})
		if err != nil {
			t.Fatal(err)
		}
		return inputs[0].hashes[inputResources]
	}
	after := known(600)
	if known(300) == after {
		t.Error("another sum is no change")
	}
	if known(300, 600) != after {
		t.Error("a sum that was replaced still counts")
	}
}

// at moves the clock.
func (m *measuredPlatform) at(now time.Time) {
	clock := func() time.Time { return now }
	m.now, m.objectives.now, m.evaluator.Now = clock, clock, clock
}

// What comes late for periods of half a year ago becomes a revision within a day; one whose events have gone stays as it was published.
func TestLateEventsOfOldPeriods(t *testing.T) {
	now := time.Date(2026, 8, 5, 12, 0, 0, 0, time.UTC)
	m := newMeasuredPlatform(t, now, "organisation: {small_group: 1}\nspool: {max_lateness: 30d}")
	svc := &service{now: func() time.Time { return m.now() }, figures: m.figures, log: slog.New(slog.DiscardHandler)}
	var r rechecks
	publish := func(after time.Duration) {
		t.Helper()
		m.at(now.Add(after))
		if err := svc.publishMetricsDue(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
	}
	m.ingest(januaryRoster + ", " + januaryEvents)
	publish(0)
	m.ingest(januaryRoster + ", events: [{id: e5, time: 2026-01-08T10:00:00Z, actor: cy, name: deploy}]")
	publish(time.Hour)
	if got := m.revised("A1", "2026-W02"); len(got) != 1 {
		t.Errorf("an hour later: %v", got)
	}
	publish(24 * time.Hour)
	want := []string{"1 closed: 3", "2 late data: 4"}
	if diff := cmp.Diff(want, m.revised("A1", "2026-W02")); diff != "" {
		t.Errorf("a day later (-want +got):\n%s", diff)
	}
	m.cfg.Retention.Events = Duration(200 * 24 * time.Hour) // since 19 January
	m.ingest(januaryRoster + ", events: [{id: e6, time: 2026-01-08T10:00:00Z, actor: dee, name: deploy}, {id: e7, time: 2026-01-28T10:00:00Z, actor: dee, name: deploy}, " +
		"{id: e8, time: 2026-01-22T10:00:00Z, actor: dee, name: deploy}]")
	publish(48 * time.Hour)
	if diff := cmp.Diff(want, m.revised("A1", "2026-W02")); diff != "" {
		t.Errorf("after its events have gone (-want +got):\n%s", diff)
	}
	if got := m.revised("A1", "2026-W04"); len(got) > 0 {
		t.Errorf("a week of which half a day has gone was published: %v", got)
	}
	if diff := cmp.Diff([]string{"1 closed: 1"}, m.revised("A1", "2026-W05")); diff != "" {
		t.Errorf("a week whose events are there (-want +got):\n%s", diff)
	}
}

// Readers get what was published, with the number of later revisions; a figure that nothing explains is said to be one.
func TestReadersGetWhatWasPublished(t *testing.T) {
	m := newMeasuredPlatform(t, time.Date(2026, 1, 23, 12, 0, 0, 0, time.UTC), "organisation: {small_group: 1}")
	m.ingest(januaryRoster + ", " + januaryEvents)
	m.publish(false)
	m.ingest(januaryRoster + ", events: [{id: e5, time: 2026-01-08T10:00:00Z, received: 2026-01-22T10:00:00Z, actor: cy, name: deploy}]")
	m.publish(false)
	request := journey.Request{Metric: "A1", Compare: true}
	for _, label := range []string{"2026-W02", "2026-W03", "2026-W04"} {
		p, err := m.calendar.Parse(label, "")
		if err != nil {
			t.Fatal(err)
		}
		request.Periods = append(request.Periods, p)
	}
	values, err := m.asPublished(m.evaluator.Evaluate)(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if v := values[0]; *v.Value != 3 || v.Published == nil || *v.Published != (journey.Publication{Revision: 1, Revisions: 2, Reason: "closed", Newest: "late data"}) {
		t.Errorf("week 2: %v, %+v", *v.Value, v.Published)
	}
	if v := values[1].Previous; *v.Value != 3 || v.Published == nil {
		t.Errorf("the week before week 3: %v, %+v", *v.Value, v.Published)
	}
	if v := values[2]; v.Published != nil || !v.Partial {
		t.Errorf("week 4 is under way: %+v", v)
	}
	var out strings.Builder
	if err := printValues(&out, "table", values); err != nil || !strings.Contains(out.String(), "2026-W02 is as published; 1 later revisions, the last one for: late data") {
		t.Errorf("printed %v:\n%s", err, out.String())
	}
	if latest, err := m.evaluator.Evaluate(t.Context(), request); err != nil || *latest[0].Value != 4 {
		t.Errorf("latest: %v, %v", latest[0].Value, err)
	}

	// By schedule, week 3 is left alone while its events still come in.
	fresh := newMeasuredPlatform(t, time.Date(2026, 1, 23, 12, 0, 0, 0, time.UTC), "")
	fresh.ingest(januaryRoster + ", " + strings.Replace(januaryEvents, "time: 2026-01-13T10:00:00Z", "time: 2026-01-13T10:00:00Z, received: 2026-01-23T10:00:00Z", 1))
	if _, err := fresh.publishMetrics(t.Context(), publishOptions{Settled: true}); err != nil {
		t.Fatal(err)
	}
	if two, three := fresh.revised("C15", "2026-W02"), fresh.revised("C15", "2026-W03"); len(two) != 1 || len(three) != 0 {
		t.Errorf("published of week 2 %v, of week 3 %v", two, three)
	}

	old, err := m.publishedValues(t.Context(), "A1", request.Periods[:1])
	if err != nil {
		t.Fatal(err)
	}
	last := old[publishedKey{"A1", request.Periods[0].From.UnixMilli()}]
	other := values[0]
	other.Value = new(7.)
	row, changed, err := nextValue(last, other, last[len(last)-1].Inputs)
	if err != nil || !changed || row.Reason != recomputed || row.Revision != 3 {
		t.Errorf("a figure that nothing explains: %v, %v, %+v", err, changed, row)
	}
}

func TestExplainShowsTheWayToAFigure(t *testing.T) {
	m := newMeasuredPlatform(t, time.Date(2026, 1, 23, 12, 0, 0, 0, time.UTC), "organisation: {small_group: 1}")
	m.ingest(januaryRoster + ", " + januaryEvents)
	p, err := m.calendar.Parse("2026-W02", "")
	if err != nil {
		t.Fatal(err)
	}
	explained, err := m.evaluator.Explain(t.Context(), journey.Request{Metric: "C15", Periods: []journey.Period{p}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printExplanation(&out, explained); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"C15 Adoption (version 1, stable)", "eligible AS (", "ends = [1768176000000]", "returned 1 rows: period, dim, value\n  1767571200000, \"\", 1\n",
		"numerator / denominator: 1 / 2", "2026-W02  all  50%"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the explanation lacks %q:\n%s", want, out.String())
		}
	}
}
