package promquery

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// chunk is how many slices a question is about at most; a server refuses more than 11,000.
const chunk = 720

// fetcher asks one server.
type fetcher struct {
	ask     Ask
	known   Known
	timeout time.Duration
	now     func() time.Time
}

// fetch returns what is new about the slices that start in [from, to), chunk of them at most, in order of time: a gap does not
// replace what was measured, and what is known already is left out.
func (f fetcher) fetch(ctx context.Context, p *plan, from, to time.Time) ([]schema.Slice, error) {
	r := Range{First: from.Add(p.Slice), Last: to, Step: p.Slice}
	answers := map[role]map[int64]float64{}
	for _, role := range []role{roleTotal, rolePart, roleFresh, roleValue} {
		query, ok := p.queries[role]
		if !ok {
			continue
		}
		within, cancel := context.WithTimeout(ctx, f.timeout)
		matrix, err := f.ask(within, query, r)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("ask for %s to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), err)
		}
		if answers[role], err = points(matrix); err != nil {
			return nil, fmt.Errorf("query %s: %w", query, err)
		}
	}
	version := uint64(f.now().UnixMilli())
	var found []schema.Slice
	gaps := false
	for start := from; start.Before(to); start = start.Add(p.Slice) {
		s := p.slice(start, answers)
		s.Version = version
		gaps = gaps || s.State == schema.SliceGap
		found = append(found, s)
	}
	if len(found) == 1 && !gaps {
		return found, nil // the slice that has just ended
	}
	known, err := f.known(ctx, p.query(from, to))
	if err != nil {
		return nil, fmt.Errorf("which slices are known: %w", err)
	}
	return news(found, known), nil
}

// news leaves out what is known, and gaps where something was measured.
func news(found, known []schema.Slice) []schema.Slice {
	old := make(map[int64]schema.Slice, len(known))
	for _, s := range known {
		old[s.Start.Unix()] = s
	}
	return slices.DeleteFunc(found, func(s schema.Slice) bool {
		k, ok := old[s.Start.Unix()]
		same := k.State == s.State && k.Good == s.Good && k.Total == s.Total
		return ok && (same || s.State == schema.SliceGap)
	})
}

// points are the values of the one series of an answer, by Unix second.
func points(m model.Matrix) (map[int64]float64, error) {
	if len(m) > 1 {
		return nil, fmt.Errorf("%d series, the first %s: want one, so aggregate them", len(m), m[0].Metric)
	}
	out := map[int64]float64{}
	for _, series := range m {
		for _, v := range series.Values {
			out[v.Timestamp.Unix()] = float64(v.Value)
		}
	}
	return out, nil
}

// slice is what the answers say of the slice that starts at a time.
func (p *plan) slice(start time.Time, answers map[role]map[int64]float64) schema.Slice {
	s := schema.Slice{
		Indicator: p.Name, Revision: p.revision, Start: start, Seconds: uint32(p.Slice / time.Second), State: schema.SliceGap,
	}
	good, total, ok := p.judge(start.Add(p.Slice).Unix(), answers)
	if ok {
		s.Good, s.Total, s.State = good, total, schema.SliceMeasured
	}
	return s
}

// freshness is how old the newest sample may be, as a multiple of the slice: scrapes are not quite regular.
const freshness = 1.1

// judge counts the events of the slice that ends at a time; false: nothing was measured.
func (p *plan) judge(end int64, answers map[role]map[int64]float64) (good, total float64, ok bool) {
	if _, single := p.queries[roleValue]; single {
		v, ok := answers[roleValue][end]
		return p.judgeValue(v, ok)
	}
	total, ok = answers[roleTotal][end]
	part := answers[rolePart][end] // 0 where there is no series
	if p.Counter {
		stamp, seen := answers[roleFresh][end]
		ok = ok && seen && stamp > float64(end)-freshness*p.Slice.Seconds()
	}
	part, fits := fit(part, total, max(slack*total, min(1, total)))
	if !ok || !fits {
		return 0, 0, false
	}
	if p.Bad != "" {
		return total - part, total, true
	}
	return part, total, true
}

func (p *plan) judgeValue(v float64, ok bool) (good, total float64, measured bool) {
	if !ok || math.IsNaN(v) {
		return 0, 0, false
	}
	if p.Threshold != "" {
		holds := map[string]bool{"lt": v < p.Value, "lte": v <= p.Value, "gt": v > p.Value, "gte": v >= p.Value}
		if holds[p.Op] {
			return 1, 1, true
		}
		return 0, 1, true
	}
	v, fits := fit(v, 1, slack)
	if p.RawFailure {
		v = 1 - v
	}
	return v, 1, fits
}

// slack is by how much a part may exceed its whole, as a share of it or in events: counters are read one after the other, and
// increase() rounds each in its own way. The part is the whole then.
const slack = 0.01

// fit bounds a part by its whole, which it may exceed by some; false: they cannot be true.
func fit(part, total, excess float64) (float64, bool) {
	switch {
	case math.IsNaN(part), math.IsNaN(total), math.IsInf(part, 0), math.IsInf(total, 0):
		return 0, false
	case part < -slack || total < 0 || part > total+excess:
		return 0, false
	}
	return min(max(part, 0), total), true
}

// query asks for the indicator's slices that start in [from, to).
func (p *plan) query(from, to time.Time) schema.SliceQuery {
	return schema.SliceQuery{Indicator: p.Name, Revision: p.revision, From: from, To: to}
}

// floor is the start of the slice that a time lies in.
func (p *plan) floor(t time.Time) time.Time { return collectors.SliceStart(t, p.Slice) }
