package main

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/kubevalue/kubevalue/collectors"
)

// repeated is a packed body of about size bytes: a beginning, a middle again and again with a number in it, and an end.
func repeated(t testing.TB, size int, beginning, middle, end string) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprint(w, beginning)
	for n, i := len(beginning), 0; n < size && err == nil; i++ {
		text := middle
		if strings.Contains(middle, "%d") {
			text = fmt.Sprintf(middle, i)
		}
		n += len(text)
		_, err = fmt.Fprint(w, text)
	}
	if err == nil {
		_, err = fmt.Fprint(w, end)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestHostileBodiesCostBoundedMemory sends bodies that would fill the memory many times over, several of each at once.
func TestHostileBodiesCostBoundedMemory(t *testing.T) {
	b := boot(t, "")
	token := b.token("app", collectors.EndpointEvents, collectors.EndpointSegment, collectors.EndpointPostHog, collectors.EndpointCloudEvents, collectors.EndpointAudit)
	const large, senders, most = 4 << 20, 4, 300 << 20
	for name, c := range map[string]struct {
		path string
		body []byte
	}{
		"a bomb":                     {"/v1/events", repeated(t, 64<<20, "", strings.Repeat("0", 1<<20), "")},
		"deep arrays":                {"/v1/events", repeated(t, large, "", strings.Repeat("[", 1<<10), "")},
		"deep attributes":            {"/v1/events", repeated(t, large, `{"name":"a","attributes":`, strings.Repeat(`{"a":`, 1<<10), "")},
		"unknown members":            {"/v1/events", repeated(t, large, `{"name":"a"`, `,"k%d":1`, "}")},
		"attributes without end":     {"/v1/events", repeated(t, large, `{"name":"a","attributes":{"a":"b"`, `,"k%d":"v"`, "}}")},
		"the same among others":      {"/v1/events", repeated(t, large, `[{"name":"b"},{"name":"a"`, `,"k%d":1`, "}]")},
		"the same on a line":         {"/v1/events", repeated(t, large, "{\"name\":\"b\"}\n{\"name\":\"a\"", `,"k%d":1`, "}\n")},
		"a long field":               {"/v1/events", repeated(t, large, `{"name":"`, strings.Repeat("x", 1<<10), `"}`)},
		"very many events":           {"/v1/events", repeated(t, large, `[{"name":"b"}`, `,{"name":"a"}`, `]`)},
		"properties without end":     {"/v1/track", repeated(t, large, `{"userId":"u","event":"a","properties":{"a":"b"`, `,"k%d":"v"`, "}}")},
		"a batch with such an event": {"/v1/batch", repeated(t, large, `{"batch":[{"type":"track","userId":"u","event":"a","properties":{"a":"b"`, `,"k%d":"v"`, "}}]}")},
		"posthog":                    {"/capture/", repeated(t, large, fmt.Sprintf(`{"api_key":%q,"event":"a","distinct_id":"u","properties":{"a":"b"`, token), `,"k%d":"v"`, "}}")},
		"an extension without end":   {"/v1/cloudevents", repeated(t, large, `{"specversion":"1.0","id":"c","source":"/s","type":"a"`, `,"k%d":"v"`, "}")},
		"audit groups":               {"/audit/prod", repeated(t, large, `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"auditID":"a","user":{"username":"u","groups":["g"`, `,"g%d"`, `]}}]}`)},
	} {
		began := time.Now()
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		var peak atomic.Uint64
		stop, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			for {
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				peak.Store(max(peak.Load(), now.HeapInuse))
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				kind := "application/json"
				if c.path == "/v1/cloudevents" {
					kind = "application/cloudevents+json"
				}
				got := b.send(http.MethodPost, c.path, c.body, "Authorization", bearer(token), "Content-Encoding", "gzip", "Content-Type", kind)
				if got.status >= 500 && got.header.Get("Retry-After") == "" {
					t.Errorf("%s: %d %s", name, got.status, got.body)
				}
			})
		}
		wg.Wait()
		close(stop)
		<-watched
		cost := int64(peak.Load()) - int64(before.HeapInuse)
		t.Logf("%s: %d MiB, %s", name, cost>>20, time.Since(began).Round(time.Millisecond))
		if cost > most {
			t.Errorf("%s: %d requests of %d MiB cost %d MiB, want at most %d", name, senders, large>>20, cost>>20, most>>20)
		}
	}
	if got := b.post("/v1/events", `{"name":"after"}`, "Authorization", bearer(token)); got.status != http.StatusAccepted {
		t.Errorf("after all of them: %d %s", got.status, got.body)
	}
}
