package warehouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// SliceSums returns the sums of each segment, in the order of q.Segments, over the newest version of each measured slice that
// starts in it. A segment without any has zeros.
func (db *DB) SliceSums(ctx context.Context, q schema.SumsQuery) ([]schema.SliceSums, error) {
	all, err := db.SliceSumsOf(ctx, []schema.SumsQuery{q})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// SliceSumsOf answers several questions like SliceSums, in their order, with few statements. Whole hours are read from their sums,
// what segments cut off of hours from the slices.
func (db *DB) SliceSumsOf(ctx context.Context, qs []schema.SumsQuery) ([][]schema.SliceSums, error) {
	out := make([][]schema.SliceSums, len(qs))
	asked := make([]sumsPart, 0, len(qs))
	for i, q := range qs {
		out[i] = make([]schema.SliceSums, len(q.Segments))
		if p := newSumsPart(q, out[i]); len(p.pieces) > 0 {
			asked = append(asked, p)
		}
	}
	for _, group := range alike(asked) {
		if err := db.sumGroup(ctx, group); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sumsPart is one question, cut into whole hours and pieces of hours.
type sumsPart struct {
	q      schema.SumsQuery
	pieces []piece
	out    []schema.SliceSums
	// shape is the same for questions with the same pieces and the same target.
	shape string
}

// piece is the half-open stretch of time from, to (Unix seconds) of a segment: whole hours, or a part of one hour.
type piece struct {
	from, to int64
	whole    bool
	segment  int
}

const hour = 3600

func newSumsPart(q schema.SumsQuery, out []schema.SliceSums) sumsPart {
	p := sumsPart{q: q, out: out}
	for i, s := range q.Segments {
		from, to := wholeSecond(s.From).Unix(), wholeSecond(s.To).Unix()
		add := func(a, b int64, whole bool) {
			if a < b {
				p.pieces = append(p.pieces, piece{a, b, whole, i})
			}
		}
		first, last := (from+hour-1)/hour*hour, to/hour*hour
		if first > last { // within one hour
			add(from, to, false)
			continue
		}
		add(from, first, false)
		add(first, last, true)
		add(last, to, false)
	}
	var b strings.Builder
	fmt.Fprint(&b, q.SliceTarget)
	for _, c := range p.pieces {
		b.WriteByte(' ')
		b.WriteString(strconv.FormatInt(c.from, 36))
		b.WriteByte('-')
		b.WriteString(strconv.FormatInt(c.to, 36))
	}
	p.shape = b.String()
	return p
}

// Questions of one shape are asked in one statement. The others, whose segments follow incidents and the like, are asked a few at
// a time, since a statement's answer has a row for each of all their bounds.
const (
	manyAlike = 8
	mixedUp   = 32
	atOnce    = 5000 // bounds the parameters of a statement
)

// alike groups questions for statements.
func alike(asked []sumsPart) [][]sumsPart {
	slices.SortStableFunc(asked, func(a, b sumsPart) int { return cmp.Compare(a.shape, b.shape) })
	var out, mixed [][]sumsPart
	for len(asked) > 0 {
		n := 1
		for n < len(asked) && n < atOnce && asked[n].shape == asked[0].shape {
			n++
		}
		group := asked[:n]
		asked = asked[n:]
		if n >= manyAlike {
			out = append(out, group)
			continue
		}
		if m := len(mixed) - 1; m >= 0 && len(mixed[m])+n <= mixedUp && mixed[m][0].q.SliceTarget == group[0].q.SliceTarget {
			mixed[m] = append(slices.Clip(mixed[m]), group...)
			continue
		}
		mixed = append(mixed, group)
	}
	return append(out, mixed...)
}

// boundaries are what a statement groups by: the stretches between bounds, in Unix seconds and in order, of whole hours and of parts
// of the cut hours.
type boundaries struct {
	hours, parts []int64
	cut          []time.Time
}

func boundariesOf(group []sumsPart) boundaries {
	var b boundaries
	var cut []int64
	for i, p := range group {
		if i > 0 && p.shape == group[i-1].shape {
			continue
		}
		for _, c := range p.pieces {
			if c.whole {
				b.hours = append(b.hours, c.from, c.to)
				continue
			}
			b.parts = append(b.parts, c.from, c.to)
			cut = append(cut, c.from/hour*hour)
		}
	}
	for _, list := range []*[]int64{&b.hours, &b.parts, &cut} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for _, at := range cut {
		b.cut = append(b.cut, time.Unix(at, 0))
	}
	return b
}

// bucketSums are a series' sums by bucket, of whole hours and of parts of hours.
type bucketSums struct{ hours, parts []schema.SliceSums }

// sumGroup asks one statement and hands the sums to the questions' segments.
func (db *DB) sumGroup(ctx context.Context, group []sumsPart) error {
	b := boundariesOf(group)
	keys := make([]seriesKey, len(group))
	for i, p := range group {
		keys[i] = seriesKey{p.q.Indicator, p.q.Revision, p.q.Group}
	}
	ids, err := db.seriesIDs(ctx, keys)
	if err != nil {
		return err
	}
	bySeries := make(map[uint64]*bucketSums, len(ids))
	for _, id := range ids {
		bySeries[id] = &bucketSums{make([]schema.SliceSums, len(b.hours)), make([]schema.SliceSums, len(b.parts))}
	}
	if err := db.readBuckets(ctx, b, group[0].q.SliceTarget, bySeries); err != nil {
		return err
	}
	for i, p := range group {
		of := bySeries[ids[i]]
		for _, c := range p.pieces {
			bounds, sums := b.hours, of.hours
			if !c.whole {
				bounds, sums = b.parts, of.parts
			}
			first, _ := slices.BinarySearch(bounds, c.from)
			last, _ := slices.BinarySearch(bounds, c.to)
			for _, s := range sums[first:last] {
				addSums(&p.out[c.segment], s)
			}
		}
	}
	return nil
}

func addSums(to *schema.SliceSums, s schema.SliceSums) {
	to.Measured += s.Measured
	to.Valid += s.Valid
	to.GoodSlices += s.GoodSlices
	to.Good += s.Good
	to.Total += s.Total
	to.BadFraction += s.BadFraction
}

// readBuckets fills the sums of series.
func (db *DB) readBuckets(ctx context.Context, b boundaries, target float64, bySeries map[uint64]*bucketSums) error {
	params := map[string]any{"target": target, "series": slices.Sorted(maps.Keys(bySeries))}
	var statements []string
	if len(b.hours) > 0 {
		params["hours"], params["from"], params["to"] = b.hours, time.Unix(b.hours[0], 0), time.Unix(b.hours[len(b.hours)-1], 0)
		good := "perfect"
		if target < 1 {
			good += " + arrayCount(ratio -> ratio >= {target:Float64}, imperfect)"
		}
		statements = append(statements, `
			SELECT true AS whole, series, roundDown(toInt64(toUnixTimestamp(hour)), {hours:Array(Int64)}) AS bound,
				toInt64(sum(measured)), toInt64(sum(valid)), toInt64(sum(`+good+`)), sum(good), sum(total), sum(bad_fraction)
			FROM sli_hours FINAL
			WHERE hour >= {from:DateTime('UTC')} AND hour < {to:DateTime('UTC')} AND series IN {series:Array(UInt64)}
			GROUP BY series, bound`)
	}
	if len(b.parts) > 0 {
		params["parts"], params["first"], params["cut"] = b.parts, time.Unix(b.parts[0], 0), b.cut
		statements = append(statements, `
			SELECT false AS whole, series, roundDown(toInt64(toUnixTimestamp(slice_start)), {parts:Array(Int64)}) AS bound,
				toInt64(count()), toInt64(countIf(total > 0)), toInt64(countIf(total > 0 AND good / total >= {target:Float64})),
				sum(good), sum(total), sumIf((total - good) / total, total > 0)
			FROM sli_slices FINAL
			WHERE toStartOfHour(slice_start) IN {cut:Array(DateTime('UTC'))} AND slice_start >= {first:DateTime('UTC')}
				AND series IN {series:Array(UInt64)} AND state = 'measured'
			GROUP BY series, bound`)
	}
	type row struct {
		whole  bool
		series uint64
		bound  int64
		schema.SliceSums
	}
	rows, err := ask(ctx, db, question{
		op: "sum slices", table: schema.TableSlices, settings: newestSlices, params: params, sql: strings.Join(statements, " UNION ALL "),
	}, func(r *row) []any {
		return []any{&r.whole, &r.series, &r.bound, &r.Measured, &r.Valid, &r.GoodSlices, &r.Good, &r.Total, &r.BadFraction}
	})
	for _, r := range rows {
		from, sums := b.hours, bySeries[r.series].hours
		if !r.whole {
			from, sums = b.parts, bySeries[r.series].parts
		}
		if i, ok := slices.BinarySearch(from, r.bound); ok {
			sums[i] = r.SliceSums
		}
	}
	return err
}
