package kube

import (
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// podEntry is what is known of a pod: a cluster may have a hundred thousand.
type podEntry struct {
	space  *space
	active bool
	needs
}

// needs is what a pod costs by.
type needs struct {
	cores, bytes float64
	// node is the name of its node, empty while it has none; name is the hash of namespace and name.
	node string
	name uint64
	// controllerKind and controller say whose pod it is.
	controllerKind string
	controller     uid
}

// setEntry is what is known of a ReplicaSet.
type setEntry struct {
	owner    uid
	revision string
	created  time.Time
	reused   bool
}

// setKey finds the ReplicaSet of a Deployment's revision.
type setKey struct {
	owner    uid
	revision string
}

// space is what is known of the pods of a namespace.
type space struct {
	name string
	// t is the namespace, nil until it has been seen itself.
	t      *tracked
	active int64
	// used is when a pod was ready first; usedWhen is when that was noticed.
	used     time.Time
	usedWhen when
	// emptied is when the last active pod went, zero while there are some; told: and that was recorded.
	emptied when
	told    bool
	// everUsed: a pod was there while somebody watched.
	everUsed bool
}

func (c *cluster) space(name string) *space {
	s := c.spaces[name]
	if s == nil {
		s = &space{name: strings.Clone(name)}
		c.spaces[name] = s
	}
	return s
}

// ownSpace links a namespace to its pods.
func (c *cluster) ownSpace(t *tracked) {
	s := c.space(t.res.Name)
	if s.t == t {
		return
	}
	s.t = t
	t.available = s.active
	s.told = t.res.Attributes[attributeEmpty] != ""
	if s.active == 0 && s.emptied.at.IsZero() {
		s.emptied = at(c.now())
	}
	if !c.settling {
		c.settleSpace(s)
	}
}

// removeSpace forgets the pods of a namespace that has gone; they went before it.
func (c *cluster) removeSpace(t *tracked) {
	if s := c.spaces[t.res.Name]; s != nil && s.t == t {
		delete(c.spaces, t.res.Name)
	}
}

func (c *cluster) applyPod(o *object, w when) {
	id := shortUID(o.uid)
	p, known := c.pods[id]
	if !known {
		p.space = c.space(o.namespace)
	}
	s := p.space
	s.everUsed = true
	if o.pod.active != p.active {
		c.countActive(s, o.pod.active, w)
	}
	p.active, p.needs = o.pod.active, o.pod.needs
	p.node = c.names.one(p.node)
	c.pods[id] = p
	c.setTarget(id, o)
	if o.pod.readyAt.IsZero() || o.pod.readyAt.After(w.at) {
		o.pod.readyAt = w.at
	}
	if o.pod.ready && (s.used.IsZero() || o.pod.readyAt.Before(s.used)) && (s.t == nil || s.t.res.FirstReady.IsZero()) {
		s.used, s.usedWhen = o.pod.readyAt, w
		if !c.settling {
			c.settleSpace(s)
		}
	}
}

func (c *cluster) removePod(id uid, w when) {
	p, known := c.pods[id]
	if !known {
		return
	}
	delete(c.pods, id)
	delete(c.targets, id)
	if p.active {
		c.countActive(p.space, false, w)
	}
}

func (c *cluster) countActive(s *space, more bool, w when) {
	if more {
		s.active++
		s.emptied = when{}
		if s.told && s.t != nil {
			c.occupied(s, w)
		}
	} else {
		s.active--
		if s.active == 0 {
			s.emptied = w
		}
	}
	if s.t != nil {
		s.t.available = s.active
	}
}

// settleSpaces looks at all namespaces after all pods were listed.
func (c *cluster) settleSpaces(w when) {
	for _, s := range c.spaces {
		if s.t == nil {
			continue
		}
		if s.active == 0 && !s.told && !c.podsSynced() {
			s.emptied = w
		}
		s.t.available = s.active
		c.settleSpace(s)
	}
}

func (c *cluster) podsSynced() bool {
	f := c.feeds[kindPod]
	return f != nil && f.synced
}

// settleSpace records the first ready pod of a namespace once both have been seen.
func (c *cluster) settleSpace(s *space) {
	if s.t != nil && !s.used.IsZero() && s.t.res.FirstReady.IsZero() {
		c.becameReady(s.t, s.used, s.usedWhen)
		if s.usedWhen.late {
			c.observe(s.t, c.now())
		}
	}
}

// checkEmpty records namespaces that have been without active pods for some time.
func (c *cluster) checkEmpty(now time.Time) {
	if f := c.feeds[kindPod]; f == nil || !f.synced || !f.up {
		return
	}
	for _, s := range c.spaces {
		if s.t == nil || s.told || s.active > 0 || s.emptied.at.IsZero() || now.Sub(s.emptied.at) < c.cfg.EmptyAfter {
			continue
		}
		s.told = true
		reason := "pods_gone"
		w := s.emptied
		if !s.everUsed && s.t.res.FirstReady.IsZero() {
			reason = "unused"
			if !w.late {
				w = at(s.t.res.Created)
			}
		}
		s.t.attribute(attributeEmpty, w.at.UTC().Format(time.RFC3339))
		c.record(s.t, w, schema.ResourceChange{Change: schema.ChangeEmptied, Key: strconv.FormatInt(w.at.UnixMilli(), 10), Reason: reason})
	}
}

// occupied records that an empty namespace has an active pod again.
func (c *cluster) occupied(s *space, w when) {
	s.told = false
	ch := schema.ResourceChange{Change: schema.ChangeOccupied, Key: strconv.FormatInt(w.at.UnixMilli(), 10)}
	if since, err := time.Parse(time.RFC3339, s.t.res.Attributes[attributeEmpty]); err == nil {
		ch.DurationMS = milliseconds(w.at.Sub(since))
	}
	s.t.attribute(attributeEmpty, "")
	c.record(s.t, w, ch)
}

func (c *cluster) applySet(o *object) {
	id := shortUID(o.uid)
	c.removeSet(id)
	if o.set.owner == (uid{}) || o.set.revision == "" {
		return
	}
	entry := &setEntry{owner: o.set.owner, revision: o.set.revision, created: o.created, reused: o.set.reused}
	c.sets[id] = entry
	c.setsByRevision[setKey{entry.owner, entry.revision}] = entry
}

func (c *cluster) removeSet(id uid) {
	entry := c.sets[id]
	if entry == nil {
		return
	}
	delete(c.sets, id)
	if key := (setKey{entry.owner, entry.revision}); c.setsByRevision[key] == entry {
		delete(c.setsByRevision, key)
	}
}

// setOf is the ReplicaSet of a Deployment's revision; nil: it was not seen.
func (c *cluster) setOf(t *tracked, revision string) *setEntry {
	if t.res.Kind != schema.KindDeployment {
		return nil
	}
	return c.setsByRevision[setKey{shortUID(t.res.UID), revision}]
}
