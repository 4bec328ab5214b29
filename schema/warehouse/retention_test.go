package warehouse_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestRetentionIsSetChangedAndRemoved(t *testing.T) {
	db := warehousetest.Open(t)
	const day = 24 * time.Hour
	for _, table := range []string{schema.TableEvents, "activity_days", "activity_months", "activity_kinds", schema.TableSlices, "resource_changes", schema.TableQuarantine, schema.TableDeliveries} {
		for _, d := range []time.Duration{0, 400 * day, 400 * day, 90 * day, 0} {
			if err := db.SetRetention(t.Context(), table, d); err != nil {
				t.Fatalf("%s: %v", table, err)
			}
			if got, err := db.Retention(t.Context(), table); err != nil || got != d {
				t.Errorf("%s: %s, want %s; %v", table, got, d, err)
			}
		}
	}
	for table, d := range map[string]time.Duration{schema.TableActorKeys: day, schema.TableEvents: -day} {
		if err := db.SetRetention(t.Context(), table, d); !warehouse.Permanent(err) {
			t.Errorf("%s for %s: %v", table, d, err)
		}
	}
}

func TestRetentionRemovesOldEventsAndNotWhatIsDerived(t *testing.T) {
	db := warehousetest.Open(t)
	now := time.Now().UTC().Truncate(time.Second)
	for i, at := range []time.Time{now, now.AddDate(-1, 0, 0)} {
		row := schema.StoredEvent{ID: uuid.New(), Time: at, Received: at, Source: "web", Name: "n", Actor: 1, ActorKind: schema.ActorHuman}
		if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: string(rune('a' + i)), Rows: []schema.StoredEvent{row}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.SetRetention(t.Context(), schema.TableEvents, 100*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(t.Context(), "OPTIMIZE TABLE events FINAL"); err != nil { // what the background does in its time
		t.Fatal(err)
	}
	if n := number(t, db, "count() FROM events"); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if n := number(t, db, "count() FROM activity_days"); n != 2 {
		t.Errorf("%d days of activity, want 2", n)
	}
	tables, err := db.Storage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if want := table.Table == schema.TableEvents || table.Table == schema.TableEventIDs; (table.Retention > 0) != want {
			t.Errorf("%s is kept for %s", table.Table, table.Retention)
		}
	}
}

// A part that loses some of its rows loses them in what is counted, too.
func TestRetentionReachesTheCounts(t *testing.T) {
	db := warehousetest.Open(t)
	now := time.Now().UTC()
	month := time.Date(now.Year(), now.Month()-4, 1, 0, 0, 0, 0, time.UTC)
	var rows []schema.StoredEvent
	for day := range 20 {
		at := month.AddDate(0, 0, day)
		rows = append(rows, schema.StoredEvent{ID: uuid.New(), Time: at, Received: at, Source: "web", Name: "n", Actor: 1, ActorKind: schema.ActorHuman})
	}
	if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "block", Rows: rows}); err != nil {
		t.Fatal(err)
	}
	if err := db.SetRetention(t.Context(), schema.TableEvents, now.Sub(month.AddDate(0, 0, 10))-time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(t.Context(), "OPTIMIZE TABLE events FINAL"); err != nil {
		t.Fatal(err)
	}
	const counted = "sum(n) FROM (SELECT toStartOfHour(time) AS hour, count() AS n FROM events WHERE outcome = 'success' GROUP BY hour)"
	plan, err := db.Query(t.Context(), "EXPLAIN SELECT "+counted, nil)
	if err != nil || !strings.Contains(fmt.Sprint(plan.Rows), "ReadFromMergeTree (counts)") {
		t.Errorf("the projection is not read: %v, %v", plan.Rows, err)
	}
	if n := number(t, db, counted); n != 9 {
		t.Errorf("%d events are counted, want 9", n)
	}
}
