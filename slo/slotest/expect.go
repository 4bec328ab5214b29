package slotest

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// expectation is one entry of a test's expect.
type expectation struct {
	line    int
	at      time.Time
	refusal *string // text that the refusal must contain
	burn    []time.Duration
	checks  []check
}

// value is a number, a word, or undefined when neither is set.
type value struct {
	number *float64
	word   string
}

func (v value) String() string {
	switch {
	case v.word != "":
		return v.word
	case v.number == nil:
		return "null"
	}
	return strconv.FormatFloat(*v.number, 'g', 10, 64)
}

// agrees follows the format's rule; without a tolerance, one part in a million or one millionth.
func (v value) agrees(got value, tolerance *float64) bool {
	if v.number == nil || got.number == nil {
		return v.word == got.word && v.number == got.number
	}
	limit := max(1e-6*math.Abs(*v.number), 1e-6)
	if tolerance != nil {
		limit = *tolerance
	}
	return math.Abs(*got.number-*v.number) <= limit
}

// check compares one value of a status.
type check struct {
	name string
	want value
	got  func(slo.Status) value
}

func number(v float64) value { return value{number: &v} }
func count(v int64) value    { return number(float64(v)) }

func counted(v *int64) value {
	if v == nil {
		return value{}
	}
	return count(*v)
}

// figures are the expected keys with one number each.
var figures = map[string]func(slo.Status) value{
	"sli":               func(s slo.Status) value { return value{number: s.SLI} },
	"error_ratio":       func(s slo.Status) value { return value{number: s.ErrorRatio} },
	"coverage":          func(s slo.Status) value { return value{number: s.Coverage} },
	"budget_consumed":   func(s slo.Status) value { return value{number: s.Consumed} },
	"budget_remaining":  func(s slo.Status) value { return value{number: s.Remaining} },
	"good":              func(s slo.Status) value { return value{number: s.Good} },
	"total":             func(s slo.Status) value { return value{number: s.Total} },
	"good_slices":       func(s slo.Status) value { return counted(s.GoodSlices) },
	"bad_slices":        func(s slo.Status) value { return counted(s.BadSlices) },
	"measured_slices":   func(s slo.Status) value { return count(s.MeasuredSlices) },
	"excluded_slices":   func(s slo.Status) value { return count(s.ExcludedSlices) },
	"expected_slices":   func(s slo.Status) value { return count(s.ExpectedSlices) },
	"bad_minutes":       func(s slo.Status) value { return number(s.BadMinutes) },
	"allowed_minutes":   func(s slo.Status) value { return number(s.AllowedMinutes) },
	"remaining_minutes": func(s slo.Status) value { return value{number: s.RemainingMinutes} },
	"spared_minutes":    func(s slo.Status) value { return number(s.Spared.BadMinutes) },
	"spared_budget":     func(s slo.Status) value { return value{number: s.Spared.Consumed} },
}

func exhaustedAt(s slo.Status) value {
	switch {
	case s.Forecast.Exhausted:
		return number(float64(s.At.Unix()))
	case s.Forecast.At == nil:
		return value{}
	}
	return number(float64(s.Forecast.At.Unix()))
}

func partial(s slo.Status) value { return value{word: strconv.FormatBool(s.Partial)} }

// parseExpectation reads one expectation; at is end unless given.
func parseExpectation(r *reader, n *yamlfile.Node, start, end time.Time) expectation {
	e := expectation{line: n.Line, at: end}
	if n.Kind != yamlfile.Map {
		r.add(n.Fault("an expectation must be a mapping, this is a %s", n.Kind))
		return e
	}
	for _, f := range n.Fields {
		v := f.Value
		switch f.Key {
		case "at":
			e.at = r.moment(n, "at", start, true)
		case "error":
			if !v.IsNull() { // null: no refusal
				e.refusal = new(r.text(n, "error", true))
			}
		case "burn_rate":
			e.burnRates(r, v)
		case "alerts":
			e.alerts(r, v)
		case "attribution":
			e.attribution(r, v)
		case "partial":
			e.checks = append(e.checks, check{"partial", value{word: r.text(n, "partial", true)}, partial})
		case "exhausted_at":
			want := value{}
			if !v.IsNull() {
				want = number(float64(r.moment(n, "exhausted_at", start, true).Unix()))
			}
			e.checks = append(e.checks, check{"exhausted_at", want, exhaustedAt})
		default:
			got, ok := figures[f.Key]
			if !ok {
				r.add(&yamlfile.Fault{File: n.File, Line: f.Line, Column: f.Column, Message: fmt.Sprintf("unknown key %q in an expectation", f.Key)})
				continue
			}
			e.checks = append(e.checks, check{f.Key, value{number: r.number(n, f.Key)}, got})
		}
	}
	if e.refusal != nil && len(e.checks) > 0 {
		r.add(n.Fault("error expects a refusal, so no figures can be expected with it"))
	}
	return e
}

func (e *expectation) burnRates(r *reader, n *yamlfile.Node) {
	if n.Kind != yamlfile.Map {
		r.add(n.Fault("burn_rate must be a mapping of windows to rates, such as {5m: 1, 1h: null}"))
	}
	for _, f := range n.Fields {
		d, err := slo.ParseDuration(f.Key)
		if err != nil || d <= 0 {
			r.add(&yamlfile.Fault{File: n.File, Line: f.Line, Column: f.Column, Message: fmt.Sprintf("burn_rate window %q is not a duration above 0, such as 5m", f.Key)})
			continue
		}
		e.burn = append(e.burn, d)
		e.checks = append(e.checks, check{"burn_rate of " + f.Key, value{number: r.number(n, f.Key)}, func(s slo.Status) value {
			b, _ := s.BurnRate(d)
			return value{number: b.Rate}
		}})
	}
}

func (e *expectation) alerts(r *reader, n *yamlfile.Node) {
	for _, a := range r.list(n, "alerts") {
		r.keys(a, "severity", "state")
		severity, state := r.text(a, "severity", true), r.text(a, "state", true)
		switch slo.AlertState(state) {
		case "", slo.Inactive, slo.Frozen, slo.Firing: // a missing one has been said
		default:
			r.add(a.Fault("alert state %q must be firing, frozen or inactive", state))
		}
		e.checks = append(e.checks, check{"alert " + severity, value{word: state}, func(s slo.Status) value {
			return value{word: string(s.Alert(severity))}
		}})
	}
}

func (e *expectation) attribution(r *reader, n *yamlfile.Node) {
	if n.IsNull() {
		e.checks = append(e.checks, check{"attribution", value{}, func(s slo.Status) value {
			if s.Attribution == nil {
				return value{}
			}
			return value{word: "given"}
		}})
		return
	}
	if n.Kind != yamlfile.Map {
		r.add(n.Fault("attribution must be null or a mapping of incidents to shares"))
	}
	for _, f := range n.Fields {
		e.checks = append(e.checks, check{"attribution to " + f.Key, value{number: r.number(n, f.Key)}, func(s slo.Status) value {
			if s.Attribution == nil {
				return value{}
			}
			share, ok := s.Attribution.Share(f.Key)
			if !ok {
				return value{word: "no such incident"}
			}
			return number(share)
		}})
	}
}
