package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
)

// Spooled calls each for every batch on the disk of a spool, whether a service runs on it or not; stored says that the batch is in
// the warehouse already, and is on the disk only until its segment is removed. unreadable counts the stretches that
// hold no batch.
func Spooled(dir string, each func(b schema.Batch, stored bool) error) (unreadable int, err error) {
	broken := 0
	unreadable, err = spool.Scan(dir, func(rec spool.Record, done bool) error {
		b, err := decode(rec.Payload, nil)
		if err != nil {
			broken++
			return nil //nolint:nilerr // it is counted
		}
		return each(b, done)
	})
	return unreadable + broken, err
}

// Exclusively does f while no pipeline that shares the lease of cfg stores anything. What such a pipeline has left half done is completed
// before. Of cfg it needs Lease or Turn, and Processor.Store.
func Exclusively(ctx context.Context, cfg Config, f func(context.Context) error) error {
	l := newLease(cfg.withDefaults(), uuid.New())
	done, _, err := l.take(ctx, note{}, 0)
	if err != nil {
		return err
	}
	// The others see that somebody was here: what they remember of the warehouse may be true no more.
	l.last.Changed++
	if err = l.put(ctx); err == nil {
		err = l.keep(ctx, f)
	}
	if released := done(true); err == nil {
		err = released
	}
	return err
}

// keep does f, however long it takes, and holds the lease meanwhile; f ends when it is lost.
func (l *lease) keep(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	var keeping sync.WaitGroup
	keeping.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(turnSlack):
			}
			if err := l.hold(ctx); err != nil {
				cancel(err)
				return
			}
		}
	})
	err := f(ctx)
	close(ended)
	keeping.Wait()
	if lost := context.Cause(ctx); err != nil && lost != nil {
		return errors.Join(err, lost)
	}
	return err
}
