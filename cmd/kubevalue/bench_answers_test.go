//go:build bench

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// paced calls send n times, rate times a second, each in a goroutine of its own, and returns how long after its turn each was
// done, sorted: a sender that waits for one answer before it asks again would not see what it holds up.
func paced(n int, rate float64, send func(i int) error) (took []time.Duration, failed error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		turn := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(turn))
		wg.Go(func() {
			err := send(i)
			passed := time.Since(turn)
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, passed); err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took, failed
}

// asker sends over connections that stay open.
func asker() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256}}
}

func post(client *http.Client, url, token, contentType, body string) error {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", bearer(token))
	r.Header.Set("Content-Type", contentType)
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}

// TestBenchSingles measures the answers to 500 requests of one event a second, while 20,000 events a second come in by batch.
func TestBenchSingles(t *testing.T) {
	const seconds, singles, batched, most = 20, 500, 20_000, 10 * time.Millisecond
	s := spawn(t, "")
	token, load := s.token(t, "bench"), newLoad(t, 0, seconds*batched)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := paced(len(load.files), batched/benchBatch, func(i int) error { return sendFile(s.url+"/v1/events", load.files[i], token) }); err != nil {
			t.Error(err)
		}
	})
	client := asker()
	took, err := paced(seconds*singles, singles, func(i int) error {
		return post(client, s.url+"/v1/events", token, "application/json", fmt.Sprintf(`{"id":"single-%d","name":"report.read","actor":"user-%d"}`, i, i%600))
	})
	wg.Wait()
	if err != nil {
		t.Error(err)
	}
	measure("ingest_single_p99", "us", float64(took[len(took)*99/100].Microseconds()), float64(most.Microseconds()))
	s.drained(t)
	const want = seconds * (singles + batched)
	if result, err := s.db.Query(t.Context(), "SELECT count(), uniqExact(id) FROM events", nil); err != nil || resultText(result) != fmt.Sprintf("%d %d\n", want, want) {
		t.Errorf("events in the table: %q (%v), want %d", resultText(result), err, want)
	}
}

// TestBenchHangingWarehouse measures the answers to an API server's audit events while the warehouse hangs.
func TestBenchHangingWarehouse(t *testing.T) {
	const events, rate, most = 2000, 200, 50 * time.Millisecond
	g := newGate(t)
	s := spawnOn(t, g.dsn, "")
	token := s.token(t, "bench")
	g.set(gateHanging)
	client := asker()
	took, err := paced(events, rate, func(i int) error {
		return post(client, s.url+"/audit/prod", token, "application/json", auditEvent(fmt.Sprint(i)))
	})
	if err != nil {
		t.Error(err)
	}
	measure("audit_hanging_p99", "us", float64(took[len(took)*99/100].Microseconds()), float64(most.Microseconds()))
	g.set(gateOpen)
	s.drained(t)
	if result, err := s.db.Query(t.Context(), "SELECT count(), uniqExact(id) FROM events", nil); err != nil || resultText(result) != fmt.Sprintf("%d %d\n", events, events) {
		t.Errorf("events in the table: %q (%v), want %d", resultText(result), err, events)
	}
}

// TestBenchDisk tells what one write and fsync of a small file take here: no answer can come sooner.
func TestBenchDisk(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var took []time.Duration
	for range 500 {
		began := time.Now()
		if _, err := f.WriteString("a record"); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	measure("disk_fsync_p99", "us", float64(took[len(took)*99/100].Microseconds()), float64(took[len(took)/2].Microseconds()))
}
