package catalogue

import "fmt"

// amounts are the rows of consumption in the periods with what a unit of each costs at its time: the price of its class, or else that of
// all classes; has_price is 0 where there is none. Pods have the price of their nodes. It is neither split nor filtered, since what is
// shared depends on all. weight is for how long somebody had it, in seconds.
func (q question) amounts(string) string {
	const inForce = `arrayFilter(p -> p.1 = priced_as AND p.4 <= at AND at < p.5 AND p.2 IN (class, ''), prices)`
	return fmt.Sprintf(`WITH (SELECT groupArray((toString(kind), toString(class), per_hour, toUnixTimestamp64Milli(valid_from), toUnixTimestamp64Milli(valid_to))) FROM resource_prices_current) AS prices
    SELECT roundDown(at, {marks:Array(Int64)}) AS period, cluster, at, kind, class, namespace, team, seconds, core_seconds, byte_seconds,
        if(kind = 'pod', 'node', kind) AS priced_as, if(seconds > 0, seconds, 3600) AS weight,
        arraySort(p -> p.2 = '', %[2]s) AS fitting, notEmpty(fitting) AS has_price, if(has_price, fitting[1].3, 0) AS price,
        arrayExists(p -> p.1 = 'shared' AND p.2 = namespace, prices) AS shared
    FROM (
        SELECT toString(cluster) AS cluster, toUnixTimestamp64Milli(start) AS at, toString(kind) AS kind, toString(class) AS class,
            toString(namespace) AS namespace, toString(team) AS team, seconds, core_seconds, byte_seconds
        FROM (SELECT *, start AS time FROM consumption FINAL) WHERE %[1]s
    )`, q.during(), inForce)
}

// priced is amounts as the figures need it: split and filtered.
func (q question) priced(string) string {
	return fmt.Sprintf("SELECT *, %s AS dim FROM amounts WHERE 1%s", q.split(), q.watched())
}

// costs are what the clusters cost in the periods, in the currency of the prices. Half of a node's price is for its cores and half for its
// memory; a pod costs its share of the two, by the larger of what it requested and what it used. What is left of the nodes is idle. The
// cost of shared namespaces is split among the teams of the cluster in proportion to their own cost in the period, evenly where that is
// nothing. The parts sum up to the cost of the nodes, the storage and the load balancers.
func (q question) costs(string) string {
	return fmt.Sprintf(`SELECT *, %[1]s AS dim
FROM (
    WITH nodes AS (
        SELECT period, cluster, at, class, sum(seconds) / 3600 * any(price) AS worth, sum(core_seconds) AS cores, sum(byte_seconds) AS bytes
        FROM amounts WHERE kind = 'node' GROUP BY period, cluster, at, class
    ),
    pods AS (
        SELECT p.period AS period, p.cluster AS cluster, p.at AS at, p.class AS class, p.namespace AS namespace, p.team AS team, p.shared AS shared, n.worth AS worth,
            if(n.cores > 0, p.core_seconds / n.cores, 0) / 2 + if(n.bytes > 0, p.byte_seconds / n.bytes, 0) / 2 AS taken,
            sum(taken) OVER (PARTITION BY p.cluster, p.at, p.class) AS all_taken
        FROM (SELECT * FROM amounts WHERE kind = 'pod') AS p INNER JOIN nodes AS n ON p.cluster = n.cluster AND p.at = n.at AND p.class = n.class
    ),
    direct AS (
        SELECT period, cluster, namespace, team, shared, worth * taken / greatest(1, all_taken) AS money FROM pods
        UNION ALL
        SELECT period, cluster, namespace, team, shared, if(kind = 'storage', byte_seconds / 1073741824, seconds) / 3600 * price AS money
        FROM amounts WHERE kind IN ('storage', 'balancer')
    ),
    own AS (
        SELECT period, cluster, namespace, team, sum(money) AS money, sum(money) OVER (PARTITION BY period, cluster) AS of_all,
            count() OVER (PARTITION BY period, cluster) AS parts
        FROM direct WHERE NOT shared GROUP BY period, cluster, namespace, team
    ),
    common AS (SELECT period, cluster, sum(money) AS money FROM direct WHERE shared GROUP BY period, cluster)
    SELECT period, cluster, namespace, team, 'own' AS part, money FROM own
    UNION ALL
    SELECT c.period, c.cluster, '' AS namespace, o.team AS team, 'shared' AS part,
        c.money * if(o.of_all > 0, o.money / o.of_all, 1 / greatest(1, o.parts)) AS money
    FROM common AS c LEFT JOIN own AS o ON c.period = o.period AND c.cluster = o.cluster
    UNION ALL
    SELECT n.period AS period, n.cluster AS cluster, '' AS namespace, '' AS team, 'idle' AS part, n.worth * greatest(0, 1 - p.taken) AS money
    FROM nodes AS n LEFT JOIN (SELECT cluster, at, class, sum(taken) AS taken FROM pods GROUP BY cluster, at, class) AS p
        ON n.cluster = p.cluster AND n.at = p.at AND n.class = p.class
)
WHERE 1%[2]s`, q.split(), q.watched())
}

// consumed is what teams had of clusters in the periods.
func (q question) consumed(string) string {
	return fmt.Sprintf(`SELECT *, roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS period, %s AS dim
FROM (SELECT *, start AS time FROM consumption FINAL)
WHERE %s%s`, q.split(), q.during(), q.watched())
}
