package dashboards

import (
	"cmp"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

var functions = template.FuncMap{
	"value":    figureText,
	"amount":   func(v journey.Value) string { amount, _, _ := strings.Cut(figureText(v), " "); return amount },
	"unit":     func(v journey.Value) string { _, unit, _ := strings.Cut(figureText(v), " "); return unit },
	"ratio":    func(v *float64) string { return optional(v, reports.Ratio) },
	"change":   changeText,
	"trend":    func(t journey.Trend) string { return trendTexts[t] },
	"arrow":    arrow,
	"state":    func(s journey.State) string { return stateText[s] },
	"target":   targetText,
	"quantity": reports.Value,
	"length":   slo.FormatDuration,
	"minutes":  func(v *float64) string { return optional(v, reports.Minutes) },
	"number":   func(v *float64) string { return optional(v, reports.Number) },
	"count":    func(v *int) string { return optional(v, func(n int) string { return reports.Number(float64(n)) }) },
	"rate":     func(v *float64) string { return optional(v, burnText) },
	"instant":  instantText,
	"moment":   momentText,
	"plural":   plural,
	"plus":     func(a, b int) int { return a + b },
	"words":    func(id string) string { return strings.ReplaceAll(id, "_", " ") },
	"bound":    boundText,
	"took":     func(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) + " ms" },
}

// undefined stands where there is no value; a missing figure is never a zero.
const undefined = "–"

func optional[T any](v *T, text func(T) string) string {
	if v == nil {
		return undefined
	}
	return text(*v)
}

func figureText(v journey.Value) string {
	switch {
	case v.Value != nil:
		return reports.Value(*v.Value, v.Unit)
	case v.Withheld != "":
		return "withheld: " + v.Withheld
	}
	return "no data"
}

// boundText is an end of an interval in the unit of its value.
func boundText(v *float64, unit string) string {
	return optional(v, func(x float64) string { return reports.Value(x, unit) })
}

// changeText is the change against the period before, empty when one of the two is unknown.
func changeText(v journey.Value) string {
	if v.Value == nil || v.Previous == nil || v.Previous.Value == nil {
		return ""
	}
	if *v.Value == *v.Previous.Value {
		return "unchanged"
	}
	return reports.Change(*v.Value-*v.Previous.Value, v.Unit)
}

// Words, not only colours and arrows: a page is also read in print, by a screen reader, or by people who see colours differently.
var (
	stateText = map[journey.State]string{
		journey.StateMet: "target met", journey.StateMissed: "target missed", journey.StateNoData: "no data", journey.StateUnrated: "no target",
	}
	trendTexts = map[journey.Trend]string{journey.TrendBetter: "better", journey.TrendWorse: "worse"} // unchanged is said by the change
)

// arrow shows the direction of the change, whether that is good or not.
func arrow(v journey.Value) string {
	if v.Value == nil || v.Previous == nil || v.Previous.Value == nil {
		return ""
	}
	switch c := cmp.Compare(*v.Value, *v.Previous.Value); {
	case c > 0:
		return "▲"
	case c < 0:
		return "▼"
	}
	return "="
}

// targetText is the target of a cell with the side on which it is to be reached.
func targetText(f journey.ShownFigure) string {
	side := "at least "
	if f.Place.Expect == journey.DirectionDown {
		side = "at most "
	}
	return side + reports.Value(*f.Place.Target, f.Metric.Unit)
}

// burnText is a burn rate: how many times as fast as the budget allows.
func burnText(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + "×"
}

func zoneOf(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

func inZone(p journey.Period, t time.Time) time.Time { return t.In(zoneOf(p.Zone)) }

func instantText(t time.Time, zone string) string {
	if t.IsZero() {
		return "never"
	}
	return t.In(zoneOf(zone)).Format("Mon 2 Jan 2006 15:04 MST")
}

// momentText is an instant of these days, for lists.
func momentText(t time.Time, zone string) string { return t.In(zoneOf(zone)).Format("2 Jan 15:04 MST") }

// periodTitle is a period in words: Week 46 of 2026.
func periodTitle(p journey.Period) string {
	from := inZone(p, p.From.Add(time.Hour)) // the clock may have jumped at midnight
	switch p.Grain {
	case journey.GrainWeek:
		year, week, _ := strings.Cut(p.Label, "-W")
		return "Week " + strings.TrimLeft(week, "0") + " of " + year
	case journey.GrainMonth:
		return from.Format("January 2006")
	case journey.GrainQuarter:
		year, quarter, _ := strings.Cut(p.Label, "-Q")
		return "Quarter " + quarter + " of " + year
	}
	return from.Format("Monday 2 January 2006")
}

// periodDates are the first and the last day of a period.
func periodDates(p journey.Period) string {
	from, last := inZone(p, p.From), inZone(p, p.To.Add(-time.Nanosecond))
	if p.Grain == journey.GrainDay {
		return from.Format("Mon 2 Jan 2006")
	}
	return fmt.Sprintf("%s to %s", from.Format("Mon 2 Jan"), last.Format("Mon 2 Jan 2006"))
}

// shortPeriod labels the axis of a chart.
func shortPeriod(p journey.Period) string {
	from := inZone(p, p.From.Add(time.Hour))
	switch p.Grain {
	case journey.GrainWeek, journey.GrainQuarter:
		_, number, _ := strings.Cut(p.Label, "-")
		return number
	case journey.GrainMonth:
		return from.Format("Jan 06")
	}
	return from.Format("2 Jan")
}

// lastedText is how long something took, or has taken until now.
func lastedText(d time.Duration) string { return reports.Length(d) }

// agoText is how long ago something was, in the unit that fits.
func agoText(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	if d < time.Minute {
		return "just now"
	}
	return reports.Length(d.Truncate(time.Minute)) + " ago"
}

// plural writes a number with its noun, whose plural ends in s.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return reports.Number(float64(n)) + " " + noun + "s"
}
