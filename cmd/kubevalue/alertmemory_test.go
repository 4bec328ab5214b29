package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/warehouse"
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
	for name, text := range map[string]string{
		"torn": `[{"key":{"name":"Err`, "empty": "", "not ours": `{"a": 1}`, "no time": `[{"resolved_at": "yesterday"}]`, "zeros": "\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range []string{stateAlerts, stateClaims} {
				if err := os.WriteFile(filepath.Join(dir, file+".json"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			memory := alertMemory{filesIn(dir), slog.New(slog.NewTextHandler(&log, nil))}
			if all, err := memory.LoadAlerts(t.Context()); err != nil || len(all) != 0 || !strings.Contains(log.String(), "is damaged") {
				t.Errorf("loaded %+v, %v, log %s", all, err, log.String())
			}
			if text == `{"a": 1}` {
				return // that is a map, as claims are
			}
			if mine, err := (&claims{state: filesIn(dir), now: time.Now}).Claim(t.Context(), "x", time.Now().Add(time.Minute)); !mine || err != nil {
				t.Errorf("claimed: %t, %v", mine, err)
			}
		})
	}
	if _, err := (alertMemory{filesIn("/dev/null"), slog.New(slog.DiscardHandler)}).LoadAlerts(t.Context()); err == nil {
		t.Error("a memory that cannot be read is taken for empty")
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
	memory := alertMemory{s.alertState(), s.log}
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
