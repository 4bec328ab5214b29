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

func span(periods []journey.Period) (id, words string) {
	if periods[0].Grain == journey.GrainMonth {
		return "months", fmt.Sprintf("%d months", len(periods))
	}
	return "weeks", fmt.Sprintf("%d weeks", len(periods))
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
	id, words := span(periods)
	c := Chart{ID: "adoption-" + id, Title: f.Title + ", " + words, Unit: f.Unit, Limit: f.Target, LimitName: "target"}
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
	for _, v := range values {
		c.Points = append(c.Points, ChartPoint{Label: b.label(v.Period), Value: v.Value})
	}
	c.Point = c.point()
	return c
}

// stabilityChart shows the most that any objective used of its error budget in each period: objectives with different targets
// are so on one scale, and 100% is the limit for all of them.
func (b *builder) stabilityChart(periods []journey.Period) Chart {
	if b.src.Objectives == nil {
		return Chart{}
	}
	id, words := span(periods)
	c := Chart{ID: "budget-" + id, Title: "Error budget used, worst objective, " + words, Unit: "ratio", Bars: true, Limit: new(1.0), LimitName: "limit", Over: true}
	for _, p := range periods {
		pt := ChartPoint{Label: b.label(p)}
		if w := worst(b.objectiveFigures(p)); w != nil {
			pt.Value = w.BurnRate
		}
		c.Points = append(c.Points, pt)
	}
	c.Point = c.point()
	return c
}

// point is the chart in words: where it stands, where it came from, and how it lies to the limit.
func (c Chart) point() string {
	first, last := -1, -1
	for i, p := range c.Points {
		if p.Value == nil {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	if last <= first {
		return ""
	}
	a, z := c.Points[first], c.Points[last]
	text := fmt.Sprintf("%s: %s in %s, %s in %s", c.Title, Value(*z.Value, c.Unit), z.Label, Value(*a.Value, c.Unit), a.Label)
	if c.Limit == nil {
		return text + "."
	}
	beyond, with := 0, 0
	for _, p := range c.Points {
		if p.Value == nil {
			continue
		}
		with++
		if c.Over == (*p.Value > *c.Limit) && *p.Value != *c.Limit {
			beyond++
		}
	}
	word := "below"
	if c.Over {
		word = "above"
	}
	return fmt.Sprintf("%s; %s the %s of %s in %d of %d.", text, word, c.LimitName, Value(*c.Limit, c.Unit), beyond, with)
}
