package pipeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// batches makes n batches of size events, as a fleet's clients send them.
func batches(n, size int, now time.Time) []schema.Batch {
	rnd := rand.New(rand.NewPCG(1, 2))
	names := []string{"deployments.create", "deployments.update", "pods.create", "pods/exec", "namespaces.create", "report.visit", "secrets.update"}
	list := make([]schema.Batch, n)
	for i := range list {
		events := make([]schema.Event, size)
		for k := range events {
			team := rnd.IntN(40)
			events[k] = schema.Event{
				ID: uuid.NewString(), Source: "platform", Time: now.Add(-time.Duration(rnd.IntN(3600_000)) * time.Millisecond), Received: now,
				Name: names[rnd.IntN(len(names))], Actor: fmt.Sprintf("user%d@example.com", rnd.IntN(2000)), Team: fmt.Sprintf("team-%d", team),
				Cluster: fmt.Sprintf("cluster-%d", rnd.IntN(12)), Namespace: fmt.Sprintf("team-%d-prod", team), Resource: "deployments",
				Object: fmt.Sprintf("service-%d", rnd.IntN(500)), Outcome: schema.OutcomeSuccess,
			}
		}
		list[i].Events = events
	}
	return list
}

// payload is what a client sends for the batch as NDJSON, in bytes.
func payload(b schema.Batch) (n int64) {
	for _, e := range b.Events {
		text, err := json.Marshal(map[string]any{
			"id": e.ID, "time": e.Time, "name": e.Name, "actor": e.Actor, "team": e.Team, "cluster": e.Cluster, "namespace": e.Namespace,
			"resource": e.Resource, "object": e.Object, "outcome": e.Outcome,
		})
		if err != nil {
			panic(err)
		}
		n += int64(len(text)) + 1
	}
	return n
}

// resident is the process's resident memory and its peak, in bytes.
func resident() (now, peak int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	field := func(name string) int64 {
		_, rest, _ := strings.Cut(string(status), name+":")
		kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, _ := strconv.ParseInt(kb, 10, 64)
		return n << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// BenchmarkAppendAndDrain takes batches of 1,000 events from Append to the table, deduplicated.
func BenchmarkAppendAndDrain(b *testing.B) {
	const batch, clients, kinds = 1000, 4, 8
	db := warehousetest.Open(b)
	cfg := config(b, db, b.TempDir())
	cfg.Interval = time.Second
	p, _ := start(b, cfg)
	templates := batches(kinds, batch, time.Now())
	sent := int64(0)
	for _, t := range templates {
		sent += payload(t)
	}
	if err := p.Append(b.Context(), templates[0]); err != nil {
		b.Fatal(err)
	}
	flush(b, p)
	runtime.GC()
	before := p.Stats().Bytes
	var peakBytes atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	next := make(chan int)
	for range clients {
		wg.Go(func() {
			for i := range next {
				one := schema.Batch{Events: slices.Clone(templates[i%kinds].Events)}
				for k := range one.Events {
					one.Events[k].ID = uuid.NewString()
				}
				if err := p.Append(b.Context(), one); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		next <- i
		if bytes := p.Stats().Bytes; bytes > peakBytes.Load() {
			peakBytes.Store(bytes)
		}
	}
	close(next)
	wg.Wait()
	appended := b.Elapsed()
	flush(b, p)
	b.StopTimer()
	_, peak := resident()
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.N*batch)/appended.Seconds(), "appended/s")
	b.ReportMetric(float64(peakBytes.Load()-before)*kinds/float64(sent)/float64(b.N), "spool/payload")
	b.ReportMetric(float64(peak)/(1<<20), "peak_MiB")
	want := (b.N + 1) * batch
	if got := query(b, db, "SELECT count(), uniqExact(id) FROM events"); text(got) != fmt.Sprintf("[[%d %d]]", want, want) {
		b.Errorf("%v events are stored, want %d", got, want)
	}
}
