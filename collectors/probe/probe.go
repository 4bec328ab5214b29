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

// Config is what a Collector needs.
type Config struct {
	Targets []Target
	Sink    collectors.Sink
	// Now is time.Now when nil; it decides when a try is due and which slice it belongs to.
	Now    func() time.Time
	Logger *slog.Logger
	// Registerer takes the metrics; nil: nobody reads them.
	Registerer prometheus.Registerer
	// Try tries a target once; Try of this package when nil.
	Try func(ctx context.Context, t Target) Result
}

// Status is the newest result of a target.
type Status struct {
	Name, Group string
	Kind        Kind
	// At is when the newest try began; zero: there was none yet.
	At   time.Time
	Last Result
}

// Collector tries its targets and hands their slices over.
type Collector struct {
	cfg     Config
	targets []*watched
	out     *collectors.Outbox
	metrics metrics
}

// watched is a target with what is known of it now.
type watched struct {
	Target
	revision string

	mu   sync.Mutex
	at   time.Time
	last Result
	// failing is what the newest try that counts found; only its own watch knows it.
	failing bool
}

// New checks all targets and names every fault of them at once; a Collector without targets does nothing.
func New(cfg Config) (*Collector, error) {
	if cfg.Sink == nil {
		return nil, errors.New("probe: a sink is required")
	}
	cfg.Now, cfg.Logger = collectors.Clock(cfg.Now), collectors.Logger(cfg.Logger)
	if cfg.Try == nil {
		cfg.Try = Try
	}
	c := &Collector{cfg: cfg, metrics: newMetrics()}
	c.out = collectors.NewOutbox(collectors.OutboxConfig{
		Sink: cfg.Sink, Logger: cfg.Logger, MaxHeld: maxHeld,
		Dropped: func(_ string, records int) { c.metrics.dropped.Add(float64(records)) },
	})
	type identity struct{ name, group string }
	seen := make(map[identity]bool)
	var faults []error
	for _, t := range cfg.Targets {
		t = t.WithDefaults()
		faults = append(faults, t.Validate())
		if id := (identity{t.Name, t.Group}); seen[id] {
			faults = append(faults, fmt.Errorf("probe %q: group %q: another target has the same name and group", t.Name, t.Group))
		} else {
			seen[id] = true
		}
		c.targets = append(c.targets, &watched{Target: t, revision: Revision(t)})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if cfg.Registerer != nil {
		if err := c.metrics.register(cfg.Registerer); err != nil {
			return nil, fmt.Errorf("probe: register metrics: %w", err)
		}
	}
	return c, nil
}

// Status is what is known of every target, in the order of the configuration.
func (c *Collector) Status() []Status {
	all := make([]Status, 0, len(c.targets))
	for _, w := range c.targets {
		w.mu.Lock()
		all = append(all, Status{Name: w.Name, Group: w.Group, Kind: w.Kind, At: w.at, Last: w.last})
		w.mu.Unlock()
	}
	return all
}

// maxHeld bounds the slices that wait for the sink, about 2 MB; the oldest go first.
const maxHeld = 10_000

// Run tries the targets until the context ends, then hands over the slices that are under way. It fails only when slices
// could not be handed over in the end.
func (c *Collector) Run(ctx context.Context) error {
	var watchers, sender sync.WaitGroup
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	sender.Go(func() { c.out.Run(sending) })
	for _, w := range c.targets {
		watchers.Go(func() { c.watch(ctx, w) })
	}
	<-ctx.Done()
	watchers.Wait()
	stop()
	sender.Wait()
	if err := c.out.Drain(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// watch measures one target, slice by slice. It begins with the next full slice: one that the collector did not see the
// beginning of would be judged by its rest.
func (c *Collector) watch(ctx context.Context, w *watched) {
	start := alignUp(c.cfg.Now(), w.Slice)
	for {
		end := start.Add(w.Slice)
		good, total := c.measure(ctx, w, start)
		if ctx.Err() == nil {
			c.sleepUntil(ctx, end)
		}
		stopped := ctx.Err() != nil
		if total > 0 || !stopped {
			c.out.Put(schema.Batch{Slices: []schema.Slice{c.slice(w, start, good, total)}})
		}
		if stopped {
			return
		}
		start = end
		if now := c.cfg.Now(); !now.Before(end.Add(w.Slice)) { // the machine was asleep
			start = alignUp(now, w.Slice)
		}
	}
}

// measure tries the target at every instant of a slice that is not over yet, and counts the tries that were made.
func (c *Collector) measure(ctx context.Context, w *watched, start time.Time) (good, total int) {
	for due := start; due.Before(start.Add(w.Slice)); due = due.Add(w.Interval) {
		if !c.sleepUntil(ctx, due) {
			return good, total
		}
		at := c.cfg.Now()
		if !at.Before(due.Add(w.Interval)) {
			c.metrics.count(w, resultNotTried)
			continue
		}
		result := c.cfg.Try(ctx, w.Target)
		w.mu.Lock()
		w.at, w.last = at, result
		w.mu.Unlock()
		if errors.Is(result.Err, ErrNotTried) {
			c.metrics.count(w, resultNotTried)
			if ctx.Err() == nil {
				c.cfg.Logger.Warn("probe could not be tried", "target", w.Name, "group", w.Group, "error", result.Err)
			}
			continue
		}
		c.metrics.observe(w, result)
		total++
		if result.Good {
			good++
		}
		if result.Good == w.failing {
			w.failing = !result.Good
			c.cfg.Logger.Warn("whether a target answers as expected has changed", "target", w.Name, "group", w.Group, "answers", result.Good, "error", result.Err)
		}
	}
	return good, total
}

// slice makes a record of what was tried. Of two records of a slice, by two services that try the same, a measured one wins.
func (c *Collector) slice(w *watched, start time.Time, good, total int) schema.Slice {
	s := schema.Slice{
		Indicator: w.Name, Revision: w.revision, Group: w.Group,
		Start: start, Seconds: uint32(w.Slice / time.Second),
		Good: float64(good), Total: float64(total), State: schema.SliceMeasured,
		Version: uint64(c.cfg.Now().UnixMilli()),
	}
	if total == 0 {
		s.State, s.Version = schema.SliceGap, uint64(start.UnixMilli())
	}
	return s
}

// sleepUntil waits for an instant of the clock, however the clock is set meanwhile; false: the context ended first.
func (c *Collector) sleepUntil(ctx context.Context, instant time.Time) bool {
	// Short looks at the clock notice that it was set, without drifting.
	const longest = time.Minute
	for {
		left := instant.Sub(c.cfg.Now().Round(0))
		if left <= 0 {
			return ctx.Err() == nil
		}
		if !collectors.Sleep(ctx, min(left, longest)) {
			return false
		}
	}
}

// alignUp is the first multiple of step since the Unix epoch that is not before t. step is in whole seconds.
func alignUp(t time.Time, step time.Duration) time.Time {
	seconds := int64(step / time.Second)
	at := t.Unix()
	if t.Nanosecond() > 0 {
		at++
	}
	if rest := ((at % seconds) + seconds) % seconds; rest > 0 {
		at += seconds - rest
	}
	return time.Unix(at, 0).UTC()
}
