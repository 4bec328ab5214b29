package kube

import (
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// ownersEvery is how often the owners of all objects are asked for.
const ownersEvery = 30 * time.Second

// own asks whose an object is.
func (c *cluster) own(t *tracked, now time.Time) {
	if t.res.Kind != schema.KindApplication {
		if project := c.projects.project(t.res.Labels); project != t.res.Attributes[schema.AttributeArgoProject] {
			t.attribute(schema.AttributeArgoProject, project)
		}
	}
	r := t.res
	r.Cluster, r.Team, r.TeamSource = c.cc.Name, "", ""
	q := schema.OwnerQuestion{At: now, Resource: &r, Space: c.spaceResource}
	if parent := c.parentOf(t); parent != nil {
		q.Parent = &parent.res
	}
	team, by := c.cfg.Owner(q)
	t.res.Team, t.res.TeamSource = bounded(team), string(by)
}

// spaceResource is a namespace as far as it was seen.
func (c *cluster) spaceResource(name string) *schema.Resource {
	s := c.spaces[name]
	if s == nil || s.t == nil {
		return nil
	}
	r := s.t.res
	r.Cluster = c.cc.Name
	return &r
}

// parentOf is the top controller of an object where that is watched too; nil: it has none.
func (c *cluster) parentOf(t *tracked) *tracked {
	f := c.feeds[t.parentKind]
	if f == nil {
		return nil
	}
	return f.tracked[t.parent]
}

// askOwners asks again whose everything is: a mapping may have begun, a namespace may have got a label, and who opened it may have become
// known. What was recorded before stays.
func (c *cluster) askOwners(now time.Time) {
	if now.Sub(c.ownersAt) < ownersEvery {
		return
	}
	c.ownersAt = now
	for _, f := range c.feeds {
		for _, t := range f.tracked {
			if t.unseen {
				continue
			}
			team, by := t.res.Team, t.res.TeamSource
			if c.own(t, now); team != t.res.Team || by != t.res.TeamSource {
				c.record(t, at(now), schema.ResourceChange{Change: schema.ChangeUpdated, Key: "owner " + strconv.FormatInt(now.UnixMilli(), 10), Reason: "owner"})
			}
		}
	}
}
