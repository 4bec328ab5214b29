package pipeline

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/klauspost/compress/s2"

	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	// runBytes bounds the unpacked batches of one run.
	runBytes = 32 << 20
	// damageSample bounds how much of a damaged stretch goes to the quarantine; all of it stays beside the spool.
	damageSample = 1 << 20
	// quiet is after how long without records the spool is trimmed.
	quiet = time.Minute

	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// drainer goes through the spool run by run. One goroutine.
type drainer struct {
	p       *Pipeline
	reader  *spool.Reader
	run     run
	starts  []spool.Position // of the run's records
	records int
	bytes   int
	events  []schema.Event
}

// Run carries what is in the spool to the warehouse until ctx ends. What the warehouse does not take is tried again for ever;
// what it can never take goes to quarantine.
func (p *Pipeline) Run(ctx context.Context) error {
	d := &drainer{p: p, reader: p.spool.NewReader(p.spool.Cursor())}
	d.run.reset()
	defer d.reader.Close()
	if err := p.reportTorn(ctx); err != nil {
		return err
	}
	for {
		m, err := d.collect(ctx)
		if err != nil {
			return err
		}
		if err := d.deliver(ctx, m); err != nil {
			return err
		}
	}
}

// retry does f until it succeeds or ctx ends.
func (p *Pipeline) retry(ctx context.Context, what string, f func() error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstRetry, lastRetry
	for {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.stats.retried.Add(1)
		p.metrics.retried.Inc()
		p.checkAge()
		wait := b.NextBackOff()
		p.log.WarnContext(ctx, "a step of the pipeline failed and is tried again", "step", what, "wait", wait.String(), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// checkAge closes the door while the oldest record is too old.
func (p *Pipeline) checkAge() {
	id, ok := p.spool.Oldest()
	p.stale.Store(ok && p.cfg.Processor.Now().Sub(takenAt(id)) > p.cfg.MaxAge)
}

// reportTorn puts into quarantine what opening the spool has cut off.
func (p *Pipeline) reportTorn(ctx context.Context) error {
	torn := p.spool.Torn()
	if torn == nil {
		return nil
	}
	q := p.damaged(torn, nil, p.cfg.Processor.Now())
	q.Reason = "cut off at the end of the spool, where the service stopped while it wrote: " + torn.Why.Error()
	return p.retry(ctx, "quarantine", func() error {
		return p.cfg.Processor.Store.InsertQuarantine(ctx, []schema.Quarantined{q})
	})
}

// collect reads the next run and seals it, or reads the sealed one again.
func (d *drainer) collect(ctx context.Context) (spool.Manifest, error) {
	d.run.release()
	d.starts, d.records, d.bytes = d.starts[:0], 0, 0
	m, sealed := d.p.spool.Sealed()
	if sealed {
		d.reader.Seek(m.First)
		return m, d.p.retry(ctx, "read the sealed run", func() error { return d.reread(m) })
	}
	m.First = d.p.spool.Cursor()
	d.reader.Seek(m.First)
	if err := d.fill(ctx, &m); err != nil {
		return m, err
	}
	m.End = d.reader.Position()
	return m, d.p.retry(ctx, "seal", func() error { return d.p.spool.Seal(m) })
}

// reread takes the records of a sealed run.
func (d *drainer) reread(m spool.Manifest) error {
	for d.reader.Position().Before(m.End) {
		if _, err := d.next(true); errors.Is(err, io.EOF) {
			return nil // its tail was damaged and has been cut off
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fill takes records until the run is full or old enough, waiting for the first one.
func (d *drainer) fill(ctx context.Context, m *spool.Manifest) error {
	var due <-chan time.Time
	hurry := false
	for {
		changed := d.p.spool.Changed()
		at := d.reader.Position()
		id, err := d.next(false)
		switch {
		case errors.Is(err, errRunFull):
			d.reader.Seek(at)
			return nil
		case err == nil:
			if m.Batch == uuid.Nil {
				m.Batch = id
			}
			if due == nil {
				due = time.After(d.p.cfg.Interval)
			}
			continue
		case !errors.Is(err, io.EOF):
			if err := d.p.retry(ctx, "read the spool", once(err)); err != nil {
				return err
			}
			continue
		case hurry && due != nil:
			return nil
		}
		select {
		case <-changed:
		case <-due:
			return nil
		case <-d.p.hurry:
			hurry = true
		case <-ctx.Done():
			return ctx.Err()
		case <-d.idle(due):
			if err := d.p.spool.Trim(); err != nil {
				d.p.log.WarnContext(ctx, "removing drained segments failed", "error", err)
			}
		}
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

// idle fires when nothing has come for a while; never while a run is being filled.
func (d *drainer) idle(due <-chan time.Time) <-chan time.Time {
	if due != nil {
		return nil
	}
	return time.After(quiet)
}

// errRunFull means that the next record belongs to the next run.
var errRunFull = errors.New("the run is full")

// next takes one record, or one damaged stretch, into the run; errRunFull means that it is left to the next run, which cannot
// happen to a sealed one.
func (d *drainer) next(sealed bool) (uuid.UUID, error) {
	rec, err := d.reader.Next()
	var damage *spool.Damage
	if errors.As(err, &damage) {
		d.run.bad = append(d.run.bad, d.p.damaged(damage, nil, d.run.at))
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
	if err == nil && !sealed && d.records > 0 && (d.staged()+n > d.p.cfg.MaxRows || d.bytes+size > runBytes) {
		return uuid.Nil, errRunFull
	}
	var b schema.Batch
	if err == nil {
		b, err = decode(rec.Payload, d.events)
	}
	d.starts = append(d.starts, rec.First)
	d.records++
	d.bytes += size
	if err != nil {
		stretch := &spool.Damage{From: rec.First, To: rec.End, Why: err}
		d.run.bad = append(d.run.bad, d.p.damaged(stretch, rec.Payload, takenAt(rec.Batch)))
		return rec.Batch, nil
	}
	d.events = b.Events
	defer clear(d.events)
	d.p.proc.add(&d.run, staged{record: int32(len(d.starts) - 1), batch: rec.Batch, at: takenAt(rec.Batch)}, &b)
	return rec.Batch, nil
}

// staged is how many records the run has taken.
func (d *drainer) staged() int {
	return len(d.run.rows) + d.run.copies + len(d.run.slices) + len(d.run.aliases) + len(d.run.incidents) + len(d.run.changes) + len(d.run.bad)
}

// damaged is the quarantine's row for bytes that are no batch; payload is nil when they are still to be rescued.
func (p *Pipeline) damaged(d *spool.Damage, payload []byte, at time.Time) schema.Quarantined {
	if at.IsZero() {
		at = p.cfg.Processor.Now()
	}
	path, sample, err := p.spool.Rescue(d, damageSample)
	if err != nil {
		p.log.Error("damaged bytes of the spool could not be saved", "at", d.From.String(), "error", err)
	} else {
		p.log.Error("the spool has damaged bytes", "at", d.From.String(), "bytes", d.To.Offset-d.From.Offset, "saved", path, "error", d.Why)
	}
	if payload != nil {
		sample = payload[:min(len(payload), damageSample)]
	}
	return schema.Quarantined{
		ID: uuid.NewSHA1(p.spool.ID(), []byte(d.From.String())), Time: at.UTC(), Source: "spool", Kind: kindSegment, Reason: d.Error(),
		Payload: base64.StdEncoding.EncodeToString(sample),
	}
}

// deliver stores the run, for as long as it takes, and moves the cursor behind it.
func (d *drainer) deliver(ctx context.Context, m spool.Manifest) error {
	p := d.p
	token := fmt.Sprintf("%s/%v-%v/%s", p.spool.ID(), m.First, m.End, m.Batch)
	var out Outcome
	err := p.retry(ctx, "insert", func() (err error) {
		out, err = d.attempt(ctx, token)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.retry(ctx, "advance", func() error { return p.spool.Advance(m.End, d.records) }); err != nil {
		return err
	}
	p.stale.Store(false)
	p.count(out)
	if !d.run.at.IsZero() {
		p.stats.lag.Store(int64(p.cfg.Processor.Now().Sub(d.run.at)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.advanced)
	p.advanced = make(chan struct{})
	return nil
}

// attempt tries once, alone among the replicas.
func (d *drainer) attempt(ctx context.Context, token string) (out Outcome, err error) {
	p := d.p
	if p.lease != nil {
		done, refused := p.lease.take(ctx, d.run.received(), p.cfg.Timeout)
		if refused != nil {
			return out, refused
		}
		defer func() { err = errors.Join(err, done(err == nil)) }()
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	started := time.Now()
	defer func() { p.metrics.attempts.Observe(time.Since(started).Seconds()) }()
	return p.proc.insert(ctx, token, &d.run, d.again)
}

// again reads the event of a row from the spool.
func (d *drainer) again(at side) (*schema.Event, error) {
	r := d.p.spool.NewReader(d.starts[at.record])
	defer r.Close()
	rec, err := r.Next()
	if err != nil {
		return nil, err
	}
	b, err := decode(rec.Payload, nil)
	if err != nil {
		return nil, err
	}
	return &b.Events[at.index], nil
}

func (p *Pipeline) count(out Outcome) {
	p.stats.inserted.Add(uint64(out.Events))
	p.stats.duplicates.Add(uint64(out.Duplicates))
	p.stats.quarantined.Add(uint64(out.Quarantined))
	p.metrics.countStored(out)
}
