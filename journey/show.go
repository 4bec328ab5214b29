package journey

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goccy/go-yaml"
)

//go:embed cjvm.yaml
var builtInMap []byte

// BuiltInMap is the map that kubevalue comes with.
func BuiltInMap() (Map, error) { return ParseMap(builtInMap) }

// ParseMap reads a map from YAML, strictly: errors have line and column. Lint judges what it says.
func ParseMap(data []byte) (Map, error) {
	var m Map
	if err := yaml.UnmarshalWithOptions(data, &m, yaml.Strict()); err != nil {
		return Map{}, fmt.Errorf("read the journey map: %w", err)
	}
	return m, nil
}

// Lint says everything that is wrong with a map, joined: a cell with neither a metric nor a declared gap, an activity without a
// cell for a perspective, an unknown or repeated name, a metric shown to people whom it does not address, an expectation
// against the metric's own direction.
func (m Map) Lint(metrics []Metric) error {
	l := linter{metrics: map[string]Metric{}, perspectives: map[string]bool{}}
	for _, metric := range metrics {
		l.metrics[metric.ID] = metric
	}
	for _, p := range m.Perspectives {
		if p.ID == "" || l.perspectives[p.ID] {
			l.add("perspective %q: want an id of its own", p.ID)
		}
		l.perspectives[p.ID] = true
	}
	if len(m.Perspectives) == 0 || len(m.Phases) == 0 {
		l.add("the map needs perspectives and phases")
	}
	seen := map[string]bool{}
	for _, phase := range m.Phases {
		if phase.ID == "" || seen[phase.ID] {
			l.add("phase %q: want an id of its own", phase.ID)
		}
		seen[phase.ID] = true
		if len(phase.Activities) == 0 {
			l.add("phase %s has no activities", phase.ID)
		}
		for _, activity := range phase.Activities {
			name := phase.ID + "/" + activity.ID
			if activity.ID == "" || seen[name] {
				l.add("activity %q of phase %s: want an id of its own", activity.ID, phase.ID)
			}
			seen[name] = true
			l.activity(name, activity, m.Perspectives)
		}
	}
	return errors.Join(l.faults...)
}

type linter struct {
	metrics      map[string]Metric
	perspectives map[string]bool
	faults       []error
}

func (l *linter) add(format string, args ...any) {
	l.faults = append(l.faults, fmt.Errorf(format, args...))
}

func (l *linter) activity(name string, a Activity, perspectives []Perspective) {
	seen := map[string]bool{}
	for _, c := range a.Cells {
		switch {
		case !l.perspectives[c.Perspective]:
			l.add("%s: unknown perspective %q", name, c.Perspective)
		case seen[c.Perspective]:
			l.add("%s: the perspective %s has two cells", name, c.Perspective)
		}
		seen[c.Perspective] = true
		l.cell(name+"/"+c.Perspective, c)
	}
	for _, p := range perspectives {
		if !seen[p.ID] {
			l.add("%s: no cell for %s: give it a metric or declare a gap with a reason", name, p.ID)
		}
	}
}

func (l *linter) cell(name string, c Cell) {
	if len(c.Metrics) == 0 && (c.Gap == nil || c.Gap.Reason == "") {
		l.add("%s has neither a metric nor a declared gap with a reason", name)
	}
	for _, place := range c.Metrics {
		metric, ok := l.metrics[place.Metric]
		if !ok {
			l.add("%s: unknown metric %q", name, place.Metric)
			continue
		}
		if !slices.Contains(metric.Perspectives, c.Perspective) {
			l.add("%s: metric %s does not address %s", name, place.Metric, c.Perspective)
		}
		switch {
		case place.Expect != DirectionUp && place.Expect != DirectionDown && place.Expect != DirectionNeither:
			l.add("%s: metric %s: expect %q: want up, down or neither", name, place.Metric, place.Expect)
		case metric.Direction != DirectionNeither && place.Expect != DirectionNeither && place.Expect != metric.Direction:
			l.add("%s: metric %s is good when it goes %s, the cell expects %s", name, place.Metric, metric.Direction, place.Expect)
		}
		if place.Target != nil && place.Expect == DirectionNeither {
			l.add("%s: metric %s has a target but no expected direction", name, place.Metric)
		}
	}
}

// Show fills a map with the values of one period. A metric that cannot be computed is an error of its figures, not of
// the map; metrics must be known (see Lint).
func Show(ctx context.Context, m Map, metrics []Metric, evaluate EvaluateFunc, p Period) (Shown, error) {
	known := map[string]Metric{}
	for _, metric := range metrics {
		known[metric.ID] = metric
	}
	s := shower{evaluate: evaluate, period: p, values: map[string]Value{}, faults: map[string]string{}}
	out := Shown{Map: m, Period: p}
	for _, phase := range m.Phases {
		for _, activity := range phase.Activities {
			for _, c := range activity.Cells {
				cell := ShownCell{Phase: phase.ID, Activity: activity.ID, Perspective: c.Perspective, Need: c.Need}
				if c.Gap != nil {
					cell.Gap = c.Gap.Reason
				}
				for _, place := range c.Metrics {
					metric, ok := known[place.Metric]
					if !ok {
						return Shown{}, fmt.Errorf("%s/%s/%s: unknown metric %q", phase.ID, activity.ID, c.Perspective, place.Metric)
					}
					cell.Figures = append(cell.Figures, s.figure(ctx, metric, place))
				}
				out.Cells = append(out.Cells, cell)
			}
		}
	}
	return out, ctx.Err()
}

// shower computes each metric once, however many cells show it.
type shower struct {
	evaluate EvaluateFunc
	period   Period
	values   map[string]Value
	faults   map[string]string
}

func (s shower) figure(ctx context.Context, m Metric, place CellMetric) ShownFigure {
	if _, done := s.values[m.ID]; !done {
		values, err := s.evaluate(ctx, Request{Metric: m.ID, Periods: []Period{s.period}, Compare: true})
		switch {
		case err != nil:
			s.faults[m.ID] = err.Error()
		case len(values) != 1:
			s.faults[m.ID] = fmt.Sprintf("the metric has %d values, not one", len(values))
		}
		v := Value{Metric: m.ID, Version: m.Version, Period: s.period, Unit: m.Unit, Interval: m.Interval}
		if len(values) == 1 {
			v = values[0]
		}
		s.values[m.ID] = v
	}
	v := s.values[m.ID]
	return ShownFigure{Metric: m, Place: place, Value: v, State: StateOf(v, place), Trend: TrendOf(v, place.Expect), Error: s.faults[m.ID]}
}

// StateOf says how a value stands against the target of its cell.
func StateOf(v Value, place CellMetric) State {
	switch {
	case v.Value == nil:
		return StateNoData
	case place.Target == nil:
		return StateUnrated
	case place.Expect == DirectionUp && *v.Value >= *place.Target, place.Expect == DirectionDown && *v.Value <= *place.Target:
		return StateMet
	}
	return StateMissed
}

// TrendOf says how a value moved against the period before. It is unknown while the period is under way, since a part of a
// period does not compare with a whole one.
func TrendOf(v Value, expect Direction) Trend {
	if v.Partial || v.Value == nil || v.Previous == nil || v.Previous.Value == nil {
		return TrendUnknown
	}
	change := *v.Value - *v.Previous.Value
	switch {
	case math.Abs(change) <= 1e-9*math.Abs(*v.Previous.Value):
		return TrendSame
	case expect == DirectionNeither:
		return TrendUnknown
	case (change > 0) == (expect == DirectionUp):
		return TrendBetter
	}
	return TrendWorse
}
