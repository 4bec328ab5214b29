package openslo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// Finding is something wrong at a place; lines and columns count from 1.
type Finding struct {
	File         string
	Line, Column int
	Rule         string // a name that does not change, such as target-range
	Message      string
}

// Error is file:line:column: message [rule].
func (f *Finding) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s [%s]", f.File, f.Line, f.Column, f.Message, f.Rule)
}

// Findings are several of them, in order of file and line.
type Findings []*Finding

// Error lists the findings, one a line.
func (f Findings) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single findings to errors.Is and errors.As.
func (f Findings) Unwrap() []error {
	out := make([]error, len(f))
	for i, one := range f {
		out[i] = one
	}
	return out
}

func (f Findings) sort() {
	slices.SortStableFunc(f, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// recorder collects findings; strict makes refusals of mistakes that are warnings otherwise.
type recorder struct {
	strict bool
	// configured are servers that a metricSource may refer to without a DataSource.
	configured []string
	// measured says that slices are at hand: nobody has to know where indicators come from.
	measured bool
	refusals Findings
	warnings Findings
	seen     map[seenFinding]bool
}

// seenFinding tells a refusal from a warning in the same words.
type seenFinding struct {
	Finding
	refused bool
}

func finding(n *yamlfile.Node, rule, format string, args []any) *Finding {
	return &Finding{n.File, n.Line, n.Column, rule, fmt.Sprintf(format, args...)}
}

// refuse records a refusal once, however often its object is referred to.
func (r *recorder) refuse(n *yamlfile.Node, rule, format string, args ...any) {
	if f := finding(n, rule, format, args); r.first(f, true) {
		r.refusals = append(r.refusals, f)
	}
}

func (r *recorder) first(f *Finding, refused bool) bool {
	if r.seen == nil {
		r.seen = map[seenFinding]bool{}
	}
	key := seenFinding{*f, refused}
	before := r.seen[key]
	r.seen[key] = true
	return !before
}

// warn records a mistake that can be understood all the same; strictly, it is a refusal.
func (r *recorder) warn(n *yamlfile.Node, rule, format string, args ...any) {
	if r.strict {
		r.refuse(n, rule, format, args...)
		return
	}
	r.note(n, rule, format, args...)
}

// note records what one should know of a document that is right, also when it is read strictly.
func (r *recorder) note(n *yamlfile.Node, rule, format string, args ...any) {
	if f := finding(n, rule, format, args); r.first(f, false) {
		r.warnings = append(r.warnings, f)
	}
}
