package catalogue

import (
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
)

// question is what a statement of a metric is asked: the periods, the split and the filters, as SQL with parameters.
type question struct {
	periods  []journey.Period
	by       string
	filter   map[string]string
	notValue []string
	now      time.Time
	zone     string
	links    identityLinks
	// withWhole: figures split by team are there for all teams together, too, under allTeams.
	withWhole bool
	// asked is the statement of the metric.
	asked string
	// rosterCuts are the instants at which memberships begin or end.
	rosterCuts []int64
	// roster is the version of the roster, and told says whether any actor has told its team itself.
	roster uint64
	told   bool
}

// identityLinks map merged identities to the one that stands for them.
type identityLinks struct{ from, to []uint64 }

// relation is one of the names that statements may read.
type relation struct {
	name string
	word *regexp.Regexp
	sql  func(q question, mentioned string) string
}

var relations = []relation{
	{"members", regexp.MustCompile(`\bmembers\b`), question.members},
	{"counts", regexp.MustCompile(`\bcounts\b`), question.counts},
	{"refusals", regexp.MustCompile(`\brefusals\b`), question.refusals},
	{"acts", regexp.MustCompile(`\bacts\b`), question.acts},
	{"creations", regexp.MustCompile(`\bcreations\b`), question.creations},
	{"activity", regexp.MustCompile(`\bactivity\b`), question.activity},
	{"writers", regexp.MustCompile(`\bwriters\b`), question.writers},
	{"changed_kinds", regexp.MustCompile(`\bchanged_kinds\b`), question.changedKinds},
	{"eligible", regexp.MustCompile(`\beligible\b`), question.eligible},
	{"spans", regexp.MustCompile(`\bspans\b`), question.spans},
	{"changes", regexp.MustCompile(`\bchanges\b`), question.changes},
	{"states", regexp.MustCompile(`\bstates\b`), question.states},
	{"stretches", regexp.MustCompile(`\bstretches\b`), question.stretches},
	{"owners", regexp.MustCompile(`\bowners\b`), question.owners},
	{"workload_slices", regexp.MustCompile(`\bworkload_slices\b`), question.workloadSlices},
	{"voices", regexp.MustCompile(`\bvoices\b`), question.voices},
	{"consumed", regexp.MustCompile(`\bconsumed\b`), question.consumed},
	{"amounts", regexp.MustCompile(`\bamounts\b`), question.amounts},
	{"priced", regexp.MustCompile(`\bpriced\b`), question.priced},
	{"costs", regexp.MustCompile(`\bcosts\b`), question.costs},
	{"cohorts", regexp.MustCompile(`\bcohorts\b`), question.cohorts},
	{"reclaimed", regexp.MustCompile(`\breclaimed\b`), question.reclaimed},
	{"restored", regexp.MustCompile(`\brestored\b`), question.restored},
	{"capabilities", regexp.MustCompile(`\bcapabilities\b`), question.capabilities},
}

// statement puts the relations that a metric's statement mentions in front of it, with the parameters that they use.
func (q question) statement(sql string) (string, map[string]any) {
	var with []string
	mentioned := sql
	q.asked = sql
	for _, r := range slices.Backward(relations) {
		if r.word.MatchString(mentioned) {
			body := r.sql(q, mentioned)
			mentioned += body
			with = append(with, r.name+" AS (\n"+body+"\n)")
		}
	}
	slices.Reverse(with)
	full := fmt.Sprintf("SELECT toInt64(period) AS period, toString(dim) AS dim, * EXCEPT (period, dim)\nFROM (\n%s\n)", strings.TrimSpace(sql))
	if len(with) > 0 {
		full = "WITH\n" + strings.Join(with, ",\n") + "\n" + full
	}
	return full, q.params(full)
}

// params binds what a statement uses.
func (q question) params(sql string) map[string]any {
	starts, ends := q.bounds()
	marks := slices.Concat(starts, ends)
	slices.Sort(marks)
	all := map[string]any{
		"starts": starts, "ends": ends, "slots": q.slots(), "marks": slices.Compact(marks), "now": q.now.UnixMilli(),
		"alias_from": q.links.from, "alias_to": q.links.to, "not_value": q.notValue, "zone": q.zone, "all_teams": allTeams,
	}
	if segments, ok := q.segments(); ok {
		maps.Copy(all, segments.Params())
	}
	for name, value := range q.filter {
		all[name] = value
	}
	for name := range all {
		if !strings.Contains(sql, "{"+name+":") {
			delete(all, name)
		}
	}
	return all
}

// slots are the instants between which neither the period nor the roster changes.
func (q question) slots() []int64 {
	starts, ends := q.bounds()
	slots := slices.Concat(starts, ends)
	for _, cut := range q.rosterCuts {
		if starts[0] < cut && cut < ends[len(ends)-1] {
			slots = append(slots, cut)
		}
	}
	slices.Sort(slots)
	return slices.Compact(slots)
}

// segments are the days of the slots that lie in the periods.
func (q question) segments() (analysis.Segments, bool) {
	slots := q.slots()
	last := len(slots) - 1
	if slots[0] < 0 {
		return analysis.Segments{}, false
	}
	all, ok := analysis.SegmentsOf(slots[:last], slots[last])
	return all.Where(func(slot int64) bool {
		return slices.ContainsFunc(q.periods, func(p journey.Period) bool { return p.From.UnixMilli() <= slot && slot < p.To.UnixMilli() })
	}), ok
}

func (q question) bounds() (starts, ends []int64) {
	for _, p := range q.periods {
		starts = append(starts, p.From.UnixMilli())
		ends = append(ends, p.To.UnixMilli())
	}
	return starts, ends
}

// ranges are the periods, neighbouring ones as one, so that the engine can skip the rest.
func (q question) ranges() []journey.Period {
	var ranges []journey.Period
	for _, p := range q.periods {
		if last := len(ranges) - 1; last >= 0 && p.From.Equal(ranges[last].To) {
			ranges[last].To = p.To
			continue
		}
		ranges = append(ranges, p)
	}
	return ranges
}

// during restricts time to the periods.
func (q question) during() string {
	var ranges []string
	for _, r := range q.ranges() {
		ranges = append(ranges, fmt.Sprintf("time >= fromUnixTimestamp64Milli(toInt64(%d), 'UTC') AND time < fromUnixTimestamp64Milli(toInt64(%d), 'UTC')",
			r.From.UnixMilli(), r.To.UnixMilli()))
	}
	return "((" + strings.Join(ranges, ") OR (") + "))"
}

// oneActor is the one identity of an actor.
func (q question) oneActor() string {
	if len(q.links.from) == 0 {
		return "actor"
	}
	return "transform(actor, {alias_from:Array(UInt64)}, {alias_to:Array(UInt64)}, actor)"
}

// rostered are the rows of the roster about people. Its version is asked for once: the engine would plan that again for each statement.
func (q question) rostered() string {
	return fmt.Sprintf("roster WHERE version = %d AND actor != 0", q.roster)
}

// members lists, for each actor, the memberships of the roster and, where anybody has told such of himself, those, as (team, from, to) in Unix
// milliseconds.
func (q question) members(string) string {
	if !q.told {
		return fmt.Sprintf(`SELECT %s AS member, groupArray((toString(team), toUnixTimestamp64Milli(valid_from), toUnixTimestamp64Milli(valid_to))) AS memberships
FROM %s GROUP BY member`, q.oneActor(), q.rostered())
	}
	return fmt.Sprintf(`SELECT member, groupArrayIf((team, valid_from, valid_to), NOT told) AS memberships, groupArrayIf((team, valid_from, valid_to), told) AS said
FROM (
    SELECT %[1]s AS member, toString(team) AS team, toUnixTimestamp64Milli(valid_from) AS valid_from, toUnixTimestamp64Milli(valid_to) AS valid_to, false AS told
    FROM %[3]s
    UNION ALL
    SELECT member, latest AS team, since AS valid_from,
        leadInFrame(since, 1, toInt64(%[2]d)) OVER (PARTITION BY member ORDER BY since ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS valid_to, true AS told
    FROM (SELECT %[1]s AS member, toInt64(toUInt16(day)) * 86400000 AS since, toString(argMax(team, version)) AS latest FROM actor_groups GROUP BY member, since)
) GROUP BY member`, q.oneActor(), analysis.OpenEnd, q.rostered())
}

// teamsAt are the teams of a row with actor_team and what members lists at an instant: the event's own, else the roster's, else what the
// actor said.
func (q question) teamsAt(instant string) string {
	holding := func(list string) string {
		return fmt.Sprintf("arrayFilter(m -> m.2 <= %[1]s AND %[1]s < m.3, %[2]s)", instant, list)
	}
	teams := holding("memberships")
	if q.told {
		teams = fmt.Sprintf("if(arrayExists(m -> m.2 <= %[1]s AND %[1]s < m.3, memberships), %[2]s, %[3]s)", instant, teams, holding("said"))
	}
	return fmt.Sprintf("if(actor_team != '', [toString(actor_team)], arrayDistinct(arrayMap(m -> toString(m.1), %s)))", teams)
}

// listed are the teams of each member at an instant, in Unix milliseconds, in order: a resampling of teams takes the first one.
func (q question) listed(at int64) string {
	holding := fmt.Sprintf("valid_from <= fromUnixTimestamp64Milli(toInt64(%[1]d), 'UTC') AND valid_to > fromUnixTimestamp64Milli(toInt64(%[1]d), 'UTC')", at)
	if !q.told {
		return fmt.Sprintf("SELECT %s AS member, arraySort(groupUniqArray(toString(team))) AS listed FROM %s AND %s GROUP BY member", q.oneActor(), q.rostered(), holding)
	}
	return fmt.Sprintf(`SELECT member, if(empty(memberships), said, memberships) AS listed
    FROM (
        SELECT member, arraySort(groupUniqArrayIf(team, NOT told)) AS memberships, groupArrayIf(team, told) AS said
        FROM (
            SELECT %[1]s AS member, toString(team) AS team, false AS told FROM %[2]s AND %[3]s
            UNION ALL
            SELECT %[1]s AS member, toString(argMax(team, (day, version))) AS team, true AS told FROM actor_groups WHERE toInt64(toUInt16(day)) * 86400000 <= %[4]d GROUP BY member
        ) GROUP BY member
    )`, q.oneActor(), q.rostered(), holding, at)
}

// joinTeams selects columns of events (rows with actor and actor_team, of instants in the periods) and the teams that each counts for.
// Where the roster does not change in the periods, the teams of each actor are found once.
func (q question) joinTeams(columns, events, instant string) string {
	if !q.rosterChanges() {
		if columns == "*" {
			columns = "* EXCEPT (member, listed)"
		}
		return fmt.Sprintf(`SELECT %s, if(actor_team != '', [toString(actor_team)], listed) AS teams FROM (
    %s
    ) AS e LEFT JOIN (%s) AS r ON e.actor = r.member`, columns, events, q.listed(q.periods[0].From.UnixMilli()))
	}
	if columns == "*" {
		columns = "* EXCEPT (member, memberships)"
		if q.told {
			columns = "* EXCEPT (member, memberships, said)"
		}
	}
	return fmt.Sprintf("SELECT %s, %s AS teams FROM (\n    %s\n    ) AS e LEFT JOIN members AS r ON e.actor = r.member", columns, q.teamsAt(instant), events)
}

// joinTeam selects columns of rows with actor and actor_team once for each team that a row counts for, or for no team, where the roster does
// not change. A row whose team is its own may come several times.
func (q question) joinTeam(columns, rows string) string {
	return fmt.Sprintf(`SELECT %s, if(actor_team != '', toString(actor_team), listed) AS team FROM (
    %s
    ) AS e LEFT JOIN (SELECT member, arrayJoin(listed) AS listed FROM (%s)) AS r ON e.actor = r.member`, columns, rows, q.listed(q.periods[0].From.UnixMilli()))
}

// rosterChanges says whether it does so between the beginning of the first period and the end of the last.
func (q question) rosterChanges() bool {
	starts, ends := q.bounds()
	return slices.ContainsFunc(q.rosterCuts, func(cut int64) bool { return starts[0] < cut && cut < ends[len(ends)-1] })
}

// split is the column dim of a relation made of events; where it is split by team, a row is there once for each team.
func (q question) split() string {
	switch q.by {
	case "":
		return "''"
	case journey.DimensionTeam:
		return "toString(team)"
	}
	return "toString(" + q.by + ")"
}

// restricted are the conditions of the filters on columns of events.
func (q question) restricted() string {
	sql := ""
	for _, name := range []string{journey.DimensionCluster, journey.DimensionPersona} {
		if _, ok := q.filter[name]; ok {
			sql += fmt.Sprintf(" AND %s = {%s:String}", name, name)
		}
	}
	return sql
}

// acts joins the roster only where teams matter, since it reads every event.
func (q question) acts(sql string) string {
	const columns = `id, time, received, source, name, %s AS actor, actor_kind, actor_team, owner_team, persona, cluster, namespace,
        resource, object, outcome, reason, duration_ms, value, attributes, environment,
        roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS period`
	events := fmt.Sprintf("SELECT "+columns+"\n    FROM events\n    WHERE %s%s", q.oneActor(), q.during(), q.restricted())
	return q.withTeams(events, "toUnixTimestamp64Milli(time)", sql)
}

// withTeams gives rows with actor and actor_team, of events at an instant (Unix milliseconds, an expression), the columns dim and, where
// teams matter to the statement sql, teams.
func (q question) withTeams(events, instant, sql string) string {
	if !q.teamsMatter(sql) {
		return fmt.Sprintf("SELECT *, %s AS dim FROM (\n    %s\n)", q.split(), events)
	}
	events = q.joinTeams("*", events, instant)
	_, filtered := q.filter[journey.DimensionTeam]
	condition, speaks := "", ""
	if mentions(sql, "counts_for") {
		speaks = ", " + q.countsFor() + " AS counts_for"
	}
	if q.by != journey.DimensionTeam {
		if filtered {
			condition = "\nWHERE has(teams, {team:String})"
		}
		return fmt.Sprintf("SELECT *, %s AS dim%s FROM (\n    %s\n)%s", q.split(), speaks, events, condition)
	}
	if filtered {
		condition = "\nWHERE team = {team:String}"
	}
	return fmt.Sprintf("SELECT * EXCEPT team, toString(team) AS dim%s FROM (\n    %s\n) %s%s", speaks, events, q.eachTeam(), condition)
}

// countsFor are those of a row's teams that the figure is about: the one of the split or the filter, or else all.
func (q question) countsFor() string {
	_, filtered := q.filter[journey.DimensionTeam]
	switch {
	case q.by == journey.DimensionTeam && q.withWhole:
		return "multiIf(team = {all_teams:String}, teams, team = '', [], [toString(team)])"
	case q.by == journey.DimensionTeam:
		return "if(team = '', [], [toString(team)])"
	case filtered:
		return "[{team:String}]"
	}
	return "teams"
}

// eachTeam repeats a row with teams for each of them, in the column team, or has it once for no team.
func (q question) eachTeam() string {
	if q.withWhole {
		return "ARRAY JOIN arrayPushBack(if(empty(teams), [''], teams), {all_teams:String}) AS team"
	}
	return "ARRAY JOIN if(empty(teams), [''], teams) AS team"
}

// allTeams is the team under which figures of all teams together come. No event can name such a team, since nobody can guess it.
var allTeams = "all-" + rand.Text()

// knowWhole are the relations that can have figures for all teams beside those by team.
var knowWhole = []string{"acts", "creations", "refusals", "activity", "writers", "changed_kinds", "members", "owners"}

// ownTeam is the column team of a relation by itself, not that of a joined one.
var ownTeam = regexp.MustCompile(`(^|[^.\w])team\b`)

// canHaveWhole says whether a metric's statements, asked by team, can also give what they give when they are not split: all that they
// read are rows that have teams, of which the statements themselves do not speak.
func (q question) canHaveWhole(s journey.MetricSQL) bool {
	_, filtered := q.filter[journey.DimensionTeam]
	return !filtered && !slices.ContainsFunc(s.Statements(), func(part journey.MetricStatement) bool {
		return ownTeam.MatchString(part.SQL) || !slices.ContainsFunc(relations, func(r relation) bool { return r.word.MatchString(part.SQL) }) ||
			slices.ContainsFunc(relations, func(r relation) bool { return r.word.MatchString(part.SQL) && !slices.Contains(knowWhole, r.name) })
	})
}

func (q question) eligible(string) string {
	split := "''"
	if q.by == journey.DimensionTeam || q.by == journey.DimensionPersona {
		split = "toString(" + q.by + ")"
	}
	condition := ""
	for _, name := range []string{journey.DimensionTeam, journey.DimensionPersona} {
		if _, ok := q.filter[name]; ok {
			condition += fmt.Sprintf(" AND %s = {%s:String}", name, name)
		}
	}
	return fmt.Sprintf(`SELECT span.1 AS period, %s AS dim, team, %s AS actor, voluntary, persona
FROM roster ARRAY JOIN arrayZip({starts:Array(Int64)}, {ends:Array(Int64)}) AS span
WHERE version = %d AND valid_from < fromUnixTimestamp64Milli(span.2, 'UTC') AND valid_to > fromUnixTimestamp64Milli(span.1, 'UTC')%s`, split, q.oneActor(), q.roster, condition)
}

// capabilities are what the platform offered at some time in each period.
func (q question) capabilities(string) string {
	return `SELECT span.1 AS period, '' AS dim, toString(name) AS capability, title, toString(owner) AS owner, events
FROM capabilities_current ARRAY JOIN arrayZip({starts:Array(Int64)}, {ends:Array(Int64)}) AS span
WHERE valid_from < fromUnixTimestamp64Milli(span.2, 'UTC') AND valid_to > fromUnixTimestamp64Milli(span.1, 'UTC')`
}

// voices is the feedback of the periods.
func (q question) voices(string) string {
	return fmt.Sprintf(`SELECT *, roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS period, %s AS dim
FROM feedback FINAL
WHERE %s%s`, q.split(), q.during(), q.ofTeam())
}

// restored are the incidents that ended in the periods.
func (q question) restored(string) string {
	condition := ""
	if _, ok := q.filter[journey.DimensionService]; ok {
		condition = " AND service = {service:String}"
	}
	return fmt.Sprintf(`SELECT *, roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS period, %s AS dim
FROM (SELECT *, assumeNotNull(resolved) AS time FROM incidents FINAL WHERE resolved IS NOT NULL)
WHERE %s%s`, q.split(), q.during(), condition)
}

// ofTeam is the condition of the filter on a column team.
func (q question) ofTeam() string {
	if _, ok := q.filter[journey.DimensionTeam]; ok {
		return " AND team = {team:String}"
	}
	return ""
}

func (q question) spans(string) string {
	return `SELECT span.1 AS period, '' AS dim, greatest(0, least(span.2, {now:Int64}) - span.1) / 86400000 AS days
FROM (SELECT arrayJoin(arrayZip({starts:Array(Int64)}, {ends:Array(Int64)})) AS span)`
}
