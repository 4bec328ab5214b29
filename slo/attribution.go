package slo

import (
	"math"
	"slices"
)

// Attribution divides what was consumed of a budget among incidents. Shares, budget and bad minutes of all parts sum
// to the whole.
type Attribution struct {
	// Parts are the incidents in the order given, those outside of the window with 0, and Unattributed last.
	Parts []AttributionPart `json:"parts"`
}

// AttributionPart is one incident's part: a slice's bad amount goes in equal parts to the incidents that it overlaps.
type AttributionPart struct {
	ID         string  `json:"id"`
	Class      string  `json:"class,omitempty"`
	Cause      Cause   `json:"cause,omitempty"`
	Share      float64 `json:"share"`           // of the budget consumed; the shares sum to 1
	Consumed   float64 `json:"budget_consumed"` // share x consumed
	BadMinutes float64 `json:"bad_minutes"`
}

// Share is the share of an incident, or of Unattributed; false when it is not listed.
func (a Attribution) Share(id string) (float64, bool) {
	for _, p := range a.Parts {
		if p.ID == id {
			return p.Share, true
		}
	}
	return 0, false
}

// CauseShares sums the shares by cause. Incidents without a cause and the unattributed part are under the empty one.
func (a Attribution) CauseShares() map[Cause]float64 {
	out := map[Cause]float64{}
	for _, p := range a.Parts {
		out[p.Cause] += p.Share
	}
	return out
}

// attribution is nil when nothing was consumed.
func (e *evaluation) attribution(s Status) *Attribution {
	if s.Consumed == nil || *s.Consumed == 0 {
		return nil
	}
	n := len(e.req.Incidents)
	bad, minutes := e.badOf()
	whole := sum(bad)
	if whole == 0 {
		return nil
	}
	shares, budget := make([]float64, n+1), make([]float64, n+1)
	for i := range bad {
		shares[i] = bad[i] / whole
	}
	settle(shares, 1)
	for i := range shares {
		budget[i] = shares[i] * *s.Consumed
	}
	settle(budget, *s.Consumed)
	settle(minutes, s.BadMinutes)

	a := &Attribution{}
	for i := range shares {
		p := AttributionPart{ID: Unattributed, Share: shares[i], Consumed: budget[i], BadMinutes: minutes[i]}
		if i < n {
			inc := e.req.Incidents[i]
			p.ID, p.Class, p.Cause = inc.ID, inc.Class, inc.Cause
		}
		a.Parts = append(a.Parts, p)
	}
	return a
}

// badOf is what each incident, and at last nobody, has of the window's bad events or slices, and of its bad minutes.
func (e *evaluation) badOf() (bad, minutes []float64) {
	n := len(e.req.Incidents)
	bad, minutes = make([]float64, n+1), make([]float64, n+1)
	for i, seg := range e.segments {
		if !e.window.covers(seg.span) || len(seg.exclusions) > 0 {
			continue
		}
		t := e.segment(i, true)
		to := seg.incidents
		if len(to) == 0 {
			to = []int{n}
		}
		for _, k := range to {
			bad[k] += e.o.amounts(t).bad / float64(len(to))
			minutes[k] += e.o.badMinutes(t, e.step) / float64(len(to))
		}
	}
	return bad, minutes
}

func sum(v []float64) float64 {
	total := 0.0
	for _, x := range v {
		total += x
	}
	return total
}

// settle makes parts that sum to the whole up to rounding sum to it exactly, in whatever order they are added: each
// becomes a multiple of the whole's last binary digit, and the largest takes the rest.
func settle(parts []float64, whole float64) {
	digit := math.Nextafter(whole, math.Inf(1)) - whole
	largest, rest := 0, whole
	for i := range parts {
		parts[i] = math.Floor(parts[i]/digit) * digit
		rest -= parts[i]
		if parts[i] > parts[largest] {
			largest = i
		}
	}
	parts[largest] += rest
}

// Spared is what exclusions kept out of the figures: a memo beside the budget, no part of it.
type Spared struct {
	// Consumed is how much more budget would be consumed without any exclusion (it can be negative: also good time is
	// excluded), nil when either is undefined.
	Consumed   *float64     `json:"budget_consumed"`
	BadMinutes float64      `json:"bad_minutes"`
	Parts      []SparedPart `json:"parts,omitempty"`
}

// SparedPart is one exclusion's part of the window. Slices under several exclusions are divided equally.
type SparedPart struct {
	Reason     string  `json:"reason"`
	Author     string  `json:"author,omitempty"`
	Slices     float64 `json:"slices"`
	BadMinutes float64 `json:"bad_minutes"`
}

// spared compares with the same window without exclusions.
func (e *evaluation) spared(s Status) Spared {
	var out Spared
	if len(e.req.Exclusions) == 0 {
		return out
	}
	parts := make([]SparedPart, len(e.req.Exclusions))
	for i, x := range e.req.Exclusions {
		parts[i] = SparedPart{Reason: x.Reason, Author: x.Author}
	}
	for i, seg := range e.segments {
		if !e.window.covers(seg.span) {
			continue
		}
		minutes := e.o.badMinutes(e.segment(i, true), e.step)
		for _, k := range seg.exclusions {
			n := float64(len(seg.exclusions))
			parts[k].Slices += float64(seg.len()*e.groups) / n
			parts[k].BadMinutes += minutes / n
		}
		if len(seg.exclusions) > 0 {
			out.BadMinutes += minutes
		}
	}
	out.Parts = slices.DeleteFunc(parts, func(p SparedPart) bool { return p.Slices == 0 })
	all := e.tally(e.window, func(segment) bool { return true })
	without := e.o.Figures(all, e.step, e.rest.len()*e.groups)
	if without.Consumed != nil && s.Consumed != nil {
		out.Consumed = new(*without.Consumed - *s.Consumed)
	}
	return out
}
