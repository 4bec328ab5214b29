package warehouse

import (
	"context"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// The statements of composites: the inner one makes a row of each step from its children's slices, the outer ones add up what is in the
// composite's own slices, as package slo defines them. A composite's slice is 1 of 1 at most.
const (
	stepsOfChildren = `
		SELECT slice_start, count() AS known, sumIf(weight, total > 0) AS weights, sumIf(weight * (good / total), total > 0) AS up,
			countIf(total > 0 AND good / total < good_from) AS down
		FROM (
			SELECT slice_start, good, total, transform(series, {series:Array(UInt64)}, {weights:Array(Float64)}, toFloat64(0)) AS weight,
				transform(series, {series:Array(UInt64)}, {goodFrom:Array(Float64)}, toFloat64(0)) AS good_from
			FROM sli_slices FINAL
			WHERE series IN {series:Array(UInt64)}` + ofPeriod + ` AND state = 'measured'
		)
		GROUP BY slice_start`

	boundOfStep = "SELECT roundDown(toUnixTimestamp(slice_start), {bounds:Array(UInt32)}) AS bound, "

	sumsOfWeighted = boundOfStep + `countIf(known = {children:UInt32}), countIf(known = {children:UInt32} AND weights > 0),
			countIf(known = {children:UInt32} AND weights > 0 AND up >= weights),
			sumIf(least(1, up / weights), known = {children:UInt32} AND weights > 0), sumIf(1 - least(1, up / weights), known = {children:UInt32} AND weights > 0)
		FROM (` + stepsOfChildren + `) GROUP BY bound`

	sumsOfAnyDown = boundOfStep + `countIf(down > 0 OR known = {children:UInt32}), countIf(down > 0 OR known = {children:UInt32} AND weights > 0),
			countIf(down = 0 AND known = {children:UInt32} AND weights > 0),
			toFloat64(countIf(down = 0 AND known = {children:UInt32} AND weights > 0)), toFloat64(countIf(down > 0))
		FROM (` + stepsOfChildren + `) GROUP BY bound`
)

// CompositeSums returns the sums of a composite's slices in each segment, in the order of q.Segments, computed step by step from the newest
// version of its children's. A segment without any has zeros.
func (db *DB) CompositeSums(ctx context.Context, q schema.CompositeQuery) ([]schema.SliceSums, error) {
	out := make([]schema.SliceSums, len(q.Segments))
	part := newSumsPart(schema.SumsQuery{Segments: q.Segments}, out)
	if len(part.segments) == 0 {
		return out, nil
	}
	var bounds []int64
	for _, s := range part.segments {
		bounds = append(bounds, s.from, s.to)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	params, err := db.childrenOf(ctx, q)
	if err != nil {
		return nil, err
	}
	params["bounds"], params["from"], params["to"] = bounds, time.Unix(bounds[0], 0), time.Unix(bounds[len(bounds)-1], 0)
	type row struct {
		bound                  uint32
		measured, valid, whole uint64
		good, bad              float64
	}
	sql := sumsOfWeighted
	if q.AnyDown {
		sql = sumsOfAnyDown
	}
	rows, err := ask(ctx, db, question{op: "sum the slices of a composite", table: schema.TableSlices, settings: askedAgain, params: params, sql: sql},
		func(r *row) []any { return []any{&r.bound, &r.measured, &r.valid, &r.whole, &r.good, &r.bad} })
	if err != nil {
		return nil, err
	}
	sums := make([]schema.SliceSums, len(bounds))
	for _, r := range rows {
		if i, ok := slices.BinarySearch(bounds, int64(r.bound)); ok {
			sums[i] = schema.SliceSums{Measured: int64(r.measured), Valid: int64(r.valid), GoodSlices: int64(r.whole), Good: r.good, Total: float64(r.valid), BadFraction: r.bad}
		}
	}
	for k, c := range part.segments {
		first, _ := slices.BinarySearch(bounds, c.from)
		last, _ := slices.BinarySearch(bounds, c.to)
		for _, s := range sums[first:last] {
			addSums(part.out[k], s)
		}
	}
	return out, nil
}

// childrenOf are a composite's series, with the weight of each and from what ratio on it is good. Children of one series are one, with the
// weights of both and the stricter ratio.
func (db *DB) childrenOf(ctx context.Context, q schema.CompositeQuery) (map[string]any, error) {
	keys := make([]seriesKey, len(q.Of))
	for i, c := range q.Of {
		keys[i] = seriesKey{c.Indicator, c.Revision, c.Group}
	}
	ids, err := db.seriesIDs(ctx, keys)
	if err != nil {
		return nil, err
	}
	var series []uint64
	var weights, goodFrom []float64
	for i, c := range q.Of {
		if k := slices.Index(series, ids[i]); k >= 0 {
			weights[k], goodFrom[k] = weights[k]+c.Weight, max(goodFrom[k], c.GoodFrom)
			continue
		}
		series, weights, goodFrom = append(series, ids[i]), append(weights, c.Weight), append(goodFrom, c.GoodFrom)
	}
	return map[string]any{"series": series, "weights": weights, "goodFrom": goodFrom, "children": len(series)}, nil
}
