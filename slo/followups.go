package slo

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// FollowUp is work that an incident led to.
type FollowUp struct {
	Incident string
	Done     time.Time // zero while it is open
}

// FollowUpStudy asks, for each class of incidents, whether the follow-ups on them helped.
type FollowUpStudy struct {
	Incidents []Incident
	FollowUps []FollowUp
	// From is since when incidents have been recorded; Now is until when.
	From, Now time.Time
	// Longest bounds the length of the periods compared; 0 for 90 days.
	Longest time.Duration
	// Seed makes the permutation tests repeatable.
	Seed uint64
}

// Verdict on follow-ups.
type Verdict string

// The verdicts: improved and worsened need both the interval of the rate ratio and the permutation test to agree at
// 95 %.
const (
	Improved   Verdict = "improved"
	Worsened   Verdict = "worsened"
	CannotTell Verdict = "cannot tell"
)

// FollowUpEffect compares a class of incidents before its first incident that led to done follow-ups with after all of
// them were done, over equal lengths. The triggering incident and the repair in between are left out, since an incident
// that triggers work is by itself a bad time. Classes without follow-ups are the control: the rate ratio is the class's
// own ratio over theirs.
type FollowUpEffect struct {
	Class  string   `json:"class"`
	Before Interval `json:"before"`
	After  Interval `json:"after"`
	Done   int      `json:"followups_done"`
	Open   int      `json:"followups_open"`

	IncidentsBefore int     `json:"incidents_before"`
	IncidentsAfter  int     `json:"incidents_after"`
	DowntimeBefore  float64 `json:"downtime_before_minutes"`
	DowntimeAfter   float64 `json:"downtime_after_minutes"`
	// ControlBefore and ControlAfter count the incidents of classes without follow-ups in the same periods.
	ControlBefore int  `json:"control_before"`
	ControlAfter  int  `json:"control_after"`
	Controlled    bool `json:"controlled"` // there were control incidents in both periods

	// RateRatio is incidents after / before, divided by the control's when there is one; nil when a denominator is 0. Low
	// and High bound it at 95 %, exactly (conditional on the totals); High is nil when unbounded.
	RateRatio *float64 `json:"rate_ratio"`
	Low       float64  `json:"low"`
	High      *float64 `json:"high"`
	// PIncidents and PDowntime are two-sided permutation tests of no change.
	PIncidents float64 `json:"p_incidents"`
	PDowntime  float64 `json:"p_downtime"`

	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"`
}

// permutations of each test; p-values have a resolution of one part in as many.
const permutations = 9999

// Evaluate compares each class that has follow-ups, in order of name.
func (s FollowUpStudy) Evaluate() ([]FollowUpEffect, error) {
	if !s.From.Before(s.Now) {
		return nil, fmt.Errorf("follow-ups from %s to %s: the interval is empty or reversed", s.From.UTC().Format(time.RFC3339), s.Now.UTC().Format(time.RFC3339))
	}
	if s.Longest == 0 {
		s.Longest = 90 * day
	}
	byID := map[string]Incident{}
	for _, i := range s.Incidents {
		if err := i.check(); err != nil {
			return nil, err
		}
		byID[i.ID] = i
	}
	works := map[string]*work{}
	for _, f := range s.FollowUps {
		i, ok := byID[f.Incident]
		if !ok {
			return nil, fmt.Errorf("follow-up of incident %q, which is not there", f.Incident)
		}
		w := works[i.Class]
		if w == nil {
			w = &work{}
			works[i.Class] = w
		}
		w.add(i, f)
	}
	var out []FollowUpEffect
	for _, class := range slices.Sorted(maps.Keys(works)) {
		out = append(out, s.class(class, works))
	}
	return out, nil
}

// work is what was done about a class.
type work struct {
	done, open   int
	trigger, end time.Time // start of the first triggering incident, end of the last follow-up
}

func (w *work) add(i Incident, f FollowUp) {
	if f.Done.IsZero() {
		w.open++
		return
	}
	w.done++
	if w.trigger.IsZero() || i.From.Before(w.trigger) {
		w.trigger = i.From
	}
	if f.Done.After(w.end) {
		w.end = f.Done
	}
}

func (s FollowUpStudy) class(class string, works map[string]*work) FollowUpEffect {
	w := works[class]
	e := FollowUpEffect{Class: class, Done: w.done, Open: w.open, Verdict: CannotTell, PIncidents: 1, PDowntime: 1}
	if w.done == 0 {
		e.Reason = "none of its follow-ups is done yet"
		return e
	}
	length := min(w.trigger.Sub(s.From), s.Now.Sub(w.end), s.Longest)
	if length <= 0 {
		e.Reason = "there is no time before the first incident, or none after the follow-ups, to compare"
		return e
	}
	e.Before = Interval{w.trigger.Add(-length), w.trigger}
	e.After = Interval{w.end, w.end.Add(length)}
	h := fnv.New64a()
	h.Write([]byte(class))
	rng := rand.New(rand.NewPCG(s.Seed, h.Sum64()))
	var durations []float64
	for _, i := range s.Incidents {
		span := i.span(s.Now)
		inBefore, inAfter := contains(e.Before, i.From), contains(e.After, i.From)
		switch {
		case i.Class == class:
			before, after := overlap(span, e.Before), overlap(span, e.After)
			e.DowntimeBefore += before
			e.DowntimeAfter += after
			durations = append(durations, before, after)
			count(&e.IncidentsBefore, inBefore)
			count(&e.IncidentsAfter, inAfter)
		case works[i.Class] == nil:
			count(&e.ControlBefore, inBefore)
			count(&e.ControlAfter, inAfter)
		}
	}
	e.ratio()
	e.PIncidents = e.permuteLabels(rng)
	e.PDowntime = flipSigns(durations, e.DowntimeAfter-e.DowntimeBefore, rng)
	e.judge()
	return e
}

func count(n *int, yes bool) {
	if yes {
		*n++
	}
}

func contains(i Interval, t time.Time) bool { return !t.Before(i.From) && t.Before(i.To) }

// overlap is the minutes that two intervals share.
func overlap(a, b Interval) float64 {
	from, to := a.From, a.To
	if b.From.After(from) {
		from = b.From
	}
	if b.To.Before(to) {
		to = b.To
	}
	return max(0, to.Sub(from).Minutes())
}

func (e *FollowUpEffect) ratio() {
	e.Controlled = e.ControlBefore > 0 && e.ControlAfter > 0
	a0, a1 := float64(e.IncidentsBefore), float64(e.IncidentsAfter)
	switch {
	case a0 == 0:
	case e.Controlled:
		e.RateRatio = new(a1 / a0 * float64(e.ControlBefore) / float64(e.ControlAfter))
	default:
		e.RateRatio = new(a1 / a0)
	}
	c0, c1 := e.ControlBefore, e.ControlAfter
	if !e.Controlled {
		c0, c1 = 0, 0
	}
	e.Low, e.High = oddsInterval(e.IncidentsBefore, e.IncidentsAfter, c0, c1)
}

func (e *FollowUpEffect) judge() {
	n := e.IncidentsBefore + e.IncidentsAfter
	switch {
	case n == 0:
		e.Reason = "there was no incident of the class in either period"
	case e.High != nil && *e.High < 1 && e.PIncidents < 0.05:
		e.Verdict = Improved
	case e.Low > 1 && e.PIncidents < 0.05:
		e.Verdict = Worsened
	default:
		e.Reason = fmt.Sprintf("%d incidents before and %d after are compatible with no change", e.IncidentsBefore, e.IncidentsAfter)
	}
	if e.Verdict != CannotTell {
		e.Reason = fmt.Sprintf("%d incidents before, %d after, in %s each", e.IncidentsBefore, e.IncidentsAfter, FormatDuration(e.Before.Length().Truncate(time.Hour)))
	}
	if !e.Controlled {
		e.Reason += "; no class without follow-ups had incidents in both periods, so other causes are not ruled out"
	}
	if e.Open > 0 {
		e.Reason += fmt.Sprintf("; %d follow-ups are still open", e.Open)
	}
}

// permuteLabels tests the number of incidents after: with a control, which incidents are the class's is shuffled among
// all of both periods; without, each incident falls into either period.
func (e *FollowUpEffect) permuteLabels(rng *rand.Rand) float64 {
	n := e.IncidentsBefore + e.IncidentsAfter
	after := make([]bool, 0, n+e.ControlBefore+e.ControlAfter)
	expected := float64(n) / 2
	if e.Controlled {
		total := n + e.ControlBefore + e.ControlAfter
		late := e.IncidentsAfter + e.ControlAfter
		expected = float64(n) * float64(late) / float64(total)
		for i := range total {
			after = append(after, i < late)
		}
	}
	seen := math.Abs(float64(e.IncidentsAfter) - expected)
	extreme := 1
	for range permutations {
		k := 0
		if e.Controlled {
			for i := range n { // a draw of n without replacement
				j := i + rng.IntN(len(after)-i)
				after[i], after[j] = after[j], after[i]
				count(&k, after[i])
			}
		} else {
			for range n {
				count(&k, rng.IntN(2) == 1)
			}
		}
		if math.Abs(float64(k)-expected) >= seen-1e-9 {
			extreme++
		}
	}
	return float64(extreme) / (permutations + 1)
}

// flipSigns tests the difference of downtime: each incident's minutes fall into either period.
func flipSigns(minutes []float64, difference float64, rng *rand.Rand) float64 {
	extreme := 1
	for range permutations {
		sum := 0.0
		for _, m := range minutes {
			if rng.IntN(2) == 1 {
				sum += m
			} else {
				sum -= m
			}
		}
		if math.Abs(sum) >= math.Abs(difference)-1e-9 {
			extreme++
		}
	}
	return float64(extreme) / (permutations + 1)
}
