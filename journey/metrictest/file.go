package metrictest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// Case is one test of a file.
type Case struct {
	File         string
	Line, Column int
	Name         string
	Now          time.Time
	Settings     journey.Settings
	Input        Input
	Expect       []Expectation
}

// Input is what an environment ingests before the questions are asked.
type Input struct {
	// Events are those delivered by now, in the order of their delivery.
	Events []schema.Event
	// Aliases are those delivered by now.
	Aliases []schema.Alias
	Roster  []Team
	// Resources are what happened in clusters, and Slices what indicators measured, as far as it was delivered by now.
	Resources []schema.ResourceChange
	Slices    []schema.Slice
	// Capabilities are what the platform offers.
	Capabilities []schema.Capability
	// Feedback is what people had said and asked by now.
	Feedback []schema.Feedback
	// Consumption is what teams had of clusters, Prices what it costs; all teams share the cost of Shared namespaces.
	Consumption []schema.Consumption
	Prices      []schema.ResourcePrice
	Shared      []string
	// Incidents are those that started by now.
	Incidents []schema.Incident
	// Objectives are what the SLO engine is to say; they take no part in ingestion.
	Objectives []Objective
}

// Batch is all that a collector would have sent, in the order of delivery.
func (in Input) Batch() schema.Batch {
	return schema.Batch{
		Events: in.Events, Aliases: in.Aliases, Changes: in.Resources, Slices: in.Slices, Incidents: in.Incidents, Feedback: in.Feedback,
		Consumption: in.Consumption,
	}
}

// Objective is what the SLO engine is to say of an objective in one period, or, without a Period (its label), in each.
type Objective struct {
	Period string
	journey.ObjectiveFigure
}

// Figures are those of the objectives in a period: journey.ObjectivesFunc.
func (in Input) Figures(_ context.Context, p journey.Period, _ time.Time) ([]journey.ObjectiveFigure, error) {
	var out []journey.ObjectiveFigure
	for _, o := range in.Objectives {
		if o.Period == "" || o.Period == p.Label {
			out = append(out, o.ObjectiveFigure)
		}
	}
	return out, nil
}

// Team is an entry of the roster in the sender's words.
type Team struct {
	Name    string
	Members []string
	// From and To bound the validity, half-open; the zero time means open.
	From, To  time.Time
	Voluntary bool
	Persona   string
}

// Expectation is one question with the expected answer.
type Expectation struct {
	Line, Column int
	// Analysis or Metric is asked, with Args.
	Analysis, Metric string
	Args             map[string]any
	// One of them is expected: Rows of cells (string, float64, nil), some keys of a Value, or an Error that contains a text.
	Rows  [][]any
	Value map[string]any
	Error string
	// Tolerance is the absolute difference that is allowed; nil: max(1e-6 |want|, 1e-6).
	Tolerance *float64
}

// Parse reads the cases of a file. All faults are returned at once, joined; each is a *yamlfile.Fault.
func Parse(file string, data []byte) ([]Case, error) {
	docs, err := yamlfile.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, &yamlfile.Fault{File: file, Line: 1, Column: 1, Message: "the file is empty: want a mapping with the key tests"}
	}
	r := &reader{}
	var cases []Case
	for _, doc := range docs {
		r.keys(doc, "settings", "tests")
		settings := r.settings(get(doc, "settings"), journey.Settings{Calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}})
		tests := get(doc, "tests")
		if tests == nil || tests.Kind == yamlfile.List && len(tests.Items) == 0 {
			r.fail(doc, "tests is missing or empty: want a list of tests")
		}
		for _, n := range r.list(tests, "tests") {
			cases = append(cases, r.test(n, settings))
		}
	}
	return cases, errors.Join(r.faults...)
}

// reader takes values out of nodes and collects what is wrong with them.
type reader struct {
	faults   []error
	calendar journey.Calendar
}

func (r *reader) fail(n *yamlfile.Node, format string, args ...any) {
	r.faults = append(r.faults, n.Fault(format, args...))
}

// get finds a mapping's value; nil: there is none, or it is null.
func get(n *yamlfile.Node, key string) *yamlfile.Node {
	if v := n.Get(key); !v.IsNull() {
		return v
	}
	return nil
}

// keys refuses what is no mapping, and keys that are not known.
func (r *reader) keys(n *yamlfile.Node, known ...string) {
	if n.Kind != yamlfile.Map {
		r.fail(n, "want a mapping with the keys %s, got a %s", strings.Join(known, ", "), n.Kind)
	}
	for _, f := range n.Fields {
		if !slices.Contains(known, f.Key) {
			r.fail(&yamlfile.Node{File: n.File, Line: f.Line, Column: f.Column}, "unknown key %q: known are %s", f.Key, strings.Join(known, ", "))
		}
	}
}

func (r *reader) list(n *yamlfile.Node, name string) []*yamlfile.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yamlfile.List {
		r.fail(n, "%s: want a list, got a %s", name, n.Kind)
	}
	return n.Items
}

// text is a scalar as written, "" when absent.
func (r *reader) text(n *yamlfile.Node, key string) string {
	v := get(n, key)
	if v == nil {
		return ""
	}
	if v.Kind == yamlfile.List || v.Kind == yamlfile.Map {
		r.fail(v, "%s: want a text, got a %s", key, v.Kind)
	}
	return v.Text
}

func (r *reader) required(n *yamlfile.Node, key string) string {
	if n.Kind == yamlfile.Map && get(n, key) == nil {
		r.fail(n, "%s is missing", key)
	}
	return r.text(n, key)
}

func (r *reader) texts(n *yamlfile.Node, key string) []string {
	var out []string
	for _, item := range r.list(get(n, key), key) {
		if item.Kind == yamlfile.List || item.Kind == yamlfile.Map || item.Kind == yamlfile.Null {
			r.fail(item, "%s: want a list of texts, got a %s in it", key, item.Kind)
		}
		out = append(out, item.Text)
	}
	return out
}

func (r *reader) texted(n *yamlfile.Node, key string) map[string]string {
	v := get(n, key)
	if v == nil {
		return nil
	}
	if v.Kind != yamlfile.Map {
		r.fail(v, "%s: want a mapping, got a %s", key, v.Kind)
	}
	out := map[string]string{}
	for _, f := range v.Fields {
		out[f.Key] = f.Value.Text
	}
	return out
}

func (r *reader) number(n *yamlfile.Node, key string) *float64 {
	v := get(n, key)
	if v == nil {
		return nil
	}
	if v.Kind != yamlfile.Number {
		r.fail(v, "%s: want a number, got %s %q", key, v.Kind, v.Text)
	}
	r.finite(v)
	return &v.Number
}

func (r *reader) finite(v *yamlfile.Node) {
	if math.IsInf(v.Number, 0) || math.IsNaN(v.Number) {
		r.fail(v, "%s is no finite number", v.Text)
	}
}

// plain is a node as plain data: nil, string, float64, bool, []any, map[string]any.
func (r *reader) plain(n *yamlfile.Node) any {
	switch n.Kind {
	case yamlfile.Null:
		return nil
	case yamlfile.Number:
		r.finite(n)
		return n.Number
	case yamlfile.Bool:
		return strings.EqualFold(n.Text, "true")
	case yamlfile.List:
		items := make([]any, len(n.Items))
		for i, item := range n.Items {
			items[i] = r.plain(item)
		}
		return items
	case yamlfile.Map:
		fields := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			fields[f.Key] = r.plain(f.Value)
		}
		return fields
	}
	return n.Text
}

func (r *reader) bool(n *yamlfile.Node, key string, otherwise bool) bool {
	v := get(n, key)
	if v == nil {
		return otherwise
	}
	if v.Kind != yamlfile.Bool {
		r.fail(v, "%s: want true or false, got %s %q", key, v.Kind, v.Text)
	}
	return strings.EqualFold(v.Text, "true")
}

// time reads a date or a time; the zero time when absent.
func (r *reader) time(n *yamlfile.Node, key string) time.Time {
	v := get(n, key)
	if v == nil {
		return time.Time{}
	}
	t, err := analysis.ParseTime(r.calendar, v.Text)
	if err != nil {
		r.fail(v, "%s: %v", key, err)
	}
	return t
}

func (r *reader) settings(n *yamlfile.Node, s journey.Settings) journey.Settings {
	if n != nil {
		r.keys(n, "timezone", "week_start", "small_group", "min_sample", "not_value")
		if name := r.text(n, "timezone"); name != "" {
			zone, err := time.LoadLocation(name)
			if err != nil || name == "Local" {
				r.fail(get(n, "timezone"), "timezone %q is not known: want an IANA name such as Europe/Berlin", name)
			} else {
				s.Calendar.Zone = zone
			}
		}
		if name := r.text(n, "week_start"); name != "" {
			day, err := ParseWeekday(name)
			if err != nil {
				r.fail(get(n, "week_start"), "%v", err)
			}
			s.Calendar.WeekStart = day
		}
		if v := r.number(n, "small_group"); v != nil {
			s.SmallGroup = int(*v)
		}
		s.MinSample = r.bool(n, "min_sample", s.MinSample)
		if get(n, "not_value") != nil {
			s.NotValue = r.texts(n, "not_value")
		}
	}
	r.calendar = s.Calendar
	return s
}

// ParseWeekday reads monday … sunday.
func ParseWeekday(s string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(d.String(), s) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("week_start %q: want monday, tuesday, … or sunday", s)
}
