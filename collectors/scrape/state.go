package scrape

import (
	"time"

	"github.com/kubevalue/kubevalue/collectors"
)

// saved is all that a Collector needs to go on counting after a restart as if there had been none.
type saved struct {
	// Counted says of which indicators it is. Nothing of it is good for others: a series that they count and the old ones did not would
	// seem to be new, and all that it ever counted would count.
	Counted string                `json:"counted"`
	Targets map[string]savedPages `json:"targets"`
	Sums    SavedSums             `json:"sums"`
}

// savedPages is what is known of a target: when its newest page was read, and the values of the series that count for something.
type savedPages struct {
	Read   time.Time          `json:"read"`
	Values map[string]float64 `json:"values"`
}

// restore goes on from what was saved, if that is there and of the same indicators.
func (c *Collector) restore() {
	var s saved
	if c.cfg.State != "" {
		if err := collectors.ReadState(c.cfg.State, &s); err != nil {
			c.cfg.Logger.Error("counting begins anew: what was saved of scraped targets cannot be read", "error", err)
			s = saved{}
		}
	}
	if s.Counted != c.counters.Fingerprint() {
		s = saved{}
	}
	c.before = s.Targets
	c.sums.TellGaps(c.cfg.Now())
	c.sums.Restore(s.Sums, c.cfg.Now())
}

// save keeps what was counted so far. A page is in it with all that it has added, or not at all.
func (c *Collector) save() {
	if c.cfg.State == "" {
		return
	}
	c.counting.Lock()
	sums, changed := c.sums.Save()
	if !c.unsaved.Swap(false) && !changed {
		c.counting.Unlock()
		return
	}
	s := saved{Counted: c.counters.Fingerprint(), Targets: map[string]savedPages{}, Sums: sums}
	for key, p := range c.before {
		if c.cfg.Now().Sub(p.Read) < keptUnseen {
			s.Targets[key] = p
		}
	}
	for key, p := range c.pages {
		s.Targets[key] = p.saved()
	}
	c.counting.Unlock()
	if err := collectors.WriteState(c.cfg.State, s); err != nil {
		c.cfg.Logger.Error("what was counted of scraped targets is not saved, and would be lost with the process", "error", err)
	}
}

// pagesOf begins to read the pages of a target, or goes on.
func (c *Collector) pagesOf(j *job, key string, t target) *pages {
	p := newPages(c.counters, t.labels, j.Limits)
	c.counting.Lock()
	defer c.counting.Unlock()
	if was, ok := c.before[key]; ok {
		p.read, p.before = was.Read, was.Values
		delete(c.before, key)
	}
	c.pages[key] = p
	return p
}

// leave ends the reading of a target.
func (c *Collector) leave(key string, p *pages) {
	c.counting.Lock()
	defer c.counting.Unlock()
	if c.pages[key] == p { // and not those of one that came back
		delete(c.pages, key)
	}
}

func (p *pages) saved() savedPages {
	s := savedPages{Read: p.read, Values: map[string]float64{}}
	for text, value := range p.before {
		s.Values[text] = value
	}
	for text, one := range p.known {
		if one.known && len(one.of) > 0 {
			s.Values[text] = one.value
		}
	}
	return s
}
