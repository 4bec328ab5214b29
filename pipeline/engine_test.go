package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

var secret = []identity.Key{{Version: 1, Secret: make([]byte, 32)}}

// config is a pipeline's for tests, with runs that do not wait.
func config(tb testing.TB, store pipeline.Store, dir string) pipeline.Config {
	tb.Helper()
	resolver, err := identity.New(identity.Config{Keys: secret, Store: store, Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return pipeline.Config{
		Processor: pipeline.ProcessorConfig{Store: store, Identity: resolver, Attributes: []string{"kept"}},
		Dir:       dir, Interval: time.Millisecond,
	}
}

// start opens a pipeline and runs it until the test ends or stop is called.
func start(tb testing.TB, cfg pipeline.Config) (p *pipeline.Pipeline, stop func()) {
	tb.Helper()
	p, err := pipeline.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); ctx.Err() == nil {
			tb.Errorf("run ended: %v", err)
		}
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-done
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	}
	tb.Cleanup(stop)
	return p, stop
}

func flush(tb testing.TB, p *pipeline.Pipeline) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Minute)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		tb.Fatal(err)
	}
}

func query(tb testing.TB, db *warehouse.DB, sql string) [][]any {
	tb.Helper()
	result, err := db.Query(tb.Context(), sql, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return result.Rows
}

func TestIDsOfManyDaysAreNotedAtOnce(t *testing.T) {
	db := warehousetest.Open(t)
	resolver, err := identity.New(identity.Config{Keys: []identity.Key{{Version: 1, Secret: make([]byte, 32)}}, Store: db, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	var b schema.Batch
	for i := range 120 {
		day := time.Date(2026, 1, 1+i/2, 10, 0, 0, 0, time.UTC)
		b.Events = append(b.Events, schema.Event{ID: fmt.Sprint(i), Source: "ci", Name: "deploy", Time: day, Received: day})
	}
	p := pipeline.NewProcessor(pipeline.ProcessorConfig{Store: db, Identity: resolver})
	if out, err := p.ProcessNew(t.Context(), "first", b); err != nil || out.Events != 120 {
		t.Fatalf("%+v %v", out, err)
	}
	if out, err := p.ProcessNew(t.Context(), "copies", b); err != nil || out.Events != 0 || out.Duplicates != 120 {
		t.Errorf("copies: %+v %v", out, err)
	}
	if got := text(query(t, db, "SELECT count(), uniqExact(id_low), uniqExact(_partition_id) FROM event_ids")); got != "[[120 120 60]]" {
		t.Error(got)
	}
}

// text is rows in one line, without empty columns.
func text(rows [][]any) string { return strings.Join(strings.Fields(fmt.Sprint(rows)), " ") }

func TestEveryKindOfRecordReachesItsTable(t *testing.T) {
	db := warehousetest.Open(t)
	p, _ := start(t, config(t, db, t.TempDir()))
	now := time.Now().UTC().Truncate(time.Millisecond)
	minute := now.Truncate(time.Minute)
	value, duration := 2.5, 17.0
	err := p.Append(t.Context(), schema.Batch{
		Events: []schema.Event{
			{ID: "1", Source: "ci", Time: now.Add(-time.Hour), Name: "deployments.create", Actor: "ann@example.com", Team: "payments",
				OwnerTeam: "checkout", Persona: "developer", Cluster: "eu1", Namespace: "shop", Resource: "deployments", Object: "cart",
				Outcome: schema.OutcomeDenied, Reason: schema.ReasonQuota, Value: &value, DurationMS: &duration,
				Attributes: map[string]string{"kept": "yes", "free text": "no"}},
			{ID: "2", Source: "ci", Time: now.Add(time.Hour), Name: "pods.create", Actor: "system:serviceaccount:shop:default"},
			{Source: "ci", Time: now.AddDate(0, 0, -29), Name: "visit", Received: now.Add(-time.Second)},
		},
		Slices:    []schema.Slice{{Indicator: "api", Revision: "r", Start: minute, Seconds: 60, Good: 1, Total: 2, State: schema.SliceMeasured, Version: 1}},
		Aliases:   []schema.Alias{{Source: "ci", From: "ann@example.com", To: "ann", At: now}},
		Incidents: []schema.Incident{{ID: "i", Service: "api", Start: minute, Version: 1}},
		Changes: []schema.ResourceChange{{
			Resource: schema.Resource{Cluster: "eu1", Kind: "Namespace", UID: "u", Name: "shop"}, Change: schema.ChangeCreated, Time: minute, Seen: minute,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	flush(t, p)
	got := text(query(t, db, `SELECT source, name, toString(actor_kind), actor_team, team_source, owner_team, persona, cluster, namespace,
		resource, object, toString(outcome), reason, ifNull(duration_ms, -1), ifNull(value, -1), toUInt8(clamped), toString(attributes) FROM events ORDER BY name`))
	want := "[[ci deployments.create human payments event checkout developer eu1 shop deployments cart denied quota 17 2.5 0 {'kept':'yes'}]" +
		" [ci pods.create machine success -1 -1 1 {}] [ci visit unknown success -1 -1 0 {}]]"
	if got != want {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
	for sql, want := range map[string]string{
		"SELECT count() FROM events WHERE time = received AND name = 'pods.create'":                                "[[1]]",
		"SELECT count() FROM event_ids":                                                                            "[[3]]",
		"SELECT indicator, good, total FROM sli_slices":                                                            "[[api 1 2]]",
		"SELECT id, service FROM incidents":                                                                        "[[i api]]",
		"SELECT cluster, name FROM resource_changes":                                                               "[[eu1 shop]]",
		"SELECT count() FROM actor_aliases":                                                                        "[[1]]",
		"SELECT uniqExact(actor) FROM actor_keys":                                                                  "[[3]]",
		"SELECT count() FROM events WHERE (actor = 0) = (name = 'visit')":                                          "[[3]]",
		"SELECT count() FROM quarantine":                                                                           "[[0]]",
		"SELECT count() FROM events e JOIN actor_aliases a ON e.actor = a.actor WHERE name = 'deployments.create'": "[[1]]",
	} {
		if got := text(query(t, db, sql)); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	s := p.Stats()
	if s.Inserted != 3 || s.Duplicates != 0 || s.Records != 0 || s.Oldest != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestAReplicaAddsTheIDsThatADeadOneLeftOut has a replica that died after it stored events and before it stored their ids.
// An agent may tell at once of what was created over many years: more months than one insert may touch.
func TestChangesOfManyMonthsReachTheirTable(t *testing.T) {
	db := warehousetest.Open(t)
	p, _ := start(t, config(t, db, t.TempDir()))
	var b schema.Batch
	for i := range 110 {
		at := time.Now().UTC().AddDate(0, -(i*7)%110, 0)
		b.Changes = append(b.Changes, schema.ResourceChange{
			Resource: schema.Resource{Cluster: "eu1", Kind: schema.KindNamespace, UID: fmt.Sprint(i), Name: "shop", Created: at}, Change: schema.ChangeCreated, Time: at,
		})
	}
	if err := p.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	flush(t, p)
	if got := text(query(t, db, "SELECT count(), uniqExact(uid) FROM resource_changes")); got != "[[110 110]]" {
		t.Errorf("%s changes are stored", got)
	}
}

func TestAReplicaAddsTheIDsThatADeadOneLeftOut(t *testing.T) {
	db := warehousetest.Open(t)
	lease := filepath.Join(t.TempDir(), "lease")
	now := time.Now().UTC().Truncate(time.Millisecond)
	var left []schema.StoredEvent
	for i := range 3 {
		left = append(left, schema.StoredEvent{
			ID: schema.EventID("s", fmt.Sprint(i)), Time: now, Received: now.Add(time.Duration(i) * time.Millisecond), Source: "s", Name: "n",
			Outcome: schema.OutcomeSuccess, ActorKind: schema.ActorUnknown,
		})
	}
	if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "dead", Rows: left}); err != nil {
		t.Fatal(err)
	}
	type note struct{ From, To, Until time.Time }
	type notes struct {
		Sequence uint64
		Notes    map[string]note
	}
	slot, err := spool.MarshalSlot(notes{1, map[string]note{"dead": {now, now.Add(2 * time.Millisecond), now.Add(300 * time.Millisecond)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lease+".slots", slot, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, db, t.TempDir())
	cfg.Lease = lease
	p, _ := start(t, cfg)
	appendTo(t, p, events(4)...)
	flush(t, p)
	if time.Since(now) < 300*time.Millisecond {
		t.Error("the dead one's statements may still have been running")
	}
	for sql, want := range map[string]string{
		"SELECT count(), uniqExact(id) FROM events":                 "[[4 4]]",
		"SELECT count(), uniqExact(id_high, id_low) FROM event_ids": "[[4 4]]",
	} {
		if got := text(query(t, db, sql)); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	b, err := os.ReadFile(lease + ".slots")
	if err != nil {
		t.Fatal(err)
	}
	var newest notes
	for ; len(b) > 0; b = b[min(len(b), spool.SlotSize):] {
		var one notes
		if spool.UnmarshalSlot(b[:min(len(b), spool.SlotSize)], &one) && one.Sequence > newest.Sequence {
			newest = one
		}
	}
	if newest.Sequence < 2 || len(newest.Notes) != 0 {
		t.Errorf("notes left: %+v", newest)
	}
}

// TestTwoReplicasOnOneWarehouse sends the same events to two replicas at once, in other batches.
func TestTwoReplicasOnOneWarehouse(t *testing.T) {
	db := warehousetest.Open(t)
	lease := filepath.Join(t.TempDir(), "lease")
	var wg sync.WaitGroup
	var peers []*pipeline.Pipeline
	for replica := range 2 {
		cfg := config(t, db, t.TempDir())
		cfg.Lease, cfg.MaxRows = lease, 2000
		p, _ := start(t, cfg)
		peers = append(peers, p)
		wg.Go(func() {
			for from := 0; from < 6000; from += 100 * (replica + 1) {
				var list []schema.Event
				for i := from; i < min(from+100*(replica+2), 6000); i++ {
					list = append(list, event(fmt.Sprint(i)))
				}
				appendTo(t, p, list...)
			}
		})
	}
	wg.Wait()
	for _, p := range peers {
		flush(t, p)
	}
	if got := text(query(t, db, "SELECT count(), uniqExact(id), uniqExact(actor) FROM events")); got != "[[6000 6000 1]]" {
		t.Errorf("stored: %s", got)
	}
}

// TestWhatTheWarehouseItselfRefuses checks that its refusals are told from its faults. Only a row of a kind that Validate does not
// know gets that far, so the row is spoilt on its way.
func TestWhatTheWarehouseItselfRefuses(t *testing.T) {
	db := warehousetest.Open(t)
	p, _ := start(t, config(t, spoiling{db}, t.TempDir()))
	appendTo(t, p, events(20)...)
	flush(t, p)
	if got := text(query(t, db, "SELECT count(), uniqExact(id) FROM events")); got != "[[19 19]]" {
		t.Errorf("stored: %s", got)
	}
	if got := text(query(t, db, "SELECT kind, source, position(payload, 'ann@example.com') > 0 FROM quarantine")); got != "[[event s 1]]" {
		t.Errorf("in quarantine: %s", got)
	}
}

// spoiling is a warehouse whose rows of object 7 have a time that no column holds.
type spoiling struct{ *warehouse.DB }

func (s spoiling) InsertEvents(ctx context.Context, b schema.EventBlock) error {
	b.Rows = slices.Clone(b.Rows)
	for i := range b.Rows {
		if b.Rows[i].Object == "7" {
			b.Rows[i].Received = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
		}
	}
	return s.DB.InsertEvents(ctx, b)
}
