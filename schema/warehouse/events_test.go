package warehouse_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// noon is when most things happen in these tests.
var noon = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)

// events makes n events of one month that look like those of a platform of some size.
func events(n int) []schema.StoredEvent {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	rows := make([]schema.StoredEvent, n)
	for i := range rows {
		duration := random.Float64() * 1000
		rows[i] = schema.StoredEvent{
			ID:   schema.EventID("audit/prod", fmt.Sprint("event ", n, "/", i)),
			Time: noon.Add(time.Duration(random.IntN(10*24*3600*1000)-5*24*3600*1000) * time.Millisecond), Received: noon.Add(time.Duration(i) * time.Millisecond),
			Source: "audit/prod", Name: fmt.Sprintf("deployments.%d", random.IntN(50)), Actor: random.Uint64N(20_000), ActorKind: schema.ActorHuman,
			Cluster: fmt.Sprintf("cluster-%d", random.IntN(12)), Namespace: fmt.Sprintf("team-%d", random.IntN(500)),
			Resource: "deployments", Object: fmt.Sprintf("service-%d", random.IntN(5000)), Outcome: schema.OutcomeSuccess, DurationMS: &duration,
		}
	}
	return rows
}

func insertEvents(t testing.TB, db *warehouse.DB, token string, rows []schema.StoredEvent) {
	t.Helper()
	if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: token, Rows: rows}); err != nil {
		t.Fatal(err)
	}
}

func TestEventsAreStoredWhole(t *testing.T) {
	db := warehousetest.Open(t)
	duration, value := 12.5, -3.0
	full := schema.StoredEvent{
		ID: uuid.New(), Time: noon.Add(123 * time.Millisecond), Received: noon.Add(time.Second), Source: "s\x00'\t", Name: "deployments.create",
		Actor: 1<<64 - 1, ActorKind: schema.ActorMachine, ActorTeam: "payments", TeamSource: "token", OwnerTeam: "checkout", Persona: "developer",
		Cluster: "prod", Namespace: "shop", Resource: "pods/exec", Object: "größe-📦", Outcome: schema.OutcomeDenied, Reason: schema.ReasonQuota,
		DurationMS: &duration, Value: &value, Clamped: true, Attributes: map[string]string{"commit": "abc", "quote": `\'`},
	}
	sparse := schema.StoredEvent{ID: uuid.New(), Time: noon, Received: noon, Source: "s", Name: "n"}
	insertEvents(t, db, "t", []schema.StoredEvent{full, sparse})
	result, err := db.Query(t.Context(), `SELECT id, time, received, source, name, actor, actor_kind, actor_team, team_source, owner_team, persona,
		cluster, namespace, resource, object, outcome, reason, duration_ms, value, clamped, attributes FROM events ORDER BY time DESC`, nil)
	if err != nil {
		t.Fatal(err)
	}
	none := (*float64)(nil)
	want := [][]any{
		{full.ID, full.Time, full.Received, full.Source, full.Name, full.Actor, "machine", "payments", "token", "checkout", "developer",
			"prod", "shop", "pods/exec", full.Object, "denied", "quota", &duration, &value, true, full.Attributes},
		{sparse.ID, noon, noon, "s", "n", uint64(0), "unknown", "", "", "", "", "", "", "", "", "success", "", none, none, false, map[string]string{}},
	}
	if diff := cmp.Diff(want, result.Rows); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// firstSeen is what readers see of first_seen: how many rows, and a digest of them.
func firstSeen(t testing.TB, db *warehouse.DB) string {
	t.Helper()
	result, err := db.Query(t.Context(), `SELECT count(), sum(cityHash64(name, outcome, actor_kind, actor, actor_team, first)) FROM (
		SELECT name, outcome, actor_kind, actor, actor_team, min(first_time) AS first FROM first_seen GROUP BY ALL)`, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(result.Rows[0])
}

func TestEventsLandOnce(t *testing.T) {
	db := warehousetest.Open(t)
	rows := events(5000)
	insertEvents(t, db, "spool-1/1-5/202611", rows)
	before := firstSeen(t, db)
	for range 2 {
		insertEvents(t, db, "spool-1/1-5/202611", rows)
	}
	if n := number(t, db, "count() FROM events"); n != 5000 {
		t.Errorf("%d events of 5000", n)
	}
	if after := firstSeen(t, db); after != before {
		t.Errorf("first_seen was %s and is %s after the same block came again", before, after)
	}
	insertEvents(t, db, "spool-1/6-9/202611", rows)
	if n := number(t, db, "count() FROM events"); n != 10_000 {
		t.Errorf("%d events after another token: blocks are recognised by their content, not by the token", n)
	}
}

// TestOnlyEventsHaveTokens: a table with a window refuses a block whose token an engine noted before it died, and only
// InsertEvents looks out for that.
func TestOnlyEventsHaveTokens(t *testing.T) {
	db := warehousetest.Open(t)
	result, err := db.Query(t.Context(), `SELECT name FROM system.tables WHERE database = currentDatabase()
		AND engine_full LIKE '%non_replicated_deduplication_window%'`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]any{{"events"}}, result.Rows); diff != "" {
		t.Errorf("tables with a deduplication window (-want +got):\n%s\nmake repeated rows harmless instead", diff)
	}
}

func TestRowsThatTheTableRemoves(t *testing.T) {
	db := warehousetest.Open(t)
	if err := db.Exec(t.Context(), "ALTER TABLE events MODIFY TTL toDateTime(time, 'UTC') + INTERVAL 1 MONTH"); err != nil {
		t.Fatal(err)
	}
	old := schema.StoredEvent{ID: uuid.New(), Time: noon.AddDate(-10, 0, 0), Received: noon, Name: "n"}
	insertEvents(t, db, "t", []schema.StoredEvent{old})
	if n := number(t, db, "count() FROM events"); n > 1 {
		t.Errorf("%d rows of one", n)
	}
}

func TestEventsThatCanNeverBeStored(t *testing.T) {
	db := warehousetest.Open(t)
	ok := schema.StoredEvent{ID: uuid.New(), Time: noon, Received: noon, Name: "n"}
	for _, test := range []struct {
		name   string
		token  string
		change func(*schema.StoredEvent)
		want   string
	}{
		{"two months", "t", func(e *schema.StoredEvent) { e.Time = noon.AddDate(0, 1, 0) },
			"insert 2 rows (table events): row 1 is of 2026-12, row 0 of 2026-11: a block must be of one month"},
		{"long ago", "t", func(e *schema.StoredEvent) { e.Time = time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC) },
			"insert 2 rows (table events): row 1: time 1969-12-31T23:00:00Z is outside of 1970-01-01 to 2100-01-01"},
		{"no receipt", "t", func(e *schema.StoredEvent) { e.Received = time.Time{} },
			"insert 2 rows (table events): row 1: received 0001-01-01T00:00:00Z is outside of 1970-01-01 to 2100-01-01"},
		{"an outcome of its own", "t", func(e *schema.StoredEvent) { e.Outcome = "perhaps" },
			`insert 2 rows (table events): column outcome: row 1: "perhaps" is none of Enum8('success' = 0, 'failure' = 1, 'denied' = 2)`},
		{"no token", "", func(*schema.StoredEvent) {},
			"insert 2 rows (table events): the token is empty: a retry would count twice"},
	} {
		bad := ok
		test.change(&bad)
		err := db.InsertEvents(t.Context(), schema.EventBlock{Token: test.token, Rows: []schema.StoredEvent{ok, bad}})
		if err == nil || err.Error() != test.want || !warehouse.Permanent(err) {
			t.Errorf("%s: got %v (permanent %v), want %s", test.name, err, warehouse.Permanent(err), test.want)
		}
	}
	if n := number(t, db, "count() FROM events"); n != 0 {
		t.Errorf("%d events of refused blocks are stored", n)
	}
	if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "t", Rows: nil}); err != nil {
		t.Errorf("no rows at all: %v", err)
	}
	insertEvents(t, db, "t2", []schema.StoredEvent{ok}) // the connection of a refused block was given back
}

func TestMonthsAreOfUTC(t *testing.T) {
	db := warehousetest.Open(t)
	zone := time.FixedZone("UTC+10", 10*3600)
	rows := []schema.StoredEvent{
		{ID: uuid.New(), Time: time.Date(2026, 12, 1, 9, 0, 0, 0, zone), Received: noon, Name: "n"}, // 30 November in UTC
		{ID: uuid.New(), Time: time.Date(2026, 11, 30, 23, 59, 59, 999e6, time.UTC), Received: noon, Name: "n"},
	}
	insertEvents(t, db, "t", rows)
	if n := number(t, db, "count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'events' AND partition = '202611'"); n != 1 {
		t.Errorf("%d parts of November", n)
	}
}

func TestErrorsThatTimeMayMend(t *testing.T) {
	db := warehousetest.Open(t)
	rows := []schema.StoredEvent{{ID: uuid.New(), Time: noon, Received: noon, Name: "n"}}
	if err := db.Exec(t.Context(), "RENAME TABLE events TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "t", Rows: rows})
	if err == nil || warehouse.Permanent(err) || !strings.HasPrefix(err.Error(), "insert 1 rows (table events): code 60: ") ||
		!strings.HasSuffix(err.Error(), "; run `kubevalue migrate`") {
		t.Errorf("a missing table: %v (permanent %v)", err, warehouse.Permanent(err))
	}
	if err := db.Exec(t.Context(), "RENAME TABLE elsewhere TO events"); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(t.Context(), "ALTER TABLE events MODIFY COLUMN clamped UUID"); err == nil {
		t.Error("a boolean became a UUID")
	}
	insertEvents(t, db, "t", rows)
}

func TestTheServerRefusesValues(t *testing.T) {
	db := warehousetest.Open(t)
	if err := db.Exec(t.Context(), "ALTER TABLE events ADD CONSTRAINT short CHECK length(name) < 10"); err != nil {
		t.Fatal(err)
	}
	err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "t", Rows: []schema.StoredEvent{{ID: uuid.New(), Time: noon, Received: noon, Name: "longer than that"}}})
	if !warehouse.Permanent(err) {
		t.Errorf("error %v is not permanent", err)
	}
}

func BenchmarkInsertEvents(b *testing.B) {
	db := warehousetest.Open(b)
	for _, n := range []int{1000, 10_000, 100_000} {
		rows := events(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for i := range b.N {
				insertEvents(b, db, fmt.Sprint(n, "/", i, "/", b.N), rows)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
