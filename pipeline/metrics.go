package pipeline

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/schema"
)

// metrics are the pipeline's own.
type metrics struct {
	received, refused, stored, quarantined *prometheus.CounterVec
	duplicates, retried                    prometheus.Counter
	attempts                               prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, p *Pipeline) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubevalue_pipeline_" + name, Help: help}, labels)
	}
	single := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "kubevalue_pipeline_" + name, Help: help})
	}
	m := &metrics{
		received:    counter("received_records_total", "Records that were acknowledged, by kind.", "kind"),
		refused:     counter("refused_records_total", "Records that were refused, by reason.", "reason"),
		stored:      counter("inserted_records_total", "Records that were stored, by kind.", "kind"),
		quarantined: counter("quarantined_records_total", "Records that can never be stored."),
		duplicates:  single("duplicates_total", "Events that were dropped because they, or a copy, were stored before."),
		retried:     single("retries_total", "Steps that failed and were tried again."),
		attempts: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kubevalue_pipeline_insert_seconds", Help: "Duration of attempts to store a run, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
	}
	m.quarantined.WithLabelValues() // a counter that begins at 0 has an increase
	for _, reason := range []string{"invalid", "full", "too_old", "error"} {
		m.refused.WithLabelValues(reason)
	}
	for _, kind := range []string{kindEvent, kindSlice, kindAlias, kindIncident, kindChange, kindFeedback, kindConsumption} {
		m.received.WithLabelValues(kind)
		m.stored.WithLabelValues(kind)
	}
	if reg == nil {
		return m, nil
	}
	gauge := func(name, help string, value func(Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kubevalue_pipeline_" + name, Help: help}, func() float64 { return value(p.Stats()) })
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.received, m.refused, m.stored, m.quarantined, m.duplicates, m.retried, m.attempts,
		gauge("spool_bytes", "Size of the spool on disk.", func(s Stats) float64 { return float64(s.Bytes) }),
		gauge("spool_max_bytes", "Size at which the spool is full.", func(s Stats) float64 { return float64(s.MaxBytes) }),
		gauge("spool_batches", "Batches that wait for the warehouse.", func(s Stats) float64 { return float64(s.Records) }),
		gauge("spool_oldest_age_seconds", "How long the oldest batch has waited for the warehouse.", func(s Stats) float64 { return s.Oldest.Seconds() }),
		gauge("lag_seconds", "How long the batch that was stored last had waited.", func(s Stats) float64 { return s.Lag.Seconds() }),
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) countReceived(b *schema.Batch) {
	m.received.WithLabelValues(kindEvent).Add(float64(len(b.Events)))
	m.received.WithLabelValues(kindSlice).Add(float64(len(b.Slices)))
	m.received.WithLabelValues(kindAlias).Add(float64(len(b.Aliases)))
	m.received.WithLabelValues(kindIncident).Add(float64(len(b.Incidents)))
	m.received.WithLabelValues(kindChange).Add(float64(len(b.Changes)))
	m.received.WithLabelValues(kindFeedback).Add(float64(len(b.Feedback)))
	m.received.WithLabelValues(kindConsumption).Add(float64(len(b.Consumption)))
}

func (m *metrics) countStored(out Outcome) {
	m.stored.WithLabelValues(kindEvent).Add(float64(out.Events))
	m.stored.WithLabelValues(kindSlice).Add(float64(out.Slices))
	m.stored.WithLabelValues(kindAlias).Add(float64(out.Aliases))
	m.stored.WithLabelValues(kindIncident).Add(float64(out.Incidents))
	m.stored.WithLabelValues(kindChange).Add(float64(out.Changes))
	m.stored.WithLabelValues(kindFeedback).Add(float64(out.Feedback))
	m.stored.WithLabelValues(kindConsumption).Add(float64(out.Consumption))
	m.duplicates.Add(float64(out.Duplicates))
	m.quarantined.WithLabelValues().Add(float64(out.Quarantined))
}
