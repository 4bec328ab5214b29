package slo

import (
	"fmt"
	"time"
)

// Exclusion is time that does not count, such as announced maintenance. A slice is excluded when it overlaps the time
// at all, whether it was measured or not; exclusions that overlap each other count once.
type Exclusion struct {
	// From and To bound a one-off exclusion. With Weekly they bound its validity, and a zero one leaves it open.
	From, To time.Time
	Weekly   *Weekly
	Reason   string
	Author   string
}

// Weekly is a span of local time on one day of every week.
type Weekly struct {
	Day  time.Weekday
	From time.Duration // after local midnight, on the clock: 2h is 02:00 also on a day with a change of clocks
	To   time.Duration // above From, at most 24h; a span over midnight is two exclusions
	Zone *time.Location
}

func (e Exclusion) check() error {
	if e.Weekly == nil {
		if err := (Interval{e.From, e.To}).check(); err != nil {
			return fmt.Errorf("exclusion %q: %w", e.Reason, err)
		}
		return nil
	}
	w := e.Weekly
	switch {
	case w.Zone == nil:
		return fmt.Errorf("exclusion %q: weekly without a time zone", e.Reason)
	case w.Day < time.Sunday || w.Day > time.Saturday:
		return fmt.Errorf("exclusion %q: unknown weekday %d", e.Reason, w.Day)
	case w.From < 0 || w.To > day:
		return fmt.Errorf("exclusion %q: weekly times must be from 00:00 to 24:00", e.Reason)
	case w.From >= w.To:
		return fmt.Errorf("exclusion %q: the weekly interval is empty or reversed: from must be before to; split one over midnight in two", e.Reason)
	case !e.From.IsZero() && !e.To.IsZero():
		if err := (Interval{e.From, e.To}).check(); err != nil {
			return fmt.Errorf("exclusion %q: %w", e.Reason, err)
		}
	}
	return nil
}

// Within lists the spans of the exclusion that overlap i, cut to its validity, in order.
func (e Exclusion) Within(i Interval) []Interval {
	if e.Weekly == nil {
		if e.From.Before(i.To) && i.From.Before(e.To) {
			return []Interval{{e.From, e.To}}
		}
		return nil
	}
	if e.From.After(i.From) {
		i.From = e.From
	}
	if !e.To.IsZero() && e.To.Before(i.To) {
		i.To = e.To
	}
	var out []Interval
	w := e.Weekly
	date := civilOf(i.From.In(w.Zone)).addDays(-1)
	date.second = 0
	for ; !date.in(w.Zone).After(i.To); date = date.addDays(1) {
		if date.utc().Weekday() != w.Day {
			continue
		}
		from, to := date, date
		from.second, to.second = int(w.From/time.Second), int(w.To/time.Second)
		span := Interval{from.in(w.Zone), to.in(w.Zone)}
		if span.From.Before(i.From) {
			span.From = i.From
		}
		if span.To.After(i.To) {
			span.To = i.To
		}
		if span.From.Before(span.To) {
			out = append(out, span)
		}
	}
	return out
}
