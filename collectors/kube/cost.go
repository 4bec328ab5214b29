package kube

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/schema"
)

const (
	// costsEvery is how often it is looked what there is; what is there then counts for the time since the last look.
	costsEvery = time.Minute
	// longestLook is the longest time for which a look counts: what was not watched costs nothing that anybody knows.
	longestLook = 3 * time.Minute
	// handCostsEvery is how often the sums of an hour are handed over before it has ended, so that a kill loses no more: the later ones
	// replace the earlier ones.
	handCostsEvery = 5 * time.Minute
)

// needsOf is what a pod requests, as the scheduler counts it, with its place and its controller.
func needsOf(p *corev1.Pod) needs {
	n := needs{node: p.Spec.NodeName, name: podHash(p.Namespace, p.Name)}
	requested := func(list corev1.ResourceList) (cores, bytes float64) {
		return list.Cpu().AsApproximateFloat64(), list.Memory().AsApproximateFloat64()
	}
	var first [2]float64 // of init containers, which run one after the other, beside those that stay
	for i := range p.Spec.InitContainers {
		cores, bytes := requested(p.Spec.InitContainers[i].Resources.Requests)
		if policy := p.Spec.InitContainers[i].RestartPolicy; policy != nil && *policy == corev1.ContainerRestartPolicyAlways {
			n.cores, n.bytes = n.cores+cores, n.bytes+bytes
			first[0], first[1] = max(first[0], n.cores), max(first[1], n.bytes)
			continue
		}
		first[0], first[1] = max(first[0], n.cores+cores), max(first[1], n.bytes+bytes)
	}
	for i := range p.Spec.Containers {
		cores, bytes := requested(p.Spec.Containers[i].Resources.Requests)
		n.cores, n.bytes = n.cores+cores, n.bytes+bytes
	}
	cores, bytes := requested(p.Spec.Overhead)
	n.cores, n.bytes = max(n.cores, first[0])+cores, max(n.bytes, first[1])+bytes
	if owner := metav1.GetControllerOfNoCopy(p); owner != nil {
		n.controllerKind, n.controller = podController(owner.Kind), shortUID(string(owner.UID))
	}
	return n
}

// podController is a kind that may own pods, or none; the text is not held.
func podController(text string) string {
	for _, kind := range []string{kindReplicaSet, schema.KindStatefulSet, schema.KindDaemonSet, schema.KindJob} {
		if text == kind {
			return kind
		}
	}
	return ""
}

// interned keeps one copy of each of a few texts.
type interned map[string]string

func (i interned) one(text string) string {
	if text == "" {
		return ""
	}
	if same, ok := i[text]; ok {
		return same
	}
	text = bounded(text)
	i[text] = text
	return text
}

// consumer is what consumption is summed up by.
type consumer struct {
	kind                   schema.ConsumptionKind
	class, namespace, team string
}

// meteredCosts sums up what there is and what is used.
type meteredCosts struct {
	// start is the beginning of the sums, at most an hour ago, handed when they were handed over; looked is the last look, zero: none counts.
	start, handed, looked time.Time
	sums                  map[consumer]*schema.Consumption
	use                   map[uint64]Use
	usedAt                time.Time
}

func newCosts() meteredCosts { return meteredCosts{sums: map[consumer]*schema.Consumption{}} }

// meterCosts looks at what is there. Callers hold mu.
func (c *cluster) meterCosts(now time.Time) {
	m := &c.costs
	if !m.looked.IsZero() && now.Sub(m.looked) < costsEvery {
		return
	}
	nodes, pods := c.feeds[schema.KindNode], c.feeds[kindPod]
	if nodes == nil || pods == nil || !nodes.synced || !nodes.up || !pods.synced || !pods.up || c.err != nil {
		m.looked = time.Time{}
		return
	}
	passed := now.Sub(m.looked)
	m.looked, passed = now, min(passed, longestLook)
	if m.start.IsZero() || m.start.Truncate(time.Hour) != now.Truncate(time.Hour) {
		c.handCosts()
		m.sums = map[consumer]*schema.Consumption{}
		m.start, m.handed = now, now
	}
	if passed == longestLook {
		return // the first look, or one after a long time
	}
	seconds := passed.Seconds()
	classes := c.meterNodes(nodes, seconds)
	c.meterPods(classes, seconds, now)
	c.meterStorage(seconds)
	if f := c.feeds[schema.KindService]; f != nil && f.synced {
		for _, t := range f.tracked {
			c.sum(consumer{schema.ConsumedBalancer, t.res.Attributes["class"], t.res.Namespace, t.res.Team}).Seconds += seconds
		}
	}
	if now.Sub(m.handed) >= handCostsEvery {
		c.handCosts()
		m.handed = now
	}
}

func (c *cluster) sum(of consumer) *schema.Consumption {
	s := c.costs.sums[of]
	if s == nil {
		s = &schema.Consumption{Cluster: c.cc.Name, Kind: of.kind, Class: of.class, Namespace: of.namespace, Team: of.team}
		c.costs.sums[of] = s
	}
	return s
}

// meterNodes returns the types of nodes by name.
func (c *cluster) meterNodes(nodes *feed, seconds float64) map[string]string {
	classes := make(map[string]string, len(nodes.tracked))
	for _, t := range nodes.tracked {
		class := t.res.Attributes["instance_type"]
		classes[t.res.Name] = class
		s := c.sum(consumer{kind: schema.ConsumedNode, class: class})
		s.Seconds += seconds
		s.CoreSeconds += amount(t.res.Attributes["allocatable_cores"]) * seconds
		s.ByteSeconds += amount(t.res.Attributes["allocatable_bytes"]) * seconds
	}
	return classes
}

// amount is a number of ours in an attribute; 0 where there is none.
func amount(text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return v
}

func (c *cluster) meterPods(classes map[string]string, seconds float64, now time.Time) {
	measured := !c.costs.usedAt.IsZero() && now.Sub(c.costs.usedAt) < longestLook
	for _, p := range c.pods {
		class, placed := classes[p.node]
		if !p.active || !placed {
			continue
		}
		of := consumer{kind: schema.ConsumedPod, class: class}
		if owner := c.ownerOfPod(p); owner != nil {
			of.team = owner.res.Team
		}
		if p.space != nil {
			of.namespace = p.space.name
		}
		s := c.sum(of)
		cores, bytes := p.cores, p.bytes
		if use, known := c.costs.use[p.name]; measured && known {
			s.RequestedCoreSeconds += cores * seconds
			s.UsedCoreSeconds += use.Cores * seconds
			cores, bytes = max(cores, use.Cores), max(bytes, use.Bytes)
		}
		s.Seconds += seconds
		s.CoreSeconds += cores * seconds
		s.ByteSeconds += bytes * seconds
	}
}

// ownerOfPod is the top controller of a pod, or else its namespace.
func (c *cluster) ownerOfPod(p podEntry) *tracked {
	kind, id := p.controllerKind, p.controller
	if kind == kindReplicaSet {
		if set := c.sets[id]; set != nil {
			kind, id = schema.KindDeployment, set.owner
		}
	}
	if f := c.feeds[kind]; f != nil && f.tracked[id] != nil {
		return f.tracked[id]
	}
	if p.space != nil {
		return p.space.t
	}
	return nil
}

// meterStorage counts claims, and volumes that nobody claims.
func (c *cluster) meterStorage(seconds float64) {
	for kind, counts := range map[string]func(*tracked) bool{
		schema.KindClaim:  func(t *tracked) bool { return t.res.Attributes["phase"] == string(corev1.ClaimBound) },
		schema.KindVolume: func(t *tracked) bool { return t.res.Attributes["phase"] != string(corev1.VolumeBound) },
	} {
		f := c.feeds[kind]
		if f == nil || !f.synced {
			continue
		}
		for _, t := range f.tracked {
			if counts(t) {
				s := c.sum(consumer{schema.ConsumedStorage, t.res.Attributes["storage_class"], t.res.Namespace, t.res.Team})
				s.Seconds += seconds
				s.ByteSeconds += amount(t.res.Attributes["storage_bytes"]) * seconds
			}
		}
	}
}

// handCosts hands the sums over as they are.
func (c *cluster) handCosts() {
	m := &c.costs
	if len(m.sums) > 0 {
		rows := make([]schema.Consumption, 0, len(m.sums))
		for _, s := range m.sums {
			s.Start = m.start.Truncate(time.Millisecond)
			rows = append(rows, *s)
		}
		c.out.Put(schema.Batch{Consumption: rows})
	}
}

// endCosts hands over what was summed up so far.
func (c *cluster) endCosts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handCosts()
}
