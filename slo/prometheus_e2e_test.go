//go:build e2e

package slo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/freeport"
)

// TestE2EARealPrometheusAgrees compares error ratios of occurrences with PromQL over the same counters in a real
// Prometheus. Semantics agree where windows are whole minutes, every sample was scraped, and the series were there before
// the window: increase() extrapolates, but by the same factor for both counters. Resets are in, since both restart from
// zero. Where they do not agree is the first value of a new series, which increase() cannot see.
func TestE2EARealPrometheusAgrees(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const minutes = 3 * 24 * 60
	rng := rand.New(rand.NewPCG(1, 2))
	var in []slo.Slice
	var good, total float64
	var goodText, totalText bytes.Buffer
	write := func(at time.Time) {
		fmt.Fprintf(&goodText, "good_total{job=\"api\"} %s %d\n", strconv.FormatFloat(good, 'f', -1, 64), at.Unix())
		fmt.Fprintf(&totalText, "all_total{job=\"api\"} %s %d\n", strconv.FormatFloat(total, 'f', -1, 64), at.Unix())
	}
	write(start)
	for m := range minutes {
		n := float64(rng.IntN(200))
		g := n
		if m%50 < 3 {
			g = math.Floor(n * rng.Float64())
		}
		if m%997 == 996 { // a restart: the counters begin at zero
			good, total = 0, 0
		}
		good, total = good+g, total+n
		in = append(in, slo.Slice{Start: start.Add(time.Duration(m) * time.Minute), Good: g, Total: n, State: slo.Measured})
		write(start.Add(time.Duration(m+1) * time.Minute))
	}
	server := startPrometheus(t, "# TYPE good counter\n"+goodText.String()+"# TYPE all counter\n"+totalText.String()+"# EOF\n")

	windows := []time.Duration{5 * time.Minute, 30 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour}
	compared := 0
	for _, at := range []time.Duration{72 * time.Hour, 71*time.Hour + 13*time.Minute, 30 * time.Hour, 17*time.Hour + time.Minute, 6 * time.Hour} {
		status, err := slo.Evaluate(slo.Request{
			Objective: slo.Objective{Name: "o", Target: 0.99, Window: slo.RollingWindow(72 * time.Hour), Method: slo.Occurrences, Alerts: []slo.AlertWindow{}},
			Grid:      slo.EpochGrid(time.Minute), At: start.Add(at), Since: start, BurnWindows: windows,
		}, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range windows {
			if w > at {
				continue
			}
			query := fmt.Sprintf("(1 - increase(good_total[%[1]dm]) / increase(all_total[%[1]dm])) / (1 - 0.99)", int(w.Minutes()))
			want := instant(t, server, query, start.Add(at))
			got, _ := status.BurnRate(w)
			if got.Rate == nil || math.Abs(*got.Rate-want) > 1e-9*max(1, want) {
				t.Errorf("burn rate over %s at %s: got %v, Prometheus says %v", w, at, got.Rate, want)
			}
			compared++
		}
	}
	t.Logf("%d burn rates agree", compared)
}

func startPrometheus(t *testing.T, openmetrics string) string {
	t.Helper()
	dir := t.TempDir()
	data, file, config := filepath.Join(dir, "data"), filepath.Join(dir, "samples"), filepath.Join(dir, "prometheus.yml")
	for name, text := range map[string]string{file: openmetrics, config: "global: {}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", "tsdb", "create-blocks-from", "openmetrics", file, data).CombinedOutput(); err != nil {
		t.Fatalf("%v: install prometheus\n%s", err, out)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err == nil || t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if resp, err := get(t, "http://"+address+"/-/ready"); err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK {
			return "http://" + address
		}
	}
	t.Fatal("Prometheus never became ready")
	return ""
}

func get(t *testing.T, address string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

// instant evaluates a query that yields one value.
func instant(t *testing.T, server, query string, at time.Time) float64 {
	t.Helper()
	resp, err := get(t, server+"/api/v1/query?"+url.Values{"query": {query}, "time": {strconv.FormatInt(at.Unix(), 10)}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || len(body.Data.Result) != 1 {
		t.Fatalf("%s at %s: %d results, %v", query, at, len(body.Data.Result), err)
	}
	text, _ := body.Data.Result[0].Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
