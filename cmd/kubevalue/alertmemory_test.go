package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/alerting"
)

// filesIn keeps state in a directory.
func filesIn(dir string) stateFiles {
	return func(name string) string { return filepath.Join(dir, name) }
}

// TestAnAlertThatFiresForMonthsIsToldOfOnce has deliveries that are asked for all the time, as long as an alert fires, and others.
func TestAnAlertThatFiresForMonthsIsToldOfOnce(t *testing.T) {
	now := hour("2026-01-01 00:00")
	c := &claims{state: filesIn(t.TempDir()), now: func() time.Time { return now }}
	claim := func(id string) bool {
		t.Helper()
		mine, err := c.Claim(t.Context(), id, now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return mine
	}
	for _, id := range []string{"fires", "ended"} {
		if !claim(id) {
			t.Fatalf("%s: not told of at all", id)
		}
		if err := c.Delivered(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		now = now.Add(12 * time.Hour)
		if claim("fires") {
			t.Fatalf("told of again at %s", now)
		}
		claim("other " + now.String()) // which forgets what is old
	}
	if !claim("ended") {
		t.Error("what is long over is remembered for ever")
	}
}

// TestADamagedMemoryOfAlertsBeginsAnew: to tell of an alert twice is better than never.
func TestADamagedMemoryOfAlertsBeginsAnew(t *testing.T) {
	db := warehousetest.Open(t)
	for name, text := range map[string]string{
		"torn": `[{"key":{"name":"Err`, "empty": "", "not ours": `{"a": 1}`, "no time": `[{"resolved_at": "yesterday"}]`, "a number for a time": `[{"resolved_at": 5}]`,
		"zeros": "\x00\x00\x00", "claims with a number for a time": `{"x": {"until": 5}}`,
	} {
		dir := t.TempDir()
		for _, name := range []string{stateAlerts, stateClaims} {
			if err := errors.Join(os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600), db.PutState(t.Context(), name, text)); err != nil {
				t.Fatal(err)
			}
		}
		for where, state := range map[string]stateKeeper{"a file": filesIn(dir), "a table": stateTable{db}} {
			t.Run(name+" in "+where, func(t *testing.T) {
				if all, err := (alertMemory{state}).LoadAlerts(t.Context()); !errors.Is(err, alerting.ErrDamaged) || len(all) != 0 {
					t.Errorf("loaded %+v, %v", all, err)
				}
				if mine, err := (&claims{state: state, now: time.Now}).Claim(t.Context(), "x", time.Now().Add(time.Minute)); !mine || err != nil {
					t.Errorf("claimed: %t, %v", mine, err)
				}
			})
		}
	}
	if _, err := (alertMemory{filesIn("/dev/null")}).LoadAlerts(t.Context()); err == nil || errors.Is(err, alerting.ErrDamaged) {
		t.Errorf("a memory that cannot be read: %v", err)
	}
}

// slowState keeps state in memory, and lets others go first whenever it can.
type slowState struct {
	mu   sync.Mutex
	kept map[string]string
}

func (s *slowState) read(_ context.Context, name string, into any) error {
	s.mu.Lock()
	text := s.kept[name]
	s.mu.Unlock()
	for range 10 {
		runtime.Gosched()
	}
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

func (s *slowState) write(_ context.Context, name string, value any) error {
	text, err := json.Marshal(value)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[name] = string(text)
	return err
}

// TestTwoWebhooksHearOfEachAlertOnce has two webhooks, which are told at the same time.
func TestTwoWebhooksHearOfEachAlertOnce(t *testing.T) {
	one, two := newEar(t), newEar(t)
	cfg := &Config{Alerts: AlertsConfig{Interval: Duration(time.Minute), Webhooks: []string{one.URL + "/hook", two.URL + "/hook"}}}
	s := &service{cfg: cfg, now: time.Now, log: slog.New(slog.DiscardHandler)}
	state := &slowState{kept: map[string]string{}}
	manager := alerting.NewManager(alerting.Config{Store: alertMemory{state}, Senders: s.senders(state), Now: time.Now})
	var inputs []alerting.Input
	var want []string
	for i := range 50 {
		name := fmt.Sprintf("objective-%02d", i)
		want = append(want, "firing "+name)
		inputs = append(inputs, alerting.Input{Objective: name, Status: &slo.Status{Objective: name, At: time.Now(), Pairs: []slo.PairStatus{{
			AlertWindow: slo.AlertWindow{Severity: "page", Long: time.Hour, Short: 5 * time.Minute, Factor: 14.4}, State: slo.Firing, LongBurn: new(20.0), ShortBurn: new(20.0),
		}}, Alerts: []slo.SeverityStatus{{Severity: "page", State: slo.Firing}}}})
	}
	for range 3 {
		if err := manager.Tick(t.Context(), inputs); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []*ear{one, two} {
		if got := e.heard(); !slices.Equal(got, want) {
			t.Errorf("heard %d times of %d alerts: %q", len(got), len(want), got)
		}
	}
}

// TestAGroupWithoutANameIsNotAllTogether has slices without a group for an objective per group: its alerts are not those of the total.
func TestAGroupWithoutANameIsNotAllTogether(t *testing.T) {
	o := configuredObjective{PerGroup: true}
	o.Definition.Name = "apiserver"
	inputs := told(alerting.Input{Objective: "apiserver", GroupsMayVanish: true}, o, answer{groups: &slo.GroupStatus{Groups: []slo.NamedStatus{{Group: ""}, {Group: "eu"}}}})
	var groups []string
	for _, in := range inputs {
		groups = append(groups, in.Group)
		if in.GroupsMayVanish != (in.Group == "") || in.MayVanish != (in.Group != "") {
			t.Errorf("input %+v", in)
		}
	}
	if want := []string{"", "-", "eu"}; !slices.Equal(groups, want) {
		t.Errorf("groups %q, want %q", groups, want)
	}
}

// TestTheAlertOfTheLastObjectiveEnds has a service that is started without any objective, after one that fired was taken out.
func TestTheAlertOfTheLastObjectiveEnds(t *testing.T) {
	e := newEar(t)
	cfg := &Config{Alerts: AlertsConfig{Interval: Duration(10 * time.Millisecond), Webhooks: []string{e.URL + "/hook"}}}
	cfg.Spool.Dir = filepath.Join(t.TempDir(), "spool")
	s := &service{cfg: cfg, db: new(warehouse.DB), figures: &figures{objectives: &objectiveSet{}}, log: slog.New(slog.DiscardHandler), now: time.Now}
	memory := alertMemory{s.alertState()}
	if err := memory.SaveAlerts(t.Context(), []alerting.Record{{
		Key: alerting.Key{Name: alerting.Burn, Objective: "checkout", Severity: "page"}, State: slo.Firing, FiringSince: time.Now().Add(-time.Hour),
	}}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.alerting()(ctx) }()
	waitUntil(t, "its end is told", func() bool { return slices.Equal(e.heard(), []string{"resolved checkout"}) })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
