package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubevalue/kubevalue/collectors"
)

// Collector watches clusters.
type Collector struct {
	cfg      Config
	out      *collectors.Outbox
	clusters []*cluster
}

// New checks the configuration and names every fault of it at once; no cluster is contacted yet. A Collector without clusters
// does nothing.
func New(cfg Config) (*Collector, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m := newMetrics()
	if cfg.Registerer != nil {
		if err := m.register(cfg.Registerer); err != nil {
			return nil, fmt.Errorf("kube: register metrics: %w", err)
		}
	}
	c := &Collector{cfg: cfg, out: newOutbox(cfg, m)}
	shared := newProjects()
	for _, cc := range cfg.Clusters {
		one := newCluster(cfg, cc, c.out, m)
		m.contact.WithLabelValues(cc.Name).Set(0) // one that never answers must not go unnoticed
		one.projects = shared
		c.clusters = append(c.clusters, one)
	}
	return c, nil
}

const (
	// maxChanges bounds the changes that wait, about 50 MB; while there are as many, nothing more is read from the clusters.
	maxChanges = 50_000
	// maxHeld bounds the slices that wait, about 30 MB; the oldest go first, and are missing then.
	maxHeld = 200_000
)

func newOutbox(cfg Config, m metrics) *collectors.Outbox {
	return collectors.NewOutbox(collectors.OutboxConfig{
		Sink: cfg.Sink, Logger: cfg.Logger, MaxHeld: maxHeld, MaxChanges: maxChanges,
		Dropped: func(reason string, records int) { m.dropped.WithLabelValues(reason).Add(float64(records)) },
	})
}

// Run watches all clusters until the context ends, each by itself, then hands over what was seen. It fails only when that
// could not be handed over in the end; what is wrong with a cluster is in its Status.
func (c *Collector) Run(ctx context.Context) error {
	var watching, sending sync.WaitGroup
	send, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	sending.Go(func() { c.out.Run(send) })
	for _, one := range c.clusters {
		watching.Go(func() { one.run(ctx) })
	}
	<-ctx.Done()
	c.out.Close()
	watching.Wait()
	stop()
	sending.Wait()
	if err := c.out.Drain(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("kube: %w", err)
	}
	return nil
}

// Status is how the view of a cluster stands.
type Status struct {
	Name, Region, Server string
	// Version is that of its API server, empty until it has answered.
	Version string
	// LastContact is its newest sign of life; zero: none yet.
	LastContact time.Time
	// Synced: every kind that it serves has been read and is being watched.
	Synced bool
	// Skew is how far its clock is ahead of ours, negative when it is behind. Less than a second is not measured.
	Skew time.Duration
	// Err is what is wrong with it, nil when nothing is.
	Err   error
	Kinds []KindStatus
	// Slices counts the workload slices since the start; Coverage is the measured share of them, 0..1, and 0 while there are none.
	Slices   int64
	Coverage float64
}

// KindStatus is how the view of one kind stands.
type KindStatus struct {
	Kind   string
	Synced bool
	// Absent: the cluster does not serve it.
	Absent bool
	// Objects is how many are followed.
	Objects int
	Err     error
}

// Fault says in a few words what is wrong with the view of a cluster, for people who have no use for the error, and with which kinds when
// it is not with all; empty: nothing is.
func (s Status) Fault() string {
	which := ""
	if bad := s.faultyKinds(); len(bad) > 0 && len(bad) < len(s.Kinds) {
		if more := len(bad) - namedKinds; more > 0 {
			bad = append(bad[:namedKinds], fmt.Sprintf("%d more", more))
		}
		which = " (" + strings.Join(bad, ", ") + ")"
	}
	switch {
	case s.Err == nil:
		return ""
	case apierrors.IsUnauthorized(s.Err):
		return "refuses our credentials"
	case apierrors.IsForbidden(s.Err):
		return "does not let us see everything" + which
	case errors.Is(s.Err, context.DeadlineExceeded), errors.Is(s.Err, errHangs):
		return "does not answer" + which
	}
	return "cannot be watched" + which
}

// namedKinds is how many kinds a fault names.
const namedKinds = 3

func (s Status) faultyKinds() (names []string) {
	for _, k := range s.Kinds {
		if k.Err != nil {
			names = append(names, k.Kind)
		}
	}
	return names
}

// Off says how the cluster's clock disagrees with ours, in words; empty: it does not.
func (s Status) Off() string { return off(s.Skew) }

func off(skew time.Duration) string {
	switch {
	case skew > maxSkew:
		return fmt.Sprintf("its clock is %s ahead of ours", skew.Round(time.Second))
	case skew < -maxSkew:
		return fmt.Sprintf("its clock is %s behind ours", -skew.Round(time.Second))
	}
	return ""
}

// Status returns how the view of each cluster stands, in the order of the configuration.
func (c *Collector) Status() []Status {
	all := make([]Status, 0, len(c.clusters))
	for _, one := range c.clusters {
		all = append(all, one.status())
	}
	return all
}

func (c *cluster) status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{Name: c.cc.Name, Region: c.region, Version: c.version, LastContact: c.lastOK, Synced: true, Skew: c.skew, Slices: c.slices.all, Err: c.err}
	if c.clients != nil {
		s.Server = c.clients.Server
	}
	if c.slices.all > 0 {
		s.Coverage = float64(c.slices.measured) / float64(c.slices.all)
	}
	objects := c.objects()
	for _, k := range kinds {
		if !c.cc.watches(k.name) {
			continue
		}
		ks := KindStatus{Kind: k.name, Objects: objects[k.name]}
		if f := c.feeds[k.name]; f != nil {
			ks.Synced, ks.Absent, ks.Err = f.synced && f.up, f.absent, f.err
			if ks.Err == nil && f.unread > 0 {
				ks.Err = fmt.Errorf("%d objects cannot be read, the newest one because %w", f.unread, f.unreadErr)
			}
		}
		s.Synced = s.Synced && (ks.Synced || ks.Absent)
		if s.Err == nil && ks.Err != nil {
			s.Err = fmt.Errorf("%s: %w", k.name, ks.Err)
		}
		s.Kinds = append(s.Kinds, ks)
	}
	if s.Err == nil && c.knownErr != nil {
		s.Err = fmt.Errorf("read what is known of the cluster: %w", c.knownErr)
	}
	return s
}
