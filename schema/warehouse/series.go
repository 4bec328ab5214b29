package warehouse

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

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

// FirstSlices returns the start of the earliest slice of each series, measured or not, the zero time where there is none; the
// questions' times are not looked at.
func (db *DB) FirstSlices(ctx context.Context, qs []schema.SliceQuery) ([]time.Time, error) {
	keys := make([]seriesKey, len(qs))
	for i, q := range qs {
		keys[i] = seriesKey{q.Indicator, q.Revision, q.Group}
	}
	ids, err := db.seriesIDs(ctx, keys)
	if err != nil {
		return nil, err
	}
	type row struct {
		series uint64
		first  time.Time
	}
	all := map[uint64]time.Time{}
	for part := range slices.Chunk(ids, seriesAtOnce) {
		rows, err := ask(ctx, db, question{
			op: "find the first slices", table: "sli_series", params: map[string]any{"series": part},
			sql: `SELECT sipHash64(indicator, revision, grp) AS series, min(first) FROM sli_series WHERE series IN {series:Array(UInt64)} GROUP BY series`,
		}, func(r *row) []any { return []any{&r.series, &r.first} })
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			all[r.series] = r.first
		}
	}
	first := make([]time.Time, len(qs))
	for i, id := range ids {
		first[i] = all[id]
	}
	return first, nil
}

// MeasuredStarts returns the starts of the measured slices of each question, in their order and in order of time, with one statement over
// the time that the questions span together: it is for short stretches, such as the last minutes of all series.
func (db *DB) MeasuredStarts(ctx context.Context, qs []schema.SliceQuery) ([][]time.Time, error) {
	out := make([][]time.Time, len(qs))
	asked := map[uint64][]int{}
	var from, to time.Time
	keys := make([]seriesKey, len(qs))
	for i, q := range qs {
		keys[i] = seriesKey{q.Indicator, q.Revision, q.Group}
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
	for i, id := range ids {
		asked[id] = append(asked[id], i)
	}
	type row struct {
		series uint64
		starts []uint32
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(asked)), seriesAtOnce) {
		rows, err := ask(ctx, db, question{
			op: "find the last slices", table: schema.TableSlices, settings: askedAgain,
			params: map[string]any{"series": part, "from": wholeSecond(from), "to": wholeSecond(to)},
			sql: "SELECT series, arraySort(groupArray(toUnixTimestamp(slice_start))) FROM sli_slices FINAL WHERE series IN {series:Array(UInt64)}" +
				ofPeriod + " AND state = 'measured' GROUP BY series",
		}, func(r *row) []any { return []any{&r.series, &r.starts} })
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			for _, i := range asked[r.series] {
				out[i] = startsIn(qs[i], r.starts)
			}
		}
	}
	return out, nil
}

// startsIn are those of starts (Unix seconds) that a question is about.
func startsIn(q schema.SliceQuery, starts []uint32) []time.Time {
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
