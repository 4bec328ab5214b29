package catalogue

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// countedColumns are what the projection counts of the table events keeps of an event, each as the projection writes it: the engine
// finds the projection by these very expressions.
var countedColumns = []countedColumn{
	{name: "outcome", sql: "outcome"}, {name: "reason", sql: "reason"}, {name: "actor_kind", sql: "actor_kind"}, {name: "name", sql: "name"},
	{name: "hour", sql: hourSQL}, {name: "source", sql: "source"}, {name: "cluster", sql: "cluster"}, {name: "persona", sql: "persona"},
	{name: "environment", sql: "environment"},
}

// refusedColumns are kept of acts that did not succeed only.
var refusedColumns = []countedColumn{
	{name: "actor", sql: "if(outcome = 'success', 0, actor)", ofTeam: true},
	{name: "actor_team", sql: "if(outcome = 'success', '', actor_team)", ofTeam: true},
	{name: "namespace", sql: "if(outcome = 'success', '', namespace)"},
}

type countedColumn struct {
	name, sql string
	// ofTeam: a team is found by it.
	ofTeam bool
}

const hourSQL = "toStartOfHour(time)"

// counts are numbers of events. They come from the projection, an hour of which is the least that can be told apart, where no period
// begins within an hour, and the team does not matter; else from the events.
func (q question) counts(sql string) string {
	if q.byTeam() || !q.wholeHours() {
		return fmt.Sprintf("SELECT *, %s AS hour, 1 AS events FROM (\n%s\n)", hourSQL, q.acts(sql))
	}
	columns := ""
	for _, c := range countedColumns {
		if mentions(sql, c.name) || c.name == q.by {
			columns += fmt.Sprintf(", %s AS %s", c.sql, c.name)
		}
	}
	return fmt.Sprintf("SELECT *, %s AS dim FROM (\n    SELECT %s AS period%s, count() AS events\n    FROM events\n    WHERE %s%s\n    GROUP BY ALL\n)",
		q.split(), countedPeriod("marks"), columns, q.inSeconds(hourSQL), q.restricted())
}

// refusals are numbers of events that did not succeed, by who was refused what, and where. They come from the projection where no period
// and, as far as teams matter, no membership begins within an hour; else from the events.
func (q question) refusals(sql string) string {
	if !q.wholeHours() || q.teamsMatter(sql) && !q.wholeSlots() {
		return fmt.Sprintf("SELECT *, %s AS hour, 1 AS events FROM (\n%s\n) WHERE outcome != 'success'", hourSQL, q.acts(sql))
	}
	columns, one := "", ""
	for _, c := range slices.Concat(refusedColumns, countedColumns) {
		if mentions(sql, c.name) || c.name == q.by || c.ofTeam && q.teamsMatter(sql) {
			columns += fmt.Sprintf(", %s AS %s", c.sql, c.name)
			if c.name == "actor" {
				one = fmt.Sprintf(" REPLACE (%s AS actor)", q.oneActor())
			}
		}
	}
	counted := fmt.Sprintf("SELECT %s AS slot%s, count() AS events\n    FROM events\n    WHERE %s%s AND outcome != 'success'\n    GROUP BY ALL",
		countedPeriod("slots"), columns, q.inSeconds(hourSQL), q.restricted())
	return q.withTeams(fmt.Sprintf("SELECT *%s, roundDown(slot, {marks:Array(Int64)}) AS period FROM (\n    %s\n    )", one, counted), "slot", sql)
}

func countedPeriod(marks string) string {
	return fmt.Sprintf("roundDown(toInt64(toUnixTimestamp(%s)) * 1000, {%s:Array(Int64)})", hourSQL, marks)
}

func mentions(sql, word string) bool { return regexp.MustCompile(`\b` + word + `\b`).MatchString(sql) }

// teamsMatter says whether a statement asks for teams, or is asked by team.
func (q question) teamsMatter(sql string) bool {
	return q.byTeam() || mentions(sql, "teams") || mentions(sql, "counts_for")
}

// byTeam says whether figures are split or filtered by team.
func (q question) byTeam() bool {
	_, filtered := q.filter[journey.DimensionTeam]
	return filtered || q.by == journey.DimensionTeam
}

// wholeSlots says whether the roster changes at whole hours only.
func (q question) wholeSlots() bool {
	for _, at := range q.slots() {
		if at%time.Hour.Milliseconds() != 0 {
			return false
		}
	}
	return true
}
