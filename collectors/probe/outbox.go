package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// outbox keeps finished slices until the sink has taken them, so that a full spool neither delays a try nor loses a slice.
type outbox struct {
	sink    collectors.Sink
	logger  *slog.Logger
	dropped prometheus.Counter

	mu   sync.Mutex
	held []schema.Slice
	wake chan struct{}
}

const (
	// maxHeld bounds the slices that wait, about 2 MB; the oldest go first.
	maxHeld = 10000
	// lastAttempt bounds the time for handing over at the end.
	lastAttempt = 5 * time.Second
	// firstPause and longestPause bound the wait after a refusal.
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

func newOutbox(sink collectors.Sink, logger *slog.Logger, dropped prometheus.Counter) *outbox {
	return &outbox{sink: sink, logger: logger, dropped: dropped, wake: make(chan struct{}, 1)}
}

func (o *outbox) put(s schema.Slice) {
	o.mu.Lock()
	o.held = append(o.held, s)
	over := len(o.held) - maxHeld
	if over > 0 {
		o.held = append(o.held[:0], o.held[over:]...)
		o.dropped.Add(float64(over))
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run hands slices over as they come, until the context ends.
func (o *outbox) run(ctx context.Context) {
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		for {
			err := o.send(ctx)
			if err == nil {
				pause = firstPause
				break
			}
			o.logger.Warn("probe slices wait for the sink", "retry_in", pause, "error", err)
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			pause = min(2*pause, longestPause)
		}
	}
}

// drain hands over what is left.
func (o *outbox) drain(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, lastAttempt)
	defer cancel()
	if err := o.send(within); err != nil {
		return fmt.Errorf("probe: hand over the last slices: %w", err)
	}
	return nil
}

// send hands over all that is held, or leaves it held. Slices that can never be stored are dropped and counted.
func (o *outbox) send(ctx context.Context) error {
	o.mu.Lock()
	batch := o.held
	o.held = nil
	o.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := o.sink.Append(ctx, schema.Batch{Slices: batch})
	var refused *collectors.BatchError
	if errors.As(err, &refused) {
		good := without(batch, refused.Records)
		o.dropped.Add(float64(len(batch) - len(good)))
		o.logger.Error("probe slices dropped: the pipeline refuses them", "slices", len(batch)-len(good), "error", err)
		batch, err = good, nil
		if len(good) > 0 {
			err = o.sink.Append(ctx, schema.Batch{Slices: good})
		}
	}
	if err != nil {
		o.mu.Lock()
		o.held = append(batch, o.held...)
		o.mu.Unlock()
	}
	return err
}

// without leaves the refused slices out.
func without(batch []schema.Slice, refused []collectors.RecordError) []schema.Slice {
	bad := make(map[int]bool, len(refused))
	for _, r := range refused {
		bad[r.Index] = true
	}
	var good []schema.Slice
	for i, s := range batch {
		if !bad[i] {
			good = append(good, s)
		}
	}
	return good
}
