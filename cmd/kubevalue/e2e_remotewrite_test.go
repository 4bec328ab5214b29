//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/slo/freeport"
)

// TestE2EARealPrometheusWritesToUs lets one read a target that counts, and send what it reads, to a service that is killed meanwhile. The
// slices must be what the Prometheus itself has stored.
func TestE2EARealPrometheusWritesToUs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, port := filepath.Join(dir, "kubevalue.yaml"), freeport.Get(t)
	writeFile(t, filepath.Join(dir, "slo.yaml"), writtenObjective)
	writeFile(t, config, fmt.Sprintf("identity: {key_file: identity.key}\nspool: {dir: spool}\nserver: {listen: \"127.0.0.1:%d\", tokens: tokens.json}\nwarehouse: {dsn: \"embedded:warehouse\"}\nobjectives: {openslo: [slo.yaml]}\n", port))
	token := strings.TrimSpace(kubevalue(t, "token", "create", "prom", "--endpoint", "remotewrite", "-c", config))
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	serve := func() *process {
		p := start(t, kubevalueBinary(t), "serve", "-c", config)
		eventually(t, "kubevalue is ready", func() error {
			_, err := getBody(t.Context(), http.DefaultClient, address+"/readyz")
			return err
		})
		return p
	}
	service := serve()
	target, begin := countingTarget(t)
	prometheus := startPrometheus(t, fmt.Sprintf(`global: {scrape_interval: 1s}
scrape_configs: [{job_name: api, static_configs: [{targets: ['%s']}]}]
remote_write: [{url: '%s/api/v1/write', authorization: {credentials: '%s'}, queue_config: {batch_send_deadline: 1s}}]
`, strings.TrimPrefix(target, "http://"), address, token), "")
	eventually(t, "samples come", func() error { // a Prometheus does not send what it read before it was ready to
		body, err := getBody(t.Context(), http.DefaultClient, address+"/metrics")
		if err == nil && !counted.Match(body) {
			err = fmt.Errorf("the service's page lacks %s", counted)
		}
		return err
	})
	begin()
	began := time.Now().Truncate(time.Minute)
	time.Sleep(time.Until(began.Add(time.Minute + 25*time.Second))) // in the middle of a minute whose samples come
	service.stop(t, syscall.SIGKILL)
	serve()

	cfg, err := loadConfig(config)
	must(t, "read the configuration", err)
	objectives, err := cfg.loadObjectives()
	must(t, "read the objectives", err)
	db, err := openWarehouse(t.Context(), cfg, slog.New(slog.DiscardHandler), true)
	must(t, "open the warehouse", err)
	defer db.Close()
	// In the first two minutes of samples the series of errors begins, the target begins anew, and the service is killed. A slice is corrected
	// when samples come late.
	var got []string
	eventually(t, "two minutes are counted as Prometheus has stored them", func() error {
		rows, err := db.Slices(t.Context(), objectives[0].Of["requests"].query(began, began.Add(3*time.Minute)))
		if err != nil || len(rows) < 2 {
			return fmt.Errorf("slices %v, %w", rows, err)
		}
		got = nil
		for _, r := range rows {
			got = append(got, fmt.Sprintf("%s %s %v of %v", r.Start.UTC().Format(time.TimeOnly), r.State, r.Good, r.Total))
		}
		if diff := cmp.Diff(storedIncrease(t, prometheus, rows[0].Start, len(rows)), got); diff != "" {
			return fmt.Errorf("slices differ (-want +got):\n%s", diff)
		}
		return nil
	})
	t.Logf("slices: %s", strings.Join(got, "; "))
}

var counted = regexp.MustCompile(`kubevalue_remotewrite_samples_total\{result="counted"\} [1-9]`)

// writtenObjective is requestObjective by the samples that come by remote write.
var writtenObjective = strings.NewReplacer("metricSourceRef: main", "type: remotewrite",
	"sum(requests_total)", "requests_total", "'sum(requests_total{code=~\"5..\"})'", "'requests_total{code=~\"5..\"}'").Replace(strings.SplitN(requestObjective, "---", 2)[1])

// countingTarget is a page with 9 good requests more each time it is read since it was told to begin, and from the sixth time on with
// an error more. After 20 readings it begins anew.
func countingTarget(t *testing.T) (address string, begin func()) {
	t.Helper()
	var begun atomic.Bool
	var readings atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int64(1)
		if begun.Load() {
			n += readings.Add(1)
		}
		if n > 20 {
			n -= 20
		}
		fmt.Fprintf(w, "# TYPE requests_total counter\nrequests_total{code=\"200\"} %d\n", n*9)
		if n > 5 {
			fmt.Fprintf(w, "requests_total{code=\"500\"} %d\n", n)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, func() { begun.Store(true) }
}

// storedIncrease asks a Prometheus for the samples that it has stored, and adds up the increases of the minutes: a series counts from
// zero but for those of the target's first page, and what has fallen began at zero.
func storedIncrease(t *testing.T, prometheus string, start time.Time, minutes int) []string {
	t.Helper()
	end := start.Add(time.Duration(minutes) * time.Minute)
	query := url.Values{"query": {fmt.Sprintf("requests_total[%ds]", minutes*60+300)}, "time": {strconv.FormatInt(end.Unix(), 10)}}
	body, err := getBody(t.Context(), http.DefaultClient, "http://"+prometheus+"/api/v1/query?"+query.Encode())
	must(t, "ask Prometheus", err)
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]json.Number
			}
		}
	}
	must(t, "read its answer", json.Unmarshal(body, &answer))
	first := int64(1 << 62)
	for _, series := range answer.Data.Result {
		first = min(first, millis(t, series.Values[0][0]))
	}
	good, bad := make([]float64, minutes), make([]float64, minutes)
	for _, series := range answer.Data.Result {
		last, known := 0.0, false
		for _, sample := range series.Values {
			at, value := millis(t, sample[0]), number(t, sample[1])
			more := value
			if known && value >= last || at == first {
				more = value - last
			}
			if at == first {
				more = 0
			}
			last, known = value, true
			if minute := (at - start.UnixMilli()) / 60_000; at >= start.UnixMilli() && minute < int64(minutes) {
				if series.Metric["code"] == "500" {
					bad[minute] += more
				} else {
					good[minute] += more
				}
			}
		}
	}
	var out []string
	for i := range minutes {
		out = append(out, fmt.Sprintf("%s measured %v of %v", start.Add(time.Duration(i)*time.Minute).UTC().Format(time.TimeOnly), good[i], good[i]+bad[i]))
	}
	if !slices.ContainsFunc(bad, func(n float64) bool { return n > 0 }) {
		t.Errorf("Prometheus has stored no error: %s", body)
	}
	return out
}

func number(t *testing.T, n json.Number) float64 {
	t.Helper()
	v, err := n.Float64()
	must(t, "read a number", err)
	return v
}

func millis(t *testing.T, n json.Number) int64 {
	t.Helper()
	return int64(number(t, n)*1000 + 0.5)
}
