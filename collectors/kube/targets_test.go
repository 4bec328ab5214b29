package kube

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// asking is a running pod with annotations, names and values in turn.
func asking(name, ip string, annotations ...string) *corev1.Pod {
	p := podOf(name, noon, corev1.PodRunning)
	p.Status.PodIP = ip
	p.Spec.Containers = []corev1.Container{{Name: "sidecar"}, {Name: "main", Ports: []corev1.ContainerPort{{ContainerPort: 8080}, {ContainerPort: 9090}}}}
	p.Annotations = map[string]string{"prometheus.io/scrape": "true"}
	for pair := range slices.Chunk(annotations, 2) {
		p.Annotations[pair[0]] = pair[1]
	}
	return p
}

func TestPodsThatAskToBeReadAreTargets(t *testing.T) {
	r := newRig(t, noon)
	c := &Collector{clusters: []*cluster{r.cluster}}
	targets := func(want ...string) {
		t.Helper()
		var got []string
		for _, one := range c.Targets() {
			got = append(got, one.Cluster+"/"+one.Namespace+"/"+one.Pod+" "+one.URL)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("targets differ (-want +got):\n%s", diff)
		}
	}
	pending := asking("pending", "")
	pending.Status.Phase = corev1.PodPending
	portless := asking("portless", "10.0.0.3")
	portless.Spec.Containers = nil
	r.sync(map[string][]any{kindPod: {
		asking("plain", "10.0.0.1"), asking("full", "fd00::2", "prometheus.io/port", "9102", "prometheus.io/path", "/m/all", "prometheus.io/scheme", "https"),
		portless, asking("unwilling", "10.0.0.4", "prometheus.io/scrape", "false"), pending, podOf("silent", noon, corev1.PodRunning),
	}})
	targets("c1/shop/full https://[fd00::2]:9102/m/all", "c1/shop/plain http://10.0.0.1:8080/metrics", "c1/shop/portless http://10.0.0.3/metrics")

	r.put(kindPod, asking("pending", "10.0.0.5"))                                    // runs
	r.put(kindPod, asking("plain", "10.0.0.1", "prometheus.io/scrape", "no longer")) // thinks better of it
	leaving := asking("full", "fd00::2", "prometheus.io/port", "9102")
	leaving.DeletionTimestamp = &metav1.Time{Time: noon.Add(time.Second)}
	r.put(kindPod, leaving)
	r.delete(kindPod, portless)
	targets("c1/shop/pending http://10.0.0.5:8080/metrics")

	r.list(kindPod) // gone while nobody watched
	targets()
}
