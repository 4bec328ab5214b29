package collectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

const (
	// outboxBatch bounds one batch, in records.
	outboxBatch = 5_000
	// outboxGather is how long the first record waits for others.
	outboxGather = 100 * time.Millisecond
	// outboxLast bounds the time for handing over at the end.
	outboxLast = 10 * time.Second
	// outboxPause and outboxLongestPause bound the wait after a refusal.
	outboxPause        = time.Second
	outboxLongestPause = 30 * time.Second
)

// OutboxConfig is what an Outbox needs. Logger and Dropped may be nil.
type OutboxConfig struct {
	Sink   Sink
	Logger *slog.Logger
	// MaxHeld bounds the slices that wait, and the records of consumption; the oldest go first. MaxChanges is from how many waiting
	// changes on AwaitRoom waits: none of them is ever dropped.
	MaxHeld, MaxChanges int
	// Dropped counts records that are lost: "refused" by the sink, "slice" and "consumption" that waited for too long, and at the "end" those
	// that the sink did not take any more.
	Dropped func(reason string, records int)
}

// Outbox keeps the changes, slices and consumption that a collector has measured until the sink has taken them, so that a full spool
// neither delays a measurement nor loses one.
type Outbox struct {
	cfg OutboxConfig

	mu     sync.Mutex
	room   *sync.Cond
	closed bool
	held   schema.Batch
	wake   chan struct{}
}

// NewOutbox makes an empty one. Nothing is handed over until Run or Drain.
func NewOutbox(cfg OutboxConfig) *Outbox {
	cfg.Logger = Logger(cfg.Logger)
	if cfg.Dropped == nil {
		cfg.Dropped = func(string, int) {}
	}
	o := &Outbox{cfg: cfg, wake: make(chan struct{}, 1)}
	o.room = sync.NewCond(&o.mu)
	return o
}

// AwaitRoom waits while too many changes wait, until Close.
func (o *Outbox) AwaitRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.held.Changes) >= o.cfg.MaxChanges && !o.closed {
		o.room.Wait()
	}
}

// Close lets everybody go who waits in AwaitRoom, now and later: all is about to end.
func (o *Outbox) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.room.Broadcast()
}

// Put takes the changes, slices and consumption of a batch, and never waits. Consumption that waits is replaced by that of the same identity.
func (o *Outbox) Put(b schema.Batch) {
	o.mu.Lock()
	o.held.Changes = append(o.held.Changes, b.Changes...)
	var lost [2]int
	o.held.Slices, lost[0] = newest(append(o.held.Slices, b.Slices...), o.cfg.MaxHeld)
	o.held.Consumption, lost[1] = newest(replaced(o.held.Consumption, b.Consumption), o.cfg.MaxHeld)
	o.mu.Unlock()
	for i, reason := range []string{"slice", "consumption"} {
		if lost[i] > 0 {
			o.cfg.Dropped(reason, lost[i])
		}
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// identity is that of a record of consumption.
type identity struct {
	cluster                string
	start                  int64
	kind                   schema.ConsumptionKind
	class, namespace, team string
}

func identityOf(c schema.Consumption) identity {
	return identity{c.Cluster, c.Start.UnixMilli(), c.Kind, c.Class, c.Namespace, c.Team}
}

// replaced are the records that were held, without those that later ones replace, and then the later ones.
func replaced(held, later []schema.Consumption) []schema.Consumption {
	if len(held) > 0 && len(later) > 0 {
		again := make(map[identity]bool, len(later))
		for _, c := range later {
			again[identityOf(c)] = true
		}
		held = slices.DeleteFunc(held, func(c schema.Consumption) bool { return again[identityOf(c)] })
	}
	return append(held, later...)
}

// newest keeps as many records as may be held, and says how many it left out.
func newest[T any](all []T, held int) ([]T, int) {
	over := len(all) - held
	if over <= 0 {
		return all, 0
	}
	return slices.Delete(all, 0, over), over
}

// Run hands records over as they come, until the context ends.
func (o *Outbox) Run(ctx context.Context) {
	pause := outboxPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		Sleep(ctx, outboxGather)
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = o.send(ctx); err == nil {
				pause = outboxPause
				continue
			}
			if ctx.Err() != nil {
				return
			}
			o.cfg.Logger.Warn("records wait for the sink", "retry_in", pause, "error", err)
			Sleep(ctx, pause)
			more, pause = true, min(2*pause, outboxLongestPause)
		}
	}
}

// Drain hands over what is left, for at most ten seconds. It is for the end, when Run has returned: what the sink does not take then is
// lost, and the error says how much.
func (o *Outbox) Drain(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, outboxLast)
	defer cancel()
	for more := true; more; {
		var err error
		if more, err = o.send(within); err != nil {
			lost := o.waiting()
			o.cfg.Dropped("end", lost)
			return fmt.Errorf("the last %d records were not handed over and are lost: %w", lost, err)
		}
	}
	return nil
}

func (o *Outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held.Len()
}

// send hands a batch over, or puts it back. Records that can never be stored are dropped and counted.
func (o *Outbox) send(ctx context.Context) (more bool, err error) {
	b := o.take()
	if b.Len() == 0 {
		return false, nil
	}
	err = o.cfg.Sink.Append(ctx, b)
	if refused, ok := errors.AsType[*BatchError](err); ok {
		if good := refused.without(b); good.Len() < b.Len() {
			o.cfg.Logger.Error("records dropped: the pipeline refuses them", "records", b.Len()-good.Len(), "error", err)
			o.cfg.Dropped("refused", b.Len()-good.Len())
			o.putBack(good) // the sink took none of the others either
			return true, nil
		}
	}
	if err != nil {
		o.putBack(b)
		return true, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.room.Broadcast()
	return o.held.Len() > 0, nil
}

// putBack makes the records of a batch the next ones again.
func (o *Outbox) putBack(b schema.Batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held.Changes = append(b.Changes, o.held.Changes...)
	o.held.Slices = append(b.Slices, o.held.Slices...)
	o.held.Consumption = replaced(b.Consumption, o.held.Consumption)
}

// take is the next batch. It shares no memory with what is held.
func (o *Outbox) take() schema.Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b schema.Batch
	room := outboxBatch
	b.Changes, o.held.Changes = first(o.held.Changes, room)
	room -= len(b.Changes)
	b.Slices, o.held.Slices = first(o.held.Slices, room)
	room -= len(b.Slices)
	b.Consumption, o.held.Consumption = first(o.held.Consumption, room)
	return b
}

// first are at most n records, and those that stay.
func first[T any](held []T, n int) (taken, rest []T) {
	n = min(n, len(held))
	taken, rest = slices.Clone(held[:n]), held[n:]
	if len(rest) == 0 {
		rest = nil // the memory of those that went goes, too
	}
	return taken, rest
}

// without leaves the refused changes, slices and consumption out.
func (e *BatchError) without(b schema.Batch) schema.Batch {
	bad := make(map[RecordError]bool, len(e.Records))
	for _, r := range e.Records {
		bad[RecordError{Kind: r.Kind, Index: r.Index}] = true
	}
	return schema.Batch{
		Changes: good(b.Changes, "change", bad), Slices: good(b.Slices, "slice", bad), Consumption: good(b.Consumption, "consumption", bad),
	}
}

func good[T any](all []T, kind string, bad map[RecordError]bool) []T {
	var kept []T
	for i, record := range all {
		if !bad[RecordError{Kind: kind, Index: i}] {
			kept = append(kept, record)
		}
	}
	return kept
}
