package catalogue

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// watched are the conditions of the filters on columns of resources. The team is the owner's.
func (q question) watched() string {
	sql := ""
	for _, name := range []string{journey.DimensionCluster, journey.DimensionTeam} {
		if _, ok := q.filter[name]; ok {
			sql += fmt.Sprintf(" AND %s = {%s:String}", name, name)
		}
	}
	return sql
}

// changes are what happened in the periods; an interval counts at its end.
func (q question) changes(string) string {
	return fmt.Sprintf(`SELECT *, roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS period, %s AS dim
FROM resource_changes FINAL
WHERE %s%s`, q.split(), q.during(), q.watched())
}

// stateColumns are what states tell of a resource.
var stateColumns = []string{
	"namespace", "name", "region", "k8s_version", "team", "created", "first_ready", "terminating", "desired", "available", "labels", "attributes", "seen",
}

// everyColumn finds what asks for columns without naming them.
var everyColumn = regexp.MustCompile(`(?i)(\bselect|,|\bdistinct|\.)\s*\*|\bcolumns\s*\(`)

// stateTold are the columns of states that a statement asks for: the engine plans each of them anew for each statement.
func (q question) stateTold(sql string) []string {
	if everyColumn.MatchString(sql) {
		return stateColumns
	}
	return slices.DeleteFunc(slices.Clone(stateColumns), func(name string) bool {
		_, filtered := q.filter[name]
		return !filtered && name != q.by && !mentions(sql, name)
	})
}

// states reduces what was recorded of a resource to its last state before the end of each period. Those of clusters that nobody has watched
// for forgottenAfter are left out: nobody knows what has become of them.
func (q question) states(sql string) string {
	told := q.stateTold(sql)
	columns := ""
	for i, name := range told {
		columns += fmt.Sprintf(", state.%d AS %s", i+1, name)
	}
	state, watched := q.lastStates(strings.Join(append(told, "change"), ", ")), q.watchedClusters()
	return fmt.Sprintf(`SELECT *, %[1]s AS dim
FROM (
    SELECT period, period_end, cluster, kind, uid%[2]s
    FROM (
        %[3]s
    )
    WHERE state.%[4]d != 'deleted' AND %[5]s
)
WHERE 1%[6]s`, q.split(), columns, state, len(told)+1, watched, q.watched())
}

// lastStates are the last states, as tuples of columns. Of several periods, it takes for each the newest one so far: most resources have far
// fewer states than there are periods.
func (q question) lastStates(columns string) string {
	cluster := ""
	if _, ok := q.filter[journey.DimensionCluster]; ok {
		cluster = " AND cluster = {cluster:String}"
	}
	if len(q.periods) == 1 {
		return fmt.Sprintf(`SELECT {starts:Array(Int64)}[1] AS period, fromUnixTimestamp64Milli(least({ends:Array(Int64)}[1], {now:Int64}), 'UTC') AS period_end, cluster, kind, uid,
            argMax(tuple(%s), state_version) AS state
        FROM resource_changes FINAL
        WHERE seen < period_end AND period < {now:Int64}%s
        GROUP BY cluster, kind, uid`, columns, cluster)
	}
	return fmt.Sprintf(`SELECT span.1 AS period, fromUnixTimestamp64Milli(least(span.2, {now:Int64}), 'UTC') AS period_end, cluster, kind, uid,
            argMax(last, newest) AS state
        FROM (
            SELECT cluster, kind, uid, arrayFirst(e -> e > toUnixTimestamp64Milli(seen), {ends:Array(Int64)}) AS since, max(state_version) AS newest,
                argMax(tuple(%s), state_version) AS last
            FROM resource_changes FINAL
            WHERE seen < fromUnixTimestamp64Milli(least({ends:Array(Int64)}[-1], {now:Int64}), 'UTC')%s
            GROUP BY cluster, kind, uid, since
        ) ARRAY JOIN arrayZip({starts:Array(Int64)}, {ends:Array(Int64)}) AS span
        WHERE since <= span.2 AND span.1 < {now:Int64}
        GROUP BY span, cluster, kind, uid`, columns, cluster)
}

// watchedClusters is the condition that a state's cluster was watched within forgottenAfter of the end of its period.
func (q question) watchedClusters() string {
	if len(q.periods) == 1 {
		const end = "least({ends:Array(Int64)}[1], {now:Int64})"
		return fmt.Sprintf(`toString(cluster) IN (
        SELECT toString(cluster) FROM cluster_hours
        WHERE toInt64(toUnixTimestamp(hour)) * 1000 < %[1]s AND toInt64(toUnixTimestamp(hour)) * 1000 >= %[1]s - %[2]d
    )`, end, forgottenAfter.Milliseconds())
	}
	return fmt.Sprintf(`(period, toString(cluster)) IN (
        SELECT span.1, toString(cluster)
        FROM (SELECT cluster, toInt64(toUnixTimestamp(hour)) * 1000 AS at FROM cluster_hours)
        ARRAY JOIN arrayZip({starts:Array(Int64)}, {ends:Array(Int64)}) AS span
        WHERE at < least(span.2, {now:Int64}) AND at >= least(span.2, {now:Int64}) - %d
    )`, forgottenAfter.Milliseconds())
}

// stretches are the states of resources with the time in each period for which they held: from when they were seen to when the next one
// was, or to the last sign of the cluster.
func (q question) stretches(string) string {
	return fmt.Sprintf(`SELECT *, %[1]s AS dim
FROM (
    SELECT span.1 AS period, cluster, kind, uid, namespace, name, team, labels, attributes, (least(until, span.2) - greatest(since, span.1)) / 1000 AS seconds
    FROM (
        SELECT toString(s.cluster) AS cluster, toString(kind) AS kind, uid, toString(namespace) AS namespace, name, toString(team) AS team, labels, attributes, since,
            least(following, h.last, {now:Int64}) AS until
        FROM (
            SELECT cluster, kind, uid, namespace, name, team, labels, attributes, change, toUnixTimestamp64Milli(seen) AS since,
                leadInFrame(toUnixTimestamp64Milli(seen), 1, toInt64({now:Int64})) OVER (
                    PARTITION BY cluster, kind, uid ORDER BY state_version ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS following
            FROM resource_changes FINAL
            WHERE seen < fromUnixTimestamp64Milli(least({ends:Array(Int64)}[-1], {now:Int64}), 'UTC')
        ) AS s INNER JOIN (
            SELECT cluster, (toInt64(toUnixTimestamp(max(hour))) + 3600) * 1000 AS last FROM cluster_hours GROUP BY cluster
        ) AS h ON s.cluster = h.cluster
        WHERE change != 'deleted'
    ) ARRAY JOIN arrayZip({starts:Array(Int64)}, {ends:Array(Int64)}) AS span
    WHERE until > greatest(since, span.1) AND since < span.2
)
WHERE 1%[2]s`, q.split(), q.watched())
}

// workloadAvailability is the indicator of workloads, whose group is CLUSTER/NAMESPACE/KIND/NAME: see collectors/kube.
const workloadAvailability = "workload-availability"

// workloadSlices reads the sums of hours where all periods begin and end with an hour, as they do in almost all time zones.
func (q question) workloadSlices(string) string {
	measured := fmt.Sprintf(`SELECT toInt64(toUnixTimestamp(slice_start)) * 1000 AS at, splitByChar('/', toString(grp)) AS place, good, total
    FROM sli_slices FINAL
    WHERE indicator = '%s' AND state = 'measured' AND %s`, workloadAvailability, q.inSeconds("slice_start"))
	if q.wholeHours() {
		measured = fmt.Sprintf(`SELECT toInt64(toUnixTimestamp(hour)) * 1000 AS at, place, good, total
    FROM (SELECT hour, series, good, total FROM sli_hours FINAL WHERE %s) AS h
    INNER JOIN (
        SELECT DISTINCT sipHash64(indicator, revision, grp) AS series, splitByChar('/', toString(grp)) AS place
        FROM sli_series WHERE indicator = '%s'
    ) AS s ON h.series = s.series`, q.inSeconds("hour"), workloadAvailability)
	}
	placed := fmt.Sprintf(`SELECT roundDown(at, {marks:Array(Int64)}) AS period, place[1] AS cluster, place[2] AS namespace, place[3] AS kind, place[4] AS name, good, total
    FROM (
    %s
    )`, measured)
	if _, filtered := q.filter[journey.DimensionTeam]; filtered || q.by == journey.DimensionTeam {
		placed = ownedWorkloads(placed)
	}
	return fmt.Sprintf("SELECT *, %s AS dim\nFROM (\n    %s\n)\nWHERE 1%s", q.split(), placed, q.watched())
}

// ownedWorkloads adds the team to rows of workloads: the one that the workload itself was last seen with, or else the namespace's
// owner, see owners.
func ownedWorkloads(rows string) string {
	return fmt.Sprintf(`SELECT w.period AS period, w.cluster AS cluster, w.namespace AS namespace, w.kind AS kind, w.name AS name, w.good AS good, w.total AS total,
        multiIf(own.last != '', own.last, o.team != '', o.team, o.opener) AS team
    FROM (
    %s
    ) AS w
    LEFT JOIN (
        SELECT toString(cluster) AS cluster, namespace, toString(kind) AS kind, name, argMax(toString(team), seen) AS last
        FROM resources FINAL WHERE kind IN ('Deployment', 'StatefulSet', 'DaemonSet') AND team != ''
        GROUP BY cluster, namespace, kind, name
    ) AS own ON w.cluster = own.cluster AND w.namespace = own.namespace AND w.kind = own.kind AND w.name = own.name
    LEFT JOIN owners AS o ON w.cluster = o.cluster AND w.namespace = o.namespace`, rows)
}

func (q question) wholeHours() bool {
	for _, p := range q.periods {
		if !p.From.Truncate(time.Hour).Equal(p.From) || !p.To.Truncate(time.Hour).Equal(p.To) {
			return false
		}
	}
	return true
}

// inSeconds restricts a column in whole seconds to the periods.
func (q question) inSeconds(column string) string {
	var ranges []string
	for _, r := range q.ranges() {
		ranges = append(ranges, fmt.Sprintf("%[1]s >= toDateTime(%[2]d, 'UTC') AND %[1]s < toDateTime(%[3]d, 'UTC')", column, r.From.Unix(), r.To.Unix()))
	}
	return "((" + strings.Join(ranges, ") OR (") + "))"
}
