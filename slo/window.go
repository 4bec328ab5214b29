package slo

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // periods must not depend on what is installed on the machine
)

// Unit is a calendar unit of a [Window].
type Unit string

// The calendar units. A week starts on Monday, a quarter in January, April, July and October, unless anchored.
const (
	Day     Unit = "day"
	Week    Unit = "week"
	Month   Unit = "month"
	Quarter Unit = "quarter"
	Year    Unit = "year"
)

// longest is the longest that a unit can be, with three hours for changes of clocks; 0 for an unknown one.
func (u Unit) longest() time.Duration {
	days := map[Unit]int{Day: 1, Week: 7, Month: 31, Quarter: 92, Year: 366}[u]
	if days == 0 {
		return 0
	}
	return time.Duration(days)*day + 3*time.Hour
}

// Window is an objective's compliance period: either Rolling is above 0, or Unit is set.
type Window struct {
	// Rolling is the length of a rolling window.
	Rolling time.Duration
	// Unit and Count (1 or more, at most [MaxLength] in all) are the length of a calendar period, in local time of Zone.
	Unit  Unit
	Count int
	Zone  *time.Location
	// Anchor is where one of the periods starts, read as a local time of Zone whatever its own zone; the others follow
	// before and after it. The zero Anchor stands for the natural starts: Monday, the first of the month, and so on.
	Anchor time.Time
}

// RollingWindow is the window of the last d.
func RollingWindow(d time.Duration) Window { return Window{Rolling: d} }

// CalendarWindow is the window of one calendar unit in a time zone.
func CalendarWindow(unit Unit, zone *time.Location) Window {
	return Window{Unit: unit, Count: 1, Zone: zone}
}

// LoadZone finds an IANA time zone, such as Europe/Berlin or UTC. The machine's own zone ("Local", "") is refused.
func LoadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("time zone %q depends on the machine: name one of the IANA database, such as Europe/Berlin or UTC", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q: name one of the IANA database, such as Europe/Berlin or UTC", name)
	}
	return zone, nil
}

// IsCalendar says whether the window is made of calendar periods.
func (w Window) IsCalendar() bool { return w.Unit != "" }

// String is the rolling length (28d) or the calendar period with its zone (month in Europe/Berlin).
func (w Window) String() string {
	if !w.IsCalendar() {
		return FormatDuration(w.Rolling)
	}
	text := string(w.Unit)
	if w.Count > 1 {
		text = fmt.Sprintf("%d %ss", w.Count, w.Unit)
	}
	if w.Zone != nil {
		text += " in " + w.Zone.String()
	}
	if !w.Anchor.IsZero() {
		text += " from " + w.Anchor.Format(time.DateTime)
	}
	return text
}

func (w Window) check() error {
	switch {
	case w.Rolling < 0:
		return fmt.Errorf("window %s is negative: must be above 0", FormatDuration(w.Rolling))
	case w.Rolling > 0 && w.IsCalendar():
		return errors.New("window is both rolling and calendar: choose one")
	case w.Rolling > MaxLength:
		return fmt.Errorf("window %s is longer than 200 years", FormatDuration(w.Rolling))
	case w.Rolling > 0:
		return nil
	case !w.IsCalendar():
		return errors.New("window is missing: must be a duration above 0 or a calendar period")
	}
	if w.Unit.longest() == 0 {
		return fmt.Errorf("unknown calendar window %q: must be day, week, month, quarter or year", w.Unit)
	}
	if w.Count < 1 || time.Duration(w.Count) > MaxLength/w.Unit.longest() {
		return fmt.Errorf("calendar window of %d %ss: it must have one or more, and not be longer than 200 years", w.Count, w.Unit)
	}
	if w.Zone == nil {
		return errors.New("calendar window without a time zone: name one of the IANA database, such as Europe/Berlin or UTC")
	}
	return nil
}

// longest is the longest that the window can be.
func (w Window) longest() time.Duration {
	if !w.IsCalendar() {
		return w.Rolling
	}
	return time.Duration(w.Count) * w.Unit.longest()
}

// Period is the window that a watermark at closes or lies in: for a rolling window [at - length, at), else the
// calendar period with start < at <= end, so that on a boundary it is the period that just ended.
func (w Window) Period(at time.Time) Interval {
	if !w.IsCalendar() {
		return Interval{From: at.Add(-w.Rolling), To: at}
	}
	k := w.estimate(at)
	for !w.boundary(k).Before(at) {
		k--
	}
	for w.boundary(k + 1).Before(at) {
		k++
	}
	return Interval{From: w.boundary(k), To: w.boundary(k + 1)}
}

// Previous is the period before the one given: the calendar period that ends where it starts, or the rolling
// window's length before it.
func (w Window) Previous(period Interval) Interval { return w.Period(period.From) }

// LastComplete is the newest period that has ended at or before now, for calendar windows; for a rolling window it is
// the one that ends now.
func (w Window) LastComplete(now time.Time) Interval {
	period := w.Period(now)
	if period.To.After(now) {
		return w.Previous(period)
	}
	return period
}

func (w Window) anchor() civil {
	switch {
	case !w.Anchor.IsZero():
		return civilOf(w.Anchor)
	case w.Unit == Week:
		return civil{year: 1970, month: time.January, day: 5} // a Monday
	}
	return civil{year: 1970, month: time.January, day: 1}
}

// estimate is a period number near the one that contains t.
func (w Window) estimate(t time.Time) int {
	a, c := w.anchor(), civilOf(t.In(w.Zone))
	months := (c.year-a.year)*12 + int(c.month) - int(a.month)
	days := int(c.utc().Sub(a.utc()) / day)
	switch w.Unit {
	case Day:
		return days / w.Count
	case Week:
		return days / (7 * w.Count)
	case Month:
		return months / w.Count
	case Quarter:
		return months / (3 * w.Count)
	}
	return months / (12 * w.Count)
}

// boundary is the start of period k, counted from the anchor, so that a month anchored on the 31st is shortened in
// short months only.
func (w Window) boundary(k int) time.Time {
	c, n := w.anchor(), k*w.Count
	switch w.Unit {
	case Day:
		c = c.addDays(n)
	case Week:
		c = c.addDays(7 * n)
	case Month:
		c = c.addMonths(n)
	case Quarter:
		c = c.addMonths(3 * n)
	case Year:
		c = c.addMonths(12 * n)
	}
	return c.in(w.Zone)
}

// civil is a local date and time of day, without a zone.
type civil struct {
	year   int
	month  time.Month
	day    int
	second int // of the day on the local clock, 0..86400
}

func civilOf(t time.Time) civil {
	hour, minute, second := t.Clock()
	year, month, d := t.Date()
	return civil{year, month, d, hour*3600 + minute*60 + second}
}

func (c civil) addDays(n int) civil {
	moved := civilOf(time.Date(c.year, c.month, c.day+n, 0, 0, 0, 0, time.UTC))
	moved.second = c.second
	return moved
}

// addMonths keeps the day, or takes the last one of a month that is too short.
func (c civil) addMonths(n int) civil {
	first := time.Date(c.year, c.month+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return civil{first.Year(), first.Month(), min(c.day, last), c.second}
}

// utc is the instant at which a clock in UTC shows c.
func (c civil) utc() time.Time { return time.Date(c.year, c.month, c.day, 0, 0, c.second, 0, time.UTC) }

// in is the first instant at which a clock in zone shows c. A time that the clock skips is the instant of the skip,
// one that it shows twice is the first of the two.
func (c civil) in(zone *time.Location) time.Time {
	wall := c.utc()
	first := time.Time{}
	for _, near := range []time.Time{wall.Add(-26 * time.Hour), wall.Add(26 * time.Hour)} {
		_, offset := near.In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if civilOf(t.In(zone)).utc().Equal(wall) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() {
		return first.In(zone)
	}
	// Skipped: the change of clocks is the end of the stretch that was in force before it.
	_, skip := wall.Add(-26 * time.Hour).In(zone).ZoneBounds()
	return skip
}
