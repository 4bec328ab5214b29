package slo

import (
	"fmt"
	"slices"
	"time"
)

// Request is one question to the engine: the status of an objective at a watermark.
type Request struct {
	Objective Objective
	Grid      Grid
	// At is the watermark, the time up to which measurement is complete; it is floored to the grid, unless a calendar period ends at it:
	// a slice that hangs over that end is the period's, since it starts in it.
	At time.Time
	// Since is when measuring began. Slices that start before it are expected and unmeasured, but the missing policy
	// does not speak about them.
	Since      time.Time
	Exclusions []Exclusion
	Incidents  []Incident
	// BurnWindows are lookbacks whose burn rates are wanted besides those of the alerts.
	BurnWindows []time.Duration
}

// Plan is a checked request, cut into disjoint segments such that each segment belongs as a whole to a window, an
// exclusion or an incident, or not at all.
type Plan struct {
	req      Request
	at       time.Time
	period   Interval
	window   span // of the period up to the watermark
	rest     span // of the period after it
	pairs    []AlertWindow
	last     []lookback // the windows that end at the watermark, the objective's own aside, each once, the shortest first
	warnings []string
	excluded []spanOf // ordered by exclusion
	incident []spanOf
	segments []segment
}

// spanOf is a range of slices that belongs to the exclusion or incident with that index.
type spanOf struct {
	span
	index int
}

// lookback is the slices of the last length of time.
type lookback struct {
	length time.Duration
	span
}

type segment struct {
	span
	before     bool  // starts before Since, if the missing policy counts slices
	exclusions []int // indexes
	incidents  []int
}

// NewPlan checks a request and cuts it. Its errors are refusals: they say what is wrong with the definition.
func NewPlan(req Request) (*Plan, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	p := &Plan{req: req, at: req.Grid.Floor(req.At)}
	if w := req.Objective.Window; w.IsCalendar() && w.Period(req.At).To.Equal(req.At) {
		p.at = req.At
	}
	p.period = req.Objective.Window.Period(p.at)
	var err error
	p.pairs, p.warnings, err = req.Objective.alertsAt(p.period.Length(), req.Grid.Step)
	if err != nil {
		return nil, err
	}
	whole := req.Grid.within(p.period)
	now := req.Grid.ceil(p.at)
	p.window, p.rest = span{whole.lo, now}, span{now, whole.hi}

	all := p.window
	for _, length := range p.lookbacks() {
		l := lookback{length, req.Grid.within(Interval{p.at.Add(-length), p.at})}
		p.last = append(p.last, l)
		all.lo = min(all.lo, l.lo)
	}
	reach := Interval{req.Grid.start(all.lo), req.Grid.start(max(now, whole.hi))}
	for i, e := range req.Exclusions {
		for _, in := range e.Within(reach) {
			p.excluded = append(p.excluded, spanOf{req.Grid.touching(in), i})
		}
	}
	for i, inc := range req.Incidents {
		if in := inc.span(p.at); in.From.Before(in.To) {
			p.incident = append(p.incident, spanOf{req.Grid.touching(in), i})
		}
	}
	p.cut(all)
	return p, nil
}

func (r Request) check() error {
	var faults []error
	add := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	add(r.Objective.Validate())
	add(r.Grid.check())
	add(checkTime(r.At))
	if !r.Since.IsZero() {
		add(checkTime(r.Since))
	}
	for _, e := range r.Exclusions {
		add(e.check())
	}
	seen := map[string]bool{}
	for _, i := range r.Incidents {
		add(i.check())
		if seen[i.ID] {
			add(fmt.Errorf("incident %s is given twice", i.ID))
		}
		seen[i.ID] = true
	}
	for _, b := range r.BurnWindows {
		if b <= 0 {
			add(fmt.Errorf("burn rate window %s must be above 0", FormatDuration(b)))
		}
	}
	return joinFaults(faults)
}

// lookbacks are the lengths of p.last.
func (p *Plan) lookbacks() []time.Duration {
	out := append(make([]time.Duration, 0, len(p.req.BurnWindows)+2*len(p.pairs)+1), p.req.BurnWindows...)
	for _, a := range p.pairs {
		out = append(out, a.Long, a.Short)
	}
	out = append(out, p.forecastLookback())
	slices.Sort(out)
	return slices.Compact(out)
}

// cut makes the segments of all, in order.
func (p *Plan) cut(all span) {
	edges := []int64{all.lo, all.hi, p.window.lo}
	since := all.lo
	// Where missing slices are gaps, measured sums are the same before and after: objectives of all ages have the same segments.
	if !p.req.Since.IsZero() && p.req.Objective.countsMissing() {
		since = p.req.Grid.ceil(p.req.Since)
		edges = append(edges, since)
	}
	for _, l := range p.last {
		edges = append(edges, l.lo)
	}
	for _, s := range slices.Concat(p.excluded, p.incident) {
		edges = append(edges, s.lo, s.hi)
	}
	edges = slices.DeleteFunc(edges, func(k int64) bool { return k < all.lo || k > all.hi })
	slices.Sort(edges)
	edges = slices.Compact(edges)
	p.segments = make([]segment, 0, max(1, len(edges))-1)
	for i := 1; i < len(edges); i++ {
		s := segment{span: span{edges[i-1], edges[i]}}
		s.before = s.lo < since
		s.exclusions = covering(p.excluded, s.span)
		s.incidents = covering(p.incident, s.span)
		p.segments = append(p.segments, s)
	}
}

// covering lists the indexes whose ranges contain s, each once.
func covering(spans []spanOf, s span) []int {
	var out []int
	for _, o := range spans {
		if o.covers(s) && !slices.Contains(out, o.index) {
			out = append(out, o.index)
		}
	}
	return out
}

// At is the watermark, floored to the grid unless a calendar period ends at it.
func (p *Plan) At() time.Time { return p.at }

// Segments are the disjoint stretches of time, in order, whose [Sums] [Plan.Evaluate] needs.
func (p *Plan) Segments() []Interval {
	out := make([]Interval, len(p.segments))
	for i, s := range p.segments {
		out[i] = Interval{p.req.Grid.start(s.lo), p.req.Grid.start(s.hi)}
	}
	return out
}

// toCome counts the slices of the period after the watermark, without those that are excluded already.
func (p *Plan) toCome() int64 {
	var cuts []span
	for _, e := range p.excluded {
		if c := e.cut(p.rest); c.len() > 0 {
			cuts = append(cuts, c)
		}
	}
	slices.SortFunc(cuts, func(a, b span) int { return int(a.lo - b.lo) })
	left, from := p.rest.len(), p.rest.lo
	for _, c := range cuts {
		c.lo = max(c.lo, from)
		left -= c.len()
		from = max(from, c.hi)
	}
	return left
}
