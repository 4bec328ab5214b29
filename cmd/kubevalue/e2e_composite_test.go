//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// compositeOf is a document of a web server and its database together; a minute is the shortest window that OpenSLO can say.
func compositeOf(name, kind, method string) string {
	child := func(probe string, weight int) string {
		target := ""
		if kind == "any_down" {
			target = "timeSliceTarget: 0.5, " // one probe may be late
		}
		return fmt.Sprintf(`{target: 0.9, %stimeSliceWindow: 1m, compositeWeight: %d, indicator: {metadata: {name: %s}, spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: kubevalue, spec: {probe: %s}}}}}}}`,
			target, weight, probe, probe)
	}
	return fmt.Sprintf(`apiVersion: openslo/v1
kind: SLO
metadata: {name: %s, annotations: {kubevalue.io/composite: %s, kubevalue.io/min-coverage: "0.2"}}
spec:
  service: shop
  budgetingMethod: %s
  timeWindow: [{duration: 60m, isRolling: true}]
  objectives:
    - %s
    - %s
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: burning}
      spec:
        alertWhenBreaching: true
        alertWhenResolved: true
        conditions:
          - kind: AlertCondition
            metadata: {name: fast, annotations: {kubevalue.io/short-window: 10s}}
            spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 1, lookbackWindow: 1m, alertAfter: 0m}}
        notificationTargets: []
---
`, name, kind, method, child("web", 1), child("database", 3))
}

// TestE2ECompositesFromConfigurationToAlert probes a web server and its database, stops the database for a while, and follows both kinds of
// composite from their documents to a real Alertmanager and back.
func TestE2ECompositesFromConfigurationToAlert(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alertmanager := startAlertmanager(t, dir)
	var down atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(web.Close)
	database := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(database.Close)
	config, address := filepath.Join(dir, "kubevalue.yaml"), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	writeFile(t, filepath.Join(dir, "shop.yaml"), compositeOf("shop", "any_down", "Timeslices")+compositeOf("shop-by-weight", "weighted", "RatioTimeslices"))
	writeFile(t, config, fmt.Sprintf(`
server: {listen: %q, tokens: tokens.json}
warehouse: {dsn: "embedded:warehouse"}
spool: {dir: spool}
identity: {key_file: identity.key}
probes:
  - {name: web, url: %q, interval: 1s, timeout: 1s, slice: 5s}
  - {name: database, url: %q, interval: 1s, timeout: 1s, slice: 5s}
objectives: {openslo: [shop.yaml], max_lag: 15s}
alerts: {alertmanagers: [%q], interval: 1s}
`, address, web.URL, database.URL, alertmanager))
	start(t, kubevalueBinary(t), "serve", "-c", config)

	status := func(name string) (s compositeFigures) {
		var answer struct {
			Data struct{ Status compositeFigures }
		}
		body, err := getBody(t.Context(), http.DefaultClient, "http://"+address+"/api/v1/objectives/"+name)
		if err == nil {
			err = json.Unmarshal(body, &answer)
		}
		if err != nil {
			return s
		}
		return answer.Data.Status
	}
	eventually(t, "half a minute was measured", 2*time.Minute, func() error {
		if s := status("shop"); s.Measured < 6 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	firing := func(want string) func() error {
		return func() error {
			if got := pagedObjectives(t, alertmanager); got != want {
				return fmt.Errorf("alerts about %q, want %q", got, want)
			}
			return nil
		}
	}
	must(t, "no alert before anything is wrong", firing("")())
	began := time.Now()
	down.Store(true)
	eventually(t, "both composites page", 2*time.Minute, firing("shop shop-by-weight"))
	down.Store(false)
	away := time.Since(began).Minutes()
	eventually(t, "both composites are resolved", 3*time.Minute, firing(""))

	// Any of both down is all bad; of the weights 1 and 3, the database's is three quarters. Slices at the edges are cut.
	const slice = 5. / 60
	if s := status("shop"); math.Abs(s.BadMinutes-away) > 3*slice || s.Bad == nil || math.Abs(float64(*s.Bad)*slice-s.BadMinutes) > 1e-9 {
		t.Errorf("the database was away for %v minutes: %+v", away, s)
	}
	if s := status("shop-by-weight"); math.Abs(s.BadMinutes-0.75*away) > 3*slice || s.Bad != nil {
		t.Errorf("the database was away for %v minutes: %+v", away, s)
	}
	for _, name := range []string{"shop", "shop-by-weight"} {
		s := status(name)
		if want := s.BadMinutes / (float64(s.Measured) * slice) / 0.1; math.Abs(s.Consumed-want) > 1e-9 || math.Abs(s.Consumed+s.Left-1) > 1e-9 {
			t.Errorf("%s: consumed %v and left %v, want %v consumed", name, s.Consumed, s.Left, want)
		}
	}
	if text := kubevalue(t, "slo", "status", "shop", "-c", config); !strings.Contains(text, "budgeted by any_down of 2 indicators") {
		t.Errorf("kubevalue slo status says\n%s", text)
	}
	if text := kubevalue(t, "slo", "explain", "shop-by-weight", "-c", config); !strings.Contains(text, "weighted of database, weight 3") || !strings.Contains(text, "0.25/1") {
		t.Errorf("kubevalue slo explain says\n%s", text)
	}
}

// compositeFigures are what is checked of a composite's status.
type compositeFigures struct {
	Measured   int64   `json:"measured_slices"`
	Bad        *int64  `json:"bad_slices"`
	BadMinutes float64 `json:"bad_minutes"`
	Consumed   float64 `json:"budget_consumed"`
	Left       float64 `json:"budget_remaining"`
}

// pagedObjectives are the objectives that an Alertmanager has active pages about, in order.
func pagedObjectives(t *testing.T, alertmanager string) string {
	t.Helper()
	body, err := getBody(t.Context(), http.DefaultClient, alertmanager+"/api/v2/alerts?active=true&filter=severity=page")
	must(t, "ask Alertmanager", err)
	var alerts []struct{ Labels map[string]string }
	must(t, "read Alertmanager's answer", json.Unmarshal(body, &alerts))
	names := map[string]bool{}
	for _, a := range alerts {
		names[a.Labels["objective"]] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), " ")
}
