package probe

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label result.
const (
	resultGood     = "good"
	resultBad      = "bad"
	resultNotTried = "not_tried"
)

type metrics struct {
	tries   *prometheus.CounterVec
	seconds *prometheus.GaugeVec
	expiry  *prometheus.GaugeVec
	dropped prometheus.Counter
}

func newMetrics() metrics {
	return metrics{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_probe_tries_total",
			Help: "Tries of a target, by result; those not tried say nothing about the target.",
		}, []string{"target", "group", "result"}),
		seconds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubevalue_probe_duration_seconds",
			Help: "Duration of a target's newest try.",
		}, []string{"target", "group"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubevalue_probe_tls_expiry_timestamp_seconds",
			Help: "When the first of the certificates that a target shows ends.",
		}, []string{"target", "group"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubevalue_probe_slices_dropped_total",
			Help: "Slices lost because the sink refused them, or did not take them for too long.",
		}),
	}
}

func (m metrics) register(r prometheus.Registerer) error {
	return errors.Join(r.Register(m.tries), r.Register(m.seconds), r.Register(m.expiry), r.Register(m.dropped))
}

func (m metrics) count(w *watched, result string) {
	m.tries.WithLabelValues(w.Name, w.Group, result).Inc()
}

func (m metrics) observe(w *watched, r Result) {
	result := resultBad
	if r.Good {
		result = resultGood
	}
	m.count(w, result)
	m.seconds.WithLabelValues(w.Name, w.Group).Set(r.Took.Seconds())
	if !r.TLSExpiry.IsZero() {
		m.expiry.WithLabelValues(w.Name, w.Group).Set(float64(r.TLSExpiry.Unix()))
	}
}
