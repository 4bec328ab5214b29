package schema

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Change says what happened to a resource.
type Change string

// The changes of resources. Each row of a change also carries the resource's whole state after it, so that the newest row of a
// resource is its state, and the newest row up to an instant its state at that instant.
const (
	// ChangeCreated: it began to exist, at the API server's creation time, however late it was noticed.
	ChangeCreated Change = "created"
	// ChangeObserved: it was there. Written when it is first seen, and once a day; of a day's rows the last counts. Clusters
	// themselves have one for each hour, renewed every minute: the newest one tells how far the view of the cluster reaches.
	ChangeObserved Change = "observed"
	// ChangeUpdated: something that the state holds changed and no other change speaks of it (labels, team, version, status).
	ChangeUpdated Change = "updated"
	// ChangeReady: it could be used for the first time: a workload was available, a pod of a namespace was ready, a node was ready,
	// a claim was bound. Duration is the time since its creation.
	ChangeReady Change = "ready"
	// ChangeScaled: the desired number of replicas changed; Value is the number before.
	ChangeScaled Change = "scaled"
	// ChangeRolloutStarted: pods of another template are being rolled out. Reason is one of the rollout reasons.
	ChangeRolloutStarted Change = "rollout_started"
	// ChangeRolloutSucceeded: all desired pods are of the new template and available. Duration is the time since the start.
	ChangeRolloutSucceeded Change = "rollout_succeeded"
	// ChangeRolloutFailed: the rollout made no progress within its deadline. It may still succeed later: then both are there.
	ChangeRolloutFailed Change = "rollout_failed"
	// ChangeRolloutSuperseded: another rollout began before this one had succeeded.
	ChangeRolloutSuperseded Change = "rollout_superseded"
	// ChangeCompleted and ChangeFailed end a Job, or a synchronisation of an Argo CD Application. Duration is its run time.
	ChangeCompleted Change = "completed"
	ChangeFailed    Change = "failed"
	// ChangeEmptied: the last active pod of a namespace has gone, and none came within some minutes, or the last ready endpoint of a
	// Service. ChangeOccupied: one came again.
	ChangeEmptied  Change = "emptied"
	ChangeOccupied Change = "occupied"
	// ChangeTerminating: its deletion was asked for and waits, for a finalizer or for what is in it.
	ChangeTerminating Change = "terminating"
	// ChangeDeleted: it is gone. Duration is the time since it became terminating, nil when nobody saw it terminating.
	ChangeDeleted Change = "deleted"
)

// Changes lists every change.
func Changes() []Change {
	return []Change{
		ChangeCreated, ChangeObserved, ChangeUpdated, ChangeReady, ChangeScaled, ChangeRolloutStarted, ChangeRolloutSucceeded,
		ChangeRolloutFailed, ChangeRolloutSuperseded, ChangeCompleted, ChangeFailed, ChangeEmptied, ChangeOccupied,
		ChangeTerminating, ChangeDeleted,
	}
}

// The reasons of rollouts: why pods are replaced, and why a rollout failed.
const (
	RolloutCreated  = "created"  // the workload is new
	RolloutTemplate = "template" // the pod template changed: a deployment
	RolloutRollback = "rollback" // the pod template is one that was rolled out before
	RolloutRestart  = "restart"  // nothing but the annotation of `kubectl rollout restart` changed
	RolloutDeadline = "deadline" // no progress within the deadline
)

// RolloutPhase is how far the newest rollout of a workload has come.
type RolloutPhase string

// The phases of rollouts.
const (
	RolloutNone        RolloutPhase = ""
	RolloutProgressing RolloutPhase = "progressing"
	RolloutSucceeded   RolloutPhase = "succeeded"
	RolloutFailed      RolloutPhase = "failed"
)

// The kinds of resources that have a meaning of their own. A cluster is a resource of itself: its UID is that of its kube-system
// namespace, so a cluster that was built anew under the same name is another one.
const (
	KindCluster     = "Cluster"
	KindNamespace   = "Namespace"
	KindNode        = "Node"
	KindDeployment  = "Deployment"
	KindStatefulSet = "StatefulSet"
	KindDaemonSet   = "DaemonSet"
	KindJob         = "Job"
	KindCronJob     = "CronJob"
	KindClaim       = "PersistentVolumeClaim"
	KindVolume      = "PersistentVolume"
	KindQuota       = "ResourceQuota"
	// KindService are those of type LoadBalancer; Available counts their ready endpoints.
	KindService = "Service"
	// KindManagedCluster is a Cluster of Cluster API, KindApplication one of Argo CD: they are watched where they are served.
	KindManagedCluster = "Cluster.cluster.x-k8s.io"
	KindApplication    = "Application.argoproj.io"
)

// Resource is the state of an object in a cluster, as far as figures need it. Zero times mean: not, or not known.
type Resource struct {
	Cluster   string `json:"cluster"`
	Region    string `json:"region,omitempty"`
	Kind      string `json:"kind"`
	UID       string `json:"uid"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Created is the API server's creation time, to the second.
	Created time.Time `json:"created,omitzero"`
	// FirstReady is when it could be used for the first time, at the latest.
	FirstReady time.Time `json:"first_ready,omitzero"`
	// Terminating is when its deletion was asked for.
	Terminating time.Time `json:"terminating,omitzero"`
	// Generation counts the changes of its specification.
	Generation int64 `json:"generation,omitempty"`
	// Desired and Available count pods of a workload; of a namespace, Available counts active pods, of a Service ready endpoints. Nil: it has no such number.
	Desired   *int64 `json:"desired,omitempty"`
	Available *int64 `json:"available,omitempty"`
	// Revision names the newest rollout of a workload, RolloutStarted is when it began.
	Revision       string       `json:"revision,omitempty"`
	Rollout        RolloutPhase `json:"rollout,omitempty"`
	RolloutStarted time.Time    `json:"rollout_started,omitzero"`
	// Version is that of Kubernetes for clusters (API server) and nodes (kubelet), else of the label app.kubernetes.io/version.
	Version string `json:"version,omitempty"`
	// Team owns it; TeamSource is the OwnerSource by which it does.
	Team       string `json:"team,omitempty"`
	TeamSource string `json:"team_source,omitempty"`
	// Labels are the labels and annotations that the collector was told to keep.
	Labels map[string]string `json:"labels,omitempty"`
	// Attributes are facts by kind, e.g. provider, zone, storage_class, storage_bytes, hard.pods.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// ResourceChange is something that happened to a resource, with its state after it. Its identity is
// (Cluster, Kind, UID, Change, Key): another record of the same identity replaces it, see Precedence.
type ResourceChange struct {
	Resource
	Change Change `json:"change"`
	// Key tells apart changes of one kind to one resource: a revision, a generation, a day. The same change noticed twice, by two
	// replicas or after a restart, has the same key.
	Key string `json:"key,omitempty"`
	// Time is when it happened, or, where From is set, the end of the interval in which it did.
	Time time.Time `json:"time"`
	// From is zero for an instant. What happened while nobody watched happened in [From, Time].
	From time.Time `json:"from,omitzero"`
	// Seen is when the resource was seen in the state that is given here; zero: at Time. A change is often older than the moment at
	// which it was noticed, and of a change in the past often nothing is known but what the resource is.
	Seen time.Time `json:"seen,omitzero"`
	// Reason says why, in one word of a machine.
	Reason string `json:"reason,omitempty"`
	// DurationMS is what Change says, in milliseconds; nil: not measured.
	DurationMS *float64 `json:"duration_ms,omitempty"`
	// Value is what Change says; nil: none.
	Value *float64 `json:"value,omitempty"`
}

// Exact tells whether the change happened at an instant that is known, and not in an interval.
func (c *ResourceChange) Exact() bool { return c.From.IsZero() || !c.From.Before(c.Time) }

// Precedence decides between two records of one identity: the highest wins. What was seen to be there counts as it was seen last,
// all else as it was seen most exactly.
func (c *ResourceChange) Precedence() uint64 {
	if c.Change == ChangeObserved {
		return uint64(max(0, c.Time.UnixMilli()))
	}
	var width int64
	if !c.Exact() {
		width = c.Time.Sub(c.From).Milliseconds()
	}
	return uint64(math.MaxInt64 - width)
}

// StatePrecedence orders the records of one resource by when it was seen in the state that they carry: the highest is its newest
// state. At the same time, what ends a resource comes last.
func (c *ResourceChange) StatePrecedence() uint64 {
	rank := uint64(slices.Index(Changes(), c.Change) + 1)
	return uint64(max(0, c.StateTime().UnixMilli()))<<4 | min(rank, 15)
}

// StateTime is when the resource was seen in the state that is given.
func (c *ResourceChange) StateTime() time.Time {
	if c.Seen.IsZero() {
		return c.Time
	}
	return c.Seen
}

// Limits of a change, in bytes and entries.
const (
	maxResourceName   = 300
	maxResourceValue  = 1000
	maxResourceLabels = 100
)

// Validate says why a change can never be stored; nil: it can.
func (c *ResourceChange) Validate() error {
	for _, f := range []struct{ name, value string }{
		{"cluster", c.Cluster}, {"kind", c.Kind}, {"uid", c.UID}, {"name", c.Name}, {"change", string(c.Change)},
	} {
		if f.value == "" {
			return fmt.Errorf("%s is missing", f.name)
		}
	}
	for _, f := range []struct{ name, value string }{
		{"cluster", c.Cluster}, {"region", c.Region}, {"kind", c.Kind}, {"uid", c.UID}, {"namespace", c.Namespace}, {"name", c.Name},
		{"revision", c.Revision}, {"version", c.Version}, {"team", c.Team}, {"key", c.Key}, {"reason", c.Reason},
	} {
		if err := validText(f.name, f.value, maxResourceName); err != nil {
			return err
		}
	}
	switch {
	case !slices.Contains(Changes(), c.Change):
		return fmt.Errorf("change is %q, must be one of %s", c.Change, joined(Changes()))
	case c.Time.IsZero():
		return fmt.Errorf("time is missing")
	case c.From.After(c.Time):
		return fmt.Errorf("from %s is after time %s", c.From.Format(time.RFC3339), c.Time.Format(time.RFC3339))
	case len(c.Labels) > maxResourceLabels || len(c.Attributes) > maxResourceLabels:
		return fmt.Errorf("%d labels and %d attributes, at most %d of each are kept", len(c.Labels), len(c.Attributes), maxResourceLabels)
	}
	return c.validNumbers()
}

func (c *ResourceChange) validNumbers() error {
	for name, v := range map[string]*float64{"duration_ms": c.DurationMS, "value": c.Value} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			return fmt.Errorf("%s is %v, must be a finite number", name, *v)
		}
	}
	for name, v := range map[string]*int64{"desired": c.Desired, "available": c.Available} {
		if v != nil && *v < 0 {
			return fmt.Errorf("%s is %d, must not be negative", name, *v)
		}
	}
	for _, m := range []map[string]string{c.Labels, c.Attributes} {
		for k, v := range m {
			if err := validText("label or attribute "+k, v, maxResourceValue); err != nil {
				return err
			}
		}
	}
	return nil
}

func validText(name, value string, most int) error {
	if len(value) > most {
		return fmt.Errorf("%s has %d bytes, at most %d are kept", name, len(value), most)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("%s %q is not valid UTF-8", name, value)
	}
	return nil
}

func joined(changes []Change) string {
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}

// The tables of resources: what happened to them, what state each is in or was in at its end, and when
// clusters were watched.
const (
	TableResourceChanges = "resource_changes"
	TableResources       = "resources"
	TableClusterHours    = "cluster_hours"
)
