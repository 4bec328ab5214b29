package slo_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"pgregory.net/rapid"
)

// The oracle is the arithmetic of the definitions, written slice by slice, slowly and without the engine's code: it
// walks the grid, asks for every slice what it is, and keeps lists.

type oracleSlice struct {
	start       time.Time
	good, total float64
	measured    bool
	excluded    bool
	missing     bool // the missing policy speaks about it
	incidents   []int
}

type oracle struct {
	req    slo.Request
	method slo.BudgetingMethod
	data   map[int64]slo.Slice // by Unix nanoseconds
	at     time.Time
	from   time.Time
	to     time.Time
}

func newOracle(req slo.Request, in []slo.Slice) *oracle {
	o := &oracle{req: req, method: req.Objective.Method, data: map[int64]slo.Slice{}}
	for _, s := range in {
		o.data[s.Start.UnixNano()] = s
	}
	o.at = req.Grid.Origin
	for o.at.After(req.At) {
		o.at = o.at.Add(-req.Grid.Step)
	}
	for !o.at.Add(req.Grid.Step).After(req.At) {
		o.at = o.at.Add(req.Grid.Step)
	}
	if _, end := oraclePeriod(req.Objective.Window, req.At); req.Objective.Window.Rolling == 0 && end.Equal(req.At) {
		o.at = req.At // a period ends with the slice that hangs over its end
	}
	o.from, o.to = oraclePeriod(req.Objective.Window, o.at)
	return o
}

// oraclePeriod knows only zones whose clocks do not change at midnight.
func oraclePeriod(w slo.Window, at time.Time) (from, to time.Time) {
	if w.Rolling > 0 {
		return at.Add(-w.Rolling), at
	}
	local := at.Add(-1).In(w.Zone)
	y, m, d := local.Date()
	date := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, w.Zone) }
	switch w.Unit {
	case slo.Day:
		return date(y, int(m), d), date(y, int(m), d+1)
	case slo.Week:
		back := (int(local.Weekday()) + 6) % 7
		return date(y, int(m), d-back), date(y, int(m), d-back+7)
	case slo.Month:
		return date(y, int(m), 1), date(y, int(m)+1, 1)
	case slo.Quarter:
		first := (int(m)-1)/3*3 + 1
		return date(y, first, 1), date(y, first+3, 1)
	}
	return date(y, 1, 1), date(y+1, 1, 1)
}

// list is the slices that start in [from, to).
func (o *oracle) list(from, to time.Time) []oracleSlice {
	t := o.req.Grid.Origin
	for t.After(from) {
		t = t.Add(-o.req.Grid.Step)
	}
	var out []oracleSlice
	for ; t.Before(to); t = t.Add(o.req.Grid.Step) {
		if t.Before(from) {
			continue
		}
		end := t.Add(o.req.Grid.Step)
		s := oracleSlice{start: t}
		if d, ok := o.data[t.UnixNano()]; ok && d.State == slo.Measured && t.Before(o.at) {
			s.good, s.total, s.measured = d.Good, d.Total, true
		}
		for _, x := range o.req.Exclusions {
			if t.Before(x.To) && x.From.Before(end) {
				s.excluded = true
			}
		}
		for i, x := range o.req.Incidents {
			if t.Before(x.To) && x.From.Before(end) {
				s.incidents = append(s.incidents, i)
			}
		}
		s.missing = !s.measured && !t.Before(o.req.Since) && t.Before(o.at)
		out = append(out, s)
	}
	return out
}

// badOf is what a counted slice adds to the numerator and denominator of the error ratio.
func (o *oracle) badOf(s oracleSlice) (bad, valid float64) {
	policy := o.req.Objective.Missing
	switch {
	case s.excluded:
		return 0, 0
	case s.missing && policy == slo.MissingGood:
		return 0, 1
	case s.missing && policy == slo.MissingBad:
		return 1, 1
	case !s.measured || s.total == 0:
		return 0, 0
	case o.method == slo.Occurrences:
		return s.total - s.good, s.total
	case o.method == slo.RatioTimeslices:
		return 1 - s.good/s.total, 1
	case s.good/s.total < o.req.Objective.TimeSliceTarget:
		return 1, 1
	}
	return 0, 1
}

type oracleFigures struct {
	sli, coverage, consumed, burn                       *float64
	good, total, minutes                                float64
	measured, excluded, expected, goodSlices, badSlices int64
	counted                                             bool
}

func (o *oracle) figures(from, to time.Time, future []oracleSlice) oracleFigures {
	var f oracleFigures
	var bads, valids []float64
	for _, s := range o.list(from, to) {
		if s.excluded {
			f.excluded++
			continue
		}
		f.expected++
		bad, valid := o.badOf(s)
		bads, valids = append(bads, bad), append(valids, valid)
		if s.measured {
			f.measured++
			f.good += s.good
			f.total += s.total
		}
		if s.measured || valid > 0 {
			f.counted = true
		}
		switch {
		case valid > 0 && o.method != slo.Occurrences:
			f.minutes += bad * o.req.Grid.Step.Minutes()
		case valid > 0:
			f.minutes += (1 - s.good/s.total) * o.req.Grid.Step.Minutes()
		}
		if valid > 0 && bad == 0 {
			f.goodSlices++
		}
		if bad == 1 {
			f.badSlices++
		}
	}
	one := func(v float64) *float64 { return &v }
	if f.expected > 0 {
		f.coverage = one(float64(f.measured) / float64(f.expected))
	}
	bad, valid := 0.0, 0.0
	for i := range bads {
		bad += bads[i]
		valid += valids[i]
	}
	budget := 1 - o.req.Objective.Target
	if valid > 0 {
		f.sli = one(1 - bad/valid)
		f.burn = one(bad / valid / budget)
	}
	toCome := 0.0
	for _, s := range future {
		if !s.excluded {
			toCome++
		}
	}
	switch {
	case !f.counted:
	case valid == 0:
		f.consumed = one(0)
	case o.method == slo.Occurrences:
		f.consumed = one(bad / valid / budget)
	default:
		f.consumed = one(bad / (budget * (valid + toCome)))
	}
	return f
}

// shares divides the bad amounts; nil when there are none.
func (o *oracle) shares() map[string]float64 {
	out := map[string]float64{slo.Unattributed: 0}
	for _, i := range o.req.Incidents {
		out[i.ID] = 0
	}
	whole := 0.0
	for _, s := range o.list(o.from, o.at) {
		bad, _ := o.badOf(s)
		whole += bad
		for _, i := range s.incidents {
			out[o.req.Incidents[i].ID] += bad / float64(len(s.incidents))
		}
		if len(s.incidents) == 0 {
			out[slo.Unattributed] += bad
		}
	}
	if whole == 0 {
		return nil
	}
	for k := range out {
		out[k] /= whole
	}
	return out
}

func (o *oracle) alert(severity string, pairs []slo.AlertWindow) slo.AlertState {
	firing, frozen := false, false
	for _, p := range pairs {
		if p.Severity != severity {
			continue
		}
		long, short := o.figures(o.at.Add(-p.Long), o.at, nil), o.figures(o.at.Add(-p.Short), o.at, nil)
		if long.coverage == nil || *long.coverage < o.req.Objective.MinCoverage || short.measured == 0 {
			frozen = true
			continue
		}
		over := func(burn *float64) bool { return burn != nil && *burn > p.Factor*(1+1e-9) }
		firing = firing || over(long.burn) && over(short.burn)
	}
	switch {
	case firing:
		return slo.Firing
	case frozen:
		return slo.Frozen
	}
	return slo.Inactive
}

func (o *oracle) defaults() []slo.AlertWindow {
	length := o.to.Sub(o.from)
	var out []slo.AlertWindow
	for _, p := range []struct {
		share       float64
		severity    string
		long, short string
	}{{0.02, "page", "1h", "5m"}, {0.05, "page", "6h", "30m"}, {0.1, "ticket", "24h", "2h"}, {0.1, "ticket", "72h", "6h"}} {
		long, _ := time.ParseDuration(p.long)
		short, _ := time.ParseDuration(p.short)
		factor := p.share * length.Hours() / long.Hours()
		if long > length/7 || factor*(1-o.req.Objective.Target) > 1-1e-9 {
			continue
		}
		out = append(out, slo.AlertWindow{Severity: p.severity, Long: long, Short: short, Factor: factor})
	}
	return out
}

func near(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return math.Abs(*a-*b) <= 1e-9*max(1, math.Abs(*b))
}

func show(v *float64) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(*v)
}

// drawRequest draws a request with slices: short ones near the edges of everything rather than realistic ones.
func drawRequest(t *rapid.T) (slo.Request, []slo.Slice) {
	steps := []time.Duration{time.Minute, 5 * time.Minute, 7 * time.Minute, 20 * time.Minute, time.Hour, 6 * time.Hour}
	step := rapid.SampledFrom(steps).Draw(t, "step")
	// Around the changes of clocks of 2026 in Berlin and New York, or anywhere.
	anchors := []string{"2026-03-29T00:30:00Z", "2026-10-25T00:00:00Z", "2026-03-08T06:00:00Z", "2026-11-01T04:30:00Z", "2026-06-30T22:00:00Z", "2026-01-01T00:00:00Z"}
	start, _ := time.Parse(time.RFC3339, rapid.SampledFrom(anchors).Draw(t, "anchor"))
	start = start.Add(time.Duration(rapid.IntRange(-40, 10).Draw(t, "before")) * step).Add(rapid.SampledFrom([]time.Duration{0, 0, 11 * time.Minute}).Draw(t, "shift"))
	n := rapid.IntRange(0, 60).Draw(t, "n")
	var in []slo.Slice
	for i := range n {
		s := slo.Slice{Start: start.Add(time.Duration(i) * step), State: slo.Measured}
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			continue
		case 1: // 0 of 0
		case 2, 3:
			s.Total = float64(rapid.IntRange(1, 20).Draw(t, "total"))
			s.Good = float64(rapid.IntRange(0, int(s.Total)).Draw(t, "good"))
		case 4:
			s.Good, s.Total = 0, float64(rapid.IntRange(1, 5).Draw(t, "down"))
		default:
			s.Good, s.Total = 10, 10
		}
		in = append(in, s)
	}
	o := slo.Objective{
		Name: "o", Target: rapid.SampledFrom([]float64{0.5, 0.9, 0.95, 0.99, 0.999}).Draw(t, "target"),
		Method:          rapid.SampledFrom([]slo.BudgetingMethod{slo.Occurrences, slo.Timeslices, slo.RatioTimeslices}).Draw(t, "method"),
		TimeSliceTarget: rapid.SampledFrom([]float64{1, 0.9, 0.5}).Draw(t, "slice target"),
		MinCoverage:     rapid.SampledFrom([]float64{0, 0.5, 0.9, 1}).Draw(t, "min coverage"),
	}
	if o.Method != slo.Occurrences {
		o.Missing = rapid.SampledFrom([]slo.MissingPolicy{slo.MissingGap, slo.MissingGood, slo.MissingBad}).Draw(t, "missing")
	}
	if rapid.Bool().Draw(t, "rolling") {
		o.Window = slo.RollingWindow(rapid.SampledFrom([]time.Duration{step, 12 * step, 25 * step, 40*step + time.Minute}).Draw(t, "window"))
	} else {
		zone, _ := slo.LoadZone(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"}).Draw(t, "zone"))
		unit := rapid.SampledFrom([]slo.Unit{slo.Day, slo.Week, slo.Month}).Draw(t, "unit")
		o.Window = slo.CalendarWindow(unit, zone)
	}
	req := slo.Request{Objective: o, Grid: slo.Grid{Origin: start, Step: step}, Since: start}
	offset := func(label string) time.Duration {
		return time.Duration(rapid.Int64Range(-5*int64(step), int64(n+10)*int64(step)).Draw(t, label)).Truncate(time.Minute / 2)
	}
	req.At = start.Add(offset("at"))
	if o.Window.IsCalendar() && rapid.IntRange(0, 3).Draw(t, "at the end of a period") == 0 {
		req.At = o.Window.Period(req.At).To
	}
	interval := func(label string) slo.Interval {
		from := offset(label)
		return slo.Interval{From: start.Add(from), To: start.Add(from + time.Duration(rapid.Int64Range(1, 8*int64(step)).Draw(t, label+" length")))}
	}
	for range rapid.IntRange(0, 3).Draw(t, "exclusions") {
		x := interval("exclusion")
		req.Exclusions = append(req.Exclusions, slo.Exclusion{From: x.From, To: x.To})
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "incidents") {
		x := interval("incident")
		req.Incidents = append(req.Incidents, slo.Incident{ID: fmt.Sprintf("INC-%d", i), From: x.From, To: x.To})
	}
	if rapid.Bool().Draw(t, "explicit alerts") {
		req.Objective.Alerts = []slo.AlertWindow{}
		for range rapid.IntRange(0, 3).Draw(t, "alerts") {
			long := time.Duration(rapid.IntRange(1, 12).Draw(t, "long")) * step
			if o.Window.Rolling > 0 {
				long = min(long, o.Window.Rolling)
			}
			short := max(1, time.Duration(rapid.Int64Range(1, int64(long)).Draw(t, "short")))
			req.Objective.Alerts = append(req.Objective.Alerts, slo.AlertWindow{
				Severity: rapid.SampledFrom([]string{"page", "ticket"}).Draw(t, "severity"), Long: long, Short: short,
				Factor: rapid.SampledFrom([]float64{0, 1, 1.5}).Draw(t, "factor"),
			})
		}
	}
	req.BurnWindows = []time.Duration{step, 3 * step, 17*step + time.Second}
	return req, in
}

func TestEngineAgreesWithTheOracle(t *testing.T) {
	for range 10 { // of a hundred cases each
		rapid.Check(t, agreesWithTheOracle)
	}
}

func agreesWithTheOracle(t *rapid.T) {
	req, in := drawRequest(t)
	got, err := slo.Evaluate(req, in)
	o := newOracle(req, in)
	tooLong := slices.ContainsFunc(req.Objective.Alerts, func(a slo.AlertWindow) bool { return a.Long > o.to.Sub(o.from) })
	if tooLong != (err != nil) {
		t.Fatalf("refused: %v", err)
	}
	if tooLong {
		return
	}
	want := o.figures(o.from, o.at, o.list(o.at, o.to))
	if !got.At.Equal(o.at) || !got.Period.From.Equal(o.from) || !got.Period.To.Equal(o.to) {
		t.Fatalf("at %s of %s, want %s of [%s, %s)", got.At, got.Period, o.at, o.from, o.to)
	}
	for name, pair := range map[string][2]*float64{
		"sli": {got.SLI, want.sli}, "coverage": {got.Coverage, want.coverage}, "consumed": {got.Consumed, want.consumed},
		"good": {got.Good, &want.good}, "total": {got.Total, &want.total}, "minutes": {&got.BadMinutes, &want.minutes},
	} {
		if !near(pair[0], pair[1]) {
			t.Errorf("%s: got %s, want %s", name, show(pair[0]), show(pair[1]))
		}
	}
	if got.MeasuredSlices != want.measured || got.ExcludedSlices != want.excluded || got.ExpectedSlices != want.expected {
		t.Errorf("slices: got %d measured, %d excluded, %d expected, want %d, %d, %d",
			got.MeasuredSlices, got.ExcludedSlices, got.ExpectedSlices, want.measured, want.excluded, want.expected)
	}
	if req.Objective.Method == slo.Timeslices && (*got.GoodSlices != want.goodSlices || *got.BadSlices != want.badSlices) {
		t.Errorf("got %d good and %d bad slices, want %d and %d", *got.GoodSlices, *got.BadSlices, want.goodSlices, want.badSlices)
	}
	for _, d := range req.BurnWindows {
		rate, _ := got.BurnRate(d)
		if burn := o.figures(o.at.Add(-d), o.at, nil).burn; !near(rate.Rate, burn) {
			t.Errorf("burn rate over %s: got %s, want %s", d, show(rate.Rate), show(burn))
		}
	}
	pairs := req.Objective.Alerts
	if pairs == nil {
		pairs = o.defaults()
	}
	for _, severity := range []string{"page", "ticket", "none"} {
		if state := o.alert(severity, pairs); got.Alert(severity) != state {
			t.Errorf("alert %s: got %s, want %s", severity, got.Alert(severity), state)
		}
	}
	shares := o.shares()
	if (got.Attribution == nil) != (shares == nil) {
		t.Fatalf("attribution: got %v, want %v", got.Attribution, shares)
	}
	for id, share := range shares {
		if s, ok := got.Attribution.Share(id); !ok || !near(&s, &share) {
			t.Errorf("share of %s: got %v, want %v", id, s, share)
		}
	}
	checkIdentities(t, got)
}

// checkIdentities asserts what holds of every status.
func checkIdentities(t *rapid.T, s slo.Status) {
	within := func(name string, v *float64, lo, hi float64) {
		if v != nil && !(*v >= lo && *v <= hi) {
			t.Errorf("%s is %v, outside [%v, %v]", name, *v, lo, hi)
		}
	}
	within("sli", s.SLI, 0, 1)
	within("error ratio", s.ErrorRatio, 0, 1)
	within("coverage", s.Coverage, 0, 1)
	within("consumed", s.Consumed, 0, math.MaxFloat64)
	within("remaining", s.Remaining, -math.MaxFloat64, 1)
	if (s.SLI == nil) != (s.ErrorRatio == nil) || s.SLI != nil && *s.SLI+*s.ErrorRatio != 1 {
		t.Errorf("sli %s and error ratio %s", show(s.SLI), show(s.ErrorRatio))
	}
	if (s.Consumed == nil) != (s.Remaining == nil) || s.Consumed != nil && *s.Consumed+*s.Remaining != 1 && math.Abs(*s.Consumed+*s.Remaining-1) > 1e-12 {
		t.Errorf("consumed %s and remaining %s", show(s.Consumed), show(s.Remaining))
	}
	if s.Good != nil && *s.Good == *s.Total && s.SLI != nil && s.BadMinutes == 0 && *s.SLI != 1 {
		t.Errorf("no error, and the SLI is %v", *s.SLI)
	}
	if s.Attribution != nil {
		var shares, budget, minutes float64
		for _, p := range s.Attribution.Parts {
			shares += p.Share
			budget += p.Consumed
			minutes += p.BadMinutes
		}
		if shares != 1 || budget != *s.Consumed || minutes != s.BadMinutes {
			t.Errorf("parts sum to %v, %v, %v, not to 1, %v, %v", shares, budget, minutes, *s.Consumed, s.BadMinutes)
		}
	}
}
