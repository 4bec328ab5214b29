package scrape

import (
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// Counters knows which series count for which indicators.
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

// start is where the slice of an indicator begins that a time lies in.
func (c *Counters) start(indicator int, at time.Time) time.Time {
	return collectors.SliceStart(at, c.indicators[indicator].Slice)
}

// slack is by how much good or bad events may exceed all events of a slice, as a share: counters of a page are read one after the other.
const slack = 0.01

// slice is a slice with the events that were counted; a gap where there were none, or they cannot be true. A gap where nothing was read gives
// way to whatever another service has counted.
func (c *Counters) slice(indicator int, start time.Time, e sum, now time.Time) schema.Slice {
	of := c.indicators[indicator]
	s := schema.Slice{
		Indicator: of.Name, Revision: of.revision, Start: start, Seconds: uint32(of.Slice / time.Second), State: schema.SliceGap, Version: uint64(start.UnixMilli()),
	}
	if !e.Measured {
		return s
	}
	s.Version = uint64(now.UnixMilli())
	if e.Part > e.Total+max(slack*e.Total, 1) {
		return s
	}
	part := min(e.Part, e.Total)
	s.State, s.Good, s.Total = schema.SliceMeasured, part, e.Total
	if of.Bad != "" {
		s.Good = e.Total - part
	}
	return s
}

// place is the place of the indicator that a slice is of, -1 when it is of none.
func (c *Counters) place(s schema.Slice) int {
	for i, one := range c.indicators {
		if one.Name == s.Indicator && one.revision == s.Revision {
			return i
		}
	}
	return -1
}

// Fingerprint tells sets of indicators apart: what was counted for one of them says nothing about another.
func (c *Counters) Fingerprint() string {
	var names []string
	for _, one := range c.indicators {
		names = append(names, one.Name, one.revision)
	}
	return collectors.Revision(names)
}

// Pages reads the pages of one target, one after the other, as a Collector does.
type Pages struct{ pages *pages }

// Pages makes one for a target with labels.
func (c *Counters) Pages(target labels.Labels, limits Limits) *Pages {
	return &Pages{newPages(c, target, limits)}
}

// Read reads a page that was fetched at a time, at most a minute after the one before, and returns how many series of the target are
// remembered. The errors are ErrTooMuch and ErrNoPage.
func (p *Pages) Read(body []byte, contentType string, at time.Time) (series int, err error) {
	_, _, err = p.pages.take(body, contentType, at, time.Minute)
	return len(p.pages.known), err
}
