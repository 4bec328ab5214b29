package promquery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/schema"
)

type metrics struct {
	asked     *prometheus.CounterVec
	slices    *prometheus.CounterVec
	watermark *prometheus.GaugeVec
}

func newMetrics() metrics {
	return metrics{
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_promquery_questions_total",
			Help: "Questions to Prometheus servers about the slices of indicators, by result.",
		}, []string{"server", "result"}),
		slices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_promquery_slices_total",
			Help: "Slices that Prometheus servers told of, by state; a gap is one without samples, or with numbers that cannot be true.",
		}, []string{"server", "state"}),
		watermark: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubevalue_promquery_watermark_timestamp_seconds",
			Help: "Time up to which a Prometheus server has been asked for the slices of an indicator.",
		}, []string{"indicator"}),
	}
}

func (m metrics) count(p *plan, found []schema.Slice, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.asked.WithLabelValues(p.Server, result).Inc()
	for _, s := range found {
		m.slices.WithLabelValues(p.Server, string(s.State)).Inc()
	}
}
