package metrictest_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/journey/metrictest"
)

// history is a random case in the form of the file, so that reading, sorting, deduplication and clamping are tested too.
type history struct {
	zone, weekStart string
	now             time.Time
	roster          []entry
	events          []raw
	aliases         []link
}

type raw struct {
	at, received                     time.Time
	actor, name, id, team, end, kind string
}

type link struct {
	from, to string
	at       time.Time
}

var (
	people = []string{"ann", "bob", "cy", "dee", "eli", "system:serviceaccount:ci:bot"}
	names  = []string{"deploy", "login", "scale"}
	zones  = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"}
)

func location(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

// instant draws times around the change of the clocks in 2026, often on or just before midnight of the zone, and often the same.
func instant(rt *rapid.T, zone *time.Location, label string) time.Time {
	d := rapid.IntRange(0, 30).Draw(rt, label+" day")
	midnight := time.Date(2026, 3, 10+d, 0, 0, 0, 0, zone)
	if rapid.Bool().Draw(rt, label+" on the quarter") {
		return midnight.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 9, 40, 95}).Draw(rt, label+" quarter")) * 15 * time.Minute).UTC()
	}
	offsets := []time.Duration{0, -time.Millisecond, 90 * time.Minute, 150 * time.Minute, 10 * time.Hour, 23*time.Hour + 30*time.Minute}
	return midnight.Add(rapid.SampledFrom(offsets).Draw(rt, label+" clock")).UTC()
}

func drawHistory(rt *rapid.T) history {
	h := history{
		zone:      rapid.SampledFrom(zones).Draw(rt, "zone"),
		weekStart: rapid.SampledFrom([]string{"monday", "sunday", "saturday"}).Draw(rt, "week start"),
	}
	zone := location(h.zone)
	h.now = instant(rt, zone, "now").AddDate(0, 0, 5)
	for i := range rapid.IntRange(0, 5).Draw(rt, "roster") {
		e := entry{team: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "team"), voluntary: rapid.Bool().Draw(rt, "voluntary")}
		e.members = rapid.SliceOfDistinct(rapid.SampledFrom(people), rapid.ID[string]).Draw(rt, fmt.Sprint("members", i))
		if rapid.Bool().Draw(rt, "from") {
			e.from = instant(rt, zone, "from")
		}
		if rapid.Bool().Draw(rt, "to") {
			e.to = instant(rt, zone, "to")
		}
		if !e.from.IsZero() && !e.to.IsZero() && !e.from.Before(e.to) {
			e.to = time.Time{}
		}
		h.roster = append(h.roster, e)
	}
	for range rapid.IntRange(0, 60).Draw(rt, "events") {
		e := raw{at: instant(rt, zone, "at"), actor: rapid.SampledFrom(people).Draw(rt, "actor"), name: rapid.SampledFrom(names).Draw(rt, "name")}
		switch rapid.IntRange(0, 9).Draw(rt, "odd") {
		case 0:
			e.team = rapid.SampledFrom([]string{"a", "b", "z"}).Draw(rt, "own team")
		case 1:
			e.end = rapid.SampledFrom([]string{"failure", "denied"}).Draw(rt, "outcome")
		case 2:
			e.id = rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "id")
		case 3:
			e.received = e.at.Add(time.Duration(rapid.IntRange(-50, 200).Draw(rt, "delay")) * time.Hour)
		case 4:
			e.kind = rapid.SampledFrom([]string{"human", "machine"}).Draw(rt, "kind")
		case 5:
			e.actor = rapid.SampledFrom([]string{"", "ann@idp", "bob@idp"}).Draw(rt, "other actor")
		}
		h.events = append(h.events, e)
	}
	for range rapid.IntRange(0, 3).Draw(rt, "aliases") {
		l := link{from: rapid.SampledFrom([]string{"ann@idp", "bob@idp", "ann"}).Draw(rt, "alias"), to: rapid.SampledFrom(people[:3]).Draw(rt, "alias of")}
		if rapid.Bool().Draw(rt, "alias at") {
			l.at = instant(rt, zone, "alias at")
		}
		h.aliases = append(h.aliases, l)
	}
	return h
}

// delivered are the events in the order in which they count, each id once.
func (h history) delivered() []raw {
	var out []raw
	for _, e := range h.events {
		if e.received.IsZero() {
			e.received = e.at
		}
		if !e.received.After(h.now) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b raw) int { return a.received.Compare(b.received) })
	seen := map[string]bool{}
	return slices.DeleteFunc(out, func(e raw) bool {
		again := e.id != "" && seen[e.id]
		seen[e.id] = true
		return again
	})
}

// oracle applies the rules of delivery and of merged identities, by the simplest means.
func (h history) oracle() oracle {
	group := map[string]string{}
	one := func(name string) string {
		if g, ok := group[name]; ok {
			return g
		}
		return name
	}
	for _, l := range h.aliases {
		if l.at.After(h.now) {
			continue
		}
		from, to := one(l.from), one(l.to)
		for _, name := range append([]string{l.from, l.to, "ann@idp", "bob@idp"}, people...) {
			if one(name) == from {
				group[name] = to
			}
		}
	}
	weekStart, err := metrictest.ParseWeekday(h.weekStart)
	if err != nil {
		panic(err)
	}
	o := oracle{zone: location(h.zone), weekStart: weekStart, now: h.now}
	for _, e := range h.roster {
		members := []string{}
		for _, m := range e.members {
			members = append(members, one(m))
		}
		e.members = members
		o.roster = append(o.roster, e)
	}
	for _, e := range h.delivered() {
		f := fact{at: e.at, who: e.actor, name: e.name, team: e.team, kind: e.kind, end: e.end}
		if f.at.After(e.received) {
			f.at = e.received
		}
		if f.who != "" {
			f.who = one(f.who)
		}
		if f.kind == "" {
			f.kind = kindOf(e.actor)
		}
		if f.end == "" {
			f.end = "success"
		}
		o.events = append(o.events, f)
	}
	return o
}

const stamp = "2006-01-02T15:04:05.000Z"

// yaml writes the case without its expectations.
func (h history) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "settings: {timezone: %s, week_start: %s}\ntests:\n  - name: random history\n    now: %s\n", h.zone, h.weekStart, h.now.UTC().Format(stamp))
	b.WriteString("    roster:\n")
	for _, e := range h.roster {
		quoted := make([]string, len(e.members))
		for i, m := range e.members {
			quoted[i] = fmt.Sprintf("%q", m)
		}
		fmt.Fprintf(&b, "      - {team: %s, members: [%s], voluntary: %t%s%s}\n", e.team, strings.Join(quoted, ", "), e.voluntary,
			timed("from", e.from), timed("to", e.to))
	}
	b.WriteString("    aliases:\n")
	for _, l := range h.aliases {
		fmt.Fprintf(&b, "      - {from: %q, to: %q%s}\n", l.from, l.to, timed("at", l.at))
	}
	b.WriteString("    events:\n")
	for _, e := range h.events {
		fmt.Fprintf(&b, "      - {time: %s, actor: %q, name: %s%s", e.at.UTC().Format(stamp), e.actor, e.name, timed("received", e.received))
		for _, o := range [][2]string{{"id", e.id}, {"team", e.team}, {"outcome", e.end}, {"actor_kind", e.kind}} {
			if o[1] != "" {
				fmt.Fprintf(&b, ", %s: %s", o[0], o[1])
			}
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func timed(key string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf(", %s: %s", key, t.UTC().Format(stamp))
}

// figure draws a metric that is made of sets, and answers it by the oracle: the same sets, in SQL.
func (o oracle) figure(rt *rapid.T) metrictest.Expectation {
	grain := rapid.SampledFrom([]string{"day", "week", "month"}).Draw(rt, "grain")
	from := o.begin(grain, instant(rt, o.zone, "period"), 0)
	e := metrictest.Expectation{
		Metric: rapid.SampledFrom([]string{"A1", "A2", "C15", "C16", "D1"}).Draw(rt, "metric"),
		Args:   map[string]any{"period": day(from, o.zone), "grain": grain},
	}
	if from.After(o.now) {
		e.Value = map[string]any{"value": nil, "numerator": nil, "denominator": nil, "n": 0.0, "low": nil, "high": nil, "coverage": nil, "partial": true}
		return e
	}
	people, teams := ask{entity: "actor", grain: grain, kind: "human"}, ask{entity: "team", grain: grain, kind: "human"}
	active := o.active(teams, from)
	end := o.begin(grain, from, 1)
	eligible := func(voluntary bool) set {
		out := set{}
		for _, m := range o.roster {
			if (m.voluntary || !voluntary) && (m.from.IsZero() || m.from.Before(end)) && (m.to.IsZero() || m.to.After(from)) {
				out[m.team] = true
			}
		}
		return out
	}
	both := func(a, b set) float64 {
		n := 0.0
		for x := range a {
			if b[x] {
				n++
			}
		}
		return n
	}
	switch e.Metric {
	case "A1":
		e.Value = map[string]any{"value": float64(len(o.active(people, from)))}
	case "A2":
		e.Value = map[string]any{"value": float64(len(active))}
	case "C15":
		e.Value = map[string]any{"numerator": both(active, eligible(false)), "denominator": float64(len(eligible(false)))}
	case "C16":
		e.Value = map[string]any{"numerator": both(active, eligible(true)), "denominator": both(active, eligible(false))}
	case "D1":
		homeless := set{}
		for _, f := range o.events {
			if o.selected(people, f) && !f.at.Before(from) && f.at.Before(end) && len(o.acted(teams, f)) == 0 {
				homeless[f.who] = true
			}
		}
		e.Value = map[string]any{"numerator": float64(len(homeless)), "denominator": float64(len(o.active(people, from)))}
	}
	return e
}

// question draws a question and answers it by the oracle.
func (o oracle) question(rt *rapid.T) metrictest.Expectation {
	if rapid.IntRange(0, 4).Draw(rt, "ask a metric") == 0 {
		return o.figure(rt)
	}
	a := ask{
		entity: rapid.SampledFrom([]string{"actor", "team"}).Draw(rt, "entity"),
		grain:  rapid.SampledFrom([]string{"day", "day", "week", "month", "quarter"}).Draw(rt, "grain"),
		kind:   rapid.SampledFrom([]string{"human", "human", "machine"}).Draw(rt, "kind"),
	}
	a.names = rapid.SampledFrom([][]string{nil, {"deploy"}, {"deploy", "scale"}}).Draw(rt, "event")
	length := map[string]int{"day": 12, "week": 4, "month": 2, "quarter": 1}[a.grain]
	a.from = o.begin(a.grain, instant(rt, o.zone, "from"), 0)
	a.to = o.begin(a.grain, a.from, rapid.IntRange(1, length).Draw(rt, "periods"))
	args := map[string]any{"entity": a.entity, "grain": a.grain, "from": a.from.UTC().Format(stamp), "to": a.to.UTC().Format(stamp), "actor_kind": a.kind}
	if a.names != nil {
		args["event"] = anys(a.names)
	} else {
		args["event"] = "any"
	}
	e := metrictest.Expectation{Args: args}
	e.Analysis = rapid.SampledFrom([]string{"active", "adoption", "lifecycle", "retention", "funnel", "stickiness", "time_to_value"}).Draw(rt, "analysis")
	if a.minMembers = 1; e.Analysis != "funnel" && e.Analysis != "time_to_value" {
		a.minMembers = rapid.IntRange(1, 2).Draw(rt, "min members")
		args["min_members"] = float64(a.minMembers)
	}
	o.answer(rt, a, &e)
	return e
}

func anys(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

func (o oracle) answer(rt *rapid.T, a ask, e *metrictest.Expectation) {
	switch e.Analysis {
	case "active":
		e.Rows = o.activeRows(a)
	case "adoption":
		voluntary := rapid.SampledFrom([]*bool{nil, new(true), new(false)}).Draw(rt, "voluntary")
		if voluntary != nil {
			e.Args["voluntary"] = *voluntary
		}
		e.Rows = o.adoptionRows(a, voluntary)
	case "lifecycle":
		e.Rows = o.lifecycleRows(a)
	case "retention":
		mode := rapid.SampledFrom([]string{"exact", "on_or_after", "bracket"}).Draw(rt, "mode")
		recurring := rapid.Bool().Draw(rt, "recurring")
		bracket := [2]int{rapid.IntRange(0, 2).Draw(rt, "i"), 0}
		bracket[1] = bracket[0] + rapid.IntRange(0, 3).Draw(rt, "j")
		e.Args["mode"] = mode
		if recurring {
			e.Args["cohorts"] = "recurring"
		}
		if mode == "bracket" {
			e.Args["bracket"] = []any{float64(bracket[0]), float64(bracket[1])}
		}
		e.Rows = o.retentionRows(a, mode, bracket, recurring)
	case "funnel":
		delete(e.Args, "event")
		steps := rapid.SliceOfN(rapid.SampledFrom(names), 1, 4).Draw(rt, "steps")
		window := time.Duration(rapid.SampledFrom([]int{0, 10, 24, 72, 240}).Draw(rt, "window")) * time.Hour
		strict := rapid.Bool().Draw(rt, "strict")
		e.Args["steps"], e.Args["window"] = anys(steps), fmt.Sprintf("%dh", int(window.Hours()))
		if strict {
			e.Args["order"] = "strict"
		}
		e.Rows = o.funnelRows(a, steps, window, strict)
	case "stickiness":
		days := rapid.IntRange(1, 14).Draw(rt, "days")
		delete(e.Args, "from")
		delete(e.Args, "grain")
		e.Args["window"] = float64(days)
		e.Rows = o.stickinessRows(a, days)
	case "time_to_value":
		delete(e.Args, "event")
		start := rapid.SampledFrom([][]string{{"login"}, {"login", "scale"}}).Draw(rt, "start")
		reach := rapid.SampledFrom([][]string{{"deploy"}, {"deploy", "login"}}).Draw(rt, "reach")
		horizon := time.Duration(rapid.SampledFrom([]int{1, 24, 72, 400}).Draw(rt, "horizon")) * time.Hour
		e.Args["start"], e.Args["reach"], e.Args["horizon"] = anys(start), anys(reach), fmt.Sprintf("%dh", int(horizon.Hours()))
		e.Value = o.timeToValue(a, start, reach, horizon)
	}
}

var givenRounds = sync.OnceValue(func() bool {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	return given
})

// rounds limits the number of random histories unless the flag was given: each goes through the real engine.
func rounds(n int) {
	if givenRounds() {
		return
	}
	if err := errors.Join(flag.Set("rapid.checks", fmt.Sprint(n)), flag.Set("rapid.shrinktime", "10s")); err != nil {
		panic(err)
	}
}

func TestAnalysesAgreeWithTheOracle(t *testing.T) {
	rounds(5)
	runner, environment := newRunner(t), newEnvironment(t)
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHistory(rt)
		text := h.yaml()
		cases, err := metrictest.Parse("random.yaml", []byte(text+"    expect: [{analysis: active, rows: []}]\n"))
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		o := h.oracle()
		cases[0].Expect = nil
		for range 25 {
			cases[0].Expect = append(cases[0].Expect, o.question(rt))
		}
		failures, err := runner.Case(t.Context(), environment, cases[0])
		if err != nil {
			rt.Fatal(err)
		}
		if len(failures) > 0 {
			rt.Fatalf("%s\n%s", text, failures[0])
		}
	})
}
