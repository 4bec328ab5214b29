package kube

import (
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// replace makes the objects of a list all that there are of a kind, or, where present is nil, some of them. Callers hold mu.
func (c *cluster) replace(f *feed, objects []*object, present map[uid]bool, w when) {
	if present != nil {
		for id := range c.ids(f) {
			if !present[id] {
				c.remove(f, id, w)
			}
		}
	}
	c.settling = true
	for _, o := range objects {
		c.apply(f, o, w)
	}
	c.settling = false
	if f.name == kindPod {
		c.settleSpaces(w)
	}
}

// ids are the UIDs of what is known of a kind.
func (c *cluster) ids(f *feed) map[uid]bool {
	ids := make(map[uid]bool, len(f.tracked))
	for id := range f.tracked {
		ids[id] = true
	}
	switch f.name {
	case kindPod:
		for id := range c.pods {
			ids[id] = true
		}
	case kindReplicaSet:
		for id := range c.sets {
			ids[id] = true
		}
	case kindEndpointSlice:
		for id := range c.endpoints {
			ids[id] = true
		}
	case schema.KindService:
		for id := range c.asking {
			ids[id] = true
		}
	}
	return ids
}

// apply takes an object as it is now.
func (c *cluster) apply(f *feed, o *object, w when) {
	// The server's clock may be ahead of ours, and what has not happened yet would hide what happens next.
	for _, t := range []*time.Time{&o.created, &o.terminating, &o.readyAt} {
		if t.After(w.at) {
			*t = w.at
		}
	}
	switch {
	case o.pod != nil:
		c.applyPod(o, w)
	case o.set != nil:
		c.applySet(o)
	case o.backends != nil:
		c.applyBackends(shortUID(o.uid), o.backends, w)
	case o.service != nil:
		c.applyService(f, o, w)
	default:
		c.applyResource(f, o, w)
	}
}

// remove takes note that an object is gone.
func (c *cluster) remove(f *feed, id uid, w when) {
	switch f.name {
	case kindPod:
		c.removePod(id, w)
		return
	case kindReplicaSet:
		c.removeSet(id)
		return
	case kindEndpointSlice:
		c.applyBackends(id, nil, w)
		return
	case schema.KindService:
		delete(c.asking, id)
	}
	t := f.tracked[id]
	if t == nil {
		return
	}
	delete(f.tracked, id)
	c.endMeter(f, t)
	switch f.name {
	case schema.KindService:
		c.removeBalancer(t)
	case schema.KindApplication:
		c.projects.set(t.res.Name, "")
	}
	if w.late && t.unseen && t.seen.After(w.from) {
		w.from = t.seen
	}
	ch := schema.ResourceChange{Change: schema.ChangeDeleted}
	if !t.res.Terminating.IsZero() {
		ch.DurationMS = milliseconds(w.at.Sub(t.res.Terminating))
		if w.late && t.res.Terminating.After(w.from) {
			w.from = t.res.Terminating
		}
	}
	c.record(t, w, ch)
	if f.name == schema.KindNamespace {
		c.removeSpace(t)
	}
}

// noteTerminating takes the last state of an object that goes, which may be the first to say that it was asked to go.
func (c *cluster) noteTerminating(f *feed, o *object) {
	if t := f.tracked[shortUID(o.uid)]; t != nil && t.res.Terminating.IsZero() {
		c.terminate(t, o.terminating)
	}
}

func (c *cluster) terminate(t *tracked, asked time.Time) {
	t.res.Terminating = asked
	c.record(t, at(asked), schema.ResourceChange{Change: schema.ChangeTerminating})
}

// applyResource compares an object with what was known of it and records what has changed.
func (c *cluster) applyResource(f *feed, o *object, w when) {
	id := shortUID(o.uid)
	t := f.tracked[id]
	fresh := t == nil
	if fresh {
		t = newTracked(f.name, o)
		f.tracked[id] = t
	}
	was, records := t.res, c.records
	c.update(t, o)
	if f.name == schema.KindNamespace {
		c.ownSpace(t)
	}
	switch {
	case fresh && w.late:
		c.recordPast(t, at(o.created), schema.ResourceChange{Change: schema.ChangeCreated})
	case fresh:
		c.record(t, at(o.created), schema.ResourceChange{Change: schema.ChangeCreated})
	}
	if !o.terminating.IsZero() && t.res.Terminating.IsZero() {
		c.terminate(t, o.terminating)
	}
	if o.workload != nil {
		c.applyWorkload(t, o, w, fresh)
	}
	if o.ready && t.res.FirstReady.IsZero() {
		c.becameReady(t, o.readyAt, w)
	}
	if o.job != nil {
		c.finishJob(t, o.job)
	}
	if o.service != nil {
		c.ownBalancer(t, w)
	}
	if f.name == schema.KindApplication {
		c.projects.set(o.name, o.application)
		c.applySyncs(t, o.syncs)
	}
	t.unseen = false
	if !fresh && !sameState(&was, &t.res) && records == c.records {
		c.record(t, w, schema.ResourceChange{Change: schema.ChangeUpdated, Key: o.version})
	}
	if w.late && (fresh || records != c.records) {
		// Somebody may have recorded the very change more exactly, and then the record of it that has this state does not count.
		c.observe(t, w.at)
	}
	if f.metered {
		t.meter.set(c.now(), o.workload)
	}
	if f.name == schema.KindNamespace || f.name == schema.KindNode {
		c.noticeCluster(t, w)
	}
}

// update takes over what needs no record of its own.
func (c *cluster) update(t *tracked, o *object) {
	for _, key := range []string{attributeEmpty, attributeFinished, attributeSynced, attributeFailed} { // ours, not the object's
		o.attribute(key, t.res.Attributes[key])
	}
	t.res.Created, t.res.Generation, t.res.Version = o.created, o.generation, o.release
	t.res.Labels, t.res.Attributes = o.labels, o.attributes
	t.parentKind, t.parent = o.parentKind, o.parent
	c.own(t, c.now())
}

// becameReady records that something could be used for the first time. The server's word counts if it has one.
func (c *cluster) becameReady(t *tracked, said time.Time, w when) {
	if said.Before(t.res.Created) {
		said = time.Time{}
	}
	switch {
	case said.IsZero():
	case !w.late:
		w.at = said
	case said.After(w.from): // it may have come and gone before
		w.at = said
	}
	t.res.FirstReady = w.at
	ch := schema.ResourceChange{Change: schema.ChangeReady, DurationMS: milliseconds(w.at.Sub(t.res.Created))}
	if w.late {
		c.recordPast(t, w, ch)
		return
	}
	c.record(t, w, ch)
}

func (c *cluster) finishJob(t *tracked, end *jobEnd) {
	change := schema.ChangeCompleted
	if end.failed {
		change = schema.ChangeFailed
	}
	if t.res.Attributes[attributeFinished] == string(change) {
		return
	}
	t.attribute(attributeFinished, string(change))
	c.record(t, at(end.at), schema.ResourceChange{Change: change, Reason: end.reason, DurationMS: milliseconds(end.duration)})
}

// observe records that a resource is there, and its state.
func (c *cluster) observe(t *tracked, now time.Time) {
	key := now.UTC().Format(time.DateOnly)
	if t.res.Kind == schema.KindCluster {
		key = now.UTC().Format("2006-01-02T15")
	}
	c.record(t, at(now), schema.ResourceChange{Change: schema.ChangeObserved, Key: key})
}

// applyWorkload records what happened to the pods of a workload.
func (c *cluster) applyWorkload(t *tracked, o *object, w when, fresh bool) {
	now := o.workload
	before := t.desired
	t.desired, t.available = now.desired, now.available
	generation := strconv.FormatInt(o.generation, 10)
	if !fresh && before >= 0 && before != now.desired {
		// The number of pods of a DaemonSet follows the nodes; that is no change of the DaemonSet.
		if t.res.Kind == schema.KindDaemonSet {
			c.record(t, w, schema.ResourceChange{Change: schema.ChangeUpdated, Key: o.version, Reason: "nodes"})
		} else {
			was := float64(before)
			c.record(t, w, schema.ResourceChange{Change: schema.ChangeScaled, Key: generation, Value: &was})
		}
	}
	c.applyRollout(t, o, w, fresh)
}
