package catalogue

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/interval"
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

// ratio is numerator / denominator. A denominator that is not split by the dimension holds for each of its values.
func (e Evaluator) ratio(ctx context.Context, m journey.Metric, q question, cells map[place]*cell) error {
	drawn := map[place]*cell{} // the teams that a bootstrap draws from
	resampled := m.Interval == journey.IntervalBootstrap && q.by == ""
	byTeam := q
	byTeam.by = journey.DimensionTeam
	byTeam.withWhole = resampled && q.canHaveWhole(*m.SQL)
	asking, together := errgroup.WithContext(ctx)
	if resampled {
		asking.Go(func() error { return e.parts(together, m, byTeam, drawn) })
	}
	if !byTeam.withWhole {
		asking.Go(func() error { return e.parts(together, m, q, cells) })
	}
	if err := asking.Wait(); err != nil {
		return err
	}
	if byTeam.withWhole {
		takeWhole(cells, drawn)
	}
	for p, c := range cells {
		if c.numerator == nil && c.denominator == nil && q.by != "" {
			delete(cells, p)
			continue
		}
		if c.numerator == nil {
			c.numerator = new(float64)
		}
		if c.denominator == nil {
			c.denominator = new(float64)
		}
		c.n = int(math.Round(*c.denominator))
		if c.sampled != nil {
			c.n = int(*c.sampled)
		}
		if *c.denominator == 0 {
			continue
		}
		value := *c.numerator / *c.denominator
		c.value = &value
		low, high, ok := 0.0, 0.0, false
		switch m.Interval {
		case journey.IntervalWilson:
			low, high, ok = interval.Wilson(*c.numerator, *c.denominator)
		case journey.IntervalAdjustedWald:
			low, high, ok = interval.AdjustedWald(*c.numerator, *c.denominator)
		}
		if ok {
			c.low, c.high = &low, &high
		}
	}
	if resampled {
		bootstrapRatio(m, q, cells, drawn)
	}
	return nil
}

// takeWhole moves the figures of all teams together from those by team.
func takeWhole(cells, byTeam map[place]*cell) {
	for p, c := range byTeam {
		if p.dim == allTeams {
			cells[place{p.period, ""}] = c
			delete(byTeam, p)
		}
	}
}

// parts fills in numerators and denominators.
func (e Evaluator) parts(ctx context.Context, m journey.Metric, q question, cells map[place]*cell) error {
	if m.SQL.Ratio != "" {
		return e.rows(ctx, m.SQL.Ratio, q, func(p place, l line) (err error) {
			c := at(cells, p)
			if c.numerator, err = l.number("numerator"); err != nil {
				return err
			}
			if c.denominator, err = l.number("denominator"); err != nil {
				return err
			}
			c.sampled, err = l.optional("n")
			return err
		})
	}
	numerators, denominators := map[place]parted{}, map[place]parted{}
	asking, together := errgroup.WithContext(ctx)
	asking.Go(func() error { return wrap("numerator", e.part(together, m.SQL.Numerator, q, numerators)) })
	asking.Go(func() error { return wrap("denominator", e.part(together, m.SQL.Denominator, q, denominators)) })
	if err := asking.Wait(); err != nil {
		return err
	}
	for p, v := range numerators {
		at(cells, p).numerator, at(cells, p).sampled = v.value, v.n
	}
	if q.by != "" && q.undivided(m.SQL.Denominator) {
		for p, c := range cells {
			c.denominator = denominators[place{p.period, ""}].value
		}
		return nil
	}
	for p, v := range denominators {
		at(cells, p).denominator = v.value
	}
	if !tellsSample(m.SQL.Numerator) {
		return nil
	}
	for _, c := range cells {
		if c.numerator == nil { // there was nothing of what the sample consists of
			c.sampled = new(float64)
		}
	}
	return nil
}

var (
	sqlText   = regexp.MustCompile(`(?s)'(?:[^'\\]|\\.)*'|--[^\n]*|/\*.*?\*/`)
	sqlNested = regexp.MustCompile(`\([^()\[\]]*\)|\[[^()\[\]]*\]`)
	sqlList   = regexp.MustCompile(`(?is)\bselect\b(.*?)(?:\bfrom\b|$)`)
	sqlN      = regexp.MustCompile("(?:\\b(?i:as)\\s+|(?:^|,)\\s*(?i:distinct\\s+)?(?:\\w+\\.)?)[`\"]?n[`\"]?\\s*(?:,|$)")
)

// tellsSample says whether a statement has a column n, by the list of its outermost SELECT: one without rows has no columns.
func tellsSample(sql string) bool {
	sql = sqlText.ReplaceAllString(sql, " ")
	for sqlNested.MatchString(sql) {
		sql = sqlNested.ReplaceAllString(sql, " ")
	}
	list := sqlList.FindStringSubmatch(sql)
	return list != nil && sqlN.MatchString(strings.TrimSpace(list[1]))
}

// emptyDim finds a dim that is the same for all.
var emptyDim = regexp.MustCompile(`(?i)''\s*(as\s+)?dim\b`)

// undivided says whether a statement gives the same for all values of the dimension: it says so itself, or would be the same without one.
func (q question) undivided(sql string) bool {
	divided, _ := q.statement(sql)
	q.by = ""
	whole, _ := q.statement(sql)
	return divided == whole || emptyDim.MatchString(sql)
}

// parted is one row of a numerator or a denominator; n is nil where it does not tell.
type parted struct{ value, n *float64 }

// part runs the statement of a numerator or a denominator.
func (e Evaluator) part(ctx context.Context, sql string, q question, into map[place]parted) error {
	return e.rows(ctx, sql, q, func(p place, l line) error {
		value, err := l.number("value")
		if err != nil {
			return err
		}
		n, err := l.optional("n")
		into[p] = parted{value, n}
		return err
	})
}

// bootstrapRatio resamples teams: the ratio of the sums over the teams drawn.
func bootstrapRatio(m journey.Metric, q question, cells, byTeam map[place]*cell) {
	type part struct{ numerator, denominator float64 }
	parts := map[int64][]part{}
	for _, team := range dimsOfAll(byTeam) {
		for period := range periodsOf(q) {
			if c := byTeam[place{period, team}]; c != nil {
				parts[period] = append(parts[period], part{orZero(c.numerator), orZero(c.denominator)})
			}
		}
	}
	resampling := inParallel()
	for p, c := range cells {
		of := parts[p.period]
		if c.value == nil {
			continue
		}
		resampling.Go(func() error {
			low, high, ok := interval.Bootstrap(len(of), seed(m, p), func(drawn []int) (float64, bool) {
				numerator, denominator := 0.0, 0.0
				for _, i := range drawn {
					numerator += of[i].numerator
					denominator += of[i].denominator
				}
				return numerator / denominator, denominator > 0
			})
			if ok {
				c.low, c.high = &low, &high
			}
			return nil
		})
	}
	_ = resampling.Wait() // none fails
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

// sample reduces arrays of numbers.
func (e Evaluator) sample(ctx context.Context, m journey.Metric, q question, cells map[place]*cell) error {
	reducing := inParallel()
	seen := map[place]bool{}
	err := e.rows(ctx, m.SQL.Sample, q, func(p place, l line) error {
		values, err := l.numbers("sample")
		if err != nil {
			return err
		}
		if seen[p] {
			return fmt.Errorf("the statement returns several rows of one period and dim (%q): want one, whose sample has all values", p.dim)
		}
		seen[p] = true
		c := at(cells, p)
		reducing.Go(func() error { return c.reduce(m, p, l, values) })
		return nil
	})
	return cmp.Or(err, reducing.Wait())
}

// reduce is the statistic of a sample with its interval.
func (c *cell) reduce(m journey.Metric, p place, l line, values []float64) error {
	c.n = len(values)
	switch m.SQL.Statistic {
	case journey.StatisticKMMedian:
		return c.survival(l, values)
	case journey.StatisticMean:
		mean, low, high, ok, bounded := interval.Mean(values)
		if ok {
			c.value = &mean
		}
		if bounded && m.Interval == journey.IntervalT {
			c.low, c.high = &low, &high
		}
	case journey.StatisticMedian:
		if m.Interval == journey.IntervalBootstrap {
			break // finds it on its way
		}
		if median, ok := interval.Median(values); ok {
			c.value = &median
		}
	}
	if m.Interval == journey.IntervalBootstrap {
		return c.bootstrap(m, p, l, values)
	}
	return nil
}

func (c *cell) survival(l line, durations []float64) error {
	censored, err := l.numbers("censored")
	if err != nil {
		return err
	}
	if len(censored) != len(durations) {
		return fmt.Errorf("sample has %d values, censored %d", len(durations), len(censored))
	}
	observations := make([]interval.Observation, len(durations))
	for i, d := range durations {
		observations[i] = interval.Observation{Duration: d, Reached: censored[i] == 0}
	}
	s := interval.KaplanMeier(observations)
	c.value, c.low, c.high = s.Median, s.Low, s.High
	return nil
}

// bootstrap resamples the teams that the column cluster names beside each value.
func (c *cell) bootstrap(m journey.Metric, p place, l line, values []float64) error {
	names, ok := l.column("cluster")
	clusters, isTexts := names.([]string)
	if !ok || !isTexts || len(clusters) != len(values) {
		return fmt.Errorf("interval bootstrap wants a column cluster with a text for each value of sample")
	}
	byCluster := map[string][]float64{}
	for i, name := range clusters {
		byCluster[name] = append(byCluster[name], values[i])
	}
	groups := make([][]float64, 0, len(byCluster))
	once := make([]int, 0, len(byCluster)) // each group
	for i, name := range slices.Sorted(maps.Keys(byCluster)) {
		groups, once = append(groups, byCluster[name]), append(once, i)
	}
	statistic := interval.DrawnMedian(groups)
	if m.SQL.Statistic == journey.StatisticMean {
		statistic = interval.DrawnMean(groups)
	} else if median, ok := statistic(once); ok {
		c.value = &median
	}
	low, high, ok := interval.Bootstrap(len(groups), seed(m, p), statistic)
	if ok {
		c.low, c.high = &low, &high
	}
	return nil
}
