package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	// maxHeld bounds the changes that wait, about 50 MB; while there are as many, nothing more is read from the clusters.
	maxHeld = 50_000
	// maxHeldSlices bounds the slices that wait, about 30 MB; the oldest go first, and are missing then.
	maxHeldSlices = 200_000
	// maxBatch bounds one batch, in records.
	maxBatch = 5_000
	// gather is how long the first record waits for others.
	gather = 100 * time.Millisecond
	// lastAttempt bounds the time for handing over at the end.
	lastAttempt = 10 * time.Second
	// firstPause and longestPause bound the wait after a refusal.
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// outbox keeps records until the sink has taken them.
type outbox struct {
	sink    collectors.Sink
	logger  *slog.Logger
	metrics metrics

	mu      sync.Mutex
	room    *sync.Cond
	closed  bool
	changes []schema.ResourceChange
	held    []schema.Slice
	// consumed is a few rows an hour.
	consumed []schema.Consumption
	wake     chan struct{}
}

func newOutbox(sink collectors.Sink, logger *slog.Logger, m metrics) *outbox {
	o := &outbox{sink: sink, logger: logger, metrics: m, wake: make(chan struct{}, 1)}
	o.room = sync.NewCond(&o.mu)
	return o
}

// awaitRoom waits while too many changes wait, unless it is all about to end.
func (o *outbox) awaitRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.changes) >= maxHeld && !o.closed {
		o.room.Wait()
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.room.Broadcast()
}

func (o *outbox) change(ch schema.ResourceChange) {
	o.mu.Lock()
	o.changes = append(o.changes, ch)
	o.mu.Unlock()
	o.ring()
}

func (o *outbox) slice(s []schema.Slice) {
	o.mu.Lock()
	o.held = append(o.held, s...)
	if over := len(o.held) - maxHeldSlices; over > 0 {
		o.held = slices.Clone(o.held[over:])
		o.metrics.dropped.WithLabelValues("slice").Add(float64(over))
	}
	o.mu.Unlock()
	o.ring()
}

func (o *outbox) consume(rows []schema.Consumption) {
	o.mu.Lock()
	o.consumed = append(o.consumed, rows...)
	o.mu.Unlock()
	o.ring()
}

func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run hands records over as they come, until the context ends.
func (o *outbox) run(ctx context.Context) {
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		pauseUntil(ctx, nil, gather)
		for ctx.Err() == nil {
			more, err := o.send(ctx)
			if err == nil {
				pause = firstPause
				if !more {
					break
				}
				continue
			}
			if ctx.Err() != nil {
				return
			}
			o.logger.Warn("cluster records wait for the sink", "retry_in", pause, "error", err)
			pauseUntil(ctx, nil, pause)
			pause = min(2*pause, longestPause)
		}
	}
}

// drain hands over what is left.
func (o *outbox) drain(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, lastAttempt)
	defer cancel()
	for {
		more, err := o.send(within)
		if err != nil {
			return fmt.Errorf("kube: hand over the last records: %w", err)
		}
		if !more {
			return nil
		}
	}
}

// send hands a batch over, or puts it back. Records that can never be stored are dropped and counted.
func (o *outbox) send(ctx context.Context) (more bool, err error) {
	b := o.take()
	if b.Len() == 0 {
		return false, nil
	}
	err = o.sink.Append(ctx, b)
	if refused, ok := errors.AsType[*collectors.BatchError](err); ok {
		o.logger.Error("cluster records dropped: the pipeline refuses them", "records", len(refused.Records), "error", err)
		o.metrics.dropped.WithLabelValues("refused").Add(float64(len(refused.Records)))
		b, err = without(b, refused.Records), nil
		if b.Len() > 0 {
			err = o.sink.Append(ctx, b)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.changes = append(b.Changes, o.changes...)
		o.held = append(b.Slices, o.held...)
		o.consumed = append(b.Consumption, o.consumed...)
		return true, err
	}
	o.room.Broadcast()
	return len(o.changes)+len(o.held)+len(o.consumed) > 0, nil
}

// take is the next batch. It shares no memory with what is held.
func (o *outbox) take() schema.Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	changes := min(len(o.changes), maxBatch)
	held := min(len(o.held), maxBatch-changes)
	consumed := min(len(o.consumed), maxBatch-changes-held)
	b := schema.Batch{Changes: slices.Clone(o.changes[:changes]), Slices: slices.Clone(o.held[:held]), Consumption: slices.Clone(o.consumed[:consumed])}
	if o.changes = o.changes[changes:]; len(o.changes) == 0 {
		o.changes = nil
	}
	if o.held = o.held[held:]; len(o.held) == 0 {
		o.held = nil
	}
	if o.consumed = o.consumed[consumed:]; len(o.consumed) == 0 {
		o.consumed = nil
	}
	return b
}

// without leaves the refused records out.
func without(b schema.Batch, refused []collectors.RecordError) schema.Batch {
	bad := map[string]map[int]bool{"change": {}, "slice": {}, "consumption": {}}
	for _, r := range refused {
		if bad[r.Kind] != nil {
			bad[r.Kind][r.Index] = true
		}
	}
	var good schema.Batch
	for i, ch := range b.Changes {
		if !bad["change"][i] {
			good.Changes = append(good.Changes, ch)
		}
	}
	for i, s := range b.Slices {
		if !bad["slice"][i] {
			good.Slices = append(good.Slices, s)
		}
	}
	for i, s := range b.Consumption {
		if !bad["consumption"][i] {
			good.Consumption = append(good.Consumption, s)
		}
	}
	return good
}
