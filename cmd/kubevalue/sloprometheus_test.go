//go:build bench

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// blockLength is how much time a block of promtool has.
const blockLength = 2 * time.Hour

// prometheusBlocks writes the slices as two counters an objective, scraped every minute, into blocks of a Prometheus, each from a text
// of its own: promtool reads a text anew for every block that it makes.
func prometheusBlocks(t *testing.T, from, to time.Time) (data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	var good, all [benchObjectives]float64
	var text []byte
	flush := func() {
		t.Helper()
		file := filepath.Join(t.TempDir(), "samples")
		if err := os.WriteFile(file, append(text, "# EOF\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "promtool", "tsdb", "create-blocks-from", "--quiet", "openmetrics", file, data).CombinedOutput(); err != nil {
			t.Fatalf("%v: install prometheus\n%s", err, out)
		}
		text = text[:0]
	}
	block := from.Truncate(blockLength)
	sample := func(at time.Time) {
		if !at.Truncate(blockLength).Equal(block) {
			flush()
			block = at.Truncate(blockLength)
		}
		for i := range good {
			text = fmt.Appendf(text, "good_total{objective=%q} %d %d\nall_total{objective=%[1]q} %[4]d %[3]d\n", benchName(i), int64(good[i]), at.Unix(), int64(all[i]))
		}
	}
	sample(from)
	benchSlices(from, to, func(minute []schema.Slice) {
		for i, s := range minute {
			good[i] += s.Good
			all[i] += s.Total
		}
		sample(minute[0].Start.Add(time.Minute))
	})
	flush()
	return data
}

// startPrometheusOn runs Debian's on a directory of blocks and returns its address.
func startPrometheusOn(t *testing.T, data string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	free := httptest.NewServer(http.NotFoundHandler())
	address := free.Listener.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: install prometheus", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err == nil || t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if code, _, err := fetch(t.Context(), "http://"+address+"/-/ready"); err == nil && code == http.StatusOK {
			return "http://" + address
		}
	}
	t.Fatal("Prometheus never became ready")
	return ""
}

func fetch(ctx context.Context, address string) (code int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.Bytes(), err
}

// prometheusBudgets are the budgets consumed that a Prometheus says, by one query over the whole window, and the median time of it.
func prometheusBudgets(t *testing.T, server string) budgets {
	t.Helper()
	out := budgets{consumed: make([]float64, benchObjectives)}
	query := fmt.Sprintf("(1 - increase(good_total[%[1]dd]) / increase(all_total[%[1]dd])) / (1 - 0.999)", benchDays)
	address := server + "/api/v1/query?" + url.Values{"query": {query}, "time": {strconv.FormatInt(benchNow.Unix(), 10)}}.Encode()
	var took []float64
	for round := range 6 {
		begin := time.Now()
		code, body, err := fetch(t.Context(), address)
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %s %v", code, body, err)
		}
		if round > 0 { // the first one reads from disk
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
		}
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil || len(answer.Data.Result) != benchObjectives {
			t.Fatalf("%d results, %v", len(answer.Data.Result), err)
		}
		for _, r := range answer.Data.Result {
			var i int
			if _, err := fmt.Sscanf(r.Metric["objective"], "objective-%d", &i); err != nil {
				t.Fatal(err)
			}
			text, _ := r.Value[1].(string)
			if out.consumed[i], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	out.took = median(took)
	return out
}

// sameBudgets compares the budgets of the two sides: they are of the same data, so they agree.
func sameBudgets(t *testing.T, ours, theirs budgets) {
	t.Helper()
	for i, v := range ours.consumed {
		if want := theirs.consumed[i]; math.Abs(v-want) > 1e-6*max(1, want) || v == 0 {
			t.Fatalf("%s: we say that %v of the budget is used, Prometheus %v", benchName(i), v, want)
		}
	}
}
