package usage

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const fullEvent = `{"id":"e1","time":"2026-11-16T10:00:00.250+01:00","name":"report.visit","actor":"ann@example.org","actor_kind":"human",
	"groups":["developers"],"team":"shop","owner_team":"platform","persona":"manager","cluster":"prod-1","namespace":"shop","resource":"pods/exec",
	"object":"web-0","outcome":"denied","reason":"quota","duration_ms":12.5,"value":-3,"attributes":{"commit":"abc"}}`

func names(events []schema.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Name)
	}
	return strings.Join(all, ",")
}

func TestAnEventHasAllItsFields(t *testing.T) {
	sink := &memorySink{}
	w := send(newReceiver(t, sink, nil).Native(), "/v1/events", "good", []byte(fullEvent))
	if w.Code != http.StatusAccepted {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	ms, value := 12.5, -3.0
	want := []schema.Event{{
		ID: "e1", Source: "ci", Time: time.Date(2026, 11, 16, 9, 0, 0, 250e6, time.UTC), Received: received, Name: "report.visit",
		Actor: "ann@example.org", ActorKind: schema.ActorHuman, Groups: []string{"developers"}, Team: "shop", OwnerTeam: "platform",
		Persona: "manager", Cluster: "prod-1", Namespace: "shop", Resource: "pods/exec", Object: "web-0",
		Outcome: schema.OutcomeDenied, Reason: "quota", DurationMS: &ms, Value: &value, Attributes: map[string]string{"commit": "abc"},
	}}
	if diff := cmp.Diff(want, sink.events()); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
}

func TestTheLeastEventIsAName(t *testing.T) {
	sink := &memorySink{}
	send(newReceiver(t, sink, nil).Native(), "/v1/events", "good", []byte(`{"name":"a"}`))
	want := []schema.Event{{Source: "ci", Time: received, Received: received, Name: "a", Outcome: schema.OutcomeSuccess}}
	if diff := cmp.Diff(want, sink.events()); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
}

func TestTheFormsOfABody(t *testing.T) {
	for name, c := range map[string]struct{ body, contentType, names string }{
		"one event":               {` {"name":"a"} `, "application/json", "a"},
		"pretty":                  {"{\n  \"name\": \"a\"\n}\n", "", "a"},
		"an array":                {`[{"name":"a"}, {"name":"b"}]`, "application/json", "a,b"},
		"an empty array":          {`[]`, "application/json", ""},
		"wrapped":                 {`{"events":[{"name":"a"},{"name":"b"}]}`, "application/json", "a,b"},
		"lines":                   {"{\"name\":\"a\"}\n\n{\"name\":\"b\"}\r\n", "application/x-ndjson", "a,b"},
		"lines without the end":   {"{\"name\":\"a\"}\n{\"name\":\"b\"}", "application/x-ndjson; charset=utf-8", "a,b"},
		"lines that are not said": {"{\"name\":\"a\"}\n{\"name\":\"b\"}\n", "application/json", "a,b"},
		"one line of lines":       {`{"name":"a"}`, "application/jsonl", "a"},
		"what curl sends":         {`{"name":"a"}`, "application/x-www-form-urlencoded", "a"},
		"null members":            {`{"name":"a","team":null,"value":null,"attributes":null}`, "", "a"},
		"broken text":             {"{\"name\":\"a\xff\"}", "", "a\ufffd"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			w := send(newReceiver(t, sink, nil).Native(), "/v1/events", "good", []byte(c.body), "Content-Type", c.contentType)
			if w.Code != http.StatusAccepted || names(sink.events()) != c.names {
				t.Errorf("status %d, events %q, want 202, %q: %s", w.Code, names(sink.events()), c.names, w.Body)
			}
		})
	}
}

func TestPackedBodies(t *testing.T) {
	body := []byte(`{"name":"a"}`)
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = z.Write(body)
	_ = z.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := map[string][]byte{"gzip": gz.Bytes(), "zstd": encoder.EncodeAll(body, nil), "identity": body}
	sink := &memorySink{}
	h := newReceiver(t, sink, nil).Native()
	for range 3 { // the second and the third use what the first left behind
		for encoding, content := range packed {
			if w := send(h, "/v1/events", "good", content, "Content-Encoding", encoding); w.Code != http.StatusAccepted {
				t.Errorf("%s: status %d: %s", encoding, w.Code, w.Body)
			}
		}
	}
	if n := len(sink.events()); n != 9 {
		t.Errorf("%d events, want 9", n)
	}
}

func TestMalformedEventsAreNamedAndTheOthersKept(t *testing.T) {
	sink := &memorySink{}
	registry := prometheus.NewRegistry()
	h := newReceiver(t, sink, func(c *Config) { c.Registerer = registry }).Native()
	lines := []string{
		`{"name":"first"}`,
		`{"name":5}`,
		`{"name":""}`,
		`{"name":"a","time":"yesterday"}`,
		`{"name":"a","attributes":{"n":1}}`,
		`{"name":"a","groups":"developers"}`,
		`{"name":"a","duration_ms":"12"}`,
		`{"name":"a","namee":"b"}`,
		`{"name":"a","ann@example.org":"b"}`,
		`{"name":"a"`,
		`{"name":"a"} {"name":"b"}`,
		`null`,
		`7`,
		`{"name":"` + strings.Repeat("x", 201) + `"}`,
		`{"name":"a","object":"` + strings.Repeat("x", 4<<10) + `"}`,
		`{"name":"a","time":"2026-10-01T00:00:00Z"}`,
		`{"name":"deployment","attributes":{"commit":"abc","commit_time":"now","environment":"prod"}}`,
		`{"name":"last"}`,
	}
	w := send(h, "/v1/events", "good", []byte(strings.Join(lines, "\n")), "Content-Type", "application/x-ndjson")
	if w.Code != http.StatusBadRequest || names(sink.events()) != "first,last" {
		t.Fatalf("status %d, events %q: %s", w.Code, names(sink.events()), w.Body)
	}
	var got nativeResult
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := nativeResult{Accepted: 2, Rejected: 16, Errors: []eventFault{
		{1, "name: want a string"},
		{2, "name: missing"},
		{3, "time: want RFC 3339 with an offset, such as 2026-11-16T09:00:00Z"},
		{4, "attributes: want an object whose values are strings"},
		{5, "groups: want a list of strings"},
		{6, "duration_ms: want a number"},
		{7, "unknown field namee: see GET /v1/events/schema; further facts belong into attributes"},
		{8, "unknown field: see GET /v1/events/schema; further facts belong into attributes"},
		{9, "invalid JSON at byte 11: want a value"},
		{10, "invalid JSON at byte 13: want the end"},
		{11, "want a JSON object"},
		{12, "want a JSON object"},
		{13, "name: more than 200 bytes"},
		{14, "4120 bytes: want at most 4096"},
		{15, "time: more than 30 days ago: older events need a token with backfill"},
		{16, "attributes.commit_time: want RFC 3339 with an offset, such as 2026-11-16T09:00:00Z"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer differs (-want +got):\n%s", diff)
	}
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kubevalue_usage_events_total Usage events received, by protocol and result: accepted, or why not.
# TYPE kubevalue_usage_events_total counter
kubevalue_usage_events_total{protocol="native",result="accepted"} 2
kubevalue_usage_events_total{protocol="native",result="invalid"} 15
kubevalue_usage_events_total{protocol="native",result="late"} 1
`), "kubevalue_usage_events_total")
	if err != nil {
		t.Error(err)
	}
}

// TestRefusalsSayWhatBecameOfTheRest looks at the message that stands for the whole body.
func TestRefusalsSayWhatBecameOfTheRest(t *testing.T) {
	deep := `{"name":"a","attributes":` + strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000) + `}`
	for body, want := range map[string]string{
		`{"id":"1"}`:                      `"message":"1 of 1 events are refused, see errors; nothing is stored"`,
		`[{"name":"a"},{"id":"1"}]`:       `"message":"1 of 2 events are refused, see errors; the others are stored"`,
		``:                                `"message":"the body is empty: want events as JSON"`,
		`"text"`:                          `"message":"want an event, an array of events, or one event a line"`,
		`{"name":`:                        `"message":"invalid JSON at byte 8: want a value"`,
		deep:                              `want a value, nested less than 4096 deep"`,
		`{"events":[{"name":"a"}],"b":1}`: `"message":"want no other member beside events"`,
	} {
		w := send(newReceiver(t, &memorySink{}, nil).Native(), "/", "good", []byte(body))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%.40s: %d %s, want %s", body, w.Code, w.Body, want)
		}
	}
}

func TestAMalformedEventOfAnArrayIsNamedToo(t *testing.T) {
	sink := &memorySink{}
	w := send(newReceiver(t, sink, nil).Native(), "/v1/events", "good", []byte(`[{"name":"a"},{"name":[]},{"name":"b"}]`))
	if got, want := strings.TrimSpace(w.Body.String()), `{"status":"error","code":"invalid_record","message":"1 of 3 events are refused, see errors; the others are stored","accepted":2,"rejected":1,"errors":[{"index":1,"reason":"name: want a string"}]}`; w.Code != 400 || got != want {
		t.Errorf("status %d: %s, want 400: %s", w.Code, got, want)
	}
	if names(sink.events()) != "a,b" {
		t.Errorf("events %q", names(sink.events()))
	}
}

func TestAGrantBoundsTeamsClustersAndAge(t *testing.T) {
	h := func(sink *memorySink) http.Handler { return newReceiver(t, sink, nil).Native() }
	for name, c := range map[string]struct {
		token, event string
		status       int
	}{
		"its team":           {"shop", `{"name":"a","team":"shop"}`, 202},
		"no team":            {"shop", `{"name":"a"}`, 202},
		"another team":       {"shop", `{"name":"a","team":"bank"}`, 400},
		"another owner":      {"shop", `{"name":"a","owner_team":"bank"}`, 400},
		"its cluster":        {"shop", `{"name":"a","cluster":"prod-1"}`, 202},
		"another cluster":    {"shop", `{"name":"a","cluster":"prod-2"}`, 400},
		"old":                {"good", `{"name":"a","time":"2026-10-17T09:00:04Z"}`, 400},
		"just not too old":   {"good", `{"name":"a","time":"2026-10-17T09:00:05Z"}`, 202},
		"old, with backfill": {"backfill", `{"name":"a","time":"2020-01-01T00:00:00Z"}`, 202},
		"in the future":      {"good", `{"name":"a","time":"2030-01-01T00:00:00Z"}`, 202},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			w := send(h(sink), "/v1/events", c.token, []byte(c.event))
			if len(sink.batches) == 1 && sink.batches[0].Backfill != (c.token == "backfill") {
				t.Errorf("backfill %v for the token %q", sink.batches[0].Backfill, c.token)
			}
			if w.Code != c.status || (len(sink.events()) == 1) != (c.status == 202) {
				t.Errorf("status %d, %d events, want %d: %s", w.Code, len(sink.events()), c.status, w.Body)
			}
			if strings.Contains(w.Body.String(), "bank") {
				t.Errorf("the answer repeats a value: %s", w.Body)
			}
		})
	}
}

func TestRefusalsStoreNothing(t *testing.T) {
	good := []byte(`{"name":"a"}`)
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = z.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	many := []byte("[" + strings.Repeat(`{"name":"a"},`, 100) + `{"name":"a"}]`)
	for name, c := range map[string]struct {
		token      string
		body       []byte
		header     []string
		sinkErr    error
		status     int
		retryAfter string
	}{
		"no token":             {body: good, status: 401},
		"unknown token":        {token: "bad", body: good, status: 401},
		"another endpoint":     {token: "elsewhere", body: good, status: 403},
		"rate used up":         {token: "busy", body: good, status: 429, retryAfter: "1"},
		"empty":                {token: "good", body: nil, status: 400},
		"no events":            {token: "good", body: []byte(`"text"`), status: 400},
		"not JSON":             {token: "good", body: []byte(`{"name":`), status: 400},
		"a broken array":       {token: "good", body: []byte(`[{"name":"a"},{]`), status: 400},
		"an array and more":    {token: "good", body: []byte(`[{"name":"a"}] x`), status: 400},
		"more than the events": {token: "good", body: []byte(`{"events":[{"name":"a"}],"x":1}`), status: 400},
		"events among others":  {token: "good", body: []byte(`{"name":"a","events":[{"name":"b"}]}`), status: 400},
		"too many events":      {token: "good", body: many, status: 413},
		"too many lines":       {token: "good", body: bytes.Repeat([]byte("{}\n"), 101), status: 413},
		"deep":                 {token: "good", body: bytes.Repeat([]byte("["), 60<<10), status: 400},
		"deep attributes":      {token: "good", body: []byte(`{"name":"a","attributes":` + strings.Repeat(`{"a":`, 10<<10)), status: 400},
		"too large":            {token: "good", body: bytes.Repeat([]byte(" "), 65<<10), status: 413},
		"a gzip bomb":          {token: "good", body: gz.Bytes(), header: []string{"Content-Encoding", "gzip"}, status: 413},
		"a zstd bomb": {
			token: "good", body: encoder.EncodeAll(bytes.Repeat([]byte(" "), 1<<20), nil), header: []string{"Content-Encoding", "zstd"}, status: 413,
		},
		"not zstd":     {token: "good", body: good, header: []string{"Content-Encoding", "zstd"}, status: 400},
		"packed twice": {token: "good", body: good, header: []string{"Content-Encoding", "gzip, gzip"}, status: 415},
		"full spool":   {token: "good", body: good, sinkErr: collectors.ErrFull, status: 503, retryAfter: "5"},
		"broken sink":  {token: "good", body: good, sinkErr: errors.New("secret path"), status: 503, retryAfter: "5"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{err: c.sinkErr}
			w := send(newReceiver(t, sink, nil).Native(), "/v1/events", c.token, c.body, c.header...)
			if w.Code != c.status || w.Header().Get("Retry-After") != c.retryAfter {
				t.Errorf("status %d, Retry-After %q, want %d, %q: %s", w.Code, w.Header().Get("Retry-After"), c.status, c.retryAfter, w.Body)
			}
			if len(sink.batches) != 0 {
				t.Error("something was stored")
			}
			if body := w.Body.String(); strings.Contains(body, "secret") || len(body) > 300 {
				t.Errorf("the answer tells too much: %s", body)
			}
		})
	}
}

func TestOnlyPostIsTaken(t *testing.T) {
	w := httptest.NewRecorder()
	newReceiver(t, &memorySink{}, nil).Native().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/events", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestTheSchemaSaysWhatIsTaken(t *testing.T) {
	const golden = "testdata/event.schema.json"
	w := httptest.NewRecorder()
	newReceiver(t, &memorySink{}, nil).Schema().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events/schema", nil))
	if *update {
		if err := os.WriteFile(golden, w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), w.Body.String()); diff != "" || w.Code != http.StatusOK {
		t.Errorf("status %d; the schema differs (-want +got), renew it by `go test ./collectors/usage -update`:\n%s", w.Code, diff)
	}
	var document struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal([]byte(fullEvent), &event); err != nil {
		t.Fatal(err)
	}
	for name := range document.Defs["event"].Properties {
		delete(event, name)
	}
	if len(document.Defs["event"].Properties) == 0 || len(event) > 0 {
		t.Errorf("the schema lacks %v", event)
	}
}

func FuzzNative(f *testing.F) {
	for _, seed := range []string{
		fullEvent, `[{"name":"a"},{"name":5}]`, `{"events":[{"name":"a"}]}`, "{\"name\":\"a\"}\n{\"name\"", `[[[[`, `{"name":"a","attributes":{"a":{}}}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		contentType := "application/json"
		if lines {
			contentType = "application/x-ndjson"
		}
		sink := &memorySink{}
		w := send(newReceiver(t, sink, nil).Native(), "/v1/events", "good", body, "Content-Type", contentType)
		switch w.Code {
		case http.StatusAccepted, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		for _, e := range sink.events() {
			if e.Name == "" || e.Time.IsZero() || e.Outcome == "" {
				t.Errorf("incomplete event %+v", e)
			}
		}
	})
}

func BenchmarkNative(b *testing.B) {
	var body bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&body, `{"id":"%d","time":"2026-11-16T09:00:00Z","name":"report.visit","actor":"user-%d","team":"shop","cluster":"prod-1","namespace":"shop","attributes":{"page":"start"}}`+"\n", i, i%50)
	}
	h := newReceiver(b, discard{}, func(c *Config) { c.MaxEvents, c.Limits = 1000, DefaultLimits }).Native()
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if w := send(h, "/v1/events", "good", body.Bytes(), "Content-Type", "application/x-ndjson"); w.Code != http.StatusAccepted {
			b.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}
}

func TestTheRateOfATokenHolds(t *testing.T) {
	tokens, err := collectors.OpenTokens(filepath.Join(t.TempDir(), "tokens.json"), func() time.Time { return received })
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Create(collectors.Grant{Name: "ci", Endpoints: []string{collectors.EndpointEvents}, Rate: 10, Expires: received.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	sink := &memorySink{}
	h := newReceiver(t, sink, func(c *Config) { c.Authenticate, c.MaxEvents = tokens.Authenticate, 2000 }).Native()
	many := bytes.Repeat([]byte("{\"name\":\"a\"}\n"), 1010)
	if w := send(h, "/v1/events", token, many); w.Code != http.StatusAccepted {
		t.Fatalf("a burst: status %d: %s", w.Code, w.Body)
	}
	w := send(h, "/v1/events", token, []byte(`{"name":"a"}`))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || len(sink.events()) != 1010 {
		t.Errorf("after the burst: status %d, Retry-After %q, %d events", w.Code, w.Header().Get("Retry-After"), len(sink.events()))
	}
}

// TestEventsOfOneBodyDoNotReachAnother sends bodies of many senders at once, whose memory is used in turn.
func TestEventsOfOneBodyDoNotReachAnother(t *testing.T) {
	const senders, bodies, events = 4, 20, 30
	sink := &memorySink{}
	h := newReceiver(t, sink, nil).Native()
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for body := range bodies {
				var lines bytes.Buffer
				for i := range events {
					fmt.Fprintf(&lines, `{"id":"%d-%d-%d","name":"n","object":"%d","attributes":{"sender":"%d","i":"%d"}}`+"\n", sender, body, i, sender, sender, i%3)
				}
				if w := send(h, "/v1/events", "good", lines.Bytes(), "Content-Type", "application/x-ndjson"); w.Code != http.StatusAccepted {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, e := range sink.events() {
		var sender, body, i int
		if _, err := fmt.Sscanf(e.ID, "%d-%d-%d", &sender, &body, &i); err != nil || seen[e.ID] {
			t.Fatalf("id %q, error %v", e.ID, err)
		}
		seen[e.ID] = true
		want := map[string]string{"sender": strconv.Itoa(sender), "i": strconv.Itoa(i % 3)}
		if e.Object != strconv.Itoa(sender) || !maps.Equal(e.Attributes, want) {
			t.Errorf("event %s has object %q and attributes %v", e.ID, e.Object, e.Attributes)
		}
	}
	if len(seen) != senders*bodies*events {
		t.Errorf("%d events, want %d", len(seen), senders*bodies*events)
	}
}
