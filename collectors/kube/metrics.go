package kube

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests  *prometheus.CounterVec
	synced    *prometheus.GaugeVec
	contact   *prometheus.GaugeVec
	skew      *prometheus.GaugeVec
	objects   *prometheus.GaugeVec
	changes   *prometheus.CounterVec
	slices    *prometheus.CounterVec
	malformed *prometheus.CounterVec
	dropped   *prometheus.CounterVec
}

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubevalue_kube_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubevalue_kube_" + name, Help: help}, labels)
	}
	return metrics{
		requests:  counter("requests_total", "Lists and watches that were asked of a cluster, by outcome.", "cluster", "kind", "verb", "outcome"),
		synced:    gauge("synced", "Whether a kind has been read and is being watched: 1 or 0. One that the cluster does not serve has no series.", "cluster", "kind"),
		contact:   gauge("last_contact_timestamp_seconds", "When a cluster last gave a sign of life; 0: not yet.", "cluster"),
		skew:      gauge("clock_skew_seconds", "How far the clock of an API server is ahead of ours, negative when it is behind.", "cluster"),
		objects:   gauge("objects", "Objects that are followed.", "cluster", "kind"),
		changes:   counter("changes_total", "Resource changes that were recorded.", "cluster", "kind", "change"),
		slices:    counter("slices_total", "Slices of workloads that were recorded, by state.", "cluster", "state"),
		malformed: counter("malformed_objects_total", "Objects that a cluster sent and nobody could read.", "cluster", "kind"),
		dropped:   counter("records_dropped_total", "Records lost: refused by the sink, slice and consumption that it did not take for too long, and at the end those that it did not take any more.", "reason"),
	}
}

func (m metrics) register(r prometheus.Registerer) error {
	var faults []error
	for _, c := range []prometheus.Collector{m.requests, m.synced, m.contact, m.skew, m.objects, m.changes, m.slices, m.malformed, m.dropped} {
		faults = append(faults, r.Register(c))
	}
	return errors.Join(faults...)
}
