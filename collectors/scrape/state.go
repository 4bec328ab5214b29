package scrape

import (
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// saved is all that a Collector needs to go on counting after a restart as if there had been none.
type saved struct {
	// Counted says of which indicators it is. Nothing of it is good for others: a series that they count and the old ones did not would
	// seem to be new, and all that it ever counted would count.
	Counted string                `json:"counted"`
	Targets map[string]savedPages `json:"targets"`
	// Open and Done are those of tally, by the places of indicators; Held are slices that the sink has not taken.
	Open [][]savedSum   `json:"open"`
	Done []time.Time    `json:"done"`
	Held []schema.Slice `json:"held"`
}

// savedPages is what is known of a target: when its newest page was read, and the values of the series that count for something.
type savedPages struct {
	Read   time.Time          `json:"read"`
	Values map[string]float64 `json:"values"`
}

type savedSum struct {
	Start time.Time `json:"start"`
	Part  float64   `json:"part"`
	Total float64   `json:"total"`
}

// fingerprint tells sets of indicators apart.
func fingerprint(all []*counted) string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name, c.revision)
	}
	return collectors.Revision(names)
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
	if s.Counted != fingerprint(c.indicators) {
		s = saved{}
	}
	c.before = s.Targets
	c.tally.restore(s)
}

// save keeps what was counted so far. A page is in it with all that it has added, or not at all.
func (c *Collector) save() {
	if c.cfg.State == "" || !c.unsaved.Swap(false) {
		return
	}
	c.counting.Lock()
	s := saved{Counted: fingerprint(c.indicators), Targets: map[string]savedPages{}}
	for key, p := range c.before {
		if c.cfg.Now().Sub(p.Read) < keptUnseen {
			s.Targets[key] = p
		}
	}
	for key, p := range c.pages {
		s.Targets[key] = p.saved()
	}
	c.tally.save(&s)
	c.counting.Unlock()
	if err := collectors.WriteState(c.cfg.State, s); err != nil {
		c.cfg.Logger.Error("what was counted of scraped targets is not saved, and would be lost with the process", "error", err)
	}
}

// pagesOf begins to read the pages of a target, or goes on.
func (c *Collector) pagesOf(j *job, key string, t target) *pages {
	p := newPages(c.indicators, t.labels, j.Limits)
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

// restore makes the slices that were under way go on; without any, what was before is not known.
func (t *tally) restore(s saved) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = s.Held
	for i, c := range t.indicators {
		t.done[i] = c.floor(t.now())
		if i >= len(s.Done) || i >= len(s.Open) {
			continue
		}
		if done := s.Done[i].UTC(); done.Before(t.done[i]) && t.now().Sub(done) < time.Hour {
			t.done[i] = done
		}
		for _, sum := range s.Open[i] {
			t.open[i][sum.Start.UTC()] = events{sum.Part, sum.Total, true}
		}
	}
}

func (t *tally) save(s *saved) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Done, s.Held = slices.Clone(t.done), t.held
	for i := range t.indicators {
		var sums []savedSum
		for start, e := range t.open[i] {
			sums = append(sums, savedSum{start, e.part, e.total})
		}
		s.Open = append(s.Open, sums)
	}
}
