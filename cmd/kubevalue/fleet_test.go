package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// watchedFleet is what was recorded of the cluster eu, which was built anew: it has been watched in four hours of the week and in one
// before, and has two nodes, one namespace and three workloads left.
func watchedFleet(now time.Time) []schema.ResourceChange {
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	const day = 24 * time.Hour
	one := func(kind, uid, namespace string, change schema.Change, when time.Time) schema.ResourceChange {
		return schema.ResourceChange{
			Resource: schema.Resource{Cluster: "eu", Region: "here", Kind: kind, UID: uid, Namespace: namespace, Name: uid, Created: at(20 * day)},
			Change:   change, Key: when.Format(time.RFC3339), Time: when,
		}
	}
	self := func(uid, version string, created, when time.Time) schema.ResourceChange {
		r := one(schema.KindCluster, uid, "", schema.ChangeObserved, when)
		r.Version, r.Created, r.Attributes = version, created, map[string]string{"provider": "metal"}
		return r
	}
	old := self("eu-1", "v1.35.1", at(300*day), at(7*day+time.Hour)) // the hour before those that count
	gone := one(schema.KindCluster, "eu-1", "", schema.ChangeDeleted, at(6*day))
	rows := []schema.ResourceChange{old, gone}
	for _, ago := range []time.Duration{7 * day, 2 * day, 26 * time.Hour, 26*time.Hour - time.Minute, 10 * time.Minute} { // the middle two in one hour
		rows = append(rows, self("eu-2", "v1.36.4", at(5*day), at(ago)))
	}
	for _, uid := range []string{"node-1", "node-2", "node-3"} {
		rows = append(rows, one(schema.KindNode, uid, "", schema.ChangeObserved, at(3*day)))
	}
	for _, kind := range []string{schema.KindDeployment, schema.KindStatefulSet, schema.KindDaemonSet, schema.KindJob, schema.KindClaim} {
		rows = append(rows, one(kind, kind, "shop", schema.ChangeObserved, at(3*day)))
	}
	return append(rows,
		one(schema.KindNode, "node-3", "", schema.ChangeDeleted, at(2*day)),
		one(schema.KindNamespace, "shop", "", schema.ChangeObserved, at(3*day)),
		one(schema.KindNamespace, "try", "", schema.ChangeObserved, at(3*day)),
		one(schema.KindNamespace, "try", "", schema.ChangeDeleted, at(day)),
		one(schema.KindDeployment, "newer", "shop", schema.ChangeCreated, at(day)),
		one(schema.KindDeployment, "newer", "shop", schema.ChangeDeleted, at(time.Hour)),
	)
}

// auditedFleet are events of the clusters eu and us: two namespaces of us in the last week, and a third one before.
func auditedFleet(now time.Time) []schema.StoredEvent {
	one := func(cluster, namespace string, ago, late time.Duration) schema.StoredEvent {
		return schema.StoredEvent{ID: uuid.New(), Source: "audit", Name: "pods.create", Cluster: cluster, Namespace: namespace, Time: now.Add(-ago), Received: now.Add(late - ago)}
	}
	return []schema.StoredEvent{
		one("us", "a", time.Hour, 0), one("us", "a", 2*time.Hour, 0), one("us", "b", 3*time.Hour, 90*time.Minute), one("us", "", 4*time.Hour, 0),
		one("us", "c", 8*24*time.Hour, 0), one("eu", "shop", 30*time.Minute, 0), one("", "x", time.Minute, 0),
	}
}

const fleetSettings = `
identity: {key_file: identity.key}
clusters: [{name: eu, region: here}, {name: us}, {name: asia, region: far}]
probes: [{name: readyz, url: "https://127.0.0.1:6443/readyz"}]
objectives: {openslo: [slo.yaml]}
`

const fleetObjective = `
apiVersion: openslo/v1
kind: SLO
metadata: {name: european-api, labels: {cluster: eu}}
spec:
  service: clusters
  budgetingMethod: Occurrences
  timeWindow: [{duration: 7d, isRolling: true}]
  indicator:
    metadata: {name: readyz}
    spec: {ratioMetric: {counter: false, rawType: success, raw: {metricSource: {type: kubevalue, spec: {probe: readyz}}}}}
  objectives: [{target: 0.99}]
`

func TestTheFleetIsWhatItsResourcesAndEventsSay(t *testing.T) {
	now := time.Date(2026, 11, 18, 12, 20, 0, 0, time.UTC)
	db := warehousetest.Open(t)
	if err := db.InsertResourceChanges(t.Context(), "r", watchedFleet(now)); err != nil {
		t.Fatal(err)
	}
	if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "e", Rows: auditedFleet(now)}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"kubevalue.yaml": fleetSettings, "slo.yaml": fleetObjective} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := loadConfig(filepath.Join(dir, "kubevalue.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFigures(cfg, db, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []dashboards.Cluster{
		{
			Name: "eu", Region: "here", Provider: "metal", Version: "v1.36.4", Created: now.Add(-5 * 24 * time.Hour), LastContact: now.Add(-10 * time.Minute),
			Nodes: new(2), Namespaces: new(1), Workloads: new(3), Objectives: []string{"european-api"}, Kinds: []dashboards.WatchedKind{},
			Coverage: new(4.0 / (7*24 + 1)), // from the hour in which the week began to the one under way
		},
		{Name: "us", LastContact: now.Add(-time.Hour), Namespaces: new(2), Objectives: []string{}, Kinds: []dashboards.WatchedKind{}},
		{Name: "asia", Region: "far", Objectives: []string{}, Kinds: []dashboards.WatchedKind{}, Fault: "neither an audit event nor a sign of its resources has arrived"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fleet differs (-want +got):\n%s", diff)
	}
}
