package usage

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil"
	analytics "github.com/segmentio/analytics-go/v3"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// quarantine keeps what goes to quarantine.
type quarantine struct {
	rows []schema.Quarantined
	err  error
}

func (q *quarantine) put(_ context.Context, rows []schema.Quarantined) error {
	q.rows = append(q.rows, rows...)
	return q.err
}

func TestSegmentsOwnClientWorks(t *testing.T) {
	sink := &memorySink{}
	server := httptest.NewServer(newReceiver(t, sink, func(c *Config) { c.Now = time.Now }).Segment())
	defer server.Close()
	var failures failures
	client, err := analytics.NewWithConfig("good", analytics.Config{
		Endpoint: server.URL, BatchSize: 3, Callback: &failures, Logger: analytics.StdLogger(log.New(io.Discard, "", 0)),
	})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	inTeam := &analytics.Context{Extra: map[string]interface{}{"groupId": "shop"}}
	for _, m := range []analytics.Message{
		analytics.Track{MessageId: "m1", UserId: "ann", Event: "report.read", Timestamp: at, Context: inTeam,
			Properties: analytics.NewProperties().Set("page", "start").Set("value", 2.5).Set("cluster", "prod-1").Set("deep", map[string]int{"a": 1})},
		analytics.Page{MessageId: "m2", AnonymousId: "anon-1", Name: "Costs"},
		analytics.Screen{MessageId: "m3", UserId: "ann", Name: "Start"},
		analytics.Identify{MessageId: "m4", UserId: "ann", AnonymousId: "anon-1"},
		analytics.Group{MessageId: "m5", UserId: "ann", GroupId: "shop"},
		analytics.Alias{MessageId: "m6", PreviousId: "old-ann", UserId: "ann"},
	} {
		if err := client.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil || failures.n != 0 {
		t.Fatalf("close: %v, %d failures", err, failures.n)
	}
	value := 2.5
	want := []schema.Event{
		{ID: membershipID("ann", "shop", at), Name: EventGroup, Actor: "ann", Team: "shop"},
		{ID: "m1", Name: "report.read", Actor: "ann", Team: "shop", Cluster: "prod-1", Value: &value, Attributes: map[string]string{"page": "start"}},
		{ID: "m2", Name: EventPageView, Actor: "anon-1", Object: "Costs"},
		{ID: "m3", Name: EventScreenView, Actor: "ann", Object: "Start"},
		{ID: "m5", Name: EventGroup, Actor: "ann", Team: "shop"},
	}
	got := sink.events()
	slices.SortFunc(got, func(a, b schema.Event) int { return strings.Compare(a.ID, b.ID) }) // the client sends batches at the same time
	ignored := cmpopts.IgnoreFields(schema.Event{}, "Time", "Received", "Source", "Outcome")
	if diff := cmp.Diff(want, got, ignored); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	if off := got[0].Time.Sub(at); off < -time.Second || off > 10*time.Minute { // as long as it was under way
		t.Errorf("time is off by %s", off)
	}
	wantAliases := []schema.Alias{{Source: "ci", From: "anon-1", To: "ann"}, {Source: "ci", From: "old-ann", To: "ann"}}
	if diff := cmp.Diff(wantAliases, sink.aliases(), cmpopts.IgnoreFields(schema.Alias{}, "At")); diff != "" {
		t.Errorf("aliases differ (-want +got):\n%s", diff)
	}
}

// failures counts what Segment's client gives up.
type failures struct {
	mu sync.Mutex
	n  int
}

func (f *failures) Success(analytics.Message) {}
func (f *failures) Failure(analytics.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func TestSegmentCalls(t *testing.T) {
	for name, c := range map[string]struct {
		path, body  string
		event       schema.Event
		alias       schema.Alias
		quarantined string
	}{
		"track": {
			path: "/v1/track", body: `{"userId":"ann","event":"a","messageId":"m","properties":{"team":"shop","outcome":"failure","reason":"timeout"}}`,
			event: schema.Event{ID: "m", Name: "a", Actor: "ann", Team: "shop", Outcome: schema.OutcomeFailure, Reason: "timeout", Time: received},
		},
		"a number as the user": {path: "/v1/track/", body: `{"userId":7,"event":"a"}`, event: schema.Event{Name: "a", Actor: "7", Outcome: schema.OutcomeSuccess, Time: received}},
		"a clock that is an hour slow": {
			path: "/v1/track", body: `{"event":"a","timestamp":"2026-11-16T07:59:00Z","sentAt":"2026-11-16T08:00:05Z"}`,
			event: schema.Event{Name: "a", Outcome: schema.OutcomeSuccess, Time: received.Add(-65 * time.Second)},
		},
		"page": {path: "/v1/page", body: `{"anonymousId":"x","name":"Costs"}`, event: schema.Event{Name: EventPageView, Object: "Costs", Actor: "x", Outcome: schema.OutcomeSuccess, Time: received}},
		"group": {
			path: "/v1/group", body: `{"userId":"ann","groupId":"shop","traits":{"name":"Shop"}}`,
			event: schema.Event{Name: EventGroup, Actor: "ann", Team: "shop", Outcome: schema.OutcomeSuccess, Time: received},
		},
		"identify":               {path: "/v1/identify", body: `{"userId":"ann","anonymousId":"x"}`, alias: schema.Alias{Source: "ci", From: "x", To: "ann", At: received}},
		"identify of nobody new": {path: "/v1/identify", body: `{"userId":"ann"}`},
		"alias":                  {path: "/v1/alias", body: `{"previousId":"x","userId":"ann"}`, alias: schema.Alias{Source: "ci", From: "x", To: "ann", At: received}},
		"no name":                {path: "/v1/track", body: `{"userId":"ann"}`, quarantined: "segment: the event has no name"},
		"no call":                {path: "/v1/batch", body: `{"batch":[{"type":"dance"}]}`, quarantined: "segment: type: want track, identify, group, page, screen or alias"},
		"wrong types":            {path: "/v1/track", body: `{"event":["a"]}`, quarantined: "segment: want an object with Segment's members and types"},
		"no object":              {path: "/v1/batch", body: `{"batch":[7]}`, quarantined: "segment: want an object with Segment's members and types"},
		"strange time":           {path: "/v1/track", body: `{"event":"a","timestamp":"yesterday"}`, quarantined: "segment: timestamp: want ISO 8601, such as 2026-11-16T09:00:00Z"},
		"too large":              {path: "/v1/track", body: `{"event":"a","x":"` + strings.Repeat("x", 4<<10) + `"}`, quarantined: "segment: 4116 bytes: want at most 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			sink, held := &memorySink{}, &quarantine{}
			w := send(newReceiver(t, sink, func(c *Config) { c.Quarantine = held.put }).Segment(), c.path, "good", []byte(c.body))
			if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"success":true}` {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			var wantEvents []schema.Event
			if c.event.Name != "" {
				c.event.Source, c.event.Received = "ci", received
				wantEvents = []schema.Event{c.event}
			}
			if diff := cmp.Diff(wantEvents, sink.events()); diff != "" {
				t.Errorf("events differ (-want +got):\n%s", diff)
			}
			var wantAliases []schema.Alias
			if c.alias.To != "" {
				wantAliases = []schema.Alias{c.alias}
			}
			if diff := cmp.Diff(wantAliases, sink.aliases()); diff != "" {
				t.Errorf("aliases differ (-want +got):\n%s", diff)
			}
			if c.quarantined == "" && len(held.rows) == 0 {
				return
			}
			if len(held.rows) != 1 || held.rows[0].Reason != c.quarantined || held.rows[0].Source != "ci" || held.rows[0].Payload == "" {
				t.Errorf("quarantine %+v, want %q", held.rows, c.quarantined)
			}
		})
	}
}

func TestSegmentKeys(t *testing.T) {
	const body = `{"event":"a","writeKey":"KEY"}`
	for name, c := range map[string]struct {
		key    string
		header func(*http.Request)
		status int
	}{
		"Basic":             {"", func(r *http.Request) { r.SetBasicAuth("good", "") }, 200},
		"Bearer":            {"", func(r *http.Request) { r.Header.Set("Authorization", "Bearer good") }, 200},
		"in the body":       {"good", func(*http.Request) {}, 200},
		"none":              {"", func(*http.Request) {}, 401},
		"unknown":           {"bad", func(*http.Request) {}, 401},
		"header goes first": {"good", func(r *http.Request) { r.SetBasicAuth("bad", "") }, 401},
		"rate used up":      {"busy", func(*http.Request) {}, 429},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/track", strings.NewReader(strings.Replace(body, "KEY", c.key, 1)))
			c.header(r)
			w := httptest.NewRecorder()
			newReceiver(t, sink, nil).Segment().ServeHTTP(w, r)
			if w.Code != c.status || (len(sink.events()) == 1) != (c.status == 200) {
				t.Errorf("status %d, %d events, want %d: %s", w.Code, len(sink.events()), c.status, w.Body)
			}
			if c.status == 429 && w.Header().Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
}

func TestASegmentBatchKeepsItsGoodEvents(t *testing.T) {
	sink, held := &memorySink{}, &quarantine{}
	r := newReceiver(t, sink, func(c *Config) { c.Quarantine = held.put })
	body := `{"sentAt":"2026-11-16T09:00:05Z","batch":[{"type":"track","event":"a","userId":"ann"},{"type":"track","userId":"ann"},` +
		`{"type":"track","event":"old","userId":"ann","timestamp":"2020-01-01T00:00:00Z"},{"type":"track","event":"b"}],"context":{}}`
	if w := send(r.Segment(), "/v1/batch", "good", []byte(body)); w.Code != http.StatusOK || names(sink.events()) != "a,b" {
		t.Errorf("status %d, events %q: %s", w.Code, names(sink.events()), w.Body)
	}
	if len(held.rows) != 2 || held.rows[1].Kind != "event" {
		t.Fatalf("quarantine %+v", held.rows)
	}
	var e schema.Event
	if err := json.Unmarshal([]byte(held.rows[1].Payload), &e); err != nil || e.Name != "old" || e.Actor != "ann" {
		t.Errorf("an event in quarantine must be readable again: %+v, error %v", e, err)
	}
}

func TestWhatTheSinkRefusesGoesToQuarantine(t *testing.T) {
	sink, held := &memorySink{}, &quarantine{}
	refusing := appendFunc(func(ctx context.Context, b schema.Batch) error {
		var bad []collectors.RecordError
		for i, e := range b.Events {
			if e.Name == "odd" {
				bad = append(bad, collectors.RecordError{Kind: "event", Index: i, Err: errors.New("odd")})
			}
		}
		for i, a := range b.Aliases {
			if a.From == "odd" {
				bad = append(bad, collectors.RecordError{Kind: "alias", Index: i, Err: errors.New("odd")})
			}
		}
		if bad != nil {
			return &collectors.BatchError{Records: bad}
		}
		return sink.Append(ctx, b)
	})
	body := `{"batch":[{"type":"track","event":"odd"},{"type":"track","event":"a"},{"type":"alias","previousId":"odd","userId":"u"},{"type":"alias","previousId":"p","userId":"u"}]}`
	r := newReceiver(t, refusing, func(c *Config) { c.Quarantine = held.put })
	w := send(r.Segment(), "/v1/batch", "good", []byte(body))
	if w.Code != http.StatusOK || names(sink.events()) != "a" || len(sink.aliases()) != 1 || len(held.rows) != 2 {
		t.Errorf("status %d, events %q, %d aliases, quarantine %+v", w.Code, names(sink.events()), len(sink.aliases()), held.rows)
	}
	if n := testutil.ToFloat64(r.quarantined.WithLabelValues(protocolSegment)); n != 2 {
		t.Errorf("%g records are counted as quarantined, want 2", n)
	}
}

type appendFunc func(context.Context, schema.Batch) error

func (f appendFunc) Append(ctx context.Context, b schema.Batch) error { return f(ctx, b) }

func TestAQuarantineThatFailsIsTriedAgain(t *testing.T) {
	held := &quarantine{err: errors.New("away")}
	w := send(newReceiver(t, &memorySink{}, func(c *Config) { c.Quarantine = held.put }).Segment(), "/v1/track", "good", []byte(`{}`))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, want 503", w.Code)
	}
}

func TestSegmentRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		sinkErr error
		status  int
	}{
		"not JSON":   {`{"batch":[`, nil, 400},
		"more JSON":  {`{"batch":[]} {}`, nil, 400},
		"too many":   {`{"batch":[` + strings.Repeat(`{},`, 100) + `{}]}`, nil, 413},
		"full spool": {`{"batch":[{"type":"track","event":"a"}]}`, collectors.ErrFull, 503},
	} {
		sink := &memorySink{err: c.sinkErr}
		if w := send(newReceiver(t, sink, nil).Segment(), "/v1/batch", "good", []byte(c.body)); w.Code != c.status || len(sink.batches) != 0 {
			t.Errorf("%s: status %d, %d batches, want %d", name, w.Code, len(sink.batches), c.status)
		}
	}
}

func FuzzSegment(f *testing.F) {
	f.Add([]byte(`{"batch":[{"type":"track","event":"a","userId":1,"properties":{"a":"b","value":1e999}}],"sentAt":"2026-11-16T09:00:05Z"}`), true)
	f.Add([]byte(`{"userId":"u","anonymousId":"a","event":"e","timestamp":"2026-11-16T09:00:05Z"}`), false)
	f.Fuzz(func(t *testing.T, body []byte, batch bool) {
		path := "/v1/track"
		if batch {
			path = "/v1/batch"
		}
		w := send(newReceiver(t, &memorySink{}, nil).Segment(), path, "good", body)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
