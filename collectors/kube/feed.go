package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
	"k8s.io/klog/v2"

	"github.com/kubevalue/kubevalue/schema"
)

// feed is the watch of one kind in one cluster. It hands what changed to the cluster, without a cache in between: it is the
// store of a reflector. All but the first five fields and most, which only its reflector
// uses, are guarded by cluster.mu.
type feed struct {
	kind
	c      *cluster
	source source
	fields []fieldReader
	// noStream is what the client says of streams of initial objects; fake ones cannot.
	noStream bool

	tracked map[uid]*tracked // all but pods and ReplicaSets
	// synced: a first complete list was seen. up: a watch stands.
	synced, up bool
	// absent: the cluster does not serve the kind.
	absent bool
	// okSince is since when every change has been seen in time.
	okSince time.Time
	// downSince is when the watch ended or the list was read that the next watch resumes from.
	downSince time.Time
	// gapFrom is from when on what is late may have happened; late is up to resourceVersion lateUpTo, 0: nothing is.
	gapFrom  time.Time
	lateUpTo uint64
	// busySince is since when a request waits for an answer, or a stream of initial objects for its next one.
	busySince time.Time
	// streaming is set while a stream of initial objects is asked for or read.
	streaming bool
	// listOnly is set once a stream of initial objects has hung.
	listOnly bool
	watches  int // counts the requests, to know the newest
	err      error
	// most is how many objects a page may have; fewer than pageSize once a page was too long.
	most int64
	// newest is the resourceVersion up to which everything was seen, 0 when it is none.
	newest uint64
	// unread counts the objects since the last list began that nobody could read, unreadErr says why the newest one.
	unread    int
	unreadErr error
}

func newFeed(c *cluster, k kind) *feed {
	c.metrics.synced.WithLabelValues(c.cc.Name, k.name).Set(0)
	f := &feed{
		kind: k, c: c, noStream: watchlist.DoesClientNotSupportWatchListSemantics(c.clients.Typed),
		tracked: map[uid]*tracked{}, most: pageSize, fields: fieldReaders(c.cfg.Fields, k.name),
	}
	if !k.custom {
		f.source = k.source(c.clients)
	}
	return f
}

// listWatch is what a reflector reads from.
type listWatch struct {
	*cache.ListWatch
	noStream bool
}

// IsWatchListSemanticsUnSupported tells a reflector not to ask for a stream of initial objects.
func (l listWatch) IsWatchListSemanticsUnSupported() bool { return l.noStream }

// run reads and watches until the context ends. A request that hangs is given up and everything begun anew.
func (f *feed) run(ctx context.Context) {
	logger := logr.Discard() // the cluster's status and log say what failed, once
	ctx = klog.NewContext(ctx, logger)
	for f.await(ctx) && ctx.Err() == nil {
		attempt, cancel := context.WithCancel(ctx)
		f.c.mu.Lock()
		lw := listWatch{&cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch}, f.noStream || f.listOnly}
		f.c.mu.Unlock()
		reflector := cache.NewReflectorWithOptions(lw, nil, f, cache.ReflectorOptions{Name: f.c.cc.Name + "/" + f.name, Logger: &logger, Backoff: retries()})
		reflector.WatchListPageSize = pageSize
		done := make(chan struct{})
		go func() {
			defer close(done)
			reflector.RunWithContext(attempt)
		}()
		f.superviseUntil(attempt)
		cancel()
		<-done
	}
}

// retries are the waits after failures: short enough for a cluster that is back not to be out of sight for long.
func retries() *wait.Backoff {
	return &wait.Backoff{Duration: 500 * time.Millisecond, Cap: 10 * time.Second, Steps: 20, Factor: 2, Jitter: 0.5}
}

// errHangs says that a request was given up.
var errHangs = errors.New("no answer")

// superviseUntil returns when the context ends, a request has hung for too long, or the kind is not served any longer.
func (f *feed) superviseUntil(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		f.c.mu.Lock()
		now := f.c.now()
		hangs := !f.busySince.IsZero() && now.Sub(f.busySince) > f.c.cfg.SyncTimeout
		if hangs {
			f.fail(fmt.Errorf("%w within %s: reading begins anew", errHangs, f.c.cfg.SyncTimeout))
			f.listOnly = f.listOnly || f.streaming
			f.streaming, f.busySince = false, time.Time{}
			f.watches++ // what the old one still says does not count
			f.wentDown(now)
		}
		ends := hangs || f.vanished()
		f.c.mu.Unlock()
		if ends {
			return
		}
	}
}

// pageSize bounds the objects of one page. A list without pages is decoded as a whole, which takes many times what is kept of it.
const pageSize = 500

// list reads one page, of which only what is needed is kept.
func (f *feed) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	number, err := f.begin(ctx, false)
	if err != nil {
		return nil, err
	}
	if o.Continue == "" {
		f.readAll()
	}
	list, err := f.read(ctx, o)
	if err == nil {
		err = progress(o, list)
	}
	if err == nil {
		list, err = f.page(list)
	}
	f.end(ctx, number, err)
	f.c.metrics.requests.WithLabelValues(f.c.cc.Name, f.name, "list", outcome(err)).Inc()
	return list, err
}

// read asks for one page, and for a shorter one where it is longer than an answer may be.
func (f *feed) read(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if o.Limit == 0 {
		return f.source.list(ctx, o)
	}
	o.ResourceVersion, o.ResourceVersionMatch = "", "" // with another one servers send everything at once
	for {
		o.Limit = f.most
		list, err := f.source.list(ctx, o)
		if !errors.Is(err, errTooLong) || f.most == 1 {
			return list, err
		}
		f.most = max(1, f.most/8)
	}
}

// page turns the objects of a list into what is kept of them. Those that cannot be read are counted and left out.
func (f *feed) page(list runtime.Object) (runtime.Object, error) {
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	page := &metainternalversion.List{ListMeta: metav1.ListMeta{ResourceVersion: m.GetResourceVersion(), Continue: m.GetContinue(), RemainingItemCount: m.GetRemainingItemCount()}}
	return page, meta.EachListItem(list, func(obj runtime.Object) error {
		if o, err := f.object(obj); err == nil {
			page.Items = append(page.Items, o)
		}
		return nil
	})
}

// progress refuses what is no list, and a list that would go on for ever.
func progress(o metav1.ListOptions, list runtime.Object) error {
	m, err := meta.ListAccessor(list)
	if err != nil {
		return fmt.Errorf("the cluster sent a %T in place of a list: %w", list, err)
	}
	switch next := m.GetContinue(); {
	case m.GetResourceVersion() == "": // an empty list otherwise, of which everything would seem to be gone
		return errors.New("the cluster sent something else in place of a list")
	case next != "" && next == o.Continue:
		return errors.New("the cluster sent the same part of a list twice")
	}
	return nil
}

// readAll notes that all objects are about to be read.
func (f *feed) readAll() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.unread, f.unreadErr = 0, nil
}

// watch begins to watch where the reflector stands, or with a stream of all objects.
func (f *feed) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	stream := o.SendInitialEvents != nil && *o.SendInitialEvents
	number, err := f.begin(ctx, stream)
	if err != nil {
		return nil, err
	}
	if stream {
		f.readAll()
	} else {
		err = f.markLate(ctx)
	}
	var inner watch.Interface
	if err == nil {
		inner, err = f.source.watch(ctx, o)
	}
	f.end(ctx, number, err)
	f.c.metrics.requests.WithLabelValues(f.c.cc.Name, f.name, "watch", outcome(err)).Inc()
	if err != nil {
		return nil, err
	}
	f.c.mu.Lock()
	if number == f.watches {
		if stream {
			f.busySince = f.c.now()
		} else {
			f.cameUp(f.c.now())
			f.fail(nil)
		}
	}
	f.c.mu.Unlock()
	return newStream(ctx, f, number, inner), nil
}

// plain leaves the address out, which the status names anyway, with all its parameters.
func plain(err error) error {
	if x, ok := errors.AsType[*url.Error](err); ok {
		return x.Err
	}
	return err
}

func outcome(err error) string {
	if err != nil {
		return "failure"
	}
	return "success"
}

// begin notes that a request waits for its answer, and that no watch stands meanwhile. A reflector that was told to end may still begin one,
// and that after its successor did: it is refused.
func (f *feed) begin(ctx context.Context, stream bool) (number int, err error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := f.c.now()
	f.wentDown(now)
	f.busySince, f.streaming = now, stream
	f.watches++
	return f.watches, nil
}

// end notes that a request has its answer. The end of one that was given up says nothing of the one that waits now.
func (f *feed) end(ctx context.Context, number int, err error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if number != f.watches {
		return
	}
	f.busySince = time.Time{}
	if err != nil {
		f.streaming = false
	}
	if ctx.Err() == nil && err != nil { // what went wrong is over when a watch stands, not when a list came
		f.fail(err)
	}
}

// fail notes an error, nil for none, and logs the first one.
func (f *feed) fail(err error) {
	err = plain(err)
	if err != nil && f.err == nil {
		f.c.cfg.Logger.Warn("cluster cannot be watched", "cluster", f.c.cc.Name, "kind", f.name, "error", err)
	}
	f.err = err
}

func (f *feed) wentDown(now time.Time) {
	if f.up {
		f.up, f.downSince = false, now
	}
}

// cameUp notes that a watch stands that continues what was seen before.
func (f *feed) cameUp(now time.Time) {
	if f.okSince.IsZero() || now.Sub(f.downSince) > shortBreak {
		f.okSince = now
	}
	f.up = true
}

// UpdateResourceVersion takes note how far the watch has come.
func (f *feed) UpdateResourceVersion(version string) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.newest = number(version)
}

// number is a resourceVersion as a number, 0 when it is none.
func number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Add takes a new object.
func (f *feed) Add(obj any) error { return f.put(obj) }

// Update takes a changed object.
func (f *feed) Update(obj any) error { return f.put(obj) }

func (f *feed) put(obj any) error {
	o, err := f.object(obj)
	if err != nil {
		return err
	}
	f.c.out.AwaitRoom()
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.begin()
	f.c.apply(f, o, f.when(o.version))
	return nil
}

// Delete takes an object that is gone.
func (f *feed) Delete(obj any) error {
	o, err := f.object(obj)
	if err != nil {
		return err
	}
	f.c.out.AwaitRoom()
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.begin()
	w := f.when(o.version)
	if o.terminating.After(o.created) && !o.terminating.After(w.at) {
		f.c.noteTerminating(f, o)
	}
	f.c.remove(f, shortUID(o.uid), w)
	return nil
}

// Replace takes all objects that there are. While one of them cannot be read, none is taken to be gone: it may be that one.
func (f *feed) Replace(list []any, version string) error {
	objects := make([]*object, 0, len(list))
	present := make(map[uid]bool, len(list))
	for _, obj := range list {
		o, err := f.object(obj)
		if err != nil {
			continue // it is counted
		}
		objects = append(objects, o)
		present[shortUID(o.uid)] = true
	}
	f.c.out.AwaitRoom()
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.begin()
	now := f.c.now()
	w := when{late: true, from: f.gapStart(), at: now}
	if !f.synced {
		w.from = f.c.contact
	}
	if f.unread > 0 {
		present = nil
	}
	f.c.replace(f, objects, present, w)
	f.newest = number(version)
	first := !f.synced
	f.synced, f.lateUpTo, f.busySince = true, 0, time.Time{}
	if f.name == kindEndpointSlice || f.name == schema.KindService {
		f.c.settleBalancers(w)
	}
	if first || now.Sub(f.downSince) > shortBreak {
		f.okSince = now
	}
	f.downSince = now
	if f.streaming { // the stream goes on as the watch
		f.streaming, f.up = false, true
		f.fail(nil)
	}
	f.c.metrics.synced.WithLabelValues(f.c.cc.Name, f.name).Set(1)
	return nil
}

// Resync has nothing to do: nobody asks for it.
func (f *feed) Resync() error { return nil }

// Transformer turns objects of a stream into what is kept of them, one by one.
func (f *feed) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return f.object(obj) }
}

// object is what is kept of an object, which may be that already.
func (f *feed) object(obj any) (*object, error) {
	if o, ok := obj.(*object); ok {
		return o, nil
	}
	o, err := f.convert(f.c.keep, obj)
	if err != nil {
		f.c.metrics.malformed.WithLabelValues(f.c.cc.Name, f.name).Inc()
		f.c.mu.Lock()
		f.unread, f.unreadErr = f.unread+1, err
		f.c.mu.Unlock()
		return nil, err
	}
	for _, field := range f.fields {
		field.read(o, obj)
	}
	return o, nil
}
