package kube

import (
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

func (c *cluster) replaced(t *tracked, now time.Time) {
	c.record(t, when{late: true, from: c.contact, at: now}, schema.ResourceChange{Change: schema.ChangeDeleted, Reason: "replaced"})
}

const systemNamespace = "kube-system"

// noticeCluster learns of the cluster itself from its kube-system namespace and its nodes.
func (c *cluster) noticeCluster(t *tracked, w when) {
	if t.res.Kind == schema.KindNamespace {
		if t.res.Name == systemNamespace && (c.self == nil || c.self.res.UID != t.res.UID) {
			c.noticeSelf(t, w)
		}
		return
	}
	if c.self != nil && c.self.res.FirstReady.IsZero() && !t.res.FirstReady.IsZero() && !c.settling {
		c.selfReady(t.res.FirstReady, w)
	}
}

func (c *cluster) noticeSelf(system *tracked, w when) {
	if c.self != nil {
		c.replaced(c.self, w.at)
	}
	c.self = nil
	for _, t := range c.selfBefore {
		if t.res.UID == system.res.UID {
			c.self = t
			continue
		}
		c.replaced(t, w.at)
	}
	c.selfBefore = nil
	if c.self == nil {
		c.self = &tracked{desired: -1, available: -1}
		c.self.res = schema.Resource{Kind: schema.KindCluster, UID: system.res.UID, Name: c.cc.Name, Created: system.res.Created}
		c.recordPast(c.self, at(system.res.Created), schema.ResourceChange{Change: schema.ChangeCreated})
	}
	if c.version != "" && c.self.res.Version != c.version {
		c.upgraded(w.at)
	}
	c.selfAt = time.Time{}
}

// upgraded records that the API server has another version.
func (c *cluster) upgraded(now time.Time) {
	was := c.self.res.Version
	c.self.res.Version = c.version
	if was != "" {
		w := when{at: now, late: c.self.unseen, from: c.contact}
		c.record(c.self, w, schema.ResourceChange{Change: schema.ChangeUpdated, Key: was + " to " + c.version, Reason: "version"})
	}
	c.self.unseen = false
}

// selfReady records that the cluster had a ready node for the first time.
func (c *cluster) selfReady(ready time.Time, w when) { c.becameReady(c.self, ready, w) }

// observeSelf renews the record of the cluster while it can be watched.
func (c *cluster) observeSelf(now time.Time) {
	nodes := c.feeds[schema.KindNode]
	if c.self == nil || c.err != nil || c.lastOK.IsZero() || now.Sub(c.lastOK) > longestSilence {
		return
	}
	c.selfAt = now
	c.self.unseen = false
	c.self.res.Attributes = c.selfAttributes(nodes)
	if c.self.res.FirstReady.IsZero() && nodes != nil && nodes.synced {
		first := time.Time{}
		for _, t := range nodes.tracked {
			if ready := t.res.FirstReady; !ready.IsZero() && (first.IsZero() || ready.Before(first)) {
				first = ready
			}
		}
		if !first.IsZero() {
			c.selfReady(first, when{late: true, from: c.contact, at: now})
		}
	}
	c.observe(c.self, now)
}

// selfAttributes are the numbers of objects, and what most nodes say of provider and region.
func (c *cluster) selfAttributes(nodes *feed) map[string]string {
	attributes := map[string]string{}
	for name, n := range c.objects() {
		if f := c.feeds[name]; f != nil && f.synced {
			attributes["count."+name] = strconv.Itoa(n)
		}
	}
	if nodes == nil {
		return attributes
	}
	for _, key := range []string{"provider", "region"} {
		votes := map[string]int{}
		for _, t := range nodes.tracked {
			votes[t.res.Attributes[key]]++
		}
		delete(votes, "")
		best := ""
		for value, n := range votes {
			if n > votes[best] || n == votes[best] && value < best {
				best = value
			}
		}
		if best != "" {
			attributes[key] = best
		}
	}
	if c.cc.Region == "" {
		c.region = attributes["region"]
	}
	return attributes
}
