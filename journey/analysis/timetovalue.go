package analysis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/kubevalue/kubevalue/journey/interval"
)

// TimeToValueArgs are those of TimeToValue and Activation. From and To bound the starts; a grain is not needed.
type TimeToValueArgs struct {
	Args
	// Start and Reach are event names: when the clock starts, and what it stops at. Empty Start: any successful event.
	Start, Reach []string
	// Horizon is how long an entity is watched, inclusive.
	Horizon time.Duration
}

// TimeToValue estimates by Kaplan-Meier, in seconds, when half of the entities whose first start ever lies in [From, To)
// got to value. An entity gets there by the first Reach event at or after its start and at most Horizon later; else it is
// censored at the earlier of now and the horizon's end.
func (s Source) TimeToValue(ctx context.Context, t TimeToValueArgs) (interval.Survival, error) {
	watched, err := s.Watch(ctx, t)
	return SurvivalOf(watched), err
}

// SurvivalOf is the estimate of TimeToValue over the entities that were watched.
func SurvivalOf(watched []Watched) interval.Survival {
	observations := make([]interval.Observation, len(watched))
	for i, w := range watched {
		observations[i] = w.Observation
	}
	return interval.KaplanMeier(observations)
}

// ActivationResult is the share of entities that got to value within the horizon.
type ActivationResult struct {
	// Mature are the entities whose start is at least the horizon ago; Activated those of them that got there.
	Mature, Activated int
	// Ratio is nil without mature entities. Low and High are its Wilson interval.
	Ratio, Low, High *float64
}

// Activation is the share, of the entities whose first start ever lies in [From, To) and at least Horizon ago, of those
// that got to value within Horizon of it.
func (s Source) Activation(ctx context.Context, t TimeToValueArgs) (ActivationResult, error) {
	watched, err := s.Watch(ctx, t)
	if err != nil {
		return ActivationResult{}, err
	}
	return s.ActivationOf(watched, t.Horizon), nil
}

// ActivationOf is the result of Activation over the entities that were watched.
func (s Source) ActivationOf(watched []Watched, horizon time.Duration) ActivationResult {
	var r ActivationResult
	for _, w := range watched {
		if w.Start.Add(horizon).After(s.Now) {
			continue
		}
		r.Mature++
		if w.Reached {
			r.Activated++
		}
	}
	r.Ratio = ratio(r.Activated, r.Mature)
	if low, high, ok := interval.Wilson(float64(r.Activated), float64(r.Mature)); ok {
		r.Low, r.High = &low, &high
	}
	return r
}

// Watched is one entity on its way to value, since its first start ever.
type Watched struct {
	Start time.Time
	// Observation has the duration in seconds.
	interval.Observation
}

// Watch follows the entities whose first start ever lies in [From, To).
func (s Source) Watch(ctx context.Context, t TimeToValueArgs) ([]Watched, error) {
	a, err := t.withDefaults()
	if err != nil {
		return nil, err
	}
	switch {
	case len(t.Reach) == 0:
		return nil, errors.New("reach: want event names")
	case t.Horizon <= 0:
		return nil, fmt.Errorf("horizon %s: want more than 0", t.Horizon)
	case !a.From.Before(a.To):
		return nil, fmt.Errorf("from %s is not before to %s", a.From.Format(time.RFC3339), a.To.Format(time.RFC3339))
	case a.MinMembers > 1:
		return nil, errNoMinMembers
	}
	p, err := s.people(ctx, a.Entity == Teams)
	if err != nil {
		return nil, err
	}
	now := millis(s.Now)
	a.Events = slices.Clone(t.Start)
	starts, err := s.firstTimes(ctx, a, p, min(millis(a.To), now+1))
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(starts, func(_ key, start int64) bool { return start < millis(a.From) })
	if len(starts) == 0 {
		return nil, nil
	}
	if a.Entity == Actors && len(starts) <= maxNamed {
		a.only = p.namesOf(starts)
	}
	a.Events = slices.Clone(t.Reach)
	reached, err := s.marks(ctx, a, p, millis(a.From), millis(a.To)+t.Horizon.Milliseconds())
	if err != nil {
		return nil, err
	}
	var out []Watched
	for k, start := range starts {
		out = append(out, Watched{time.UnixMilli(start).UTC(), observe(start, reached[k], t.Horizon.Milliseconds(), now)})
	}
	return out, nil
}

// maxNamed is how many actors a statement may name.
const maxNamed = 5000

// namesOf are the identities of some actors, which are given by their one identity, in order.
func (p people) namesOf(actors map[key]int64) []uint64 {
	var all []uint64
	for k := range actors {
		all = append(all, k.actor)
	}
	for name, one := range p.canonical {
		if _, ok := actors[key{actor: one}]; ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// observe finds the earliest event at or after the start.
func observe(start int64, m marks, horizon, now int64) interval.Observation {
	end := min(now, start+horizon)
	best := end + 1
	for _, times := range m {
		if i := sort.Search(len(times), func(i int) bool { return times[i] >= start }); i < len(times) {
			best = min(best, times[i])
		}
	}
	if best <= end {
		return interval.Observation{Duration: float64(best-start) / 1000, Reached: true}
	}
	return interval.Observation{Duration: float64(end-start) / 1000}
}
