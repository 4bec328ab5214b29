package usage

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/posthog/posthog-go"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// posthogFailures counts what PostHog's client gives up.
type posthogFailures struct {
	mu sync.Mutex
	n  int
}

func (f *posthogFailures) Success(posthog.APIMessage) {}
func (f *posthogFailures) Failure(posthog.APIMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func TestPostHogsOwnClientWorks(t *testing.T) {
	sink := &memorySink{}
	server := httptest.NewServer(newReceiver(t, sink, func(c *Config) { c.Now = time.Now }).PostHog())
	defer server.Close()
	failed := &posthogFailures{}
	client, err := posthog.NewWithConfig("good", posthog.Config{
		Endpoint: server.URL, BatchSize: 2, Callback: failed, Logger: posthog.StdLogger(log.New(io.Discard, "", 0)),
	})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	for _, m := range []posthog.Message{
		posthog.Capture{Uuid: "u1", DistinctId: "ann", Event: "report.read", Timestamp: at, Groups: posthog.NewGroups().Set("team", "shop"),
			Properties: posthog.NewProperties().Set("page", "start").Set("value", 2.5).Set("resource", "pods")},
		posthog.Capture{Uuid: "u2", DistinctId: "ann", Event: "$pageview", Timestamp: at, Properties: posthog.NewProperties().Set("$pathname", "/costs")},
		posthog.Identify{DistinctId: "ann", Timestamp: at, Properties: posthog.NewProperties().Set("$anon_distinct_id", "x")},
		posthog.Alias{DistinctId: "ann", Alias: "old-ann", Timestamp: at},
		posthog.GroupIdentify{Type: "team", Key: "shop", Timestamp: at},
	} {
		if err := client.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil || failed.n != 0 {
		t.Fatalf("close: %v, %d failures", err, failed.n)
	}
	value := 2.5
	want := []schema.Event{
		{ID: "u1", Source: "ci", Time: at, Name: "report.read", Actor: "ann", Team: "shop", Resource: "pods", Value: &value,
			Attributes: map[string]string{"page": "start"}, Outcome: schema.OutcomeSuccess},
		{ID: "u2", Source: "ci", Time: at, Name: EventPageView, Actor: "ann", Object: "/costs", Outcome: schema.OutcomeSuccess},
		{ID: membershipID("ann", "shop", at), Source: "ci", Time: at, Name: EventGroup, Actor: "ann", Team: "shop", Outcome: schema.OutcomeSuccess},
	}
	byID := cmpopts.SortSlices(func(a, b schema.Event) bool { return a.ID < b.ID }) // the client sends batches at the same time
	if diff := cmp.Diff(want, sink.events(), byID, cmpopts.IgnoreFields(schema.Event{}, "Received")); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]schema.Alias{{Source: "ci", From: "old-ann", To: "ann", At: at}}, sink.aliases()); diff != "" {
		t.Errorf("aliases differ (-want +got):\n%s", diff)
	}
}

func TestPostHogForms(t *testing.T) {
	event := schema.Event{Source: "ci", Time: received, Received: received, Name: "a", Actor: "ann", Outcome: schema.OutcomeSuccess}
	const one = `{"api_key":"good","event":"a","distinct_id":"ann"}`
	for name, c := range map[string]struct {
		path, body string
		want       []schema.Event
		aliases    []schema.Alias
		refused    int
	}{
		"one event":             {path: "/capture/", body: one, want: []schema.Event{event}},
		"one event, new path":   {path: "/i/v0/e", body: one, want: []schema.Event{event}},
		"the token within":      {path: "/e/", body: `{"event":"a","properties":{"token":"good","distinct_id":"ann"}}`, want: []schema.Event{event}},
		"a list":                {path: "/track", body: `[{"event":"a","token":"good","distinct_id":"ann"},{"event":"a","token":"good","distinct_id":"ann"}]`, want: []schema.Event{event, event}},
		"a batch":               {path: "/batch", body: `{"batch":[{"event":"a","distinct_id":"ann"}],"api_key":"good"}`, want: []schema.Event{event}},
		"another's event":       {path: "/batch", body: `{"api_key":"good","batch":[{"event":"a","distinct_id":"ann","token":"shop"}]}`},
		"a form":                {path: "/e", body: "data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(one))), want: []schema.Event{event}},
		"a person's properties": {path: "/engage", body: `{"token":"good","distinct_id":"ann","$set":{"a":1}}`},
		"an identification": {
			path: "/e", body: `{"token":"good","event":"$identify","distinct_id":"ann","properties":{"$anon_distinct_id":"x"}}`,
			aliases: []schema.Alias{{Source: "ci", From: "x", To: "ann", At: received}},
		},
		"no event":        {path: "/e", body: `{"token":"good","distinct_id":"ann"}`, refused: 1},
		"wrong types":     {path: "/e", body: `{"token":"good","event":"a","uuid":7}`, refused: 1},
		"odd properties":  {path: "/e", body: `{"token":"good","event":"a","properties":7}`, refused: 1},
		"how long ago":    {path: "/e", body: `{"token":"good","event":"a","distinct_id":"ann","offset":5000}`, want: []schema.Event{at(event, received.Add(-5*time.Second))}},
		"a clock's error": {path: "/batch", body: `{"api_key":"good","sent_at":"2026-11-16T08:00:05Z","batch":[{"event":"a","distinct_id":"ann","timestamp":"2026-11-16T08:00:00"}]}`, want: []schema.Event{at(event, received.Add(-5*time.Second))}},
	} {
		t.Run(name, func(t *testing.T) {
			sink, held := &memorySink{}, &quarantine{}
			r := newReceiver(t, sink, func(c *Config) { c.Quarantine = held.put })
			contentType := "application/json"
			if strings.HasPrefix(c.body, "data=") {
				contentType = "application/x-www-form-urlencoded"
			}
			w := send(r.PostHog(), c.path, "", []byte(c.body), "Content-Type", contentType)
			if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"status":"Ok"}` {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(c.want, sink.events()); diff != "" {
				t.Errorf("events differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.aliases, sink.aliases()); diff != "" {
				t.Errorf("aliases differ (-want +got):\n%s", diff)
			}
			if len(held.rows) != c.refused {
				t.Errorf("quarantine %+v, want %d", held.rows, c.refused)
			}
		})
	}
}

func at(e schema.Event, when time.Time) schema.Event {
	e.Time = when
	return e
}

func TestPostHogPackedByQuery(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(`{"token":"good","event":"a"}`))
	_ = z.Close()
	sink := &memorySink{}
	if w := send(newReceiver(t, sink, nil).PostHog(), "/e/?compression=gzip-js", "", packed.Bytes(), "Content-Type", "text/plain"); w.Code != http.StatusOK || len(sink.events()) != 1 {
		t.Errorf("status %d, %d events: %s", w.Code, len(sink.events()), w.Body)
	}
}

func TestPostHogRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		sinkErr error
		status  int
	}{
		"no key":       {`{"event":"a"}`, nil, 401},
		"unknown key":  {`{"event":"a","token":"bad"}`, nil, 401},
		"not JSON":     {`{"token":"good"`, nil, 400},
		"more JSON":    {`{"token":"good","event":"a"} {}`, nil, 400},
		"rate used up": {`{"event":"a","token":"busy"}`, nil, 429},
		"too many":     {`{"token":"good","batch":[` + strings.Repeat(`{},`, 100) + `{}]}`, nil, 413},
		"full spool":   {`{"event":"a","token":"good"}`, collectors.ErrFull, 503},
	} {
		sink := &memorySink{err: c.sinkErr}
		if w := send(newReceiver(t, sink, nil).PostHog(), "/e", "", []byte(c.body)); w.Code != c.status || len(sink.batches) != 0 {
			t.Errorf("%s: status %d, %d batches, want %d: %s", name, w.Code, len(sink.batches), c.status, w.Body)
		}
	}
}

func FuzzPostHog(f *testing.F) {
	f.Add([]byte(`{"api_key":"good","batch":[{"event":"$identify","distinct_id":1,"properties":{"$groups":{"team":"a"}},"timestamp":"x"}]}`), false)
	f.Add([]byte("data=eyJ0b2tlbiI6Imdvb2QiLCJldmVudCI6ImEifQ=="), true)
	f.Add([]byte(`[{"token":"good"}]`), false)
	f.Fuzz(func(t *testing.T, body []byte, form bool) {
		contentType := "application/json"
		if form {
			contentType = "application/x-www-form-urlencoded"
		}
		w := send(newReceiver(t, &memorySink{}, nil).PostHog(), "/e", "", body, "Content-Type", contentType)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
