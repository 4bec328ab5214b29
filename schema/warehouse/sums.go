package warehouse

import (
	"context"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// SliceSums returns the sums of each segment, in the order of q.Segments, over the newest version of each measured slice that
// starts in it. A segment without any has zeros.
func (db *DB) SliceSums(ctx context.Context, q schema.SumsQuery) ([]schema.SliceSums, error) {
	sums := make([]schema.SliceSums, len(q.Segments))
	bounds, segmentOf := segmentBounds(q.Segments)
	if len(segmentOf) == 0 {
		return sums, nil
	}
	type row struct {
		bound int64
		schema.SliceSums
	}
	// The bounds cut the time into buckets, a segment being one of them: each slice finds its own by binary search.
	rows, err := ask(ctx, db, question{
		op: "sum slices", table: schema.TableSlices, settings: newestSlices,
		params: map[string]any{
			"indicator": q.Indicator, "revision": q.Revision, "group": q.Group, "target": q.SliceTarget, "bounds": bounds,
			"from": time.Unix(bounds[0], 0), "to": time.Unix(bounds[len(bounds)-1], 0),
		},
		sql: `SELECT toInt64(roundDown(toInt64(toUnixTimestamp(slice_start)), {bounds:Array(Int64)})) AS bound,
			toInt64(count()), toInt64(countIf(total > 0)), toInt64(countIf(total > 0 AND good / total >= {target:Float64})),
			sum(good), sum(total), sumIf((total - good) / total, total > 0)
			FROM sli_slices FINAL` + ofSlices + ` AND grp = {group:String}` + ofPeriod + ` AND state = 'measured' GROUP BY bound`,
	}, func(r *row) []any {
		return []any{&r.bound, &r.Measured, &r.Valid, &r.GoodSlices, &r.Good, &r.Total, &r.BadFraction}
	})
	for _, r := range rows {
		if i, ok := segmentOf[r.bound]; ok {
			sums[i] = r.SliceSums
		}
	}
	return sums, err
}

// segmentBounds lists where segments begin and end, in Unix seconds, in order, and which segment begins where.
func segmentBounds(segments []schema.Segment) (bounds []int64, segmentOf map[int64]int) {
	segmentOf = map[int64]int{}
	for i, s := range segments {
		from, to := wholeSecond(s.From).Unix(), wholeSecond(s.To).Unix()
		if from < to {
			bounds = append(bounds, from, to)
			segmentOf[from] = i
		}
	}
	slices.Sort(bounds)
	return slices.Compact(bounds), segmentOf
}
