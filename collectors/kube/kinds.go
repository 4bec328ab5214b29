package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"github.com/kubevalue/kubevalue/schema"
)

// Kinds that are watched for the sake of others, and not stored as resources of their own.
const (
	kindPod        = "Pod"
	kindReplicaSet = "ReplicaSet"
	// kindEndpointSlice tells which load balancers have something behind them.
	kindEndpointSlice = "EndpointSlice"
)

// kind is a kind of objects that can be watched.
type kind struct {
	name, group, resource string
	// early kinds are read before the others, which look things up in them.
	early bool
	// metered kinds are workloads whose availability is measured.
	metered bool
	// custom kinds are served by some clusters only; their source is made when they are found.
	custom  bool
	source  func(*Clients) source
	convert convert
}

// source reads and watches all objects of a kind.
type source struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// api is what typed clients of all kinds have in common.
type api[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func typed[L runtime.Object](a api[L]) source {
	return source{watch: a.Watch, list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return a.List(ctx, o)
	}}
}

// only restricts a source to the objects that fit a field selector.
func (s source) only(fields string) source {
	return source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = fields
			return s.list(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = fields
			return s.watch(ctx, o)
		},
	}
}

func metadataOnly(group, version, resource string) func(*Clients) source {
	return func(c *Clients) source {
		var a metadata.ResourceInterface = c.Metadata.Resource(kubeschema.GroupVersionResource{Group: group, Version: version, Resource: resource})
		return typed(a)
	}
}

// kinds is every kind that can be watched. Where labels and annotations are enough, nothing else is asked for.
var kinds = []kind{
	{name: schema.KindNamespace, resource: "namespaces", early: true, convert: as(fromNamespace), source: metadataOnly("", "v1", "namespaces")},
	{name: schema.KindNode, resource: "nodes", early: true, convert: as(fromNode),
		source: func(c *Clients) source { return typed(c.Typed.CoreV1().Nodes()) }},
	{name: schema.KindApplication, group: "argoproj.io", resource: "applications", custom: true, early: true, convert: as(fromApplication)},
	{name: kindReplicaSet, group: "apps", resource: "replicasets", early: true, convert: as(fromReplicaSet), source: metadataOnly("apps", "v1", "replicasets")},
	{name: schema.KindDeployment, group: "apps", resource: "deployments", metered: true, convert: as(fromDeployment),
		source: func(c *Clients) source { return typed(c.Typed.AppsV1().Deployments("")) }},
	{name: schema.KindStatefulSet, group: "apps", resource: "statefulsets", metered: true, convert: as(fromStatefulSet),
		source: func(c *Clients) source { return typed(c.Typed.AppsV1().StatefulSets("")) }},
	{name: schema.KindDaemonSet, group: "apps", resource: "daemonsets", metered: true, convert: as(fromDaemonSet),
		source: func(c *Clients) source { return typed(c.Typed.AppsV1().DaemonSets("")) }},
	{name: kindEndpointSlice, group: "discovery.k8s.io", resource: "endpointslices", early: true, convert: as(fromEndpointSlice),
		source: func(c *Clients) source { return typed(c.Typed.DiscoveryV1().EndpointSlices("")) }},
	{name: schema.KindCronJob, group: "batch", resource: "cronjobs", early: true, convert: as(fromCronJob),
		source: func(c *Clients) source { return typed(c.Typed.BatchV1().CronJobs("")) }},
	{name: schema.KindJob, group: "batch", resource: "jobs", convert: as(fromJob),
		source: func(c *Clients) source { return typed(c.Typed.BatchV1().Jobs("")) }},
	{name: kindPod, resource: "pods", convert: as(fromPod),
		source: func(c *Clients) source { return typed(c.Typed.CoreV1().Pods("")) }},
	{name: schema.KindClaim, resource: "persistentvolumeclaims", convert: as(fromClaim),
		source: func(c *Clients) source { return typed(c.Typed.CoreV1().PersistentVolumeClaims("")) }},
	{name: schema.KindVolume, resource: "persistentvolumes", convert: as(fromVolume),
		source: func(c *Clients) source { return typed(c.Typed.CoreV1().PersistentVolumes()) }},
	{name: schema.KindService, resource: "services", convert: as(fromService),
		source: func(c *Clients) source {
			return typed(c.Typed.CoreV1().Services("")).only("spec.type=" + string(corev1.ServiceTypeLoadBalancer))
		}},
	{name: schema.KindManagedCluster, group: "cluster.x-k8s.io", resource: "clusters", custom: true, convert: as(fromManagedCluster)},
	{name: schema.KindQuota, resource: "resourcequotas", convert: as(fromQuota),
		source: func(c *Clients) source { return typed(c.Typed.CoreV1().ResourceQuotas("")) }},
}

// Kinds lists the kinds that can be watched. Pods tell when a namespace is in use, ReplicaSets when a Deployment was rolled out.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}
