package warehouse

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/schema"
)

// seriesKey names a series of slices.
type seriesKey struct{ indicator, revision, group string }

// seriesCache has the numbers that stand for series in tables: a pure function of their names, which the engine computes.
var seriesCache sync.Map // of seriesKey to uint64

// seriesIDs returns the number of each series.
func (db *DB) seriesIDs(ctx context.Context, keys []seriesKey) ([]uint64, error) {
	ids := make([]uint64, len(keys))
	var unknown []int
	for i, k := range keys {
		if id, ok := seriesCache.Load(k); ok {
			ids[i] = id.(uint64)
			continue
		}
		unknown = append(unknown, i)
	}
	for part := range slices.Chunk(unknown, seriesAtOnce) {
		var params keyParams
		for _, i := range part {
			params.add(keys[i])
		}
		found, _, err := askOne(ctx, db, question{
			op: "number the series", params: params.all(),
			sql: "SELECT arrayMap((indicator, revision, grp) -> sipHash64(indicator, revision, grp), " + namedSeries + ")",
		}, one[[]uint64])
		if err != nil {
			return nil, err
		}
		for n, i := range part {
			ids[i] = found[n]
			seriesCache.Store(keys[i], found[n])
		}
	}
	return ids, nil
}

// seriesAtOnce bounds the parameters of a statement.
const seriesAtOnce = 5000

// keyParams are the parameters of namedSeries.
type keyParams struct{ indicators, revisions, groups []string }

const namedSeries = "{indicators:Array(String)}, {revisions:Array(String)}, {groups:Array(String)}"

func (p *keyParams) add(k seriesKey) {
	p.indicators, p.revisions, p.groups = append(p.indicators, k.indicator), append(p.revisions, k.revision), append(p.groups, k.group)
}

func (p *keyParams) all() map[string]any {
	return map[string]any{"indicators": p.indicators, "revisions": p.revisions, "groups": p.groups}
}

// someSeries is a condition on series, and what its parameter "series" is.
type someSeries struct {
	condition string
	param     []uint64
}

// Naming so many series costs the engine more than reading as many rows again.
const costlyToName = 50

// theseSeries is the condition that series are among some. When these are most of those that there are, it names none, and readers leave
// out what they have not asked for.
func (db *DB) theseSeries(ctx context.Context, ids []uint64) (someSeries, error) {
	if len(ids) >= costlyToName {
		known, err := db.seriesKnown(ctx)
		if err != nil {
			return someSeries{}, err
		}
		if uint64(len(ids)) >= known/2 {
			return someSeries{condition: "true"}, nil
		}
	}
	return someSeries{condition: "series IN {series:Array(UInt64)}", param: ids}, nil
}

// seriesCount is how many series there were at a time.
type seriesCount struct {
	at    time.Time
	count uint64
}

// countSeriesEvery is how old a count may be. It decides about speed alone.
const countSeriesEvery = 10 * time.Minute

// seriesKnown is about how many series there are.
func (db *DB) seriesKnown(ctx context.Context) (uint64, error) {
	if c := db.known.Load(); c != nil && time.Since(c.at) < countSeriesEvery {
		return c.count, nil
	}
	count, _, err := askOne(ctx, db, question{
		op: "count the series", table: "sli_series", sql: "SELECT uniqExact(indicator, revision, grp) FROM sli_series",
	}, one[uint64])
	if err != nil {
		return 0, err
	}
	db.known.Store(&seriesCount{time.Now(), count})
	return count, nil
}

// SeriesMarks returns of each question, in their order, when its series began and which of the slices that the question is about are
// measured, with two statements at once, one of which is over the time that the questions span together: it is for short stretches, such
// as the last minutes of all series. A question whose end is not after its beginning asks for the series' beginning alone.
func (db *DB) SeriesMarks(ctx context.Context, qs []schema.SliceQuery) ([]schema.SeriesMarks, error) {
	keys := make([]seriesKey, len(qs))
	var from, to time.Time
	for i, q := range qs {
		keys[i] = seriesKey{q.Indicator, q.Revision, q.Group}
		if !q.From.Before(q.To) {
			continue
		}
		if from.IsZero() || q.From.Before(from) {
			from = q.From
		}
		if q.To.After(to) {
			to = q.To
		}
	}
	ids, err := db.seriesIDs(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make([]schema.SeriesMarks, len(qs))
	asked := make(map[uint64][]int, len(ids))
	for i, id := range ids {
		asked[id] = append(asked[id], i)
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(asked)), seriesAtOnce) {
		these, err := db.theseSeries(ctx, part)
		if err != nil {
			return nil, err
		}
		var began []seriesBeginning
		var last []seriesStarts
		both, ctx := errgroup.WithContext(ctx)
		both.Go(func() (err error) {
			began, err = db.seriesBegan(ctx, these)
			return err
		})
		if from.Before(to) {
			both.Go(func() (err error) {
				last, err = db.seriesMeasured(ctx, these, schema.SliceQuery{From: from, To: to})
				return err
			})
		}
		if err := both.Wait(); err != nil {
			return nil, err
		}
		for _, r := range began {
			for _, i := range asked[r.series] {
				out[i].First = r.first
			}
		}
		for _, r := range last {
			for _, i := range asked[r.series] {
				out[i].Measured = startsIn(qs[i], r.starts)
			}
		}
	}
	return out, nil
}

// seriesBeginning is when a series began.
type seriesBeginning struct {
	series uint64
	first  time.Time
}

// seriesBegan says when series began.
func (db *DB) seriesBegan(ctx context.Context, these someSeries) ([]seriesBeginning, error) {
	return ask(ctx, db, question{
		op: "find when series began", table: "sli_series", params: map[string]any{"series": these.param},
		sql: "SELECT sipHash64(indicator, revision, grp) AS series, min(first) FROM sli_series WHERE " + these.condition + " GROUP BY series",
	}, func(r *seriesBeginning) []any { return []any{&r.series, &r.first} })
}

// seriesStarts are the starts of slices of a series, in Unix seconds, in no order.
type seriesStarts struct {
	series uint64
	starts []uint32
}

// seriesMeasured returns which slices are measured of those that start in a period.
func (db *DB) seriesMeasured(ctx context.Context, these someSeries, period schema.SliceQuery) ([]seriesStarts, error) {
	return ask(ctx, db, question{
		op: "find the last slices", table: schema.TableSlices, settings: askedAgain,
		params: map[string]any{"series": these.param, "from": wholeSecond(period.From), "to": wholeSecond(period.To)},
		sql: "SELECT series, groupArray(toUnixTimestamp(slice_start)) FROM sli_slices FINAL WHERE " + these.condition + ofPeriod +
			" AND state = 'measured' GROUP BY series",
	}, func(r *seriesStarts) []any { return []any{&r.series, &r.starts} })
}

// startsIn are those of starts (Unix seconds) that a question is about, in order.
func startsIn(q schema.SliceQuery, starts []uint32) []time.Time {
	slices.Sort(starts)
	var out []time.Time
	for _, s := range starts {
		if at := time.Unix(int64(s), 0).UTC(); !at.Before(q.From) && at.Before(q.To) {
			out = append(out, at)
		}
	}
	return out
}

// manySeries is how many series an hour is summed for one by one; for more, all series of the hour are.
const manySeries = 10_000

// sumSettings read the newest slices and write whatever follows from them, also what was written before and spoilt meanwhile.
var sumSettings = clickhouse.Settings{"do_not_merge_across_partitions_select_final": 1, "insert_deduplicate": 0}

// sumHours writes the sums of all hours and days that the rows touch anew: first the hours, from which the days follow. Of two writers
// of one day at least one sees the hours of both, and its version is the higher one.
func (db *DB) sumHours(ctx context.Context, rows []schema.Slice) error {
	hours, ofDays, touched := map[time.Time]bool{}, map[time.Time]bool{}, map[seriesKey]bool{}
	for _, r := range rows {
		hours[r.Start.UTC().Truncate(time.Hour)] = true
		touched[seriesKey{r.Indicator, r.Revision, r.Group}] = true
	}
	if len(rows) == 0 {
		return nil
	}
	for hour := range hours {
		for h := range 24 {
			ofDays[hour.Truncate(24*time.Hour).Add(time.Duration(h)*time.Hour)] = true
		}
	}
	params := map[string]any{"hours": slices.Collect(maps.Keys(hours)), "ofDays": slices.Collect(maps.Keys(ofDays))}
	of := ""
	if len(touched) <= manySeries {
		ids, err := db.seriesIDs(ctx, slices.Collect(maps.Keys(touched)))
		if err != nil {
			return err
		}
		params["series"], of = ids, " AND series IN {series:Array(UInt64)}"
	}
	err := db.write(ctx, question{op: "sum the hours of slices", table: "sli_hours", params: params, settings: sumSettings, sql: `
		INSERT INTO sli_hours (hour, series, measured, valid, perfect, good, total, bad_fraction, imperfect, version)
		SELECT toStartOfHour(slice_start) AS hour, series, countIf(state = 'measured'), countIf(state = 'measured' AND total > 0),
			countIf(state = 'measured' AND total > 0 AND good / total >= 1), sumIf(good, state = 'measured'), sumIf(total, state = 'measured'),
			sumIf((total - good) / total, state = 'measured' AND total > 0),
			groupArrayIf(good / total, state = 'measured' AND total > 0 AND good / total < 1), sum(toUInt128(version))
		FROM sli_slices FINAL
		WHERE toStartOfHour(slice_start) IN {hours:Array(DateTime('UTC'))}` + of + `
		GROUP BY hour, series`})
	if err != nil {
		return err
	}
	return db.write(ctx, question{op: "sum the days of slices", table: "sli_days", params: params, settings: sumSettings, sql: `
		INSERT INTO sli_days (day, series, measured, valid, perfect, good, total, bad_fraction, version)
		SELECT toStartOfDay(hour) AS day, series, sum(measured), sum(valid), sum(perfect), sum(good), sum(total), sum(bad_fraction), sum(version)
		FROM sli_hours FINAL
		WHERE hour IN {ofDays:Array(DateTime('UTC'))}` + of + `
		GROUP BY day, series`})
}

// write runs a statement that writes and returns nothing.
func (db *DB) write(ctx context.Context, q question) error {
	params, err := parameters(q.params)
	if err != nil {
		return failed(q.op, q.table, err)
	}
	return failed(q.op, q.table, db.conn.Exec(with(ctx, q.settings, clickhouse.WithParameters(params)), q.sql))
}
