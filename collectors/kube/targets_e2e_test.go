//go:build e2e

package kube_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// TestE2EServicesAskForTheirEndpointsToBeRead has a real control plane make the EndpointSlices of a Service, and somebody look who has the least
// role for Services and EndpointSlices and sees nothing else.
func TestE2EServicesAskForTheirEndpointsToBeRead(t *testing.T) {
	p := startPlane(t, 2)
	cluster := kube.ClusterConfig{Name: "real", Region: "lab", Kubeconfig: p.viewer, Kinds: []string{"Service", "EndpointSlice"}}
	grant(t, p, kube.ClusterRole(cluster, nil))
	createNamespace(t, p, "shop", nil)
	must[*appsv1.Deployment](t)(p.client.AppsV1().Deployments("shop").Create(t.Context(), deployment("web", 3), metav1.CreateOptions{}))
	services := p.client.CoreV1().Services("shop")
	asks := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/path": "/stats"}
	for name, annotations := range map[string]map[string]string{"loud": asks, "mute": nil} {
		must[*corev1.Service](t)(services.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
			Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(5353)}, {Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)},
			}},
		}, metav1.CreateOptions{}))
	}
	c, _ := collect(t, &store{db: warehousetest.Open(t)}, cluster)
	awaitSynced(t, c)
	awaitTargets(t, p, c, 3, "loud http://%s:8080/stats")

	change(t, p, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(1)) })
	awaitTargets(t, p, c, 1, "loud http://%s:8080/stats")

	annotate := func(name string, annotations map[string]string) {
		t.Helper()
		eventually(t, "annotate "+name, func() bool {
			s, err := services.Get(t.Context(), name, metav1.GetOptions{})
			if err == nil {
				s.Annotations = annotations
				_, err = services.Update(t.Context(), s, metav1.UpdateOptions{})
			}
			return err == nil
		})
	}
	annotate("loud", nil)
	annotate("mute", map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9102"})
	awaitTargets(t, p, c, 1, "mute http://%s:9102/metrics")
	if err := services.Delete(t.Context(), "mute", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitTargets(t, p, c, 0, "")
}

// awaitTargets waits until the targets are those of n running pods, each in this form: the Service and, with the pod's address, the URL.
func awaitTargets(t *testing.T, p *plane, c *kube.Collector, n int, form string) {
	t.Helper()
	var want, got []string
	defer func() {
		if t.Failed() {
			t.Logf("targets are %q, want %q", got, want)
		}
	}()
	eventually(t, fmt.Sprintf("%d targets are known", n), func() bool {
		want, got = nil, nil
		pods, err := p.client.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false
		}
		for _, pod := range pods.Items {
			if form != "" && pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
				want = append(want, fmt.Sprintf(form, pod.Status.PodIP))
			}
		}
		for _, target := range c.Targets() {
			got = append(got, strings.TrimSpace(target.Pod+" "+target.Service+" "+target.URL))
		}
		slices.Sort(want)
		slices.Sort(got)
		return len(got) == n && slices.Equal(want, got)
	})
}
