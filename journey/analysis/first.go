package analysis

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kubevalue/kubevalue/journey"
)

// firstSeenSQL reads the table that outlives the retention of events.
const firstSeenSQL = `SELECT actor, actor_team, toUnixTimestamp64Milli(min(first_time)) AS first
FROM first_seen
WHERE %s
GROUP BY actor, actor_team`

// firstSlotsSQL finds the first event of an actor in each slot between changes of the roster.
const firstSlotsSQL = `SELECT actor, actor_team, roundDown(toUnixTimestamp64Milli(time), {slots:Array(Int64)}) AS slot,
    toUnixTimestamp64Milli(min(time)) AS first
FROM events
WHERE %s
GROUP BY actor, actor_team, slot`

// firstTimes finds the first selected event ever before the instant until, per entity, in Unix milliseconds.
//
// An actor's is in first_seen. A team's is the first event that names it, or the first of a member while it was one:
// for that, events are asked for each stretch of an unchanged roster, and first_seen beside them for what events no
// longer hold.
func (s Source) firstTimes(ctx context.Context, a Args, p people, until int64) (map[key]int64, error) {
	firsts := map[key]int64{}
	note := func(actor uint64, team string, at int64) {
		if at >= until {
			return
		}
		for _, k := range p.entities(a.Entity, p.one(actor), team, at) {
			if old, ok := firsts[k]; !ok || at < old {
				firsts[k] = at
			}
		}
	}
	restricted := a.Cluster != "" || a.Persona != ""
	if !restricted {
		w := s.selection(a)
		err := s.rows(ctx, fmt.Sprintf(firstSeenSQL, w), w.params, func(r row) {
			note(r.uint64(0), r.string(1), r.int64(2))
		})
		if err != nil {
			return nil, fmt.Errorf("read first activity: %w", err)
		}
	}
	if a.Entity == Actors && !restricted {
		return firsts, nil
	}
	w := s.selection(a)
	w.during(minMillis, until)
	w.params["slots"] = append([]int64{minMillis}, p.cuts(minMillis, until)...)
	err := s.rows(ctx, fmt.Sprintf(firstSlotsSQL, w), w.params, func(r row) {
		note(r.uint64(0), r.string(1), r.int64(3))
	})
	if err != nil {
		return nil, fmt.Errorf("read first activity: %w", err)
	}
	return firsts, nil
}

// minMillis is 1900-01-01, the first instant that the tables can hold.
const minMillis = -2208988800000

// withFirsts fills in the period of the first activity of each entity.
func (s Source) withFirsts(ctx context.Context, a Args, p people, periods []journey.Period, entities []entity) error {
	if len(periods) == 0 {
		return nil
	}
	if a.Entity == Teams && a.MinMembers > 1 {
		return s.withFirstsOfMany(ctx, a, p, periods, entities)
	}
	firsts, err := s.firstTimes(ctx, a, p, millis(periods[len(periods)-1].To))
	if err != nil {
		return err
	}
	starts := make([]int64, len(periods))
	for i, period := range periods {
		starts[i] = millis(period.From)
	}
	for i := range entities {
		e := &entities[i]
		if at, ok := firsts[e.key]; ok {
			e.first = slotOf(starts, at)
			if e.first < 0 {
				e.first = beforeAll
			}
		}
		e.first = min(e.first, e.active[0])
	}
	return nil
}

// withFirstsOfMany looks through the whole history in periods of the grain: the first activity of a team of which
// several must act is the first period in which as many did.
func (s Source) withFirstsOfMany(ctx context.Context, a Args, p people, periods []journey.Period, entities []entity) error {
	single := a
	single.Entity, single.MinMembers = Actors, 1
	firsts, err := s.firstTimes(ctx, single, p, millis(periods[len(periods)-1].To))
	if err != nil || len(firsts) == 0 {
		return err
	}
	earliest := slices.Min(slices.Collect(maps.Values(firsts)))
	history := []journey.Period{}
	for at := s.Calendar.Previous(periods[0]); millis(at.To) > earliest; at = s.Calendar.Previous(at) {
		history = append(history, at)
	}
	slices.Reverse(history)
	before, err := s.activity(ctx, a, p, history)
	if err != nil {
		return err
	}
	known := map[key]bool{}
	for _, e := range before {
		known[e.key] = true
	}
	for i := range entities {
		e := &entities[i]
		e.first = e.active[0]
		if known[e.key] {
			e.first = beforeAll
		}
	}
	return nil
}
