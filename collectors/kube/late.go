package kube

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shortBreak is how long a watch may be away, as it is when the API server ends it every few minutes, for what it brings
// afterwards to count as seen in time.
const shortBreak = 2 * time.Second

// when says when something was noticed: at an instant, or, when it is late, that it happened from from to at.
type when struct {
	at   time.Time
	late bool
	from time.Time
}

// covers tells whether an instant lies in what nobody watched between two times when somebody did. A server's times are cut off to the second,
// and its clock is not quite ours, so an instant shortly before counts: what somebody had seen then would be known.
func (w when) covers(t time.Time) bool {
	return !w.from.IsZero() && t.After(w.from.Add(-shortBreak)) && !t.After(w.at)
}

// at is an instant that is known.
func at(t time.Time) when { return when{at: t} }

// markLate finds out, after a break, up to which change what the watch will bring is late. It fails when the cluster is behind what was
// seen of it, where a watch would say nothing until it has caught up: then everything is listed.
func (f *feed) markLate(ctx context.Context) error {
	f.c.mu.Lock()
	now := f.c.now()
	short := !f.synced || now.Sub(f.downSince) <= shortBreak
	from := f.gapStart()
	f.c.mu.Unlock()
	if short {
		return nil
	}
	list, err := f.source.list(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return fmt.Errorf("ask how far the cluster is: %w", err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64)
	if err != nil {
		return fmt.Errorf("resourceVersion %q: %w", accessor.GetResourceVersion(), err)
	}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if version < f.newest {
		return fmt.Errorf("the cluster is at resourceVersion %d and was at %d: it was set back, as by a backup, and is read anew", version, f.newest)
	}
	f.lateUpTo, f.gapFrom = version, from
	return nil
}

// gapStart is from when on changes may have gone unseen: the end of the watch, or the last sign of life before, since a
// connection can be dead for a while before anybody notices.
func (f *feed) gapStart() time.Time {
	if f.c.lastOK.IsZero() || f.c.lastOK.After(f.downSince) {
		return f.downSince
	}
	return f.c.lastOK
}

// when says when a change with a resourceVersion happened.
func (f *feed) when(version string) when {
	w := when{at: f.c.now()}
	if f.lateUpTo == 0 {
		return w
	}
	if v, err := strconv.ParseUint(version, 10, 64); err != nil || v > f.lateUpTo {
		f.lateUpTo = 0
		return w
	}
	w.late, w.from = true, f.gapFrom
	return w
}
