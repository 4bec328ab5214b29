package slo

import (
	"fmt"
	"time"
)

// Status is everything that the engine says about an objective at one watermark.
type Status struct {
	Objective string    `json:"objective"`
	Target    float64   `json:"target"`
	At        time.Time `json:"at"`     // the watermark
	Period    Interval  `json:"period"` // a calendar period as a whole, also while it is under way
	Partial   bool      `json:"partial"`
	Since     time.Time `json:"since,omitzero"` // when measuring began, if the request said so
	Figures
	// LowCoverage marks figures whose coverage is below the objective's minimum, or that nothing covers.
	LowCoverage bool `json:"low_coverage"`
	// AllowedMinutes is (1 - target) x the period; RemainingMinutes is what is left of it, signed, nil when undefined.
	// For Occurrences they are minutes in which every event fails.
	AllowedMinutes   float64          `json:"allowed_minutes"`
	RemainingMinutes *float64         `json:"remaining_minutes"`
	BurnRates        []BurnRate       `json:"burn_rates"`
	Pairs            []PairStatus     `json:"alert_pairs"`
	Alerts           []SeverityStatus `json:"alerts"`
	Forecast         Forecast         `json:"forecast"`
	Attribution      *Attribution     `json:"attribution"` // nil when nothing was consumed
	Spared           Spared           `json:"spared"`
	Warnings         []string         `json:"warnings,omitempty"`
}

// BurnRate is the burn rate over the last Window; nil without a valid event.
type BurnRate struct {
	Window   time.Duration `json:"window"`
	Rate     *float64      `json:"rate"`
	Coverage *float64      `json:"coverage"`
}

// BurnRate finds the burn rate over the last d; false when it was not asked for.
func (s Status) BurnRate(d time.Duration) (BurnRate, bool) {
	for _, b := range s.BurnRates {
		if b.Window == d {
			return b, true
		}
	}
	return BurnRate{}, false
}

// Alert is the state of a severity: inactive when it has no pair.
func (s Status) Alert(severity string) AlertState {
	for _, a := range s.Alerts {
		if a.Severity == severity {
			return a.State
		}
	}
	return Inactive
}

// Forecast says when the budget will be used up at the present burn rate, that of the last Window.
type Forecast struct {
	Window time.Duration `json:"window"`
	Burn   *float64      `json:"burn_rate"`
	// Exhausted is set when nothing is left. Else At is when it will be, nil when that cannot be told or never happens:
	// at burn rate 0, too little coverage, or not before the calendar period ends.
	Exhausted bool       `json:"exhausted"`
	At        *time.Time `json:"at"`
	Reason    string     `json:"reason,omitempty"` // why At is nil
}

// TimeToExhaustion is remaining x period / burn; false when the burn rate is not above 0.
func TimeToExhaustion(remaining, burn float64, period time.Duration) (time.Duration, bool) {
	if burn <= 0 {
		return 0, false
	}
	return time.Duration(min(max(0, remaining)*float64(period)/burn, float64(MaxLength))), true
}

// TimeToDetect is how long a constant error ratio has to last until a pair notices it: (1 - target) / e x factor x
// long; false when the ratio never makes it fire.
func (o Objective) TimeToDetect(a AlertWindow, errorRatio float64) (time.Duration, bool) {
	if !above(errorRatio/o.Budget(), a.Factor) {
		return 0, false
	}
	return time.Duration(o.Budget() / errorRatio * a.Factor * float64(a.Long)), true
}

// Evaluate computes the status from raw slices on the request's grid; for a composite they are those of
// [Composite.Slices]. Slices at or after the watermark are ignored.
func Evaluate(req Request, in []Slice) (Status, error) {
	p, err := NewPlan(req)
	series, wrong := NewSeries(req.Grid, in)
	switch {
	case err != nil && wrong != nil && req.Grid.check() == nil: // else it is the same
		return Status{}, Faults{err, wrong}
	case err != nil:
		return Status{}, err
	case wrong != nil:
		return Status{}, wrong
	}
	return p.Evaluate(p.Sum(series))
}

// Sum adds up a series in the plan's segments.
func (p *Plan) Sum(s Series) []Sums {
	sums := make([]Sums, len(p.segments))
	for i, seg := range p.Segments() {
		sums[i] = s.Sums(seg, p.req.Objective.GoodFrom())
	}
	return sums
}

// Evaluate computes the status from the sums of the plan's segments, in their order. Sums that no slices can have are
// refused.
func (p *Plan) Evaluate(sums []Sums) (Status, error) {
	return p.evaluate(sums, 1)
}

// evaluate allows for sums that are those of several groups together.
func (p *Plan) evaluate(sums []Sums, groups int64) (Status, error) {
	if len(sums) != len(p.segments) {
		return Status{}, fmt.Errorf("%d sums for the %d segments of objective %s", len(sums), len(p.segments), p.req.Objective.Name)
	}
	for i, s := range sums {
		if err := s.check(p.segments[i].len() * groups); err != nil {
			return Status{}, fmt.Errorf("objective %s, segment %s: impossible sums: %w", p.req.Objective.Name, p.Segments()[i], err)
		}
	}
	e := evaluation{Plan: p, o: p.req.Objective, step: p.req.Grid.Step, sums: sums, groups: groups}
	return e.status(), nil
}

// evaluation is a plan with its sums.
type evaluation struct {
	*Plan
	o      Objective
	step   time.Duration
	sums   []Sums
	groups int64
}

// of is the tally of w, without what is excluded.
func (e *evaluation) of(w span) Tally {
	return e.tally(w, func(s segment) bool { return len(s.exclusions) == 0 })
}

// tally adds up the segments of w; those that do not count are excluded.
func (e *evaluation) tally(w span, counts func(segment) bool) Tally {
	var t Tally
	for i, s := range e.segments {
		if w.covers(s.span) {
			t = t.Add(e.segment(i, counts(s)))
		}
	}
	return t
}

// segment is the tally of segment i; every group expects each of its slices.
func (e *evaluation) segment(i int, counts bool) Tally {
	s := e.segments[i]
	t := Tally{Slices: s.len() * e.groups}
	if !counts {
		t.Excluded = t.Slices
		return t
	}
	t.Sums = e.sums[i]
	if !s.before {
		t.Missing = t.Slices - t.Measured
	}
	return t
}

func (e *evaluation) status() Status {
	s := Status{
		Objective: e.o.Name, Target: e.o.Target, At: e.at, Period: e.period, Partial: e.period.To.After(e.at), Since: e.req.Since,
		Figures:  e.o.Figures(e.of(e.window), e.step, e.toCome()*e.groups),
		Warnings: e.warnings,
	}
	s.LowCoverage = s.Coverage == nil || *s.Coverage < e.o.MinCoverage
	s.AllowedMinutes = e.o.Budget() * e.period.Length().Minutes() * float64(e.groups)
	if s.Remaining != nil {
		s.RemainingMinutes = new(*s.Remaining * s.AllowedMinutes)
	}
	s.BurnRates = make([]BurnRate, 0, len(e.last))
	tallies := make(map[time.Duration]Tally, len(e.last))
	for _, l := range e.last {
		t := e.of(l.span)
		tallies[l.length] = t
		s.BurnRates = append(s.BurnRates, BurnRate{l.length, e.o.BurnRate(t), t.Coverage()})
	}
	for _, a := range e.pairs {
		s.Pairs = append(s.Pairs, e.o.pair(a, tallies[a.Long], tallies[a.Short]))
	}
	s.Alerts = severities(s.Pairs)
	s.Forecast = e.forecast(s)
	s.Attribution = e.attribution(s)
	s.Spared = e.spared(s)
	return s
}

// forecastLookback is the stretch whose burn rate counts as the present one: a day, for short windows a seventh, in
// whole slices.
func (p *Plan) forecastLookback() time.Duration {
	step := p.req.Grid.Step
	return max(step, min(day, p.period.Length()/7)/step*step)
}

func (e *evaluation) forecast(s Status) Forecast {
	f := Forecast{Window: e.forecastLookback()}
	burn, _ := s.BurnRate(f.Window)
	f.Burn = burn.Rate
	switch {
	case s.Remaining == nil:
		f.Reason = "the budget is undefined: nothing was measured"
		return f
	case *s.Remaining <= rounding:
		f.Exhausted, f.Reason = true, "the budget is used up"
		return f
	case burn.Coverage == nil || *burn.Coverage < e.o.MinCoverage:
		f.Reason = fmt.Sprintf("too little was measured in the last %s", FormatDuration(f.Window))
		return f
	case burn.Rate == nil:
		f.Reason = fmt.Sprintf("no valid event in the last %s", FormatDuration(f.Window))
		return f
	}
	left, ok := TimeToExhaustion(*s.Remaining, *burn.Rate, e.period.Length())
	at := e.at.Add(left)
	switch {
	case !ok:
		f.Reason = "nothing is being used"
	case s.Partial && !at.Before(e.period.To):
		f.Reason = "it lasts beyond the end of the period"
	default:
		f.At = &at
	}
	return f
}
