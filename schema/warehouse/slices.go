package warehouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/kubevalue/kubevalue/schema"
)

// InsertSlices stores what indicators measured, and sums the hours that it touches anew. Of several versions of a slice the highest
// counts, so storing one again changes nothing; the token only spares a cluster's replicas the work. After an error the same rows have
// to be inserted again: else the sums of their hours may be behind.
func (db *DB) InsertSlices(ctx context.Context, token string, rows []schema.Slice) error {
	op := fmt.Sprintf("insert %d rows", len(rows))
	if token == "" {
		return refused(op, schema.TableSlices, errNoToken)
	}
	for i, r := range rows {
		if err := checkTime("start", r.Start); err != nil {
			return refused(op, schema.TableSlices, fmt.Errorf("row %d: %w", i, err))
		}
	}
	err := db.insert(ctx, block{table: schema.TableSlices, token: token, rows: len(rows), columns: []column{
		pick("indicator", "String", rows, func(r *schema.Slice) string { return r.Indicator }),
		pick("revision", "String", rows, func(r *schema.Slice) string { return r.Revision }),
		pick("grp", "String", rows, func(r *schema.Slice) string { return r.Group }),
		pick("slice_start", "DateTime('UTC')", rows, func(r *schema.Slice) time.Time { return r.Start }),
		pick("slice_seconds", "UInt32", rows, func(r *schema.Slice) uint32 { return r.Seconds }),
		pick("good", "Float64", rows, func(r *schema.Slice) float64 { return r.Good }),
		pick("total", "Float64", rows, func(r *schema.Slice) float64 { return r.Total }),
		pick("state", "Enum8('gap' = 0, 'measured' = 1)", rows, func(r *schema.Slice) string { return string(r.State) }),
		pick("version", "UInt64", rows, func(r *schema.Slice) uint64 { return r.Version }),
	}})
	if err != nil {
		return err
	}
	return db.sumHours(ctx, rows)
}

// newestSlices makes FINAL choose the newest version of each slice month by month, which all versions of a slice share.
var newestSlices = clickhouse.Settings{"do_not_merge_across_partitions_select_final": 1}

// askedAgain are the settings of questions that come every minute and read the same hours and days nearly every time: the engine keeps
// them uncompressed.
var askedAgain = clickhouse.Settings{"do_not_merge_across_partitions_select_final": 1, "use_uncompressed_cache": 1}

const ofSeries = " WHERE series = sipHash64({indicator:String}, {revision:String}, {group:String})"

// ofPeriod names the hours, too, since they are the beginning of the table's key.
const ofPeriod = " AND toStartOfHour(slice_start) >= toStartOfHour({from:DateTime('UTC')}) AND toStartOfHour(slice_start) <= toStartOfHour({to:DateTime('UTC')})" +
	" AND slice_start >= {from:DateTime('UTC')} AND slice_start < {to:DateTime('UTC')}"

// Slices returns the newest version of each slice that starts in [q.From, q.To), gaps included, in order of time.
func (db *DB) Slices(ctx context.Context, q schema.SliceQuery) ([]schema.Slice, error) {
	return ask(ctx, db, question{
		op: "read slices", table: schema.TableSlices, settings: newestSlices, params: sliceParams(q),
		sql: "SELECT slice_start, slice_seconds, good, total, toString(state), version FROM sli_slices FINAL" + ofSeries + ofPeriod + " ORDER BY slice_start",
	}, func(s *schema.Slice) []any {
		s.Indicator, s.Revision, s.Group = q.Indicator, q.Revision, q.Group
		return []any{&s.Start, &s.Seconds, &s.Good, &s.Total, (*string)(&s.State), &s.Version}
	})
}

// sliceParams has the bounds in whole seconds, at which slices start: so the engine finds them in its index.
func sliceParams(q schema.SliceQuery) map[string]any {
	return map[string]any{"indicator": q.Indicator, "revision": q.Revision, "group": q.Group,
		"from": wholeSecond(q.From), "to": wholeSecond(q.To)}
}

// wholeSecond is the first whole second at or after t, within the times that rows may have.
func wholeSecond(t time.Time) time.Time {
	if t.Nanosecond() > 0 {
		t = t.Truncate(time.Second).Add(time.Second)
	}
	return bounded(t, minTime)
}

// SliceGroups returns the groups that have slices starting in [q.From, q.To), in order; q.Group is not looked at.
func (db *DB) SliceGroups(ctx context.Context, q schema.SliceQuery) ([]string, error) {
	const known = " FROM sli_series WHERE indicator = {indicator:String} AND revision = {revision:String}"
	return ask(ctx, db, question{
		op: "list the groups of slices", table: schema.TableSlices, params: sliceParams(q),
		sql: `SELECT DISTINCT toString(grp) AS name` + known + ` AND sipHash64(indicator, revision, grp) IN (
			SELECT series FROM sli_slices WHERE series IN (SELECT sipHash64(indicator, revision, grp)` + known + `)` + ofPeriod + `) ORDER BY name`,
	}, one[string])
}
