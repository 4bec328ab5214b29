package analysis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// TeamRow is what one team did in a period.
type TeamRow struct {
	Team string
	// Members is the number of people on the roster in the period; of a team that is not on it, of those who acted for it.
	Members int
	// Eligible and Active speak of the period, EligibleBefore and ActiveBefore of the one before.
	Eligible, EligibleBefore, Active, ActiveBefore bool
	// First is the first selected event ever, Last the last one before the end of the period; the zero time: there was none.
	First, Last time.Time
}

// lastSlotsSQL finds the last event of an actor in each slot between changes of the roster.
const lastSlotsSQL = `SELECT actor, actor_team, roundDown(toUnixTimestamp64Milli(time), {slots:Array(Int64)}) AS slot,
    toUnixTimestamp64Milli(max(time)) AS last
FROM events
WHERE %s
GROUP BY actor, actor_team, slot`

// TeamRows lists every team that was eligible or active in the period or in the one before, by name. Args selects events and kind of actors.
func (s Source) TeamRows(ctx context.Context, a Args, p journey.Period) ([]TeamRow, error) {
	a.Entity = Teams
	a.From, a.To, a.Grain = p.From, p.To, p.Grain
	a, err := a.withDefaults()
	if err != nil {
		return nil, err
	}
	who, err := s.people(ctx, true)
	if err != nil {
		return nil, err
	}
	before := s.Calendar.Previous(p)
	entities, err := s.activity(ctx, a, who, []journey.Period{before, p})
	if err != nil {
		return nil, err
	}
	firsts, err := s.firstTimes(ctx, a, who, millis(p.To))
	if err != nil {
		return nil, err
	}
	lasts, actors, err := s.lastTimes(ctx, a, who, p)
	if err != nil {
		return nil, err
	}
	rows := map[string]*TeamRow{}
	row := func(team string) *TeamRow {
		if rows[team] == nil {
			rows[team] = &TeamRow{Team: team}
		}
		return rows[team]
	}
	for k := range who.eligible(Teams, millis(p.From), millis(p.To), nil) {
		row(k.team).Eligible = true
	}
	for k := range who.eligible(Teams, millis(before.From), millis(before.To), nil) {
		row(k.team).EligibleBefore = true
	}
	for _, e := range entities {
		r := row(e.team)
		r.ActiveBefore, r.Active = slices.Contains(e.active, 0), slices.Contains(e.active, 1)
	}
	for team, r := range rows {
		k := key{team: team}
		if at, ok := firsts[k]; ok {
			r.First = time.UnixMilli(at).UTC()
		}
		if at, ok := lasts[k]; ok {
			r.Last = time.UnixMilli(at).UTC()
		}
		r.Members = who.members(team, millis(p.From), millis(p.To))
		if r.Members == 0 {
			r.Members = len(actors[k])
		}
	}
	out := make([]TeamRow, 0, len(rows))
	for _, team := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, *rows[team])
	}
	return out, nil
}

// lastTimes finds the last selected event of each team before the end of a period, and who acted for it in the period.
func (s Source) lastTimes(ctx context.Context, a Args, who people, p journey.Period) (map[key]int64, map[key]map[uint64]struct{}, error) {
	w := s.selection(a)
	w.during(minMillis, millis(p.To))
	cuts := append(who.cuts(minMillis, millis(p.To)), minMillis, millis(p.From))
	slices.Sort(cuts)
	w.params["slots"] = slices.Compact(cuts)
	lasts, actors := map[key]int64{}, map[key]map[uint64]struct{}{}
	err := s.rows(ctx, fmt.Sprintf(lastSlotsSQL, w), w.params, func(r row) {
		actor, last := who.one(r.uint64(0)), r.int64(3)
		for _, k := range who.entities(Teams, actor, r.string(1), last) {
			lasts[k] = max(lasts[k], last)
			if last < millis(p.From) {
				continue
			}
			if actors[k] == nil {
				actors[k] = map[uint64]struct{}{}
			}
			actors[k][actor] = struct{}{}
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read last activity: %w", err)
	}
	return lasts, actors, nil
}

// members counts the people of a team on the roster at any time in [from, to).
func (p people) members(team string, from, to int64) int {
	seen := map[uint64]bool{}
	for _, m := range p.roster {
		if m.team == team && m.actor != 0 && m.overlaps(from, to) {
			seen[m.actor] = true
		}
	}
	return len(seen)
}
