package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// ClusterConfig says how to reach one cluster. Exactly one of Kubeconfig and InCluster is given.
type ClusterConfig struct {
	// Name identifies the cluster for ever: records carry it.
	Name string
	// Region is where it stands; empty: where most of its nodes say that they stand.
	Region string
	// Kubeconfig is the path of a kubeconfig file, Context the context in it; empty: its current one.
	Kubeconfig string
	Context    string
	// InCluster uses the service account of the pod that this runs in.
	InCluster bool
	// AllowExec lists the commands of exec plugins that the kubeconfig may run, as written there. All others are refused.
	AllowExec []string
	// Kinds are the kinds to watch; empty: all of Kinds().
	Kinds []string
	// QPS and Burst bound the requests a second; 0: 20 and 40. Watches are not counted while they last.
	QPS   float32
	Burst int
}

// Config is what a Collector needs.
type Config struct {
	Clusters []ClusterConfig
	Sink     collectors.Sink
	// Known returns the newest state of each resource of a cluster that is not known to be deleted. A cluster's watches begin when
	// it has answered, or after KnownTimeout without it; then it is asked again until it answers, and until then only availability and
	// consumption are measured: what happens is told afterwards, as far as lists still show it. Nil: nothing is known, and whatever happened
	// while the collector was away goes unnoticed.
	Known func(ctx context.Context, cluster string) ([]schema.ResourceChange, error)
	// KnownTimeout is 1 min when 0: until the watches begin, no availability is measured.
	KnownTimeout time.Duration
	// Owner says which team owns an object. It is asked whenever an object changes, and about all of them every half minute, since its answer
	// may change by itself. Nil: nobody owns anything.
	Owner schema.OwnerFunc
	// KeepLabels are the labels and annotations to store, which are also those that Owner sees, beside DefaultKeepLabels.
	KeepLabels []string
	// Fields are stored with the objects that have them, to compare clusters by.
	Fields []Field
	// Slice is the length of slices, a divisor of an hour of at least 10 s; 0: a minute.
	Slice time.Duration
	// RolloutDeadline is when a rollout of a StatefulSet or DaemonSet without progress has failed; 0: 10 minutes. Deployments have
	// a deadline of their own.
	RolloutDeadline time.Duration
	// EmptyAfter is how long a namespace must be without active pods to be called empty; 0: 5 minutes.
	EmptyAfter time.Duration
	// SyncTimeout bounds how long a list or the first part of a watch may hang without an answer; then it is begun anew, by lists
	// in place of streams. 0: a minute.
	SyncTimeout time.Duration
	// Now is time.Now when nil.
	Now    func() time.Time
	Logger *slog.Logger
	// Registerer takes the metrics; nil: nobody reads them.
	Registerer prometheus.Registerer
	// Connect makes the clients of a cluster; nil: Connect of this package.
	Connect func(ClusterConfig) (*Clients, error)
}

// DefaultKeepLabels are stored in any case.
func DefaultKeepLabels() []string {
	return []string{
		"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", schema.LabelComponent,
		"environment", "env", "kubevalue.dev/expires", schema.LabelArgoTracking, schema.LabelArgoInstance,
		"helm.toolkit.fluxcd.io/name", schema.LabelFluxHelm, "kustomize.toolkit.fluxcd.io/name", schema.LabelFluxKustomize,
		"pod-security.kubernetes.io/enforce",
	}
}

// Bounds and defaults of the configuration.
const (
	defaultQPS             = 20
	defaultBurst           = 40
	defaultSlice           = time.Minute
	shortestSlice          = 10 * time.Second
	defaultRolloutDeadline = 10 * time.Minute
	defaultEmptyAfter      = 5 * time.Minute
	defaultSyncTimeout     = time.Minute
	defaultKnownTimeout    = time.Minute
)

// withDefaults fills in what is not given.
func (c Config) withDefaults() Config {
	orDuration := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	orDuration(&c.Slice, defaultSlice)
	orDuration(&c.RolloutDeadline, defaultRolloutDeadline)
	orDuration(&c.EmptyAfter, defaultEmptyAfter)
	orDuration(&c.SyncTimeout, defaultSyncTimeout)
	orDuration(&c.KnownTimeout, defaultKnownTimeout)
	c.KeepLabels = append(DefaultKeepLabels(), c.KeepLabels...)
	if c.Owner == nil {
		c.Owner = func(schema.OwnerQuestion) (string, schema.OwnerSource) { return "", schema.OwnerUnknown }
	}
	c.Now, c.Logger = collectors.Clock(c.Now), collectors.Logger(c.Logger)
	if c.Connect == nil {
		c.Connect = Connect
	}
	return c
}

// validate names every fault at once.
func (c Config) validate() error {
	var faults []error
	if c.Sink == nil {
		faults = append(faults, errors.New("kube: a sink is required"))
	}
	if c.Slice < shortestSlice || time.Hour%c.Slice != 0 || c.Slice%time.Second != 0 {
		faults = append(faults, fmt.Errorf("kube: slice is %s, must be whole seconds that divide an hour, at least %s", c.Slice, shortestSlice))
	}
	for name, d := range map[string]time.Duration{
		"rollout_deadline": c.RolloutDeadline, "empty_after": c.EmptyAfter, "sync_timeout": c.SyncTimeout, "known_timeout": c.KnownTimeout,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("kube: %s is %s, must be positive", name, d))
		}
	}
	for i, f := range c.Fields {
		if err := f.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("kube: field %d: %w", i, err))
		}
	}
	seen := map[string]bool{}
	for _, cluster := range c.Clusters {
		faults = append(faults, cluster.Validate())
		if seen[cluster.Name] {
			faults = append(faults, fmt.Errorf("cluster %q: another cluster has the same name", cluster.Name))
		}
		seen[cluster.Name] = true
	}
	return errors.Join(faults...)
}

// maxClusterName bounds the names of clusters and regions, in bytes.
const maxClusterName = 100

// Validate names every fault of a cluster's configuration at once, without contacting it.
func (c ClusterConfig) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("cluster %q: "+format, append([]any{c.Name}, args...)...))
	}
	if c.Name == "" || len(c.Name) > maxClusterName || strings.ContainsAny(c.Name, "/ \t\n") {
		fault("a name is needed, of at most %d bytes, without slashes and white space", maxClusterName)
	}
	if len(c.Region) > maxClusterName {
		fault("region has %d bytes, at most %d are possible", len(c.Region), maxClusterName)
	}
	if c.InCluster == (c.Kubeconfig != "") {
		fault("give either a kubeconfig or in_cluster")
	}
	if c.InCluster && (c.Context != "" || len(c.AllowExec) > 0) {
		fault("context and allow_exec belong to a kubeconfig, not to in_cluster")
	}
	if c.QPS < 0 || c.Burst < 0 {
		fault("qps is %g and burst %d, must not be negative", c.QPS, c.Burst)
	}
	for _, kind := range c.Kinds {
		if !slices.Contains(Kinds(), kind) {
			fault("kind %q is none of %s", kind, strings.Join(Kinds(), ", "))
		}
	}
	return errors.Join(faults...)
}

// FindsTargets tells whether the kinds that are watched let Targets find any: Pods, or Services and EndpointSlices.
func (c ClusterConfig) FindsTargets() bool {
	return c.watches(kindPod) || c.watches(schema.KindService) && c.watches(kindEndpointSlice)
}

// watches tells whether a kind is to be watched.
func (c ClusterConfig) watches(kind string) bool {
	return len(c.Kinds) == 0 || slices.Contains(c.Kinds, kind)
}
