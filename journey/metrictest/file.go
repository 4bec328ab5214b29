package metrictest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/schema"
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

// Parse reads the cases of a file. All faults are returned at once, joined; each is a *Fault.
func Parse(file string, data []byte) ([]Case, error) {
	docs, err := parse(file, data)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, &Fault{file, 1, 1, "the file is empty: want a mapping with the key tests"}
	}
	r := &reader{}
	var cases []Case
	for _, doc := range docs {
		r.keys(doc, "settings", "tests")
		settings := r.settings(doc.get("settings"), journey.Settings{Calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}})
		tests := doc.get("tests")
		if tests == nil {
			r.fail(doc, "tests is missing: want a list of tests")
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

func (r *reader) fail(n *node, format string, args ...any) {
	r.faults = append(r.faults, n.fault(format, args...))
}

// keys refuses what is no mapping, and keys that are not known.
func (r *reader) keys(n *node, known ...string) {
	if n.kind != isMapping {
		r.fail(n, "want a mapping with the keys %s, got a %s", strings.Join(known, ", "), n.kind)
	}
	for _, f := range n.fields {
		if !slices.Contains(known, f.key) {
			r.fail(f.at, "unknown key %q: known are %s", f.key, strings.Join(known, ", "))
		}
	}
}

func (r *reader) list(n *node, name string) []*node {
	if n == nil {
		return nil
	}
	if n.kind != isList {
		r.fail(n, "%s: want a list, got a %s", name, n.kind)
	}
	return n.items
}

// text is a scalar as written, "" when absent.
func (r *reader) text(n *node, key string) string {
	v := n.get(key)
	if v == nil {
		return ""
	}
	if v.kind == isList || v.kind == isMapping {
		r.fail(v, "%s: want a text, got a %s", key, v.kind)
	}
	return v.text
}

func (r *reader) required(n *node, key string) string {
	if n.kind == isMapping && n.get(key) == nil {
		r.fail(n, "%s is missing", key)
	}
	return r.text(n, key)
}

func (r *reader) texts(n *node, key string) []string {
	var out []string
	for _, item := range r.list(n.get(key), key) {
		if item.kind == isList || item.kind == isMapping || item.kind == isNull {
			r.fail(item, "%s: want a list of texts, got a %s in it", key, item.kind)
		}
		out = append(out, item.text)
	}
	return out
}

func (r *reader) texted(n *node, key string) map[string]string {
	v := n.get(key)
	if v == nil {
		return nil
	}
	if v.kind != isMapping {
		r.fail(v, "%s: want a mapping, got a %s", key, v.kind)
	}
	out := map[string]string{}
	for _, f := range v.fields {
		out[f.key] = f.node.text
	}
	return out
}

func (r *reader) number(n *node, key string) *float64 {
	v := n.get(key)
	if v == nil {
		return nil
	}
	if v.kind != isNumber {
		r.fail(v, "%s: want a number, got %s %q", key, v.kind, v.text)
	}
	return &v.number
}

func (r *reader) bool(n *node, key string, otherwise bool) bool {
	v := n.get(key)
	if v == nil {
		return otherwise
	}
	if v.kind != isBool {
		r.fail(v, "%s: want true or false, got %s %q", key, v.kind, v.text)
	}
	return strings.EqualFold(v.text, "true")
}

// time reads a date or a time; the zero time when absent.
func (r *reader) time(n *node, key string) time.Time {
	v := n.get(key)
	if v == nil {
		return time.Time{}
	}
	t, err := analysis.ParseTime(r.calendar, v.text)
	if err != nil {
		r.fail(v, "%s: %v", key, err)
	}
	return t
}

func (r *reader) settings(n *node, s journey.Settings) journey.Settings {
	if n != nil {
		r.keys(n, "timezone", "week_start", "small_group", "min_sample", "not_value")
		if name := r.text(n, "timezone"); name != "" {
			zone, err := time.LoadLocation(name)
			if err != nil || name == "Local" {
				r.fail(n.get("timezone"), "timezone %q is not known: want an IANA name such as Europe/Berlin", name)
			} else {
				s.Calendar.Zone = zone
			}
		}
		if name := r.text(n, "week_start"); name != "" {
			day, err := ParseWeekday(name)
			if err != nil {
				r.fail(n.get("week_start"), "%v", err)
			}
			s.Calendar.WeekStart = day
		}
		if v := r.number(n, "small_group"); v != nil {
			s.SmallGroup = int(*v)
		}
		s.MinSample = r.bool(n, "min_sample", s.MinSample)
		if n.get("not_value") != nil {
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
