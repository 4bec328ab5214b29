package pipeline

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"

	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	// runBytes bounds the unpacked batches of one run.
	runBytes = 32 << 20
	// quiet is after how long without records the spool is trimmed.
	quiet = time.Minute
)

// load is a run with what ties it to the spool.
type load struct {
	run      run
	manifest spool.Manifest
	// sealed says that the manifest is on disk already.
	sealed bool
	starts []spool.Position // of the run's records
	// records is how many of them there are, and bytes what they take unpacked.
	records, bytes int
}

// newLoad makes a load for runs of rows rows.
func newLoad(rows int) *load {
	l := &load{run: run{usual: rows / 4, most: rows}}
	l.run.reset()
	return l
}

// release makes the load an empty one.
func (l *load) release() {
	l.run.release()
	*l = load{run: l.run, starts: l.starts[:0]}
}

// staged is how many records the run has taken.
func (l *load) staged() int {
	r := &l.run
	return len(r.rows) + r.copies + len(r.slices) + len(r.aliases) + len(r.incidents) + len(r.changes) + len(r.feedback) + len(r.consumption) + len(r.bad)
}

// collector goes through the spool and fills one load after the other, ahead of the cursor. One goroutine.
type collector struct {
	p      *Pipeline
	reader *spool.Reader
	events []schema.Event
	// full takes the loads that are to be delivered, empty gives them back.
	full, empty chan *load
	// spare is the load that is not being filled, when it is not on its way either.
	spare *load
	// at is where the next load begins: where the last one ended, since it will be the cursor then.
	at spool.Position
}

// run hands loads over until ctx ends: the run that was sealed before the start first, as it was sealed.
func (c *collector) run(ctx context.Context) error {
	defer close(c.full)
	defer c.reader.Close()
	c.at = c.p.spool.Cursor()
	if m, sealed := c.p.spool.Sealed(); sealed {
		l := <-c.empty
		l.manifest, l.sealed = m, true
		if err := c.p.retry(ctx, "read the sealed run", func() error { return c.reread(l) }); err != nil {
			return err
		}
		if err := c.hand(ctx, l, m.End); err != nil {
			return err
		}
	}
	for {
		if err := c.await(ctx); err != nil {
			return err
		}
		l := c.spare
		c.spare = nil
		l.manifest.First = c.at
		c.reader.Seek(c.at)
		if err := c.fill(ctx, l); err != nil {
			return err
		}
	}
}

// await waits until there is a spare load.
func (c *collector) await(ctx context.Context) error {
	if c.spare != nil {
		return nil
	}
	select {
	case c.spare = <-c.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reread takes the records of a sealed run, from its start.
func (c *collector) reread(l *load) error {
	m := l.manifest
	l.release()
	l.manifest, l.sealed, l.run.repeated = m, true, true
	c.reader.Seek(m.First)
	for c.reader.Position().Before(m.End) {
		if _, err := c.next(l); errors.Is(err, io.EOF) || errors.Is(err, errRunFull) {
			return nil // its tail was damaged and has been cut off, or it ends where a segment had no records yet
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fill takes records until the load is full, or until it is old enough and somebody waits for it, and hands it over.
func (c *collector) fill(ctx context.Context, l *load) error {
	var due <-chan time.Time
	var ripe chan<- *load // full once the load may go
	hurry := false
	for {
		changed := c.p.spool.Changed()
		at := c.reader.Position()
		id, err := c.next(l)
		switch {
		case errors.Is(err, errRunFull):
			return c.hand(ctx, l, at)
		case errors.Is(err, errRoomTaken):
			if err := c.await(ctx); err != nil {
				return err
			}
			l.run.borrow(&c.spare.run)
			c.reader.Seek(at)
			continue
		case err == nil:
			if l.manifest.Batch == uuid.Nil {
				l.manifest.Batch = id
			}
			if due == nil && ripe == nil {
				due = time.After(c.p.cfg.Interval)
			}
			if l.staged() >= c.p.cfg.MaxRows {
				return c.hand(ctx, l, c.reader.Position())
			}
			continue
		case !errors.Is(err, io.EOF):
			if err := c.p.retry(ctx, "read the spool", once(err)); err != nil {
				return err
			}
			continue
		case hurry && due != nil:
			due, ripe = nil, c.full
		}
		l.manifest.End = at
		// The segment may be removed meanwhile, and an open one keeps its room on the disk.
		if err := c.reader.Close(); err != nil {
			c.p.log.WarnContext(ctx, "closing a spool segment failed", "error", err)
		}
		select {
		case <-changed:
		case <-due:
			due, ripe = nil, c.full
		case ripe <- l:
			c.at = at
			return nil
		case <-c.p.hurry:
			hurry = true
		case <-ctx.Done():
			return ctx.Err()
		case <-c.idle(l):
			if err := c.p.spool.Trim(); err != nil {
				c.p.log.WarnContext(ctx, "removing drained segments failed", "error", err)
			}
		}
	}
}

// hand waits until the load, which ends there, is taken.
func (c *collector) hand(ctx context.Context, l *load, end spool.Position) error {
	l.manifest.End = end
	select {
	case c.full <- l:
		c.at = end
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once fails once, so that retry waits before the next try.
func once(err error) func() error {
	return func() error {
		failed := err
		err = nil
		return failed
	}
}

// idle fires when nothing has come for a while; never while a load is being filled.
func (c *collector) idle(l *load) <-chan time.Time {
	if l.records > 0 || len(l.run.bad) > 0 {
		return nil
	}
	return time.After(quiet)
}

// errRunFull means that the next record belongs to the next run.
var errRunFull = errors.New("the run is full")

// errRoomTaken means that the next record needs the room that the run on its way has: large runs cost the warehouse less, and two of
// them at a time would be most of the service's memory.
var errRoomTaken = errors.New("the run waits for room")

// next takes one record, or one damaged stretch, into the load; errRunFull means that it is left to the next one. What lies behind the end
// of a sealed run is never taken: under its token it would vanish.
func (c *collector) next(l *load) (uuid.UUID, error) {
	rec, err := c.reader.Next()
	var damage *spool.Damage
	damaged := errors.As(err, &damage)
	if l.sealed && (err == nil && !rec.First.Before(l.manifest.End) || damaged && !damage.From.Before(l.manifest.End)) {
		return uuid.Nil, errRunFull
	}
	if damaged {
		l.run.bad = append(l.run.bad, c.p.damaged(damage, nil, l.run.at))
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, err
	}
	n, head, err := batchLen(rec.Payload)
	size := 0
	if err == nil {
		size, err = s2.DecodedLen(rec.Payload[head:])
	}
	if err == nil && !l.sealed && l.records > 0 && (l.staged()+n > c.p.cfg.MaxRows || l.bytes+size > runBytes) {
		return uuid.Nil, errRunFull
	}
	if err == nil && !l.sealed && c.spare == nil && len(l.run.rows)+n > l.run.usual {
		return uuid.Nil, errRoomTaken
	}
	var b schema.Batch
	if err == nil {
		b, err = decode(rec.Payload, c.events)
	}
	l.starts = append(l.starts, rec.First)
	l.records++
	l.bytes += size
	if err != nil {
		stretch := &spool.Damage{From: rec.First, To: rec.End, Why: err}
		l.run.bad = append(l.run.bad, c.p.damaged(stretch, rec.Payload, takenAt(rec.Batch)))
		return rec.Batch, nil
	}
	c.events = b.Events
	defer clear(c.events)
	c.p.proc.add(&l.run, staged{record: int32(len(l.starts) - 1), batch: rec.Batch, at: takenAt(rec.Batch)}, &b)
	return rec.Batch, nil
}
