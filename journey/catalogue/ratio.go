package catalogue

import (
	"context"
	"math"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/interval"
)

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
