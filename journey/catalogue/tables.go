package catalogue

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
)

// fromTables runs the statements of a metric and puts their rows together.
func (e Evaluator) fromTables(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period, now time.Time) (map[place]*cell, error) {
	q, err := e.question(ctx, r, periods, now)
	if err != nil {
		return nil, err
	}
	cells := map[place]*cell{}
	if r.By == "" { // where nothing is split, no row means 0, not nothing
		for _, p := range periods {
			cells[place{p.From.UnixMilli(), ""}] = &cell{}
		}
	}
	switch s := m.SQL; {
	case s.Sample != "":
		err = e.sample(ctx, m, q, cells)
	case s.Value != "":
		err = e.counted(ctx, *s, q, cells)
	default:
		err = e.ratio(ctx, m, q, cells)
	}
	return cells, err
}

// question collects what the statements of a request share.
func (e Evaluator) question(ctx context.Context, r journey.Request, periods []journey.Period, now time.Time) (question, error) {
	identities, err := e.source(now).Identities(ctx)
	if err != nil {
		return question{}, err
	}
	return question{
		periods: periods, by: r.By, filter: r.Filter, notValue: e.Settings.NotValue, now: now, zone: e.Settings.Calendar.Zone.String(),
		links: identityLinks{identities.Merged, identities.Canonical}, rosterCuts: identities.RosterCuts, roster: identities.Roster, told: identities.Told,
	}, nil
}

// rows runs one statement. Rows of instants that are no period lie between the periods and are left out.
func (e Evaluator) rows(ctx context.Context, sql string, q question, each func(at place, r line) error) error {
	full, params := q.statement(sql)
	result, err := e.Query(ctx, full, params)
	if err != nil {
		return err
	}
	asked := map[int64]bool{}
	for _, p := range q.periods {
		asked[p.From.UnixMilli()] = true
	}
	for _, values := range result.Rows {
		period, ok := values[0].(int64)
		dim, isText := values[1].(string)
		if !ok || !isText {
			return fmt.Errorf("period is a %T and dim a %T, want int64 and string", values[0], values[1])
		}
		if !asked[period] {
			continue
		}
		if err := each(place{period, dim}, line{result, values}); err != nil {
			return err
		}
	}
	return nil
}

// line is one row of a statement, its columns by name.
type line struct {
	schema.Result
	values []any
}

func (l line) column(name string) (any, bool) {
	i := slices.Index(l.Columns, name)
	if i < 0 {
		return nil, false
	}
	return l.values[i], true
}

// number reads a column of any numeric type; nil for NULL and for what is not finite.
func (l line) number(name string) (*float64, error) {
	v, ok := l.column(name)
	if !ok {
		return nil, fmt.Errorf("the statement returns no column %q", name)
	}
	if v == nil {
		return nil, nil
	}
	return asFloat(name, reflect.ValueOf(v))
}

// optional is number for a column that may be absent.
func (l line) optional(name string) (*float64, error) {
	if _, ok := l.column(name); !ok {
		return nil, nil
	}
	return l.number(name)
}

func asFloat(name string, v reflect.Value) (*float64, error) {
	var f float64
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return asFloat(name, v.Elem())
	case v.CanInt():
		f = float64(v.Int())
	case v.CanUint():
		f = float64(v.Uint())
	case v.CanFloat():
		f = v.Float()
	default:
		return nil, fmt.Errorf("column %q is a %s, want a number", name, v.Type())
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, nil
	}
	return &f, nil
}

// numbers reads a column that is an array of numbers.
func (l line) numbers(name string) ([]float64, error) {
	v, ok := l.column(name)
	if !ok {
		return nil, fmt.Errorf("the statement returns no column %q", name)
	}
	items := reflect.ValueOf(v)
	if items.Kind() != reflect.Slice {
		return nil, fmt.Errorf("column %q is a %T, want an array", name, v)
	}
	out := make([]float64, 0, items.Len())
	for i := range items.Len() {
		f, err := asFloat(name, items.Index(i))
		if err != nil {
			return nil, err
		}
		if f == nil {
			return nil, fmt.Errorf("column %q holds NULL or what is no number", name)
		}
		out = append(out, *f)
	}
	return out, nil
}

func at(cells map[place]*cell, p place) *cell {
	if cells[p] == nil {
		cells[p] = &cell{}
	}
	return cells[p]
}

// counted is for counts and sums: no row means 0, unless the metric says otherwise. NULL means undefined.
func (e Evaluator) counted(ctx context.Context, s journey.MetricSQL, q question, cells map[place]*cell) error {
	if s.Empty != "undefined" {
		for _, c := range cells {
			c.value = new(float64)
		}
	}
	return e.rows(ctx, s.Value, q, func(p place, l line) error {
		c := at(cells, p)
		value, err := l.number("value")
		if err != nil {
			return err
		}
		c.value = value
		if value != nil {
			c.n = int(math.Round(*value))
		}
		n, err := l.optional("n")
		if n != nil {
			c.n = int(*n)
		}
		return err
	})
}

// inParallel is for work that keeps a core busy, such as resampling.
func inParallel() *errgroup.Group {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	return &g
}

func orZero(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

func dimsOfAll(cells map[place]*cell) []string {
	var out []string
	for p := range cells {
		out = append(out, p.dim)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func periodsOf(q question) map[int64]bool {
	out := map[int64]bool{}
	for _, p := range q.periods {
		out[p.From.UnixMilli()] = true
	}
	return out
}

// seed makes an interval the same each time it is computed.
func seed(m journey.Metric, p place) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d/%d/%s", m.ID, m.Version, p.period, p.dim)
	return h.Sum64()
}
