package dashboards

import (
	"net/url"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// link is an address with its text.
type link struct {
	Text, Href string
	Current    bool
}

// periodNav leads from a period to its neighbours and to those of other lengths.
type periodNav struct {
	Title, Dates, Zone string
	// Partial marks a period under way.
	Partial        bool
	Previous, Next *link
	Grains         []link
}

var grainNames = []struct {
	grain journey.Grain
	name  string
}{{journey.GrainDay, "Day"}, {journey.GrainWeek, "Week"}, {journey.GrainMonth, "Month"}, {journey.GrainQuarter, "Quarter"}}

// calendarOf is the calendar in which p is a period. A configured one knows on which day weeks begin; else p tells, or it is Monday.
func (s *server) calendarOf(p journey.Period) journey.Calendar {
	if s.cfg.Calendar.Zone != nil {
		return s.cfg.Calendar
	}
	c := journey.Calendar{Zone: zoneOf(p.Zone), WeekStart: time.Monday}
	if p.Grain == journey.GrainWeek {
		c.WeekStart = inZone(p, p.From).Weekday()
	}
	return c
}

// navigate is the navigation of a page that shows a period; keep are the parameters that its links keep.
func (s *server) navigate(page string, p journey.Period, keep url.Values, grains ...journey.Grain) periodNav {
	c, now := s.calendarOf(p), s.cfg.Now()
	to := func(p journey.Period) string { return address(page, keep, "period", p.Label) }
	nav := periodNav{Title: periodTitle(p), Dates: periodDates(p), Zone: p.Zone, Partial: !p.Complete(now)}
	previous, next := c.Previous(p), c.Next(p)
	nav.Previous = &link{Text: previous.Label, Href: to(previous)}
	if next.From.Before(now) {
		nav.Next = &link{Text: next.Label, Href: to(next)}
	}
	// Of another length, the period that holds the last moment of this one.
	last := p.To.Add(-time.Nanosecond)
	if now.Before(last) {
		last = now
	}
	for _, g := range grainNames {
		for _, wanted := range grains {
			if g.grain == wanted {
				nav.Grains = append(nav.Grains, link{Text: g.name, Href: to(c.Period(g.grain, last)), Current: g.grain == p.Grain})
			}
		}
	}
	return nav
}

// address is a page with parameters, of which one is set.
func address(page string, keep url.Values, name, value string) string {
	q := url.Values{}
	for k, v := range keep {
		q[k] = v
	}
	q.Del(name)
	if value != "" {
		q.Set(name, value)
	}
	if len(q) == 0 {
		return page
	}
	return page + "?" + q.Encode()
}

// periodsBack is how many periods a chart goes back.
func periodsBack(g journey.Grain) int {
	switch g {
	case journey.GrainWeek:
		return 26
	case journey.GrainQuarter:
		return 8
	case journey.GrainMonth:
		return 12
	}
	return 28
}
