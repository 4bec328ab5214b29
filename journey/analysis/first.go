package analysis

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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

// earliestSQL is the first selected event of all.
const earliestSQL = `SELECT toUnixTimestamp64Milli(min(time)) AS first FROM events WHERE %s`

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

// activityWithFirsts is activity with the period of the first activity ever of each entity: of actors by the time of their first event, of
// teams by looking through the whole history, since a team's first activity depends on who was in it when. Both are asked for at once.
func (s Source) activityWithFirsts(ctx context.Context, a Args, p people, periods []journey.Period) (entities []entity, err error) {
	if len(periods) == 0 {
		return nil, nil
	}
	asking, together := errgroup.WithContext(ctx)
	asking.Go(func() (err error) {
		entities, err = s.activity(together, a, p, periods)
		return err
	})
	firsts, known := map[key]int64{}, map[key]bool{}
	asking.Go(func() (err error) {
		if a.Entity == Teams {
			known, err = s.activeBefore(together, a, p, periods[0])
		} else {
			firsts, err = s.firstTimes(together, a, p, millis(periods[len(periods)-1].To))
		}
		return err
	})
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	starts := make([]int64, len(periods))
	for i, period := range periods {
		starts[i] = millis(period.From)
	}
	for i := range entities {
		e := &entities[i]
		e.first = e.active[0]
		if at, ok := firsts[e.key]; ok {
			e.first = min(e.first, slotOf(starts, at))
		}
		if known[e.key] || e.first < 0 {
			e.first = beforeAll
		}
	}
	return entities, nil
}

// activeBefore are the teams that were active before a period: of which several must act, in periods of the grain. What events no longer
// hold, first_seen still says of single actors.
func (s Source) activeBefore(ctx context.Context, a Args, p people, period journey.Period) (map[key]bool, error) {
	known := map[key]bool{}
	earliest := millis(period.From)
	w := s.selection(a)
	if a.Cluster != "" || a.Persona != "" {
		err := s.rows(ctx, fmt.Sprintf(earliestSQL, w), w.params, func(r row) { earliest = min(earliest, r.int64(0)) })
		if err != nil {
			return nil, fmt.Errorf("read first activity: %w", err)
		}
	} else {
		err := s.rows(ctx, fmt.Sprintf(firstSeenSQL, w), w.params, func(r row) {
			at := r.int64(2)
			earliest = min(earliest, at)
			if a.MinMembers == 1 && at < millis(period.From) {
				for _, k := range p.entities(Teams, p.one(r.uint64(0)), r.string(1), at) {
					known[k] = true
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("read first activity: %w", err)
		}
	}
	before, err := s.activity(ctx, a, p, s.history(a, period, earliest))
	for _, e := range before {
		known[e.key] = true
	}
	return known, err
}

// history are periods from the one that holds earliest up to the one before first. Where one actor makes a team active, one
// period will do.
func (s Source) history(a Args, first journey.Period, earliest int64) []journey.Period {
	if earliest >= millis(first.From) {
		return nil
	}
	if a.MinMembers == 1 {
		from := s.Calendar.Period(a.Grain, time.UnixMilli(earliest))
		return []journey.Period{{Grain: a.Grain, From: from.From, To: first.From, Zone: first.Zone}}
	}
	var history []journey.Period
	for at := s.Calendar.Previous(first); millis(at.To) > earliest; at = s.Calendar.Previous(at) {
		history = append(history, at)
	}
	slices.Reverse(history)
	return history
}
