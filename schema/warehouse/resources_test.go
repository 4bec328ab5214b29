package warehouse_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

var resourceBase = time.Date(2026, 10, 31, 23, 59, 0, 0, time.UTC) // the changes lie on both sides of a month's end

func fullChange() schema.ResourceChange {
	desired, available, duration, before := int64(3), int64(2), 4500.0, 1.0
	return schema.ResourceChange{
		Resource: schema.Resource{
			Cluster: "prod-1", Region: "eu", Kind: schema.KindDeployment, UID: "u-1", Namespace: "shop", Name: "web",
			Created: resourceBase.Add(-time.Hour), FirstReady: resourceBase.Add(-50 * time.Minute), Terminating: resourceBase,
			Generation: 7, Desired: &desired, Available: &available, Revision: "4", Rollout: schema.RolloutProgressing,
			RolloutStarted: resourceBase.Add(-time.Minute), Version: "1.2", Team: "red", TeamSource: "label",
			Labels:     map[string]string{"app.kubernetes.io/part-of": "shop", "quote'": "tab\there"},
			Attributes: map[string]string{"template": "abc"},
		},
		Change: schema.ChangeScaled, Key: "7", Time: resourceBase, From: resourceBase.Add(-time.Second), Seen: resourceBase.Add(time.Millisecond),
		Reason: "why", DurationMS: &duration, Value: &before,
	}
}

func TestAResourcesStateComesBackAsItWasStored(t *testing.T) {
	db := warehousetest.Open(t)
	full := fullChange()
	bare := schema.ResourceChange{
		Resource: schema.Resource{Cluster: "prod-1", Kind: schema.KindNamespace, UID: "u-2", Name: "shop", Labels: map[string]string{}, Attributes: map[string]string{}},
		Change:   schema.ChangeObserved, Key: "2026-10-31", Time: resourceBase,
	}
	gone := bare
	gone.UID, gone.Change = "u-3", schema.ChangeDeleted
	elsewhere := bare
	elsewhere.Cluster = "prod-2"
	insertChanges(t, db, "a", full, bare, gone, elsewhere)

	got, err := db.LiveResources(t.Context(), "prod-1")
	if err != nil {
		t.Fatal(err)
	}
	full.Time, full.Seen, full.From, full.Reason, full.DurationMS, full.Value = full.Seen, time.Time{}, time.Time{}, "", nil, nil
	if diff := cmp.Diff([]schema.ResourceChange{full, bare}, got); diff != "" {
		t.Errorf("state (-stored +read):\n%s", diff)
	}
	full = fullChange()
	wantRow(t, db, "SELECT time, time_from, reason, duration_ms, value FROM resource_changes FINAL WHERE uid = 'u-1'",
		full.Time, full.From, "why", ptr(4500.0), ptr(1.0))
	wantRow(t, db, "SELECT time, time_from = time FROM resource_changes FINAL WHERE uid = 'u-3'", gone.Time, uint8(1))
	wantRow(t, db, "SELECT deleted, deleted_from FROM resources FINAL WHERE uid = 'u-3'", ptr(gone.Time), ptr(gone.Time))
}

func ptr[T any](v T) *T { return &v }

func insertChanges(t *testing.T, db *warehouse.DB, token string, rows ...schema.ResourceChange) {
	t.Helper()
	if err := db.InsertResourceChanges(t.Context(), token, rows); err != nil {
		t.Fatal(err)
	}
}

func wantRow(t *testing.T, db *warehouse.DB, sql string, want ...any) {
	t.Helper()
	result, err := db.Query(t.Context(), sql, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]any{want}, result.Rows); diff != "" {
		t.Errorf("%s (-want +got):\n%s", sql, diff)
	}
}

func TestTheHoursInWhichAClusterWasWatchedAreKept(t *testing.T) {
	db := warehousetest.Open(t)
	var rows []schema.ResourceChange
	for i, minutes := range []int{0, 1, 59, 61, 200} {
		rows = append(rows, schema.ResourceChange{
			Resource: schema.Resource{Cluster: "c", Kind: schema.KindCluster, UID: "u", Name: "c"}, Change: schema.ChangeObserved,
			Key: fmt.Sprint(i), Time: resourceBase.Add(time.Duration(minutes) * time.Minute),
		})
	}
	rows = append(rows, schema.ResourceChange{Resource: schema.Resource{Cluster: "c", Kind: schema.KindNode, UID: "n", Name: "n"},
		Change: schema.ChangeObserved, Time: resourceBase.Add(10 * time.Hour)})
	insertChanges(t, db, "a", rows...)
	insertChanges(t, db, "b", rows...)
	wantRow(t, db, "SELECT groupArray(toUnixTimestamp(hour)) FROM (SELECT hour FROM cluster_hours FINAL ORDER BY hour)", []uint32{
		uint32(resourceBase.Truncate(time.Hour).Unix()), uint32(resourceBase.Add(time.Hour).Truncate(time.Hour).Unix()),
		uint32(resourceBase.Add(2 * time.Hour).Truncate(time.Hour).Unix()), uint32(resourceBase.Add(200 * time.Minute).Truncate(time.Hour).Unix()),
	})
}

// A change that is noticed several times is one, the most exact record of it counts, and the newest state is the resource's,
// in whatever order, blocks and copies the records come.
func TestRecordsOfChangesMergeWhateverTheirOrder(t *testing.T) {
	db := warehousetest.Open(t)
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 7))
		cluster := fmt.Sprintf("c%d", seed)
		records := randomChanges(random, cluster)
		delivered := append(slices.Clone(records), records[:len(records)/2]...)
		random.Shuffle(len(delivered), func(i, j int) { delivered[i], delivered[j] = delivered[j], delivered[i] })
		for n := 0; len(delivered) > 0; n++ {
			some := min(1+random.IntN(20), len(delivered))
			insertChanges(t, db, fmt.Sprintf("%s/%d", cluster, n), delivered[:some]...)
			delivered = delivered[some:]
		}
		compareChanges(t, db, cluster, records)
	}
}

func randomChanges(random *rand.Rand, cluster string) []schema.ResourceChange {
	var all []schema.ResourceChange
	used := map[string]bool{}
	for range 120 {
		at := resourceBase.Add(time.Duration(random.IntN(120)) * time.Second)
		c := schema.ResourceChange{
			Resource: schema.Resource{Cluster: cluster, Kind: schema.KindDeployment, UID: fmt.Sprint(random.IntN(6)), Name: fmt.Sprint(random.IntN(1000))},
			Change:   schema.Changes()[random.IntN(len(schema.Changes()))], Key: fmt.Sprint(random.IntN(2)), Time: at,
		}
		if random.IntN(3) == 0 {
			c.Seen = at.Add(time.Duration(random.IntN(20)-10) * time.Second)
		}
		if random.IntN(2) == 0 {
			c.From = at.Add(-time.Duration(random.IntN(30)) * time.Second)
		}
		// Equal precedence leaves the choice open: the oracle needs records of which one wins.
		precedence, state := fmt.Sprint(identity(c), c.Precedence()), fmt.Sprint(c.UID, c.StatePrecedence())
		if !used[precedence] && !used[state] {
			used[precedence], used[state] = true, true
			all = append(all, c)
		}
	}
	return all
}

func identity(c schema.ResourceChange) string {
	return strings.Join([]string{c.UID, string(c.Change), c.Key}, "/")
}

func compareChanges(t *testing.T, db *warehouse.DB, cluster string, records []schema.ResourceChange) {
	t.Helper()
	best, newest := map[string]schema.ResourceChange{}, map[string]schema.ResourceChange{}
	for _, c := range records {
		if was, ok := best[identity(c)]; !ok || c.Precedence() > was.Precedence() {
			best[identity(c)] = c
		}
		if was, ok := newest[c.UID]; !ok || c.StatePrecedence() > was.StatePrecedence() {
			newest[c.UID] = c
		}
	}
	want, wantLive := map[string]string{}, map[string]string{}
	for id, c := range best {
		want[id] = c.Name
	}
	for uid, c := range newest {
		if c.Change != schema.ChangeDeleted {
			wantLive[uid] = c.Name
		}
	}
	result, err := db.Query(t.Context(), "SELECT concat(uid, '/', change, '/', key) AS id, name FROM resource_changes FINAL WHERE cluster = {c:String}", map[string]any{"c": cluster})
	if err != nil {
		t.Fatal(err)
	}
	got, gotLive := map[string]string{}, map[string]string{}
	for _, row := range result.Rows {
		got[row[0].(string)] = row[1].(string)
	}
	live, err := db.LiveResources(t.Context(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range live {
		gotLive[c.UID] = c.Name
	}
	if diff := cmp.Diff(want, got); diff != "" || len(result.Rows) != len(want) {
		t.Errorf("changes of %s (-oracle +table):\n%s", cluster, diff)
	}
	if diff := cmp.Diff(wantLive, gotLive); diff != "" {
		t.Errorf("live resources of %s (-oracle +table):\n%s", cluster, diff)
	}
}

func TestAChangeThatCannotBeStoredIsRefusedForGood(t *testing.T) {
	db := warehousetest.Open(t)
	for name, spoil := range map[string]func(*schema.ResourceChange){
		"change is \"eaten\"":       func(c *schema.ResourceChange) { c.Change = "eaten" },
		"uid is missing":            func(c *schema.ResourceChange) { c.UID = "" },
		"is after time":             func(c *schema.ResourceChange) { c.From = c.Time.Add(time.Second) },
		"created 1960-01-01":        func(c *schema.ResourceChange) { c.Created = time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC) },
		"available is -2":           func(c *schema.ResourceChange) { c.Available = ptr(int64(-2)) },
		"name has 301 bytes":        func(c *schema.ResourceChange) { c.Name = strings.Repeat("x", 301) },
		"attribute huge has 1001 b": func(c *schema.ResourceChange) { c.Attributes = map[string]string{"huge": strings.Repeat("x", 1001)} },
	} {
		c := fullChange()
		spoil(&c)
		err := db.InsertResourceChanges(t.Context(), "t", []schema.ResourceChange{fullChange(), c})
		if err == nil || !warehouse.Permanent(err) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "row 1") {
			t.Errorf("error is %v, want a permanent one for row 1 that contains %q", err, name)
		}
	}
}
