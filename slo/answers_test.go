package slo

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
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
	end, err := g.ContiguousEnd(march, []time.Time{march, march.Add(time.Minute), march.Add(3 * time.Minute)})
	if want := march.Add(2 * time.Minute); err != nil || !end.Equal(want) {
		t.Fatalf("contiguous up to %s, want %s; %v", end, want, err)
	}
	if end, err := g.ContiguousEnd(march, []time.Time{march.Add(time.Minute)}); err != nil || !end.Equal(march) {
		t.Errorf("without the first slice: contiguous up to %s, %v", end, err)
	}
	if _, err := g.ContiguousEnd(march, []time.Time{march, march.Add(90 * time.Second)}); err == nil || !strings.Contains(err.Error(), "00:01:30Z is not on the grid") {
		t.Errorf("a slice off the grid: %v", err)
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
	was := 0.0
	sum = 0
	for _, p := range c.Parts {
		sum += p.Change
		was += p.Before
		if p.ID == DefinitionChange && !close(p.Change, 5/1.68) {
			t.Errorf("the definition changed the budget by %v", p.Change)
		}
	}
	if !close(was, 5/1.68) || c.Parts[0].ID != DefinitionChange || c.Parts[len(c.Parts)-1].ID != Unattributed {
		t.Errorf("the parts sum to %v before: %v", was, c.Parts)
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
	want := Value{Service: "shop", Amounts: []Amount{{Currency: "EUR", Loss: 90, Gained: 270, AgainstObjective: 30, GainedMinutes: 27 - 30, AgainstObjectiveMinutes: 18 - 39, MeasuredMinutes: 180, BadMinutes: 39}}, UncomparedMinutes: 60}
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

func TestTheLastSliceGivenCounts(t *testing.T) {
	s, err := NewSeries(EpochGrid(time.Minute), []Slice{{march, 1, 1, Measured}, {march.Add(time.Minute), 1, 1, Measured}, {march, 0, 1, Measured}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Sums(Interval{march, march.Add(time.Hour)}, 1); got.Good != 1 || got.Measured != 2 {
		t.Errorf("%+v", got)
	}
}

func TestExplanationsCanBeRecomputed(t *testing.T) {
	values := append(repeat(9, 100, 100), [2]float64{90, 100}, [2]float64{-1, -1}, [2]float64{0, 100})
	x, err := Explain(Request{
		Objective: Objective{Name: "login", Target: 0.99, Window: RollingWindow(time.Hour), Method: Occurrences, MinCoverage: 0.9, Alerts: []AlertWindow{{Severity: "page", Long: 30 * time.Minute, Short: 5 * time.Minute, Factor: 2}}},
		Grid:      EpochGrid(5 * time.Minute), At: march.Add(time.Hour), Since: march,
		Exclusions: []Exclusion{{From: march.Add(55 * time.Minute), To: march.Add(time.Hour), Reason: "upgrade"}},
		Incidents:  []Incident{{ID: "INC-1", From: march.Add(45 * time.Minute), To: march.Add(50 * time.Minute)}},
	}, map[string][]Slice{"login": slicesOf(march, 5*time.Minute, values...)})
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
		"share of INC-1 = 10 of 10 bad events = 1, of the budget 1",
		"share of unattributed = 0 of 10 bad events = 0, of the budget 0",
	}, x.Formulas); diff != "" {
		t.Errorf("formulas (-want +got):\n%s", diff)
	}
	if len(x.Definition) != 6 || x.Definition[1] != "target 0.99, error budget 0.01" {
		t.Errorf("definition %q", x.Definition)
	}
}

func TestExplanationsOfCompositesHaveTheirChildren(t *testing.T) {
	one := slicesOf(march, 5*time.Minute, [2]float64{10, 10}, [2]float64{10, 10}, [2]float64{10, 10}, [2]float64{5, 10})
	other := slicesOf(march, 5*time.Minute, [2]float64{4, 4}, [2]float64{-1, -1}, [2]float64{0, 0}, [2]float64{4, 4})
	x, err := Explain(Request{
		Objective: Objective{Name: "shop", Target: 0.5, Window: RollingWindow(20 * time.Minute), MinCoverage: 0.7, Alerts: []AlertWindow{}, Composite: &Composite{Kind: Weighted, Of: []Child{{"web", 3, 1}, {"db", 1, 1}}}},
		Grid:      EpochGrid(5 * time.Minute), At: march.Add(20 * time.Minute), Since: march,
	}, map[string][]Slice{"web": one, "db": other})
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, r := range x.Runs {
		runs = append(runs, r.String())
	}
	if diff := cmp.Diff([]string{"1/1 of web 10/10, db 4/4", "_ of web 10/10, db _", "1/1 of web 10/10, db 0/0", "0.625/1 of web 5/10, db 4/4"}, runs); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"a slice is the sum of weight x good/total / the sum of weights, over the children with events; any child's gap makes a gap",
		"weighted of web, weight 3", "weighted of db, weight 1",
	}, x.Definition[4:7]); diff != "" {
		t.Errorf("definition (-want +got):\n%s", diff)
	}
	const forecast = "used up in remaining x window / burn rate over 5m = 0.75 x 20 minutes / 0.75 = 20 minutes"
	if !slices.Contains(x.Formulas, forecast) {
		t.Errorf("no formula %q in %q", forecast, x.Formulas)
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
