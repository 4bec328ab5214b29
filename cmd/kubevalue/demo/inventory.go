package demo

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// Space is a namespace of a team with its workloads. A zero time means: not yet, or never.
type Space struct {
	Team, Cluster int
	Name          string
	// Born is its creation, Deployed that of its first workload, Ready its first ready pod, Emptied the end of its last one.
	Born, Deployed, Ready, Emptied time.Time
	// Asked is when its deletion was asked for, Gone when it was gone.
	Asked, Gone time.Time
	// Feature marks a namespace for a while, Expires one that says so.
	Feature, Expires bool
	// By is the member who creates and deletes it.
	By int
}

// makeSpaces plans all namespaces: one for each team on each of its clusters, and others for a while. Half-way through, people learn
// to say when a namespace ends, and clean up sooner. Some teams never do, and the one that leaves lets everything lie.
func (w *World) makeSpaces(r, later *rand.Rand) {
	for i := range w.Teams {
		t := &w.Teams[i]
		if t.Joined.IsZero() {
			continue
		}
		for _, c := range t.Clusters {
			s := Space{Team: i, Cluster: c, Name: t.Name, By: r.IntN(len(t.Members)), Born: workTime(r, t.Joined)}
			if t.Joined.Equal(w.Start) {
				s.Born = w.Start.AddDate(0, 0, -20-r.IntN(200))
			}
			s.deployed(r, 2)
			if !t.Left.IsZero() {
				s.Emptied = workTime(r, t.Left.AddDate(0, 0, r.IntN(5)))
			}
			w.Spaces = append(w.Spaces, s)
		}
		next := w.makeFeatures(r, i, t.Joined.AddDate(0, 0, r.IntN(7)), w.End)
		w.makeFeatures(later, i, next, w.End.Add(horizon))
	}
	// One deletion hangs in a finalizer.
	for i := range w.Spaces {
		if s := &w.Spaces[i]; !s.Gone.IsZero() && s.Asked.After(w.End.AddDate(0, 0, -21)) && s.Asked.Before(w.End.AddDate(0, 0, -9)) {
			s.Gone = time.Time{}
			break
		}
	}
}

// deployed is the first workload some minutes after the creation, and its pods some time later.
func (s *Space) deployed(r *rand.Rand, minutes float64) {
	s.Deployed = s.Born.Add(time.Duration(minutes * float64(time.Minute)))
	s.Ready = s.Deployed.Add(time.Duration(12+r.ExpFloat64()*40) * time.Second)
}

// makeFeatures plans namespaces for a while from day at of a team on, and returns the day of the first one that is not before end.
func (w *World) makeFeatures(r *rand.Rand, team int, at, end time.Time) time.Time {
	t := &w.Teams[team]
	learned := w.week(15)
	if !t.Left.IsZero() && t.Left.Before(end) {
		end = t.Left
	}
	n := 0
	for _, s := range w.Spaces {
		if s.Team == team && s.Feature {
			n++
		}
	}
	for ; at.Before(end); at = at.AddDate(0, 0, 5+r.IntN(10)) {
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			at = at.AddDate(0, 0, 2)
		}
		n++
		s := Space{
			Team: team, Cluster: t.Clusters[1+r.IntN(2)], Name: fmt.Sprintf("%s-feature-%d", t.Name, n), Feature: true, By: r.IntN(len(t.Members)),
			Born: workTime(r, t.awake(at)),
		}
		if unused := r.Float64() < 0.15; unused {
			s.Emptied = s.Born
		} else {
			s.deployed(r, min(360, 2+r.ExpFloat64()*45))
			s.Emptied = workTime(r, t.awake(at).AddDate(0, 0, 4+r.IntN(18)))
		}
		lag := 2 + r.IntN(25)
		if at.After(learned) {
			s.Expires = r.Float64() < 0.7
			lag = 1 + r.IntN(8)
		}
		if !t.abandons {
			s.Asked = workTime(r, t.awake(s.Emptied.Truncate(24*time.Hour).AddDate(0, 0, lag)))
			s.Gone = s.Asked.Add(time.Duration(6+r.ExpFloat64()*20) * time.Second)
		}
		w.Spaces = append(w.Spaces, s)
	}
	return at
}

// main is a team's own namespace on a cluster; nil: it has none.
func (w *World) main(t *Team, cluster int) *Space {
	for i := range w.Spaces {
		if s := &w.Spaces[i]; s.Cluster == cluster && s.Name == t.Name {
			return s
		}
	}
	return nil
}

// within tells whether an instant lies on the day that starts at midnight, and is not in the future.
func (w *World) within(at, midnight time.Time) bool {
	return !at.Before(midnight) && at.Before(midnight.Add(24*time.Hour)) && !at.After(w.Until)
}

// spacesDay is what members do about namespaces: create them with their workload, delete them.
func (w *World) spacesDay(d *Day, midnight time.Time) {
	for i := range w.Spaces {
		s := &w.Spaces[i]
		t := &w.Teams[s.Team]
		act := func(at time.Time, verb, group, resource, namespace, name string, code int) {
			a := Action{
				At: at.Truncate(time.Millisecond), Cluster: s.Cluster, User: t.Members[s.By], Groups: []string{"team-" + t.Name, "system:authenticated"},
				Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name, Code: code, Latency: 20 * time.Millisecond,
			}
			d.Actions = append(d.Actions, a)
		}
		if w.within(s.Born, midnight) {
			act(s.Born, "create", "", "namespaces", "", s.Name, 201)
		}
		if w.within(s.Deployed, midnight) {
			act(s.Deployed, "create", "apps", "deployments", s.Name, "web", 201)
		}
		if w.within(s.Asked, midnight) {
			act(s.Asked, "delete", "", "namespaces", "", s.Name, 200)
		}
	}
}

// change is what an agent in the cluster would tell of a resource.
func (w *World) change(cluster int, kind, namespace, name string) schema.ResourceChange {
	c := w.Clusters[cluster]
	uid := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s/%s/%s/%s", c.Name, kind, namespace, name))
	return schema.ResourceChange{Resource: schema.Resource{Cluster: c.Name, Region: c.Region, Kind: kind, UID: uid.String(), Namespace: namespace, Name: name}}
}

// at dates a change of a resource.
func at(c schema.ResourceChange, what schema.Change, key string, when time.Time) schema.ResourceChange {
	c.Change, c.Key, c.Time = what, key, when.Truncate(time.Millisecond)
	return c
}

// Changes is what happened to the resources of all clusters on the day that starts at midnight, but for rollouts, which Day has.
func (w *World) Changes(midnight time.Time) []schema.ResourceChange {
	var out []schema.ResourceChange
	add := func(c schema.ResourceChange) {
		if w.within(c.Time, midnight) {
			out = append(out, c)
		}
	}
	for i := range w.Spaces {
		w.spaceChanges(&w.Spaces[i], add)
	}
	for c := range w.Clusters {
		w.clusterChanges(c, midnight, add)
	}
	w.syncsDay(midnight, add)
	w.previewsDay(midnight, add)
	return out
}

// spaceChanges is the life of a namespace and its workloads.
func (w *World) spaceChanges(s *Space, add func(schema.ResourceChange)) {
	team := w.Teams[s.Team].Name
	ns := w.change(s.Cluster, schema.KindNamespace, "", s.Name)
	ns.Created, ns.Team, ns.TeamSource = s.Born, team, "label"
	ns.Labels = map[string]string{"env": w.Clusters[s.Cluster].environment()}
	if s.Expires {
		ns.Labels["kubevalue.dev/expires"] = s.Emptied.AddDate(0, 0, 7).Format(time.DateOnly)
	}
	known := s.Born.Before(w.Start) // before anybody watched
	if known {
		ns.FirstReady = s.Ready
		add(at(ns, schema.ChangeObserved, w.Start.Format(time.DateOnly), w.Start))
	} else {
		add(at(ns, schema.ChangeCreated, "", s.Born))
		if !s.Ready.IsZero() {
			ns.FirstReady = s.Ready
			add(at(ns, schema.ChangeReady, "", s.Ready))
		}
	}
	if !s.Emptied.IsZero() {
		ns.Attributes = map[string]string{"empty_since": s.Emptied.UTC().Format(time.RFC3339)}
		told := at(ns, schema.ChangeEmptied, strconv.FormatInt(s.Emptied.UnixMilli(), 10), s.Emptied)
		told.Seen = s.Emptied.Add(5 * time.Minute)
		add(told)
	}
	if !s.Asked.IsZero() {
		ns.Terminating = s.Asked
		add(at(ns, schema.ChangeTerminating, "", s.Asked))
	}
	if !s.Gone.IsZero() {
		add(at(ns, schema.ChangeDeleted, "", s.Gone))
	}
	w.keptChanges(s, add)
	if s.Ready.IsZero() {
		return
	}
	for i, name := range s.workloads() {
		d := w.workload(s, name)
		if known {
			add(at(d, schema.ChangeObserved, w.Start.Format(time.DateOnly), w.Start))
		} else {
			add(at(d, schema.ChangeCreated, "", d.Created))
			add(at(d, schema.ChangeReady, "", s.Ready.Add(time.Duration(i*7)*time.Second)))
		}
		if !s.Emptied.IsZero() {
			add(at(d, schema.ChangeDeleted, "", s.Emptied))
		}
	}
}

// workloads are the names of the Deployments in a namespace.
func (s *Space) workloads() []string {
	if s.Feature {
		return []string{"web"}
	}
	return []string{"web", "worker"}
}

// workload is a Deployment in a namespace. Of the workers, some say nothing about who owns them.
func (w *World) workload(s *Space, name string) schema.ResourceChange {
	d := w.change(s.Cluster, schema.KindDeployment, s.Name, name)
	d.Created, d.FirstReady = s.Deployed, s.Ready
	d.Desired, d.Available = new(int64(3)), new(int64(3))
	d.Attributes = map[string]string{schema.AttributeTies: w.ties(s, name)}
	if s.Team%7 != 3 { // those deploy by hand
		d.Labels = map[string]string{schema.LabelArgoInstance: s.Name}
	}
	if name == "web" || s.Team%9 != 0 {
		d.Team, d.TeamSource = w.Teams[s.Team].Name, "namespace"
	}
	return d
}

// ties are the providers without which a workload cannot run: some teams ask for the nodes or the disks of theirs.
func (w *World) ties(s *Space, name string) string {
	switch provider := []string{"google", "aws", "azure"}[s.Cluster/4]; {
	case s.Team%11 == 4, name == "worker" && s.Team%6 == 1:
		return provider
	}
	return schema.TiesNone
}

// keptChanges is the life of what a namespace keeps, see keptBy: a volume, and in production a load balancer. Every sixth team's volumes stay
// when the namespace has gone.
func (w *World) keptChanges(s *Space, add func(schema.ResourceChange)) {
	c, team := w.Clusters[s.Cluster], w.Teams[s.Team].Name
	var kept []schema.ResourceChange
	volume := w.change(s.Cluster, schema.KindVolume, "", "pvc-"+s.Name)
	size := 20 * gib
	if !s.Feature {
		size *= 5
	}
	volume.Attributes = map[string]string{"storage_class": StorageDisk, "storage_bytes": strconv.Itoa(size), "phase": "Bound", "claim": s.Name + "/data"}
	kept = append(kept, volume)
	if !s.Feature && c.environment() == "production" {
		balancer := w.change(s.Cluster, schema.KindService, s.Name, "web")
		balancer.Available = new(int64(3))
		balancer.Attributes = map[string]string{"type": "LoadBalancer", schema.AttributeTies: w.ties(s, "web")}
		kept = append(kept, balancer)
	}
	for _, k := range kept {
		k.Created, k.Team, k.TeamSource = s.Born, team, "namespace"
		if s.Born.Before(w.Start) {
			add(at(k, schema.ChangeObserved, w.Start.Format(time.DateOnly), w.Start))
		} else {
			add(at(k, schema.ChangeCreated, "", s.Born))
		}
		if k.Kind == schema.KindService && !s.Emptied.IsZero() {
			k.Available, k.Attributes = new(int64(0)), maps.Clone(k.Attributes)
			k.Attributes["empty_since"] = s.Emptied.UTC().Format(time.RFC3339)
			add(at(k, schema.ChangeEmptied, strconv.FormatInt(s.Emptied.UnixMilli(), 10), s.Emptied))
		}
		switch {
		case s.Gone.IsZero():
		case k.Kind == schema.KindVolume && s.Team%6 == 2:
			k.Attributes = maps.Clone(k.Attributes)
			k.Attributes["phase"] = "Released"
			add(at(k, schema.ChangeUpdated, strconv.FormatInt(s.Gone.UnixMilli(), 10), s.Gone))
		default:
			add(at(k, schema.ChangeDeleted, "", s.Gone))
		}
	}
}

// rollout is what the clusters saw of a deployment by CI: one that fails stands still for ten minutes and is rolled back.
func (w *World) rollout(r *rand.Rand, s *Space, name, revision string, began time.Time, failed bool) []schema.ResourceChange {
	d := w.workload(s, name)
	d.Revision, d.RolloutStarted, d.Attributes["rollout_reason"] = revision, began, schema.RolloutTemplate
	start := at(d, schema.ChangeRolloutStarted, revision, began)
	start.Reason = schema.RolloutTemplate
	if !failed {
		took := time.Duration(15+r.ExpFloat64()*40) * time.Second
		d.Rollout = schema.RolloutSucceeded
		done := at(d, schema.ChangeRolloutSucceeded, revision, began.Add(took))
		done.DurationMS = new(float64(took.Milliseconds()))
		return []schema.ResourceChange{start, done}
	}
	stuck := began.Add(10 * time.Minute)
	d.Rollout = schema.RolloutFailed
	fails := at(d, schema.ChangeRolloutFailed, revision, stuck)
	fails.Reason = schema.RolloutDeadline
	back := stuck.Add(time.Duration(3+r.ExpFloat64()*25) * time.Minute)
	d.Attributes = maps.Clone(d.Attributes)
	d.Revision, d.RolloutStarted, d.Attributes["rollout_reason"] = revision+"-back", back, schema.RolloutRollback
	restart := at(d, schema.ChangeRolloutStarted, d.Revision, back)
	restart.Reason = schema.RolloutRollback
	d.Rollout = schema.RolloutSucceeded
	return []schema.ResourceChange{start, fails, restart, at(d, schema.ChangeRolloutSucceeded, d.Revision, back.Add(40*time.Second))}
}

// environment is what namespaces on a cluster say about themselves.
func (c Cluster) environment() string {
	if c.Stage == "prod-a" || c.Stage == "prod-b" {
		return "production"
	}
	return c.Stage
}

// The clusters begin with this minor version and are upgraded every upgradeWeeks: dev first, production last, one never.
const (
	firstMinor   = 33
	upgradeWeeks = 8.5
	neverUpdated = "ap-south-prod-b"
)

// upgrades are the instants at which a cluster's API server gets its next minor version.
func (w *World) upgrades(cluster int) []time.Time {
	delay := map[string]float64{"dev": 0, "staging": 0.6, "prod-a": 2.2, "prod-b": 1.6}[w.Clusters[cluster].Stage]
	var out []time.Time
	if w.Clusters[cluster].Name == neverUpdated {
		return nil
	}
	for week := 2 + delay + 0.2*float64(cluster/4); week < 26; week += upgradeWeeks {
		out = append(out, w.week(week).Add(9*time.Hour))
	}
	return out
}

func version(minor int) string { return fmt.Sprintf("v1.%d.%d", minor, 2+minor%4) }

// born is when a cluster was created: those for development are rebuilt more often.
func (w *World) born(cluster int) time.Time {
	days := map[string]int{"dev": 35, "staging": 160, "prod-a": 420, "prod-b": 610}[w.Clusters[cluster].Stage]
	return w.Start.AddDate(0, 0, -days-17*(cluster/4))
}

// nodes is how many nodes a cluster has.
func (c Cluster) nodes() int {
	return map[string]int{"dev": 4, "staging": 5, "prod-a": 12, "prod-b": 10}[c.Stage]
}

// observed is the record of a cluster as an agent in it renews it.
func (w *World) observed(cluster int, when time.Time) schema.ResourceChange {
	self := w.change(cluster, schema.KindCluster, "", w.Clusters[cluster].Name)
	self.Created = w.born(cluster)
	self.FirstReady = self.Created.Add(11 * time.Minute)
	minor, pods, spaces := firstMinor, 0, 0
	for _, u := range w.upgrades(cluster) {
		if !u.After(when) {
			minor++
		}
	}
	for i := range w.Spaces {
		s := &w.Spaces[i]
		if s.Cluster != cluster || s.Born.After(when) || !s.Gone.IsZero() && !s.Gone.After(when) {
			continue
		}
		spaces++
		if !s.Ready.IsZero() && (s.Emptied.IsZero() || s.Emptied.After(when)) {
			pods += 3 * len(s.workloads())
		}
	}
	self.Version = version(minor)
	self.Attributes = map[string]string{"count.Pod": strconv.Itoa(pods), "count.Namespace": strconv.Itoa(spaces), "count.Node": strconv.Itoa(w.Clusters[cluster].nodes())}
	return at(self, schema.ChangeObserved, when.Format("2006-01-02T15"), when)
}

// clusterChanges renews the record of a cluster every hour, upgrades it and then its nodes. One agent is away for two days.
func (w *World) clusterChanges(cluster int, midnight time.Time, add func(schema.ResourceChange)) {
	away := w.week(9)
	for hour := midnight; hour.Before(midnight.Add(24 * time.Hour)); hour = hour.Add(time.Hour) {
		if w.Clusters[cluster].Stage == "dev" && cluster > 8 && !hour.Before(away) && hour.Before(away.Add(48*time.Hour)) {
			continue
		}
		add(w.observed(cluster, hour))
	}
	for n := range w.Clusters[cluster].nodes() {
		node := w.change(cluster, schema.KindNode, "", fmt.Sprintf("node-%d", n))
		node.Created, node.Version = w.born(cluster), version(firstMinor)
		add(at(node, schema.ChangeObserved, w.Start.Format(time.DateOnly), w.Start))
		for i, u := range w.upgrades(cluster) {
			node.Version = version(firstMinor + i + 1)
			add(at(node, schema.ChangeUpdated, node.Version, u.Add(time.Duration(20+9*n)*time.Hour)))
		}
	}
}
