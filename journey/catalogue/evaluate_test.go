package catalogue_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }

// story is three teams over two weeks of January: a acts in both, b in the second only, c never.
func story(t *testing.T) (*warehouse.DB, catalogue.Evaluator) {
	t.Helper()
	db := warehousetest.Open(t)
	at := func(day, hour int) time.Time { return time.Date(2026, 1, day, hour, 0, 0, 0, time.UTC) }
	var rows []schema.StoredEvent
	for i, e := range []struct {
		day   int
		actor uint64
		team  string
	}{{5, 1, "a"}, {5, 2, "a"}, {12, 1, "a"}, {13, 3, "b"}, {14, 9, ""}} {
		rows = append(rows, schema.StoredEvent{ID: schema.EventID("test", string(rune('a'+i))), Time: at(e.day, 10), Received: at(e.day, 10), Source: "test",
			Name: "deploy", Actor: e.actor, ActorKind: schema.ActorHuman, ActorTeam: e.team, Outcome: schema.OutcomeSuccess})
	}
	if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "story", Rows: rows}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.PutRoster(t.Context(), "1", at(1, 0), []schema.RosterEntry{{Team: "a", Voluntary: true}, {Team: "b", Voluntary: true}, {Team: "c"}}); err != nil {
		t.Fatal(err)
	}
	return db, catalogue.Evaluator{
		Query: db.Query, Metrics: load(t), Now: func() time.Time { return at(15, 0) },
		Settings: journey.Settings{Calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}},
	}
}

func week(t *testing.T, e catalogue.Evaluator, label string) journey.Period {
	t.Helper()
	p, err := e.Settings.Calendar.Parse(label, journey.GrainWeek)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPeriodsDimensionsAndComparison(t *testing.T) {
	_, e := story(t)
	values, err := e.Evaluate(t.Context(), journey.Request{
		Metric: "C15", Periods: []journey.Period{week(t, e, "2026-W02"), week(t, e, "2026-W03")}, By: "team", Compare: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	type figure struct {
		Period, Team string
		Value        float64
		Partial      bool
		Previous     float64
		YearAgo      bool
	}
	var got []figure
	for _, v := range values {
		f := figure{Period: v.Period.Label, Team: v.Dimensions["team"], Value: *v.Value, Partial: v.Partial, YearAgo: v.YearAgo.Value != nil}
		if v.Previous.Value != nil {
			f.Previous = *v.Previous.Value
		}
		if v.Previous.Period.Label != e.Settings.Calendar.Previous(v.Period).Label {
			t.Errorf("%s is compared with %s", v.Period.Label, v.Previous.Period.Label)
		}
		got = append(got, f)
	}
	// The roster is open, so that a year ago all three were eligible. Nobody knows that none was active: no source reported.
	want := []figure{
		{"2026-W02", "a", 1, false, 0, false}, {"2026-W02", "b", 0, false, 0, false}, {"2026-W02", "c", 0, false, 0, false},
		{"2026-W03", "a", 1, true, 1, false}, {"2026-W03", "b", 1, true, 0, false}, {"2026-W03", "c", 0, true, 0, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A team without a denominator has no ratio: it does not get that of those without a team. What is no team's is of all teams alike.
func TestDenominatorsOfTeams(t *testing.T) {
	_, e := story(t)
	for denominator, want := range map[string]map[string]float64{
		"SELECT period, dim, count() AS value FROM activity WHERE actor != 1 GROUP BY period, dim":                                                       {"a": 0, "b": 1, "": 1},
		"SELECT period, dim, days AS value FROM spans":                                                                                                   {"a": 3, "b": 3, "": 3},
		"SELECT period, '' dim, count() AS value FROM activity GROUP BY period":                                                                          {"a": 3, "b": 3, "": 3},
		"SELECT period, dim, count() AS value FROM activity WHERE team NOT IN (SELECT '' AS team FROM capabilities) AND actor != 1 GROUP BY period, dim": {"a": 0, "b": 1, "": 1},
	} {
		e.Metrics = []journey.Metric{{
			ID: "U1", Dimensions: []string{journey.DimensionTeam},
			SQL: &journey.MetricSQL{Numerator: "SELECT period, dim, count() AS value FROM acts GROUP BY period, dim", Denominator: denominator},
		}}
		values, err := e.Evaluate(t.Context(), journey.Request{Metric: "U1", Periods: []journey.Period{week(t, e, "2026-W03")}, By: journey.DimensionTeam})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, v := range values {
			got[v.Dimensions[journey.DimensionTeam]] = *v.Denominator
			if (v.Value != nil) != (*v.Denominator > 0) || *v.Numerator != 1 {
				t.Errorf("%s is %v: %v of %v", v.Dimensions, v.Value, *v.Numerator, *v.Denominator)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", denominator, diff)
		}
	}
}

// A period between those asked for lends them nothing.
func TestPeriodsApart(t *testing.T) {
	_, e := story(t)
	for _, id := range []string{"A1", "A2", "A6", "A9"} {
		alone := map[string]*float64{}
		periods := []journey.Period{week(t, e, "2025-W50"), week(t, e, "2026-W01"), week(t, e, "2026-W03")}
		for _, p := range periods {
			values, err := e.Evaluate(t.Context(), journey.Request{Metric: id, Periods: []journey.Period{p}})
			if err != nil {
				t.Fatal(err)
			}
			alone[p.Label] = values[0].Value
		}
		values, err := e.Evaluate(t.Context(), journey.Request{Metric: id, Periods: periods})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if diff := cmp.Diff(alone[v.Period.Label], v.Value); diff != "" {
				t.Errorf("%s in %s beside others: %s", id, v.Period.Label, diff)
			}
		}
	}
}

func TestCoverage(t *testing.T) {
	_, e := story(t)
	for label, want := range map[string]float64{
		// First heard of on Monday, 10:00; silent from 11:00 until the 12th: of the week one hour is covered.
		"2026-W02": 1.0 / (7 * 24),
		// Silent until Monday 10:00, then never longer than a day.
		"2026-W03": (3*24 - 10) / (3 * 24.0),
	} {
		values, err := e.Evaluate(t.Context(), journey.Request{Metric: "A1", Periods: []journey.Period{week(t, e, label)}})
		if err != nil {
			t.Fatal(err)
		}
		got := values[0].Coverage
		if got == nil || *got < want-1e-9 || *got > want+1e-9 {
			t.Errorf("coverage of %s is %v, want %v", label, got, want)
		}
	}
	values, err := e.Evaluate(t.Context(), journey.Request{Metric: "A1", Periods: []journey.Period{week(t, e, "2026-W05"), week(t, e, "2025-W10")}})
	if err != nil {
		t.Fatal(err)
	}
	if values[0].Coverage != nil || !values[0].Partial {
		t.Errorf("a period that has not begun has the coverage %v", *values[0].Coverage)
	}
	if values[1].Coverage == nil || *values[1].Coverage != 0 {
		t.Error("a period before the first event is covered")
	}
}

func TestExplainShowsWhatWasAsked(t *testing.T) {
	_, e := story(t)
	x, err := e.Explain(t.Context(), journey.Request{Metric: "C15", Periods: []journey.Period{week(t, e, "2026-W03")}})
	if err != nil {
		t.Fatal(err)
	}
	if x.Metric.ID != "C15" || len(x.Values) != 1 || *x.Values[0].Numerator != 2 || *x.Values[0].Denominator != 3 {
		t.Fatalf("explained %+v", x.Values)
	}
	rows := 0
	for _, s := range x.Statements {
		if s.SQL == "" {
			t.Error("a statement without SQL")
		}
		rows += len(s.Rows)
	}
	if len(x.Statements) < 3 || rows < 3 {
		t.Errorf("%d statements with %d rows", len(x.Statements), rows)
	}
}

func TestRememberingAsksOnce(t *testing.T) {
	db, e := story(t)
	var asked atomic.Int64 // several ask at a time
	e.Query = func(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
		asked.Add(1)
		return db.Query(ctx, sql, params)
	}
	e = e.Remembering()
	r := journey.Request{Metric: "C15", Periods: []journey.Period{week(t, e, "2026-W03")}}
	first, err := e.Evaluate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	once := asked.Load()
	second, err := e.Evaluate(t.Context(), r)
	if err != nil || asked.Load() != once {
		t.Errorf("%d statements the first time, %d the second, error %v", once, asked.Load()-once, err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedRequests(t *testing.T) {
	_, e := story(t)
	if _, err := e.Evaluate(t.Context(), journey.Request{Metric: "nope", Periods: []journey.Period{week(t, e, "2026-W03")}}); !errors.Is(err, catalogue.ErrUnknownMetric) {
		t.Errorf("an unknown metric gives %v", err)
	}
	if _, err := e.Evaluate(t.Context(), journey.Request{Metric: "C15"}); err == nil {
		t.Error("no period was accepted")
	}
	if _, err := e.Evaluate(t.Context(), journey.Request{Metric: "C15", Periods: []journey.Period{week(t, e, "2026-W03")}, By: "persona"}); err == nil {
		t.Error("a dimension that the metric does not have was accepted")
	}
}

// A failing warehouse is an error, never a zero.
func TestFailuresAreNoFigures(t *testing.T) {
	_, e := story(t)
	broken := errors.New("connection refused")
	e.Query = func(context.Context, string, map[string]any) (schema.Result, error) { return schema.Result{}, broken }
	for _, m := range e.Metrics {
		if m.Objective != nil {
			continue
		}
		if _, err := e.Evaluate(t.Context(), journey.Request{Metric: m.ID, Periods: []journey.Period{week(t, e, "2026-W03")}}); !errors.Is(err, broken) {
			t.Errorf("%s gives %v", m.ID, err)
		}
	}
}

// Every metric answers for every one of its dimensions, split and filtered.
func TestEveryDimensionAnswers(t *testing.T) {
	_, e := story(t)
	e.Settings.SmallGroup, e.Settings.NotValue = 2, journey.DefaultNotValue
	e = e.Remembering()
	for _, m := range e.Metrics {
		for _, d := range m.Dimensions {
			for _, r := range []journey.Request{{By: d}, {By: d, Filter: map[string]string{d: "a"}}} {
				r.Metric, r.Periods = m.ID, []journey.Period{week(t, e, "2026-W02"), week(t, e, "2026-W03")}
				if _, err := e.Evaluate(t.Context(), r); err != nil {
					t.Errorf("%+v: %v", r, err)
				}
			}
		}
	}
}

// All at a time say what each by itself says, in the order asked, of one instant, and ask the tables less often.
func TestAllAtOnceSayWhatEachSays(t *testing.T) {
	_, e := crowded(t)
	e.Metrics = load(t)
	asked := 0
	var mu sync.Mutex
	query := e.Query
	e.Query = func(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return query(ctx, sql, params)
	}
	now := e.Now()
	e.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Millisecond)
		return now
	}
	var requests []journey.Request
	for _, m := range e.Metrics {
		requests = append(requests, journey.Request{Metric: m.ID, Periods: []journey.Period{week(t, e, "2026-W13")}})
	}
	all, err := e.EvaluateAll(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	together, at := asked, all[0][0].ComputedAt
	e.Now = func() time.Time { return at }
	for i, r := range requests {
		each, err := e.Evaluate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(each, all[i], cmpopts.IgnoreUnexported(time.Location{})); diff != "" {
			t.Errorf("%s by itself and at once (-each +all):\n%s", r.Metric, diff)
		}
	}
	if apart := asked - together; together*3 > apart*2 {
		t.Errorf("%d statements at once, %d one by one", together, apart)
	}
	if _, err := e.EvaluateAll(t.Context(), append(requests, journey.Request{Metric: "A1", By: "colour", Periods: requests[0].Periods})); err == nil || !strings.Contains(err.Error(), `A1 has no dimension "colour"`) {
		t.Errorf("an impossible request among others is %v", err)
	}
}
