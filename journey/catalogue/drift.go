package catalogue

import (
	"context"
	"fmt"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
)

// cohorts are the values that a configured field has in objects under one namespace, kind and name in at least three clusters: having lists
// (cluster, value), usual is the most frequent value (the first by the alphabet of several), and agreeing says in how many of objects it is.
func (q question) cohorts(string) string {
	return fmt.Sprintf(`SELECT period, kind, namespace, name, path, groupArray((cluster, value)) AS having, count() AS objects,
    arraySort(v -> (-countEqual(values, v), v), arrayDistinct(groupArray(value) AS values))[1] AS usual, countEqual(values, usual) AS agreeing
FROM (
    SELECT period, toString(cluster) AS cluster, toString(kind) AS kind, toString(namespace) AS namespace, name,
        substring(field.1, %d) AS path, field.2 AS value
    FROM (
        SELECT period, cluster, kind, namespace, name,
            arrayJoin(arrayFilter(f -> startsWith(f.1, '%s'), arrayZip(mapKeys(attributes), mapValues(attributes)))) AS field
        FROM states
    )
)
GROUP BY period, kind, namespace, name, path
HAVING objects >= 3`, len(schema.AttributeField)+1, schema.AttributeField)
}

// Disagreement is a field of an object that has not the same value in all clusters.
type Disagreement struct {
	Kind, Namespace, Name, Field string
	// Usual is the value that most clusters have, Agreeing of Objects; Others are the other clusters, each with its value, as cluster=value.
	Usual             string
	Agreeing, Objects uint64
	Others            []string
}

const disagreementsSQL = `SELECT period, '' AS dim, kind, namespace, name, path, usual, agreeing, objects,
    arraySort(arrayMap(h -> concat(h.1, '=', h.2), arrayFilter(h -> h.2 != usual, having))) AS others
FROM cohorts WHERE agreeing < objects
ORDER BY kind, namespace, name, path`

// Disagreements lists the configured fields in which clusters disagree now, in order of kind, namespace, name and field: what O45 counts.
func (e Evaluator) Disagreements(ctx context.Context) ([]Disagreement, error) {
	now := e.Now()
	q, err := e.question(ctx, journey.Request{}, []journey.Period{e.Settings.Calendar.Period(journey.GrainDay, now)}, now)
	if err != nil {
		return nil, fmt.Errorf("fields that disagree: %w", err)
	}
	var all []Disagreement
	err = e.rows(ctx, disagreementsSQL, q, func(_ place, l line) error {
		var d Disagreement
		for name, into := range map[string]*string{"kind": &d.Kind, "namespace": &d.Namespace, "name": &d.Name, "path": &d.Field, "usual": &d.Usual} {
			v, _ := l.column(name)
			*into, _ = v.(string)
		}
		for name, into := range map[string]*uint64{"agreeing": &d.Agreeing, "objects": &d.Objects} {
			v, _ := l.column(name)
			*into, _ = v.(uint64)
		}
		v, _ := l.column("others")
		d.Others, _ = v.([]string)
		all = append(all, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fields that disagree: %w", err)
	}
	return all, nil
}
