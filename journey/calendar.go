package journey

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Calendar is the reporting calendar: where days begin, and which day begins a week. Calendar periods follow the clocks
// of the zone, so a day has 23 or 25 hours when they change.
type Calendar struct {
	Zone      *time.Location
	WeekStart time.Weekday
}

// date is a day of the civil calendar, without a zone; its clock is 00:00 UTC, which only serves to count days.
type date time.Time

func newDate(year int, month time.Month, day int) date {
	return date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

func (d date) addDays(n int) date     { return date(time.Time(d).AddDate(0, 0, n)) }
func (d date) before(o date) bool     { return time.Time(d).Before(time.Time(o)) }
func (d date) format(s string) string { return time.Time(d).Format(s) }
func (d date) parts() (int, time.Month, int) {
	return time.Time(d).Date()
}

// dateOf is the civil date of an instant in the calendar's zone.
func (c Calendar) dateOf(t time.Time) date {
	y, m, d := t.In(c.Zone).Date()
	return newDate(y, m, d)
}

// FirstInstant is the first instant of a civil date in the calendar's zone. Where the clocks skip midnight, it is the
// instant of the change; where they repeat it, the first of the two.
func (c Calendar) FirstInstant(year int, month time.Month, day int) time.Time {
	return c.firstInstant(newDate(year, month, day))
}

func (c Calendar) firstInstant(d date) time.Time {
	wall := time.Time(d)
	// Offsets lie between -12 h and +14 h, so all instants that may show this wall clock lie within a day of it.
	end := wall.Add(24 * time.Hour)
	for at := wall.Add(-24 * time.Hour); at.Before(end); {
		_, offset := at.In(c.Zone).Zone()
		_, until := at.In(c.Zone).ZoneBounds()
		candidate := wall.Add(-time.Duration(offset) * time.Second)
		if candidate.Before(at) {
			candidate = at // the clocks jumped over midnight: the day begins with this zone period
		}
		if until.IsZero() || candidate.Before(until) {
			return candidate.UTC()
		}
		at = until
	}
	return wall // not reached: the last zone period that overlaps the two days holds the wall clock or lies after it
}

// Period returns the period of the given grain that contains t.
func (c Calendar) Period(g Grain, t time.Time) Period {
	p := c.period(g, c.startDate(g, c.dateOf(t)))
	for t.Before(p.From) { // the clock went back over midnight: t shows a date that has already ended, or not begun
		p = c.Previous(p)
	}
	for !t.Before(p.To) {
		p = c.Next(p)
	}
	return p
}

// Next is the period after p.
func (c Calendar) Next(p Period) Period { return c.shift(p, 1) }

// Previous is the period before p.
func (c Calendar) Previous(p Period) Period { return c.shift(p, -1) }

func (c Calendar) shift(p Period, n int) Period {
	for d := c.startOf(p); ; {
		d = addGrains(p.Grain, d, n)
		if next := c.period(p.Grain, d); next.From.Before(next.To) { // else the zone skipped the day altogether
			return next
		}
	}
}

// YearAgo is the same period of the year before: the same number of the week, month or quarter, the same date.
// Week 53 maps to the last week of a year that has none, 29 February to the 28th.
func (c Calendar) YearAgo(p Period) Period {
	d := c.startOf(p)
	if p.Grain == GrainWeek {
		year, week := c.weekOf(d)
		return c.period(GrainWeek, c.weekStart(year-1, min(week, c.weeksIn(year-1))))
	}
	year, month, day := d.parts()
	last := newDate(year-1, month+1, 0)
	_, _, lastDay := last.parts()
	return c.period(p.Grain, newDate(year-1, month, min(day, lastDay)))
}

// Last returns the n complete periods before now, oldest first.
func (c Calendar) Last(g Grain, n int, now time.Time) []Period {
	p := c.Period(g, now)
	out := make([]Period, n)
	for i := n - 1; i >= 0; i-- {
		p = c.Previous(p)
		out[i] = p
	}
	return out
}

// Between lists the periods of [from, to). Bounds that are not aligned to the grain are an error.
func (c Calendar) Between(g Grain, from, to time.Time) ([]Period, error) {
	if !from.Before(to) {
		return nil, fmt.Errorf("from %s is not before to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	for _, bound := range []struct {
		name string
		at   time.Time
	}{{"from", from}, {"to", to}} {
		if p := c.Period(g, bound.at); !p.From.Equal(bound.at) {
			return nil, fmt.Errorf("%s %s is not aligned to the grain %s in %s: its period begins at %s", bound.name,
				bound.at.In(c.Zone).Format(time.RFC3339), g, c.Zone, p.From.In(c.Zone).Format(time.RFC3339))
		}
	}
	var out []Period
	for p := c.Period(g, from); p.From.Before(to); p = c.Next(p) {
		out = append(out, p)
	}
	return out, nil
}

// FirstDay is the label of a period in analyses: its first day, as 2026-01-05.
func (c Calendar) FirstDay(p Period) string { return c.startOf(p).format(time.DateOnly) }

// Parse reads 2026-W02, 2026-01, 2026-Q1 or 2026-01-05, the last one as the first day of a period of the given grain
// (empty: day).
func (c Calendar) Parse(label string, g Grain) (Period, error) {
	p, err := c.parse(label, g)
	if err != nil {
		return Period{}, err
	}
	if g != "" && p.Grain != g {
		return Period{}, fmt.Errorf("period %q is a %s, but the grain is %s", label, p.Grain, g)
	}
	return p, nil
}

func (c Calendar) parse(label string, g Grain) (Period, error) {
	unknown := fmt.Errorf("period %q: want a week 2026-W02, a month 2026-01, a quarter 2026-Q1 or a day 2026-01-05", label)
	if t, err := time.Parse(time.DateOnly, label); err == nil {
		if g == "" {
			g = GrainDay
		}
		d := date(t)
		if start := c.startDate(g, d); start != d {
			return Period{}, fmt.Errorf("period %q does not begin a %s: that begins on %s", label, g, start.format(time.DateOnly))
		}
		return c.period(g, d), nil
	}
	if t, err := time.Parse("2006-01", label); err == nil {
		return c.period(GrainMonth, date(t)), nil
	}
	head, tail, ok := strings.Cut(label, "-")
	if !ok || len(head) != 4 || len(tail) < 2 {
		return Period{}, unknown
	}
	year, err := strconv.Atoi(head)
	if err != nil {
		return Period{}, unknown
	}
	number, err := strconv.Atoi(tail[1:])
	if err != nil {
		return Period{}, unknown
	}
	switch {
	case tail[0] == 'W' && len(tail) == 3:
		if last := c.weeksIn(year); number < 1 || number > last {
			return Period{}, fmt.Errorf("period %q: the year %d has the weeks %[2]d-W01 to %[2]d-W%02d", label, year, last)
		}
		return c.period(GrainWeek, c.weekStart(year, number)), nil
	case tail[0] == 'Q' && len(tail) == 2:
		if number < 1 || number > 4 {
			return Period{}, fmt.Errorf("period %q: a year has the quarters %[2]d-Q1 to %[2]d-Q4", label, year)
		}
		return c.period(GrainQuarter, newDate(year, time.Month(3*number-2), 1)), nil
	}
	if _, err := strconv.ParseUint(tail, 10, 8); err == nil && len(tail) == 2 {
		return Period{}, fmt.Errorf("period %q: a year has the months %[2]d-01 to %[2]d-12", label, year)
	}
	return Period{}, unknown
}

// period is the period of the grain that begins on d.
func (c Calendar) period(g Grain, d date) Period {
	p := Period{Grain: g, From: c.firstInstant(d), To: c.firstInstant(addGrains(g, d, 1)), Zone: c.Zone.String()}
	switch year, month, _ := d.parts(); g {
	case GrainDay:
		p.Label = d.format(time.DateOnly)
	case GrainWeek:
		year, week := c.weekOf(d)
		p.Label = fmt.Sprintf("%04d-W%02d", year, week)
	case GrainMonth:
		p.Label = d.format("2006-01")
	case GrainQuarter:
		p.Label = fmt.Sprintf("%04d-Q%d", year, (month+2)/3)
	}
	return p
}

// startOf is the civil date on which p begins.
func (c Calendar) startOf(p Period) date {
	return c.startDate(p.Grain, c.dateOf(p.From))
}

// startDate is the first day of the period of the grain around d.
func (c Calendar) startDate(g Grain, d date) date {
	year, month, _ := d.parts()
	switch g {
	case GrainWeek:
		back := (int(time.Time(d).Weekday()) - int(c.WeekStart) + 7) % 7
		return d.addDays(-back)
	case GrainMonth:
		return newDate(year, month, 1)
	case GrainQuarter:
		return newDate(year, (month-1)/3*3+1, 1)
	default:
		return d
	}
}

// addGrains moves the first day of a period by n periods.
func addGrains(g Grain, d date, n int) date {
	year, month, day := d.parts()
	switch g {
	case GrainWeek:
		return d.addDays(7 * n)
	case GrainMonth:
		return newDate(year, month+time.Month(n), day)
	case GrainQuarter:
		return newDate(year, month+time.Month(3*n), day)
	default:
		return d.addDays(n)
	}
}

// weekStart is the first day of a week. Week 1 is the one that holds 4 January, whatever day weeks start on; with
// Monday that is ISO 8601.
func (c Calendar) weekStart(year, week int) date {
	return c.startDate(GrainWeek, newDate(year, time.January, 4)).addDays(7 * (week - 1))
}

func (c Calendar) weeksIn(year int) int {
	days := time.Time(c.weekStart(year+1, 1)).Sub(time.Time(c.weekStart(year, 1))) / (24 * time.Hour)
	return int(days) / 7
}

// weekOf numbers the week that begins on d.
func (c Calendar) weekOf(d date) (year, week int) {
	year, _, _ = d.addDays(6).parts()
	if d.before(c.weekStart(year, 1)) {
		year--
	}
	days := time.Time(d).Sub(time.Time(c.weekStart(year, 1))) / (24 * time.Hour)
	return year, int(days)/7 + 1
}

// ParseGrain reads day, week, month or quarter.
func ParseGrain(s string) (Grain, error) {
	switch g := Grain(s); g {
	case GrainDay, GrainWeek, GrainMonth, GrainQuarter:
		return g, nil
	}
	return "", fmt.Errorf("grain %q: want day, week, month or quarter", s)
}
