package slotest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// reader takes values out of nodes and collects what is wrong with them.
type reader struct {
	faults   []error // wrong form
	refusals []error // right form, a value that the engine refuses
	warnings []error
}

func (r *reader) add(f error)    { r.faults = append(r.faults, f) }
func (r *reader) refuse(f error) { r.refusals = append(r.refusals, f) }

// keys refuses unknown keys, and whatever is no mapping.
func (r *reader) keys(n *yamlfile.Node, known ...string) {
	if n.Kind != yamlfile.Map {
		r.add(n.Fault("must be a mapping with the keys %s, this is a %s", strings.Join(known, ", "), n.Kind))
		return
	}
	for _, f := range n.Fields {
		if !slices.Contains(known, f.Key) {
			r.add(&yamlfile.Fault{File: n.File, Line: f.Line, Column: f.Column, Message: "unknown key \"" + f.Key + "\": known are " + strings.Join(known, ", ")})
		}
	}
}

// list is the items of the list under key; none when it is absent or null.
func (r *reader) list(n *yamlfile.Node, key string) []*yamlfile.Node {
	if n.IsNull() {
		return nil
	}
	if n.Kind != yamlfile.List {
		r.add(n.Fault("%s must be a list, this is a %s", key, n.Kind))
		return nil
	}
	return n.Items
}

// scalar is a key's value that is neither list nor mapping; nil when it is absent or null.
func (r *reader) scalar(n *yamlfile.Node, key string, required bool) *yamlfile.Node {
	v := n.Get(key)
	switch {
	case v.IsNull():
		if required && n.Kind == yamlfile.Map {
			r.add(n.Fault("%s is missing", key))
		}
		return nil
	case v.Kind == yamlfile.List || v.Kind == yamlfile.Map:
		r.add(v.Fault("%s must be a single value, this is a %s", key, v.Kind))
		return nil
	}
	return v
}

func (r *reader) text(n *yamlfile.Node, key string, required bool) string {
	if v := r.scalar(n, key, required); v != nil {
		return v.Text
	}
	return ""
}

func (r *reader) number(n *yamlfile.Node, key string) *float64 {
	v := r.scalar(n, key, false)
	if v == nil {
		return nil
	}
	if v.Kind != yamlfile.Number {
		why := ""
		if _, err := strconv.ParseFloat(v.Text, 64); err == nil {
			why = " but a text: write it without quotes"
		}
		r.add(v.Fault("%s %q is not a number%s", key, v.Text, why))
		return nil
	}
	return &v.Number
}

func (r *reader) numberOr(n *yamlfile.Node, key string, fallback float64) float64 {
	if v := r.number(n, key); v != nil {
		return *v
	}
	return fallback
}

func (r *reader) duration(n *yamlfile.Node, key string) time.Duration {
	v := r.scalar(n, key, true)
	if v == nil {
		return 0
	}
	d, err := slo.ParseDuration(v.Text)
	if err != nil {
		r.add(v.Fault("%s %s", key, err))
	}
	return d
}

func (r *reader) time(n *yamlfile.Node, key string) time.Time {
	v := r.scalar(n, key, true)
	if v == nil {
		return time.Unix(0, 0).UTC()
	}
	t, err := parseTime(v.Text)
	if err != nil {
		r.add(v.Fault("%s %s", key, err))
		return time.Unix(0, 0).UTC()
	}
	return t
}

// moment is zero when it is absent.
func (r *reader) moment(n *yamlfile.Node, key string, start time.Time, required bool) time.Time {
	v := r.scalar(n, key, required)
	if v == nil {
		return time.Time{}
	}
	t, err := parseMoment(v.Text, start)
	if err != nil {
		r.add(v.Fault("%s %s", key, err))
	}
	return t
}

// clock reads a time of day, 00:00 to 24:00, as the time since midnight.
func (r *reader) clock(n *yamlfile.Node, key string) time.Duration {
	v := r.scalar(n, key, true)
	if v == nil {
		return 0
	}
	if v.Text == "24:00" {
		return 24 * time.Hour
	}
	t, err := time.Parse("15:04", v.Text)
	if err != nil {
		r.add(v.Fault("%s %q is not a time of day: write it as \"02:30\", in quotes", key, v.Text))
		return 0
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}
