package kube

import (
	"maps"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// tracked is what is known of an object. Its maps are never changed, only replaced: records share them.
type tracked struct {
	// res is its state, without cluster and region, and without what state adds.
	res schema.Resource
	// desired and available are -1 for what is no workload.
	desired, available int64
	// parent is the controller of the object, where that is watched too; parentKind is empty where there is none.
	parentKind string
	parent     uid
	// template and restart are the hashes of the newest rollout's template; reason is why it was rolled out.
	template, restart, reason string
	// progressed is when the rollout last made progress; updated and up are the numbers of updated and available pods then.
	progressed  time.Time
	updated, up int64
	// unseen: known from before the start, and not seen since.
	unseen bool
	// seen is the time of the newest state that was recorded: it never goes back.
	seen time.Time
	// waits is since when a rollout waits for its ReplicaSet to be seen.
	waits time.Time
	// day is the last one on which its state was recorded, in days since 1970.
	day int64
	// meter measures a workload.
	meter meter
}

// Attributes that carry what a restart of the collector must not lose.
const (
	attributeTemplate = "template"
	attributeRestart  = "template_restart"
	attributeReason   = "rollout_reason"
	attributeEmpty    = "empty_since"
	attributeFinished = "finished"
)

// newTracked begins with an object that was not there before.
func newTracked(kind string, o *object) *tracked {
	t := &tracked{desired: -1, available: -1}
	t.res.Kind, t.res.UID, t.res.Namespace, t.res.Name = kind, o.uid, o.namespace, o.name
	return t
}

// attribute sets an attribute, or with an empty value takes it away.
func (t *tracked) attribute(key, value string) {
	attributes := maps.Clone(t.res.Attributes)
	if attributes == nil {
		attributes = map[string]string{}
	}
	if attributes[key] = value; value == "" {
		delete(attributes, key)
	}
	t.res.Attributes = attributes
}

// fromKnown begins with what was known before the start.
func fromKnown(r *schema.ResourceChange) *tracked {
	t := &tracked{res: r.Resource, unseen: true, desired: -1, available: -1, seen: r.Time, day: dayOf(r.Time)}
	t.res.Attributes = maps.Clone(r.Attributes)
	take := func(key string) string {
		value := t.res.Attributes[key]
		delete(t.res.Attributes, key)
		return value
	}
	t.template, t.restart, t.reason = take(attributeTemplate), take(attributeRestart), take(attributeReason)
	if r.Desired != nil {
		t.desired = *r.Desired
	}
	if r.Available != nil {
		t.available = *r.Available
	}
	t.res.Desired, t.res.Available = nil, nil
	return t
}

// state is the state to record.
func (c *cluster) state(t *tracked) schema.Resource {
	r := t.res
	r.Cluster, r.Region = c.cc.Name, c.region
	if t.desired >= 0 {
		r.Desired = &[]int64{t.desired}[0]
	}
	if t.available >= 0 {
		r.Available = &[]int64{t.available}[0]
	}
	if t.template != "" {
		r.Attributes = maps.Clone(r.Attributes)
		if r.Attributes == nil {
			r.Attributes = map[string]string{}
		}
		for key, value := range map[string]string{attributeTemplate: t.template, attributeRestart: t.restart, attributeReason: t.reason} {
			if value != "" {
				r.Attributes[key] = value
			}
		}
	}
	return r
}

// identity is the part of the state that was always so.
func (c *cluster) identity(t *tracked) schema.Resource {
	return schema.Resource{
		Cluster: c.cc.Name, Region: c.region, Kind: t.res.Kind, UID: t.res.UID, Namespace: t.res.Namespace, Name: t.res.Name,
		Created: t.res.Created, Team: t.res.Team, TeamSource: t.res.TeamSource,
	}
}

// record hands a change over, with the state after it.
func (c *cluster) record(t *tracked, w when, ch schema.ResourceChange) {
	ch.Resource = c.state(t)
	stamp(&ch, w)
	now := c.now().Truncate(time.Millisecond)
	if !now.After(t.seen) {
		now = t.seen.Add(time.Millisecond)
	}
	t.seen, ch.Seen = now, now
	t.day = dayOf(now)
	c.records++
	c.push(ch)
}

// recordPast hands over a change that lies in the past: what the state was then is not known.
func (c *cluster) recordPast(t *tracked, w when, ch schema.ResourceChange) {
	ch.Resource = c.identity(t)
	stamp(&ch, w)
	ch.Seen = t.res.Created
	c.push(ch)
}

// stamp dates a change. A short interval is an instant; nothing happens before a resource is created.
func stamp(ch *schema.ResourceChange, w when) {
	ch.Time = w.at
	if ch.Created.After(w.from) {
		w.from = ch.Created
	}
	if w.late && w.at.Sub(w.from) > shortBreak {
		ch.From = w.from
	} else {
		ch.From = time.Time{}
	}
	if !ch.Exact() {
		ch.DurationMS = nil
	}
}

// milliseconds is a duration as records hold it; clocks that disagree do not make it negative.
func milliseconds(d time.Duration) *float64 {
	ms := max(0, d).Seconds() * 1000
	return &ms
}

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

// sameState tells whether two states differ in nothing that a record of its own would be worth.
func sameState(a, b *schema.Resource) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name && a.Version == b.Version && a.Team == b.Team && a.TeamSource == b.TeamSource &&
		a.Terminating.Equal(b.Terminating) && a.FirstReady.Equal(b.FirstReady) && a.Revision == b.Revision && a.Rollout == b.Rollout &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Attributes, b.Attributes)
}
