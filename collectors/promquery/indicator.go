package promquery

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/kubevalue/kubevalue/collectors"
)

// Indicator is an SLI that is asked of a Prometheus server: Total with one of Good and Bad, or Raw, or Threshold, each a query.
type Indicator struct {
	// Name is schema.Slice.Indicator.
	Name string
	// Server is the name of the server that is asked.
	Server string
	// Good or Bad, and Total, count events. Where Total has no series nothing was measured; where Good or Bad has none there was no such
	// event. Several series are summed.
	Good, Bad, Total string
	// Counter says that they are cumulative: selectors of counters, sums of those, or sums and differences of such sums. Otherwise they are
	// the events of a slice, in which {{.window}} stands for its length, e.g. sum(increase(requests_total[{{.window}}])).
	Counter bool
	// Raw is the good share of a slice, 0 to 1, of one series; RawFailure: the bad share. Each slice counts as one event.
	Raw        string
	RawFailure bool
	// Threshold is a value, of one series, that makes a slice good when it is Op (lt, lte, gt, gte) Value at the slice's end.
	Threshold string
	Op        string
	Value     float64
	// Slice is the length of a slice, in whole seconds; collectors.DefaultSlice when zero.
	Slice time.Duration
}

// WithDefaults fills what is not set.
func (i Indicator) WithDefaults() Indicator {
	if i.Slice == 0 {
		i.Slice = collectors.DefaultSlice
	}
	return i
}

// Validate names everything that is wrong with an indicator, joined into one error.
func (i Indicator) Validate() error {
	_, err := compile(i)
	return err
}

// Revision is the hash of what an indicator measures: the same queries asked of the same server give comparable slices. Where the server
// is and how it is reached does not belong to it.
func Revision(i Indicator) string {
	i = i.WithDefaults()
	i.Name = ""
	return collectors.Revision(i)
}

// role is what the answer to a query means.
type role int

const (
	roleTotal role = iota
	rolePart       // good or bad
	roleFresh      // the time of the newest sample, in seconds
	roleValue      // raw or threshold
)

// plan is an indicator as it is asked.
type plan struct {
	Indicator
	revision string
	queries  map[role]string
}

func compile(i Indicator) (*plan, error) {
	i = i.WithDefaults()
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("promquery: indicator %q: "+format, append([]any{i.Name}, args...)...))
	}
	if i.Name == "" {
		fault("name: want one")
	}
	if err := collectors.CheckSlice(i.Slice); err != nil {
		fault("%w", err)
		return nil, errors.Join(faults...)
	}
	if i.Threshold != "" && !slices.Contains([]string{"lt", "lte", "gt", "gte"}, i.Op) {
		fault("op %q: want lt, lte, gt or gte", i.Op)
	}
	if math.IsNaN(i.Value) || math.IsInf(i.Value, 0) {
		fault("value %v: want a number", i.Value)
		return nil, errors.Join(faults...)
	}
	p := &plan{Indicator: i, revision: Revision(i), queries: map[role]string{}}
	add := func(r role, what, query string) {
		text, err := p.translate(r, query)
		if err != nil {
			fault("%s: %w", what, err)
		}
		p.queries[r] = text
	}
	switch {
	case i.Total != "" && (i.Good == "") != (i.Bad == "") && i.Raw == "" && i.Threshold == "":
		add(roleTotal, "total", i.Total)
		if i.Good != "" {
			add(rolePart, "good", i.Good)
		} else {
			add(rolePart, "bad", i.Bad)
		}
		if i.Counter {
			add(roleFresh, "total", i.Total)
		}
	case i.Raw != "" && i.Total+i.Good+i.Bad+i.Threshold == "":
		add(roleValue, "raw", i.Raw)
	case i.Threshold != "" && i.Total+i.Good+i.Bad+i.Raw == "":
		add(roleValue, "threshold", i.Threshold)
	default:
		fault("want total with one of good and bad, or raw, or threshold")
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return p, nil
}

// window is what stands for the length of a slice in a query.
var window = strings.NewReplacer("{{.window}}", "\x00", "{{ .window }}", "\x00")

// translate turns a query of an indicator into the one that is asked.
func (p *plan) translate(r role, query string) (string, error) {
	length := seconds(p.Slice)
	query = strings.ReplaceAll(window.Replace(query), "\x00", length)
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return "", fmt.Errorf("%q is no PromQL: %w", query, err)
	}
	switch {
	case p.Counter && r == roleFresh:
		stamps, err := newest(expr)
		return "max(" + stamps + ")", err
	case p.Counter && r != roleValue:
		return counted(expr, length)
	}
	switch expr.Type() {
	case parser.ValueTypeScalar:
		return "vector(" + expr.String() + ")", nil
	case parser.ValueTypeVector:
		if r == roleValue {
			return expr.String(), nil
		}
		return "sum(" + expr.String() + ")", nil
	}
	return "", fmt.Errorf("%q gives a %s: want one number per series, e.g. sum(increase(x[{{.window}}]))", query, expr.Type())
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// errNotCounter says what is understood of cumulative queries.
var errNotCounter = errors.New("with counter: true want a counter's selector, sum(…) of one, or sums and differences of those; " +
	"for anything else write counter: false and the events of a slice, e.g. sum(increase(x[{{.window}}]))")

// counted is what an expression of counters has counted since a time ago.
func counted(expr parser.Expr, ago string) (string, error) {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return counted(e.Expr, ago)
	case *parser.AggregateExpr:
		if e.Op == parser.SUM {
			return counted(e.Expr, ago)
		}
	case *parser.BinaryExpr:
		if (e.Op == parser.ADD || e.Op == parser.SUB) && summed(e.LHS) && summed(e.RHS) {
			left, err := counted(e.LHS, ago)
			right, wrong := counted(e.RHS, ago)
			return fmt.Sprintf("((%s or vector(0)) %s (%s or vector(0)))", left, e.Op, right), errors.Join(err, wrong)
		}
	case *parser.VectorSelector:
		if e.OriginalOffset == 0 && e.Timestamp == nil && e.StartOrEnd == 0 {
			now := e.String()
			return fmt.Sprintf("sum(((%[1]s - %[1]s offset %[2]s) >= 0) or (%[1]s < %[1]s offset %[2]s) or "+
				"((%[1]s unless %[1]s offset %[2]s) and on (job, instance) (up offset %[2]s == 1)))", now, ago), nil
		}
	}
	return "", fmt.Errorf("%q: %w", expr, errNotCounter)
}

// summed says whether an expression has one series at most: differences of others would match them label by label.
func summed(expr parser.Expr) bool {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return summed(e.Expr)
	case *parser.AggregateExpr:
		return e.Op == parser.SUM && len(e.Grouping) == 0 && !e.Without
	case *parser.BinaryExpr:
		return summed(e.LHS) && summed(e.RHS)
	}
	return false
}

// newest are the times of the samples behind an expression of counters.
func newest(expr parser.Expr) (string, error) {
	var stamps []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			stamps = append(stamps, "timestamp("+s.String()+")")
		}
		return nil
	})
	if len(stamps) == 0 {
		return "", fmt.Errorf("%q: %w", expr, errNotCounter)
	}
	return strings.Join(stamps, " or "), nil
}
