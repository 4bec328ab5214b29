package kube

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// maxMissed bounds how many rollouts of one workload are recorded that nobody saw.
const maxMissed = 50

// applyRollout follows the rollouts of a workload: a new revision starts one, which succeeds, fails or is superseded.
func (c *cluster) applyRollout(t *tracked, o *object, w when, fresh bool) {
	now := o.workload
	if now.revision == "" { // its controller has not seen it yet
		return
	}
	first := t.res.Revision == ""
	// What was there before anybody watched may have been rolled out then.
	old := first && fresh && w.late && !w.covers(o.created)
	if old && now.complete {
		t.res.Revision, t.res.Rollout = now.revision, schema.RolloutSucceeded
		t.template, t.restart = now.template, now.restart
		return
	}
	if name := revisionName(t, now); name != t.res.Revision {
		if c.waitsForSet(t, name, w) {
			return
		}
		if w.late && !old {
			c.missedRollouts(t, now, w)
		}
		c.startRollout(t, now, w, first)
	}
	if t.res.Rollout != schema.RolloutProgressing && t.res.Rollout != schema.RolloutFailed {
		return
	}
	if now.updated != t.updated || now.available > t.up || t.progressed.IsZero() {
		t.progressed = w.at
	}
	t.updated, t.up = now.updated, now.available
	switch {
	case now.complete:
		c.rolloutSucceeded(t, now, w)
	case t.res.Rollout == schema.RolloutProgressing && !now.failedAt.IsZero() && now.failedAt.After(t.res.RolloutStarted.Add(-time.Second)):
		failed := now.failedAt
		if failed.After(w.at) {
			failed = w.at
		}
		c.rolloutFailed(t, failed)
	}
}

// revisionName names the rollout that a workload is at. The revisions of Deployments and DaemonSets are counted; those of
// StatefulSets are named after the template, so that going back to an old one needs a name of its own.
func revisionName(t *tracked, now *workload) string {
	if t.res.Kind != schema.KindStatefulSet {
		return now.revision
	}
	if template, _, ok := strings.Cut(t.res.Revision, "@"); ok && template == now.revision {
		return t.res.Revision
	}
	return now.revision + "@" + strconv.FormatInt(t.res.Generation, 10)
}

// missedRollouts records those between two counted revisions, of which at least the start is often known. One that had none yet begins at 0.
func (c *cluster) missedRollouts(t *tracked, now *workload, w when) {
	from, err := strconv.ParseInt(cmp.Or(t.res.Revision, "0"), 10, 64)
	if err != nil {
		return
	}
	to, err := strconv.ParseInt(now.revision, 10, 64)
	if err != nil {
		return
	}
	for n := max(from+1, to-maxMissed); n < to; n++ {
		key := strconv.FormatInt(n, 10)
		began, reason := c.lateStart(t, key, w)
		c.supersede(t, w)
		t.res.Revision, t.res.Rollout = key, schema.RolloutProgressing
		c.recordPast(t, began, schema.ResourceChange{Change: schema.ChangeRolloutStarted, Key: key, Reason: reason})
	}
}

// supersede ends a rollout that has not come to its end.
func (c *cluster) supersede(t *tracked, w when) {
	if t.res.Rollout == schema.RolloutProgressing {
		c.recordPast(t, w, schema.ResourceChange{Change: schema.ChangeRolloutSuperseded, Key: t.res.Revision})
	}
}

// lateStart says when a rollout that was noticed late began, and why: the first one of a workload when that was created, others when their
// ReplicaSet was, unless that was used again. The rollouts of a StatefulSet are not counted, so what is known of one that was created
// while nobody watched is one rollout.
func (c *cluster) lateStart(t *tracked, revision string, w when) (when, string) {
	set := c.setOf(t, revision)
	first := revision == "1" || t.res.Kind == schema.KindStatefulSet && t.res.Revision == ""
	switch {
	case first && w.covers(t.res.Created):
		return at(t.res.Created), schema.RolloutCreated
	case set == nil:
		return w, schema.RolloutTemplate
	case set.reused:
		return w, schema.RolloutRollback
	case set.created.Before(w.from) || set.created.After(w.at):
		return w, schema.RolloutTemplate
	}
	return at(set.created), schema.RolloutTemplate
}

// longestWait bounds how long a rollout waits for its ReplicaSet, which comes by another watch.
const longestWait = 5 * time.Second

// waitsForSet tells whether a rollout should be looked at again when its ReplicaSet has been seen.
func (c *cluster) waitsForSet(t *tracked, name string, w when) bool {
	sets := c.feeds[kindReplicaSet]
	if t.res.Kind != schema.KindDeployment || sets == nil || !sets.up || w.late || c.setOf(t, name) != nil {
		return false
	}
	if t.waits.IsZero() {
		t.waits = w.at
	}
	return w.at.Sub(t.waits) < longestWait
}

func (c *cluster) startRollout(t *tracked, now *workload, w when, first bool) {
	name := revisionName(t, now)
	c.supersede(t, w)
	began, reason := w, schema.RolloutTemplate
	set := c.setOf(t, name)
	switch {
	case w.late:
		began, reason = c.lateStart(t, name, w)
	case first:
		began = at(t.res.Created)
	case !t.waits.IsZero():
		began = at(t.waits)
	}
	switch {
	case first && (!w.late || name == "1"):
		reason = schema.RolloutCreated
	case set != nil && set.reused:
		reason = schema.RolloutRollback
	case t.template != "" && t.template == now.template && t.restart != now.restart:
		reason = schema.RolloutRestart
	}
	t.template, t.restart, t.reason, t.waits = now.template, now.restart, reason, time.Time{}
	t.res.Revision, t.res.Rollout, t.res.RolloutStarted = name, schema.RolloutProgressing, time.Time{}
	if !began.late || began.at.Sub(began.from) <= shortBreak {
		t.res.RolloutStarted = began.at
	}
	t.progressed = w.at
	ch := schema.ResourceChange{Change: schema.ChangeRolloutStarted, Key: name, Reason: reason}
	if w.late {
		c.recordPast(t, began, ch)
		return
	}
	c.record(t, began, ch)
}

func (c *cluster) rolloutSucceeded(t *tracked, now *workload, w when) {
	if said := now.completeAt; w.late && !said.IsZero() && !said.Before(w.from) && !said.After(w.at) && !said.Before(t.res.RolloutStarted) {
		w = at(said)
	}
	t.res.Rollout = schema.RolloutSucceeded
	ch := schema.ResourceChange{Change: schema.ChangeRolloutSucceeded, Key: t.res.Revision, Reason: t.reason}
	if !t.res.RolloutStarted.IsZero() {
		ch.DurationMS = milliseconds(w.at.Sub(t.res.RolloutStarted))
	}
	c.record(t, w, ch)
}

func (c *cluster) rolloutFailed(t *tracked, failed time.Time) {
	t.res.Rollout = schema.RolloutFailed
	ch := schema.ResourceChange{Change: schema.ChangeRolloutFailed, Key: t.res.Revision, Reason: schema.RolloutDeadline}
	if !t.res.RolloutStarted.IsZero() {
		ch.DurationMS = milliseconds(failed.Sub(t.res.RolloutStarted))
	}
	c.record(t, at(failed), ch)
}

// checkDeadlines fails rollouts that have made no progress, of kinds whose controllers do not say so.
func (c *cluster) checkDeadlines(now time.Time) {
	for _, kind := range []string{schema.KindStatefulSet, schema.KindDaemonSet} {
		f := c.feeds[kind]
		if f == nil || !f.up {
			continue
		}
		for _, t := range f.tracked {
			if t.res.Rollout == schema.RolloutProgressing && !t.unseen && now.Sub(t.progressed) > c.cfg.RolloutDeadline {
				c.rolloutFailed(t, t.progressed.Add(c.cfg.RolloutDeadline))
			}
		}
	}
}
