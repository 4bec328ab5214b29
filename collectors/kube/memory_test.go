package kube

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// usualPod is a pod as clusters are full of: two containers, some labels, volumes and conditions, and who manages which field.
func usualPod(i int) *corev1.Pod {
	created := metav1.NewTime(noon)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("web-7d9c5b6f8d-%05d", i), Namespace: fmt.Sprintf("team-%d", i%200), CreationTimestamp: created,
		UID:           types.UID(fmt.Sprintf("0b5e3c1a-3d2f-4c6b-9a51-%012d", i)),
		Labels:        map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "7d9c5b6f8d"},
		Annotations:   map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", FieldsV1: fields(1200)}, {Manager: "kubelet", FieldsV1: fields(1500)}},
	}}
	for c := range 2 {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{
			Name: fmt.Sprintf("c%d", c), Image: fmt.Sprintf("registry.example/team/web:%d", i%50),
			Env: []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}},
			VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets"}},
		})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: fmt.Sprintf("c%d", c), Image: "x", ImageID: "sha256:0123456789", ContainerID: fmt.Sprintf("containerd://%064d", i)})
	}
	p.Spec.Volumes = []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}
	p.Status.Phase = corev1.PodRunning
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: created})
	}
	return p
}

func fields(bytes int) *metav1.FieldsV1 {
	f := &metav1.FieldsV1{}
	f.SetRawBytes(make([]byte, bytes))
	return f
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkBytesPerPod compares what is kept of a pod with the store of a plain typed informer.
func BenchmarkBytesPerPod(b *testing.B) {
	const pods = 20_000
	for b.Loop() {
		before := heap()
		store := cache.NewStore(cache.MetaNamespaceKeyFunc)
		for i := range pods {
			if err := store.Add(usualPod(i)); err != nil {
				b.Fatal(err)
			}
		}
		typed := (heap() - before) / pods
		runtime.KeepAlive(store)
		before = heap()
		r := newRig(&testing.T{}, noon.Add(time.Hour))
		for i := range pods {
			if err := r.feeds[kindPod].Add(usualPod(i)); err != nil {
				b.Fatal(err)
			}
		}
		ours := (heap() - before) / pods
		runtime.KeepAlive(r)
		fmt.Printf("bench kube_bytes_per_pod_vs_typed value=%.0f unit=bytes baseline=%.0f ratio=%.4f\n", ours, typed, ours/typed)
	}
}
