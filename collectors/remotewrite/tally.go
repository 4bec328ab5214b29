package remotewrite

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	// longestGap is the longest time between two samples that are compared, as in Prometheus' own lookback.
	longestGap = 5 * time.Minute
	// settle is how long a slice has to stay unchanged after its end before it is handed over: shards of a sender are not in step.
	settle = 15 * time.Second
	// kept is how long slices and series can be corrected; Prometheus keeps samples for a receiver that is away for about two hours.
	kept = 3 * time.Hour
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
	open    map[key]*sum
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

// key names a slice of an indicator.
type key struct {
	indicator int
	start     int64
}

type sum struct {
	part, total float64
	measured    bool
	dirty       bool
	changed     time.Time
}

// results count samples.
type results struct{ counted, ignored, late int }

func newTally(counters *scrape.Counters) *tally {
	return &tally{counters: counters, series: map[string]*series{}, targets: map[string]*target{}, open: map[key]*sum{}}
}

// add counts the samples of a series.
func (t *tally) add(l labels.Labels, samples []prompb.Sample, now time.Time, n *results) {
	from := t.target(l, samples)
	of := t.counters.Uses(l)
	var s *series
	if len(of) > 0 {
		s = t.known(l.String(), of)
		t.unsaved = true
	}
	for _, sample := range samples {
		if s == nil || math.IsNaN(sample.Value) || math.IsInf(sample.Value, 0) || sample.Value < 0 || sample.Timestamp <= s.at {
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
			t.count(s.of, sample.Timestamp, more, now)
		}
	}
}

// known is what is known of a series.
func (t *tally) known(id string, of []scrape.Use) *series {
	s := t.series[id]
	if s == nil {
		s = &series{of: of, at: math.MinInt64}
		if was, ok := t.before[id]; ok {
			s.value, s.at = was.Value, was.At
			delete(t.before, id)
		}
		t.series[id] = s
	}
	return s
}

// target is where a series comes from; the samples say when it was scraped.
func (t *tally) target(l labels.Labels, samples []prompb.Sample) *target {
	id := l.Get("job") + "\x00" + l.Get("instance")
	from := t.targets[id]
	gap := longestGap.Milliseconds()
	for _, s := range samples {
		switch {
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

func (t *tally) count(of []scrape.Use, at int64, more float64, now time.Time) {
	for _, u := range of {
		k := key{u.Indicator, t.counters.Start(u.Indicator, time.UnixMilli(at)).Unix()}
		e := t.open[k]
		if e == nil {
			e = &sum{}
			t.open[k] = e
		}
		if u.Total {
			e.total += more
			e.measured = true
		} else {
			e.part += more
		}
		e.dirty, e.changed = true, now
	}
}

// changed are the slices that have ended, settled and changed, in order of time. They count as unchanged from then on.
func (t *tally) changed(now time.Time) []schema.Slice {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []schema.Slice
	for k, e := range t.open {
		start := time.Unix(k.start, 0).UTC()
		if now.Sub(start) > kept+time.Hour {
			delete(t.open, k)
			continue
		}
		if !e.dirty || !e.measured || now.Sub(e.changed) < settle || now.Before(t.counters.End(k.indicator, start)) {
			continue
		}
		e.dirty, t.unsaved = false, true
		out = append(out, t.counters.Slice(k.indicator, start, e.part, e.total, now))
	}
	slices.SortFunc(out, func(a, b schema.Slice) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.Indicator, b.Indicator)
	})
	t.sweep(now)
	return out
}

// again marks slices as changed that nobody has taken.
func (t *tally) again(batch []schema.Slice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range batch {
		if e := t.open[key{t.counters.Place(s), s.Start.Unix()}]; e != nil {
			e.dirty, t.unsaved = true, true
		}
	}
}

// sweep forgets series and targets that are long gone.
func (t *tally) sweep(now time.Time) {
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
