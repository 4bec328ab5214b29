package scrape

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	pages    *prometheus.CounterVec
	problems *prometheus.CounterVec
	series   *prometheus.GaugeVec
}

func newMetrics() metrics {
	return metrics{
		pages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_scrape_pages_total",
			Help: "Metrics pages that were asked for, by result: ok, too_much, no_page or failed.",
		}, []string{"job", "result"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_scrape_samples_passed_over_total",
			Help: "Samples of counted series that were passed over, and series that were forgotten since there were too many, by reason.",
		}, []string{"job", "reason"}),
		series: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubevalue_scrape_series",
			Help: "Series that are remembered of a target.",
		}, []string{"job", "instance"}),
	}
}

func (m metrics) count(job string, p problems, err error) {
	result := "ok"
	switch {
	case errors.Is(err, ErrTooMuch):
		result = "too_much"
	case errors.Is(err, ErrNoPage):
		result = "no_page"
	case err != nil:
		result = "failed"
	}
	m.pages.WithLabelValues(job, result).Inc()
	for reason, n := range map[string]int{"not_a_count": p.notNumbers, "duplicate": p.duplicates, "stale": p.stale, "forgotten": p.forgotten} {
		m.problems.WithLabelValues(job, reason).Add(float64(n))
	}
}
