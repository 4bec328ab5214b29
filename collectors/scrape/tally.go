package scrape

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// tally adds up the events of all targets, slice by slice.
type tally struct {
	indicators []*counted
	sink       collectors.Sink
	now        func() time.Time
	logger     *slog.Logger

	mu sync.Mutex
	// open are the slices under way, by start, for each indicator; done is where those that are closed end.
	open []map[time.Time]events
	done []time.Time
	// held are closed slices that the sink has not taken.
	held []schema.Slice
}

const (
	// closeAfter is how long after its end a slice is closed: a page that was asked for within it may take its time.
	closeAfter = 15 * time.Second
	// every is how often slices are closed.
	every = 5 * time.Second
	// maxHeld bounds the slices that wait for the sink, about 10 MB; the oldest go first.
	maxHeld = 50_000
)

func newTally(cfg Config, indicators []*counted) *tally {
	t := &tally{indicators: indicators, sink: cfg.Sink, now: cfg.Now, logger: cfg.Logger}
	for range indicators {
		t.open = append(t.open, map[time.Time]events{})
		t.done = append(t.done, time.Time{})
	}
	return t
}

// add adds what one page has counted, to the slices that it was read in.
func (t *tally) add(at time.Time, added []events) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, e := range added {
		start := t.indicators[i].floor(at)
		if !e.measured || start.Before(t.done[i]) {
			continue
		}
		sum := t.open[i][start]
		t.open[i][start] = events{sum.part + e.part, sum.total + e.total, true}
	}
}

// run closes slices and hands them over until the context ends. What is handed over was saved before: after a kill it is handed over again,
// with the same events, rather than counted into other slices.
func (t *tally) run(ctx context.Context, save func()) {
	for sleep(ctx, every) {
		t.closeSlices()
		save()
		t.send(ctx)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), every)
	defer cancel()
	t.closeSlices()
	save()
	t.send(within)
}

// closeSlices turns what has ended into slices; one that no page of a target told of is a gap.
func (t *tally) closeSlices() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for i, c := range t.indicators {
		for {
			start := t.done[i]
			if now.Before(start.Add(c.Slice + closeAfter)) {
				break
			}
			t.held = append(t.held, c.slice(start, t.open[i][start], now))
			delete(t.open[i], start)
			t.done[i] = start.Add(c.Slice)
			if behind := c.floor(now.Add(-c.Slice - closeAfter)); behind.Sub(t.done[i]) > time.Hour { // the machine was asleep
				t.done[i] = behind
			}
		}
	}
	if over := len(t.held) - maxHeld; over > 0 {
		t.held = append(t.held[:0], t.held[over:]...)
	}
}

// slack is by how much good or bad events may exceed all events of a slice, as a share: counters of a page are read one after the other.
const slack = 0.01

func (c *counted) slice(start time.Time, e events, now time.Time) schema.Slice {
	s := schema.Slice{
		Indicator: c.Name, Revision: c.revision, Start: start, Seconds: uint32(c.Slice / time.Second), State: schema.SliceGap, Version: uint64(now.UnixMilli()),
	}
	if !e.measured || e.part > e.total+max(slack*e.total, 1) {
		return s
	}
	part := min(e.part, e.total)
	s.State, s.Good, s.Total = schema.SliceMeasured, part, e.total
	if c.Bad != "" {
		s.Good = e.total - part
	}
	return s
}

// send hands over what is closed, or keeps it.
func (t *tally) send(ctx context.Context) {
	t.mu.Lock()
	batch := t.held
	t.held = nil
	t.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	err := t.sink.Append(ctx, schema.Batch{Slices: batch})
	var refused *collectors.BatchError
	if errors.As(err, &refused) {
		t.logger.Error("slices of scraped indicators are dropped: the pipeline refuses them", "slices", len(batch), "error", err)
		return
	}
	if err != nil {
		t.logger.Warn("slices of scraped indicators wait for the sink", "slices", len(batch), "error", err)
		t.mu.Lock()
		t.held = append(batch, t.held...)
		t.mu.Unlock()
	}
}
