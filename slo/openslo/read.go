package openslo

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// fields warns of fields that OpenSLO does not have; it refuses what is no mapping.
func (r *recorder) fields(n *yamlfile.Node, what string, known ...string) bool {
	if n.Kind != yamlfile.Map {
		r.refuse(n, "type", "%s must be a mapping, this is a %s", what, n.Kind)
		return false
	}
	for _, f := range n.Fields {
		if !slices.Contains(known, f.Key) {
			at := *f.Value
			at.Line, at.Column = f.Line, f.Column
			r.warn(&at, "unknown-field", "%s has no field %q: known are %s", what, f.Key, strings.Join(known, ", "))
		}
	}
	return true
}

// scalar is a field's value that is neither list nor mapping; nil when it is absent or null.
func (r *recorder) scalar(n *yamlfile.Node, key string) *yamlfile.Node {
	v := n.Get(key)
	if v.IsNull() {
		return nil
	}
	if v.Kind == yamlfile.List || v.Kind == yamlfile.Map {
		r.refuse(v, "type", "%s must be a single value, this is a %s", key, v.Kind)
		return nil
	}
	return v
}

func (r *recorder) text(n *yamlfile.Node, key string) string {
	if v := r.scalar(n, key); v != nil {
		return v.Text
	}
	return ""
}

func (r *recorder) number(n *yamlfile.Node, key string) *float64 {
	v := r.scalar(n, key)
	if v == nil {
		return nil
	}
	if v.Kind != yamlfile.Number {
		r.refuse(v, "type", "%s %q must be a number", key, v.Text)
		return nil
	}
	return &v.Number
}

func (r *recorder) boolean(n *yamlfile.Node, key string) bool {
	v := r.scalar(n, key)
	if v == nil {
		return false
	}
	switch text := strings.ToLower(v.Text); {
	case v.Kind == yamlfile.Bool:
		return text == "true"
	case v.Kind == yamlfile.String && slices.Contains([]string{"yes", "no", "on", "off"}, text):
		r.warn(v, "type", "%s %q should be true or false", key, v.Text)
		return text == "yes" || text == "on"
	}
	r.refuse(v, "type", "%s %q must be true or false", key, v.Text)
	return false
}

// list is a list's items; a single mapping in its place is taken with a warning.
func (r *recorder) list(n *yamlfile.Node, key string) []*yamlfile.Node {
	v := n.Get(key)
	switch {
	case v.IsNull():
		return nil
	case v.Kind == yamlfile.List:
		return v.Items
	case v.Kind == yamlfile.Map:
		r.warn(v, "type", "%s must be a list; taken as a list of one", key)
		return []*yamlfile.Node{v}
	}
	r.refuse(v, "type", "%s must be a list, this is a %s", key, v.Kind)
	return nil
}

func (r *recorder) description(n *yamlfile.Node) string {
	text := r.text(n, "description")
	if len([]rune(text)) > 1050 {
		r.warn(n.Get("description"), "description-length", "description has %d characters, at most 1050 are allowed", len([]rune(text)))
	}
	return text
}

// anything converts a free-form value for export.
func anything(n *yamlfile.Node) any {
	switch n.Kind {
	case yamlfile.Null:
		return nil
	case yamlfile.Bool:
		return strings.EqualFold(n.Text, "true")
	case yamlfile.Number:
		if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil {
			return i
		}
		return n.Number
	case yamlfile.List:
		out := []any{}
		for _, item := range n.Items {
			out = append(out, anything(item))
		}
		return out
	case yamlfile.Map:
		return freeMap(n)
	}
	return n.Text
}

func freeMap(n *yamlfile.Node) map[string]any {
	out := map[string]any{}
	for _, f := range n.Fields {
		out[f.Key] = anything(f.Value)
	}
	return out
}

func (r *recorder) free(n *yamlfile.Node, key string) map[string]any {
	v := n.Get(key)
	if v.IsNull() {
		return nil
	}
	if v.Kind != yamlfile.Map {
		r.refuse(v, "type", "%s must be a mapping, this is a %s", key, v.Kind)
		return nil
	}
	return freeMap(v)
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func (r *recorder) metadata(n *yamlfile.Node, kind Kind) Metadata {
	m := n.Get("metadata")
	if m.IsNull() {
		r.refuse(n, "metadata-name", "metadata.name is required")
		return Metadata{}
	}
	if !r.fields(m, "metadata", "name", "displayName", "labels", "annotations") {
		return Metadata{}
	}
	out := Metadata{Name: r.text(m, "name"), DisplayName: r.text(m, "displayName")}
	switch {
	case out.Name == "":
		r.refuse(m, "metadata-name", "metadata.name is required")
	case len(out.Name) > 63 || !dnsLabel.MatchString(out.Name):
		r.warn(m.Get("name"), "name-format", "name %q should be at most 63 lower-case letters, digits and dashes", out.Name)
	}
	if labels := m.Get("labels"); !labels.IsNull() && r.fieldsOf(labels, "labels") {
		out.Labels = Labels{}
		for _, f := range labels.Fields {
			out.Labels[f.Key] = r.label(f)
		}
	}
	if given := m.Get("annotations"); !given.IsNull() && r.fieldsOf(given, "annotations") {
		out.Annotations = map[string]string{}
		for _, f := range given.Fields {
			out.Annotations[f.Key] = r.plain(f.Value, "annotation-value", f.Key)
			if strings.HasPrefix(f.Key, annotationPrefix) && !slices.Contains(annotations[kind], f.Key) {
				r.warn(f.Value, "annotation", "%s has no annotation %s: known are %s", kind, f.Key, cmp.Or(strings.Join(annotations[kind], ", "), "none"))
			}
		}
	}
	return out
}

// fieldsOf refuses what is no mapping.
func (r *recorder) fieldsOf(n *yamlfile.Node, what string) bool {
	if n.Kind != yamlfile.Map {
		r.refuse(n, "type", "%s must be a mapping, this is a %s", what, n.Kind)
	}
	return n.Kind == yamlfile.Map
}

func (r *recorder) label(f yamlfile.Field) []string {
	if f.Value.Kind != yamlfile.List {
		return []string{r.plain(f.Value, "label-value", f.Key)}
	}
	out := []string{}
	for _, item := range f.Value.Items {
		out = append(out, r.plain(item, "label-value", f.Key))
	}
	return out
}

// plain is a text; other single values are taken as written, with a warning.
func (r *recorder) plain(n *yamlfile.Node, rule, key string) string {
	switch n.Kind {
	case yamlfile.String:
	case yamlfile.List, yamlfile.Map:
		r.refuse(n, rule, "the value of %q must be a text, this is a %s", key, n.Kind)
	default:
		r.warn(n, rule, "the value of %q should be a text: write it in quotes", key)
	}
	return n.Text
}
