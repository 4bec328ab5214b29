package remotewrite

import (
	"maps"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/scrape"
)

// saved is all that a Receiver needs to go on counting after a restart as if there had been none.
type saved struct {
	// Counted says of which indicators it is: it is good for no others.
	Counted string                 `json:"counted"`
	Series  map[string]savedSeries `json:"series"`
	Targets map[string]target      `json:"targets"`
	Sums    scrape.SavedSums       `json:"sums"`
}

// savedSeries is the newest sample of a series; At is in milliseconds.
type savedSeries struct {
	Value float64 `json:"value"`
	At    int64   `json:"at"`
}

// restore goes on from what was saved, if that is there and of the same indicators.
func (r *Receiver) restore() {
	if r.cfg.State == "" {
		return
	}
	var s saved
	if err := collectors.ReadState(r.cfg.State, &s); err != nil {
		r.cfg.Logger.Error("counting begins anew: what was saved of remote write cannot be read", "error", err)
		return
	}
	if s.Counted == r.tally.counters.Fingerprint() {
		r.tally.restore(s, r.cfg.Now())
	}
}

// save keeps what was counted so far.
func (r *Receiver) save() {
	if r.cfg.State == "" {
		return
	}
	s, ok := r.tally.save()
	if !ok {
		return
	}
	if err := collectors.WriteState(r.cfg.State, s); err != nil {
		r.cfg.Logger.Error("what was counted of remote write is not saved, and would be lost with the process", "error", err)
	}
}

func (t *tally) restore(s saved, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = s.Series
	for id, from := range s.Targets {
		t.targets[id] = &from
	}
	t.sums.Restore(s.Sums, now)
}

// save is what was counted so far; false: nothing has changed since the last time.
func (t *tally) save() (saved, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sums, changed := t.sums.Save()
	if !t.unsaved && !changed {
		return saved{}, false
	}
	t.unsaved = false
	s := saved{Counted: t.counters.Fingerprint(), Series: map[string]savedSeries{}, Targets: map[string]target{}, Sums: sums}
	maps.Copy(s.Series, t.before)
	for id, one := range t.series {
		s.Series[id] = savedSeries{one.value, one.at}
	}
	for id, from := range t.targets {
		s.Targets[id] = *from
	}
	return s, true
}
