package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/collectors/probe"
	"github.com/kubevalue/kubevalue/collectors/promquery"
	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/dashboards"
)

// fleetSQL is what is known of each cluster by its resources: the newest cluster of a name, and what is in it. The coverage is the
// share of the hours since {week:DateTime64(3, 'UTC')} in which the cluster was watched.
const fleetSQL = `
SELECT r.cluster, name.1, name.2, name.3, name.4, nodes, namespaces, workloads, watched FROM (
    SELECT toString(cluster) AS cluster, argMaxIf((toString(k8s_version), created, seen, attributes['provider']), seen, kind = 'Cluster') AS name,
        countIf(kind = 'Node') AS nodes, countIf(kind = 'Namespace') AS namespaces,
        countIf(kind IN ('Deployment', 'StatefulSet', 'DaemonSet')) AS workloads, countIf(kind = 'Cluster') AS selves
    FROM resources FINAL WHERE deleted IS NULL GROUP BY cluster
) AS r LEFT JOIN (
    SELECT toString(cluster) AS cluster, uniqExact(hour) AS watched FROM cluster_hours WHERE hour >= toStartOfHour({week:DateTime64(3, 'UTC')}) GROUP BY cluster
) AS h ON r.cluster = h.cluster
WHERE selves > 0`

// audited is when a cluster's events came last, and in how many namespaces things happened in the last week.
const auditedSQL = `
SELECT cluster, max(received) AS last, uniqExactIf(namespace, namespace != '' AND time > {week:DateTime64(3, 'UTC')}) AS namespaces
FROM events WHERE cluster != '' GROUP BY cluster`

// fleet is the configured clusters, with what their resources, audit events and objectives say of them.
func (f *figures) fleet(ctx context.Context) ([]dashboards.Cluster, error) {
	week := f.now().AddDate(0, 0, -7)
	events, err := f.byCluster(ctx, auditedSQL, week)
	if err != nil {
		return nil, fmt.Errorf("clusters by their events: %w", err)
	}
	resources, err := f.byCluster(ctx, fleetSQL, week)
	if err != nil {
		return nil, fmt.Errorf("clusters by their resources: %w", err)
	}
	watches := map[string]kube.Status{}
	if f.watches != nil {
		for _, status := range f.watches() {
			watches[status.Name] = status
		}
	}
	var out []dashboards.Cluster
	for _, c := range f.cfg.Clusters {
		cluster := dashboards.Cluster{Name: c.Name, Region: c.Region, Objectives: f.objectives.about(c.Name), Kinds: []dashboards.WatchedKind{}}
		audited, ok := events[c.Name]
		if ok {
			cluster.LastContact = instantOf(audited[1])
			cluster.Namespaces = new(int(count(audited[2])))
		}
		watched, isWatched := resources[c.Name]
		if isWatched {
			watchedCluster(&cluster, watched, week, f.now())
		}
		if !ok && !isWatched {
			cluster.Fault = "neither an audit event nor a sign of its resources has arrived"
		}
		if status, ok := watches[c.Name]; ok {
			watch(&cluster, status)
		}
		out = append(out, cluster)
	}
	return out, nil
}

// watch fills in how the watches of a cluster stand.
func watch(c *dashboards.Cluster, status kube.Status) {
	c.Note = status.Off()
	if fault := status.Fault(); fault != "" {
		c.Fault, c.Error = fault, status.Err.Error()
	}
	if status.LastContact.After(c.LastContact) {
		c.LastContact = status.LastContact
	}
	for _, k := range status.Kinds {
		kind := dashboards.WatchedKind{Kind: k.Kind, State: dashboards.KindIsRead, Objects: k.Objects}
		switch {
		case k.Absent:
			kind.State = dashboards.KindIsNotServed
		case k.Synced:
			kind.State = dashboards.KindIsWatched
		}
		if k.Err != nil {
			kind.Error = k.Err.Error()
		}
		c.Kinds = append(c.Kinds, kind)
	}
}

// watchedCluster fills in what a row of fleetSQL says.
func watchedCluster(c *dashboards.Cluster, row []any, week, now time.Time) {
	c.Version, c.Created, c.Provider = text(row[1]), instantOf(row[2]), text(row[4])
	if seen := instantOf(row[3]); seen.After(c.LastContact) {
		c.LastContact = seen
	}
	c.Nodes, c.Namespaces, c.Workloads = new(int(count(row[5]))), new(int(count(row[6]))), new(int(count(row[7])))
	hours := now.Truncate(time.Hour).Sub(week.Truncate(time.Hour)).Hours() + 1
	c.Coverage = new(min(1, float64(count(row[8]))/hours))
}

// byCluster are the rows of a statement by their first column.
func (f *figures) byCluster(ctx context.Context, sql string, week time.Time) (map[string][]any, error) {
	result, err := f.db.Query(ctx, sql, map[string]any{"week": week})
	if err != nil {
		return nil, err
	}
	rows := map[string][]any{}
	for _, r := range result.Rows {
		rows[text(r[0])] = r
	}
	return rows, nil
}

// targets is how the newest tries of this process went.
func (f *figures) targets() []dashboards.Target {
	if f.tries == nil {
		return nil
	}
	return f.tries()
}

// tried says how the newest tries of scrapes, probes and questions went.
func tried(scrapes []scrape.Status, probes []probe.Status, questions []promquery.Status) (all []dashboards.Target) {
	one := func(t dashboards.Target, err error) {
		if err != nil {
			t.Error = err.Error()
		}
		t.At = t.At.UTC()
		all = append(all, t)
	}
	for _, s := range scrapes {
		one(dashboards.Target{Kind: "scrape", Name: s.Job, Instance: s.Instance, At: s.At, Series: s.Series, PassedOver: s.PassedOver}, s.Err)
	}
	for _, s := range probes {
		if !s.At.IsZero() {
			one(dashboards.Target{Kind: "probe", Name: s.Name, Instance: s.Group, At: s.At}, s.Last.Err)
		}
	}
	for _, s := range questions {
		if !s.At.IsZero() {
			one(dashboards.Target{Kind: "prometheus", Name: s.Indicator, Instance: s.Server, At: s.At}, s.Err)
		}
	}
	return all
}
