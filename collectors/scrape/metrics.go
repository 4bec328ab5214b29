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
		}, []string{"scrape_job", "result"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_scrape_samples_passed_over_total",
			Help: "Samples of counted series that were passed over, and series that were forgotten since there were too many, by reason.",
		}, []string{"scrape_job", "reason"}),
		series: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubevalue_scrape_series",
			Help: "Series that are remembered of a target.",
		}, []string{"scrape_job", "target"}),
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

// targetsTold says how many targets of a job could be read when that was last tried.
var targetsTold = prometheus.NewDesc("kubevalue_scrape_targets", "Targets, by whether their page could be read at the newest try: ok or failing; or left_out, as there are too many.", []string{"scrape_job", "state"}, nil)

// tally counts the targets of a collector when somebody asks.
type tally struct{ *Collector }

// Describe says what Collect tells.
func (tally) Describe(to chan<- *prometheus.Desc) { to <- targetsTold }

// Collect counts the targets as they stand.
func (t tally) Collect(to chan<- prometheus.Metric) {
	t.standing.Lock()
	defer t.standing.Unlock()
	ok, failing := map[string]int{}, map[string]int{}
	for _, s := range t.standing.of {
		if s.Err == nil {
			ok[s.Job]++
		} else {
			failing[s.Job]++
		}
	}
	for _, j := range t.jobs {
		for state, n := range map[string]int{"ok": ok[j.Name], "failing": failing[j.Name], "left_out": len(t.standing.leftOut[j.Name])} {
			to <- prometheus.MustNewConstMetric(targetsTold, prometheus.GaugeValue, float64(n), j.Name, state)
		}
	}
}
