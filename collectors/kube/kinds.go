package kube

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubevalue/kubevalue/schema"
)

// Kinds that are watched for the sake of others, and not stored as resources of their own.
const (
	kindPod        = "Pod"
	kindReplicaSet = "ReplicaSet"
	// kindEndpointSlice tells which load balancers have something behind them, and where the metrics pages are that a Service asks to be read.
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

// whole reads all objects of a resource of version v1, as they are in lists of type L.
func whole[L any, P interface {
	*L
	runtime.Object
}](group, resource string) func(*Clients) source {
	of := kubeschema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
	return func(c *Clients) source {
		return source{
			list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				list := P(new(L))
				return list, c.Typed.list(ctx, of, o, list)
			},
			watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return c.Typed.watch(ctx, of, o)
			},
		}
	}
}

func metadataOnly(group, version, resource string) func(*Clients) source {
	return func(c *Clients) source {
		of := c.Metadata.Resource(kubeschema.GroupVersionResource{Group: group, Version: version, Resource: resource})
		return source{watch: of.Watch, list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return of.List(ctx, o) }}
	}
}

// kinds is every kind that can be watched. Where labels and annotations are enough, nothing else is asked for.
var kinds = []kind{
	{name: schema.KindNamespace, resource: "namespaces", early: true, convert: as(fromNamespace), source: metadataOnly("", "v1", "namespaces")},
	{name: schema.KindNode, resource: "nodes", early: true, convert: as(fromNode), source: whole[corev1.NodeList]("", "nodes")},
	{name: schema.KindApplication, group: "argoproj.io", resource: "applications", custom: true, early: true, convert: as(fromApplication)},
	{name: kindReplicaSet, group: "apps", resource: "replicasets", early: true, convert: as(fromReplicaSet), source: metadataOnly("apps", "v1", "replicasets")},
	{name: schema.KindDeployment, group: "apps", resource: "deployments", metered: true, convert: as(fromDeployment), source: whole[appsv1.DeploymentList]("apps", "deployments")},
	{name: schema.KindStatefulSet, group: "apps", resource: "statefulsets", metered: true, convert: as(fromStatefulSet), source: whole[appsv1.StatefulSetList]("apps", "statefulsets")},
	{name: schema.KindDaemonSet, group: "apps", resource: "daemonsets", metered: true, convert: as(fromDaemonSet), source: whole[appsv1.DaemonSetList]("apps", "daemonsets")},
	{name: kindEndpointSlice, group: "discovery.k8s.io", resource: "endpointslices", early: true, convert: as(fromEndpointSlice), source: whole[discoveryv1.EndpointSliceList]("discovery.k8s.io", "endpointslices")},
	{name: schema.KindCronJob, group: "batch", resource: "cronjobs", early: true, convert: as(fromCronJob), source: whole[batchv1.CronJobList]("batch", "cronjobs")},
	{name: schema.KindJob, group: "batch", resource: "jobs", convert: as(fromJob), source: whole[batchv1.JobList]("batch", "jobs")},
	{name: kindPod, resource: "pods", convert: as(fromPod), source: whole[corev1.PodList]("", "pods")},
	{name: schema.KindClaim, resource: "persistentvolumeclaims", convert: as(fromClaim), source: whole[corev1.PersistentVolumeClaimList]("", "persistentvolumeclaims")},
	{name: schema.KindVolume, resource: "persistentvolumes", convert: as(fromVolume), source: whole[corev1.PersistentVolumeList]("", "persistentvolumes")},
	{name: schema.KindService, resource: "services", convert: as(fromService), source: whole[corev1.ServiceList]("", "services")},
	{name: schema.KindManagedCluster, group: "cluster.x-k8s.io", resource: "clusters", custom: true, convert: as(fromManagedCluster)},
	{name: schema.KindQuota, resource: "resourcequotas", convert: as(fromQuota), source: whole[corev1.ResourceQuotaList]("", "resourcequotas")},
}

// Kinds lists the kinds that can be watched. Pods tell when a namespace is in use, ReplicaSets when a Deployment was rolled out.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}
