package metrictest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// DefaultSource is the source of events that name none.
const DefaultSource = "metric-test"

func (r *reader) test(n *yamlfile.Node, fileSettings journey.Settings) Case {
	r.keys(n, "name", "now", "settings", "roster", "capabilities", "feedback", "consumption", "prices", "shared", "events", "resources", "slices", "aliases", "incidents", "objectives", "expect")
	c := Case{File: n.File, Line: n.Line, Column: n.Column, Name: r.required(n, "name")}
	c.Settings = r.settings(get(n, "settings"), fileSettings)
	r.required(n, "now")
	c.Now = r.time(n, "now")
	c.Input.Roster = r.roster(get(n, "roster"))
	c.Input.Capabilities = r.capabilities(get(n, "capabilities"))
	c.Input.Feedback = r.feedback(get(n, "feedback"), c.Now)
	c.Input.Consumption, c.Input.Prices = r.consumption(get(n, "consumption"), c.Now), r.prices(get(n, "prices"))
	if n.Kind == yamlfile.Map {
		c.Input.Shared = r.texts(n, "shared")
	}
	c.Input.Events = r.events(get(n, "events"), c.Now)
	c.Input.Resources = r.resources(get(n, "resources"), c.Now)
	c.Input.Slices = r.slices(get(n, "slices"), c.Now)
	for _, a := range r.list(get(n, "aliases"), "aliases") {
		r.keys(a, "from", "to", "at", "source")
		alias := schema.Alias{Source: r.text(a, "source"), From: r.required(a, "from"), To: r.required(a, "to"), At: r.time(a, "at")}
		if alias.Source == "" {
			alias.Source = DefaultSource
		}
		if alias.At.IsZero() {
			alias.At = time.Unix(0, 0).UTC()
		}
		if !alias.At.After(c.Now) {
			c.Input.Aliases = append(c.Input.Aliases, alias)
		}
	}
	slices.SortStableFunc(c.Input.Aliases, func(a, b schema.Alias) int { return a.At.Compare(b.At) })
	for _, in := range r.list(get(n, "incidents"), "incidents") {
		if found := r.incident(in); !found.Start.After(c.Now) {
			c.Input.Incidents = append(c.Input.Incidents, found)
		}
	}
	for _, o := range r.list(get(n, "objectives"), "objectives") {
		c.Input.Objectives = append(c.Input.Objectives, r.objective(o))
	}
	if n.Kind == yamlfile.Map && len(r.list(get(n, "expect"), "expect")) == 0 {
		r.fail(n, "expect is missing or empty: a test without expectations tests nothing")
	}
	for _, e := range r.list(get(n, "expect"), "expect") {
		c.Expect = append(c.Expect, r.expectation(e))
	}
	return c
}

func (r *reader) roster(list *yamlfile.Node) []Team {
	var out []Team
	for _, n := range r.list(list, "roster") {
		r.keys(n, "team", "members", "from", "to", "voluntary", "persona")
		t := Team{Name: r.required(n, "team"), Members: r.texts(n, "members"), From: r.time(n, "from"), To: r.time(n, "to"),
			Voluntary: r.bool(n, "voluntary", true), Persona: r.text(n, "persona")}
		if !t.From.IsZero() && !t.To.IsZero() && !t.From.Before(t.To) {
			r.fail(n, "from %s is not before to %s", r.text(n, "from"), r.text(n, "to"))
		}
		out = append(out, t)
	}
	return out
}

// capabilities are the registry of what the platform offers.
func (r *reader) capabilities(list *yamlfile.Node) []schema.Capability {
	var out []schema.Capability
	for _, n := range r.list(list, "capabilities") {
		r.keys(n, "name", "owner", "events", "from", "to")
		out = append(out, schema.Capability{
			Name: r.required(n, "name"), Owner: r.text(n, "owner"), Events: r.texts(n, "events"), From: r.time(n, "from"), To: r.time(n, "to"),
		})
	}
	return out
}

// feedback is what people said and asked, in the keys of schema.Feedback; id is made up where it is left out. What is later than now is not delivered.
func (r *reader) feedback(list *yamlfile.Node, now time.Time) []schema.Feedback {
	var out []schema.Feedback
	for i, n := range r.list(list, "feedback") {
		r.keys(n, "kind", "id", "time", "until", "team", "persona", "survey", "question", "asked", "topic", "object", "state", "value", "text", "version")
		f := schema.Feedback{
			Kind: schema.FeedbackKind(r.required(n, "kind")), ID: cmp.Or(r.text(n, "id"), fmt.Sprintf("unnamed/%d", i)), Time: r.time(n, "time"), Until: r.time(n, "until"),
			Team: r.text(n, "team"), Persona: r.text(n, "persona"), Survey: r.text(n, "survey"), Question: r.text(n, "question"), Asked: r.text(n, "asked"),
			Topic: r.text(n, "topic"), Object: r.text(n, "object"), State: r.text(n, "state"), Value: r.number(n, "value"), Text: r.text(n, "text"), Version: 1,
		}
		if v := r.whole(n, "version"); v != nil {
			f.Version = uint64(*v)
		}
		if err := f.Validate(); err != nil && n.Kind == yamlfile.Map {
			r.fail(n, "%v", err)
		}
		if !f.Time.After(now) {
			out = append(out, f)
		}
	}
	return out
}

// events sorts by delivery and leaves out what is delivered after now.
func (r *reader) events(list *yamlfile.Node, now time.Time) []schema.Event {
	var out []schema.Event
	for i, n := range r.list(list, "events") {
		r.keys(n, "time", "actor", "name", "id", "source", "team", "owner_team", "cluster", "namespace", "resource", "object",
			"persona", "actor_kind", "outcome", "reason", "duration_ms", "value", "received", "groups", "attributes")
		r.required(n, "time")
		e := schema.Event{
			ID: r.text(n, "id"), Source: cmp.Or(r.text(n, "source"), DefaultSource), Time: r.time(n, "time"), Received: r.time(n, "received"),
			Name: r.required(n, "name"), Actor: r.text(n, "actor"), ActorKind: schema.ActorKind(r.text(n, "actor_kind")),
			Groups: r.texts(n, "groups"), Team: r.text(n, "team"), OwnerTeam: r.text(n, "owner_team"), Persona: r.text(n, "persona"),
			Cluster: r.text(n, "cluster"), Namespace: r.text(n, "namespace"), Resource: r.text(n, "resource"), Object: r.text(n, "object"),
			Outcome: r.outcome(n), Reason: r.text(n, "reason"),
			DurationMS: r.number(n, "duration_ms"), Value: r.number(n, "value"), Attributes: r.texted(n, "attributes"),
		}
		if d := e.DurationMS; d != nil && *d < 0 {
			r.fail(get(n, "duration_ms"), "duration_ms %v: want 0 or more", *d)
		}
		r.oneOf(n, "actor_kind", schema.ActorHuman, schema.ActorMachine, schema.ActorUnknown)
		if e.ID == "" {
			e.ID = fmt.Sprintf("unnamed/%d", i)
		}
		if e.Received.IsZero() {
			e.Received = e.Time
		}
		if !e.Received.After(now) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b schema.Event) int { return a.Received.Compare(b.Received) })
	return out
}

// outcome is success unless given; it is read as people write it.
func (r *reader) outcome(n *yamlfile.Node) schema.Outcome {
	switch text := r.text(n, "outcome"); text {
	case "":
		return schema.OutcomeSuccess
	case "failed", "error":
		return schema.OutcomeFailure
	default:
		r.oneOf(n, "outcome", schema.OutcomeSuccess, schema.OutcomeFailure, schema.OutcomeDenied)
		return schema.Outcome(text)
	}
}

// oneOf refuses a text that is none of a closed set.
func (r *reader) oneOf(n *yamlfile.Node, key string, known ...any) {
	v := get(n, key)
	if v != nil && !slices.ContainsFunc(known, func(k any) bool { return fmt.Sprint(k) == v.Text }) {
		r.fail(v, "%s %q: want one of %v", key, v.Text, known)
	}
}

// incident reads one incident; a test's are all of version 1.
func (r *reader) incident(n *yamlfile.Node) schema.Incident {
	r.keys(n, "id", "service", "objectives", "start", "resolved", "class")
	r.required(n, "start")
	in := schema.Incident{
		ID: r.required(n, "id"), Service: r.required(n, "service"), Objectives: r.texts(n, "objectives"), Class: r.text(n, "class"),
		Start: r.time(n, "start"), Resolved: r.time(n, "resolved"), Version: 1,
	}
	if !in.Resolved.IsZero() && !in.Start.Before(in.Resolved) {
		r.fail(n, "start %s is not before resolved %s", r.text(n, "start"), r.text(n, "resolved"))
	}
	return in
}

func (r *reader) objective(n *yamlfile.Node) Objective {
	r.keys(n, "objective", "period", "service", "labels", "target", "sli", "good", "total", "budget_consumed", "budget_remaining", "burn_rate",
		"gained", "currency", "coverage", "measured")
	o := Objective{Period: r.text(n, "period"), ObjectiveFigure: journey.ObjectiveFigure{
		Objective: r.required(n, "objective"), Service: r.text(n, "service"), Labels: r.texted(n, "labels"),
		SLI: r.number(n, "sli"), Good: r.number(n, "good"), Total: r.number(n, "total"),
		BudgetConsumed: r.number(n, "budget_consumed"), BudgetRemaining: r.number(n, "budget_remaining"),
		BurnRate: r.number(n, "burn_rate"), Coverage: r.number(n, "coverage"), Gained: r.number(n, "gained"), Currency: r.text(n, "currency"),
	}}
	if v := r.number(n, "target"); v != nil {
		o.Target = *v
	}
	if v := r.number(n, "measured"); v != nil {
		o.Measured = int(*v)
	}
	return o
}

func (r *reader) expectation(n *yamlfile.Node) Expectation {
	r.keys(n, "analysis", "metric", "args", "rows", "value", "error", "tolerance")
	e := Expectation{Line: n.Line, Column: n.Column, Analysis: r.text(n, "analysis"), Metric: r.text(n, "metric"),
		Error: r.text(n, "error"), Tolerance: r.number(n, "tolerance"), Args: map[string]any{}}
	if n.Kind != yamlfile.Map {
		return e
	}
	if (e.Analysis == "") == (e.Metric == "") {
		r.fail(n, "want either analysis or metric")
	}
	if args := get(n, "args"); args != nil {
		if v, ok := r.plain(args).(map[string]any); ok {
			e.Args = v
		} else {
			r.fail(args, "args: want a mapping, got a %s", args.Kind)
		}
	}
	given := 0
	for _, key := range []string{"rows", "value", "error"} {
		if get(n, key) != nil {
			given++
		}
	}
	if given != 1 {
		r.fail(n, "want exactly one of rows, value and error")
	}
	if refusal := get(n, "error"); refusal != nil && e.Error == "" {
		r.fail(refusal, "error is empty: want a text that the refusal contains")
	}
	if t := e.Tolerance; t != nil && *t < 0 {
		r.fail(get(n, "tolerance"), "tolerance %v: want 0 or more", *t)
	}
	r.answer(n, &e)
	return e
}

func (r *reader) answer(n *yamlfile.Node, e *Expectation) {
	if rows := get(n, "rows"); rows != nil {
		if e.Metric != "" {
			r.fail(rows, "rows: a metric has a value, such as value: {value: 0.5, n: 4}")
		}
		e.Rows = [][]any{}
		for _, row := range r.list(rows, "rows") {
			cells, ok := r.plain(row).([]any)
			if !ok {
				r.fail(row, "rows: want a list of lists, got a %s in it", row.Kind)
			}
			e.Rows = append(e.Rows, cells)
		}
	}
	value := get(n, "value")
	if value == nil {
		return
	}
	if e.Metric != "" {
		r.keys(value, figureKeys...)
	}
	v, ok := r.plain(value).(map[string]any)
	if !ok || len(v) == 0 {
		r.fail(value, "value: want a mapping with some keys, such as {value: 0.5, n: 4}")
	}
	e.Value = v
}
