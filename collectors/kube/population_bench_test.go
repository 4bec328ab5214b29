//go:build bench

package kube_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// population is what a cluster is filled with: Deployments, each with so many pods, spread over namespaces.
type population struct{ namespaces, workloads, pods int }

// writers is how many requests are under way at a time.
const writers = 48

// fast is a client without a limit of its own, which speaks protobuf.
func fast(t *testing.T, p *plane) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.ContentType = -1, "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// unauditedPlane is a control plane that writes no audit log, which nobody would read here.
func unauditedPlane(t *testing.T, nodes int) *plane {
	t.Helper()
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(`{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return startPlane(t, nodes, "--audit-policy", policy)
}

// populate fills a cluster. What a controller manager, a scheduler and kwok would need many minutes for is written as they would, and they
// stay stopped: ReplicaSets with the Deployment as owner, pods with the ReplicaSet as owner, on nodes, running and ready.
func populate(t *testing.T, p *plane, size population) {
	t.Helper()
	client, begin := fast(t, p), time.Now()
	side(t, size.namespaces, func(ctx context.Context, i int) error {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(i), Labels: map[string]string{"team": fmt.Sprintf("team-%d", i%40)}}}
		_, err := client.CoreV1().Namespaces().Create(ctx, n, metav1.CreateOptions{})
		return err
	})
	side(t, size.namespaces, func(ctx context.Context, i int) error {
		for ; ; time.Sleep(100 * time.Millisecond) { // without it no pod is admitted
			if _, err := client.CoreV1().ServiceAccounts(namespaceName(i)).Get(ctx, "default", metav1.GetOptions{}); err == nil || ctx.Err() != nil {
				return err
			}
		}
	})
	for _, component := range []string{"controller-manager", "scheduler", "kwok"} {
		p.command(t, "stop "+component)
	}
	side(t, size.workloads, func(ctx context.Context, i int) error { return addWorkload(ctx, client, size, i) })
	t.Logf("%d workloads with %d pods were written in %.0f s", size.workloads, size.workloads*size.pods, time.Since(begin).Seconds())
}

func namespaceName(i int) string { return fmt.Sprintf("space-%d", i) }

// side does n things, some of them side by side.
func side(t *testing.T, n int, do func(ctx context.Context, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var next atomic.Int64
	var work sync.WaitGroup
	for range writers {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					t.Errorf("write into the cluster: %v", err)
					cancel()
				}
			}
		})
	}
	work.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// addWorkload writes a Deployment with its ReplicaSet and pods.
func addWorkload(ctx context.Context, client kubernetes.Interface, size population, i int) error {
	space, name, now := namespaceName(i%size.namespaces), fmt.Sprintf("web-%d", i), metav1.Now()
	labels := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop", "app.kubernetes.io/version": "1.4.2"}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": name}}
	replicas, template := int32(size.pods), webTemplate(labels, i)
	d, err := client.AppsV1().Deployments(space).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{"deployment.kubernetes.io/revision": "1"}},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable", LastTransitionTime: now, LastUpdateTime: now},
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable", LastTransitionTime: now, LastUpdateTime: now},
		},
	}
	if _, err := client.AppsV1().Deployments(space).UpdateStatus(ctx, d, metav1.UpdateOptions{}); err != nil {
		return err
	}
	set, err := client.AppsV1().ReplicaSets(space).Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-7d9c5b6f8d", Labels: labels, Annotations: d.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: selector, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for n := range size.pods {
		pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.Name = fmt.Sprintf("%s-%05d", set.Name, n)
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"})}
		pod.Spec.NodeName = fmt.Sprintf("node-%d", (i*size.pods+n)%nodesOf(size))
		if pod, err = client.CoreV1().Pods(space).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return err
		}
		pod.Status = runs(pod, now)
		if _, err := client.CoreV1().Pods(space).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// runs is what a kubelet says of a pod that is ready.
func runs(pod *corev1.Pod, now metav1.Time) corev1.PodStatus {
	s := corev1.PodStatus{Phase: corev1.PodRunning, HostIP: "10.0.0.1", PodIP: "10.244.1.7", PodIPs: []corev1.PodIP{{IP: "10.244.1.7"}}, StartTime: &now}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	yes := true
	for _, c := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:" + strings.Repeat("0", 64), ContainerID: "containerd://" + string(pod.UID),
			Ready: true, Started: &yes, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return s
}

// nodesOf is how many nodes carry a population.
func nodesOf(size population) int { return max(1, size.workloads*size.pods/20) }

// webTemplate is of the usual size: two containers with variables, volumes and probes.
func webTemplate(labels map[string]string, i int) corev1.PodTemplateSpec {
	spec := corev1.PodSpec{Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "web"}}}}}}
	for _, name := range []string{"main", "proxy"} {
		c := corev1.Container{
			Name: name, Image: fmt.Sprintf("registry.example/shop/%s:1.%d.0", name, i%50),
			Resources:    corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}},
			VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/web"}},
		}
		for _, key := range []string{"LOG_LEVEL", "DATABASE_HOST", "DATABASE_NAME", "REGION", "FEATURES"} {
			c.Env = append(c.Env, corev1.EnvVar{Name: key, Value: fmt.Sprintf("value-of-%d", i)})
		}
		spec.Containers = append(spec.Containers, c)
	}
	annotations := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "checksum/config": fmt.Sprintf("%064d", i)}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations}, Spec: spec}
}

// churn lets pods become unready and ready, so many a second, until the function that it returns is called, which tells how many.
func churn(t *testing.T, p *plane, rate int) (stop func() int) {
	t.Helper()
	client := fast(t, p)
	var work sync.WaitGroup
	var done atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	work.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			<-ticker.C
			work.Go(func() {
				workload := i / 2 % large.workloads
				patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"%s"}]}}`, []string{"False", "True"}[i%2])
				_, err := client.CoreV1().Pods(namespaceName(workload%large.namespaces)).Patch(ctx, fmt.Sprintf("web-%d-7d9c5b6f8d-00000", workload),
					types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
				switch {
				case err == nil:
					done.Add(1)
				case ctx.Err() == nil:
					t.Errorf("change a pod: %v", err)
				}
			})
		}
	})
	return func() int {
		cancel()
		work.Wait()
		return int(done.Load())
	}
}
