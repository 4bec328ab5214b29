package scrape

import (
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/kubevalue/kubevalue/schema"
)

// Counters knows which series count for which indicators, for collectors that get samples in another way than from pages.
type Counters struct{ indicators []*counted }

// Use is what a series counts for: an indicator, by its place, and its total or its part (good or bad events).
type Use struct {
	Indicator int
	Total     bool
}

// NewCounters checks all indicators and names every fault of them at once.
func NewCounters(of []Indicator) (*Counters, error) {
	c := &Counters{}
	var faults []error
	for _, i := range of {
		one, err := compile(i)
		faults = append(faults, err)
		c.indicators = append(c.indicators, one)
	}
	return c, errors.Join(faults...)
}

// Uses lists what a series counts for; none: nothing.
func (c *Counters) Uses(l labels.Labels) []Use {
	var out []Use
	for i, one := range c.indicators {
		if matches(one.total, l) {
			out = append(out, Use{i, true})
		}
		if matches(one.part, l) {
			out = append(out, Use{i, false})
		}
	}
	return out
}

// Start and End bound the slice of an indicator that a time lies in, half-open.
func (c *Counters) Start(indicator int, at time.Time) time.Time {
	return c.indicators[indicator].floor(at)
}

// End is the end of the slice of an indicator that starts at a time.
func (c *Counters) End(indicator int, start time.Time) time.Time {
	return start.Add(c.indicators[indicator].Slice)
}

// Slice is a slice with the events of an indicator that were counted; a gap where they cannot be true.
func (c *Counters) Slice(indicator int, start time.Time, part, total float64, now time.Time) schema.Slice {
	return c.indicators[indicator].slice(start, events{part, total, true}, now)
}

// Place is the place of the indicator that a slice is of, -1 when it is of none.
func (c *Counters) Place(s schema.Slice) int {
	for i, one := range c.indicators {
		if one.Name == s.Indicator && one.revision == s.Revision {
			return i
		}
	}
	return -1
}

// Fingerprint tells sets of indicators apart: what was counted for one of them says nothing about another.
func (c *Counters) Fingerprint() string { return fingerprint(c.indicators) }

// Pages reads the pages of one target, one after the other, as a Collector does.
type Pages struct{ pages *pages }

// Pages makes one for a target with labels.
func (c *Counters) Pages(target labels.Labels, limits Limits) *Pages {
	return &Pages{newPages(c.indicators, target, limits)}
}

// Read reads a page that was fetched at a time, at most a minute after the one before, and returns how many series of the target are
// remembered. The errors are ErrTooMuch and ErrNoPage.
func (p *Pages) Read(body []byte, contentType string, at time.Time) (series int, err error) {
	_, _, err = p.pages.take(body, contentType, at, time.Minute)
	return len(p.pages.known), err
}
