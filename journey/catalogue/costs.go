package catalogue

import "fmt"

// amounts are the rows of consumption in the periods with what a unit of each costs at its time: the price of its class, or else that of
// all classes; has_price is 0 where there is none. Pods have the price of their nodes. It is neither split nor filtered, since what is
// shared depends on all. weight is for how long somebody had it, in seconds.
func (q question) amounts(string) string {
	return fmt.Sprintf(`%[3]s
    SELECT roundDown(at, {marks:Array(Int64)}) AS period, cluster, at, kind, class, namespace, team, seconds, core_seconds, byte_seconds,
        if(kind = 'pod', 'node', kind) AS priced_as, if(seconds > 0, seconds, 3600) AS weight,
        %[2]s,
        arrayExists(p -> p.1 = 'shared' AND p.2 = namespace, prices) AS shared
    FROM (
        SELECT toString(cluster) AS cluster, toUnixTimestamp64Milli(start) AS at, toString(kind) AS kind, toString(class) AS class,
            toString(namespace) AS namespace, toString(team) AS team, seconds, core_seconds, byte_seconds
        FROM (SELECT *, start AS time FROM consumption FINAL) WHERE %[1]s
    )`, q.during(), priceThen, allPrices)
}

// allPrices names the list of prices, and priceThen finds in it has_price and price of priced_as and class at an instant (at).
const (
	allPrices = `WITH (SELECT groupArray((toString(kind), toString(class), per_hour, toUnixTimestamp64Milli(valid_from), toUnixTimestamp64Milli(valid_to))) FROM resource_prices_current) AS prices`
	priceThen = `arraySort(p -> p.2 = '', arrayFilter(p -> p.1 = priced_as AND p.4 <= at AND at < p.5 AND p.2 IN (class, ''), prices)) AS fitting,
        notEmpty(fitting) AS has_price, if(has_price, fitting[1].3, 0) AS price`
)

// reclaimed are the volumes and load balancers that went in the periods, a day or more after they had come, each with what an hour of it cost
// then: what lives for less is part of daily work. has_price and weight are as in amounts; all of them weigh the same.
func (q question) reclaimed(string) string {
	return fmt.Sprintf(`%[4]s
SELECT *, size * price AS per_hour, %[1]s AS dim
FROM (
    SELECT *, %[5]s
    FROM (
        SELECT roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS period, toUnixTimestamp64Milli(time) AS at, toString(cluster) AS cluster,
            toString(kind) AS kind, toString(namespace) AS namespace, name, toString(team) AS team, 1 AS weight,
            if(kind = 'Service', 'balancer', 'storage') AS priced_as, if(kind = 'Service', attributes['class'], attributes['storage_class']) AS class,
            if(kind = 'Service', 1, toFloat64OrZero(attributes['storage_bytes']) / 1073741824) AS size
        FROM resource_changes FINAL
        WHERE kind IN ('PersistentVolume', 'Service') AND change = 'deleted' AND dateDiff('second', assumeNotNull(created), time) >= 86400 AND %[2]s
    )
)
WHERE 1%[3]s`, q.split(), q.during(), q.watched(), allPrices, priceThen)
}

// priced is amounts as the figures need it: split and filtered.
func (q question) priced(string) string {
	return fmt.Sprintf("SELECT *, %s AS dim FROM amounts WHERE 1%s", q.split(), q.watched())
}

// costs are what the clusters cost in the periods, in the currency of the prices. Half of a node's price is for its cores and half for its
// memory; a pod costs its share of the two, by the larger of what it requested and what it used. What is left of the nodes is idle. The
// cost of shared namespaces is split among the teams of the cluster in proportion to their own cost in the period, evenly where that is
// nothing. The parts sum up to the cost of the nodes, the storage and the load balancers.
//
// Each step reads the one before it once: the engine would plan and run again what is named twice.
func (q question) costs(string) string {
	return fmt.Sprintf(`SELECT period, cluster, line.1 AS namespace, line.2 AS team, line.3 AS part, line.4 AS money, %[1]s AS dim
FROM (
    SELECT period, cluster, groupArrayIf((namespace, team, part, spent), part = 'own') AS own, arraySum(o -> o.4, own) AS of_all,
        groupArrayIf(('', '', part, spent), part = 'shared') AS common,
        arrayConcat(own, groupArrayIf(('', '', part, spent), part = 'idle'), if(empty(own) OR empty(common), common,
            arrayMap(o -> ('', o.2, 'shared', common[1].4 * if(of_all > 0, o.4 / of_all, 1 / length(own))), own))) AS lines
    FROM (
        SELECT period, cluster, line.1 AS namespace, line.2 AS team, line.3 AS part, sum(line.4) AS spent
        FROM (
            SELECT period, cluster, sumIf(seconds * price, kind = 'node') / 3600 AS worth, sumIf(core_seconds, kind = 'node') AS cores, sumIf(byte_seconds, kind = 'node') AS bytes,
                groupArrayIf((place, (core_seconds, byte_seconds)), kind = 'pod') AS pods,
                arrayMap(p -> if(cores > 0, p.2.1 / cores, 0) / 2 + if(bytes > 0, p.2.2 / bytes, 0) / 2, pods) AS taken, arraySum(taken) AS all_taken,
                arrayConcat(
                    groupArrayIf((place.1, place.2, place.3, if(kind = 'storage', byte_seconds / 1073741824, seconds) / 3600 * price), kind IN ('storage', 'balancer')),
                    if(countIf(kind = 'node') = 0, [], arrayConcat([('', '', 'idle', worth * greatest(0, 1 - all_taken))],
                        arrayMap((p, t) -> (p.1.1, p.1.2, p.1.3, worth * t / greatest(1, all_taken)), pods, taken)))) AS lines
            FROM (SELECT *, if(shared, ('', '', 'shared'), (namespace, team, 'own')) AS place FROM amounts)
            GROUP BY period, cluster, at, class
        )
        ARRAY JOIN lines AS line
        GROUP BY period, cluster, namespace, team, part
    )
    GROUP BY period, cluster
)
ARRAY JOIN lines AS line
WHERE 1%[2]s`, q.split(), q.watched())
}

// consumed is what teams had of clusters in the periods.
func (q question) consumed(string) string {
	return fmt.Sprintf(`SELECT *, roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS period, %s AS dim
FROM (SELECT *, start AS time FROM consumption FINAL)
WHERE %s%s`, q.split(), q.during(), q.watched())
}
