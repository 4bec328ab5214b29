package catalogue

import (
	"fmt"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
)

// byPeople are the successful events of people, as events, activity_days and the tables of months have them.
const byPeople = "actor_kind = 'human' AND actor != 0 AND outcome = 'success'"

// doing is what people did, and where that is kept by the month.
type doing struct {
	// condition is on events, besides byPeople.
	condition string
	// value: of value events only.
	value bool
	// table has rows of months, whose days are in the column bits.
	table, bits string
	// columns are further ones of a row, as events tell each.
	columns []actColumn
}

type actColumn struct{ name, sql string }

// got is that people got value, wrote that they changed anything in a cluster, and changed what they changed, be it in a cluster or not.
var (
	got     = doing{value: true, table: "activity_months", bits: "days"}
	wrote   = doing{condition: " AND startsWith(source, 'audit/')", table: "activity_months", bits: "audited"}
	changed = doing{condition: " AND resource != ''", value: true, table: "activity_kinds", bits: "days", columns: []actColumn{{"kind", kindSQL}}}
)

// kindSQL is the resource of an event without a subresource, as activity_kinds has it.
const kindSQL = "splitByChar('/', toString(resource))[1]"

// activity joins the roster only where teams matter, and reads days and months instead of events where they know as much.
func (q question) activity(string) string { return q.doneBy(got) }

// writers are who changed what is in clusters, as audit logs tell.
func (q question) writers(string) string { return q.doneBy(wrote) }

// changedKinds are which kinds of resources who changed.
func (q question) changedKinds(string) string { return q.doneBy(changed) }

// doneBy is a relation of who did something; no other relation reads it, so that the metric's statement alone says what matters.
func (q question) doneBy(d doing) string {
	if d.table == got.table && mentions(q.asked, "resource") { // which the tables of months do not keep
		d.columns = append(d.columns, actColumn{"resource", "resource"})
		d.table = ""
	}
	if q.by == journey.DimensionCluster || q.by == journey.DimensionPersona {
		d.columns = append([]actColumn{{q.by, q.by}}, d.columns...)
	}
	if !q.byTeam() && !mentions(q.asked, "team") {
		return fmt.Sprintf("SELECT roundDown(slot, {marks:Array(Int64)}) AS period, %s AS dim, actor%s FROM (\n    %s\n)", q.split(), d.names(), q.done(d, ""))
	}
	condition := ""
	if _, filtered := q.filter[journey.DimensionTeam]; filtered {
		condition = "\nWHERE team = {team:String}"
	}
	period := fmt.Sprintf("SELECT roundDown(slot, {marks:Array(Int64)}) AS period, %s AS dim, toString(team) AS team%s", q.split(), d.names())
	if rows, ok := q.teamMonths(d); ok {
		return fmt.Sprintf("%s\nFROM (\n    %s\n)%s", period, rows, condition)
	}
	rows := q.done(d, ", actor_team")
	if !q.rosterChanges() { // the teams of an actor are found once for all slots
		rows = fmt.Sprintf("SELECT actor, actor_team%[1]s, groupUniqArray(slot) AS slots FROM (\n%[2]s\n    ) GROUP BY actor, actor_team%[1]s", d.names(), rows)
		return fmt.Sprintf("%s, actor\nFROM (\n    SELECT arrayJoin(slots) AS slot, actor, team%s FROM (\n    %s\n    ) %s%s\n)",
			period, d.names(), q.joinTeams("slots, actor"+d.names(), rows, ""), q.eachTeam(), condition)
	}
	if !strings.Contains(rows, "activity_months") { // whose rows hardly repeat
		rows = fmt.Sprintf("SELECT DISTINCT slot, actor, actor_team%s FROM (\n%s\n    )", d.names(), rows)
	}
	return fmt.Sprintf("%s, actor\nFROM (\n    %s\n) %s%s", period, q.joinTeams("slot, actor"+d.names(), rows, "slot"), q.eachTeam(), condition)
}

// names are the further columns, with a comma before each.
func (d doing) names() string {
	names := ""
	for _, c := range d.columns {
		names += ", " + c.name
	}
	return names
}

// segments of a doing are those of the question, where days and months know as much as events.
func (q question) segmentsOf(d doing) (analysis.Segments, bool) {
	kept := d.table == changed.table && len(d.columns) == 1 || d.table == got.table && len(d.columns) == 0
	if !kept || q.restricted() != "" || d.value && !analysis.RollupKnows(q.notValue) {
		return analysis.Segments{}, false
	}
	return q.segments()
}

// teamMonths are the slots in which teams did it, for a statement that does not ask who. Where the roster does not change, the days of all
// members of a team are put together first, which leaves much less to find the slots of.
func (q question) teamMonths(d doing) (string, bool) {
	segments, ok := q.segmentsOf(d)
	if !ok || !segments.Long() || q.rosterChanges() || q.withWhole || mentions(q.asked, "actor") {
		return "", false
	}
	rows := fmt.Sprintf("SELECT month, %s AS actor, actor_team, %s AS bits%s\n    FROM %s\n    WHERE %s%s AND %s",
		q.oneActor(), d.bits, d.names(), d.table, byPeople, q.looks(d, "look"), segments.InMonths())
	months := fmt.Sprintf("SELECT month, team%[1]s, groupBitOr(bits) AS bits FROM (\n    %[2]s\n    )\n    GROUP BY month, team%[1]s", d.names(), q.joinTeam("month, bits"+d.names(), rows))
	branches := []string{segments.OfMonths(months, "team"+d.names())}
	if cut := q.doneOnCutDays(d, segments, ", actor_team"); cut != "" {
		branches = append(branches, fmt.Sprintf("SELECT slot, team%[1]s FROM (\n    %[2]s\n    ) %[3]s", d.names(), q.joinTeams("slot"+d.names(), cut, ""), q.eachTeam()))
	}
	return strings.Join(branches, "\n    UNION ALL\n    "), true
}

// looks leaves out events that are no value events, which a column names.
func (q question) looks(d doing, column string) string {
	if !d.value || len(q.notValue) == 0 {
		return ""
	}
	return " AND " + column + " NOT IN {not_value:Array(String)}"
}

// done is who did it in which slot: rows with slot, actor, what team names and the further columns.
func (q question) done(d doing, team string) string {
	segments, ok := q.segmentsOf(d)
	if !ok {
		return q.acted(d, team, "")
	}
	who, where := q.oneActor()+" AS actor"+team+d.names(), byPeople+q.looks(d, "look")
	if d.bits == got.bits && d.table == got.table {
		return "    " + segments.Seen(who, where)
	}
	var branches []string
	if cut := q.doneOnCutDays(d, segments, team); cut != "" {
		branches = append(branches, cut)
	}
	if segments.HasWhole() {
		branches = append(branches, segments.Months(d.table, d.bits, who, where))
	}
	return "    " + strings.Join(branches, "\n        UNION ALL\n        ")
}

// doneOnCutDays is done on the days that a slot's end cuts through; empty: there are none.
func (q question) doneOnCutDays(d doing, segments analysis.Segments, team string) string {
	if d.bits == got.bits && d.table == got.table {
		return segments.SeenCut(q.oneActor()+" AS actor"+team, byPeople+q.looks(d, "look"))
	}
	if cut := segments.Cut(); cut != "" {
		return q.acted(d, team, " AND "+cut)
	}
	return ""
}

// acted is who had such events, as far as they fulfil a condition, in which slot.
func (q question) acted(d doing, team, condition string) string {
	columns := ""
	for _, c := range d.columns {
		columns += ", " + c.sql
		if c.sql != c.name {
			columns += " AS " + c.name
		}
	}
	return fmt.Sprintf(`    SELECT roundDown(toUnixTimestamp64Milli(time), {slots:Array(Int64)}) AS slot, %[1]s AS actor%[2]s%[3]s
        FROM events
        WHERE %[4]s%[5]s%[6]s AND %[7]s%[8]s%[9]s
        GROUP BY slot, actor%[2]s%[10]s`, q.oneActor(), team, columns, byPeople, d.condition, q.looks(d, "name"), q.during(), q.restricted(), condition, d.names())
}
