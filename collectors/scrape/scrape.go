// Package scrape reads the metrics pages of targets, in the text formats of Prometheus and OpenMetrics, and counts the events of
// indicators by the increase of their counters, slice by slice. No first value is lost: a series that appears on a target that was read
// before counts from zero. A counter that has fallen began anew at zero.
//
// What was counted is saved every five seconds, before it is handed over. After a restart or a kill counting goes on from there: what targets
// counted meanwhile is in the increase to their next page, and counts in the slice of that page. When that page comes more than two and a
// half intervals after the last one that was saved, nothing is known of the time between: counting begins anew with it, slices in which no
// page was counted are gaps, and what was counted of the others before stays.
package scrape

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"

	"github.com/kubevalue/kubevalue/collectors"
)

// Defaults of a Job.
const (
	DefaultInterval   = 15 * time.Second
	DefaultTimeout    = 10 * time.Second
	DefaultMaxTargets = 1000
)

// Job is a set of targets that are read in the same way.
type Job struct {
	// Name is the label job.
	Name string
	// Targets are URLs, or host:port with Scheme and Path. Files are globs of lists of targets in Prometheus' file_sd format, JSON or YAML, which
	// are read again every ten seconds.
	Targets, Files []string
	// Discover finds further targets, besides those that are listed; it is asked every ten seconds. Nil: there are none.
	Discover func() []Found
	// Scheme and Path are http and /metrics when empty.
	Scheme, Path string
	// Labels are added to every series.
	Labels map[string]string
	// Interval lies between two pages of a target, and Timeout, at most Interval, bounds the reading of one.
	Interval, Timeout time.Duration
	// Access is how the targets are reached; files of credentials are read again when they change.
	Access config.HTTPClientConfig
	// Limits are DefaultLimits when zero.
	Limits Limits
	// MaxTargets bounds how many are read, DefaultMaxTargets when 0: Discover finds as many as others ask for. Those that are listed, here or in
	// Files, count, and are all read.
	MaxTargets int
}

// Found is a target that a Job discovered: a URL, or host:port, with labels of its own.
type Found struct {
	Address string
	Labels  map[string]string
}

// WithDefaults fills what is not set.
func (j Job) WithDefaults() Job {
	if j.Scheme == "" {
		j.Scheme = "http"
	}
	if j.Path == "" {
		j.Path = "/metrics"
	}
	if j.Interval == 0 {
		j.Interval = DefaultInterval
	}
	if j.Timeout == 0 {
		j.Timeout = min(DefaultTimeout, j.Interval)
	}
	if j.Limits == (Limits{}) {
		j.Limits = DefaultLimits
	}
	if j.MaxTargets == 0 {
		j.MaxTargets = DefaultMaxTargets
	}
	return j
}

// Config is what a Collector needs; Now and Logger have defaults, and Registerer nil means that nobody reads the metrics.
type Config struct {
	Jobs       []Job
	Indicators []Indicator
	Sink       collectors.Sink
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// State is a file that keeps what was counted, so that a restart, or a kill, loses nothing: what targets count meanwhile is counted with
	// their next page, when that is not more than two intervals late. Empty: counting begins anew.
	State string
}

// Collector reads targets and hands over the slices of indicators.
type Collector struct {
	cfg      Config
	counters *Counters
	jobs     []*job
	sums     *Sums
	metrics  metrics
	// large are the turns of pages that hold much memory.
	large chan struct{}

	// counting is held for reading while a page is counted, and for writing while all is saved; unsaved: something was counted since.
	counting sync.RWMutex
	unsaved  atomic.Bool
	// pages are those of the targets that are read, before those that were read before a restart, and not since.
	pages  map[string]*pages
	before map[string]savedPages

	// standing says how the newest try to read each target went.
	standing struct {
		sync.Mutex
		of map[string]Status
		// leftOut are the targets of each job, by its name, that are not read.
		leftOut map[string][]target
	}
}

// Status is how the newest try to read a target went.
type Status struct {
	Job, Instance string
	// At is when it was tried.
	At time.Time
	// Series is how many series of it are remembered, PassedOver how many samples of its newest page that should count counted for
	// nothing: they were no numbers, stood there twice, or were stale.
	Series, PassedOver int
	// Err is why it could not be read; nil: it could. ErrLeftOut: nobody tries.
	Err error
}

// Status returns how the newest tries went, in order of job and instance, with the first 100 targets of each job that are left out, whose At is
// zero. A target that was not tried yet is not in it.
func (c *Collector) Status() []Status {
	c.standing.Lock()
	defer c.standing.Unlock()
	all := slices.Collect(maps.Values(c.standing.of))
	for _, j := range c.jobs {
		leftOut := c.standing.leftOut[j.Name]
		for _, t := range leftOut[:min(len(leftOut), maxLeftOutShown)] {
			all = append(all, Status{
				Job: j.Name, Instance: t.labels.Get("instance"),
				Err: fmt.Errorf("%w: %d targets are over the job's max_targets of %d", ErrLeftOut, len(leftOut), j.MaxTargets),
			})
		}
	}
	slices.SortStableFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Instance, b.Instance))
	})
	return all
}

// standingOf tells targets apart by all that they have.
func standingOf(j *job, t target) string { return j.Name + " " + t.url + " " + t.labels.String() }

func (c *Collector) note(key string, s Status) {
	c.standing.Lock()
	defer c.standing.Unlock()
	c.standing.of[key] = s
}

// forget a target that is gone.
func (c *Collector) forget(key string) {
	c.standing.Lock()
	defer c.standing.Unlock()
	delete(c.standing.of, key)
}

type job struct {
	Job
	client *http.Client
}

// New checks everything and names every fault at once; a Collector without jobs or indicators does nothing.
func New(cfg Config) (*Collector, error) {
	if cfg.Sink == nil {
		return nil, errors.New("scrape: a sink is required")
	}
	cfg.Now, cfg.Logger = collectors.Clock(cfg.Now), collectors.Logger(cfg.Logger)
	c := &Collector{cfg: cfg, metrics: newMetrics(), pages: map[string]*pages{}, large: make(chan struct{}, maxLarge)}
	c.standing.of, c.standing.leftOut = map[string]Status{}, map[string][]target{}
	var faults []error
	counters, err := NewCounters(cfg.Indicators)
	faults = append(faults, err)
	c.counters, c.sums = counters, counters.Sums()
	for _, j := range cfg.Jobs {
		j = j.WithDefaults()
		client, err := config.NewClientFromConfig(j.Access, "scrape", config.WithUserAgent("kubevalue-scrape"))
		if err != nil {
			err = fmt.Errorf("scrape: job %q: %w", j.Name, err)
		}
		faults = append(faults, err, j.Validate())
		c.jobs = append(c.jobs, &job{j, client})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return c, collectors.Register(cfg.Registerer, "scrape", c.metrics.pages, c.metrics.problems, c.metrics.series, tally{c})
}

// Run reads targets until the context ends.
func (c *Collector) Run(ctx context.Context) error {
	if len(c.cfg.Indicators) == 0 || len(c.jobs) == 0 {
		<-ctx.Done()
		return nil
	}
	c.restore()
	var all sync.WaitGroup
	for _, j := range c.jobs {
		all.Go(func() { c.discover(ctx, j) })
	}
	all.Go(func() { c.handOver(ctx) })
	all.Wait()
	c.save()
	return nil
}

// handOver hands slices over until the context ends. What is handed over was saved before: after a kill it is handed over again, with the same
// events, rather than counted into other slices.
func (c *Collector) handOver(ctx context.Context) {
	for collectors.Sleep(ctx, HandOverEvery) {
		c.save()
		c.sums.HandOver(ctx, c.cfg.Sink, c.cfg.Now(), c.cfg.Logger)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), HandOverEvery)
	defer cancel()
	c.save()
	c.sums.HandOver(within, c.cfg.Sink, c.cfg.Now(), c.cfg.Logger)
}

// rediscover is how often files of targets are read, and discovered ones asked for.
const rediscover = 10 * time.Second

// watched is a target that is read.
type watched struct {
	target
	place place
	stop  context.CancelFunc
}

// discover keeps a watcher running for every target of a job that has a place.
func (c *Collector) discover(ctx context.Context, j *job) {
	running, told := map[string]watched{}, map[string]bool{}
	var watchers sync.WaitGroup
	defer watchers.Wait()
	for {
		found, odd, err := j.discovered()
		told = c.tellOdd(j, odd, told)
		if err != nil {
			c.cfg.Logger.Warn("some targets of a job cannot be found out: those that were listed stay", "job", j.Name, "error", err)
			for key, one := range running {
				if !one.asked {
					found[key] = one.target
				}
			}
		}
		kept := c.choose(j, found, running)
		for key, one := range running {
			if _, ok := kept[key]; !ok {
				one.stop()
				delete(running, key)
			}
		}
		for key, at := range kept {
			t := found[key]
			if one, ok := running[key]; ok {
				one.asked = t.asked
				running[key] = one
				continue
			}
			within, stop := context.WithCancel(ctx)
			running[key] = watched{t, at, stop}
			watchers.Go(func() {
				p := c.pagesOf(j, key, t)
				c.watch(within, j, t, p)
				if ctx.Err() == nil { // the target is gone, while others are read on
					c.leave(key, p)
					c.forget(standingOf(j, t))
					c.metrics.series.DeleteLabelValues(j.Name, t.labels.Get("instance"))
				}
			})
		}
		if !collectors.Sleep(ctx, rediscover) {
			for _, one := range running {
				one.stop()
			}
			return
		}
	}
}

// tellOdd warns of targets that cannot be read, once for each. It returns what it has told of those that are still there.
func (c *Collector) tellOdd(j *job, odd []error, told map[string]bool) map[string]bool {
	now := make(map[string]bool, len(odd))
	var fresh []error
	for _, err := range odd {
		text := err.Error()
		if !told[text] && !now[text] {
			fresh = append(fresh, err)
		}
		now[text] = true
	}
	if len(fresh) > 0 {
		c.cfg.Logger.Warn("targets of a job are not read: they cannot be", "job", j.Name, "targets", len(fresh), "first", fresh[0])
	}
	return now
}

// watch reads one target at fixed instants of the clock, which differ from target to target.
func (c *Collector) watch(ctx context.Context, j *job, t target, p *pages) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.url)) // never fails
	offset := time.Duration(h.Sum64() % uint64(j.Interval))
	failing := false
	for {
		now := c.cfg.Now()
		next := now.Truncate(j.Interval).Add(offset)
		if !next.After(now) {
			next = next.Add(j.Interval)
		}
		if !collectors.Sleep(ctx, next.Sub(now)) {
			return
		}
		err := c.read(ctx, j, t, p)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != failing {
			failing = err != nil
			c.cfg.Logger.Warn("whether a target can be read has changed", "job", j.Name, "target", t.url, "readable", !failing, "error", err)
		}
	}
}

// read reads one page and counts what it adds.
func (c *Collector) read(ctx context.Context, j *job, t target, p *pages) error {
	began := c.cfg.Now()
	page, err := c.fetch(ctx, j, t.url)
	var trouble problems
	if err == nil {
		trouble, err = c.count(p, page, began, gapOf(j.Interval))
		page.release()
	}
	c.metrics.count(j.Name, trouble, err)
	c.note(standingOf(j, t), Status{
		Job: j.Name, Instance: t.labels.Get("instance"), At: began, Series: len(p.known), PassedOver: trouble.notNumbers + trouble.duplicates + trouble.stale, Err: err,
	})
	if err == nil {
		c.metrics.series.WithLabelValues(j.Name, t.labels.Get("instance")).Set(float64(len(p.known)))
	}
	return err
}

// count adds what a page counts to the slices that it was read in.
func (c *Collector) count(p *pages, from fetched, at time.Time, gap time.Duration) (problems, error) {
	c.counting.RLock()
	defer c.counting.RUnlock()
	added, trouble, err := p.take(from.body, from.contentType, at, gap)
	for i, e := range added {
		if e.measured {
			c.sums.Add(Use{i, true}, at, e.total, c.cfg.Now())
			c.sums.Add(Use{i, false}, at, e.part, c.cfg.Now())
		}
	}
	if err == nil {
		c.unsaved.Store(true)
	}
	return trouble, err
}

// gapOf is the longest time between two pages that are compared: one page may be missing.
func gapOf(interval time.Duration) time.Duration { return 2*interval + interval/2 }

const accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

// fetched is a page that was fetched. Its release has to be called once it was counted.
type fetched struct {
	body        []byte
	contentType string
	release     func()
}

const (
	// smallPage is the size of a page, in bytes, up to which any number of them is read at a time, and maxLarge how many larger ones are: targets
	// that return gigabytes do not add up.
	smallPage = 4 << 20
	maxLarge  = 2
)

// fetch gets a page, unpacked, within the job's limits.
func (c *Collector) fetch(ctx context.Context, j *job, url string) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fetched{}, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Accept", accept)
	resp, err := j.client.Do(req)
	if err != nil {
		return fetched{}, fmt.Errorf("request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fetched{}, fmt.Errorf("status %d: want 200", resp.StatusCode)
	}
	page := fetched{contentType: resp.Header.Get("Content-Type"), release: func() {}}
	var text pieces
	defer text.release()
	err = text.read(resp.Body, min(smallPage, j.Limits.Body+1))
	if err == nil && text.size == smallPage {
		select {
		case c.large <- struct{}{}:
			page.release = func() { <-c.large }
		case <-ctx.Done():
			return fetched{}, fmt.Errorf("wait for the turn to read a page of more than %d bytes: %w", smallPage, ctx.Err())
		}
		err = text.read(resp.Body, j.Limits.Body+1-smallPage)
	}
	switch {
	case err != nil:
		page.release()
		return fetched{}, fmt.Errorf("read the page: %w", err)
	case text.size > j.Limits.Body:
		page.release()
		return fetched{}, fmt.Errorf("%w: more than %d bytes", ErrTooMuch, j.Limits.Body)
	}
	page.body = text.joined()
	return page, nil
}
