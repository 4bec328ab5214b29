package slo

import (
	"fmt"
	"slices"
	"time"
)

// Definition is one version of an objective, in force from From until the next one's.
type Definition struct {
	Objective Objective
	Version   string
	From      time.Time // zero: since ever
	Reason    string    // why it changed
}

// InForce finds the definition for a window that ends at t: the newest from before t, so that a definition that
// starts where a period ends is the next period's. A rolling window is evaluated by the one in force at its watermark,
// a closed period by the one at its end. false when all start later.
func InForce(versions []Definition, t time.Time) (Definition, bool) {
	var found Definition
	ok := false
	for _, d := range versions {
		if d.From.Before(t) && (!ok || d.From.After(found.From)) {
			found, ok = d, true
		}
	}
	return found, ok
}

// CheckVersions refuses versions of an objective that are invalid, or of which two start at once.
func CheckVersions(versions []Definition) error {
	var faults []error
	for i, d := range versions {
		if err := d.Objective.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("version %s of %s: %w", d.Version, d.Objective.Name, err))
		}
		if slices.ContainsFunc(versions[:i], func(o Definition) bool { return o.From.Equal(d.From) }) {
			faults = append(faults, fmt.Errorf("version %s of %s starts at %s, as another does", d.Version, d.Objective.Name, d.From.UTC().Format(time.RFC3339)))
		}
	}
	return joinFaults(faults)
}

// Over is the objective with another compliance period and no alerts, to ask what a month used of a month's budget
// whatever the objective's own window.
func (o Objective) Over(w Window) Objective {
	o.Window, o.Alerts = w, []AlertWindow{}
	return o
}

// LastClosed is the newest calendar period whose end is at least closeAfter ago: its figures are published, and late
// data makes revisions of them.
func (w Window) LastClosed(now time.Time, closeAfter time.Duration) Interval {
	return w.LastComplete(now.Add(-closeAfter))
}

// ContiguousEnd is the end of the unbroken run of measured slices from a slice boundary on; from itself when the first
// one was not measured. measured are the starts of measured slices at or after from, in order; one off the grid is refused.
func (g Grid) ContiguousEnd(from time.Time, measured []time.Time) (time.Time, error) {
	for _, start := range measured {
		if err := g.checkStart(start); err != nil {
			return from, err
		}
	}
	for _, start := range measured {
		if !start.Equal(from) {
			break
		}
		from = from.Add(g.Step)
	}
	return from, nil
}

// Watermark is the time up to which measurement counts as complete: the end of the unbroken run of measured slices, or
// maxLag ago, whatever is later, so that a probe that died cannot freeze a status. It is never after now.
func Watermark(g Grid, contiguousEnd, now time.Time, maxLag time.Duration) time.Time {
	mark := g.Floor(now.Add(-maxLag))
	if contiguousEnd.After(mark) {
		mark = g.Floor(contiguousEnd)
	}
	if limit := g.Floor(now); mark.After(limit) {
		return limit
	}
	return mark
}

// PartConsumed is what a part of a rolling window used of the window's budget: burn rate x part / window.
func PartConsumed(burn float64, part, window time.Duration) float64 {
	return burn * float64(part) / float64(window)
}
