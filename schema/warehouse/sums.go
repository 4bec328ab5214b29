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

	"golang.org/x/sync/errgroup"

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

// SliceSumsOf answers several questions like SliceSums, in their order, with few statements. Whole days and hours are read from their
// sums, what segments cut off of hours from the slices.
func (db *DB) SliceSumsOf(ctx context.Context, qs []schema.SumsQuery) ([][]schema.SliceSums, error) {
	out := make([][]schema.SliceSums, len(qs))
	asked := make([]sumsPart, 0, len(qs))
	for i, q := range qs {
		out[i] = make([]schema.SliceSums, len(q.Segments))
		if p := newSumsPart(q, out[i]); len(p.segments) > 0 {
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

// sumsPart is one question: its segments that are not empty, and where their sums go.
type sumsPart struct {
	q        schema.SumsQuery
	segments []stretch
	out      []*schema.SliceSums
	// shape is the same for questions with the same segments and the same target.
	shape string
}

// stretch is the half-open stretch of time [from, to) in Unix seconds.
type stretch struct{ from, to int64 }

func newSumsPart(q schema.SumsQuery, out []schema.SliceSums) sumsPart {
	p := sumsPart{q: q}
	var b strings.Builder
	fmt.Fprint(&b, q.SliceTarget)
	for i, s := range q.Segments {
		c := stretch{wholeSecond(s.From).Unix(), wholeSecond(s.To).Unix()}
		if c.from >= c.to {
			continue
		}
		p.segments, p.out = append(p.segments, c), append(p.out, &out[i])
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

// buckets is what a statement reads and groups by: the stretches between bounds (Unix seconds, in order), made of whole days, whole
// hours, and parts of hours. A day or hour that any bound divides is not whole for anybody. What lies before the first bound in its
// hour has a bound of its own, the start of the hour, which nobody asks about.
type buckets struct {
	bounds             []int64
	days, hours, parts []time.Time
}

const (
	hour = 3600
	day  = 24 * hour
)

func bucketsOf(group []sumsPart) buckets {
	var b buckets
	var covered []stretch
	days := group[0].q.SliceTarget >= 1 // the days do not have the ratios of slices
	for i, p := range group {
		if i > 0 && p.shape == group[i-1].shape {
			continue
		}
		for _, s := range p.segments {
			b.bounds = append(b.bounds, s.from, s.to)
		}
		covered = append(covered, p.segments...)
	}
	slices.Sort(b.bounds)
	b.bounds = slices.Compact(b.bounds)
	if start := b.bounds[0] / hour * hour; start < b.bounds[0] {
		b.bounds = slices.Insert(b.bounds, 0, start)
	}
	slices.SortFunc(covered, func(x, y stretch) int { return cmp.Compare(x.from, y.from) })
	until := int64(0)
	for i := 1; i < len(b.bounds); i++ {
		c := stretch{b.bounds[i-1], b.bounds[i]}
		for len(covered) > 0 && covered[0].from <= c.from {
			until = max(until, covered[0].to)
			covered = covered[1:]
		}
		if c.to <= until { // else nobody asks about it
			b.cut(c, days)
		}
	}
	b.parts = slices.CompactFunc(b.parts, time.Time.Equal)
	return b
}

// cut adds the days, hours and parts of hours that make up a stretch.
func (b *buckets) cut(c stretch, days bool) {
	for at := c.from; at < c.to; {
		switch {
		case days && at%day == 0 && at+day <= c.to:
			b.days = append(b.days, time.Unix(at, 0))
			at += day
		case at%hour == 0 && at+hour <= c.to:
			b.hours = append(b.hours, time.Unix(at, 0))
			at += hour
		default:
			at = at / hour * hour
			b.parts = append(b.parts, time.Unix(at, 0))
			at += hour
		}
	}
}

// sumGroup asks one statement and hands the sums to the questions' segments.
func (db *DB) sumGroup(ctx context.Context, group []sumsPart) error {
	b := bucketsOf(group)
	keys := make([]seriesKey, len(group))
	for i, p := range group {
		keys[i] = seriesKey{p.q.Indicator, p.q.Revision, p.q.Group}
	}
	ids, err := db.seriesIDs(ctx, keys)
	if err != nil {
		return err
	}
	bySeries := make(map[uint64][]schema.SliceSums, len(ids))
	for _, id := range ids {
		bySeries[id] = make([]schema.SliceSums, len(b.bounds))
	}
	if err := db.readBuckets(ctx, b, group[0].q.SliceTarget, bySeries); err != nil {
		return err
	}
	for i, p := range group {
		sums := bySeries[ids[i]]
		for k, c := range p.segments {
			first, _ := slices.BinarySearch(b.bounds, c.from)
			last, _ := slices.BinarySearch(b.bounds, c.to)
			for _, s := range sums[first:last] {
				addSums(p.out[k], s)
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

// The statements of sums, each with the parameter that names its rows: of days, of hours, and of what bounds cut hours into. They are as
// plain as can be, without a subquery over all of them: what they cost is nearly all the engine's planning. %s is which series.
var (
	sumsOfDays           = sumsOf("sli_days", "day", "days", "sum(perfect)")
	sumsOfHours          = sumsOf("sli_hours", "hour", "hours", "sum(perfect)")
	sumsOfImperfectHours = sumsOf("sli_hours", "hour", "hours", "sum(perfect + arrayCount(ratio -> ratio >= {target:Float64}, imperfect))")
)

const boundOf = ", roundDown(toUnixTimestamp(%s), {bounds:Array(UInt32)}) AS bound, "

func sumsOf(table, at, param, goodSlices string) string {
	return "SELECT series" + strings.ReplaceAll(boundOf, "%s", at) + "sum(measured), sum(valid), " + goodSlices + `, sum(good), sum(total), sum(bad_fraction)
		FROM ` + table + " FINAL WHERE " + at + " IN {" + param + ":Array(DateTime('UTC'))} AND %s GROUP BY series, bound"
}

var sumsOfParts = "SELECT series" + strings.ReplaceAll(boundOf, "%s", "slice_start") + `count(), countIf(total > 0),
		countIf(total > 0 AND good / total >= {target:Float64}), sum(good), sum(total), sumIf((total - good) / total, total > 0)
	FROM sli_slices FINAL WHERE toStartOfHour(slice_start) IN {parts:Array(DateTime('UTC'))} AND %s AND state = 'measured' GROUP BY series, bound`

// readBuckets fills the sums of series, by one statement for the days and hours and at the same time one for the slices.
func (db *DB) readBuckets(ctx context.Context, b buckets, target float64, bySeries map[uint64][]schema.SliceSums) error {
	these, err := db.theseSeries(ctx, slices.Sorted(maps.Keys(bySeries)))
	if err != nil {
		return err
	}
	var sums []string
	if len(b.days) > 0 {
		sums = append(sums, sumsOfDays)
	}
	if len(b.hours) > 0 && target >= 1 {
		sums = append(sums, sumsOfHours)
	} else if len(b.hours) > 0 {
		sums = append(sums, sumsOfImperfectHours)
	}
	params := map[string]any{"target": target, "series": these.param, "bounds": b.bounds, "days": b.days, "hours": b.hours, "parts": b.parts}
	var whole, cut []bucketRow
	both, ctx := errgroup.WithContext(ctx)
	if len(sums) > 0 {
		both.Go(func() (err error) {
			whole, err = db.readSums(ctx, strings.ReplaceAll(strings.Join(sums, " UNION ALL "), "%s", these.condition), params)
			return err
		})
	}
	if len(b.parts) > 0 {
		both.Go(func() (err error) {
			cut, err = db.readSums(ctx, strings.ReplaceAll(sumsOfParts, "%s", these.condition), params)
			return err
		})
	}
	if err := both.Wait(); err != nil {
		return err
	}
	for _, rows := range [][]bucketRow{whole, cut} {
		for _, r := range rows {
			sums, asked := bySeries[r.series]
			if i, ok := slices.BinarySearch(b.bounds, int64(r.bound)); ok && asked {
				addSums(&sums[i], r.sums())
			}
		}
	}
	return nil
}

// bucketRow is what a series has from a bound to the next one; there may be one of days and one of hours.
type bucketRow struct {
	series                   uint64
	bound                    uint32
	measured, valid, perfect uint64
	good, total, badFraction float64
}

func (r *bucketRow) sums() schema.SliceSums {
	return schema.SliceSums{
		Measured: int64(r.measured), Valid: int64(r.valid), GoodSlices: int64(r.perfect), Good: r.good, Total: r.total, BadFraction: r.badFraction,
	}
}

// readSums reads what there is from bound to bound.
func (db *DB) readSums(ctx context.Context, sql string, params map[string]any) ([]bucketRow, error) {
	return ask(ctx, db, question{op: "sum slices", table: schema.TableSlices, settings: askedAgain, params: params, sql: sql}, func(r *bucketRow) []any {
		return []any{&r.series, &r.bound, &r.measured, &r.valid, &r.perfect, &r.good, &r.total, &r.badFraction}
	})
}
