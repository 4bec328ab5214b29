package kube

import (
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// adopt takes what was known before the start. It may come when the watches have begun already, as when the warehouse was away: what the first
// lists told is held back until then, since what is known would else be that. Whatever was not held back, such as what happened after
// the lists, is told from what is known by its time.
func (c *cluster) adopt(rows []schema.ResourceChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin()
	late := false
	for _, f := range c.feeds {
		late = late || f.synced
	}
	if late {
		rows = slices.DeleteFunc(rows, func(row schema.ResourceChange) bool {
			return !row.StateTime().Before(c.started) && row.Kind != schema.KindCluster
		})
	}
	c.contact = c.lastContact(rows, late)
	for i := range rows {
		c.adoptRow(&rows[i])
	}
	c.adopted = true
	for _, f := range c.feeds {
		f.gone = nil
		for _, t := range f.tracked {
			t.first = nil
		}
	}
	for _, s := range c.spaces {
		if s.emptied.late && s.emptied.from.IsZero() {
			s.emptied.from = c.contact
		}
	}
	if f := c.feeds[kindEndpointSlice]; f != nil {
		c.settleBalancers(when{late: true, from: c.contact, at: f.okSince})
	}
	c.handOverEarly()
}

// lastContact is up to when the cluster was watched before the start. When what is known comes late, the record of the cluster is that of this
// process, and the newest of the others is what is certain.
func (c *cluster) lastContact(rows []schema.ResourceChange, late bool) (contact time.Time) {
	var newest time.Time
	for i := range rows {
		seen := rows[i].StateTime()
		if late && !seen.Before(c.started) {
			continue
		}
		if seen.After(newest) {
			newest = seen
		}
		if rows[i].Kind == schema.KindCluster && seen.After(contact) {
			contact = seen
		}
	}
	if contact.IsZero() && late {
		return newest
	}
	return contact
}

func (c *cluster) adoptRow(row *schema.ResourceChange) {
	t := fromKnown(row)
	if row.Kind == schema.KindCluster {
		c.adoptSelf(t)
		return
	}
	for _, k := range kinds {
		if k.name != row.Kind || !c.cc.watches(k.name) {
			continue
		}
		f, id := c.feed(k), shortUID(row.UID)
		switch present := f.tracked[id]; {
		case present != nil:
			c.adoptPresent(f, present, t)
		case f.gone[id]:
		default:
			f.tracked[id] = t
			switch f.name {
			case schema.KindNamespace:
				c.ownSpace(t)
			case schema.KindService:
				c.balancers[spaceName{t.res.Namespace, t.res.Name}] = t
			}
			if f.synced && f.unread == 0 {
				asks, asking := c.asking[id] // what is stored of it has gone; that it asks to be read has not
				c.remove(f, id, when{late: true, from: c.contact, at: f.okSince})
				if asking {
					c.asking[id] = asks
				}
			}
		}
	}
}

// adoptPresent compares what was known of an object with how it was first seen, which was taken for how it had always been.
func (c *cluster) adoptPresent(f *feed, present, known *tracked) {
	was := present.res
	if ready := known.res.FirstReady; !ready.IsZero() && (present.res.FirstReady.IsZero() || ready.Before(present.res.FirstReady)) {
		present.res.FirstReady = ready
	}
	if since := known.res.Attributes[attributeEmpty]; since != "" && present.res.Attributes[attributeEmpty] == "" {
		present.attribute(attributeEmpty, since)
		if s := c.spaces[present.res.Name]; f.name == schema.KindNamespace && s != nil && s.t == present {
			if s.told = true; s.active > 0 {
				c.occupied(s, when{late: true, from: c.contact, at: f.firstAt})
			}
		}
	}
	if present.first != nil && present.first.workload != nil {
		c.rolledOutMeanwhile(f, present, known)
	}
	if !sameState(&was, &present.res) {
		c.observe(present, c.now())
	}
}

// rolledOutMeanwhile records what happened to a workload between when it was known and when it was first seen.
func (c *cluster) rolledOutMeanwhile(f *feed, present, known *tracked) {
	o := present.first
	known.res.Created, known.res.Generation = o.created, o.generation
	known.res.Team, known.res.TeamSource = present.res.Team, present.res.TeamSource
	if known.res.Revision == "" {
		return
	}
	if !o.workload.complete { // a rollout under way has been taken for the first one
		c.early = slices.DeleteFunc(c.early, func(ch schema.ResourceChange) bool {
			return ch.UID == present.res.UID && strings.HasPrefix(string(ch.Change), "rollout_")
		})
	}
	c.past = true
	c.applyWorkload(known, o, when{late: true, from: c.contact, at: f.firstAt}, false)
	c.past = false
	if present.template == known.template && present.restart == known.restart && present.res.Rollout == known.res.Rollout {
		present.res.Revision, present.res.RolloutStarted, present.reason = known.res.Revision, known.res.RolloutStarted, known.reason
	}
}

// handEarly hands over what the first lists told, when the end comes before it is clear what was known.
func (c *cluster) handEarly() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handOverEarly()
}

func (c *cluster) handOverEarly() {
	if len(c.early) > 0 {
		c.out.Put(schema.Batch{Changes: c.early})
		c.early = nil
	}
}
