package kube

import (
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// spaceName names something in a namespace.
type spaceName struct{ namespace, name string }

// backends is how many endpoints of a service an EndpointSlice has that are ready, and where they are.
type backends struct {
	doors
	service spaceName
	ready   int64
}

// applyBackends takes an EndpointSlice as it is now; gone: as it was.
func (c *cluster) applyBackends(id uid, now *backends, w when) {
	was, known := c.endpoints[id]
	if now == nil {
		delete(c.endpoints, id)
	} else {
		c.endpoints[id] = *now
	}
	if known {
		c.serving[was.service] -= was.ready
		c.settleBalancer(was.service, w)
	}
	if now != nil {
		c.serving[now.service] += now.ready
		c.settleBalancer(now.service, w)
	}
	if known && c.serving[was.service] == 0 && (now == nil || now.service != was.service) {
		delete(c.serving, was.service)
	}
}

// applyService takes a Service as it is now. One that is no load balancer any longer has gone as what is stored.
func (c *cluster) applyService(f *feed, o *object, w when) {
	id := shortUID(o.uid)
	switch {
	case o.service.balancer:
		c.applyResource(f, o, w)
	case f.tracked[id] != nil:
		c.remove(f, id, w)
	}
	c.setAsking(id, o.service.asks)
}

// ownBalancer links a load balancer to its endpoints.
func (c *cluster) ownBalancer(t *tracked, w when) {
	service := spaceName{t.res.Namespace, t.res.Name}
	c.balancers[service] = t
	c.settleBalancer(service, w)
}

func (c *cluster) removeBalancer(t *tracked) {
	service := spaceName{t.res.Namespace, t.res.Name}
	if c.balancers[service] == t {
		delete(c.balancers, service)
	}
}

// settleBalancer records that a load balancer has lost its last ready endpoint, or has one again.
func (c *cluster) settleBalancer(service spaceName, w when) {
	t := c.balancers[service]
	if f := c.feeds[kindEndpointSlice]; t == nil || f == nil || !f.synced {
		return
	}
	if t.available = c.serving[service]; c.settling || t.unseen {
		return // all Services are looked at when they have been listed
	}
	since := t.res.Attributes[attributeEmpty]
	switch {
	case t.available == 0 && since == "":
		t.attribute(attributeEmpty, w.at.UTC().Format(time.RFC3339))
		c.record(t, w, schema.ResourceChange{Change: schema.ChangeEmptied, Key: strconv.FormatInt(w.at.UnixMilli(), 10), Reason: "no_endpoints"})
	case t.available > 0 && since != "":
		ch := schema.ResourceChange{Change: schema.ChangeOccupied, Key: strconv.FormatInt(w.at.UnixMilli(), 10)}
		if begin, err := time.Parse(time.RFC3339, since); err == nil {
			ch.DurationMS = milliseconds(w.at.Sub(begin))
		}
		t.attribute(attributeEmpty, "")
		c.record(t, w, ch)
	}
}

// settleBalancers looks at all load balancers after all EndpointSlices were listed.
func (c *cluster) settleBalancers(w when) {
	for service := range c.balancers {
		c.settleBalancer(service, w)
	}
}
