package analysis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/kubevalue/kubevalue/journey/interval"
)

var errNoWindow = errors.New("window: want one day or more")

// FunnelArgs are those of Funnel. From and To bound the entries; a grain is not needed.
type FunnelArgs struct {
	Args
	// Steps are event names, in order; a name may come several times.
	Steps []string
	// Window is how long after the entry the last step may come, inclusive.
	Window time.Duration
	// Strict wants the times of the steps to increase; else equal times will do.
	Strict bool
}

// FunnelRow is one step.
type FunnelRow struct {
	// Step counts from 1.
	Step     int
	Entities int
	// MedianSeconds from the entry to this step, of those who got here; nil when nobody did.
	MedianSeconds *float64
}

// marksSQL lists what an actor did, in order: time in Unix milliseconds times 64 plus the number of the name (from 1).
const marksSQL = `SELECT actor, actor_team, arraySort(groupArray(toUnixTimestamp64Milli(time) * 64 + indexOf({names:Array(String)}, name))) AS marks
FROM events
WHERE %s
GROUP BY actor, actor_team`

// maxNames is how many names fit beside a time in one number.
const maxNames = 63

// marks are the times of an entity's events, in order, by name.
type marks map[string][]int64

// marks reads when the entities did what is named in a.Events, within [from, to) and not after now.
func (s Source) marks(ctx context.Context, a Args, p people, from, to int64) (map[key]marks, error) {
	slices.Sort(a.Events)
	a.Events = slices.Compact(a.Events)
	if len(a.Events) > maxNames {
		return nil, fmt.Errorf("%d event names: at most %d", len(a.Events), maxNames)
	}
	w := s.selection(a)
	w.during(from, min(to, millis(s.Now)+1))
	all := map[key]marks{}
	err := s.rows(ctx, fmt.Sprintf(marksSQL, w), w.params, func(r row) {
		actor, team := p.one(r.uint64(0)), r.string(1)
		for _, mark := range r.int64s(2) {
			at, name := mark>>6, a.Events[mark&63-1]
			for _, k := range p.entities(a.Entity, actor, team, at) {
				if all[k] == nil {
					all[k] = marks{}
				}
				all[k][name] = append(all[k][name], at)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the order of events: %w", err)
	}
	for _, m := range all { // an entity of several identities got several ordered lists
		for _, times := range m {
			slices.Sort(times)
		}
	}
	return all, nil
}

// Funnel counts how far entities get. Of an entity's events of the first step in [From, To), that one is its entry from
// which it gets furthest, the earliest if several are as good; each later step takes the earliest possible event, at
// most Window after the entry. An event serves one step. Entities whose entry is younger than Window are left out:
// they may still convert.
func (s Source) Funnel(ctx context.Context, f FunnelArgs) ([]FunnelRow, error) {
	f.Events = slices.Clone(f.Steps)
	a, err := f.withDefaults()
	if err != nil {
		return nil, err
	}
	switch {
	case len(f.Steps) == 0:
		return nil, errors.New("steps: want one event name or more")
	case f.Window < 0:
		return nil, fmt.Errorf("window %s: want 0 or more", f.Window)
	case !a.From.Before(a.To):
		return nil, fmt.Errorf("from %s is not before to %s", a.From.Format(time.RFC3339), a.To.Format(time.RFC3339))
	case a.MinMembers > 1:
		return nil, errNoMinMembers
	}
	p, err := s.people(ctx, a.Entity == Teams)
	if err != nil {
		return nil, err
	}
	all, err := s.marks(ctx, a, p, millis(a.From), millis(a.To)+f.Window.Milliseconds())
	if err != nil {
		return nil, err
	}
	return funnel(all, f, millis(s.Now)), nil
}

func funnel(all map[key]marks, f FunnelArgs, now int64) []FunnelRow {
	seconds := make([][]float64, len(f.Steps))
	for _, m := range all {
		times := furthest(m, f)
		if len(times) == 0 || now < times[0]+f.Window.Milliseconds() {
			continue
		}
		for i, at := range times {
			seconds[i] = append(seconds[i], float64(at-times[0])/1000)
		}
	}
	rows := make([]FunnelRow, len(f.Steps))
	for i := range rows {
		rows[i] = FunnelRow{Step: i + 1, Entities: len(seconds[i])}
		if median, ok := interval.Median(seconds[i]); ok {
			rows[i].MedianSeconds = &median
		}
	}
	return rows
}

// furthest returns the times of the steps from the entry that gets furthest; nil without an entry.
func furthest(m marks, f FunnelArgs) []int64 {
	entries := m[f.Steps[0]]
	var best []int64
	for i := sort.Search(len(entries), func(i int) bool { return entries[i] >= millis(f.From) }); i < len(entries); i++ {
		if entries[i] >= millis(f.To) || len(best) == len(f.Steps) {
			break
		}
		if times := walk(m, f, i); len(times) > len(best) {
			best = times
		}
	}
	return best
}

// walk takes the earliest possible event for each step after the entry, the i-th event of the first step's name. Events of
// one name at one time are as good as each other, so that after each step only later positions of its name are free.
func walk(m marks, f FunnelArgs, i int) []int64 {
	free := map[string]int{f.Steps[0]: i + 1}
	times := []int64{m[f.Steps[0]][i]}
	for _, step := range f.Steps[1:] {
		earliest := times[len(times)-1]
		if f.Strict {
			earliest++
		}
		candidates := m[step]
		at := max(free[step], sort.Search(len(candidates), func(n int) bool { return candidates[n] >= earliest }))
		if at == len(candidates) || candidates[at] > times[0]+f.Window.Milliseconds() {
			break
		}
		times = append(times, candidates[at])
		free[step] = at + 1
	}
	return times
}
