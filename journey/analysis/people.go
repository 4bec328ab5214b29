package analysis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"
)

// people knows which identities are one, and who belonged to which team when.
type people struct {
	canonical map[uint64]uint64
	roster    []membership
	byActor   map[uint64][]membership
	// said are the memberships that actors have told of themselves; they count where the roster does not know the actor.
	said map[uint64][]membership
}

// membership is one row of the roster: of a member, or of the team itself when actor is 0. Times are Unix milliseconds.
type membership struct {
	team      string
	actor     uint64
	from, to  int64
	voluntary bool
}

func (m membership) holdsAt(ms int64) bool { return m.from <= ms && ms < m.to }

// overlaps says whether the membership and the half-open interval share an instant.
func (m membership) overlaps(from, to int64) bool { return m.from < to && from < m.to }

const aliasesSQL = `SELECT actor, argMax(canonical, version) AS canonical FROM actor_aliases GROUP BY actor`

const rosterSQL = `SELECT team, actor, toUnixTimestamp64Milli(valid_from) AS valid_from, toUnixTimestamp64Milli(valid_to) AS valid_to, voluntary
FROM roster_current ORDER BY team, actor, valid_from`

// OpenEnd is the end of a membership that nobody has ended, in Unix milliseconds.
const OpenEnd = 4102444800000

const saidSQL = `SELECT actor, toInt64(toUInt16(day)) * 86400000 AS since, argMax(team, version) AS told, max(version) AS latest
FROM actor_groups GROUP BY actor, since ORDER BY since, latest`

// people reads the aliases, and the roster when it is asked for. Both are small.
func (s Source) people(ctx context.Context, withRoster bool) (people, error) {
	p := people{canonical: map[uint64]uint64{}, byActor: map[uint64][]membership{}}
	links := map[uint64]uint64{}
	err := s.rows(ctx, aliasesSQL, nil, func(r row) {
		links[r.uint64(0)] = r.uint64(1)
	})
	if err != nil {
		return people{}, fmt.Errorf("read merged identities: %w", err)
	}
	for actor := range links {
		p.canonical[actor] = follow(links, actor)
	}
	if !withRoster {
		return p, nil
	}
	err = s.rows(ctx, rosterSQL, nil, func(r row) {
		m := membership{team: r.string(0), actor: p.one(r.uint64(1)), from: r.int64(2), to: r.int64(3), voluntary: r.bool(4)}
		p.roster = append(p.roster, m)
		if m.actor != 0 {
			p.byActor[m.actor] = append(p.byActor[m.actor], m)
		}
	})
	if err != nil {
		return people{}, fmt.Errorf("read the roster: %w", err)
	}
	return p, s.told(ctx, &p)
}

// told reads the memberships that actors have told of themselves: each lasts until the actor's next one.
func (s Source) told(ctx context.Context, p *people) error {
	p.said = map[uint64][]membership{}
	err := s.rows(ctx, saidSQL, nil, func(r row) {
		m := membership{team: r.string(2), actor: p.one(r.uint64(0)), from: r.int64(1), to: OpenEnd}
		before := p.said[m.actor]
		if last := len(before) - 1; last >= 0 && before[last].from == m.from {
			before = before[:last] // another name of the actor said so later on that day
		} else if last >= 0 {
			before[last].to = m.from
		}
		p.said[m.actor] = append(before, m)
	})
	if err != nil {
		return fmt.Errorf("read the teams that actors told: %w", err)
	}
	return nil
}

// follow walks from an identity to the one that stands for all. Two identities that were each merged into the other
// are still one: the smallest on the circle stands for it.
func follow(links map[uint64]uint64, actor uint64) uint64 {
	seen := map[uint64]bool{}
	for !seen[actor] {
		seen[actor] = true
		next, ok := links[actor]
		if !ok || next == actor {
			return actor
		}
		actor = next
	}
	smallest := actor
	for at := links[actor]; at != actor; at = links[at] {
		smallest = min(smallest, at)
	}
	return smallest
}

// one is the identity that stands for all that the actor has.
func (p people) one(actor uint64) uint64 {
	if c, ok := p.canonical[actor]; ok {
		return c
	}
	return actor
}

// teamsAt lists the teams that an actor, given by its one identity, acts for at an instant.
func (p people) teamsAt(actor uint64, ms int64) []string {
	var teams []string
	for _, m := range p.byActor[actor] {
		if m.holdsAt(ms) && !slices.Contains(teams, m.team) {
			teams = append(teams, m.team)
		}
	}
	if len(teams) > 0 {
		return teams
	}
	for _, m := range p.said[actor] {
		if m.holdsAt(ms) {
			return []string{m.team}
		}
	}
	return nil
}

// cuts are the instants in (from, to) at which some membership begins or ends: between two of them, everybody's teams
// stay the same.
func (p people) cuts(from, to int64) []int64 {
	var cuts []int64
	add := func(list []membership) {
		for _, m := range list {
			for _, at := range []int64{m.from, m.to} {
				if m.actor != 0 && from < at && at < to {
					cuts = append(cuts, at)
				}
			}
		}
	}
	add(p.roster)
	for _, list := range p.said {
		add(list)
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// eligible are the entities whose roster entries overlap [from, to). voluntary selects entries; nil: all.
func (p people) eligible(entity Entity, from, to int64, voluntary *bool) map[key]bool {
	out := map[key]bool{}
	for _, m := range p.roster {
		if !m.overlaps(from, to) || voluntary != nil && m.voluntary != *voluntary {
			continue
		}
		switch {
		case entity == Teams:
			out[key{team: m.team}] = true
		case m.actor != 0:
			out[key{actor: m.actor}] = true
		}
	}
	return out
}

// slotOf is the index of the slot that holds ms, given the sorted beginnings of the slots; -1: before all of them.
func slotOf(starts []int64, ms int64) int {
	return sort.Search(len(starts), func(i int) bool { return starts[i] > ms }) - 1
}

func millis(t time.Time) int64 { return t.UnixMilli() }

// Identities are what statements about people need besides the events: which identities are one, and when memberships begin or end.
type Identities struct {
	// Merged and Canonical are of one length: Merged[i] is another identity of Canonical[i].
	Merged, Canonical []uint64
	// RosterCuts are sorted, in Unix milliseconds.
	RosterCuts []int64
	// Roster is the version of the roster that is in force; 0: there is none.
	Roster uint64
	// Told: some actor has told its team itself.
	Told bool
}

const rosterCutsSQL = `SELECT arraySort(groupUniqArrayArray(at)) AS cuts, assumeNotNull((SELECT max(version) FROM roster_versions)) AS roster, max(said) AS told FROM (
    SELECT [toUnixTimestamp64Milli(valid_from), toUnixTimestamp64Milli(valid_to)] AS at, false AS said FROM roster_current WHERE actor != 0
    UNION ALL
    SELECT [toInt64(toUInt16(day)) * 86400000] AS at, true AS said FROM actor_groups
)`

// Identities reads merged identities and the roster's changes.
func (s Source) Identities(ctx context.Context) (Identities, error) {
	p, err := s.people(ctx, false)
	if err != nil {
		return Identities{}, err
	}
	var out Identities
	if err := s.rows(ctx, rosterCutsSQL, nil, func(r row) { out.RosterCuts, out.Roster, out.Told = r.int64s(0), r.uint64(1), r.bool(2) }); err != nil {
		return Identities{}, fmt.Errorf("read the roster: %w", err)
	}
	for _, actor := range slices.Sorted(maps.Keys(p.canonical)) {
		if one := p.canonical[actor]; one != actor {
			out.Merged, out.Canonical = append(out.Merged, actor), append(out.Canonical, one)
		}
	}
	return out, nil
}
