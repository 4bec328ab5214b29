// Package analysis answers questions about who uses the product: active, adoption, lifecycle, retention, funnel,
// stickiness, time to value. SQL reduces events to compact facts per actor (in which periods, in which order), and each
// formula exists once, here, in Go; so the tests of a formula and the tests through the tables speak of the same thing.
//
// Rules that hold for all of them:
//   - Entities are actors or teams. Merged identities count as one for all times. Nobody (actor 0) is no entity.
//   - An event counts for the team that it names. If it names none, it counts for each team in whose roster its actor is at
//     the time of the event.
//   - Periods are calendar periods of the reporting zone, half-open. Periods that are not complete at now are left out;
//     periods in which nothing happened are listed.
//   - The first activity is the first ever, not the first in the queried range.
package analysis

import (
	"errors"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// Entity is what is counted.
type Entity string

// The entities.
const (
	Actors Entity = "actor"
	Teams  Entity = "team"
)

// AnyKind selects actors of every kind, people and machines.
const AnyKind = "any"

// Source is where the facts come from, and the calendar and the instant that they are asked for.
type Source struct {
	Query    journey.QueryFunc
	Calendar journey.Calendar
	Now      time.Time
	// NotValue are event names that "any" leaves out: visits and logins are no value events.
	NotValue []string
	// Objectives says which error budgets were used up; nil: nothing is known of any.
	Objectives journey.ObjectivesFunc
}

// Args are common to all analyses.
type Args struct {
	// Entity is Actors unless given.
	Entity Entity
	// Events are names; such an event counts whatever its outcome. Empty: any event whose outcome is success.
	Events []string
	// Grain is the length of the periods; day unless given.
	Grain journey.Grain
	// From and To bound the range, half-open, aligned to the grain.
	From, To time.Time
	// ActorKind is human unless given; AnyKind selects all.
	ActorKind string
	// MinMembers is how many distinct actors must act for a team to make it active; 1 unless given. Actors ignore it.
	MinMembers int
	// Cluster and Persona restrict the events; empty: all. First activity is then the first that is kept in events.
	Cluster, Persona string
	// only are the actors to read, with all of their identities; nil: all.
	only []uint64
}

// withDefaults fills in what was not given and refuses what makes no sense.
func (a Args) withDefaults() (Args, error) {
	if a.Entity == "" {
		a.Entity = Actors
	}
	if a.Grain == "" {
		a.Grain = journey.GrainDay
	}
	if a.ActorKind == "" {
		a.ActorKind = "human"
	}
	if a.MinMembers == 0 {
		a.MinMembers = 1
	}
	switch a.Entity {
	case Actors, Teams:
	default:
		return a, fmt.Errorf("entity %q: want actor or team", a.Entity)
	}
	switch a.ActorKind {
	case "human", "machine", "unknown", AnyKind:
	default:
		return a, fmt.Errorf("actor_kind %q: want human, machine, unknown or any", a.ActorKind)
	}
	if a.MinMembers < 1 {
		return a, fmt.Errorf("min_members %d: want 1 or more", a.MinMembers)
	}
	return a, nil
}

// completePeriods are the periods of the range that are over at now.
func (s Source) completePeriods(a Args) ([]journey.Period, error) {
	periods, err := s.Calendar.Between(a.Grain, a.From, a.To)
	if err != nil {
		return nil, err
	}
	for i, p := range periods {
		if !p.Complete(s.Now) {
			return periods[:i], nil
		}
	}
	return periods, nil
}

// errNoMinMembers refuses min_members where single events are followed, not sets of actors.
var errNoMinMembers = errors.New("min_members applies to analyses of activity in periods, not to this one")
