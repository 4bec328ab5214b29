package analysis

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
)

// key names an entity: an actor by its one identity, or a team.
type key struct {
	actor uint64
	team  string
}

// entity is one actor or team with the periods in which it was active.
type entity struct {
	key
	// active are indices into the periods asked for, sorted, each once.
	active []int
	// first is the index of the period of the first activity ever; beforeAll when that lies before the first period.
	first int
}

const (
	beforeAll = math.MinInt
	afterAll  = math.MaxInt
)

// where is the selection of events as SQL with its parameters.
type where struct {
	conditions []string
	params     map[string]any
}

func (w *where) add(condition, name string, value any) {
	w.conditions = append(w.conditions, condition)
	if name != "" {
		w.params[name] = value
	}
}

func (w where) String() string { return strings.Join(w.conditions, " AND ") }

// selection selects events by name or outcome, kind of actor, and the restrictions, not by time. It also fits the table
// first_seen as long as there is no restriction.
func (s Source) selection(a Args) where {
	w := where{params: map[string]any{}}
	w.add("actor != 0", "", nil)
	if a.ActorKind != AnyKind {
		w.add("actor_kind = {kind:String}", "kind", a.ActorKind)
	}
	if len(a.Events) > 0 {
		w.add("name IN {names:Array(String)}", "names", a.Events)
	} else {
		w.add("outcome = 'success'", "", nil)
		if len(s.NotValue) > 0 {
			w.add("name NOT IN {not_value:Array(String)}", "not_value", s.NotValue)
		}
	}
	if a.only != nil {
		w.add("actor IN {only:Array(UInt64)}", "only", a.only)
	}
	if a.Cluster != "" {
		w.add("cluster = {cluster:String}", "cluster", a.Cluster)
	}
	if a.Persona != "" {
		w.add("persona = {persona:String}", "persona", a.Persona)
	}
	return w
}

// during restricts to [from, to), in Unix milliseconds.
func (w *where) during(from, to int64) {
	w.add("time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')", "from", from)
	w.add("time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')", "to", to)
}

// slotsSQL reduces events to the slots of time in which an actor acted. The beginnings of the slots come as a parameter, so
// that the calendar, with its changes of the clocks, exists in one place only.
const slotsSQL = `SELECT actor, actor_team, arraySort(groupUniqArray(roundDown(toUnixTimestamp64Milli(time), {slots:Array(Int64)}))) AS slots
FROM events
WHERE %s
GROUP BY actor, actor_team`

// daySlotsSQL is slotsSQL on activity_days.
const daySlotsSQL = `SELECT actor, actor_team, arraySort(groupUniqArray(slot)) AS slots
FROM (
        %s
)
GROUP BY actor, actor_team`

// activity finds who was active in which of the periods, which must follow each other without a gap.
func (s Source) activity(ctx context.Context, a Args, p people, periods []journey.Period) ([]entity, error) {
	if len(periods) == 0 {
		return nil, nil
	}
	starts := make([]int64, len(periods))
	for i, period := range periods {
		starts[i] = millis(period.From)
	}
	end := millis(periods[len(periods)-1].To)
	slots := starts
	if a.Entity == Teams {
		slots = append(slices.Clone(starts), p.cuts(starts[0], end)...)
		slices.Sort(slots)
		slots = slices.Compact(slots)
	}
	sql, params := s.slotsStatement(a, slots, end)
	sets := newSets(a.MinMembers)
	err := s.rows(ctx, sql, params, func(r row) {
		actor, team := p.one(r.uint64(0)), r.string(1)
		for _, slot := range r.int64s(2) {
			period := slotOf(starts, slot)
			for _, k := range p.entities(a.Entity, actor, team, slot) {
				sets.add(k, period, actor)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read activity: %w", err)
	}
	return sets.entities(), nil
}

// slotsStatement asks activity_days where it can tell, which is much smaller than events, else events.
func (s Source) slotsStatement(a Args, slots []int64, end int64) (string, map[string]any) {
	w := s.selection(a)
	if len(a.Events) == 0 && a.Cluster == "" && a.Persona == "" && RollupKnows(s.NotValue) && slots[0] >= 0 {
		if segments, ok := SegmentsOf(slots, end); ok {
			for i, condition := range w.conditions {
				w.conditions[i] = strings.Replace(condition, "name NOT IN", "look NOT IN", 1)
			}
			maps.Copy(w.params, segments.Params())
			return fmt.Sprintf(daySlotsSQL, segments.Seen("actor, actor_team", w.String())), w.params
		}
	}
	w.during(slots[0], end)
	w.params["slots"] = slots
	return fmt.Sprintf(slotsSQL, w), w.params
}

// entities are those for which an event of the actor counts; ownTeam is the team that the event names.
func (p people) entities(entity Entity, actor uint64, ownTeam string, ms int64) []key {
	if entity == Actors {
		return []key{{actor: actor}}
	}
	if ownTeam != "" {
		return []key{{team: ownTeam}}
	}
	teams := p.teamsAt(actor, ms)
	keys := make([]key, len(teams))
	for i, team := range teams {
		keys[i] = key{team: team}
	}
	return keys
}

// sets collects who acted for an entity in each period.
type sets struct {
	minMembers int
	actors     map[uint64][]int
	teams      map[string]map[int]map[uint64]struct{}
}

func newSets(minMembers int) *sets {
	return &sets{minMembers, map[uint64][]int{}, map[string]map[int]map[uint64]struct{}{}}
}

func (s *sets) add(k key, period int, actor uint64) {
	if k.team == "" {
		s.actors[k.actor] = append(s.actors[k.actor], period)
		return
	}
	periods := s.teams[k.team]
	if periods == nil {
		periods = map[int]map[uint64]struct{}{}
		s.teams[k.team] = periods
	}
	actors := periods[period]
	if actors == nil {
		actors = map[uint64]struct{}{}
		periods[period] = actors
	}
	actors[actor] = struct{}{}
}

// entities are those that were active at all, in no particular order.
func (s *sets) entities() []entity {
	out := make([]entity, 0, len(s.actors)+len(s.teams))
	for actor, active := range s.actors {
		slices.Sort(active)
		out = append(out, entity{key{actor: actor}, slices.Compact(active), afterAll})
	}
	for team, periods := range s.teams {
		e := entity{key: key{team: team}, first: afterAll}
		for period, actors := range periods {
			if len(actors) >= s.minMembers {
				e.active = append(e.active, period)
			}
		}
		if len(e.active) > 0 {
			slices.Sort(e.active)
			out = append(out, e)
		}
	}
	return out
}
