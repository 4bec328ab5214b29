package warehouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Resummed is what a comparison of sums with their slices found.
type Resummed struct {
	// Compared is how many sums of hours and days there were, Wrong how many of them were missing or not those of their slices.
	Compared, Wrong int64
}

// sumLevel is a table of sums over stretches of time, which column at begins.
type sumLevel struct{ table, at, bucket, alsoWrong, also string }

var sumLevels = []sumLevel{
	{"sli_hours", "hour", "toStartOfHour(slice_start)", " OR arraySort(stored.imperfect) != arraySort(expected.imperfect)",
		", groupArrayIf(g / n, state = 'measured' AND n > 0 AND g / n < 1) AS imperfect"},
	{"sli_days", "day", "toStartOfDay(slice_start)", "", ""},
}

// wrongSum is a sum that is not that of its slices: replaced is the version of the stored one that would outlive a new one, else empty.
type wrongSum struct {
	at       time.Time
	series   uint64
	replaced string
}

// Resum compares the sums of a day (UTC) with its slices, and writes those that are wrong anew when mend is set. Sums whose slices have
// gone, by the retention of slices, stay as they are. A sum of what is being inserted at the moment may be found wrong, and is made right.
func (db *DB) Resum(ctx context.Context, day time.Time, mend bool) (Resummed, error) {
	var out Resummed
	from := day.UTC().Truncate(24 * time.Hour)
	wrong := make([][]wrongSum, len(sumLevels))
	var touched []wrongSum
	for i, level := range sumLevels {
		compared, found, err := db.wrongSums(ctx, level, from)
		if err != nil {
			return out, err
		}
		out.Compared, out.Wrong = out.Compared+compared, out.Wrong+int64(len(found))
		wrong[i], touched = found, append(touched, found...)
	}
	if !mend || len(touched) == 0 {
		return out, nil
	}
	rows, err := db.namesOf(ctx, touched)
	if err != nil {
		return out, err
	}
	// Days follow from hours: wrong ones have to be gone before.
	for i, level := range sumLevels {
		if err := db.dropReplaced(ctx, level, wrong[i]); err != nil {
			return out, err
		}
	}
	if err := db.sumHours(ctx, rows); err != nil {
		return out, err
	}
	for _, level := range sumLevels {
		_, left, err := db.wrongSums(ctx, level, from)
		if err == nil && len(left) > 0 {
			err = failed("sum slices anew", level.table, fmt.Errorf("%d sums of %s are still not those of their slices: is somebody writing them? try again", len(left), from.Format(time.DateOnly)))
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// wrongSums compares the sums of a day. Sums of floating-point numbers depend on the order in which they are added.
func (db *DB) wrongSums(ctx context.Context, level sumLevel, from time.Time) (compared int64, wrong []wrongSum, err error) {
	apart := func(column string) string {
		return "abs(stored." + column + " - expected." + column + ") > 1e-9 * greatest(1, abs(expected." + column + "))"
	}
	differ := []string{"stored.version != expected.version", "stored.measured != expected.measured", "stored.valid != expected.valid",
		"stored.perfect != expected.perfect", apart("good"), apart("total"), apart("bad_fraction")}
	type row struct {
		compared uint64
		at       []time.Time
		series   []uint64
		replaced []string
	}
	found, _, err := askOne(ctx, db, question{
		op: "compare sums with slices", table: level.table, settings: newestSlices, params: map[string]any{"from": from, "to": from.Add(24 * time.Hour)},
		sql: `SELECT count(), groupArrayIf(at, wrong), groupArrayIf(series, wrong), groupArrayIf(replaced, wrong) FROM (
			SELECT expected.at AS at, expected.series AS series, (` + strings.Join(differ, " OR ") + level.alsoWrong + `) AS wrong,
				if(stored.version > expected.version, toString(stored.version), '') AS replaced
			FROM (
				SELECT ` + level.bucket + ` AS at, series, countIf(state = 'measured') AS measured, countIf(state = 'measured' AND n > 0) AS valid,
					countIf(state = 'measured' AND n > 0 AND g / n >= 1) AS perfect, sumIf(g, state = 'measured') AS good, sumIf(n, state = 'measured') AS total,
					sumIf((n - g) / n, state = 'measured' AND n > 0) AS bad_fraction, sum(toUInt128(v)) AS version` + level.also + `
				FROM (SELECT slice_start, series, state, good AS g, total AS n, version AS v FROM sli_slices FINAL
					WHERE toStartOfHour(slice_start) >= {from:DateTime('UTC')} AND toStartOfHour(slice_start) < {to:DateTime('UTC')}) AS newest
				GROUP BY at, series) AS expected
			LEFT JOIN (SELECT ` + level.at + ` AS at, * FROM ` + level.table + ` FINAL
				WHERE ` + level.at + ` >= {from:DateTime('UTC')} AND ` + level.at + ` < {to:DateTime('UTC')}) AS stored
			ON expected.at = stored.at AND expected.series = stored.series)`,
	}, func(r *row) []any { return []any{&r.compared, &r.at, &r.series, &r.replaced} })
	if err != nil {
		return 0, nil, err
	}
	for i := range found.at {
		wrong = append(wrong, wrongSum{found.at[i], found.series[i], found.replaced[i]})
	}
	return int64(found.compared), wrong, nil
}

// namesOf names the series of sums, as slices at their beginnings.
func (db *DB) namesOf(ctx context.Context, sums []wrongSum) ([]schema.Slice, error) {
	type row struct {
		series uint64
		key    seriesKey
	}
	all, err := ask(ctx, db, question{
		op: "name the series", table: "sli_slices", params: map[string]any{"from": sums[0].at.Truncate(24 * time.Hour), "to": sums[0].at.Truncate(24 * time.Hour).Add(24 * time.Hour)},
		sql: `SELECT series, toString(any(indicator)), toString(any(revision)), toString(any(grp)) FROM sli_slices
			WHERE toStartOfHour(slice_start) >= {from:DateTime('UTC')} AND toStartOfHour(slice_start) < {to:DateTime('UTC')} GROUP BY series`,
	}, func(r *row) []any { return []any{&r.series, &r.key.indicator, &r.key.revision, &r.key.group} })
	if err != nil {
		return nil, err
	}
	names := make(map[uint64]seriesKey, len(all))
	for _, r := range all {
		names[r.series] = r.key
	}
	out := make([]schema.Slice, len(sums))
	for i, s := range sums {
		k := names[s.series]
		out[i] = schema.Slice{Indicator: k.indicator, Revision: k.revision, Group: k.group, Start: s.at}
	}
	return out, nil
}

// dropReplaced removes wrong sums that a right one with a lower version cannot replace: those very rows, since another writer may have
// stored a newer one meanwhile.
func (db *DB) dropReplaced(ctx context.Context, level sumLevel, wrong []wrongSum) error {
	var rows []string
	for _, w := range wrong {
		if w.replaced != "" {
			rows = append(rows, "("+strconv.FormatInt(w.at.Unix(), 10)+", "+strconv.FormatUint(w.series, 10)+", '"+w.replaced+"')")
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return db.deleteRows(ctx, level.table, "(toUnixTimestamp("+level.at+"), series, toString(version)) IN ("+strings.Join(rows, ", ")+")")
}

// OldestSlice is the start of the first slice of all series; zero when there is none.
func (db *DB) OldestSlice(ctx context.Context) (time.Time, error) {
	first, found, err := askOne(ctx, db, question{op: "find the first slice", table: "sli_series", sql: "SELECT min(first) FROM sli_series HAVING count() > 0"}, one[time.Time])
	if err != nil || !found {
		return time.Time{}, err
	}
	return first, nil
}
