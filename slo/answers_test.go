package slo

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var march = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// slicesOf makes one slice per pair of good and total; a negative total is a gap.
func slicesOf(start time.Time, step time.Duration, values ...[2]float64) []Slice {
	var out []Slice
	for i, v := range values {
		if v[1] >= 0 {
			out = append(out, Slice{start.Add(time.Duration(i) * step), v[0], v[1], Measured})
		}
	}
	return out
}

func repeat(n int, good, total float64) [][2]float64 {
	out := make([][2]float64, n)
	for i := range out {
		out[i] = [2]float64{good, total}
	}
	return out
}

func close(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }

func TestGroupsHaveAStatusEachAndOneTogether(t *testing.T) {
	req := Request{Objective: Objective{Name: "o", Target: 0.9, Window: RollingWindow(time.Hour), Method: Timeslices, Missing: MissingBad, TimeSliceTarget: 1, Alerts: []AlertWindow{}},
		Grid: EpochGrid(5 * time.Minute), At: march.Add(time.Hour), Since: march}
	p, err := NewPlan(req)
	if err != nil {
		t.Fatal(err)
	}
	group := func(name string, values ...[2]float64) GroupSums {
		s, err := NewSeries(req.Grid, slicesOf(march, 5*time.Minute, values...))
		if err != nil {
			t.Fatal(err)
		}
		return GroupSums{name, p.Sum(s)}
	}
	got, err := p.EvaluateGroups([]GroupSums{
		group("eu", repeat(12, 1, 1)...),
		group("us", append(repeat(9, 1, 1), repeat(3, 0, 1)...)...),
		group("ap", append(repeat(10, 1, 1), [2]float64{0, 1})...), // one missing
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Worst != "us" || len(got.Groups) != 3 || len(got.Undefined) != 0 {
		t.Errorf("worst %q of %d", got.Worst, len(got.Groups))
	}
	// 36 expected, 35 measured; bad 3 + 1 + 1 missing = 5 of 36
	total := got.Total
	if total.ExpectedSlices != 36 || total.MeasuredSlices != 35 || *total.BadSlices != 5 || !close(*total.ErrorRatio, 5.0/36) || total.BadMinutes != 25 || !close(total.AllowedMinutes, 18) {
		t.Errorf("total %+v", total.Figures)
	}
	if _, err := p.EvaluateGroups(nil); !errors.Is(err, ErrNoGroups) {
		t.Errorf("no groups: %v", err)
	}
	req.Since = march.Add(2 * time.Hour) // nothing is missing yet
	if p, err = NewPlan(req); err != nil {
		t.Fatal(err)
	}
	got, err = p.EvaluateGroups([]GroupSums{{"eu", make([]Sums, len(p.Segments()))}})
	if err != nil || got.Worst != "" || len(got.Undefined) != 1 {
		t.Errorf("unmeasured: worst %q, undefined %v, %v", got.Worst, got.Undefined, err)
	}
}

func TestDefinitionsInForce(t *testing.T) {
	versions := []Definition{{Version: "1"}, {Version: "3", From: march.AddDate(0, 1, 0)}, {Version: "2", From: march}}
	for at, want := range map[time.Time]string{
		march.AddDate(0, 0, -1): "1", march: "1", march.Add(1): "2", march.AddDate(0, 1, 0): "2", march.AddDate(0, 2, 0): "3",
	} {
		if d, ok := InForce(versions, at); !ok || d.Version != want {
			t.Errorf("at %s: version %s, want %s", at, d.Version, want)
		}
	}
	if _, ok := InForce(versions[1:2], march); ok {
		t.Error("a definition of the future is in force")
	}
	valid := Objective{Name: "o", Target: 0.9, Window: RollingWindow(time.Hour), Method: Occurrences}
	if err := CheckVersions([]Definition{{Objective: valid, Version: "1"}, {Objective: valid, Version: "2"}}); err == nil || !strings.Contains(err.Error(), "as another does") {
		t.Errorf("two at once: %v", err)
	}
}

func TestPeriodsCloseAfterTheirEnd(t *testing.T) {
	w := CalendarWindow(Month, time.UTC)
	for now, want := range map[string]string{
		"2026-04-01T00:00:00Z": "2026-02-01T00:00:00Z", "2026-04-03T23:59:59Z": "2026-02-01T00:00:00Z", "2026-04-04T00:00:00Z": "2026-03-01T00:00:00Z",
	} {
		if got := w.LastClosed(at(t, now), 3*day); !got.From.Equal(at(t, want)) {
			t.Errorf("at %s the last closed month is %s, want from %s", now, got, want)
		}
	}
	if got := w.LastComplete(at(t, "2026-04-01T00:00:00Z")); !got.From.Equal(march) {
		t.Errorf("complete on the boundary: %s", got)
	}
}

func TestWatermarkNeitherWaitsForeverNorRunsAhead(t *testing.T) {
	g := EpochGrid(time.Minute)
	series, err := NewSeries(g, slicesOf(march, time.Minute, [2]float64{1, 1}, [2]float64{0, 0}, [2]float64{-1, -1}, [2]float64{1, 1}))
	if err != nil {
		t.Fatal(err)
	}
	end := series.ContiguousEnd(march)
	if want := march.Add(2 * time.Minute); !end.Equal(want) {
		t.Fatalf("contiguous up to %s, want %s", end, want)
	}
	for now, want := range map[time.Duration]time.Duration{
		2*time.Minute + 30*time.Second: 2 * time.Minute, // what was measured
		6 * time.Minute:                2 * time.Minute, // waits for the gap
		8*time.Minute + time.Second:    3 * time.Minute, // not for ever
		time.Minute:                    time.Minute,     // not ahead of the clock
	} {
		if got := Watermark(g, end, march.Add(now), 5*time.Minute); !got.Equal(march.Add(want)) {
			t.Errorf("at %s the watermark is %s, want %s", now, got.Sub(march), want)
		}
	}
	if got := PartConsumed(2, 7*day, 28*day); got != 0.5 {
		t.Errorf("a week at burn rate 2 of four uses %v", got)
	}
}

func TestComparisonsAttributeTheChange(t *testing.T) {
	status := func(target float64, start time.Time, incidents []Incident, values [][2]float64) Status {
		o := Objective{Name: "o", Target: target, Window: CalendarWindow(Week, time.UTC), Method: Timeslices, TimeSliceTarget: 1, MinCoverage: 0.9, Alerts: []AlertWindow{}}
		s, err := Evaluate(Request{Objective: o, Grid: EpochGrid(time.Hour), At: start.Add(7 * day), Since: start, Incidents: incidents}, slicesOf(start, time.Hour, values...))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	monday := at(t, "2026-03-02T00:00:00Z")
	next := monday.Add(7 * day)
	incidents := []Incident{{ID: "A", From: monday, To: monday.Add(4 * time.Hour)}, {ID: "B", From: next, To: next.Add(2 * time.Hour), Cause: Upstream}}
	before := status(0.99, monday, incidents, append(repeat(4, 0, 1), append(repeat(163, 1, 1), [2]float64{0, 1})...))
	after := status(0.99, next, incidents, append(repeat(2, 0, 1), repeat(166, 1, 1)...))

	c := Compare(before, after)
	// budget of a week: 1.68 slices; before 5, after 2
	want := map[string]float64{"A": -4 / 1.68, "B": 2 / 1.68, Unattributed: -1 / 1.68}
	sum := 0.0
	for _, p := range c.Parts {
		if !close(p.Change, want[p.ID]) {
			t.Errorf("%s changed by %v, want %v", p.ID, p.Change, want[p.ID])
		}
		sum += p.Change
	}
	if len(c.Parts) != 3 || !close(sum, *c.Consumed) || !close(*c.Consumed, -3/1.68) || c.BadMinutes != -180 || len(c.Notes) != 0 {
		t.Errorf("parts %v sum to %v, consumed changed by %v, minutes by %v, notes %v", c.Parts, sum, *c.Consumed, c.BadMinutes, c.Notes)
	}

	// A tighter target: what was used before is twice as much of the later budget.
	tighter := status(0.995, next, incidents, append(repeat(2, 0, 1), repeat(166, 1, 1)...))
	c = Compare(before, tighter)
	sum = 0
	for _, p := range c.Parts {
		sum += p.Change
		if p.ID == DefinitionChange && !close(p.Change, 5/1.68) {
			t.Errorf("the definition changed the budget by %v", p.Change)
		}
	}
	if !close(sum, *c.Consumed) || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "from 0.99 to 0.995") {
		t.Errorf("parts sum to %v of %v, notes %v", sum, *c.Consumed, c.Notes)
	}

	// Nothing measured before: no change is known, and the notes say why.
	c = Compare(status(0.99, monday, nil, nil), after)
	if c.Consumed != nil || c.Parts != nil || c.SLI != nil || len(c.Notes) != 1 {
		t.Errorf("unmeasured: %+v", c)
	}
}

func TestValueIsMoneyByHourOfTheWeek(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	if h := HourOfWeek(at(t, "2026-03-01T23:30:00Z"), berlin); h != 0 {
		t.Errorf("Monday 00:30 in Berlin is hour %d", h)
	}
	office := Price{Service: "shop", Currency: "EUR"}
	for d := range 5 {
		for h := 8; h < 18; h++ {
			office.PerMinute[d*24+h] = 10
		}
	}
	monday := at(t, "2026-03-02T09:00:00Z") // 10:00 in Berlin
	night := at(t, "2026-03-02T02:00:00Z")
	before := monday.Add(-7 * day)
	v, err := ValueRequest{
		Service: "shop", Target: 0.9, Zone: berlin, Prices: []Price{office},
		Period: []Minutes{{monday, 60, 3}, {night, 60, 30}, {monday.Add(2 * time.Hour), 60, 6}},
		Before: []Minutes{{before, 30, 15}, {before.Add(-7 * time.Hour), 60, 0}},
	}.Evaluate()
	if err != nil {
		t.Fatal(err)
	}
	// loss 3 x 10 + 30 x 0 + 6 x 10 = 90; gained: 0.5 x 60 - 3 = 27 minutes x 10, the night costs nothing, noon has no
	// earlier hour; objective: (6 - 3) x 10 + (6 - 6) x 10
	want := Value{Service: "shop", Amounts: []Amount{{"EUR", 90, 270, 30, 180, 39}}, UncomparedMinutes: 60}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Prices are effective-dated, currencies are never added up, what has no price is listed.
	dollars := office
	dollars.Currency, dollars.From = "USD", monday.Add(time.Hour)
	office.To = dollars.From
	office.From = monday
	v, err = ValueRequest{Service: "shop", Target: 0.9, Zone: berlin, Prices: []Price{office, dollars},
		Period: []Minutes{{monday, 60, 3}, {night, 60, 30}, {monday.Add(2 * time.Hour), 60, 6}}}.Evaluate()
	if err != nil || len(v.Amounts) != 2 || v.Amounts[0].Loss != 30 || v.Amounts[1].Loss != 60 || v.UnpricedMinutes != 60 || v.UnpricedBad != 30 {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = ValueRequest{Service: "other", Target: 0.9, Zone: berlin, Prices: []Price{office}, Period: []Minutes{{monday, 60, 3}}}.Evaluate()
	if err != nil || v.Priced() || v.UnpricedMinutes != 60 {
		t.Errorf("unpriced: %+v, %v", v, err)
	}
}

func TestValueRefuses(t *testing.T) {
	ok := Price{Service: "a", Currency: "EUR"}
	negative, reversed, nameless := ok, ok, ok
	negative.PerMinute[5] = -1
	reversed.From, reversed.To = march, march.Add(-time.Hour)
	nameless.Currency = ""
	for want, r := range map[string]ValueRequest{
		"in force at once":       {Target: 0.9, Zone: time.UTC, Prices: []Price{ok, ok}},
		"in hour 5":              {Target: 0.9, Zone: time.UTC, Prices: []Price{negative}},
		"before it starts":       {Target: 0.9, Zone: time.UTC, Prices: []Price{reversed}},
		"no currency":            {Target: 0.9, Zone: time.UTC, Prices: []Price{nameless}},
		"outside (0, 1)":         {Target: 90, Zone: time.UTC},
		"no time zone":           {Target: 0.9},
		"2 bad of 1 measured":    {Target: 0.9, Zone: time.UTC, Period: []Minutes{{march, 1, 2}}},
		"NaN bad of 1 measured ": {Target: 0.9, Zone: time.UTC, Before: []Minutes{{march, 1, math.NaN()}}},
	} {
		if _, err := r.Evaluate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestMinutesAreMeasuredAndNotExcluded(t *testing.T) {
	req := Request{Objective: Objective{Name: "o", Target: 0.9, Window: RollingWindow(time.Hour), Method: Occurrences}, Grid: EpochGrid(5 * time.Minute), At: march,
		Exclusions: []Exclusion{{From: march, To: march.Add(time.Minute)}}}
	got, err := req.Minutes(Interval{march, march.Add(time.Hour)}, slicesOf(march, 5*time.Minute, [2]float64{0, 1}, [2]float64{0, 0}, [2]float64{-1, -1}, [2]float64{3, 4}))
	want := []Minutes{{march.Add(15 * time.Minute), 5, 1.25}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestRateRatioIntervals(t *testing.T) {
	// Without control: Clopper and Pearson for k of n, as a ratio p/(1-p); 1 - 0.025^(1/6) = 0.459258 for none of six.
	// With: Fisher's exact interval; the last two are R's fisher.test on its examples Convictions and TeaTasting, whose
	// search stops at a precision of 1 %.
	for _, c := range []struct {
		a0, a1, c0, c1       int
		low, high, precision float64
	}{
		{6, 0, 0, 0, 0, 0.8493112, 1e-6},
		{0, 6, 0, 0, 1.1774247, math.Inf(1), 1e-6},
		{5, 5, 0, 0, 0.2301425, 4.3451345, 1e-6},
		{15, 2, 3, 10, 0.003325764, 0.363182271, 1e-2},
		{1, 3, 3, 1, 0.2117329, 621.9337505, 1e-2},
	} {
		low, high := oddsInterval(c.a0, c.a1, c.c0, c.c1)
		got := math.Inf(1)
		if high != nil {
			got = *high
		}
		if math.Abs(low-c.low) > c.precision*c.low || !(got == c.high || math.Abs(got-c.high) < c.precision*c.high) {
			t.Errorf("%d, %d against %d, %d: [%v, %v], want [%v, %v]", c.a0, c.a1, c.c0, c.c1, low, got, c.low, c.high)
		}
	}
}

// incidentsAt spreads n incidents of a class over an interval.
func incidentsAt(class string, from time.Time, length time.Duration, n int) []Incident {
	var out []Incident
	for k := range n {
		start := from.Add(length * time.Duration(2*k+1) / time.Duration(2*n))
		out = append(out, Incident{ID: fmt.Sprintf("%s-%s-%d", class, from.Format("0102"), k), Class: class, From: start, To: start.Add(20 * time.Minute)})
	}
	return out
}

func TestFollowUpVerdicts(t *testing.T) {
	trigger, done, now := march, march.AddDate(0, 0, 10), march.AddDate(0, 0, 70)
	study := func(before, after, controlBefore, controlAfter int) FollowUpEffect {
		var all []Incident
		all = append(all, incidentsAt("etcd", trigger.Add(-60*day), 60*day, before)...)
		all = append(all, Incident{ID: "trigger", Class: "etcd", From: trigger, To: trigger.Add(5 * time.Hour)})
		all = append(all, Incident{ID: "repair", Class: "etcd", From: trigger.Add(5 * day), To: trigger.Add(5*day + time.Hour)})
		all = append(all, incidentsAt("etcd", done, 60*day, after)...)
		all = append(all, incidentsAt("dns", trigger.Add(-60*day), 60*day, controlBefore)...)
		all = append(all, incidentsAt("dns", done, 60*day, controlAfter)...)
		effects, err := FollowUpStudy{Incidents: all, FollowUps: []FollowUp{{"trigger", done}, {"trigger", done.Add(-day)}}, From: trigger.AddDate(0, 0, -80), Now: now, Seed: 1}.Evaluate()
		if err != nil || len(effects) != 1 {
			t.Fatal(effects, err)
		}
		return effects[0]
	}
	for name, c := range map[string]struct {
		before, after, controlBefore, controlAfter int
		want                                       Verdict
		reason                                     string
	}{
		"far fewer, the control unchanged": {12, 1, 10, 10, Improved, "12 incidents before, 1 after, in 60d each"},
		"far more, the control unchanged":  {1, 12, 10, 10, Worsened, ""},
		"fewer, but so did the control":    {12, 3, 12, 3, CannotTell, "compatible with no change"},
		"a few":                            {3, 1, 10, 10, CannotTell, "3 incidents before and 1 after"},
		"none at all":                      {0, 0, 5, 5, CannotTell, "no incident of the class"},
		"far fewer without control":        {12, 1, 0, 0, Improved, "other causes are not ruled out"},
		"the control had none after":       {4, 2, 3, 0, CannotTell, "other causes are not ruled out"},
	} {
		t.Run(name, func(t *testing.T) {
			e := study(c.before, c.after, c.controlBefore, c.controlAfter)
			if e.Verdict != c.want || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("%s (%s), want %s (%s)", e.Verdict, e.Reason, c.want, c.reason)
			}
			if e.IncidentsBefore != c.before || e.IncidentsAfter != c.after || e.ControlBefore != c.controlBefore || e.ControlAfter != c.controlAfter || e.Done != 2 {
				t.Errorf("counted %+v", e)
			}
			if e.Before.Length() != e.After.Length() || e.DowntimeBefore != 20*float64(c.before) || e.DowntimeAfter != 20*float64(c.after) {
				t.Errorf("periods %s and %s, downtime %v and %v", e.Before, e.After, e.DowntimeBefore, e.DowntimeAfter)
			}
			if again := study(c.before, c.after, c.controlBefore, c.controlAfter); cmp.Diff(e, again) != "" {
				t.Error("the same study has another answer")
			}
		})
	}
	if p := study(12, 1, 10, 10).PDowntime; p > 0.01 {
		t.Errorf("the downtime test has p = %v", p)
	}
	open, err := FollowUpStudy{Incidents: incidentsAt("x", march, day, 1), FollowUps: []FollowUp{{Incident: "x-0301-0"}}, From: march, Now: now}.Evaluate()
	if err != nil || open[0].Verdict != CannotTell || open[0].Open != 1 {
		t.Errorf("open follow-ups: %+v, %v", open, err)
	}
	if _, err := (FollowUpStudy{FollowUps: []FollowUp{{Incident: "nobody"}}, From: march, Now: now}).Evaluate(); err == nil {
		t.Error("a follow-up of nothing is accepted")
	}
}

func TestFollowUpsOfOtherClassesAreNoControl(t *testing.T) {
	// Two incidents of etcd led to work; so did one of net, which is therefore no control.
	first, second, done := march, march.Add(3*day), march.AddDate(0, 0, 10)
	all := []Incident{{ID: "second", Class: "etcd", From: second, To: second.Add(time.Hour)}, {ID: "first", Class: "etcd", From: first, To: first.Add(time.Hour)}}
	all = append(all, incidentsAt("net", march.Add(-60*day), 60*day, 4)...)
	all = append(all, incidentsAt("net", done, 60*day, 4)...)
	all = append(all, incidentsAt("dns", march.Add(-60*day), 60*day, 2)...)
	effects, err := FollowUpStudy{Incidents: all, FollowUps: []FollowUp{{"second", done}, {"first", done.Add(-day)}, {"net-0311-0", done.AddDate(0, 0, 20)}}, From: march.AddDate(0, 0, -80), Now: march.AddDate(0, 0, 70), Longest: 30 * day}.Evaluate()
	if err != nil || len(effects) != 2 {
		t.Fatal(effects, err)
	}
	e := effects[0]
	if e.Class != "etcd" || !e.Before.To.Equal(first) || !e.After.From.Equal(done) || e.Before.Length() != 30*day || e.ControlBefore != 1 || e.ControlAfter != 0 {
		t.Errorf("%+v", e)
	}
}

func TestTheLastSliceGivenCounts(t *testing.T) {
	s, err := NewSeries(EpochGrid(time.Minute), []Slice{{march, 1, 1, Measured}, {march.Add(time.Minute), 1, 1, Measured}, {march, 0, 1, Measured}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Sums(Interval{march, march.Add(time.Hour)}, 1); got.Good != 1 || got.Measured != 2 {
		t.Errorf("%+v", got)
	}
}

func TestFollowUpsRarelyImproveByChance(t *testing.T) {
	// Incidents that fall into either period at random are found improved or worsened in at most 5 % of the cases.
	found, n := 0, 0
	for seed := range uint64(120) {
		var all []Incident
		for k := range 20 {
			from := march.Add(-60 * day)
			if (seed*2654435761>>(k%30))&1 == 1 {
				from = march.AddDate(0, 0, 10)
			}
			all = append(all, Incident{ID: fmt.Sprint(k), Class: "c", From: from.Add(time.Duration(k+1) * day), To: from.Add(time.Duration(k+1)*day + time.Hour)})
		}
		all = append(all, Incident{ID: "trigger", Class: "c", From: march, To: march.Add(time.Hour)})
		e, err := FollowUpStudy{Incidents: all, FollowUps: []FollowUp{{"trigger", march.AddDate(0, 0, 10)}}, From: march.AddDate(0, 0, -60), Now: march.AddDate(0, 0, 70), Seed: seed}.Evaluate()
		if err != nil {
			t.Fatal(err)
		}
		n++
		if e[0].Verdict != CannotTell {
			found++
		}
	}
	if found*20 > n*2 {
		t.Errorf("%d of %d random histories have a verdict", found, n)
	}
}

func TestExplanationsCanBeRecomputed(t *testing.T) {
	values := append(repeat(9, 100, 100), [2]float64{90, 100}, [2]float64{-1, -1}, [2]float64{0, 100})
	x, err := Explain(Request{
		Objective: Objective{Name: "login", Target: 0.99, Window: RollingWindow(time.Hour), Method: Occurrences, MinCoverage: 0.9, Alerts: []AlertWindow{{Severity: "page", Long: 30 * time.Minute, Short: 5 * time.Minute, Factor: 2}}},
		Grid:      EpochGrid(5 * time.Minute), At: march.Add(time.Hour), Since: march,
		Exclusions: []Exclusion{{From: march.Add(55 * time.Minute), To: march.Add(time.Hour), Reason: "upgrade"}},
		Incidents:  []Incident{{ID: "INC-1", From: march.Add(45 * time.Minute), To: march.Add(50 * time.Minute)}},
	}, slicesOf(march, 5*time.Minute, values...))
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, r := range x.Runs {
		runs = append(runs, r.From.Format("15:04")+" "+r.String())
	}
	if diff := cmp.Diff([]string{"00:00 100/100*9", "00:45 90/100 INC-1", "00:50 _", "00:55 0/100 excluded: upgrade"}, runs); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"window [2026-03-01T00:00:00Z, 2026-03-01T01:00:00Z) up to the watermark: 12 slices of 5m, 1 excluded, 11 expected, 10 measured",
		"coverage = 10 measured / 11 expected = 0.9090909091",
		"error ratio = 10 bad / 1000 valid events = 0.01",
		"SLI = 1 - error ratio = 0.99",
		"budget consumed = 0.01 / 0.01 = 1",
		"budget remaining = 1 - consumed = 0",
		"allowed = 0.01 x 60 minutes = 0.6 minutes, remaining = 0 minutes",
		"burn rate over 5m = 0 bad / 0 valid / 0.01 = undefined",
		"burn rate over 30m = 10 bad / 400 valid / 0.01 = 2.5",
		"alert page 30m/5m above 2: long 2.5, short undefined: frozen, coverage 0.8 of the long window is below 0.9",
	}, x.Formulas); diff != "" {
		t.Errorf("formulas (-want +got):\n%s", diff)
	}
	if len(x.Definition) != 6 || x.Definition[1] != "target 0.99, error budget 0.01" {
		t.Errorf("definition %q", x.Definition)
	}
}

func TestAStatusSurvivesJSON(t *testing.T) {
	values := append(repeat(11, 99, 100), [2]float64{90, 100})
	want, err := Evaluate(Request{
		Objective: Objective{Name: "login", Target: 0.99, Window: RollingWindow(time.Hour), Method: Occurrences, Alerts: []AlertWindow{{Severity: "page", Long: 30 * time.Minute, Short: 5 * time.Minute, Factor: 2, For: 90 * time.Second}}},
		Grid:      EpochGrid(5 * time.Minute), At: march.Add(time.Hour), Since: march, Incidents: []Incident{{ID: "INC-1", From: march, To: march.Add(time.Hour)}},
	}, slicesOf(march, 5*time.Minute, values...))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"burn_rates":[{"window":"5m","rate":10,"coverage":1},{"window":"30m",`,
		`"alert_pairs":[{"severity":"page","long":"30m","short":"5m","factor":2,"for":"1m30s","state":"firing","long_burn_rate":2.5,`, `"forecast":{"window":"5m",`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %s in\n%s", part, text)
		}
	}
	var got Status
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestSumsOfPiecesAreTheSumsOfTheWhole(t *testing.T) {
	// What a database adds up by hours, days or groups is what one pass over the slices adds up.
	rapid.Check(t, func(t *rapid.T) {
		g := EpochGrid(time.Minute)
		var in []Slice
		for i := range rapid.IntRange(0, 200).Draw(t, "n") {
			total := rapid.IntRange(0, 5).Draw(t, "total")
			in = append(in, Slice{march.Add(time.Duration(i) * time.Minute), float64(rapid.IntRange(0, total).Draw(t, "good")), float64(total), Measured})
		}
		whole, err := NewSeries(g, in)
		if err != nil {
			t.Fatal(err)
		}
		// Order, duplicates and earlier values of the same slices do not matter.
		shuffled := append(rapid.Permutation(in).Draw(t, "order"), in...)
		again, err := NewSeries(g, shuffled)
		if err != nil {
			t.Fatal(err)
		}
		all := Interval{march, march.Add(4 * time.Hour)}
		want := whole.Sums(all, 0.7)
		cut := march.Add(time.Duration(rapid.IntRange(0, 240).Draw(t, "cut")) * time.Minute)
		parts := whole.Sums(Interval{all.From, cut}, 0.7).Add(whole.Sums(Interval{cut, all.To}, 0.7))
		for name, got := range map[string]Sums{"parts": parts, "shuffled": again.Sums(all, 0.7)} {
			if got.Measured != want.Measured || got.Valid != want.Valid || got.GoodSlices != want.GoodSlices || got.Good != want.Good || got.Total != want.Total || !close(got.BadFraction, want.BadFraction) {
				t.Fatalf("%s: %+v, want %+v", name, got, want)
			}
		}
	})
}
