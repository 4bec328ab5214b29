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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/slo/freeport"
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

// shopDatabase is a server that can be made to fail, and notes when it did.
type shopDatabase struct {
	*httptest.Server
	down atomic.Bool

	mu     sync.Mutex
	failed []time.Time
}

func newShopDatabase(t *testing.T) *shopDatabase {
	t.Helper()
	d := &shopDatabase{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if d.down.Load() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.failed = append(d.failed, time.Now())
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

// The slices of the composites' probes, with a try each second.
const compositeSlice = 5 * time.Second

// badSlices bounds how many slices are bad in which the database failed: those in which it did nothing else, but for those in which nobody
// asked, and those in which it failed at all, of which the probe may have had each answer a second later. What a busy machine adds to that,
// tries that were bad although the database did not fail, may each make one slice bad.
func (d *shopDatabase) badSlices(bad, notTried float64) (low, high float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first, last := d.failed[0], d.failed[len(d.failed)-1]
	touched := last.Truncate(compositeSlice).Sub(first.Add(-time.Second).Truncate(compositeSlice))/compositeSlice + 1
	return max(0, float64(touched-3)-notTried/compositeSlice.Seconds()), float64(touched) + bad - float64(len(d.failed))
}

// TestE2ECompositesFromConfigurationToAlert probes a web server and its database, stops the database for a while, and follows both kinds of
// composite from their documents to a real Alertmanager and back.
func TestE2ECompositesFromConfigurationToAlert(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alertmanager := startAlertmanager(t, dir)
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(web.Close)
	database := newShopDatabase(t)
	config, address := filepath.Join(dir, "kubevalue.yaml"), fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))
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
	eventually(t, "half a minute was measured", func() error {
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
	eventually(t, "no alert before anything is wrong", firing(""))
	database.down.Store(true)
	eventually(t, "both composites page", firing("shop shop-by-weight"))
	database.down.Store(false)
	eventually(t, "both composites are resolved", firing(""))

	// Any of both down is all bad; of the weights 1 and 3, the database's is three quarters. Slices at the edges are cut.
	slice := compositeSlice.Minutes()
	page, err := getBody(t.Context(), http.DefaultClient, "http://"+address+"/metrics")
	must(t, "read the service's own metrics", err)
	bad, notTried := probeTries(t, page, "bad"), probeTries(t, page, "not_tried")
	low, high := database.badSlices(bad, notTried)
	t.Logf("the database failed %d tries; %v were bad and %v not made: %v to %v slices are bad", len(database.failed), bad, notTried, low, high)
	if s := status("shop"); s.BadMinutes < low*slice-1e-9 || s.BadMinutes > high*slice+1e-9 || s.Bad == nil || math.Abs(float64(*s.Bad)*slice-s.BadMinutes) > 1e-9 {
		t.Errorf("%v to %v slices are bad: %+v", low, high, s)
	}
	if s := status("shop-by-weight"); s.BadMinutes < 0.75*low*slice-1e-9 || s.BadMinutes > 0.75*high*slice+1e-9 || s.Bad != nil {
		t.Errorf("%v to %v slices are bad by three quarters: %+v", low, high, s)
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

// probeTries adds up the tries of all targets with a result, on a service's page of its own metrics.
func probeTries(t *testing.T, page []byte, result string) (n float64) {
	t.Helper()
	for _, found := range probeTriesLine.FindAllSubmatch(page, -1) {
		if string(found[1]) == result {
			v, err := strconv.ParseFloat(string(found[2]), 64)
			must(t, "read a number", err)
			n += v
		}
	}
	return n
}

var probeTriesLine = regexp.MustCompile(`(?m)^kubevalue_probe_tries_total\{.*result="([a-z_]+)".*\} (\S+)$`)

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
