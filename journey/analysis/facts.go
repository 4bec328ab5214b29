package analysis

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/bits"
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

// slotsSQL reduces rows of a slot in which an actor acted to bits: the i-th bit of bits in the w-th word is the slot of index 64w+i. The
// beginnings of the slots come as a parameter, so that the calendar, with its changes of the clocks, exists in one place only.
const slotsSQL = `SELECT actor, actor_team, toUInt32(intDiv(n, 64)) AS word, groupBitOr(bitShiftLeft(toUInt64(1), n %% 64)) AS bits
FROM (
    SELECT actor, actor_team, transform(slot, {slots:Array(Int64)}, range(length({slots:Array(Int64)})), 0) AS n FROM (
        %s
    )
)
GROUP BY actor, actor_team, word`

// eventSlotsSQL are the slots as events tell them; days and months tell them as Segments do.
const eventSlotsSQL = `SELECT actor, actor_team, roundDown(toUnixTimestamp64Milli(time), {slots:Array(Int64)}) AS slot
        FROM events
        WHERE %s`

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
	sets := newSets(a.MinMembers, len(periods))
	cuts := p.cuts(slots[0], end)
	err := s.rows(ctx, sql, params, func(r row) {
		actor, team, first := p.one(r.uint64(0)), r.string(1), int(r.uint32(2))*64
		var keys []key
		era := -1 // between two cuts, an actor's teams stay the same
		for left := r.uint64(3); left != 0; left &= left - 1 {
			slot := slots[first+bits.TrailingZeros64(left)]
			if at := slotOf(cuts, slot) + 1; at != era {
				keys, era = p.entities(a.Entity, actor, team, slot), at
			}
			for _, k := range keys {
				sets.add(k, slotOf(starts, slot), actor)
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
	w.params["slots"] = slots
	if len(a.Events) == 0 && a.Cluster == "" && a.Persona == "" && RollupKnows(s.NotValue) && slots[0] >= 0 {
		if segments, ok := SegmentsOf(slots, end); ok {
			for i, condition := range w.conditions {
				w.conditions[i] = strings.Replace(condition, "name NOT IN", "look NOT IN", 1)
			}
			maps.Copy(w.params, segments.Params())
			return fmt.Sprintf(slotsSQL, segments.Seen("actor, actor_team", w.String())), w.params
		}
	}
	w.during(slots[0], end)
	return fmt.Sprintf(slotsSQL, fmt.Sprintf(eventSlotsSQL, w)), w.params
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

// periodSet is a set of indices of periods, a bit each.
type periodSet []uint64

func newPeriodSet(periods int) periodSet { return make(periodSet, (periods+63)/64) }

func (s periodSet) add(i int) { s[i/64] |= 1 << (i % 64) }

// sorted are the indices in order.
func (s periodSet) sorted() []int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	out := make([]int, 0, n)
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			out = append(out, w*64+bits.TrailingZeros64(word))
		}
	}
	return out
}

// sets collects who acted for an entity in each period.
type sets struct {
	minMembers, periods int
	active              map[key]periodSet
	// members are the actors of teams of which several must act.
	members map[key]map[int]map[uint64]struct{}
}

func newSets(minMembers, periods int) *sets {
	return &sets{minMembers, periods, map[key]periodSet{}, map[key]map[int]map[uint64]struct{}{}}
}

func (s *sets) add(k key, period int, actor uint64) {
	if k.team != "" && s.minMembers > 1 && !s.enough(k, period, actor) {
		return
	}
	set := s.active[k]
	if set == nil {
		set = newPeriodSet(s.periods)
		s.active[k] = set
	}
	set.add(period)
}

// enough notes an actor of a team, and says whether the team has enough of them in the period.
func (s *sets) enough(k key, period int, actor uint64) bool {
	periods := s.members[k]
	if periods == nil {
		periods = map[int]map[uint64]struct{}{}
		s.members[k] = periods
	}
	actors := periods[period]
	if actors == nil {
		actors = map[uint64]struct{}{}
		periods[period] = actors
	}
	actors[actor] = struct{}{}
	return len(actors) >= s.minMembers
}

// entities are those that were active at all, in no particular order.
func (s *sets) entities() []entity {
	out := make([]entity, 0, len(s.active))
	for k, set := range s.active {
		out = append(out, entity{k, set.sorted(), afterAll})
	}
	return out
}
