// Package promquery asks Prometheus servers how many events of an indicator were good, slice by slice, and hands the answers
// over as schema.Slice. A slice that the server has no samples for is a gap, and a question that it does not answer is asked
// again later: neither is ever a zero.
//
// Counters are not asked by increase(), which guesses what happened at the edges of the slice and does not see the first value of a
// new series. Each series counts what it has at the end of the slice less what it had at its beginning; one that has fallen began anew
// at zero, and one that is new counts from zero when its target had been scraped before. Consecutive slices thus sum up to what the
// counter counted.
package promquery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// Defaults of a Config.
const (
	// DefaultLag is how long after the end of a slice it is asked for: scrapes and rule evaluations are late.
	DefaultLag = 30 * time.Second
	// DefaultCatchUp is how far back a collector looks for slices that are missing.
	DefaultCatchUp = 24 * time.Hour
	// DefaultTimeout bounds one question.
	DefaultTimeout = 30 * time.Second
)

// Ask evaluates a query at every step of a range; it is Server.Ask, or a fake in tests.
type Ask func(ctx context.Context, query string, r Range) (model.Matrix, error)

// Range is the instants First, First+Step, … up to Last.
type Range struct {
	First, Last time.Time
	Step        time.Duration
}

// Known returns the newest versions of the slices that start in a period, in order of time.
type Known func(ctx context.Context, q schema.SliceQuery) ([]schema.Slice, error)

// Source is how a server is asked.
type Source struct {
	Ask Ask
	// Lag is how long after the end of a slice it is asked for; DefaultLag when zero.
	Lag time.Duration
}

// Config is what a Collector needs. CatchUp, Timeout, Now and Logger have defaults; Registerer nil: nobody reads the metrics.
type Config struct {
	Indicators []Indicator
	// Servers are by the names that indicators know them by.
	Servers map[string]Source
	Sink    collectors.Sink
	Known   Known
	// CatchUp is how far back it looks for slices that are missing, and Timeout bounds one question.
	CatchUp, Timeout time.Duration
	Now              func() time.Time
	Logger           *slog.Logger
	Registerer       prometheus.Registerer
}

// perServer is how many questions a server is asked at a time.
const perServer = 4

// Collector follows indicators.
type Collector struct {
	cfg     Config
	plans   []*plan
	turns   map[string]chan struct{} // by server
	metrics metrics

	// standing says how the newest question about each indicator went, in their order.
	standing struct {
		sync.Mutex
		of []Status
	}
}

// Status is how the newest question about an indicator went.
type Status struct {
	Indicator, Server string
	// At is when it was asked; zero: not yet.
	At time.Time
	// Err is why there is no answer; nil: there is one.
	Err error
}

// Status returns how the newest questions went, in the order of the indicators.
func (c *Collector) Status() []Status {
	c.standing.Lock()
	defer c.standing.Unlock()
	return slices.Clone(c.standing.of)
}

func (c *Collector) note(p *plan, at time.Time, err error) {
	c.standing.Lock()
	defer c.standing.Unlock()
	s := &c.standing.of[slices.Index(c.plans, p)]
	s.At, s.Err = at, err
}

// New checks all indicators and names every fault of them at once; a Collector without indicators does nothing.
func New(cfg Config) (*Collector, error) {
	if cfg.Sink == nil || cfg.Known == nil {
		return nil, errors.New("promquery: a sink and the known slices are required")
	}
	cfg = cfg.withDefaults()
	c := &Collector{cfg: cfg, turns: map[string]chan struct{}{}, metrics: newMetrics()}
	var faults []error
	for _, i := range cfg.Indicators {
		p, err := compile(i)
		if err == nil && cfg.Servers[i.Server].Ask == nil {
			err = fmt.Errorf("promquery: indicator %q: there is no server %q", i.Name, i.Server)
		}
		faults = append(faults, err)
		c.plans = append(c.plans, p)
		c.standing.of = append(c.standing.of, Status{Indicator: i.Name, Server: i.Server})
		if c.turns[i.Server] == nil {
			c.turns[i.Server] = make(chan struct{}, perServer)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for name := range cfg.Servers {
		c.metrics.asked.WithLabelValues(name, "ok")
		c.metrics.asked.WithLabelValues(name, "error")
	}
	return c, collectors.Register(cfg.Registerer, "promquery", c.metrics.asked, c.metrics.slices, c.metrics.watermark)
}

func (cfg Config) withDefaults() Config {
	cfg.CatchUp, cfg.Timeout = cmp.Or(cfg.CatchUp, DefaultCatchUp), cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Now, cfg.Logger = collectors.Clock(cfg.Now), collectors.Logger(cfg.Logger)
	return cfg
}

// Run follows all indicators until the context ends. What was not asked by then is caught up with after the next start.
func (c *Collector) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, p := range c.plans {
		all.Go(func() { c.follow(ctx, p) })
	}
	<-ctx.Done()
	all.Wait()
	return nil
}

// retryPause is the wait after a question that was not answered, at most: the next slice is asked for in any case.
const retryPause = 30 * time.Second

// follow asks for the slices of one indicator as they end. Those that were not answered stay due, and are asked for together.
func (c *Collector) follow(ctx context.Context, p *plan) {
	at := progress{}
	failing := false
	lag := c.cfg.Servers[p.Server].Lag
	if lag == 0 {
		lag = DefaultLag
	}
	for ctx.Err() == nil {
		due := p.floor(c.cfg.Now().Add(-lag))
		err := c.advance(ctx, p, &at, due)
		if ctx.Err() != nil {
			return
		}
		wake := due.Add(p.Slice + lag)
		if err != nil {
			if !failing {
				c.cfg.Logger.Warn("a Prometheus server does not answer for an indicator", "indicator", p.Name, "server", p.Server, "since", at.next, "error", err)
			}
			if soon := c.cfg.Now().Add(retryPause); soon.Before(wake) {
				wake = soon
			}
		} else if failing {
			c.cfg.Logger.Info("a Prometheus server answers again for an indicator", "indicator", p.Name, "server", p.Server)
		}
		failing, at.lost = err != nil, at.lost && err != nil
		collectors.Sleep(ctx, wake.Sub(c.cfg.Now()))
	}
}

// progress is how far an indicator was followed.
type progress struct {
	// next is the start of the first slice that is due; zero: not known yet.
	next time.Time
	// began says that it has slices. Of one that has none the gaps before the first slice that was measured are none: nobody followed it then.
	began bool
	// lost says that slices became too old while the server did not answer, and that this was logged.
	lost bool
}

// advance hands over the slices that start before due, as far as it comes.
func (c *Collector) advance(ctx context.Context, p *plan, at *progress, due time.Time) error {
	oldest := p.floor(due.Add(-c.cfg.CatchUp))
	if at.next.IsZero() {
		known, err := c.cfg.Known(ctx, p.query(oldest, due))
		if err != nil {
			return fmt.Errorf("which slices are known: %w", err)
		}
		at.next, at.began = firstMissing(oldest, p.Slice, known), len(known) > 0
	}
	if at.next.Before(oldest) {
		if !at.lost && at.began {
			c.cfg.Logger.Warn("slices are too old to be caught up with: fetch them with kubevalue slo backfill", "indicator", p.Name, "from", at.next)
			at.lost = true
		}
		at.next = oldest
	}
	for at.next.Before(due) {
		to := earlier(at.next.Add(chunk*p.Slice), due)
		found, err := c.ask(ctx, p, at.next, to)
		if err != nil {
			return err
		}
		if !at.began && len(found) > 0 {
			latest := found[len(found)-1:]
			if found, at.began = fromFirstMeasured(found); !at.began && to.Equal(due) {
				found, at.began = latest, true // from now on it is followed, and what is not measured is a gap
			}
		}
		if len(found) > 0 {
			if err := c.cfg.Sink.Append(ctx, schema.Batch{Slices: found}); err != nil {
				return err
			}
		}
		at.next = to
		c.metrics.watermark.WithLabelValues(p.Name).Set(float64(at.next.Unix()))
	}
	return nil
}

// ask asks for the slices that start in [from, to) and returns what is new about them.
func (c *Collector) ask(ctx context.Context, p *plan, from, to time.Time) ([]schema.Slice, error) {
	turn := c.turns[p.Server]
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-turn }()
	at := c.cfg.Now()
	f := fetcher{ask: c.cfg.Servers[p.Server].Ask, known: c.cfg.Known, timeout: c.cfg.Timeout, now: c.cfg.Now}
	found, err := f.fetch(ctx, p, from, to)
	if ctx.Err() == nil {
		c.note(p, at, err)
	}
	c.metrics.count(p, found, err)
	return found, err
}

// firstMissing is the start of the first slice at or after from that is not known.
func firstMissing(from time.Time, step time.Duration, known []schema.Slice) time.Time {
	for _, s := range known {
		if !s.Start.Equal(from) {
			break
		}
		from = from.Add(step)
	}
	return from
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
