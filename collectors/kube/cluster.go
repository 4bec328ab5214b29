package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	// heartbeat is how often the API server is asked for a sign of life, heartbeatTimeout how long the answer may take.
	heartbeat        = 10 * time.Second
	heartbeatAgain   = 2 * time.Second // after one without an answer
	heartbeatTimeout = 5 * time.Second
	// longestSilence is how far two signs of life may lie apart for what lies between them to count as watched.
	longestSilence = 25 * time.Second
	// proofWait is how long a finished slice waits for a sign of life from after its end.
	proofWait = 30 * time.Second
	// chores is how often deadlines, empty namespaces and the day are looked at.
	chores = 5 * time.Second
	// selfEvery is how often the record of the cluster itself is renewed.
	selfEvery = time.Minute
	// connectPause is the wait after clients could not be made.
	connectPause = 30 * time.Second
)

// cluster is one cluster that is watched.
type cluster struct {
	cfg     Config
	cc      ClusterConfig
	keep    keeper
	out     *collectors.Outbox
	metrics metrics
	// wake asks for a sign of life now.
	wake chan struct{}

	mu      sync.Mutex
	clients *Clients
	feeds   map[string]*feed
	pods    map[uid]podEntry
	sets    map[uid]*setEntry
	spaces  map[string]*space
	// endpoints are the EndpointSlices, serving the numbers of ready endpoints by service, balancers the services that are watched.
	endpoints map[uid]backends
	serving   map[spaceName]int64
	balancers map[spaceName]*tracked
	projects  *projects
	names     interned
	costs     meteredCosts
	// targets are the pods that ask for their metrics pages to be read, asking the Services.
	targets map[uid]Target
	asking  map[uid]asking
	// kept are the targets until all that ask have been read anew.
	kept []Target
	// setsByRevision finds the ReplicaSets that belong to a revision of a Deployment.
	setsByRevision map[setKey]*setEntry
	// self is the cluster as a resource, nil until its kube-system namespace has been seen.
	self *tracked
	// selfBefore are the clusters that had this name before.
	selfBefore []*tracked
	// contact is up to when the cluster was watched before this started.
	contact time.Time
	version string
	region  string
	// skew is how far the server's clock is ahead of ours.
	skew time.Duration
	// lastOK is the newest sign of life, okSince since when there was never a long silence.
	lastOK, okSince time.Time
	err, knownErr   error
	// adopted: what was known before this started is known. Nothing is told of objects before.
	adopted  bool
	settling bool
	records  int
	selfAt   time.Time
	// ownersAt is when the owners of all objects were asked for.
	ownersAt time.Time
	slices   slicer
}

func newCluster(cfg Config, cc ClusterConfig, out *collectors.Outbox, m metrics) *cluster {
	c := &cluster{
		cfg: cfg, cc: cc, out: out, metrics: m, region: cc.Region, keep: keeper{labels: cfg.KeepLabels},
		wake: make(chan struct{}, 1), names: interned{}, costs: newCosts(), slices: newSlicer(cfg.Slice),
	}
	c.forget()
	return c
}

// forget leaves nothing of what was seen in the cluster.
func (c *cluster) forget() {
	c.feeds, c.spaces, c.projects = map[string]*feed{}, map[string]*space{}, newProjects()
	c.pods, c.sets, c.setsByRevision = map[uid]podEntry{}, map[uid]*setEntry{}, map[setKey]*setEntry{}
	c.endpoints, c.serving, c.balancers = map[uid]backends{}, map[spaceName]int64{}, map[spaceName]*tracked{}
	c.targets, c.asking = map[uid]Target{}, map[uid]asking{}
	c.self, c.selfBefore = nil, nil
	c.slices.waiting, c.slices.ended = nil, map[string]ended{}
}

func (c *cluster) now() time.Time { return c.cfg.Now().UTC() }

func (c *cluster) push(ch schema.ResourceChange) {
	if !c.adopted {
		return // it will be told when it is clear what is new
	}
	c.metrics.changes.WithLabelValues(c.cc.Name, ch.Kind, string(ch.Change)).Inc()
	c.out.Put(schema.Batch{Changes: []schema.ResourceChange{ch}})
}

// run watches until the context ends. What was known before the start is asked first. While there is no answer, as the warehouse is away,
// only availability and consumption are measured; then everything is read anew, and what has happened since the cluster was watched last is told.
func (c *cluster) run(ctx context.Context) {
	if !c.connect(ctx) {
		return
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer c.endCosts()
	work.Go(func() { c.beat(ctx) })
	work.Go(func() { c.watchUse(ctx) })
	var known []schema.ResourceChange
	unknown, isKnown := context.WithCancel(ctx)
	work.Go(func() {
		defer isKnown()
		known = c.learnKnown(ctx)
	})
	pauseUntil(ctx, unknown.Done(), c.cfg.KnownTimeout)
	if unknown.Err() == nil {
		c.watch(unknown)
	}
	<-unknown.Done()
	if ctx.Err() == nil {
		c.adopt(known)
		c.watch(ctx)
	}
}

// watch follows all kinds until the context ends.
func (c *cluster) watch(ctx context.Context) {
	var feeds sync.WaitGroup
	defer feeds.Wait()
	c.startFeeds(ctx, &feeds, true)
	c.awaitEarly(ctx)
	c.startFeeds(ctx, &feeds, false)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			c.tick()
		}
	}
}

// pauseUntil returns when the channel is closed, the time is over or the context ends.
func pauseUntil(ctx context.Context, done <-chan struct{}, longest time.Duration) {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-done:
	case <-timer.C:
	}
}

// connect makes the clients, however often that takes: a file may be mended meanwhile.
func (c *cluster) connect(ctx context.Context) bool {
	for {
		clients, err := c.cfg.Connect(c.cc)
		c.mu.Lock()
		c.clients, c.err = clients, err
		c.mu.Unlock()
		if err == nil {
			return true
		}
		c.cfg.Logger.Error("cluster cannot be watched", "cluster", c.cc.Name, "retry_in", connectPause, "error", err)
		pauseUntil(ctx, nil, connectPause)
		if ctx.Err() != nil {
			return false
		}
	}
}

// learnKnown asks what was known before the start until there is an answer.
func (c *cluster) learnKnown(ctx context.Context) []schema.ResourceChange {
	if c.cfg.Known == nil {
		return nil
	}
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, time.Minute) {
		rows, err := c.cfg.Known(ctx, c.cc.Name)
		c.mu.Lock()
		c.knownErr = err
		c.mu.Unlock()
		if err == nil {
			return rows
		}
		if ctx.Err() == nil {
			c.cfg.Logger.Warn("what is known of the cluster cannot be read", "cluster", c.cc.Name, "retry_in", pause, "error", err)
		}
		pauseUntil(ctx, nil, pause)
	}
	return nil
}

// startFeeds begins to watch the early kinds or the others.
func (c *cluster) startFeeds(ctx context.Context, work *sync.WaitGroup, early bool) {
	for _, k := range kinds {
		if k.early != early || !c.cc.watches(k.name) || ctx.Err() != nil {
			continue
		}
		c.mu.Lock()
		f := c.feed(k)
		c.mu.Unlock()
		work.Go(func() { f.run(ctx) })
	}
}

// feed is the feed of a kind, made when it is first asked for.
func (c *cluster) feed(k kind) *feed {
	f := c.feeds[k.name]
	if f == nil {
		f = newFeed(c, k)
		c.feeds[k.name] = f
	}
	return f
}

// awaitEarly waits until the early kinds have been read, at most as long as a list may hang.
func (c *cluster) awaitEarly(ctx context.Context) {
	for end := time.Now().Add(c.cfg.SyncTimeout); time.Now().Before(end) && ctx.Err() == nil; {
		c.mu.Lock()
		synced := true
		for _, f := range c.feeds {
			synced = synced && (!f.early || f.synced || f.absent || f.err != nil)
		}
		c.mu.Unlock()
		if synced {
			return
		}
		pauseUntil(ctx, nil, 10*time.Millisecond)
	}
}

// beat asks for signs of life until the context ends.
func (c *cluster) beat(ctx context.Context) {
	for ctx.Err() == nil {
		asked := c.now()
		one, cancel := context.WithTimeout(ctx, heartbeatTimeout)
		version, err := c.clients.Version(one)
		cancel()
		if ctx.Err() == nil {
			c.heard(asked, version, err)
		}
		next := heartbeat
		if err != nil {
			next = heartbeatAgain
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// heard takes the answer to a request for a sign of life.
func (c *cluster) heard(asked time.Time, version string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		err = plain(err)
		if c.err == nil {
			c.cfg.Logger.Warn("cluster gives no sign of life", "cluster", c.cc.Name, "error", err)
		}
		c.err = fmt.Errorf("ask for the version: %w", err)
		return
	}
	if c.err != nil {
		c.cfg.Logger.Info("cluster answers again", "cluster", c.cc.Name)
	}
	c.err = nil
	if c.lastOK.IsZero() || asked.Sub(c.lastOK) > longestSilence {
		c.okSince = asked
	}
	c.lastOK = asked
	c.metrics.contact.WithLabelValues(c.cc.Name).Set(float64(asked.Unix()))
	c.version = version
	c.noteSkew()
	if c.self != nil && c.self.res.Version != version {
		c.upgraded(asked)
	}
	c.slices.settle(c, asked)
}

// noteSkew compares the server's clock with ours, and logs when it goes wrong.
func (c *cluster) noteSkew() {
	if c.clients.Skew == nil {
		return
	}
	was := c.skew.Abs() > maxSkew
	c.skew = c.clients.Skew()
	c.metrics.skew.WithLabelValues(c.cc.Name).Set(c.skew.Seconds())
	if !was && c.skew.Abs() > maxSkew {
		c.cfg.Logger.Warn("clock of a cluster is off", "cluster", c.cc.Name, "ahead", c.skew)
	}
}

// begin is called before anything changes: slices that have ended get what was true until then.
func (c *cluster) begin() { c.closeSlices(c.now()) }

// tick does what has to be done as time passes.
func (c *cluster) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.begin()
	c.slices.settle(c, time.Time{})
	if now.Unix()%int64(chores/time.Second) == 0 {
		c.checkDeadlines(now)
		c.checkEmpty(now)
		c.askOwners(now)
		c.meterCosts(now)
		c.observeDay(now)
		c.count()
	}
	if now.Sub(c.selfAt) >= selfEvery {
		c.observeSelf(now)
	}
}

// observeDay records the state of everything once a day, so that what never changes is known to be there.
func (c *cluster) observeDay(now time.Time) {
	today := dayOf(now)
	for _, f := range c.feeds {
		if !f.synced || !f.up {
			continue
		}
		for _, t := range f.tracked {
			if t.day != today && !t.unseen {
				c.observe(t, now)
			}
		}
	}
}

// count updates the numbers of objects.
func (c *cluster) count() {
	for name, n := range c.objects() {
		c.metrics.objects.WithLabelValues(c.cc.Name, name).Set(float64(n))
	}
	for _, f := range c.feeds {
		if f.absent {
			c.metrics.synced.DeleteLabelValues(c.cc.Name, f.name)
			continue
		}
		c.metrics.synced.WithLabelValues(c.cc.Name, f.name).Set(map[bool]float64{true: 1}[f.synced && f.up])
	}
}

func (c *cluster) objects() map[string]int {
	n := map[string]int{}
	for _, f := range c.feeds {
		n[f.name] = len(f.tracked)
	}
	if c.cc.watches(kindPod) {
		n[kindPod] = len(c.pods)
	}
	if c.cc.watches(kindReplicaSet) {
		n[kindReplicaSet] = len(c.sets)
	}
	if c.cc.watches(kindEndpointSlice) {
		n[kindEndpointSlice] = len(c.endpoints)
	}
	return n
}
