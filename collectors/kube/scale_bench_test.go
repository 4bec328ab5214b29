//go:build bench

package kube_test

import (
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
)

// large is what one cluster has at most, and what figures of memory are given for.
var large = population{namespaces: 200, workloads: 5_000, pods: 4}

const largeNodes = 1_000

// informersOf are the informers of the kinds that are compared.
func informersOf(f informers.SharedInformerFactory) map[string]func() cache.SharedIndexInformer {
	core, apps, batch := f.Core().V1(), f.Apps().V1(), f.Batch().V1()
	return map[string]func() cache.SharedIndexInformer{
		schema.KindNamespace: core.Namespaces().Informer, schema.KindNode: core.Nodes().Informer, "Pod": core.Pods().Informer,
		schema.KindClaim: core.PersistentVolumeClaims().Informer, schema.KindQuota: core.ResourceQuotas().Informer,
		"ReplicaSet": apps.ReplicaSets().Informer, schema.KindDeployment: apps.Deployments().Informer,
		"CronJob": batch.CronJobs().Informer, "PersistentVolume": core.PersistentVolumes().Informer, "Service": core.Services().Informer,
		"EndpointSlice":        f.Discovery().V1().EndpointSlices().Informer,
		schema.KindStatefulSet: apps.StatefulSets().Informer, schema.KindDaemonSet: apps.DaemonSets().Informer, schema.KindJob: batch.Jobs().Informer,
	}
}

// comparedKinds are those of the collector that plain informers can watch, too.
func comparedKinds() (names []string) {
	all := informersOf(informers.NewSharedInformerFactory(nil, 0))
	for _, kind := range kube.Kinds() {
		if all[kind] != nil {
			names = append(names, kind)
		}
	}
	return names
}

// TestBenchScale compares the collector with plain informers of client-go on the same large cluster, each a process of its own.
func TestBenchScale(t *testing.T) {
	p := unauditedPlane(t, largeNodes)
	populate(t, p, large)
	pods := float64(large.workloads * large.pods)

	only := kube.ClusterConfig{Name: "large", Kubeconfig: p.kubeconfig, Kinds: []string{"Pod"}}
	ours, typed := heapOf(t, order{Clusters: []kube.ClusterConfig{only}}), heapOf(t, order{Typed: true, Clusters: []kube.ClusterConfig{only}})
	measure("kube_bytes_per_pod_vs_typed", "bytes", ours/pods, typed/pods)

	all := kube.ClusterConfig{Name: "large", Kubeconfig: p.kubeconfig, Kinds: comparedKinds()}
	changes := filepath.Join(t.TempDir(), "changes.json")
	first := watching(t, order{Clusters: []kube.ClusterConfig{all}, Changes: changes})
	mine := first.awaitSynced(t, 1)
	plain := watching(t, order{Typed: true, Clusters: []kube.ClusterConfig{all}})
	theirs := plain.awaitSynced(t, 1)
	t.Logf("%d objects, %d for the informers", mine.Objects, theirs.Objects)
	measure("kube_initial_sync_vs_typed", "s", mine.Seconds, theirs.Seconds)
	peak, plainPeak := first.memory(t, "VmHWM"), plain.memory(t, "VmHWM")

	steady := underChange(t, p, first, plain)
	measure("kube_cpu_20_changes_vs_typed", "cores", steady.cores, steady.plainCores)
	measure("kube_rss_5000_workloads_vs_typed", "MiB", steady.rss, steady.plainRSS)
	measure("kube_sync_peak_vs_typed", "MiB", peak/mebibyte, plainPeak/mebibyte)
	mine, theirs = first.ask(t, "heap"), plain.ask(t, "heap")
	objects := float64(mine.Objects)
	measure("kube_bytes_per_object_vs_typed", "bytes", float64(mine.Heap-mine.Idle)/objects, float64(theirs.Heap-theirs.Idle)/objects)
	plain.stop(t)
	first.stop(t)

	for name, lists := range map[string]bool{"kube_restart_peak_vs_steady": false, "kube_restart_by_lists_peak_vs_steady": true} {
		again := watching(t, order{Clusters: []kube.ClusterConfig{all}, Known: changes, Lists: lists})
		again.awaitSynced(t, 1)
		time.Sleep(settle)
		if r := again.ask(t, "report"); r.Changes > 100 {
			t.Errorf("after a restart without a change in the cluster %d changes were recorded", r.Changes)
		}
		measure(name, "MiB", again.memory(t, "VmHWM")/mebibyte, steady.rss)
		again.stop(t)
	}
}

const mebibyte = 1 << 20

// heapOf is what lives on the heap of a process for what it watches, in bytes.
func heapOf(t *testing.T, o order) float64 {
	t.Helper()
	w := watching(t, o)
	w.awaitSynced(t, 1)
	time.Sleep(5 * time.Second) // what was recorded at first is handed over
	r := w.ask(t, "heap")
	w.stop(t)
	return float64(r.Heap) - float64(r.Idle)
}

// load is what two processes need while pods change.
type load struct{ cores, plainCores, rss, plainRSS float64 }

// underChange lets 20 pods a second change, for long enough that the slices of some minutes are cut.
func underChange(t *testing.T, p *plane, ours, plain *process) load {
	t.Helper()
	const span = 130 * time.Second
	stop := churn(t, p, 20)
	time.Sleep(settle)
	begin, mine, theirs := time.Now(), ours.cpu(t), plain.cpu(t)
	time.Sleep(span)
	elapsed := time.Since(begin).Seconds()
	l := load{
		cores: (ours.cpu(t) - mine).Seconds() / elapsed, plainCores: (plain.cpu(t) - theirs).Seconds() / elapsed,
		rss: ours.memory(t, "VmRSS") / mebibyte, plainRSS: plain.memory(t, "VmRSS") / mebibyte,
	}
	if n := stop(); n < int(0.9*20*elapsed) {
		t.Errorf("%d pods were changed in %.0f s, want 20 a second", n, elapsed)
	}
	return l
}
