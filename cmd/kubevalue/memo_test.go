package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

func TestFiguresAreRememberedForAWhileAndNoLonger(t *testing.T) {
	now := time.Date(2026, 11, 16, 12, 0, 0, 0, time.UTC)
	calendar := journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}
	asked := 0
	var fault error
	evaluate := remembering(newMemo[[]journey.Value](func() time.Time { return now }), func(context.Context, journey.Request) ([]journey.Value, error) {
		asked++
		return []journey.Value{{N: asked}}, fault
	})
	ask := func(p journey.Period, filter map[string]string) int {
		values, err := evaluate(t.Context(), journey.Request{Metric: "A1", Periods: []journey.Period{p}, Filter: filter})
		if err != nil {
			return -1
		}
		return values[0].N
	}
	current, last := calendar.Period(journey.GrainWeek, now), calendar.Last(journey.GrainWeek, 1, now)[0]
	steps := []struct {
		name   string
		after  time.Duration
		period journey.Period
		filter map[string]string
		want   int
	}{
		{"the first question is computed", 0, current, nil, 1},
		{"soon after, the same answer", 20 * time.Second, current, nil, 1},
		{"another filter is another question", 0, current, map[string]string{"team": "a"}, 2},
		{"a period under way is computed anew after half a minute", 11 * time.Second, current, nil, 3},
		{"a complete period", 0, last, nil, 4},
		{"is kept longer", 4 * time.Minute, last, nil, 4},
		{"but not for ever", 2 * time.Minute, last, nil, 5},
	}
	for _, s := range steps {
		now = now.Add(s.after)
		if got := ask(s.period, s.filter); got != s.want {
			t.Errorf("%s: answer %d, want %d", s.name, got, s.want)
		}
	}
	values, _ := evaluate(t.Context(), journey.Request{Metric: "A1", Periods: []journey.Period{last}})
	values[0].N = 99
	if got := ask(last, nil); got != 5 {
		t.Errorf("what one reader changed reached the next one: answer %d, want 5", got)
	}
	now, fault = now.Add(time.Hour), errors.New("away")
	if got := ask(last, nil); got != -1 {
		t.Errorf("an error was hidden by answer %d", got)
	}
	fault = nil
	if got := ask(last, nil); got != 7 {
		t.Errorf("after an error: answer %d, want a fresh one", got)
	}
}
