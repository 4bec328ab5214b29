package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// sliceStore is what the SLO engine needs of the warehouse.
type sliceStore interface {
	SliceSums(ctx context.Context, q schema.SumsQuery) ([]schema.SliceSums, error)
	Slices(ctx context.Context, q schema.SliceQuery) ([]schema.Slice, error)
	// FirstSlice is the start of the oldest slice; false when there is none.
	FirstSlice(ctx context.Context, indicator, revision, group string) (time.Time, bool, error)
}

// indicator names the slices that an objective, or a child of a composite, is computed from.
type indicator struct{ Name, Revision, Group string }

// evaluateStored computes a status from the tables: sums per segment of the plan in SQL, the formulas in package slo. A composite needs
// its children's slices themselves, since its own follow from them one by one.
func evaluateStored(ctx context.Context, store sliceStore, req slo.Request, of map[string]indicator) (slo.Status, error) {
	plan, err := slo.NewPlan(req)
	if err != nil {
		return slo.Status{}, err
	}
	if req.Objective.Composite != nil {
		return evaluateComposite(ctx, store, plan, req, of)
	}
	ind := of[req.Objective.Name]
	q := schema.SumsQuery{Indicator: ind.Name, Revision: ind.Revision, Group: ind.Group, SliceTarget: req.Objective.SliceTarget()}
	for _, s := range plan.Segments() {
		q.Segments = append(q.Segments, schema.Segment{From: s.From, To: s.To})
	}
	rows, err := store.SliceSums(ctx, q)
	if err != nil {
		return slo.Status{}, fmt.Errorf("objective %s: %w", req.Objective.Name, err)
	}
	sums := make([]slo.Sums, len(rows))
	for i, r := range rows {
		sums[i] = pureSums(r)
	}
	return plan.Evaluate(sums)
}

func evaluateComposite(ctx context.Context, store sliceStore, plan *slo.Plan, req slo.Request, of map[string]indicator) (slo.Status, error) {
	segments := plan.Segments()
	if len(segments) == 0 {
		return plan.Evaluate(nil)
	}
	combined, err := compositeSlices(ctx, store, req, of, slo.Interval{From: segments[0].From, To: segments[len(segments)-1].To})
	if err != nil {
		return slo.Status{}, err
	}
	return slo.Evaluate(req, combined)
}

// compositeSlices are the slices of a composite that start in a period.
func compositeSlices(ctx context.Context, store sliceStore, req slo.Request, of map[string]indicator, period slo.Interval) ([]slo.Slice, error) {
	children := map[string][]slo.Slice{}
	for _, child := range req.Objective.Composite.Of {
		ind := of[child.Name]
		rows, err := store.Slices(ctx, schema.SliceQuery{Indicator: ind.Name, Revision: ind.Revision, Group: ind.Group, From: period.From, To: period.To})
		if err != nil {
			return nil, fmt.Errorf("objective %s, child %s: %w", req.Objective.Name, child.Name, err)
		}
		children[child.Name] = pureSlices(rows)
	}
	combined, err := req.Objective.Composite.Slices(req.Grid, children)
	if err != nil {
		return nil, fmt.Errorf("objective %s: %w", req.Objective.Name, err)
	}
	return combined, nil
}

func pureSums(r schema.SliceSums) slo.Sums {
	return slo.Sums{Measured: r.Measured, Valid: r.Valid, GoodSlices: r.GoodSlices, Good: r.Good, Total: r.Total, BadFraction: r.BadFraction}
}

func pureSlices(rows []schema.Slice) []slo.Slice {
	out := make([]slo.Slice, len(rows))
	for i, r := range rows {
		out[i] = slo.Slice{Start: r.Start, Good: r.Good, Total: r.Total, State: slo.State(r.State)}
	}
	return out
}

// watermark is the time up to which measurement is complete: the end of the last slice that follows on measured ones without a
// break, but never earlier than maxLag ago, so that a dead probe cannot freeze a green status.
func watermark(ctx context.Context, store sliceStore, ind indicator, grid slo.Grid, now time.Time, maxLag time.Duration) (time.Time, error) {
	mark := grid.Floor(now.Add(-maxLag))
	rows, err := store.Slices(ctx, schema.SliceQuery{Indicator: ind.Name, Revision: ind.Revision, Group: ind.Group, From: mark, To: now})
	if err != nil {
		return time.Time{}, fmt.Errorf("watermark of %s: %w", ind.Name, err)
	}
	for _, r := range rows {
		end := r.Start.Add(grid.Step)
		if r.State != schema.SliceMeasured || !r.Start.Equal(mark) || end.After(now) {
			break
		}
		mark = end
	}
	return mark, nil
}
