package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
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
