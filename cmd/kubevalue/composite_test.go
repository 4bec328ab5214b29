package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// compositeDocument is a platform that is down when its database or its web server is, with an alert for whoever is on call.
const compositeDocument = `apiVersion: openslo/v1
kind: SLO
metadata: {name: platform, annotations: {kubevalue.io/composite: any_down}}
spec:
  service: platform
  timeWindow: [{duration: 1h, isRolling: true}]
  budgetingMethod: Timeslices
  objectives:
    - {target: 0.9, timeSliceTarget: 0.5, timeSliceWindow: 1m, indicator: {metadata: {name: web}, spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: kubevalue, spec: {indicator: web, slice: 1m}}}}}}}
    - {target: 0.9, timeSliceTarget: 1, timeSliceWindow: 1m, indicator: {metadata: {name: db}, spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: kubevalue, spec: {indicator: db, slice: 1m}}}}}}}
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: down}
      spec:
        alertWhenBreaching: true
        alertWhenResolved: true
        alertWhenNoData: true
        conditions:
          - {kind: AlertCondition, metadata: {name: burning, annotations: {kubevalue.io/short-window: 10m}}, spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 30m}}}
        notificationTargets:
          - {kind: AlertNotificationTarget, metadata: {name: on-call}, spec: {target: pager}}
`

// listener remembers the bodies that were posted to it.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
}

func newListener(t *testing.T) *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bodies = append(l.bodies, string(body))
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.bodies)
}

// waitFor polls: the service under test has clocks of its own.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// sendMinutes sends an hour of both children: web was down for twenty of the last minutes, and the database answered half of its requests
// in two minutes before.
func sendMinutes(b *booted) {
	b.t.Helper()
	var rows []string
	now := time.Now().UTC().Truncate(time.Minute)
	for i := range 60 {
		at := now.Add(time.Duration(i-60) * time.Minute).Format(time.RFC3339)
		web, db := 10, 10
		if i >= 40 {
			web = 4
		}
		if i == 10 || i == 11 {
			db = 5
		}
		for name, good := range map[string]int{"web": web, "db": db} {
			rows = append(rows, fmt.Sprintf(`{"indicator":%q,"revision":"1","start":%q,"seconds":60,"good":%d,"total":10,"version":1}`, name, at, good))
		}
	}
	got := b.post("/v1/agent", `{"slices":[`+strings.Join(rows, ",")+`]}`, "Authorization", bearer(b.token("agent", collectors.EndpointAgent)))
	if got.status != http.StatusAccepted {
		b.t.Fatalf("%d %s", got.status, got.body)
	}
	b.flush()
}

// From the document to the status, the page and the alert; a restart tells nobody again.
func TestACompositeFromDocumentToAlert(t *testing.T) {
	t.Parallel()
	dir, dsn := t.TempDir(), warehousetest.DSN(t)
	if err := os.WriteFile(filepath.Join(dir, "slo.yaml"), []byte(compositeDocument), 0o600); err != nil {
		t.Fatal(err)
	}
	managers, hook := [2]*listener{newListener(t), newListener(t)}, newListener(t)
	settings := fmt.Sprintf("objectives: {openslo: [slo.yaml], strict: true}\nalerts: {alertmanagers: [%q, %q], webhooks: [%q], interval: 1s}\n", managers[0].URL, managers[1].URL, hook.URL)
	place := bootPlace{dir: dir, dsn: dsn, now: time.Now}
	b := bootWith(t, place, settings)
	sendMinutes(b)

	// 22 bad minutes of 60, of a budget of 6; a minute may have passed since then.
	var one struct {
		Data []struct {
			Status struct {
				BadMinutes float64 `json:"bad_minutes"`
				Consumed   float64 `json:"budget_consumed"`
			}
		}
	}
	answer := b.send(http.MethodGet, "/api/v1/slo/status?objective=platform", nil)
	if err := json.Unmarshal([]byte(answer.body), &one); err != nil || one.Data[0].Status.BadMinutes != 22 || one.Data[0].Status.Consumed < 3.6 {
		t.Errorf("status %v: %s", err, answer.body)
	}
	if text := b.command(0, "slo", "status", "platform"); !strings.Contains(text, "page firing") || !strings.Contains(text, "budgeted by any_down of 2 indicators") {
		t.Errorf("printed:\n%s", text)
	}
	if text := b.command(0, "slo", "explain", "platform"); !strings.Contains(text, "any_down") {
		t.Errorf("explained:\n%s", text)
	}
	page := b.send(http.MethodGet, "/objectives/platform", nil, "Accept", "text/html")
	if page.status != http.StatusOK || !strings.Contains(page.body, "platform") || !strings.Contains(page.body, "firing") || strings.Contains(page.body, "no burn-down") {
		t.Errorf("the page: %d\n%s", page.status, page.body)
	}
	// Of 22 bad minutes the database's two came first: a little less than a tenth of what was used.
	detail, err := b.figures.objectives.detail(t.Context(), "platform")
	if err != nil || len(detail.BurnDown) < 50 {
		t.Fatalf("burn-down of %d points: %v", len(detail.BurnDown), err)
	}
	left, n := *detail.Status.Remaining, len(detail.BurnDown)
	// The outage had begun 20 minutes ago; a minute may have passed since.
	if before, last := detail.BurnDown[n-25].Remaining, detail.BurnDown[n-1].Remaining; !near(last, left) || !near(before, 1-(1-left)*2/22) {
		t.Errorf("%v was left before the web server's outage and %v in the end, of %v", *before, *last, left)
	}
	told := func() []string {
		var out []string
		for _, body := range hook.heard() {
			var n struct {
				Status, Alert string
				Labels        map[string]string
			}
			if err := json.Unmarshal([]byte(body), &n); err != nil {
				t.Fatal(err)
			}
			out = append(out, n.Status+" "+n.Alert+" "+n.Labels["severity"]+" "+n.Labels["targets"])
		}
		slices.Sort(out)
		return out
	}
	waitFor(t, "the webhook is told", func() bool { return len(hook.heard()) >= 2 })
	const want = "firing ErrorBudgetBurn page on-call, firing ErrorBudgetExhausted ticket "
	if got := strings.Join(told(), ", "); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	b.stop()
	before := [2]int{len(managers[0].heard()), len(managers[1].heard())}
	bootWith(t, place, settings)
	for i, m := range managers {
		waitFor(t, "both Alertmanagers hear of it again", func() bool { return len(m.heard()) > before[i]+1 })
		if last := m.heard()[len(m.heard())-1]; !strings.Contains(last, `"alertname":"ErrorBudgetBurn"`) || !strings.Contains(last, `"targets":"on-call"`) {
			t.Errorf("Alertmanager %d hears %s", i, last)
		}
	}
	if got := strings.Join(told(), ", "); got != want {
		t.Errorf("after a restart the webhook was told %q", got)
	}
}
