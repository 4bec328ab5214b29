package pipeline

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	// damageSample bounds how much of a damaged stretch goes to the quarantine; all of it stays beside the spool.
	damageSample = 1 << 20

	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Run carries what is in the spool to the warehouse until ctx ends. What the warehouse does not take is tried again for ever;
// what it can never take goes to quarantine. While one run is on its way, the next one is read.
func (p *Pipeline) Run(ctx context.Context) error {
	if err := p.reportTorn(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &collector{p: p, reader: p.spool.NewReader(p.spool.Cursor()), full: make(chan *load), empty: make(chan *load, 2)}
	for range cap(c.empty) {
		c.empty <- newLoad(p.cfg.MaxRows)
	}
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		failed = c.run(ctx)
	}()
	err := p.deliverAll(ctx, c)
	cancel()
	<-done
	p.proc.seen.reading.Wait()
	return cmp.Or(err, failed)
}

// deliverAll stores one load after the other; nil: there are no more, since collecting failed.
func (p *Pipeline) deliverAll(ctx context.Context, c *collector) error {
	for l := range c.full {
		if err := p.deliver(ctx, l); err != nil {
			return err
		}
		l.release()
		c.empty <- l
	}
	return nil
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
		if !collectors.Sleep(ctx, wait) {
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

// deliver seals the run, stores it, for as long as it takes, and moves the cursor behind it.
func (p *Pipeline) deliver(ctx context.Context, l *load) error {
	m := l.manifest
	if !l.sealed {
		if err := p.retry(ctx, "seal", func() error { return p.spool.Seal(m) }); err != nil {
			return err
		}
	}
	token := fmt.Sprintf("%s/%v-%v/%s", p.spool.ID(), m.First, m.End, m.Batch)
	var out Outcome
	err := p.retry(ctx, "insert", func() (err error) {
		out, err = p.attempt(ctx, token, l)
		return err
	})
	if err != nil {
		return err
	}
	p.stale.Store(false)
	p.count(out) // before Flush can return
	if !l.run.at.IsZero() {
		p.stats.lag.Store(int64(p.cfg.Processor.Now().Sub(l.run.at)))
	}
	if err := p.retry(ctx, "advance", func() error { return p.spool.Advance(m.End, l.records) }); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.advanced)
	p.advanced = make(chan struct{})
	return nil
}

// attempt tries once, alone among the replicas.
func (p *Pipeline) attempt(ctx context.Context, token string, l *load) (out Outcome, err error) {
	var since meanwhile
	in := &inserter{token: token, run: &l.run, again: func(at side) (*schema.Event, error) { return p.again(l, at) }}
	end := time.Now().Add(p.cfg.Timeout)
	if p.lease != nil {
		done, others, refused := p.lease.take(ctx, l.run.received(), p.cfg.Timeout)
		if refused != nil {
			return out, refused
		}
		defer func() { err = errors.Join(err, done(err == nil)) }()
		since, end, in.until = others, p.lease.end, p.lease.until
	}
	if p.cfg.Exclusive {
		p.proc.seen.begin(ctx, !since.stored)
		p.cfg.Processor.Identity.Trust(!since.changed)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	started := time.Now()
	defer func() { p.metrics.attempts.Observe(time.Since(started).Seconds()) }()
	return p.proc.insert(ctx, in)
}

// again reads the event of a row of the load from the spool.
func (p *Pipeline) again(l *load, at side) (*schema.Event, error) {
	r := p.spool.NewReader(l.starts[at.record])
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
