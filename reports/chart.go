package reports

import (
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// charts are always the same four, adoption beside stability, weeks beside months. One that would have fewer than two points is left out.
func (b *builder) charts() {
	for _, c := range []Chart{b.adoptionChart(b.weeks), b.stabilityChart(b.weeks), b.adoptionChart(b.monthsUpTo()), b.stabilityChart(b.monthsUpTo())} {
		if c.drawable() {
			b.Charts = append(b.Charts, c)
		}
	}
}

// span names the periods of a chart.
func span(periods []journey.Period) (id, words string) {
	if periods[0].Grain == journey.GrainMonth {
		return "months", "month"
	}
	return "weeks", "week"
}

// over adds points to a chart, from the first one with a value on, and how many they are to its title.
func (c Chart) over(points []ChartPoint, noun string) Chart {
	for len(points) > 0 && points[0].Value == nil {
		points = points[1:]
	}
	if len(points) != 1 {
		noun += "s"
	}
	c.Title += fmt.Sprintf(", %d %s", len(points), noun)
	c.Points = points
	c.Point = c.point()
	return c
}

func (b *builder) label(p journey.Period) string {
	if p.Grain == journey.GrainMonth {
		return p.From.In(b.o.Calendar.Zone).Add(time.Hour).Format("Jan")
	}
	return p.Label[len("2026-"):]
}

func (b *builder) adoptionChart(periods []journey.Period) Chart {
	if len(b.Adoption.Figures) == 0 {
		return Chart{}
	}
	f := b.Adoption.Figures[0]
	id, noun := span(periods)
	c := Chart{ID: "adoption-" + id, Title: f.Title, Unit: f.Unit, Limit: f.Target, LimitName: "target"}
	values := b.adoptionWeeks
	if periods[0].Grain == journey.GrainMonth {
		m, ok := b.src.Metrics(f.Metric)
		if !ok {
			return Chart{}
		}
		var err error
		if values, err = b.src.Evaluate(b.ctx, journey.Request{Metric: f.Metric, Periods: periods}); err != nil {
			b.Quality.Failed++
			return Chart{}
		}
		for i := range values {
			values[i] = b.suppress(m, values[i])
		}
	}
	var points []ChartPoint
	for _, v := range values {
		points = append(points, ChartPoint{Label: b.label(v.Period), Value: v.Value, Partly: !wholly(v)})
	}
	return c.over(points, noun)
}

// stabilityChart shows the most that any objective used of its error budget in each period: objectives with different targets
// are so on one scale, and 100% is the limit for all of them.
func (b *builder) stabilityChart(periods []journey.Period) Chart {
	if b.src.Objectives == nil {
		return Chart{}
	}
	id, noun := span(periods)
	c := Chart{ID: "budget-" + id, Title: "Error budget used, worst objective", Unit: "ratio", Bars: true, Limit: new(1.0), LimitName: "limit", Over: true}
	var points []ChartPoint
	for _, p := range periods {
		pt := ChartPoint{Label: b.label(p)}
		if w := worst(b.objectiveFigures(p)); w != nil {
			pt.Value, pt.Partly = w.BurnRate, !p.Complete(b.now) || !measuredEnough(w)
		}
		points = append(points, pt)
	}
	return c.over(points, noun)
}

// point is the chart in words: where it stands, where it came from, and how it lies to the limit. Periods that were measured in part do not
// count; empty when fewer than two are left.
func (c Chart) point() string {
	var known []ChartPoint
	partly := 0
	for _, p := range c.Points {
		switch {
		case p.Value == nil:
		case p.Partly:
			partly++
		default:
			known = append(known, p)
		}
	}
	if len(known) < 2 {
		return ""
	}
	a, z := known[0], known[len(known)-1]
	text := fmt.Sprintf("%s: %s in %s, %s in %s", c.Title, Value(*z.Value, c.Unit), z.Label, Value(*a.Value, c.Unit), a.Label)
	if c.Limit != nil {
		beyond := 0
		for _, p := range known {
			if c.Over == (*p.Value > *c.Limit) && *p.Value != *c.Limit {
				beyond++
			}
		}
		word := "below"
		if c.Over {
			word = "above"
		}
		text += fmt.Sprintf("; %s the %s of %s in %d of %d", word, c.LimitName, Value(*c.Limit, c.Unit), beyond, len(known))
	}
	if partly > 0 {
		text += fmt.Sprintf(" (%d not counted, measured only in part)", partly)
	}
	return text + "."
}
