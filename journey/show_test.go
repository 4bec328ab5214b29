package journey_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
)

func TestBuiltInMapPassesItsOwnLint(t *testing.T) {
	m, err := journey.BuiltInMap()
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Lint(metrics); err != nil {
		t.Error(err)
	}
}

func TestLintRefuses(t *testing.T) {
	metrics := []journey.Metric{{ID: "M1", Direction: journey.DirectionUp, Perspectives: []string{"dev"}}}
	const head = `
perspectives: [{id: dev, title: Developer}, {id: boss, title: Boss, customer: true}]
phases:
  - id: creation
    activities:
      - id: onboard
        cells:
`
	const boss = "\n          - {perspective: boss, gap: {reason: none yet}}"
	for name, c := range map[string]struct{ cells, want string }{
		"an empty cell":              {"          - {perspective: dev}" + boss, "creation/onboard/dev has neither a metric nor a declared gap"},
		"a gap without a reason":     {"          - {perspective: dev, gap: {reason: ''}}" + boss, "creation/onboard/dev has neither"},
		"a missing cell":             {"          - {perspective: dev, gap: {reason: x}}", "creation/onboard: no cell for boss"},
		"an unknown metric":          {"          - {perspective: dev, metrics: [{metric: M9, expect: up}]}" + boss, `unknown metric "M9"`},
		"an unknown perspective":     {"          - {perspective: cat, gap: {reason: x}}" + boss, `unknown perspective "cat"`},
		"a metric for other people":  {"          - {perspective: dev, gap: {reason: x}}\n          - {perspective: boss, metrics: [{metric: M1, expect: up}]}", "M1 does not address boss"},
		"the wrong direction":        {"          - {perspective: dev, metrics: [{metric: M1, expect: down}]}" + boss, "the cell expects down"},
		"a target without direction": {"          - {perspective: dev, metrics: [{metric: M1, expect: neither, target: 1}]}" + boss, "has a target but no expected direction"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := journey.ParseMap([]byte(head + c.cells + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			err = m.Lint(metrics)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestShowJudgesFigures(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	calls := 0
	evaluate := func(_ context.Context, r journey.Request) ([]journey.Value, error) {
		calls++
		switch r.Metric {
		case "broken":
			return nil, errors.New("no such table")
		case "empty":
			return []journey.Value{{}}, nil
		}
		return []journey.Value{{Value: number(0.7), Previous: &journey.Value{Value: number(0.6)}}}, nil
	}
	metrics := []journey.Metric{{ID: "share"}, {ID: "broken"}, {ID: "empty"}}
	up := func(metric string, target *float64) journey.CellMetric {
		return journey.CellMetric{Metric: metric, Expect: journey.DirectionUp, Target: target}
	}
	m := journey.Map{Phases: []journey.Phase{{ID: "p", Activities: []journey.Activity{{ID: "a", Cells: []journey.Cell{
		{Perspective: "dev", Metrics: []journey.CellMetric{up("share", number(0.7)), up("share", number(0.71)), up("share", nil), up("broken", nil), up("empty", number(1))}},
		{Perspective: "boss", Gap: &journey.Gap{Reason: "later"}},
	}}}}}}
	period := journey.Calendar{Zone: time.UTC}.Period(journey.GrainDay, time.Unix(0, 0))
	shown, err := journey.Show(t.Context(), m, metrics, evaluate, period)
	if err != nil {
		t.Fatal(err)
	}
	figures := shown.Cells[0].Figures
	want := []journey.State{journey.StateMet, journey.StateMissed, journey.StateUnrated, journey.StateNoData, journey.StateNoData}
	for i, f := range figures {
		if f.State != want[i] {
			t.Errorf("figure %d is %s, want %s", i, f.State, want[i])
		}
	}
	if figures[0].Trend != journey.TrendBetter || figures[4].Trend != journey.TrendUnknown {
		t.Errorf("trends %s and %s", figures[0].Trend, figures[4].Trend)
	}
	if figures[3].Error == "" || figures[0].Error != "" {
		t.Errorf("errors %q and %q", figures[3].Error, figures[0].Error)
	}
	if calls != 3 {
		t.Errorf("%d evaluations of 3 metrics", calls)
	}
	if shown.Cells[1].Gap != "later" {
		t.Errorf("the gap's reason is %q", shown.Cells[1].Gap)
	}
}
