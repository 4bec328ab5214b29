package slotest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/openslo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// Case is what a test gives to an evaluator: the request without its At and BurnWindows, and the slices of each
// indicator. An objective has one, under its own name; a composite has its children's.
type Case struct {
	// ID is unique in a run, such as login.yaml#3.
	ID      string
	Request slo.Request
	Series  map[string][]slo.Slice
}

// test is one entry of a file.
type test struct {
	name      string
	line      int
	tolerance *float64
	kase      Case
	end       time.Time // of the slices that are listed
	// faults make the file malformed, unless an expected error is about them; refusals are wrong values in a right form.
	faults   []error
	refusals []error
	warnings []error
	expect   []expectation
}

// parseFile reads a file of tests. The errors are faults that make it malformed whatever its tests expect.
func parseFile(src Source) (tests []test, faults []error) {
	docs, err := yamlfile.Parse(src.Name, src.Text)
	if err != nil {
		return nil, []error{err}
	}
	r := &reader{}
	for _, doc := range docs {
		r.keys(doc, "tests")
		for _, n := range r.list(doc.Get("tests"), "tests") {
			t := parseTest(r, n)
			t.kase.ID = fmt.Sprintf("%s#%d", src.Name, len(tests)+1)
			tests = append(tests, t)
		}
	}
	if len(tests) == 0 && len(r.faults) == 0 {
		r.faults = append(r.faults, &yamlfile.Fault{File: src.Name, Line: 1, Column: 1, Message: "no tests: list them under tests"})
	}
	return tests, r.faults
}

// parseTest reads one test. Faults of its frame go to the file's reader, those of its values to the test.
func parseTest(file *reader, n *yamlfile.Node) test {
	t := test{line: n.Line}
	if n.Kind != yamlfile.Map {
		file.add(n.Fault("a test must be a mapping, this is a %s", n.Kind))
		return t
	}
	t.name = file.text(n, "name", true)
	r := &reader{}
	r.keys(n, "name", "objective", "openslo", "composite", "start", "slice", "slices", "series", "exclusions", "incidents", "tolerance", "expect")
	t.tolerance = r.number(n, "tolerance")
	if t.tolerance != nil && (!(*t.tolerance >= 0) || math.IsInf(*t.tolerance, 0)) {
		r.add(n.Get("tolerance").Fault("tolerance must be a finite number, 0 or more"))
	}
	start := r.time(n, "start")
	step := r.step(n, start)
	t.kase.Request = slo.Request{Grid: slo.Grid{Origin: start, Step: step}, Since: start}
	t.end = start
	t.kase.Request.Objective = r.definition(n, t.name)
	t.kase.Series, t.end = r.series(n, t.kase.Request)
	if !t.end.Before(afterTables) {
		r.refuse(n.Fault("the slices end at %s: tables hold them until 2099", t.end.Format(time.RFC3339)))
	}
	t.kase.Request.Exclusions = r.exclusions(n, start)
	t.kase.Request.Incidents = r.incidents(n, start)
	t.faults, t.refusals, t.warnings = r.faults, r.refusals, r.warnings

	expect := n.Get("expect")
	list := file.list(expect, "expect")
	switch {
	case expect == nil:
		file.add(n.Fault("test %q has no expect", t.name))
	case len(list) == 0 && (expect.IsNull() || expect.Kind == yamlfile.List):
		file.add(expect.Fault("expect is empty: the test expects nothing"))
	}
	for _, e := range list {
		t.expect = append(t.expect, parseExpectation(file, e, start, t.end))
	}
	return t
}

// afterTables is the first moment that tables of slices do not hold.
var afterTables = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// step reads the length of a slice. Tables hold whole seconds.
func (r *reader) step(n *yamlfile.Node, start time.Time) time.Duration {
	step := r.duration(n, "slice")
	switch {
	case step%time.Second != 0:
		r.refuse(n.Get("slice").Fault("slice length %s must be whole seconds", slo.FormatDuration(step)))
	case start.Nanosecond() != 0:
		r.refuse(n.Get("start").Fault("start %s must be a whole second", start.Format(time.RFC3339Nano)))
	}
	return step
}

// definition reads the objective from whichever of its three forms is there.
func (r *reader) definition(n *yamlfile.Node, fallback string) slo.Objective {
	forms := slices.DeleteFunc([]string{"objective", "openslo", "composite"}, func(k string) bool { return n.Get(k) == nil })
	if len(forms) != 1 {
		r.add(n.Fault("a test needs exactly one of objective, openslo and composite, this one has %d", len(forms)))
		return slo.Objective{}
	}
	var o slo.Objective
	d := n.Get(forms[0])
	switch forms[0] {
	case "composite":
		o = r.composite(d)
	case "openslo":
		o = r.openslo(n)
	default:
		o = r.objective(d)
	}
	if o.Name == "" {
		o.Name = fallback
	}
	return o
}

func (r *reader) objective(d *yamlfile.Node) slo.Objective {
	r.keys(d, "name", "target", "window", "method", "time_slice_target", "missing", "min_coverage", "min_events", "alerts")
	o := r.common(d)
	o.Method = slo.BudgetingMethod(r.text(d, "method", true))
	o.TimeSliceTarget = r.numberOr(d, "time_slice_target", slo.DefaultTimeSliceTarget)
	o.MinEvents = r.numberOr(d, "min_events", 0)
	return o
}

// openslo reads a document that defines one objective. What is wrong in it is a refusal.
func (r *reader) openslo(n *yamlfile.Node) slo.Objective {
	d := n.Get("openslo")
	if d.Kind != yamlfile.String {
		r.add(d.Fault("openslo must be a text block with a document, this is a %s", d.Kind))
		return slo.Objective{}
	}
	result, err := openslo.ImportMeasured(openslo.Source{Name: d.File, Text: []byte(d.Text), FirstLine: d.TextLine})
	for _, w := range result.Warnings {
		r.warnings = append(r.warnings, w)
	}
	var findings openslo.Findings
	switch {
	case errors.As(err, &findings):
		for _, f := range findings {
			r.refuse(f)
		}
		return slo.Objective{}
	case len(result.Objectives) != 1:
		r.add(d.Fault("the document must define exactly one objective, it defines %d", len(result.Objectives)))
		return slo.Objective{}
	}
	o := result.Objectives[0]
	if step, err := slo.ParseDuration(r.text(n, "slice", false)); err == nil && o.SliceWindow != 0 && step != o.SliceWindow {
		r.warnings = append(r.warnings, d.Fault("timeSliceWindow %s is not the test's slice of %s, which is used",
			slo.FormatDuration(o.SliceWindow), slo.FormatDuration(step)))
	}
	return o.Definition
}

// common reads what objectives and composites share.
func (r *reader) common(d *yamlfile.Node) slo.Objective {
	o := slo.Objective{
		Name: r.text(d, "name", false), Window: r.window(d), Missing: slo.MissingPolicy(r.text(d, "missing", false)),
		MinCoverage: r.numberOr(d, "min_coverage", slo.DefaultMinCoverage), Alerts: r.alerts(d),
	}
	switch target := d.Get("target"); {
	case target.IsNull():
		r.add(d.Fault("target is missing"))
	case target.Kind != yamlfile.Number:
		r.refuse(target.Fault("target %s must be a number, a ratio between 0 and 1 such as 0.999", target.Text))
	default:
		o.Target = target.Number
	}
	return o
}

func (r *reader) window(d *yamlfile.Node) slo.Window {
	w := d.Get("window")
	if w == nil || w.Kind != yamlfile.Map {
		return slo.RollingWindow(r.duration(d, "window"))
	}
	r.keys(w, "calendar", "timezone")
	name := "UTC"
	if w.Get("timezone") != nil {
		name = r.text(w, "timezone", true)
	}
	zone, err := slo.LoadZone(name)
	if err != nil {
		r.refuse(fmt.Errorf("%s:%d:%d: %w", w.File, w.Line, w.Column, err))
		zone = time.UTC
	}
	return slo.CalendarWindow(slo.Unit(r.text(w, "calendar", true)), zone)
}

func (r *reader) alerts(d *yamlfile.Node) []slo.AlertWindow {
	list := d.Get("alerts")
	if list.IsNull() {
		return nil
	}
	out := []slo.AlertWindow{}
	for _, n := range r.list(list, "alerts") {
		r.keys(n, "severity", "long", "short", "factor")
		a := slo.AlertWindow{Severity: r.text(n, "severity", true), Long: r.duration(n, "long"), Short: r.duration(n, "short")}
		if factor := r.number(n, "factor"); factor != nil {
			a.Factor = *factor
		} else {
			r.add(n.Fault("factor is missing"))
		}
		out = append(out, a)
	}
	return out
}

func (r *reader) composite(d *yamlfile.Node) slo.Objective {
	r.keys(d, "name", "target", "window", "kind", "of", "missing", "min_coverage", "alerts")
	o := r.common(d)
	c := &slo.Composite{Kind: slo.Weighted}
	if kind := r.text(d, "kind", false); kind != "" {
		c.Kind = slo.CompositeKind(kind)
	}
	for _, n := range r.list(d.Get("of"), "of") {
		r.keys(n, "name", "weight", "time_slice_target")
		c.Of = append(c.Of, slo.Child{
			Name: r.text(n, "name", true), Weight: r.numberOr(n, "weight", 1),
			TimeSliceTarget: r.numberOr(n, "time_slice_target", slo.DefaultTimeSliceTarget),
		})
	}
	o.Composite = c
	return o
}

// series reads the slices of each indicator and where the longest list of them ends.
func (r *reader) series(n *yamlfile.Node, req slo.Request) (map[string][]slo.Slice, time.Time) {
	lists := map[string]*yamlfile.Node{}
	composite := req.Objective.Composite
	switch {
	case n.Get("openslo") != nil && len(r.refusals) > 0:
		return nil, req.Grid.Origin // nobody knows what the slices are for
	case composite == nil && n.Get("slices") != nil && n.Get("series") == nil:
		lists[req.Objective.Name] = n.Get("slices")
	case composite != nil && n.Get("series") != nil && n.Get("slices") == nil:
		if n.Get("series").Kind != yamlfile.Map {
			r.add(n.Get("series").Fault("series must be a mapping of names to slices"))
		}
		for _, f := range n.Get("series").Fields {
			lists[f.Key] = f.Value
		}
		for _, c := range composite.Of {
			if lists[c.Name] == nil {
				r.add(n.Get("series").Fault("series has no slices of %q", c.Name))
			}
		}
	case composite != nil:
		r.add(n.Fault("a composite needs series, one list of slices per child, and no slices"))
	default:
		r.add(n.Fault("an objective needs slices and no series"))
	}
	out, end := map[string][]slo.Slice{}, req.Grid.Origin
	if req.Grid.Step <= 0 {
		return out, end // the engine refuses it
	}
	for name, list := range lists {
		if list.Kind == yamlfile.List || list.Kind == yamlfile.Map {
			r.add(list.Fault("slices must be one text such as \"100/100*10 90/100 _\", this is a %s", list.Kind))
			continue
		}
		parsed, until, err := parseSlices(list.Text, req.Grid.Origin, req.Grid.Step)
		if err != nil {
			r.add(list.Fault("%s", err))
		}
		out[name] = parsed
		if until.After(end) {
			end = until
		}
	}
	return out, end
}

func (r *reader) exclusions(n *yamlfile.Node, start time.Time) []slo.Exclusion {
	var out []slo.Exclusion
	for _, e := range r.list(n.Get("exclusions"), "exclusions") {
		r.keys(e, "from", "to", "reason", "author", "weekly")
		x := slo.Exclusion{Reason: r.text(e, "reason", false), Author: r.text(e, "author", false)}
		weekly := e.Get("weekly")
		x.From, x.To = r.moment(e, "from", start, weekly == nil), r.moment(e, "to", start, weekly == nil)
		if weekly != nil {
			x.Weekly = r.weekly(weekly)
		}
		out = append(out, x)
	}
	return out
}

func (r *reader) weekly(n *yamlfile.Node) *slo.Weekly {
	r.keys(n, "day", "from", "to", "timezone")
	w := &slo.Weekly{Day: -1, From: r.clock(n, "from"), To: r.clock(n, "to")}
	name := r.text(n, "day", true)
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(d.String(), name) {
			w.Day = d
		}
	}
	var err error
	if w.Zone, err = slo.LoadZone(r.text(n, "timezone", true)); err != nil {
		r.refuse(err)
		w.Zone = time.UTC
	}
	return w
}

func (r *reader) incidents(n *yamlfile.Node, start time.Time) []slo.Incident {
	var out []slo.Incident
	for _, i := range r.list(n.Get("incidents"), "incidents") {
		r.keys(i, "id", "from", "to", "class", "cause", "title")
		out = append(out, slo.Incident{
			ID: r.text(i, "id", true), From: r.moment(i, "from", start, true), To: r.moment(i, "to", start, false),
			Class: r.text(i, "class", false), Cause: slo.Cause(r.text(i, "cause", false)), Title: r.text(i, "title", false),
		})
	}
	return out
}
