package pipeline

import (
	"context"

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

// Exclusively does f while no pipeline that shares the lease stores anything. What such a pipeline has left half done is completed
// before. cfg needs a Store; Identity is not used.
func Exclusively(ctx context.Context, path string, cfg ProcessorConfig, f func(context.Context) error) error {
	l := newLease(path, uuid.New(), NewProcessor(cfg).cfg)
	done, _, err := l.take(ctx, note{}, 0)
	if err != nil {
		return err
	}
	// The others see that somebody was here: what they remember of the warehouse may be true no more.
	l.notes.changed++
	if err = l.notes.write(map[string]note{}); err == nil {
		err = f(ctx)
	}
	if released := done(true); err == nil {
		err = released
	}
	return err
}
