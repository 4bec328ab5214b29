package warehouse_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// counts are the figures that an erasure must leave as they were.
func counts(t *testing.T, db *warehouse.DB) string {
	t.Helper()
	var all []string
	for _, sql := range []string{
		"SELECT toDate(time), count(), uniqExact(actor), ifNull(sum(value), 0) FROM events GROUP BY 1 ORDER BY 1",
		// The projection, which an engine keeps beside the rows.
		"SELECT toStartOfHour(time) AS hour, outcome, count() FROM events GROUP BY hour, outcome ORDER BY hour, outcome",
		"SELECT name, count(), min(f) FROM (SELECT name, actor, min(first_time) AS f FROM first_seen GROUP BY name, actor) GROUP BY name ORDER BY name",
		"SELECT day, count(), sum(bitCount(m) + bitCount(e)) FROM (SELECT day, actor, groupBitOr(morning) AS m, groupBitOr(evening) AS e FROM activity_days GROUP BY day, actor) GROUP BY day ORDER BY day",
		"SELECT month, count(), sum(bitCount(d) + bitCount(a)) FROM (SELECT month, actor, groupBitOr(days) AS d, groupBitOr(audited) AS a FROM activity_months GROUP BY month, actor) GROUP BY month ORDER BY month",
		"SELECT month, kind, count(), sum(bitCount(d)) FROM (SELECT month, kind, actor, groupBitOr(days) AS d FROM activity_kinds GROUP BY month, kind, actor) GROUP BY month, kind ORDER BY month, kind",
		"SELECT team, uniqExact(actor), count() FROM roster_current GROUP BY team ORDER BY team",
	} {
		result, err := db.Query(t.Context(), sql, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(result.Rows))
	}
	return strings.Join(all, "\n")
}

// seedPeople stores two months of events of three actors, of whom 1 and 2 are one person.
func seedPeople(t *testing.T, db *warehouse.DB) {
	t.Helper()
	value := 2.0
	for month := range 2 {
		var rows []schema.StoredEvent
		for i := range 30 {
			outcome := schema.OutcomeSuccess
			if i%4 == 0 {
				outcome = schema.OutcomeDenied
			}
			rows = append(rows, schema.StoredEvent{
				Outcome: outcome,
				ID:      uuid.New(), Time: noon.AddDate(0, month, 0).Add(time.Duration(i) * 7 * time.Minute), Received: noon.AddDate(0, month, 0), Source: "web", Name: fmt.Sprint("n", i%2),
				Actor: uint64(1 + i%3), ActorKind: schema.ActorHuman, Object: "secret", Value: &value, Attributes: map[string]string{"commit": "c"},
			})
		}
		if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: fmt.Sprint("block", month), Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	keys := []schema.ActorKey{{Version: 1, Hash: [32]byte{1}, Actor: 1, Created: noon}, {Version: 1, Hash: [32]byte{2}, Actor: 2, Created: noon}, {Version: 1, Hash: [32]byte{3}, Actor: 3, Created: noon}}
	if err := db.InsertActorKeys(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	if err := db.InsertAliases(t.Context(), []schema.StoredAlias{{Actor: 2, Canonical: 1, At: noon}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.PutRoster(t.Context(), "d", noon, []schema.RosterEntry{{Team: "a"}, {Team: "a", Actor: 1}, {Team: "a", Actor: 3}, {Team: "b", Actor: 1, From: noon}}); err != nil {
		t.Fatal(err)
	}
}

func TestErasureLeavesCountsAndNoTrace(t *testing.T) {
	db := warehousetest.Open(t)
	seedPeople(t, db)
	// The two surrogates become one, as the merge had made of them for every question.
	if err := db.EraseActors(t.Context(), []schema.Erasure{{Actor: 2, Replacement: 1}}); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "count() FROM events WHERE actor = 1"); n != 40 {
		t.Fatalf("%d events of the merged person, want 40", n)
	}
	want := counts(t, db)
	others := number(t, db, "count() FROM events WHERE actor = 3 AND object = 'secret' AND attributes['commit'] = 'c'")
	erasures := []schema.Erasure{{Actor: 1, Replacement: 77, At: noon}}
	if err := db.InsertErasures(t.Context(), erasures); err != nil {
		t.Fatal(err)
	}
	for range 2 { // repeating it changes nothing
		if err := db.EraseActors(t.Context(), erasures); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, counts(t, db)); diff != "" {
			t.Errorf("figures (-before +after):\n%s", diff)
		}
	}
	left, err := db.ActorRows(t.Context(), []uint64{1, 2})
	if err != nil || len(left) == 0 {
		t.Fatalf("%v, %v", left, err)
	}
	for _, place := range left {
		if place.Rows != 0 {
			t.Errorf("%d rows are left in %s", place.Rows, place.Place)
		}
	}
	if n := number(t, db, "count() FROM events WHERE actor = 77 AND (object != '' OR notEmpty(attributes))"); n != 0 {
		t.Errorf("%d events still have an object or attributes", n)
	}
	if n := number(t, db, "count() FROM events WHERE actor = 3 AND object = 'secret' AND attributes['commit'] = 'c'"); n != others || n == 0 {
		t.Errorf("%d events of somebody else are whole, %d were", n, others)
	}
	if under, err := db.Erasures(t.Context()); err != nil || len(under) > 0 {
		t.Errorf("under way: %v, %v", under, err)
	}
}

func TestErasureGoesOnAfterItsCopies(t *testing.T) {
	db := warehousetest.Open(t)
	seedPeople(t, db)
	if err := db.EraseActors(t.Context(), []schema.Erasure{{Actor: 2, Replacement: 1}}); err != nil {
		t.Fatal(err)
	}
	want := counts(t, db)
	for range 2 { // an engine that dies behind each copy, before it deletes
		if err := warehouse.CopyPersonal(t.Context(), db, 77, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.EraseActors(t.Context(), []schema.Erasure{{Actor: 1, Replacement: 77, At: noon}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, counts(t, db)); diff != "" {
		t.Errorf("figures (-before +after):\n%s", diff)
	}
}

// TestEveryTableWithPeopleIsErased fails when a table comes along that an erasure does not know.
func TestEveryTableWithPeopleIsErased(t *testing.T) {
	db := warehousetest.Open(t)
	result, err := db.Query(t.Context(), `SELECT DISTINCT toString(table) FROM system.columns
		WHERE database = currentDatabase() AND (name ILIKE '%actor%' OR name IN ('canonical', 'recipient', 'person', 'user'))
		AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree') ORDER BY 1`, nil)
	if err != nil || len(result.Rows) < 5 {
		t.Fatalf("%v, %v", result.Rows, err)
	}
	known := append(warehouse.ActorTables(), "erasures", "deliveries")
	for _, row := range result.Rows {
		if !slices.Contains(known, row[0].(string)) {
			t.Errorf("the table %s has rows of persons: an erasure must know it, see keptPersonal and linkPersonal", row[0])
		}
	}
}

var keyExport = regexp.MustCompile(`^\{"key_version":\d+,"hash":"[0-9a-f]{64}","actor":"\d+","created":"[^"]+"\}$`)

func TestExportOfAPerson(t *testing.T) {
	db := warehousetest.Open(t)
	seedPeople(t, db)
	rows := map[string]int{}
	err := db.ExportActor(t.Context(), []uint64{1, 2}, func(table string, row []byte) error {
		rows[table]++
		if table == schema.TableEvents && !strings.Contains(string(row), `"commit":"c"`) {
			t.Errorf("an event without its attributes: %s", row)
		}
		if table == schema.TableActorKeys && !keyExport.Match(row) {
			t.Errorf("a link that is not as it should be: %q", row)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows[schema.TableEvents] != 40 || rows[schema.TableRoster] != 2 || rows[schema.TableAliases] != 1 || rows[schema.TableActorKeys] != 2 || rows["activity_days"] == 0 || rows[schema.TableFirstSeen] == 0 {
		t.Errorf("rows: %v", rows)
	}
	counted, err := db.ActorRows(t.Context(), []uint64{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counted {
		if int(c.Rows) != rows[c.Place] {
			t.Errorf("%s: %d rows counted, %d exported", c.Place, c.Rows, rows[c.Place])
		}
	}
}

func TestSuppressed(t *testing.T) {
	db := warehousetest.Open(t)
	key := schema.ActorKey{Version: 2, Hash: [32]byte{0: 9, 31: 8}, Created: noon}
	for range 2 {
		if err := db.InsertSuppressed(t.Context(), []schema.ActorKey{key}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Suppressed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.ActorKey{key}, got); diff != "" {
		t.Errorf("suppressed (-want +got):\n%s", diff)
	}
}
