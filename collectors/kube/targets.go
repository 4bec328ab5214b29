package kube

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/kubevalue/kubevalue/schema"
)

// The annotations by which a pod asks for its metrics page to be read, or a Service for those of its endpoints. Scrape is "true"; the path is
// /metrics and the scheme http unless they say otherwise. So is the port the first one of the pod's containers, or the first one of TCP in the
// Service's EndpointSlice.
const (
	annotationScrape = "prometheus.io/scrape"
	annotationPort   = "prometheus.io/port"
	annotationPath   = "prometheus.io/path"
	annotationScheme = "prometheus.io/scheme"
)

// Target is a metrics page that annotations ask to be read: that of a running pod, or of an endpoint of a Service.
type Target struct {
	// Pod or Service is the one that asks; the other is empty.
	Cluster, Namespace, Pod, Service string
	// URL is what the annotations say, and nobody has checked it.
	URL string
}

// Targets are the metrics pages that annotations ask to be read, as far as they are known now: in order of cluster, those of pods before
// those of Services, then of namespace, name and URL. Those of a cluster that is away are those that it had.
func (c *Collector) Targets() []Target {
	var all []Target
	for _, one := range c.clusters {
		one.mu.Lock()
		all = one.addTargets(all)
		one.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Target) int {
		return cmp.Or(
			cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(min(len(a.Service), 1), min(len(b.Service), 1)),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Service, b.Service), cmp.Compare(a.URL, b.URL))
	})
	return all
}

// addTargets adds those of the cluster. Callers hold mu.
func (c *cluster) addTargets(all []Target) []Target {
	if c.readAsked() {
		c.kept = nil
	}
	if c.kept != nil {
		return append(all, c.kept...)
	}
	for _, t := range c.targets {
		all = append(all, t)
	}
	return c.endpointTargets(all)
}

// readAsked tells whether all that may ask has been read.
func (c *cluster) readAsked() bool {
	for _, kind := range []string{kindPod, schema.KindService, kindEndpointSlice} {
		if f := c.feeds[kind]; c.cc.watches(kind) && (f == nil || !f.synced && !f.absent) {
			return false
		}
	}
	return true
}

// page is where a metrics page is, but for the host. Port may be empty.
type page struct{ scheme, port, path string }

// pageOf is what annotations ask to be read; false: nothing.
func pageOf(annotations map[string]string) (page, bool) {
	return page{
		scheme: bounded(cmp.Or(annotations[annotationScheme], "http")), port: bounded(annotations[annotationPort]),
		path: bounded(cmp.Or(annotations[annotationPath], "/metrics")),
	}, annotations[annotationScrape] == "true"
}

// url is the page of a host. Port is its own one, unless another one is asked for; empty: it has none.
func (p page) url(host, port string) string {
	if port = cmp.Or(p.port, port); port != "" {
		host = net.JoinHostPort(host, port)
	}
	u := url.URL{Scheme: p.scheme, Host: host, Path: p.path}
	return bounded(u.String())
}

// targetURL is the page that a pod asks to be read, empty: none, or it does not run.
func targetURL(p *corev1.Pod) string {
	page, asks := pageOf(p.Annotations)
	if !asks || p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
		return ""
	}
	port := ""
	for _, container := range p.Spec.Containers {
		if port == "" && len(container.Ports) > 0 {
			port = strconv.Itoa(int(container.Ports[0].ContainerPort))
		}
	}
	return page.url(p.Status.PodIP, port)
}

// setTarget takes note of whether a pod asks for its page to be read. Few do.
func (c *cluster) setTarget(id uid, o *object) {
	if o.pod.target == "" {
		delete(c.targets, id)
		return
	}
	c.targets[id] = Target{Cluster: c.cc.Name, Namespace: o.namespace, Pod: o.name, URL: o.pod.target}
}

// asking is a Service that asks for the pages of its endpoints to be read.
type asking struct {
	page
	service spaceName
	// six: its endpoints are asked by IPv6. One that has both families has each of its pods twice.
	six bool
}

// askingOf is what a Service asks to be read, nil: nothing.
func askingOf(s *corev1.Service) *asking {
	page, asks := pageOf(s.Annotations)
	if !asks || s.DeletionTimestamp != nil {
		return nil
	}
	six := len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol
	return &asking{page, spaceName{bounded(s.Namespace), bounded(s.Name)}, six}
}

// setAsking takes note of whether a Service asks. Few do.
func (c *cluster) setAsking(id uid, asks *asking) {
	if asks == nil {
		delete(c.asking, id)
		return
	}
	c.asking[id] = *asks
}

// doors are the addresses of an EndpointSlice: few bytes, as all slices have theirs kept, whether or not a Service asks.
type doors struct {
	// packed are the addresses of the endpoints that are not about to end, of 4 bytes each, or of 16 when six.
	packed string
	six    bool
	// port is the first one of TCP; 0: there is none.
	port uint16
}

func doorsOf(e *discoveryv1.EndpointSlice) doors {
	d := doors{six: e.AddressType == discoveryv1.AddressTypeIPv6}
	var packed []byte
	for i := range e.Endpoints {
		one := &e.Endpoints[i]
		if ends := one.Conditions.Terminating; len(one.Addresses) == 0 || ends != nil && *ends {
			continue
		}
		if at, err := netip.ParseAddr(one.Addresses[0]); err == nil && at.Is6() == d.six {
			packed = append(packed, at.AsSlice()...)
		}
	}
	d.packed = string(packed)
	for _, port := range e.Ports {
		if tcp := port.Protocol == nil || *port.Protocol == corev1.ProtocolTCP; d.port == 0 && tcp && port.Port != nil {
			d.port = uint16(*port.Port)
		}
	}
	return d
}

// addresses are those that are packed.
func (d doors) addresses() (all []netip.Addr) {
	length := 4
	if d.six {
		length = 16
	}
	for packed := range slices.Chunk([]byte(d.packed), length) {
		if at, ok := netip.AddrFromSlice(packed); ok {
			all = append(all, at)
		}
	}
	return all
}

// endpointTargets adds the pages of the endpoints of all Services that ask. Callers hold mu.
func (c *cluster) endpointTargets(all []Target) []Target {
	by := make(map[spaceName]asking, len(c.asking))
	for _, asks := range c.asking {
		by[asks.service] = asks
	}
	if len(by) == 0 {
		return all
	}
	for _, b := range c.endpoints {
		asks, ok := by[b.service]
		if !ok || asks.six != b.six {
			continue
		}
		port := ""
		if b.port != 0 {
			port = strconv.Itoa(int(b.port))
		}
		for _, at := range b.addresses() {
			all = append(all, Target{Cluster: c.cc.Name, Namespace: b.service.namespace, Service: b.service.name, URL: asks.url(at.String(), port)})
		}
	}
	return all
}
