package catalogue

import "fmt"

// owners say whose each namespace is: the team that the cluster's own objects name (a label, an annotation), as last seen, or else
// that of the person who created the newest namespace of the name before the end of the last period.
func (q question) owners(string) string {
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
                AND time < fromUnixTimestamp64Milli({ends:Array(Int64)}[-1], 'UTC')
        ) AS e LEFT JOIN members AS r ON e.actor = r.member
        GROUP BY cluster, namespace
    )
)
GROUP BY cluster, namespace`, q.oneActor(), teamsAt("toUnixTimestamp64Milli(time)"))
}
