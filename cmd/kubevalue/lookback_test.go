package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema"
)

// A page asks for the map and for its small lines; the tables are asked for both at once, and for nothing twice.
func TestAPageAsksTheTablesNothingTwice(t *testing.T) {
	now := time.Date(2026, 11, 18, 12, 0, 0, 0, time.UTC)
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := journey.BuiltInMap()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := map[string]int{}
	query := func(_ context.Context, sql string, params map[string]any) (schema.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[fmt.Sprint(sql, params)]++
		return schema.Result{}, nil
	}
	clock := func() time.Time { now = now.Add(time.Millisecond); return now }
	f := &figures{calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}, now: clock, journeyMap: mapped, values: newMemo[[]journey.Value](clock)}
	f.evaluator = catalogue.Evaluator{Query: query, Metrics: metrics, Now: clock, Settings: journey.Settings{Calendar: f.calendar}}
	if _, err := f.journey(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	statements := len(asked)
	if statements == 0 {
		t.Fatal("nothing was asked")
	}
	if _, err := f.series(t.Context(), mapped.MetricIDs(), dashboards.Span{Period: "2026-W46", Periods: dashboards.LookbackPeriods}); err != nil {
		t.Fatal(err)
	}
	if len(asked) != statements {
		t.Errorf("the small lines asked %d more statements", len(asked)-statements)
	}
	for sql, n := range asked {
		if n > 1 {
			t.Errorf("asked %d times: %.300s", n, sql)
		}
	}
}

func TestLookedUpFiguresAreComparedWithTheRightPeriods(t *testing.T) {
	calendar := journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}
	p, err := calendar.Parse("2026-W46", "")
	if err != nil {
		t.Fatal(err)
	}
	value := func(p journey.Period, v float64) journey.Value { return journey.Value{Period: p, Value: &v} }
	before, yearAgo := calendar.Previous(p), calendar.YearAgo(p)
	l := lookback{calendar: calendar, values: map[string][]journey.Value{"A1": {value(yearAgo, 1), value(before, 2), value(p, 3)}}}
	got, err := l.evaluate(t.Context(), journey.Request{Metric: "A1", Periods: []journey.Period{p}, Compare: true})
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	if diff := cmp.Diff([]float64{3, 2, 1}, []float64{*got[0].Value, *got[0].Previous.Value, *got[0].YearAgo.Value}); diff != "" {
		t.Errorf("value, previous and a year ago differ (-want +got):\n%s", diff)
	}
}
