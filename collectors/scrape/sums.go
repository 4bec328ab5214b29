package scrape

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// Sums adds up the events of indicators, slice by slice. A slice is handed over when it has ended and nothing was added for a while; what is
// added later corrects it.
type Sums struct {
	counters *Counters

	mu   sync.Mutex
	open map[key]*sum
	// done is, for each indicator, where the slices end that a gap was looked for; nil: gaps are not told.
	done    []time.Time
	unsaved bool
}

// key names a slice of an indicator, by its place and its start in seconds.
type key struct {
	indicator int
	start     int64
}

// sum is what was counted in a slice.
type sum struct {
	Part  float64 `json:"part"`
	Total float64 `json:"total"`
	// Measured says that there is a total, and something to count it from.
	Measured bool `json:"measured"`
	// Dirty ones have not been handed over.
	Dirty   bool      `json:"dirty"`
	Changed time.Time `json:"changed"`
}

// SavedSums are Sums as they are saved, of the same indicators.
type SavedSums struct {
	Open []savedSum  `json:"open"`
	Done []time.Time `json:"done,omitempty"`
}

type savedSum struct {
	Indicator int   `json:"indicator"`
	Start     int64 `json:"start"`
	sum
}

const (
	// settle is how long a slice stays unchanged after its end before it is handed over: a page may take its time, and shards of a sender
	// are not in step.
	settle = 15 * time.Second
	// Correctable is how long after its start a slice can be corrected at least; Prometheus keeps samples for a receiver that is away for
	// about two hours.
	Correctable = 3 * time.Hour
	// maxDirty bounds the slices that wait for the sink, about 10 MB; the oldest go first.
	maxDirty = 50_000
	// HandOverEvery is how often slices are handed over.
	HandOverEvery = 5 * time.Second
	// longestSleep is the longest time without a look at the clock after which slices that nobody measured are told as gaps.
	longestSleep = time.Hour
)

// Sums makes empty ones.
func (c *Counters) Sums() *Sums { return &Sums{counters: c, open: map[key]*sum{}} }

// TellGaps makes slices from a time on that nothing was measured in count as gaps once they have ended.
func (s *Sums) TellGaps(from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = nil
	for i := range s.counters.indicators {
		s.done = append(s.done, s.counters.start(i, from))
	}
}

// Add adds events at a time to the slice of an indicator that it lies in.
func (s *Sums) Add(u Use, at time.Time, more float64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{u.Indicator, s.counters.start(u.Indicator, at).Unix()}
	e := s.open[k]
	if e == nil {
		e = &sum{}
		s.open[k] = e
	}
	if u.Total {
		e.Total += more
		e.Measured = true
	} else {
		e.Part += more
	}
	e.Dirty, e.Changed, s.unsaved = true, now, true
}

// due are the slices that have ended, settled and changed, in order of time. They count as unchanged from then on.
func (s *Sums) due(now time.Time) []schema.Slice {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.findGaps(now)
	var out []schema.Slice
	for k, e := range s.open {
		start := time.Unix(k.start, 0).UTC()
		length := s.counters.indicators[k.indicator].Slice
		told := e.Measured || s.done != nil
		switch {
		case now.Sub(start) > Correctable+time.Hour && (!e.Dirty || !told):
			delete(s.open, k)
		case e.Dirty && told:
			if now.Before(start.Add(length+settle)) || now.Sub(e.Changed) < settle && !e.Changed.After(now) {
				continue
			}
			e.Dirty, s.unsaved = false, true
			out = append(out, s.counters.slice(k.indicator, start, *e, now))
		}
	}
	slices.SortFunc(out, func(a, b schema.Slice) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.Indicator, b.Indicator)
	})
	return out[max(0, len(out)-maxDirty):]
}

// findGaps notes the slices that have ended and that nothing was measured in.
func (s *Sums) findGaps(now time.Time) {
	for i, done := range s.done {
		length := s.counters.indicators[i].Slice
		if behind := s.counters.start(i, now.Add(-length-settle)); behind.Sub(done) > longestSleep { // the machine was asleep
			done = behind
		}
		for ; !now.Before(done.Add(length + settle)); done = done.Add(length) {
			if k := (key{i, done.Unix()}); s.open[k] == nil {
				s.open[k] = &sum{Dirty: true}
			}
			s.unsaved = true
		}
		s.done[i] = done
	}
}

// again marks slices as changed that nobody has taken.
func (s *Sums) again(batch []schema.Slice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range batch {
		if e := s.open[key{s.counters.place(one), one.Start.Unix()}]; e != nil {
			e.Dirty, s.unsaved = true, true
		}
	}
}

// HandOver hands over the slices that are due. Those that the sink does not take are due again, but for those that it refuses for ever.
func (s *Sums) HandOver(ctx context.Context, sink collectors.Sink, now time.Time, logger *slog.Logger) {
	batch := s.due(now)
	if len(batch) == 0 {
		return
	}
	err := sink.Append(ctx, schema.Batch{Slices: batch})
	if refused, ok := errors.AsType[*collectors.BatchError](err); ok {
		logger.Error("counted slices are dropped: the pipeline refuses them", "slices", len(refused.Records), "error", err)
		bad := map[int]bool{}
		for _, r := range refused.Records {
			bad[r.Index] = true
		}
		var good []schema.Slice
		for i, one := range batch {
			if !bad[i] {
				good = append(good, one)
			}
		}
		if batch, err = good, nil; len(good) > 0 {
			err = sink.Append(ctx, schema.Batch{Slices: good})
		}
	}
	if err != nil {
		logger.Warn("counted slices wait for the sink", "slices", len(batch), "error", err)
		s.again(batch)
	}
}

// Save is what was counted so far; changed says whether it is anything new since the last time.
func (s *Sums) Save() (saved SavedSums, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, s.unsaved = s.unsaved, false
	for k, e := range s.open {
		saved.Open = append(saved.Open, savedSum{k.indicator, k.start, *e})
	}
	saved.Done = slices.Clone(s.done)
	return saved, changed
}

// Restore goes on from what was saved. Of gaps, those of the last hour are looked for.
func (s *Sums) Restore(saved SavedSums, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range saved.Open {
		if one.Indicator >= 0 && one.Indicator < len(s.counters.indicators) {
			s.open[key{one.Indicator, one.Start}] = &one.sum
		}
	}
	for i := range s.done {
		if i < len(saved.Done) && saved.Done[i].Before(s.done[i]) && now.Sub(saved.Done[i]) < longestSleep {
			s.done[i] = saved.Done[i].UTC()
		}
	}
}
