package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/alerting"
)

// TestAnotherServiceTakesOverWithoutNotifyingAgain has two services on different hosts, of which the second takes over while an alert
// fires: the webhook hears of each change once, and of the time at which the first one saw it.
func TestAnotherServiceTakesOverWithoutNotifyingAgain(t *testing.T) {
	db := warehousetest.Open(t)
	dir := t.TempDir()
	for name, state := range map[string]stateKeeper{
		"by the tables of a server": stateTable{db},
		"by files, after a restart": stateFiles(func(name string) string { return filepath.Join(dir, name) }),
	} {
		t.Run(name, func(t *testing.T) {
			var heard []string
			hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				var n struct {
					Status   string    `json:"status"`
					StartsAt time.Time `json:"starts_at"`
				}
				if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
					t.Error(err)
				}
				heard = append(heard, n.Status+" since "+n.StartsAt.Format("15:04"))
			}))
			defer hook.Close()
			now := hour("2026-11-10 12:00")
			service := func() *alerting.Manager {
				clock := func() time.Time { return now }
				return alerting.NewManager(alerting.Config{
					Store: alertMemory{state}, Now: clock, Senders: []alerting.Sender{&alerting.Webhook{Name: hook.URL, URL: hook.URL, Claims: &claims{state: state, now: clock}}},
				})
			}
			first, second := service(), service()
			for _, tick := range []struct {
				by     *alerting.Manager
				state  slo.AlertState
				after  time.Duration
				behind time.Duration // of the watermark
			}{
				{first, slo.Firing, 0, 0}, {first, slo.Firing, time.Minute, 0}, {second, slo.Firing, time.Minute, 0}, {second, slo.Inactive, time.Minute, 0},
				{first, slo.Inactive, time.Second, time.Minute}, {second, slo.Inactive, time.Minute, 0},
			} {
				now = now.Add(tick.after)
				status := &slo.Status{Objective: "login", At: now.Add(-tick.behind), Since: now.Add(-time.Hour), Pairs: []slo.PairStatus{{
					AlertWindow: slo.AlertWindow{Severity: "page", Long: time.Hour, Short: 5 * time.Minute, Factor: 14.4}, State: tick.state, LongBurn: new(20.0), ShortBurn: new(20.0),
				}}, Alerts: []slo.SeverityStatus{{Severity: "page", State: tick.state}}}
				if err := tick.by.Tick(t.Context(), []alerting.Input{{Objective: "login", Status: status}}); err != nil {
					t.Fatal(err)
				}
			}
			if want := []string{"firing since 12:00", "resolved since 12:00"}; !slices.Equal(heard, want) {
				t.Errorf("heard %q, want %q", heard, want)
			}
		})
	}
}

// A tick that takes longer than a turn is not cut short while the turn is renewed, and is told to stop when it was lost.
func TestALongTickHoldsItsTurn(t *testing.T) {
	for name, c := range map[string]struct {
		renewals int // that succeed
		held     bool
		stopped  time.Duration // when what is done was told to stop, after a minute by itself
	}{
		"renewed":            {100, true, time.Minute},
		"lost after a while": {3, false, 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			renewed := 0
			held := holding(t.Context(), 5*time.Second, func(context.Context) bool {
				renewed++
				return renewed <= c.renewals
			}, func(ctx context.Context) {
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
			})
			if took := time.Since(begin); held != c.held || took != c.stopped {
				t.Errorf("%s: held %t after %s, want %t after %s", name, held, took, c.held, c.stopped)
			}
		})
	}
}

// TestAlertsAreResentInTimeWhateverHangs adds up what may take its longest between two deliveries to Alertmanager: the end of one tick, in
// which the turn is renewed, the question whose turn it is, and the next tick up to its delivery.
func TestAlertsAreResentInTimeWhateverHangs(t *testing.T) {
	const tick, save = 80 * time.Second, 15 * time.Second // of a manager: load, save and send; and once more to save
	for _, interval := range []time.Duration{time.Second, 30 * time.Second, 45 * time.Second, time.Minute, 90 * time.Second, 2 * time.Minute, 10 * time.Minute} {
		longest := tick + save + 2*longestTurnQuestion + evaluationTimeout(interval)
		if expiry := 4 * max(interval, time.Minute); longest > expiry*19/20 {
			t.Errorf("at an interval of %s alerts are resent after %s, and expire after %s", interval, longest, expiry)
		}
	}
}
