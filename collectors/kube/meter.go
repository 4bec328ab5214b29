package kube

import (
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// meter adds up, within a slice, for how long a workload was available, and for how long it should have been.
type meter struct {
	// since is up to when it has added up; zero: the workload was not there yet.
	since time.Time
	// wanted and enough say what holds since then.
	wanted, enough bool
	// good and total are what the slice has so far; there says that the workload was there at all.
	good, total time.Duration
	there       bool
}

// advance adds up to now.
func (m *meter) advance(now time.Time) {
	if m.since.IsZero() || !now.After(m.since) {
		return
	}
	if m.wanted {
		m.total += now.Sub(m.since)
		if m.enough {
			m.good += now.Sub(m.since)
		}
	}
	m.since = now
}

// set says what holds from now on.
func (m *meter) set(now time.Time, w *workload) {
	if m.since.IsZero() {
		m.since = now
	}
	m.advance(now)
	m.there = true
	m.wanted, m.enough = w.desired > 0, w.available >= w.enough
}

// sum is what a workload has in a slice.
type sum struct{ good, total time.Duration }

// take ends a slice; false: the workload was not there in it.
func (m *meter) take(end time.Time) (sum, bool) {
	m.advance(end)
	if !m.there {
		return sum{}, false
	}
	s := sum{m.good, m.total}
	m.good, m.total = 0, 0
	return s, true
}

// slice makes a record of a sum. Of two records of a slice the measured one wins, whoever writes last.
func (s sum) slice(group string, start time.Time, length time.Duration, written time.Time, measured bool) schema.Slice {
	slice := schema.Slice{
		Indicator: schema.WorkloadAvailability, Revision: schema.WorkloadRevision(), Group: group,
		Start: start, Seconds: uint32(length / time.Second), State: schema.SliceGap, Version: uint64(start.UnixMilli()),
	}
	if measured {
		slice.Good, slice.Total = s.good.Seconds(), s.total.Seconds()
		slice.State, slice.Version = schema.SliceMeasured, uint64(written.UnixMilli())
	}
	return slice
}
