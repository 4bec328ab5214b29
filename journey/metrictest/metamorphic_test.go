package metrictest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/schema"
)

// questions that any change of form must leave alone. Those that count in periods follow the calendar; the other two follow
// the clock.
func questions(from, to time.Time) []metrictest.Expectation {
	bounds := func(args map[string]any) map[string]any {
		args["from"], args["to"] = from.UTC().Format(stamp), to.UTC().Format(stamp)
		return args
	}
	var out []metrictest.Expectation
	for _, entity := range []string{"actor", "team"} {
		for _, grain := range []string{"day", "week"} {
			for _, name := range []string{"active", "adoption", "lifecycle", "retention"} {
				out = append(out, metrictest.Expectation{Analysis: name, Args: bounds(map[string]any{"entity": entity, "grain": grain})})
			}
		}
		out = append(out,
			metrictest.Expectation{Analysis: "lifecycle", Args: bounds(map[string]any{"entity": entity, "grain": "day", "min_members": 2.0})},
			metrictest.Expectation{Analysis: "stickiness", Args: map[string]any{"entity": entity, "to": to.UTC().Format(stamp), "window": 14.0}},
			metrictest.Expectation{Analysis: "funnel", Args: bounds(map[string]any{"entity": entity, "steps": []any{"login", "deploy"}, "window": "48h"})},
			metrictest.Expectation{Analysis: "time_to_value", Args: bounds(map[string]any{"entity": entity, "start": "login", "reach": "deploy", "horizon": "72h"})})
	}
	return out
}

// answers ingests a case in the batches given and asks all questions.
func answers(rt *rapid.T, e environment, text string, asked []metrictest.Expectation, split func(metrictest.Input) []schema.Batch) []analysis.Result {
	cases, err := metrictest.Parse("random.yaml", []byte(text+"    expect: [{analysis: active, rows: []}]\n"))
	if err != nil {
		rt.Fatalf("%v\n%s", err, text)
	}
	c := cases[0]
	if err := e.Reset(rt.Context()); err != nil {
		rt.Fatal(err)
	}
	if err := e.ingest(rt.Context(), c, split(c.Input)); err != nil {
		rt.Fatal(err)
	}
	source := analysis.Source{Query: e.Query, Calendar: c.Settings.Calendar, Now: c.Now}
	var out []analysis.Result
	for _, q := range asked {
		r, err := analysis.Run(rt.Context(), source, q.Analysis, q.Args)
		if err != nil {
			rt.Fatalf("%s %v: %v", q.Analysis, q.Args, err)
		}
		out = append(out, r)
	}
	return out
}

// plainHistory is a history in one zone, four weeks around the change of the clocks, with times at which every zone has a clock.
func plainHistory(rt *rapid.T, zone string) history {
	h := history{zone: zone, weekStart: "monday"}
	loc := location(zone)
	h.now = time.Date(2026, 4, 20, 0, 0, 0, 0, loc)
	h.roster = []entry{
		{team: "a", members: []string{"ann", "bob"}, voluntary: true},
		{team: "b", members: []string{"cy", "dee"}, from: time.Date(2026, 3, 25, 0, 0, 0, 0, loc)},
		{team: "c", members: []string{"dee"}, to: time.Date(2026, 3, 30, 12, 0, 0, 0, loc)},
	}
	for i := range rapid.IntRange(1, 40).Draw(rt, "events") {
		at := time.Date(2026, 3, 16+rapid.IntRange(0, 27).Draw(rt, "day"), rapid.SampledFrom([]int{0, 5, 10, 23}).Draw(rt, "hour"), 30, 0, 0, loc)
		h.events = append(h.events, raw{at: at, id: fmt.Sprint("e", i), actor: rapid.SampledFrom(people).Draw(rt, "actor"),
			name: rapid.SampledFrom(names).Draw(rt, "name")})
	}
	return h
}

func oneBatch(in metrictest.Input) []schema.Batch {
	return []schema.Batch{{Events: in.Events, Aliases: in.Aliases}}
}

// oneByOne delivers each event in a batch of its own, and the aliases last.
func oneByOne(in metrictest.Input) []schema.Batch {
	var out []schema.Batch
	for _, e := range in.Events {
		out = append(out, schema.Batch{Events: []schema.Event{e}})
	}
	return append(out, schema.Batch{Aliases: in.Aliases})
}

// reform is a change of form that must not change answers.
type reform struct {
	zone  string
	apply func(rt *rapid.T, h *history)
	split func(metrictest.Input) []schema.Batch
	// days are how much later the changed history lies.
	days int
}

func TestChangesOfFormChangeNoAnswer(t *testing.T) {
	e := newEnvironment(t)
	keep := func(*rapid.T, *history) {}
	for name, r := range map[string]reform{
		"duplicates that come later": {apply: func(rt *rapid.T, h *history) {
			for _, e := range slices.Clone(h.events) {
				if rapid.Bool().Draw(rt, "again") {
					e.received = e.at.Add(time.Duration(1+rapid.IntRange(0, 100).Draw(rt, "later")) * time.Hour)
					e.at, e.name = e.at.Add(-25*time.Hour), "scale"
					h.events = append(h.events, e)
				}
			}
		}},
		"another order":  {apply: func(rt *rapid.T, h *history) { h.events = rapid.Permutation(h.events).Draw(rt, "order") }},
		"event by event": {apply: func(rt *rapid.T, h *history) { h.events = append(h.events, h.events[0]) }, split: oneByOne},
		"other names for the same people": {apply: func(rt *rapid.T, h *history) {
			for i := range h.events {
				if h.events[i].actor == "ann" && rapid.Bool().Draw(rt, "renamed") {
					h.events[i].actor = "ann@idp"
				}
			}
			h.roster[0].members[0] = "Ann, the original"
			h.aliases = []link{{from: "ann@idp", to: "annabel"}, {from: "ann", to: "annabel"}, {from: "annabel", to: "Ann, the original", at: h.now}}
		}, split: oneByOne},
		"clocks that change": {zone: "Europe/Berlin", apply: keep},
		"a day later, and so the week": {days: 1, apply: func(_ *rapid.T, h *history) {
			h.weekStart, h.now = "tuesday", h.now.AddDate(0, 0, 1)
			for i := range h.events {
				h.events[i].at = h.events[i].at.AddDate(0, 0, 1)
			}
			for i := range h.roster {
				h.roster[i].from, h.roster[i].to = later(h.roster[i].from), later(h.roster[i].to)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { checkReform(t, e, r) })
	}
}

func some(all []metrictest.Expectation, picked []int) []metrictest.Expectation {
	out := make([]metrictest.Expectation, len(picked))
	for i, n := range picked {
		out[i] = all[n]
	}
	return out
}

func later(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.AddDate(0, 0, 1)
}

func checkReform(t *testing.T, e environment, r reform) {
	rounds(2)
	rapid.Check(t, func(rt *rapid.T) {
		h := plainHistory(rt, "UTC")
		start := time.Date(2026, 3, 16, 0, 0, 0, 0, time.UTC)
		picked := rapid.SliceOfNDistinct(rapid.IntRange(0, len(questions(start, start))-1), 6, 6, rapid.ID[int]).Draw(rt, "questions")
		asked := some(questions(start, start.AddDate(0, 0, 28)), picked)
		want := answers(rt, e, h.yaml(), asked, oneBatch)
		changed := h
		changed.events = slices.Clone(h.events)
		changed.roster = nil
		for _, entry := range h.roster {
			entry.members = slices.Clone(entry.members)
			changed.roster = append(changed.roster, entry)
		}
		if r.zone != "" {
			inZone(&changed, location(r.zone))
			start = time.Date(2026, 3, 16, 0, 0, 0, 0, location(r.zone))
		}
		r.apply(rt, &changed)
		start = start.AddDate(0, 0, r.days)
		split := r.split
		if split == nil {
			split = oneBatch
		}
		got := answers(rt, e, changed.yaml(), some(questions(start, start.AddDate(0, 0, 28)), picked), split)
		for i, q := range asked {
			if r.zone != "" && (q.Analysis == "funnel" || q.Analysis == "time_to_value") {
				continue // they follow the clock: an hour more or less between two events is right
			}
			moved(want[i].Rows, r.days)
			if diff := cmp.Diff(want[i], got[i]); diff != "" {
				rt.Fatalf("%s %v\n%s\n%s\n%s", q.Analysis, q.Args, diff, h.yaml(), strings.TrimPrefix(changed.yaml(), "settings"))
			}
		}
	})
}

// moved moves the labels of periods.
func moved(rows [][]any, days int) {
	for _, row := range rows {
		if label, ok := row[0].(string); ok {
			d, err := time.Parse(time.DateOnly, label)
			if err != nil {
				panic(err)
			}
			row[0] = d.AddDate(0, 0, days).Format(time.DateOnly)
		}
	}
}

// inZone moves a history to another zone: the same dates and clocks there.
func inZone(h *history, zone *time.Location) {
	there := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		y, m, d := t.UTC().Date()
		return time.Date(y, m, d, t.UTC().Hour(), t.UTC().Minute(), 0, 0, zone)
	}
	h.zone, h.now = zone.String(), there(h.now)
	for i := range h.events {
		h.events[i].at = there(h.events[i].at)
	}
	for i := range h.roster {
		h.roster[i].from, h.roster[i].to = there(h.roster[i].from), there(h.roster[i].to)
	}
}
