package demo

import (
	"context"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// tick is how often Live tells what happened.
const tick = time.Minute

// Live goes on where Send ended: every minute it sends what has happened since, through the same doors, until ctx ends. What could
// not be sent is told to failed and sent with the next minute's.
func (w *World) Live(ctx context.Context, doors Doors, now func() time.Time, failed func(error)) {
	for wait(ctx, tick) == nil {
		if err := w.Tell(ctx, doors, now()); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

// Tell sends what happened after Until and not after now, and moves Until there. After an error nothing has moved: told again, the
// same changes nothing.
func (w *World) Tell(ctx context.Context, doors Doors, now time.Time) error {
	now = now.UTC()
	if !now.After(w.Until) {
		return nil // the clock was set back
	}
	next := *w
	next.Until = now
	day, batch := next.since(w.Until, doors)
	if _, err := next.sendDay(ctx, doors, day); err != nil {
		return err
	}
	if err := doors.post(ctx, "/v1/agent", batch); err != nil {
		return err
	}
	if err := next.sendVoices(ctx, doors, w.Until); err != nil {
		return err
	}
	w.Until = now
	return nil
}

// since is what happened in the interval (after, Until], and each cluster as it is now.
func (w *World) since(after time.Time, doors Doors) (Day, schema.Batch) {
	var day Day
	var batch schema.Batch
	// What began late on the day before may end on this one.
	for midnight := after.Truncate(24*time.Hour).AddDate(0, 0, -1); !midnight.After(w.Until); midnight = midnight.AddDate(0, 0, 1) {
		d := w.Day(midnight)
		day.Actions, day.Events = append(day.Actions, d.Actions...), append(day.Events, d.Events...)
		batch.Changes = append(append(batch.Changes, w.Changes(midnight)...), d.Rollouts...)
		for _, s := range w.Slices(midnight) {
			batch.Slices = append(batch.Slices, w.slice(s, doors.Revision))
		}
		batch.Slices = append(batch.Slices, w.Uptime(midnight)...)
	}
	old := func(at time.Time) bool { return !at.After(after) }
	day.Actions = slices.DeleteFunc(day.Actions, func(a Action) bool { return old(a.At) })
	day.Events = slices.DeleteFunc(day.Events, func(e UsageEvent) bool { return old(e.Time) })
	batch.Changes = slices.DeleteFunc(batch.Changes, func(c schema.ResourceChange) bool { return old(c.Time) })
	batch.Slices = slices.DeleteFunc(batch.Slices, func(s schema.Slice) bool { return old(s.Start.Add(time.Duration(s.Seconds) * time.Second)) })
	for c := range w.Clusters {
		batch.Changes = append(batch.Changes, w.observed(c, w.Until))
	}
	for i := range w.Incidents {
		if in := &w.Incidents[i]; !old(in.detected()) || !old(in.End) {
			batch.Incidents = append(batch.Incidents, w.told(in)...)
		}
	}
	return day, batch
}
