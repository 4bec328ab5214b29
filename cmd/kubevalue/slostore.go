package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// sliceStore is what the SLO engine needs of the warehouse.
type sliceStore interface {
	SliceSums(ctx context.Context, q schema.SumsQuery) ([]schema.SliceSums, error)
	// SliceSumsOf answers several questions at once, in their order.
	SliceSumsOf(ctx context.Context, qs []schema.SumsQuery) ([][]schema.SliceSums, error)
	CompositeSums(ctx context.Context, q schema.CompositeQuery) ([]schema.SliceSums, error)
	Slices(ctx context.Context, q schema.SliceQuery) ([]schema.Slice, error)
	// SeriesMarks are when series began and, for questions about a short time, which of their slices are measured, in their order.
	SeriesMarks(ctx context.Context, qs []schema.SliceQuery) ([]schema.SeriesMarks, error)
	SliceGroups(ctx context.Context, q schema.SliceQuery) ([]string, error)
}

// publishedStore is where closed periods and the versions of definitions are.
type publishedStore interface {
	// SliceVersions are texts that change with the slices of a series' period.
	SliceVersions(ctx context.Context, qs []schema.SliceQuery) ([]string, error)
	InsertPublished(ctx context.Context, token string, rows []schema.Published) error
	Published(ctx context.Context, kind string, p schema.PublishedPeriod) ([]schema.Published, error)
	InsertObjectives(ctx context.Context, rows []schema.ObjectiveVersion) error
	Objectives(ctx context.Context) ([]schema.ObjectiveVersion, error)
}

// indicator names the slices that an objective, or a child of a composite, is computed from.
type indicator struct{ Name, Revision, Group string }

// query asks for the indicator's slices that start in [from, to).
func (i indicator) query(from, to time.Time) schema.SliceQuery {
	return schema.SliceQuery{Indicator: i.Name, Revision: i.Revision, Group: i.Group, From: from, To: to}
}

// sums asks for the sums of an objective's slices in segments.
func (i indicator) sums(o slo.Objective, segments []schema.Segment) schema.SumsQuery {
	return schema.SumsQuery{Indicator: i.Name, Revision: i.Revision, Group: i.Group, SliceTarget: o.GoodFrom(), Segments: segments}
}

// evaluateAll computes statuses from the tables: sums per segment of the plans in SQL, all at once, the formulas in package slo. An
// error is of the tables; what is wrong with one question is in its answer.
func evaluateAll(ctx context.Context, store sliceStore, qs []question) ([]answer, error) {
	out := make([]answer, len(qs))
	plans := make([]*slo.Plan, len(qs))
	sums := make([][]schema.SumsQuery, len(qs))
	_ = onAllCores(len(qs), func(i int) error {
		plans[i], sums[i], out[i].err = qs[i].plan()
		return nil // what is wrong with one is in its answer
	})
	all, err := store.SliceSumsOf(ctx, slices.Concat(sums...))
	if err != nil {
		return nil, fmt.Errorf("sums of slices: %w", err)
	}
	found := make([][][]schema.SliceSums, len(qs))
	for i := range qs {
		found[i], all = all[:len(sums[i])], all[len(sums[i]):]
	}
	return out, onAllCores(len(qs), func(i int) error {
		if out[i].err == nil {
			out[i] = evaluate(ctx, store, qs[i], plans[i], found[i])
		}
		return ctx.Err()
	})
}

// plan is the question's plan with the sums that it needs, none for a composite.
func (q question) plan() (*slo.Plan, []schema.SumsQuery, error) {
	if q.err != nil {
		return nil, nil, q.err
	}
	plan, err := slo.NewPlan(q.req)
	if err != nil || q.req.Objective.Composite != nil {
		return plan, nil, err
	}
	segments := plannedSegments(plan)
	var sums []schema.SumsQuery
	for _, ind := range q.indicators() {
		sums = append(sums, ind.sums(q.req.Objective, segments))
	}
	return plan, sums, nil
}

// evaluate answers one question with the sums of its indicators' segments.
func evaluate(ctx context.Context, store sliceStore, q question, plan *slo.Plan, found [][]schema.SliceSums) (a answer) {
	switch {
	case q.req.Objective.Composite != nil:
		a.status, a.err = evaluateComposite(ctx, store, plan, q.req, q.o.Of)
	case q.o.grouped():
		var groups slo.GroupStatus
		groups, a.err = plan.EvaluateGroups(groupSums(q.members, found))
		a.status, a.groups = groups.Total, &groups
	default:
		a.status, a.err = plan.Evaluate(pureSums(found[0]))
	}
	return a
}

// onAllCores calls do for each number below n, and returns the first error.
func onAllCores(n int, do func(i int) error) error {
	var group errgroup.Group
	var next atomic.Int64
	for range min(n, runtime.GOMAXPROCS(0)) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := do(i); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

func plannedSegments(p *slo.Plan) []schema.Segment {
	segments := p.Segments()
	out := make([]schema.Segment, len(segments))
	for i, s := range segments {
		out[i] = schema.Segment(s)
	}
	return out
}

func groupSums(members []member, found [][]schema.SliceSums) []slo.GroupSums {
	var out []slo.GroupSums
	for i, m := range members {
		out = append(out, slo.GroupSums{Group: m.group, Sums: pureSums(found[i])})
	}
	return out
}

// evaluateStored computes one status from the tables.
func evaluateStored(ctx context.Context, store sliceStore, req slo.Request, of map[string]indicator) (slo.Status, error) {
	all, err := evaluateAll(ctx, store, []question{{o: configuredObjective{Of: of}, req: req}})
	if err != nil {
		return slo.Status{}, err
	}
	return all[0].status, all[0].err
}

// evaluateComposite adds up the composite's slices in SQL, where they follow from its children's one by one.
func evaluateComposite(ctx context.Context, store sliceStore, plan *slo.Plan, req slo.Request, of map[string]indicator) (slo.Status, error) {
	sums, err := objectiveSums(ctx, store, req.Objective, of, plannedSegments(plan))
	if err != nil {
		return slo.Status{}, err
	}
	return plan.Evaluate(sums)
}

// objectiveSums are the sums of an objective's slices in segments.
func objectiveSums(ctx context.Context, store sliceStore, o slo.Objective, of map[string]indicator, segments []schema.Segment) ([]slo.Sums, error) {
	var rows []schema.SliceSums
	var err error
	if c := o.Composite; c != nil {
		q := schema.CompositeQuery{AnyDown: c.Kind == slo.AnyDown, Segments: segments}
		for _, child := range c.Of {
			ind := of[child.Name]
			q.Of = append(q.Of, schema.CompositeChild{Indicator: ind.Name, Revision: ind.Revision, Group: ind.Group, Weight: child.Weight, GoodFrom: child.GoodFrom()})
		}
		rows, err = store.CompositeSums(ctx, q)
	} else {
		rows, err = store.SliceSums(ctx, of[o.Name].sums(o, segments))
	}
	if err != nil {
		return nil, fmt.Errorf("sums of slices of %s: %w", o.Name, err)
	}
	return pureSums(rows), nil
}

// storedSlices are the slices of an objective's indicators that start in a period, by the child's name for a composite.
func storedSlices(ctx context.Context, store sliceStore, objective string, of map[string]indicator, period slo.Interval) (map[string][]slo.Slice, error) {
	out := map[string][]slo.Slice{}
	for name, ind := range of {
		rows, err := store.Slices(ctx, ind.query(period.From, period.To))
		if err != nil {
			return nil, fmt.Errorf("objective %s, slices of %s: %w", objective, name, err)
		}
		out[name] = pureSlices(rows)
	}
	return out, nil
}

func pureSums(rows []schema.SliceSums) []slo.Sums {
	out := make([]slo.Sums, len(rows))
	for i, r := range rows {
		out[i] = slo.Sums(r)
	}
	return out
}

func pureSlices(rows []schema.Slice) []slo.Slice {
	out := make([]slo.Slice, len(rows))
	for i, r := range rows {
		out[i] = slo.Slice{Start: r.Start, Good: r.Good, Total: r.Total, State: slo.State(r.State)}
	}
	return out
}
