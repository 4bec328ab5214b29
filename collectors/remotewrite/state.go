package remotewrite

import (
	"time"

	"github.com/kubevalue/kubevalue/collectors"
)

// saved is all that a Receiver needs to go on counting after a restart as if there had been none.
type saved struct {
	// Counted says of which indicators it is: it is good for no others.
	Counted string                 `json:"counted"`
	Series  map[string]savedSeries `json:"series"`
	Targets map[string]target      `json:"targets"`
	// Open are the slices that can still be corrected.
	Open []savedSum `json:"open"`
}

// savedSeries is the newest sample of a series; At is in milliseconds.
type savedSeries struct {
	Value float64 `json:"value"`
	At    int64   `json:"at"`
}

type savedSum struct {
	// Indicator is its place among those counted; Start is in seconds.
	Indicator int     `json:"indicator"`
	Start     int64   `json:"start"`
	Part      float64 `json:"part"`
	Total     float64 `json:"total"`
	Measured  bool    `json:"measured"`
	// Dirty ones have not been handed over.
	Dirty   bool      `json:"dirty"`
	Changed time.Time `json:"changed"`
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
		r.tally.restore(s)
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

func (t *tally) restore(s saved) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = s.Series
	for id, from := range s.Targets {
		t.targets[id] = &from
	}
	for _, one := range s.Open {
		t.open[key{one.Indicator, one.Start}] = &sum{one.Part, one.Total, one.Measured, one.Dirty, one.Changed}
	}
}

// save is what was counted so far; false: nothing has changed since the last time.
func (t *tally) save() (saved, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.unsaved {
		return saved{}, false
	}
	t.unsaved = false
	s := saved{Counted: t.counters.Fingerprint(), Series: map[string]savedSeries{}, Targets: map[string]target{}}
	for id, one := range t.before {
		s.Series[id] = one
	}
	for id, one := range t.series {
		s.Series[id] = savedSeries{one.value, one.at}
	}
	for id, from := range t.targets {
		s.Targets[id] = *from
	}
	for k, e := range t.open {
		s.Open = append(s.Open, savedSum{k.indicator, k.start, e.part, e.total, e.measured, e.dirty, e.changed})
	}
	return s, true
}
