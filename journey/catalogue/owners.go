package catalogue

import "fmt"

// createdSQL is what provisions a namespace, or something in one.
const createdSQL = `outcome = 'success' AND name IN (
    'namespaces.create', 'deployments.create', 'statefulsets.create', 'daemonsets.create', 'jobs.create', 'cronjobs.create',
    'services.create', 'ingresses.create', 'persistentvolumeclaims.create')`

// creations are the acts that provisioned something.
func (q question) creations(string) string {
	return `SELECT period, dim, teams, toString(owner_team) AS owner_team, toString(cluster) AS cluster, toString(namespace) AS namespace, name
FROM acts
WHERE ` + createdSQL
}

// owners say whose each namespace is: the team that the cluster's own objects name (a label, an annotation), as last seen, or else
// that of the person who created the newest namespace of the name before the end of the last period. A statement about creations needs those
// of namespaces of a name in which anything but themselves was created.
func (q question) owners(string) string {
	asked := ""
	if mentions(q.asked, "creations") {
		asked = fmt.Sprintf(`
                AND namespace IN (SELECT namespace FROM events WHERE %s AND name != 'namespaces.create' AND %s)`, createdSQL, q.during())
	}
	return fmt.Sprintf(`SELECT cluster, namespace, max(labelled) AS team, max(opened) AS opener
FROM (
    SELECT toString(cluster) AS cluster, name AS namespace, argMax(toString(team), seen) AS labelled, '' AS opened
    FROM resources FINAL
    WHERE kind = 'Namespace' AND team != ''
    GROUP BY cluster, namespace
    UNION ALL
    SELECT cluster, namespace, '' AS labelled, if(empty(newest), '', newest[1]) AS opened
    FROM (
        SELECT cluster, namespace, argMax(%[2]s, time) AS newest
        FROM (
            SELECT toString(cluster) AS cluster, toString(namespace) AS namespace, time, %[1]s AS actor, actor_team
            FROM events
            WHERE name = 'namespaces.create' AND outcome = 'success' AND namespace != '' AND actor_kind = 'human'
                AND time < fromUnixTimestamp64Milli({ends:Array(Int64)}[-1], 'UTC')%[3]s
        ) AS e LEFT JOIN members AS r ON e.actor = r.member
        GROUP BY cluster, namespace
    )
)
GROUP BY cluster, namespace`, q.oneActor(), q.teamsAt("toUnixTimestamp64Milli(time)"), asked)
}
