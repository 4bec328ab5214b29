package remotewrite

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/kubevalue/kubevalue/collectors/scrape"
)

const (
	// longestGap is the longest time between two samples that are compared, as in Prometheus' own lookback.
	longestGap = 5 * time.Minute
	// kept is how long series are remembered, and slices can be corrected.
	kept = scrape.Correctable
	// furthest is how far ahead of our clock a sample may be, as in Prometheus itself; one from the far future would make all others late.
	furthest = 10 * time.Minute
	// maxSeries bounds the counted series that are remembered, and the targets; about 200 MB.
	maxSeries = 500_000
)

// tally adds up the events of all series.
type tally struct {
	counters *scrape.Counters

	mu      sync.Mutex
	series  map[string]*series
	targets map[string]*target
	// before are series from before a restart of which no sample has come since.
	before map[string]savedSeries
	// unsaved: something has changed since it was saved.
	unsaved bool
	sums    *scrape.Sums
	swept   time.Time
}

type series struct {
	of    []scrape.Use
	value float64
	at    int64 // milliseconds
}

// target is where series come from: it has been scraped without a long gap from Since until Last, in milliseconds.
type target struct {
	Since int64 `json:"since"`
	Last  int64 `json:"last"`
}

// results count samples.
type results struct{ counted, ignored, late, early, many int }

// timely leaves out samples from the future.
func (n *results) timely(samples []prompb.Sample, now time.Time) []prompb.Sample {
	last := now.Add(furthest).UnixMilli()
	return slices.DeleteFunc(samples, func(s prompb.Sample) bool {
		if s.Timestamp > last {
			n.early++
		}
		return s.Timestamp > last
	})
}

// scraped are those samples of a series that show that its target was read: markers of what is stale, and Prometheus' own series about a
// scrape, also come when it failed. What is first seen of a target after a failure would count from zero.
func scraped(l labels.Labels, samples []prompb.Sample) []prompb.Sample {
	name := l.Get(model.MetricNameLabel)
	if aboutScrapes[name] {
		return nil
	}
	failed := func(s prompb.Sample) bool { return value.IsStaleNaN(s.Value) || name == "up" && s.Value == 0 }
	if !slices.ContainsFunc(samples, failed) {
		return samples
	}
	return slices.DeleteFunc(slices.Clone(samples), failed)
}

// aboutScrapes are the series, beside up, that Prometheus adds to those of a target.
var aboutScrapes = map[string]bool{
	"scrape_duration_seconds": true, "scrape_samples_scraped": true, "scrape_samples_post_metric_relabeling": true, "scrape_series_added": true,
	"scrape_timeout_seconds": true, "scrape_sample_limit": true, "scrape_body_size_bytes": true,
}

func newTally(counters *scrape.Counters) *tally {
	return &tally{counters: counters, series: map[string]*series{}, targets: map[string]*target{}, sums: counters.Sums()}
}

// add counts the samples of a series.
func (t *tally) add(l labels.Labels, samples []prompb.Sample, now time.Time, n *results) {
	of := t.counters.Uses(l)
	if len(of) == 0 || len(samples) == 0 {
		n.ignored += len(samples)
		return
	}
	read := scraped(l, samples)
	if len(read) == 0 {
		n.ignored += len(samples)
		return
	}
	from, s := t.target(l, read), t.known(l, of)
	if from == nil || s == nil {
		n.many += len(samples)
		return
	}
	t.unsaved = true
	for _, sample := range samples {
		if math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) || sample.Value < 0 || sample.Timestamp < 0 || sample.Timestamp <= s.at {
			n.ignored++
			continue
		}
		more, measured := s.increase(sample, from)
		s.value, s.at = sample.Value, sample.Timestamp
		if time.UnixMilli(sample.Timestamp).Before(now.Add(-kept)) {
			n.late++
			continue
		}
		n.counted++
		if measured {
			for _, u := range s.of {
				t.sums.Add(u, time.UnixMilli(sample.Timestamp), more, now)
			}
		}
	}
}

// known is what is known of a series; nil: there are too many, or its labels are too long.
func (t *tally) known(l labels.Labels, of []scrape.Use) *series {
	id := l.String()
	s := t.series[id]
	if s == nil {
		if len(t.series) >= maxSeries || len(id) > scrape.DefaultLimits.SeriesBytes || l.Len() > scrape.DefaultLimits.Labels {
			return nil
		}
		s = &series{of: of, at: math.MinInt64}
		if was, ok := t.before[id]; ok {
			s.value, s.at = was.Value, was.At
			delete(t.before, id)
		}
		t.series[id] = s
	}
	return s
}

// target is where a series comes from; the samples say when it was scraped. Nil: there are too many.
func (t *tally) target(l labels.Labels, samples []prompb.Sample) *target {
	id := l.Get("job") + "\x00" + l.Get("instance")
	from := t.targets[id]
	gap := longestGap.Milliseconds()
	for _, s := range samples {
		switch {
		case from == nil && (len(t.targets) >= maxSeries || len(id) > scrape.DefaultLimits.SeriesBytes):
			return nil
		case from == nil:
			from = &target{s.Timestamp, s.Timestamp}
			t.targets[id] = from
		case s.Timestamp > from.Last+gap:
			from.Since, from.Last = s.Timestamp, s.Timestamp
		default:
			from.Last = max(from.Last, s.Timestamp)
			if s.Timestamp >= from.Since-gap {
				from.Since = min(from.Since, s.Timestamp)
			}
		}
	}
	return from
}

// increase is what a counter has counted since its last sample; false: there is nothing to count from.
func (s *series) increase(sample prompb.Sample, from *target) (float64, bool) {
	gap := longestGap.Milliseconds()
	if s.at == math.MinInt64 { // new: it counts from zero when its target was scraped before
		return sample.Value, sample.Timestamp > from.Since
	}
	switch {
	case sample.Timestamp-s.at > gap:
		return 0, false
	case sample.Value >= s.value:
		return sample.Value - s.value, true
	}
	return sample.Value, true // it began anew
}

// sweep forgets series and targets that are long gone.
func (t *tally) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.swept) < kept/4 {
		return
	}
	t.swept = now
	oldest := now.Add(-kept).UnixMilli()
	for id, s := range t.series {
		if s.at < oldest {
			delete(t.series, id)
		}
	}
	for id, s := range t.before {
		if s.At < oldest {
			delete(t.before, id)
		}
	}
	for id, from := range t.targets {
		if from.Last < oldest {
			delete(t.targets, id)
		}
	}
}
