package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
)

// Defaults of Config.
const (
	DefaultLateness = 30 * 24 * time.Hour
	DefaultMaxAge   = 5 * 24 * time.Hour
	DefaultMaxRows  = 40_000
	DefaultInterval = time.Second
	DefaultTimeout  = 30 * time.Second
)

// Config says where the spool lives and how it is drained.
type Config struct {
	// Processor stores what is drained; its Lateness is DefaultLateness when 0.
	Processor ProcessorConfig
	// Dir is the spool's own directory, and MaxBytes bounds it; 0: spool.DefaultMaxBytes.
	Dir      string
	MaxBytes int64
	// MaxAge bounds how long a record may wait: while the oldest is older, Append fails with collectors.ErrFull, since the warehouse
	// forgets event ids after some days; 0: DefaultMaxAge.
	MaxAge time.Duration
	// Lease is a file that all replicas on this host share which store into one warehouse; Turn, in place of it, is in the warehouse and
	// lasts for TurnLength(Timeout) or longer. Neither: there is one only.
	Lease string
	Turn  Turn
	// Exclusive says that nobody stores events into the warehouse but those who share Lease: most ids then need not be looked up.
	Exclusive bool
	// MaxRows bounds the records of one insert; 0: DefaultMaxRows. A batch with more of them goes alone.
	MaxRows int
	// Interval is about the time between inserts; 0: DefaultInterval.
	Interval time.Duration
	// Timeout bounds one attempt to insert; 0: DefaultTimeout.
	Timeout time.Duration
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	// Logger takes what goes wrong; nil: none. No name of a person reaches it.
	Logger *slog.Logger
}

// Pipeline is a Sink in front of the warehouse: Append returns when a batch is on disk, Run carries it on.
type Pipeline struct {
	cfg     Config
	proc    *Processor
	spool   *spool.Spool
	lease   *lease
	log     *slog.Logger
	metrics *metrics

	encoders sync.Pool
	hurry    chan struct{} // has a value when Flush waits
	stale    atomic.Bool   // the oldest record is older than MaxAge
	stats    struct {
		inserted, duplicates, retried, quarantined atomic.Uint64
		lag                                        atomic.Int64 // nanoseconds
	}

	mu       sync.Mutex
	advanced chan struct{} // closed and replaced when the cursor moves
}

var _ collectors.Sink = (*Pipeline)(nil)

// Stats is how the pipeline is doing.
type Stats struct {
	// Bytes is what the spool takes on disk, Records what of it waits for the warehouse, Oldest how long the first of them has.
	Bytes, Records int64
	Oldest         time.Duration
	// MaxBytes is the size at which the spool is full.
	MaxBytes int64
	// Inserted events, Duplicates that were dropped, Retried attempts and Quarantined records, since the start.
	Inserted, Duplicates, Retried, Quarantined uint64
	// Lag is how long the batch that was stored last had waited.
	Lag time.Duration
}

// New opens the spool. Nothing is drained before Run.
func New(cfg Config) (*Pipeline, error) {
	if cfg.Processor.Store == nil || cfg.Processor.Identity == nil || cfg.Dir == "" {
		return nil, errors.New("pipeline: a store, identities and a directory are required")
	}
	cfg = cfg.withDefaults()
	p := &Pipeline{
		cfg: cfg, proc: NewProcessor(cfg.Processor), log: cfg.Logger, hurry: make(chan struct{}, 1), advanced: make(chan struct{}),
		encoders: sync.Pool{New: func() any { return new(encoder) }},
	}
	p.proc.seen.log = cfg.Logger
	var err error
	if p.spool, err = spool.Open(spool.Options{Dir: cfg.Dir, MaxBytes: cfg.MaxBytes, Logger: cfg.Logger, Now: cfg.Processor.Now}); err != nil {
		return nil, err
	}
	if p.lease = newLease(cfg, p.spool.ID()); p.lease != nil {
		if file, ok := p.lease.holder.(*fileHolder); ok {
			if err := file.prepare(context.Background()); err != nil {
				p.log.Warn("the notes beside the lease cannot be made yet", "error", err)
			}
		}
	}
	if p.metrics, err = newMetrics(cfg.Registerer, p); err != nil {
		return nil, errors.Join(err, p.spool.Close())
	}
	return p, nil
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&c.Processor.Lateness, DefaultLateness)
	set(&c.MaxAge, DefaultMaxAge)
	set(&c.Interval, DefaultInterval)
	set(&c.Timeout, DefaultTimeout)
	if c.MaxRows == 0 {
		c.MaxRows = DefaultMaxRows
	}
	if c.Processor.Now == nil {
		c.Processor.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Append implements collectors.Sink. Received is now where it is missing. Attributes that are not allowed do not reach the disk.
func (p *Pipeline) Append(ctx context.Context, b schema.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	now := p.cfg.Processor.Now()
	b.Events = withReceipt(b.Events, now)
	bad := tooMany(&b)
	if len(bad) == 0 {
		bad = door{p.cfg.Processor.Lateness, now}.check(&b)
	}
	if len(bad) > 0 {
		p.metrics.refused.WithLabelValues("invalid").Add(float64(len(bad)))
		return &collectors.BatchError{Records: bad}
	}
	if p.stale.Load() {
		p.metrics.refused.WithLabelValues("too_old").Add(float64(b.Len()))
		return fmt.Errorf("%w: the warehouse has taken nothing for more than %s", collectors.ErrFull, p.cfg.MaxAge)
	}
	c := p.encoders.Get().(*encoder)
	defer p.encoders.Put(c)
	payload, err := c.encode(&b, p.proc.keep)
	if err == nil {
		err = p.spool.Append(ctx, batchID(now), payload)
	}
	switch {
	case err == nil:
		p.metrics.countReceived(&b)
	case errors.Is(err, collectors.ErrFull):
		p.metrics.refused.WithLabelValues("full").Add(float64(b.Len()))
	default:
		p.metrics.refused.WithLabelValues("error").Add(float64(b.Len()))
	}
	return err
}

// withReceipt returns the events, a copy of them when one has no time of receipt.
func withReceipt(events []schema.Event, now time.Time) []schema.Event {
	i := slices.IndexFunc(events, func(e schema.Event) bool { return e.Received.IsZero() })
	if i < 0 {
		return events
	}
	events = slices.Clone(events)
	for ; i < len(events); i++ {
		if events[i].Received.IsZero() {
			events[i].Received = now
		}
	}
	return events
}

// batchID is a UUID of version 7, which says when the batch was taken.
func batchID(now time.Time) uuid.UUID {
	id := uuid.New()
	ms := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = 0x70 | id[6]&0x0f
	return id
}

// takenAt is when the batch of that id was taken.
func takenAt(id uuid.UUID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}

// Flush returns when all that was appended before the call is in the warehouse or in quarantine. Run must be running.
func (p *Pipeline) Flush(ctx context.Context) error {
	target := p.spool.End()
	for {
		p.mu.Lock()
		advanced := p.advanced
		p.mu.Unlock()
		if !p.spool.Cursor().Before(target) {
			return nil
		}
		select {
		case p.hurry <- struct{}{}:
		default:
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return fmt.Errorf("pipeline: %d records still wait for the warehouse: %w", p.spool.Records(), ctx.Err())
		}
	}
}

// Stats says how the pipeline is doing.
func (p *Pipeline) Stats() Stats {
	s := Stats{
		Bytes: p.spool.Bytes(), Records: p.spool.Records(), MaxBytes: p.spool.MaxBytes(),
		Inserted: p.stats.inserted.Load(), Duplicates: p.stats.duplicates.Load(), Retried: p.stats.retried.Load(), Quarantined: p.stats.quarantined.Load(),
		Lag: time.Duration(p.stats.lag.Load()),
	}
	if id, ok := p.spool.Oldest(); ok {
		s.Oldest = max(0, p.cfg.Processor.Now().Sub(takenAt(id)))
	}
	return s
}

// Close closes the spool, after Run has returned. What is not stored yet stays for the next New.
func (p *Pipeline) Close() error { return p.spool.Close() }
