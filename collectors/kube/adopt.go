package kube

import (
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// adopt begins with what was known before the start, whatever has been seen since: the first lists are compared with it.
func (c *cluster) adopt(rows []schema.ResourceChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin()
	c.kept = c.addTargets(nil)
	c.forget()
	c.contact = lastContact(rows)
	for i := range rows {
		c.adoptRow(&rows[i])
	}
	c.adopted = true
}

// lastContact is up to when the cluster was watched before the start.
func lastContact(rows []schema.ResourceChange) (contact time.Time) {
	for i := range rows {
		if rows[i].Kind == schema.KindCluster && rows[i].StateTime().After(contact) {
			contact = rows[i].StateTime()
		}
	}
	return contact
}

func (c *cluster) adoptRow(row *schema.ResourceChange) {
	t := fromKnown(row)
	if row.Kind == schema.KindCluster {
		c.selfBefore = append(c.selfBefore, t) // the one that is there still, or one that it took the place of
		return
	}
	for _, k := range kinds {
		if k.name != row.Kind || !c.cc.watches(k.name) {
			continue
		}
		c.feed(k).tracked[shortUID(row.UID)] = t
		switch k.name {
		case schema.KindNamespace:
			c.ownSpace(t)
		case schema.KindService:
			c.balancers[spaceName{t.res.Namespace, t.res.Name}] = t
		}
	}
}
