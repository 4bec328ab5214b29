//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
	"github.com/kubevalue/kubevalue/slo/freeport"
)

// requestObjective counts requests, and errors among them, as OpenSLO documents do.
const requestObjective = `
apiVersion: openslo/v1
kind: DataSource
metadata: {name: main}
spec: {type: Prometheus, connectionDetails: {url: "http://%s"}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: requests}
spec:
  service: api
  budgetingMethod: Occurrences
  timeWindow: [{duration: 1d, isRolling: true}]
  indicator:
    metadata: {name: requests}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {metricSourceRef: main, spec: {query: 'sum(requests_total{code=~"5.."})'}}}
        total: {metricSource: {metricSourceRef: main, spec: {query: sum(requests_total)}}}
  objectives: [{target: 0.99}]
`

// requestHistory is what scrapes every 15 s saw of a job over 150 minutes: 40 requests a minute; a series of errors that begins at 5 in
// minute 60, with 8 more in minute 70; a restart in minute 90, after one of its four scrapes; nothing from minute 110 to 119.
func requestHistory(start time.Time) string {
	var fine, failed, up strings.Builder
	good, bad := 1000, 0
	for scrape := range 150 * 4 {
		minute := scrape / 4
		if minute >= 110 && minute < 120 {
			continue
		}
		good += 10
		if minute == 90 && scrape%4 == 1 {
			good, bad = 10, 0
		}
		if scrape == 60*4 {
			bad = 5
		}
		if minute == 70 {
			bad += 2
		}
		at := start.Add(time.Duration(scrape)*15*time.Second + 5*time.Second).Unix()
		fmt.Fprintf(&fine, "requests_total{code=\"200\",instance=\"a\",job=\"api\"} %d %d\n", good, at)
		if bad > 0 {
			fmt.Fprintf(&failed, "requests_total{code=\"500\",instance=\"a\",job=\"api\"} %d %d\n", bad, at)
		}
		fmt.Fprintf(&up, "up{instance=\"a\",job=\"api\"} 1 %d\n", at)
	}
	return "# TYPE requests counter\n" + fine.String() + failed.String() + "# TYPE up gauge\n" + up.String() + "# EOF\n"
}

// wantRequests is what the slices of requestHistory must be: good/total, or _ for a gap.
func wantRequests() []string {
	out := make([]string, 150)
	for m := range out {
		switch {
		case m >= 110 && m <= 120: // the first minute after the gap has nothing to count from
			out[m] = "_"
		case m == 60:
			out[m] = "40/45"
		case m == 70:
			out[m] = "40/48"
		case m == 90: // what the old process counted after its last scrape is lost, and nothing else
			out[m] = "30/30"
		case m == 0:
			out[m] = "_"
		default:
			out[m] = "40/40"
		}
	}
	return out
}

// TestE2EObjectivesAskARealPrometheus fills one with a history, and compares every slice with what happened.
func TestE2EObjectivesAskARealPrometheus(t *testing.T) {
	start := time.Now().UTC().Truncate(time.Minute).Add(-150 * time.Minute)
	address := startPrometheus(t, "global: {}\n", requestHistory(start))
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "slo.yaml"), fmt.Sprintf(requestObjective, address))
	documents := fmt.Sprintf("objectives: {openslo: [%s]}\n", filepath.Join(dir, "slo.yaml"))

	config := filepath.Join(dir, "kubevalue.yaml")
	writeFile(t, config, fmt.Sprintf("identity: {key_file: identity.key}\nspool: {dir: spool}\nserver: {tokens: tokens.json}\nwarehouse: {dsn: %q}\n%s", warehousetest.DSN(t), documents))
	backfill := func() string {
		t.Helper()
		var out, fault bytes.Buffer
		if code := run(t.Context(), []string{"slo", "backfill", "-c", config, "--from", start.Format(time.RFC3339), "--to", start.Add(150 * time.Minute).Format(time.RFC3339)}, &out, &fault); code != 0 {
			t.Fatalf("exit code %d: %s", code, fault.String())
		}
		return out.String()
	}
	// The last minute may not be over for as long as samples may be late.
	first := backfill()
	if !strings.Contains(first, "138 measured and 11 gaps stored") && !strings.Contains(first, "137 measured and 11 gaps stored") {
		t.Errorf("backfill: %s", first)
	}
	if again := backfill(); !strings.Contains(again, " 0 measured and 0 gaps stored") && !strings.Contains(again, " 1 measured and 0 gaps stored") {
		t.Errorf("repeated: %s", again)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"slo", "status", "-c", config, "--json"}, &out, &out); code != 0 {
		t.Fatal(out.String())
	}
	var status []struct{ Status struct{ Good, Total float64 } }
	if err := json.Unmarshal(out.Bytes(), &status); err != nil || len(status) != 1 || status[0].Status.Total-status[0].Status.Good != 13 {
		t.Errorf("status %s, %v: want 13 errors", out.String(), err)
	}

	// A service whose tables are empty fetches what it has missed, from the first minute that was measured on.
	b := boot(t, documents)
	at := b.figures.objectives.all[0].Of["requests"]
	eventually(t, "the service has caught up", func() error {
		rows, err := b.db.Slices(t.Context(), at.query(start, start.Add(149*time.Minute)))
		if err != nil || len(rows) != 148 {
			return errors.Join(err, fmt.Errorf("%d slices", len(rows)))
		}
		var got []string
		for _, r := range rows {
			text := "_"
			if r.State == schema.SliceMeasured {
				text = fmt.Sprintf("%v/%v", r.Good, r.Total)
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(wantRequests()[1:149], got); diff != "" {
			t.Fatalf("slices differ (-want +got):\n%s", diff)
		}
		return nil
	})
	targets, err := getBody(t.Context(), http.DefaultClient, b.url()+"/api/v1/targets")
	if err != nil || !strings.Contains(string(targets), `"kind":"prometheus","name":"requests","instance":"main"`) || strings.Contains(string(targets), `"error":"`) {
		t.Errorf("targets are %s, %v", targets, err)
	}
}

// startPrometheus runs a real one, with the samples of an OpenMetrics text when there is one, and returns its address.
func startPrometheus(t *testing.T, config, openmetrics string) string {
	t.Helper()
	dir := t.TempDir()
	if openmetrics != "" {
		writeFile(t, filepath.Join(dir, "samples"), openmetrics)
		if out, err := exec.CommandContext(t.Context(), "promtool", "tsdb", "create-blocks-from", "openmetrics", filepath.Join(dir, "samples"), filepath.Join(dir, "data")).CombinedOutput(); err != nil {
			t.Fatalf("%v: install prometheus\n%s", err, out)
		}
	}
	writeFile(t, filepath.Join(dir, "prometheus.yml"), config)
	address := fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))
	start(t, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--storage.remote.flush-deadline=1s")
	eventually(t, "Prometheus is ready", func() error {
		resp, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	return address
}
