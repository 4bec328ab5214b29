package catalogue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// Coverage of figures made of events says in which part of a period their sources were reporting, counted from the period's
// beginning, as that of objectives is: the period in which a source begins is a partly measured one. The time between two of
// its events counts as covered as long as it is no longer than maxSilence (a weekend is no outage), and so does the time since
// its last one; a longer silence counts as not covered, from its beginning to its end, and so does all time before its first
// event ever. A source is expected in a period that ends after its first event, unless it was silent for all of the period and
// forgottenAfter before it. The coverage is the covered share of the expected time that has passed, over all sources.
//
// Feedback is covered from the first record of its kind on, and incidents from the first one: that people say nothing for a while is no outage. Of figures made of several
// things the least covered counts. Clusters that are watched are sources of their own. They are renewed every hour, so each hour without a sign of them is not covered.
const (
	maxSilence     = 72 * time.Hour
	forgottenAfter = 28 * 24 * time.Hour
)

// runsSQL reads the hours of a table (source or cluster, hour) as runs: the first and the last hour of each. Hours of a run are at most step
// seconds apart.
const runsSQL = `SELECT name, first, arrayFilter((hour, gap) -> gap = 0 OR gap > {step:Int64}, hours, gaps) AS firsts,
    arrayFilter((hour, gap) -> gap = 0 OR gap > {step:Int64}, hours, arrayResize(arrayPopFront(gaps), length(gaps))) AS lasts
FROM (
    SELECT toString(%[1]s) AS name, toUnixTimestamp(min(hour)) AS first,
        arraySort(groupUniqArrayIf(toUnixTimestamp(hour), toUnixTimestamp(hour) >= {from:Int64} AND toUnixTimestamp(hour) < {to:Int64})) AS hours,
        arrayDifference(hours) AS gaps
    FROM %[2]s GROUP BY %[1]s
) ORDER BY name`

// reports say when one source reported.
type reports struct {
	first    time.Time
	patience time.Duration // the longest silence that is none
	// runs are hours with no longer silence between them, in order.
	runs []run
}

// run is the beginnings of its first and its last hour.
type run struct{ first, last time.Time }

// cover is the coverage, by the beginning of the period in Unix milliseconds, of figures that come from events or resources; nil for those of
// the SLO engine, which says that of its own.
func (e Evaluator) cover(ctx context.Context, m journey.Metric, periods []journey.Period, now time.Time) (map[int64]*float64, error) {
	if m.Objective != nil {
		return nil, nil
	}
	from, to := periods[0].From.Add(-forgottenAfter), periods[len(periods)-1].To.Add(maxSilence+time.Hour)
	var sources []reports
	if slices.ContainsFunc(m.Sources, func(s string) bool { return s != sourceKube && expected(s) }) {
		senders, err := e.reports(ctx, fmt.Sprintf(runsSQL, "source", "source_hours"), from, to, maxSilence)
		if err != nil {
			return nil, err
		}
		for name, s := range senders {
			if speaks(m.Sources, name) {
				sources = append(sources, s)
			}
		}
	}
	if slices.Contains(m.Sources, sourceKube) {
		clusters, err := e.reports(ctx, fmt.Sprintf(runsSQL, "cluster", "cluster_hours"), from, to, 0)
		if err != nil {
			return nil, err
		}
		sources = slices.AppendSeq(sources, maps.Values(clusters))
	}
	heard, err := e.heard(ctx, m)
	if err != nil {
		return nil, err
	}
	byPeriod := map[int64]*float64{}
	for _, p := range periods {
		byPeriod[p.From.UnixMilli()] = heard.narrow(coverage(sources, p, now), p, now)
	}
	return byPeriod, nil
}

// reports reads runs of hours by name.
func (e Evaluator) reports(ctx context.Context, sql string, from, to time.Time, patience time.Duration) (map[string]reports, error) {
	result, err := e.Query(ctx, sql, map[string]any{"from": from.Unix(), "to": to.Unix(), "step": int64((time.Hour + patience) / time.Second)})
	if err != nil {
		return nil, err
	}
	all := map[string]reports{}
	for _, row := range result.Rows {
		name, _ := row[0].(string)
		first, _ := row[1].(uint32)
		firsts, _ := row[2].([]uint32)
		lasts, _ := row[3].([]uint32)
		if len(firsts) != len(lasts) {
			return nil, fmt.Errorf("%s: %d runs of hours begin and %d end", name, len(firsts), len(lasts))
		}
		r := reports{first: time.Unix(int64(first), 0).UTC(), patience: patience}
		for i := range firsts {
			r.runs = append(r.runs, run{time.Unix(int64(firsts[i]), 0).UTC(), time.Unix(int64(lasts[i]), 0).UTC()})
		}
		all[name] = r
	}
	return all, nil
}

// sourceKube is the collector of resources in clusters, whose sources are the clusters.
const sourceKube = "kube"

// speaks says whether events of a source belong to one of the collectors that a metric names: "audit" has a source per
// cluster, all other sources are those of "usage".
func speaks(collectors []string, source string) bool {
	if strings.HasPrefix(source, "audit/") {
		return slices.Contains(collectors, "audit")
	}
	return slices.Contains(collectors, "usage")
}

// coverage is nil when the period has not begun, and 0 when no source was expected in it.
func coverage(sources []reports, p journey.Period, now time.Time) *float64 {
	end := p.To
	if now.Before(end) {
		end = now
	}
	if !p.From.Before(end) {
		return nil
	}
	var covered, expected time.Duration
	for _, s := range sources {
		c, x := s.covered(p.From, end)
		covered, expected = covered+c, expected+x
	}
	share := 0.0
	if expected > 0 {
		share = float64(covered) / float64(expected)
	}
	return &share
}

// covered is how much of [from, end) the source was expected, and how much of that it covered. forgottenAfter is longer than any patience, so
// that a run which reaches over it has an hour in it.
func (s reports) covered(from, end time.Time) (covered, expected time.Duration) {
	known := slices.ContainsFunc(s.runs, func(r run) bool {
		return r.first.Before(end) && r.last.After(from.Add(-forgottenAfter-time.Hour))
	})
	if !known {
		return 0, 0
	}
	expected = end.Sub(from)
	silent := time.Duration(0)
	// The time before the first hour that was read belongs to a silence that began long ago, and that before the first event to none.
	last := from.Add(-s.patience - time.Hour)
	if s.first.After(from) {
		silent, last = s.first.Sub(from), s.first
	}
	for _, r := range append(slices.Clone(s.runs), run{end, end}) {
		if gap := r.first.Sub(last); gap > s.patience {
			silent += overlap(last, r.first, from, end)
		}
		if !r.last.Before(end) {
			break
		}
		last = r.last.Add(time.Hour)
	}
	return expected - silent, expected
}

// overlap is the length of what [a, b) and [from, to) share.
func overlap(a, b, from, to time.Time) time.Duration {
	if a.Before(from) {
		a = from
	}
	if b.After(to) {
		b = to
	}
	return max(0, b.Sub(a))
}

// The people of a group: those in the roster, as far as it takes to tell that they are enough, and only where they are not, also those who
// acted.
const (
	rosterPeopleSQL = `SELECT period, dim, %s(actor) AS value FROM eligible WHERE actor != 0 GROUP BY period, dim`
	allPeopleSQL    = `SELECT period, dim, uniqExact(actor) AS value FROM (
    SELECT period, dim, actor FROM activity UNION ALL SELECT period, dim, actor FROM eligible WHERE actor != 0
) GROUP BY period, dim`
)

// crowds count people for the rule about small groups: those of each group, or all in the roster; nil: the rule does not apply.
func (e Evaluator) crowds(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period) (map[place]float64, error) {
	if e.Settings.SmallGroup <= 1 || m.SmallGroup != journey.SmallGroupWithhold || m.Objective != nil {
		return nil, nil
	}
	sql := fmt.Sprintf(rosterPeopleSQL, uniqUpTo(e.Settings.SmallGroup))
	if groups := groupsOf(r); groups != "" {
		r, sql = split(r, groups), allPeopleSQL
	}
	return e.people(ctx, sql, r, periods)
}

// uniqUpTo counts exactly up to n at least.
func uniqUpTo(n int) string {
	if n > 100 { // the engine counts no further
		return "uniqExact"
	}
	return fmt.Sprintf("uniqUpTo(%d)", n)
}

// withhold marks figures about groups of people, or samples, that are too small, as far as the settings ask for it. The
// group are all who acted or were in the roster, so that "none of two" stays hidden as well as "one of two".
func (e Evaluator) withhold(ctx context.Context, m journey.Metric, r journey.Request, periods []journey.Period, crowds map[place]float64, cells map[place]*cell) error {
	if e.Settings.MinSample {
		for _, c := range cells {
			if c.n < m.MinSample {
				c.withheld = "small sample"
			}
		}
	}
	if crowds == nil {
		return nil
	}
	if groups := groupsOf(r); groups != "" {
		e.withholdGroups(r, groups, crowds, cells)
		return nil
	}
	small := e.smallGroups(crowds, cells)
	if len(small) == 0 {
		return nil
	}
	all, err := e.people(ctx, allPeopleSQL, r, periods)
	for _, c := range e.smallGroups(all, small) {
		c.withheld = smallGroup
	}
	return err
}

const smallGroup = "small group"

// smallGroups are the cells whose people are too few.
func (e Evaluator) smallGroups(people map[place]float64, cells map[place]*cell) map[place]*cell {
	small := map[place]*cell{}
	for p, c := range cells {
		if people[p] < float64(e.Settings.SmallGroup) {
			small[p] = c
		}
	}
	return small
}

// people counts those of each period and group.
func (e Evaluator) people(ctx context.Context, sql string, r journey.Request, periods []journey.Period) (map[place]float64, error) {
	q, err := e.question(ctx, r, periods, e.Now())
	if err != nil {
		return nil, err
	}
	people := map[place]float64{}
	err = e.rows(ctx, sql, q, func(p place, l line) error {
		v, err := l.number("value")
		people[p] = orZero(v)
		return err
	})
	return people, err
}
