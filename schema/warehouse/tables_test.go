package warehouse_test

import (
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

func TestActorKeys(t *testing.T) {
	db := warehousetest.Open(t)
	key := func(version uint32, hash byte, actor uint64, created time.Time) schema.ActorKey {
		return schema.ActorKey{Version: version, Hash: [32]byte{0: hash, 31: hash}, Actor: actor, Created: created}
	}
	first := key(1, 7, 300, noon)
	later := key(1, 7, 200, noon.Add(time.Second)) // another replica's, a moment later
	tie := key(1, 7, 400, noon)                    // in the same millisecond
	rotated := key(2, 7, 300, noon.Add(time.Hour))
	zero := key(1, 0, 1, noon)
	for _, keys := range [][]schema.ActorKey{{later}, {first, rotated}, {tie, zero}, {first, rotated}, nil} {
		if err := db.InsertActorKeys(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.ActorKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.ActorKey{zero, first, rotated}, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestAliases(t *testing.T) {
	db := warehousetest.Open(t)
	merged := schema.StoredAlias{Actor: 1, Canonical: 10, At: noon}
	moved := schema.StoredAlias{Actor: 1, Canonical: 11, At: noon.Add(time.Hour)}
	undone := schema.StoredAlias{Actor: 2, Canonical: 2, At: noon}
	for _, rows := range [][]schema.StoredAlias{{moved, undone}, {merged}, {merged, moved}} { // the order does not matter
		if err := db.InsertAliases(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Aliases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.StoredAlias{moved, undone}, got); diff != "" {
		t.Errorf("aliases (-want +got):\n%s", diff)
	}
}

func TestRoster(t *testing.T) {
	db := warehousetest.Open(t)
	current := func() []schema.RosterEntry {
		t.Helper()
		rows, err := db.CurrentRoster(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	put := func(digest string, want bool, rows ...schema.RosterEntry) {
		t.Helper()
		changed, err := db.PutRoster(t.Context(), digest, noon, rows)
		if err != nil || changed != want {
			t.Fatalf("digest %s: changed %v, error %v", digest, changed, err)
		}
	}
	if rows := current(); len(rows) > 0 {
		t.Errorf("before the first roster there is %v", rows)
	}
	team := schema.RosterEntry{Team: "a", Voluntary: true}
	ann := schema.RosterEntry{Team: "a", Actor: 7, From: noon, To: noon.AddDate(1, 0, 0), Persona: "developer"}
	bob := schema.RosterEntry{Team: "b", Actor: 8, From: noon, Voluntary: true}
	put("one", true, ann, team)
	put("one", false, ann, team)
	if diff := cmp.Diff([]schema.RosterEntry{team, ann}, current()); diff != "" {
		t.Errorf("the first roster (-want +got):\n%s", diff)
	}
	put("two", true, bob)
	if diff := cmp.Diff([]schema.RosterEntry{bob}, current()); diff != "" {
		t.Errorf("the second roster (-want +got):\n%s", diff)
	}
	put("one", true, ann, team) // back to what it was: a new version
	if diff := cmp.Diff([]schema.RosterEntry{team, ann}, current()); diff != "" {
		t.Errorf("the third roster (-want +got):\n%s", diff)
	}
	put("none", true)
	if rows := current(); len(rows) > 0 {
		t.Errorf("an empty roster has %v", rows)
	}
	if n := number(t, db, "countIf(valid_from <= now() AND now() < valid_to) FROM roster WHERE actor = 0"); n != 2 {
		t.Errorf("%d of 2 open memberships hold now by plain comparison", n)
	}
	if _, err := db.PutRoster(t.Context(), "x", noon, []schema.RosterEntry{{Actor: 1}}); !warehouse.Permanent(err) {
		t.Errorf("an entry without a team: %v", err)
	}
}

func TestSlices(t *testing.T) {
	db := warehousetest.Open(t)
	slice := func(minute int, version uint64, good float64) schema.Slice {
		return schema.Slice{Indicator: "api", Revision: "r1", Group: "g'1", Start: noon.Add(time.Duration(minute) * time.Minute), Seconds: 60,
			Good: good, Total: 10, State: schema.SliceMeasured, Version: version}
	}
	gap := slice(2, 1, 0)
	gap.Total, gap.State = 0, schema.SliceGap
	other := slice(0, 9, 1)
	other.Revision = "r2"
	ungrouped := slice(0, 9, 1)
	ungrouped.Group = ""
	filled := slice(2, 2, 9) // a gap that was measured after all
	for i, rows := range [][]schema.Slice{{slice(0, 5, 8), slice(1, 1, 10), gap, other, ungrouped}, {slice(0, 4, 1), filled}, {slice(0, 4, 1), filled}} {
		if err := db.InsertSlices(t.Context(), []string{"a", "b", "b"}[i], rows); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(from, to time.Time) []schema.Slice {
		t.Helper()
		got, err := db.Slices(t.Context(), schema.SliceQuery{Indicator: "api", Revision: "r1", Group: "g'1", From: from, To: to})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, test := range []struct {
		name     string
		from, to time.Time
		want     []schema.Slice
	}{
		{"all", time.Time{}, noon.AddDate(200, 0, 0), []schema.Slice{slice(0, 5, 8), slice(1, 1, 10), filled}},
		{"half-open", noon, noon.Add(2 * time.Minute), []schema.Slice{slice(0, 5, 8), slice(1, 1, 10)}},
		{"within a second after the first", noon.Add(time.Millisecond), noon.Add(time.Minute + time.Millisecond), []schema.Slice{slice(1, 1, 10)}},
		{"nothing", noon.Add(time.Hour), noon.Add(2 * time.Hour), nil},
		{"the wrong way round", noon.Add(time.Hour), noon, nil},
	} {
		if diff := cmp.Diff(test.want, ask(test.from, test.to)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	groups, err := db.SliceGroups(t.Context(), schema.SliceQuery{Indicator: "api", Revision: "r1", From: noon, To: noon.Add(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"", "g'1"}, groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	marks, err := db.SeriesMarks(t.Context(), []schema.SliceQuery{{Indicator: "api", Revision: "r1", Group: "g'1"}, {Indicator: "api", Revision: "r3"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.SeriesMarks{{First: noon}, {}}, marks); diff != "" {
		t.Errorf("beginnings (-want +got):\n%s", diff)
	}
	bad := slice(0, 1, 1)
	bad.State = "excluded"
	if err := db.InsertSlices(t.Context(), "c", []schema.Slice{bad}); !warehouse.Permanent(err) {
		t.Errorf("a state of its own: %v", err)
	}
	bad = slice(0, 1, 1)
	bad.Start = time.Time{}
	if err := db.InsertSlices(t.Context(), "d", []schema.Slice{bad}); !warehouse.Permanent(err) {
		t.Errorf("no start: %v", err)
	}
}

func TestQuarantine(t *testing.T) {
	db := warehousetest.Open(t)
	older := schema.Quarantined{ID: uuid.New(), Time: noon, Source: "audit/prod", Kind: "event", Reason: "no name", Payload: `{"id":"1"}`, State: schema.QuarantineHeld}
	newer := schema.Quarantined{ID: uuid.New(), Time: noon.Add(time.Second), Source: "s", Kind: "segment", Reason: "damaged", Payload: strings.Repeat("AAAA", 1<<20), State: schema.QuarantineHeld}
	for range 2 {
		if err := db.InsertQuarantine(t.Context(), []schema.Quarantined{older, newer}); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[int][]schema.Quarantined{0: nil, 1: {newer}, 10: {newer, older}} {
		got, err := db.Quarantined(t.Context(), schema.QuarantineQuery{State: schema.QuarantineHeld, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at most %d (-want +got):\n%.500s", limit, diff)
		}
	}
	if err := db.DecideQuarantine(t.Context(), []schema.Quarantined{newer}, schema.QuarantineDropped); err != nil {
		t.Fatal(err)
	}
	if err := db.InsertQuarantine(t.Context(), []schema.Quarantined{newer}); err != nil { // a late retry
		t.Fatal(err)
	}
	got, err := db.Quarantined(t.Context(), schema.QuarantineQuery{State: schema.QuarantineHeld, Limit: 10})
	if err != nil || len(got) != 1 || got[0].ID != older.ID {
		t.Errorf("after one was dropped %d are held, error %v", len(got), err)
	}
	behind, err := db.Quarantined(t.Context(), schema.QuarantineQuery{Limit: 10, Before: newer.Time, BeforeID: newer.ID})
	if err != nil || len(behind) != 1 || behind[0].ID != older.ID {
		t.Errorf("behind the newest are %d, error %v", len(behind), err)
	}
	found, err := db.QuarantinedByID(t.Context(), strings.ToUpper(newer.ID.String()[:13]), 2)
	if err != nil || len(found) != 1 || found[0].State != schema.QuarantineDropped || found[0].Payload != newer.Payload {
		t.Errorf("by the beginning of its id: %d found, error %v", len(found), err)
	}
	counts, err := db.QuarantineCounts(t.Context())
	want := []schema.QuarantineCount{{Kind: "event", Source: "audit/prod", Reason: "no name", Records: 1, First: noon, Last: noon}}
	if diff := cmp.Diff(want, counts); diff != "" || err != nil {
		t.Errorf("counts (-want +got):\n%s%v", diff, err)
	}
	if err := db.RemoveQuarantined(t.Context(), []uuid.UUID{older.ID}); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "count() FROM quarantine WHERE id != '"+newer.ID.String()+"'"); n != 0 {
		t.Errorf("%d rows are left of what was removed", n)
	}
}

func TestDeliveries(t *testing.T) {
	db := warehousetest.Open(t)
	sending := schema.Delivery{Report: "weekly/managers", Period: "2026-W46", Recipient: "b@example.com", Status: schema.DeliverySending, At: noon, Attempts: 1}
	sent := sending
	sent.Status, sent.MessageID = schema.DeliverySent, "<1@example.com>"
	failed := schema.Delivery{Report: "weekly/managers", Period: "2026-W46", Recipient: "a@example.com", Status: schema.DeliveryFailed, At: noon.Add(time.Second), Attempts: 3, Error: "550 no such user"}
	elsewhere := sending
	elsewhere.Period = "2026-W45"
	for _, d := range []schema.Delivery{sending, sent, failed, elsewhere} { // sending and sent carry one time
		if err := db.PutDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	got, found, err := db.Delivery(t.Context(), "weekly/managers", "2026-W46", "b@example.com")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("delivery (-want +got):\n%s", diff)
	}
	if got, found, err = db.Delivery(t.Context(), "weekly/managers", "2026-W46", "c@example.com"); err != nil || found || got != (schema.Delivery{}) {
		t.Errorf("a delivery that never was: %v, %v, %v", got, found, err)
	}
	all, err := db.Deliveries(t.Context(), "weekly/managers", "2026-W46")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.Delivery{failed, sent}, all); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
}

func TestWhatIsPutLastWinsWhateverTheClock(t *testing.T) {
	now := noon
	migrated := warehousetest.Open(t)
	db, err := warehouse.Open(t.Context(), warehouse.Options{
		DSN: migrated.String() + "?database=" + migrated.Database(), Now: func() time.Time { now = now.Add(-time.Hour); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, db)
	for _, status := range []schema.DeliveryStatus{schema.DeliverySending, schema.DeliveryFailed, schema.DeliverySent} {
		if err := db.PutDelivery(t.Context(), schema.Delivery{Report: "r", Period: "p", Recipient: "x", Status: status, At: noon}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.PutRoster(t.Context(), string(status), noon, []schema.RosterEntry{{Team: string(status)}}); err != nil {
			t.Fatal(err)
		}
		if d, _, err := db.Delivery(t.Context(), "r", "p", "x"); err != nil || d.Status != status {
			t.Errorf("after %s it is %s, %v", status, d.Status, err)
		}
		if r, err := db.CurrentRoster(t.Context()); err != nil || len(r) != 1 || r[0].Team != string(status) {
			t.Errorf("after %s the roster is %v, %v", status, r, err)
		}
	}
}

func TestIncidents(t *testing.T) {
	db := warehousetest.Open(t)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	first := schema.Incident{ID: "INC-1", Service: "api", Start: at(0), Version: 1}
	resolved := schema.Incident{ID: "INC-1", Service: "api", Objectives: []string{"availability"}, Title: "etcd was slow", Class: "etcd", Cause: "disk",
		Origin: schema.OriginOwn, Start: at(0), Detected: at(2), Resolved: at(30), Links: []string{"https://example.com/1"}, Version: 2,
		Followups: []schema.Followup{{ID: "F-1", Title: "faster disks", Owner: "platform", Due: at(100), Done: at(90)}, {ID: "F-2"}}}
	open := schema.Incident{ID: "INC-2", Service: "dns", Start: at(10), Origin: schema.OriginUnknown, Version: 1}
	instant := schema.Incident{ID: "INC-3", Service: "dns", Start: at(40), Resolved: at(40), Origin: schema.OriginUpstream, Version: 1}
	for i, rows := range [][]schema.Incident{{first, open}, {resolved, instant}, {resolved, instant}, {first}} {
		if err := db.InsertIncidents(t.Context(), []string{"a", "b", "b", "c"}[i], rows); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name     string
		from, to int
		want     []schema.Incident
	}{
		{"all", -10, 1000, []schema.Incident{resolved, open, instant}},
		{"before the first", -10, 0, nil},
		{"its first minute", 0, 1, []schema.Incident{resolved}},
		{"its last minute", 29, 30, []schema.Incident{resolved, open}},
		{"from its end on", 30, 40, []schema.Incident{open}},
		{"one without length", 40, 41, []schema.Incident{open, instant}},
		{"long after", 900, 1000, []schema.Incident{open}},
	} {
		got, err := db.Incidents(t.Context(), at(test.from), at(test.to))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	for _, change := range []func(*schema.Incident){
		func(i *schema.Incident) { i.Start = time.Time{} },
		func(i *schema.Incident) { i.Resolved = time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC) },
		func(i *schema.Incident) { i.Origin = "nobody" },
	} {
		bad := first
		change(&bad)
		if err := db.InsertIncidents(t.Context(), "d", []schema.Incident{bad}); !warehouse.Permanent(err) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestStorage(t *testing.T) {
	now := noon
	db := warehousetest.Open(t)
	insertEvents(t, db, "t", []schema.StoredEvent{
		{ID: uuid.New(), Time: now, Received: now, Name: "n"}, {ID: uuid.New(), Time: now.AddDate(0, 0, 5), Received: now, Name: "n"},
	})
	if _, err := db.PutRoster(t.Context(), "d", now, []schema.RosterEntry{{Team: "a"}}); err != nil {
		t.Fatal(err)
	}
	all, err := db.Storage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]schema.TableStorage{}
	for _, s := range all {
		got[s.Table] = s
	}
	if s := got["events"]; s.Rows != 2 || s.CompressedBytes == 0 || s.Uncompressed < 100 || !s.Oldest.Equal(now) || !s.Newest.Equal(now.AddDate(0, 0, 5)) {
		t.Errorf("events: %+v", s)
	}
	if s, ok := got["sli_slices"]; !ok || s != (schema.TableStorage{Table: "sli_slices"}) {
		t.Errorf("an empty table: %+v", s)
	}
	if s := got["schema_migrations"]; s.Rows == 0 || time.Since(s.Newest) > time.Hour {
		t.Errorf("schema_migrations: %+v", s)
	}
	if !slices.IsSortedFunc(all, func(a, b schema.TableStorage) int { return int(b.CompressedBytes) - int(a.CompressedBytes) }) {
		t.Error("the largest table is not the first")
	}
}

func TestTruncate(t *testing.T) {
	db := warehousetest.Open(t)
	rows := events(10)
	for range 2 {
		insertEvents(t, db, "t", rows)
		if n := number(t, db, "count() FROM events"); n != 10 {
			t.Fatalf("%d events", n)
		}
		if err := db.Truncate(t.Context(), "events", "first_seen"); err != nil {
			t.Fatal(err)
		}
		if n := number(t, db, "count() FROM events") + number(t, db, "count() FROM first_seen"); n != 0 {
			t.Fatalf("%d rows are left", n)
		}
	}
	if err := db.Truncate(t.Context(), "events; DROP TABLE events"); err == nil {
		t.Error("that was no table")
	}
	if err := db.Truncate(t.Context(), "none"); err == nil || !strings.HasPrefix(err.Error(), "empty the table (table none): code 60: ") {
		t.Errorf("a table that is not there: %v", err)
	}
}
