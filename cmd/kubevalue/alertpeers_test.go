package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// ear hears what alerting services say: notifications at /hook, and what each of them posts to an Alertmanager of its own.
type ear struct {
	*httptest.Server
	mu     sync.Mutex
	hook   []string            // status and objective of each notification
	posted map[string][]string // by Alertmanager: for each post, whether the alert has ended and since when it fired
}

func newEar(t *testing.T) *ear {
	e := &ear{posted: map[string][]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hook", func(_ http.ResponseWriter, r *http.Request) {
		var n struct{ Status, Objective string }
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hook = append(e.hook, n.Status+" "+n.Objective)
	})
	mux.HandleFunc("POST /{of}/api/v2/alerts", func(_ http.ResponseWriter, r *http.Request) {
		var all []struct{ StartsAt, EndsAt time.Time }
		if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, a := range all {
			e.posted[r.PathValue("of")] = append(e.posted[r.PathValue("of")], fmt.Sprint(a.EndsAt.Before(time.Now()), a.StartsAt.Unix()))
		}
	})
	e.Server = httptest.NewServer(mux)
	t.Cleanup(e.Close)
	return e
}

// heard are the notifications so far.
func (e *ear) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.hook)
}

// posts are those of a service.
func (e *ear) posts(of string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.posted[of])
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// peerObjective is about an indicator that the test sends slices of.
const peerObjective = `apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator: {metadata: {name: checkout}, spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: kubevalue, spec: {indicator: checkout, revision: r, slice: 1m}}}}}}
  objectives: [{target: 0.99}]
`

// twoHoursAgo is when what is stored of checkout begins.
func twoHoursAgo() time.Time { return time.Now().UTC().Truncate(time.Minute).Add(-2 * time.Hour) }

// storeSince stores the minutes of checkout from an instant to now, in which either everything failed or nothing did.
func storeSince(t *testing.T, db *warehouse.DB, from time.Time, good float64) {
	t.Helper()
	var rows []schema.Slice
	for at, until := from, time.Now().Truncate(time.Minute); at.Before(until); at = at.Add(time.Minute) {
		rows = append(rows, schema.Slice{Indicator: "checkout", Revision: "r", Start: at, Seconds: 60, Good: good, Total: 10, State: schema.SliceMeasured, Version: uint64(1 + good)})
	}
	storeSlices(t, db, rows)
}

// TestTwoServicesOnOneEngineNotifyOnce has two whole services on an engine that somebody runs. One alerts; when it stops the other goes on,
// and when it is back it takes over again. The webhook of both hears of one beginning and one end.
func TestTwoServicesOnOneEngineNotifyOnce(t *testing.T) {
	t.Parallel()
	e := newEar(t)
	dsn, document := warehousetest.DSN(t), filepath.Join(t.TempDir(), "slo.yaml")
	if err := os.WriteFile(document, []byte(peerObjective), 0o600); err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir()}
	serve := func(name string) *booted {
		return bootWith(t, bootPlace{dir: dirs[name], dsn: dsn, now: time.Now}, fmt.Sprintf("objectives: {openslo: [%q]}\nalerts: {interval: 1s, webhooks: [%q], alertmanagers: [%q]}\n",
			document, e.URL+"/hook", e.URL+"/"+name))
	}
	services := map[string]*booted{"a": serve("a"), "b": serve("b")}
	from := twoHoursAgo()
	storeSince(t, services["a"].db, from, 0)

	waitUntil(t, "one of them alerts, at three ticks", func() bool { return len(e.posts("a"))+len(e.posts("b")) >= 3 })
	one, other := "a", "b"
	if len(e.posts("b")) > 0 {
		one, other = "b", "a"
	}
	if n := len(e.posts(other)); n > 0 {
		t.Errorf("both alert: %d and %d posts", len(e.posts(one)), n)
	}
	services[one].stop()
	waitUntil(t, "the other one goes on", func() bool { return len(e.posts(other)) >= 2 })
	services[one] = serve(one)
	before := len(e.posts(one))
	services[other].stop()
	waitUntil(t, "the first one is back", func() bool { return len(e.posts(one)) >= before+2 })
	if first, last := e.posts(one)[0], e.posts(one); last[len(last)-1] != first || e.posts(other)[0] != first {
		t.Errorf("it fires since %s, then %s, then %s", first, e.posts(other)[0], last[len(last)-1])
	}
	storeSince(t, services[one].db, from, 10)
	waitUntil(t, "the end is told", func() bool { return len(e.heard()) >= 2 })
	services[other] = serve(other)
	services[one].stop()
	already := len(e.posts(other))
	waitUntil(t, "the end is resent by the other one", func() bool { return len(e.posts(other)) >= already+2 })
	if got := e.heard(); !slices.Equal(got, []string{"firing checkout", "resolved checkout"}) {
		t.Errorf("heard %q", got)
	}
}
