package metrictest_test

import (
	"math/big"
	"slices"
	"strings"
	"time"
)

// oracle answers by brute force, straight from the definitions: sets of names and loops over all events, no slots, no
// tables, no shared code with what it checks.
type oracle struct {
	zone      *time.Location
	weekStart time.Weekday
	now       time.Time
	events    []fact
	roster    []entry
}

// fact is an event as it counts: deduplicated, clamped, its actor under the one name.
type fact struct {
	at                         time.Time
	who, name, team, kind, end string
}

type entry struct {
	team      string
	members   []string
	from, to  time.Time
	voluntary bool
}

func (e entry) holds(t time.Time) bool {
	return (e.from.IsZero() || !t.Before(e.from)) && (e.to.IsZero() || t.Before(e.to))
}

// ask is a question; all analyses share it.
type ask struct {
	entity, grain, kind string
	names               []string // nil: any
	from, to            time.Time
	minMembers          int
}

func (o oracle) selected(a ask, f fact) bool {
	if f.who == "" || f.kind != a.kind {
		return false
	}
	if a.names == nil {
		return f.end == "success"
	}
	return slices.Contains(a.names, f.name)
}

// acted are the entities for which an event counts.
func (o oracle) acted(a ask, f fact) []string {
	if a.entity == "actor" {
		return []string{f.who}
	}
	if f.team != "" {
		return []string{f.team}
	}
	var teams []string
	for _, e := range o.roster {
		if e.holds(f.at) && slices.Contains(e.members, f.who) && !slices.Contains(teams, e.team) {
			teams = append(teams, e.team)
		}
	}
	return teams
}

// begin is the beginning of the period around t, n periods later.
func (o oracle) begin(grain string, t time.Time, n int) time.Time {
	l := t.In(o.zone)
	y, m, d := l.Date()
	switch grain {
	case "week":
		back := (int(l.Weekday()) - int(o.weekStart) + 7) % 7
		return time.Date(y, m, d-back+7*n, 0, 0, 0, 0, o.zone)
	case "month":
		return time.Date(y, m+time.Month(n), 1, 0, 0, 0, 0, o.zone)
	case "quarter":
		return time.Date(y, (m-1)/3*3+1+time.Month(3*n), 1, 0, 0, 0, 0, o.zone)
	}
	return time.Date(y, m, d+n, 0, 0, 0, 0, o.zone)
}

// periods are the beginnings of the complete periods of the range.
func (o oracle) periods(a ask) []time.Time {
	var out []time.Time
	for p := a.from; p.Before(a.to) && !o.begin(a.grain, p, 1).After(o.now); p = o.begin(a.grain, p, 1) {
		out = append(out, p)
	}
	return out
}

func day(t time.Time, zone *time.Location) string { return t.In(zone).Format(time.DateOnly) }

type set map[string]bool

// active are the entities of a period.
func (o oracle) active(a ask, p time.Time) set {
	by := map[string]set{}
	end := o.begin(a.grain, p, 1)
	for _, f := range o.events {
		if o.selected(a, f) && !f.at.Before(p) && f.at.Before(end) {
			for _, x := range o.acted(a, f) {
				if by[x] == nil {
					by[x] = set{}
				}
				by[x][f.who] = true
			}
		}
	}
	out := set{}
	for x, actors := range by {
		if a.entity == "actor" || len(actors) >= a.minMembers {
			out[x] = true
		}
	}
	return out
}

// first is the beginning of the first period ever in which an entity was active.
func (o oracle) first(a ask, x string) time.Time {
	earliest := o.now
	for _, f := range o.events {
		if f.at.Before(earliest) {
			earliest = f.at
		}
	}
	for p := o.begin(a.grain, earliest, 0); !p.After(o.now); p = o.begin(a.grain, p, 1) {
		if o.active(a, p)[x] {
			return p
		}
	}
	return time.Time{}
}

func (o oracle) activeRows(a ask) [][]any {
	rows := [][]any{}
	for _, p := range o.periods(a) {
		rows = append(rows, []any{day(p, o.zone), float64(len(o.active(a, p)))})
	}
	return rows
}

func (o oracle) adoptionRows(a ask, voluntary *bool) [][]any {
	rows := [][]any{}
	for _, p := range o.periods(a) {
		end, eligible := o.begin(a.grain, p, 1), set{}
		for _, e := range o.roster {
			if voluntary != nil && e.voluntary != *voluntary || !e.from.IsZero() && !e.from.Before(end) || !e.to.IsZero() && !e.to.After(p) {
				continue
			}
			if a.entity == "team" {
				eligible[e.team] = true
			} else {
				for _, m := range e.members {
					eligible[m] = true
				}
			}
		}
		n := 0
		for x := range o.active(a, p) {
			if eligible[x] {
				n++
			}
		}
		row := []any{day(p, o.zone), float64(n), float64(len(eligible)), nil}
		if len(eligible) > 0 {
			row[3] = float64(n) / float64(len(eligible))
		}
		rows = append(rows, row)
	}
	return rows
}

func (o oracle) lifecycleRows(a ask) [][]any {
	rows := [][]any{}
	for _, p := range o.periods(a) {
		now, before := o.active(a, p), o.active(a, o.begin(a.grain, p, -1))
		var fresh, retained, back, dormant float64
		for x := range now {
			switch {
			case before[x]:
				retained++
			case o.first(a, x).Equal(p):
				fresh++
			default:
				back++
			}
		}
		for x := range before {
			if !now[x] {
				dormant++
			}
		}
		rows = append(rows, []any{day(p, o.zone), fresh, retained, back, dormant})
	}
	return rows
}

func (o oracle) retentionRows(a ask, mode string, bracket [2]int, recurring bool) [][]any {
	rows := [][]any{}
	periods := o.periods(a)
	actives := make([]set, len(periods))
	for i, p := range periods {
		actives[i] = o.active(a, p)
	}
	for c, p := range periods {
		cohort := []string{}
		for x := range actives[c] {
			if recurring || o.first(a, x).Equal(p) {
				cohort = append(cohort, x)
			}
		}
		row := []any{day(p, o.zone), float64(len(cohort))}
		within := func(i, j int) float64 {
			n := 0.0
			for _, x := range cohort {
				if slices.ContainsFunc(actives[i:j+1], func(s set) bool { return s[x] }) {
					n++
				}
			}
			return n
		}
		switch {
		case len(cohort) == 0:
		case mode == "bracket":
			if c+bracket[1] < len(periods) {
				row = append(row, within(c+bracket[0], c+bracket[1]))
			}
		default:
			for i := c; i < len(periods); i++ {
				if mode == "exact" {
					row = append(row, within(i, i))
				} else {
					row = append(row, within(i, len(periods)-1))
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func (o oracle) stickinessRows(a ask, days int) [][]any {
	a.grain = "day"
	counts := map[string]int{}
	for n := range days {
		p := o.begin("day", a.to, -1-n)
		if o.begin("day", p, 1).After(o.now) {
			continue
		}
		for x := range o.active(a, p) {
			counts[x]++
		}
	}
	rows := [][]any{}
	for n := 1; n <= days; n++ {
		have := 0
		for _, c := range counts {
			if c == n {
				have++
			}
		}
		if have > 0 {
			rows = append(rows, []any{float64(n), float64(have)})
		}
	}
	return rows
}

// byEntity lists each entity's events, in order of time.
func (o oracle) byEntity(a ask) map[string][]fact {
	out := map[string][]fact{}
	for _, f := range o.events {
		if f.who != "" && f.kind == a.kind {
			for _, x := range o.acted(a, f) {
				out[x] = append(out[x], f)
			}
		}
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b fact) int { return a.at.Compare(b.at) })
	}
	return out
}

func (o oracle) funnelRows(a ask, steps []string, window time.Duration, strict bool) [][]any {
	reached := make([][]float64, len(steps))
	for _, list := range o.byEntity(a) {
		var best []time.Time
		for i, f := range list {
			if f.name != steps[0] || f.at.Before(a.from) || !f.at.Before(a.to) {
				continue
			}
			used, times := map[int]bool{i: true}, []time.Time{f.at}
			for _, step := range steps[1:] {
				found := -1
				for j, g := range list {
					last := times[len(times)-1]
					if used[j] || g.name != step || g.at.Before(last) || strict && !g.at.After(last) || g.at.Sub(f.at) > window {
						continue
					}
					if found < 0 || g.at.Before(list[found].at) {
						found = j
					}
				}
				if found < 0 {
					break
				}
				used[found] = true
				times = append(times, list[found].at)
			}
			if len(times) > len(best) {
				best = times
			}
		}
		if len(best) == 0 || o.now.Before(best[0].Add(window)) {
			continue
		}
		for i, t := range best {
			reached[i] = append(reached[i], t.Sub(best[0]).Seconds())
		}
	}
	rows := [][]any{}
	for i, seconds := range reached {
		slices.Sort(seconds)
		row := []any{float64(i + 1), float64(len(seconds)), nil}
		if n := len(seconds); n > 0 {
			row[2] = (seconds[(n-1)/2] + seconds[n/2]) / 2
		}
		rows = append(rows, row)
	}
	return rows
}

func (o oracle) timeToValue(a ask, start, reach []string, horizon time.Duration) map[string]any {
	type watched struct {
		ms      int64
		reached bool
	}
	var all []watched
	for _, list := range o.byEntity(a) {
		i := slices.IndexFunc(list, func(f fact) bool { return slices.Contains(start, f.name) })
		if i < 0 || list[i].at.Before(a.from) || !list[i].at.Before(a.to) {
			continue
		}
		begin := list[i].at
		end := begin.Add(horizon)
		if o.now.Before(end) {
			end = o.now
		}
		w := watched{end.Sub(begin).Milliseconds(), false}
		for _, f := range list {
			if slices.Contains(reach, f.name) && !f.at.Before(begin) && f.at.Sub(begin) <= horizon {
				w = watched{f.at.Sub(begin).Milliseconds(), true}
				break
			}
		}
		all = append(all, w)
	}
	value := map[string]any{"n": float64(len(all)), "median_seconds": nil}
	reached := 0
	survival := big.NewRat(1, 1)
	slices.SortFunc(all, func(a, b watched) int { return int(a.ms - b.ms) })
	for i := 0; i < len(all); {
		atRisk, events, ms := len(all)-i, 0, all[i].ms
		for ; i < len(all) && all[i].ms == ms; i++ {
			if all[i].reached {
				events++
			}
		}
		reached += events
		survival.Mul(survival, big.NewRat(int64(atRisk-events), int64(atRisk)))
		if events > 0 && value["median_seconds"] == nil && survival.Cmp(big.NewRat(1, 2)) <= 0 {
			value["median_seconds"] = float64(ms) / 1000
		}
	}
	value["reached"], value["censored"] = float64(reached), float64(len(all)-reached)
	return value
}

func kindOf(actor string) string {
	if strings.HasPrefix(actor, "system:") {
		return "machine"
	}
	return "human"
}
