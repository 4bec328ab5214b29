package kube

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/schema"
)

// askingPod is a running pod with annotations, names and values in turn.
func askingPod(name, ip string, annotations ...string) *corev1.Pod {
	p := podOf(name, noon, corev1.PodRunning)
	p.Status.PodIP = ip
	p.Spec.Containers = []corev1.Container{{Name: "sidecar"}, {Name: "main", Ports: []corev1.ContainerPort{{ContainerPort: 8080}, {ContainerPort: 9090}}}}
	p.Annotations = map[string]string{"prometheus.io/scrape": "true"}
	for pair := range slices.Chunk(annotations, 2) {
		p.Annotations[pair[0]] = pair[1]
	}
	return p
}

// wantTargets gives what checks the names of the targets that are known.
func (r *rig) wantTargets(t *testing.T) func(want ...string) {
	c := &Collector{clusters: []*cluster{r.cluster}}
	return func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, named(c.Targets())); diff != "" {
			t.Errorf("targets differ (-want +got):\n%s", diff)
		}
	}
}

func TestPodsThatAskToBeReadAreTargets(t *testing.T) {
	r := newRig(t, noon)
	targets := r.wantTargets(t)
	pending := askingPod("pending", "")
	pending.Status.Phase = corev1.PodPending
	portless := askingPod("portless", "10.0.0.3")
	portless.Spec.Containers = nil
	r.sync(map[string][]any{kindPod: {
		askingPod("plain", "10.0.0.1"), askingPod("full", "fd00::2", "prometheus.io/port", "9102", "prometheus.io/path", "/m/all", "prometheus.io/scheme", "https"),
		portless, askingPod("unwilling", "10.0.0.4", "prometheus.io/scrape", "false"), pending, podOf("silent", noon, corev1.PodRunning),
	}})
	targets("c1/shop/full| https://[fd00::2]:9102/m/all", "c1/shop/plain| http://10.0.0.1:8080/metrics", "c1/shop/portless| http://10.0.0.3/metrics")

	r.put(kindPod, askingPod("pending", "10.0.0.5"))                                    // runs
	r.put(kindPod, askingPod("plain", "10.0.0.1", "prometheus.io/scrape", "no longer")) // thinks better of it
	leaving := askingPod("full", "fd00::2", "prometheus.io/port", "9102")
	leaving.DeletionTimestamp = &metav1.Time{Time: noon.Add(time.Second)}
	r.put(kindPod, leaving)
	r.delete(kindPod, portless)
	targets("c1/shop/pending| http://10.0.0.5:8080/metrics")

	r.list(kindPod) // gone while nobody watched
	targets()
}

// named are targets as texts.
func named(all []Target) (texts []string) {
	for _, t := range all {
		texts = append(texts, t.Cluster+"/"+t.Namespace+"/"+t.Pod+"|"+t.Service+" "+t.URL)
	}
	return texts
}

// inner is a Service of type ClusterIP with annotations, names and values in turn.
func inner(name string, annotations ...string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metaOf(name, noon), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
	s.Annotations = map[string]string{}
	for pair := range slices.Chunk(annotations, 2) {
		s.Annotations[pair[0]] = pair[1]
	}
	return s
}

// sliceOf has endpoints of a service at addresses, with ports of UDP and TCP.
func sliceOf(name, service string, family discoveryv1.AddressType, addresses ...string) *discoveryv1.EndpointSlice {
	e := &discoveryv1.EndpointSlice{ObjectMeta: metaOf(name, noon), AddressType: family}
	e.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	e.Ports = []discoveryv1.EndpointPort{
		{Port: new(int32(53)), Protocol: new(corev1.ProtocolUDP)}, {Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}, {Port: new(int32(9090))},
	}
	for _, at := range addresses {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{Addresses: []string{at}})
	}
	return e
}

func TestEndpointsOfServicesThatAskAreTargets(t *testing.T) {
	r := newRig(t, noon)
	targets := r.wantTargets(t)
	ending := sliceOf("web-2", "web", discoveryv1.AddressTypeIPv4, "10.0.0.8", "10.0.0.9")
	ending.Endpoints[0].Conditions.Terminating, ending.Endpoints[1].Conditions.Ready = new(true), new(false)
	portless := sliceOf("dns-1", "dns", discoveryv1.AddressTypeIPv4, "10.0.0.3")
	portless.Ports = portless.Ports[:1] // of UDP
	asks := []string{annotationScrape, "true"}
	web, own := inner("web", asks...), inner("own", append(asks, annotationPort, "9102", annotationPath, "/m/all", annotationScheme, "https")...)
	own.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
	r.sync(map[string][]any{
		kindEndpointSlice: {
			sliceOf("web-1", "web", discoveryv1.AddressTypeIPv4, "10.0.0.1", "10.0.0.2", "no address"), ending, portless,
			sliceOf("web-3", "web", discoveryv1.AddressTypeIPv6, "fd00::1", "fd00::2"), // the same pods once more
			sliceOf("own-4", "own", discoveryv1.AddressTypeIPv4, "10.0.1.1"), sliceOf("own-6", "own", discoveryv1.AddressTypeIPv6, "fd00::1:1"),
			sliceOf("out-1", "out", discoveryv1.AddressTypeFQDN, "out.example.com"), sliceOf("mute-1", "mute", discoveryv1.AddressTypeIPv4, "10.0.2.1"),
		},
		schema.KindService: {web, own, inner("dns", asks...), inner("out", asks...), inner("mute", annotationPort, "8080")},
		kindPod:            {askingPod("zebra", "10.0.0.1")},
	})
	const zebra = "c1/shop/zebra| http://10.0.0.1:8080/metrics"
	targets(zebra, "c1/shop/|dns http://10.0.0.3/metrics", "c1/shop/|own https://[fd00::1:1]:9102/m/all",
		"c1/shop/|web http://10.0.0.1:8080/metrics", "c1/shop/|web http://10.0.0.2:8080/metrics", "c1/shop/|web http://10.0.0.9:8080/metrics")

	r.put(kindEndpointSlice, sliceOf("web-1", "web", discoveryv1.AddressTypeIPv4, "10.0.0.5")) // rolled out
	r.delete(kindEndpointSlice, ending)
	r.put(schema.KindService, inner("own"))             // thinks better of it
	r.put(schema.KindService, inner("mute", asks...))   // wants it, too
	r.delete(schema.KindService, inner("dns", asks...)) // its slices stay a while
	targets(zebra, "c1/shop/|mute http://10.0.2.1:8080/metrics", "c1/shop/|web http://10.0.0.5:8080/metrics")

	r.list(schema.KindService, inner("web", asks...)) // the others have gone while nobody watched
	targets(zebra, "c1/shop/|web http://10.0.0.5:8080/metrics")
	if want(t, r); len(r.asking) != 1 {
		t.Errorf("%d services are kept that ask, want one", len(r.asking))
	}
}

func TestAServiceThatIsNoLoadBalancerAnyLongerHasGone(t *testing.T) {
	plain := inner("lb", annotationScrape, "true")
	r := newRig(t, noon.Add(time.Second))
	r.sync(map[string][]any{schema.KindService: {balancer(), inner("other")}, kindEndpointSlice: {endpoints("lb-1", true)}})
	known := newest(r.told())
	if len(known) != 1 || known[0].Name != "lb" {
		t.Fatalf("known are %+v, want the load balancer alone", known)
	}
	r.put(schema.KindService, plain)
	want(t, r, "Service/lb deleted at 1")
	r.put(schema.KindService, balancer())
	if got := r.told(); len(got) == 0 || got[0].Change != schema.ChangeCreated {
		t.Errorf("it is one again, and told is %+v", got)
	}
	again := newRig(t, noon.Add(time.Hour))
	again.adopt(known)
	again.sync(map[string][]any{schema.KindService: {plain}, kindEndpointSlice: {endpoints("lb-1", true)}})
	if got := again.told(); len(got) != 1 || got[0].Change != schema.ChangeDeleted || got[0].Exact() {
		t.Errorf("told is %+v, want that it went at some time since", got)
	}
	if len(again.asking) != 1 {
		t.Errorf("%d Services ask for their pages to be read, want 1", len(again.asking))
	}
}

// TestTargetsStayWhileAllIsReadAnew: what a target counts while it is none is lost.
func TestTargetsStayWhileAllIsReadAnew(t *testing.T) {
	r := newRig(t, noon)
	r.adopted = false // the warehouse is away
	targets := r.wantTargets(t)
	lists := map[string][]any{
		kindPod: {askingPod("a", "10.0.0.1")}, schema.KindService: {inner("web", annotationScrape, "true")},
		kindEndpointSlice: {sliceOf("web-1", "web", discoveryv1.AddressTypeIPv4, "10.0.0.5")},
	}
	r.sync(lists)
	pod, endpoint := "c1/shop/a| http://10.0.0.1:8080/metrics", "c1/shop/|web http://10.0.0.5:8080/metrics"
	targets(pod, endpoint)
	r.adopt(nil)
	targets(pod, endpoint)
	delete(lists, schema.KindService)
	r.sync(lists)
	targets(pod)
}
