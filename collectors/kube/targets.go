package kube

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// The annotations by which a pod asks for its metrics page to be read. Scrape is "true"; the port is the first one of its containers unless
// it says otherwise, the path /metrics and the scheme http.
const (
	annotationScrape = "prometheus.io/scrape"
	annotationPort   = "prometheus.io/port"
	annotationPath   = "prometheus.io/path"
	annotationScheme = "prometheus.io/scheme"
)

// Target is a running pod whose annotations ask for its metrics page to be read.
type Target struct {
	Cluster, Namespace, Pod string
	// URL is what the pod says, and nobody has checked it.
	URL string
}

// Targets are the pods of the clusters that ask for their metrics pages to be read, as far as they are known now, in order of
// cluster, namespace and pod. Those of a cluster that is away are those that it had.
func (c *Collector) Targets() []Target {
	var all []Target
	for _, one := range c.clusters {
		one.mu.Lock()
		for _, t := range one.targets {
			all = append(all, t)
		}
		one.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
	})
	return all
}

// targetURL is the page that a pod asks to be read, empty: none, or it does not run.
func targetURL(p *corev1.Pod) string {
	if p.Annotations[annotationScrape] != "true" || p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
		return ""
	}
	port := p.Annotations[annotationPort]
	for _, container := range p.Spec.Containers {
		if port == "" && len(container.Ports) > 0 {
			port = strconv.Itoa(int(container.Ports[0].ContainerPort))
		}
	}
	host := p.Status.PodIP
	if port != "" {
		host = net.JoinHostPort(host, port)
	}
	u := url.URL{Scheme: cmp.Or(p.Annotations[annotationScheme], "http"), Host: host, Path: cmp.Or(p.Annotations[annotationPath], "/metrics")}
	return bounded(u.String())
}

// setTarget takes note of whether a pod asks for its page to be read. Few do.
func (c *cluster) setTarget(id uid, o *object) {
	if o.pod.target == "" {
		delete(c.targets, id)
		return
	}
	c.targets[id] = Target{Cluster: c.cc.Name, Namespace: o.namespace, Pod: o.name, URL: o.pod.target}
}
