//go:build bench

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/audit/auditbench"
	"github.com/kubevalue/kubevalue/collectors/usage"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// The size of the measure of ingestion.
const (
	benchRounds  = 3
	benchEvents  = 600_000 // per round and side: enough that the drainer's first and last run weigh little
	benchBatch   = 1000    // per request
	benchSenders = 4
	benchBlock   = 40_000 // rows of a plain insert
)

// measure prints one line of `make bench`.
func measure(name, unit string, value, baseline float64) {
	fmt.Printf("bench %s value=%.0f unit=%s baseline=%.0f ratio=%.3f\n", name, value, unit, baseline, value/baseline)
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// TestBenchAuditDecode compares the webhook's decoding and mapping with encoding/json into the typed list.
func TestBenchAuditDecode(t *testing.T) {
	ours, stdlib, err := auditbench.Compare(7)
	if err != nil {
		t.Fatal(err)
	}
	measure("audit_decode_vs_stdlib", "bytes/s", ours, stdlib)
}

// TestBenchIngest compares the way of events through a service, a process of its own, with plain inserts of the same rows into the
// same engine, in turns. One turn of each comes first and does not count.
func TestBenchIngest(t *testing.T) {
	raw := warehousetest.Open(t)
	plainly := openPlain(t, raw)
	b := spawn(t, "")
	token := b.token(t, "bench")
	idle := b.memory(t, "VmRSS")
	var through, plain []float64
	for round := range benchRounds + 1 {
		load := newLoad(t, round, benchEvents)
		speed, base := ingest(t, b, load, token), insertRaw(t, plainly, load)
		if round > 0 {
			through, plain = append(through, speed), append(plain, base)
		}
	}
	measure("ingest_rss", "bytes", float64(b.memory(t, "VmHWM")), float64(idle))
	measure("ingest_vs_raw_insert", "events/s", median(through), median(plain))
	for name, db := range map[string]*warehouse.DB{"service": b.db, "plain": raw} {
		result, err := db.Query(t.Context(), "SELECT count(), uniqExact(id) FROM events", nil)
		want := fmt.Sprintf("%d %d\n", (benchRounds+1)*benchEvents, (benchRounds+1)*benchEvents)
		if err != nil || resultText(result) != want {
			t.Errorf("%s: events and ids in the table: %q (%v), want %q", name, resultText(result), err, want)
		}
	}
}

// load is a round's events: the requests' bodies in files, so that they take no memory of the process.
type load struct {
	round, events int
	files         []string
	begin         time.Time
}

func newLoad(t *testing.T, round, events int) load {
	t.Helper()
	// All of a round is of one month, since a block is.
	l := load{round: round, events: events, begin: time.Now().UTC().Truncate(24 * time.Hour)}
	dir := t.TempDir()
	for first := 0; first < events; first += benchBatch {
		var body bytes.Buffer
		for i := first; i < first+benchBatch; i++ {
			line, err := json.Marshal(l.event(i))
			if err != nil {
				t.Fatal(err)
			}
			body.Write(append(line, '\n'))
		}
		path := filepath.Join(dir, strconv.Itoa(first))
		if err := os.WriteFile(path, body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		l.files = append(l.files, path)
	}
	return l
}

var (
	benchNames     = []string{"deploy.create", "namespace.create", "report.visit", "docs.read", "cluster.login", "quota.request"}
	benchResources = []string{"deployments", "namespaces", "pods", "configmaps"}
)

// event is the i-th event of the round as a client sends it: of 600 people in 40 teams on 12 clusters.
func (l load) event(i int) map[string]any {
	row := l.row(i)
	return map[string]any{
		"id": l.id(i), "time": row.Time.Format(time.RFC3339Nano), "name": row.Name, "actor": fmt.Sprintf("user-%d@example.com", i%600),
		"team": row.ActorTeam, "cluster": row.Cluster, "namespace": row.Namespace, "resource": row.Resource, "object": row.Object,
		"outcome": row.Outcome, "duration_ms": *row.DurationMS, "attributes": row.Attributes,
	}
}

func (l load) id(i int) string { return fmt.Sprintf("%d-%08d-7d2e-4c1b", l.round, i) }

// row is the same event as it is stored.
func (l load) row(i int) schema.StoredEvent {
	took := float64(i%5000) / 4
	return schema.StoredEvent{
		ID: schema.EventID("bench", l.id(i)), Time: l.begin.Add(time.Duration(i) * time.Millisecond / 10).Truncate(time.Millisecond), Received: l.begin, Source: "bench",
		Name: benchNames[i%len(benchNames)], Actor: uint64(i%600)*0x9e3779b97f4a7c15 + 1, ActorKind: schema.ActorHuman,
		ActorTeam: fmt.Sprintf("team-%d", i%40), TeamSource: "event", Cluster: fmt.Sprintf("cluster-%d", i%12), Namespace: fmt.Sprintf("team-%d-%d", i%40, i%3),
		Resource: benchResources[i%len(benchResources)], Object: fmt.Sprintf("web-%d", i%1000), Outcome: schema.OutcomeSuccess,
		DurationMS: &took, Attributes: map[string]string{"environment": "prod", "kind": "service"},
	}
}

// ingest sends the round to the service and returns the events per second until all of them are in the table.
func ingest(t *testing.T, b *spawned, l load, token string) float64 {
	t.Helper()
	files := make(chan string)
	var wg sync.WaitGroup
	begin := time.Now()
	for range benchSenders {
		wg.Go(func() {
			for file := range files {
				if err := sendFile(b.url+"/v1/events", file, token); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, file := range l.files {
		files <- file
	}
	close(files)
	wg.Wait()
	b.drained(t)
	return float64(l.events) / time.Since(begin).Seconds()
}

func sendFile(url, file, token string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}

// insertRaw inserts the round's rows in large blocks and returns the events per second; making the rows does not count.
func insertRaw(t *testing.T, conn driver.Conn, l load) float64 {
	t.Helper()
	rows := make([]schema.StoredEvent, l.events)
	for i := range rows {
		rows[i] = l.row(i)
	}
	begin := time.Now()
	for part := range slices.Chunk(rows, benchBlock) {
		insertPlain(t, conn, part)
	}
	return float64(l.events) / time.Since(begin).Seconds()
}

// TestBenchSpool compares what requests take on disk, before anything is drained, with the bytes of their bodies.
func TestBenchSpool(t *testing.T) {
	cfg := defaults()
	cfg.dir, cfg.zone = t.TempDir(), time.UTC
	pipe, err := openPipeline(t.Context(), &cfg, warehousetest.Open(t), pipelineParts{dir: t.TempDir(), log: slog.New(slog.DiscardHandler), now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	receiver, err := usage.New(usage.Config{Sink: pipe, Validate: pipeline.Validate, Authenticate: func(context.Context, string, string) (collectors.Grant, error) {
		return collectors.Grant{Name: "bench", Source: "bench"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	empty, payload := pipe.Stats().Bytes, 0
	for _, file := range newLoad(t, 0, 200_000).files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/v1/events", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-ndjson")
		w := httptest.NewRecorder()
		receiver.Native().ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		payload += len(body)
	}
	measure("ingest_spool_overhead", "bytes", float64(pipe.Stats().Bytes-empty), float64(payload))
}
