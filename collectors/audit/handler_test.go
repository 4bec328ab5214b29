package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// memorySink keeps what it is given, or fails.
type memorySink struct {
	batches []schema.Batch
	err     error
}

func (s *memorySink) Append(_ context.Context, b schema.Batch) error {
	if s.err != nil {
		return s.err
	}
	s.batches = append(s.batches, b)
	return nil
}

func (s *memorySink) events() []schema.Event {
	var all []schema.Event
	for _, b := range s.batches {
		all = append(all, b.Events...)
	}
	return all
}

func authenticate(_ context.Context, token, endpoint string) (collectors.Grant, error) {
	switch {
	case endpoint != collectors.EndpointAudit:
		return collectors.Grant{}, errors.New("asked for another endpoint")
	case token == "good":
		return collectors.Grant{Name: "apiserver", Clusters: []string{"prod-1"}}, nil
	case token == "elsewhere":
		return collectors.Grant{}, collectors.ErrForbidden
	case token == "busy":
		return collectors.Grant{}, &collectors.RateLimitError{RetryAfter: 1500 * time.Millisecond}
	}
	return collectors.Grant{}, collectors.ErrUnauthorized
}

func newHandler(t *testing.T, sink collectors.Sink, change func(*Config)) *Handler {
	t.Helper()
	cfg := Config{
		Authenticate: authenticate, Sink: sink,
		Validate: func(e *schema.Event) error {
			if e.Object == "refused" {
				return errors.New("refused")
			}
			return nil
		},
		Limits: collectors.BodyLimits{Wire: 64 << 10, Decoded: 256 << 10, Timeout: time.Minute},
		Now:    func() time.Time { return received },
	}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func post(h http.Handler, path, token string, body []byte, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, bytes.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheWebhookAppendsAndSaysWhatItLeftOut(t *testing.T) {
	sink := &memorySink{}
	registry := prometheus.NewRegistry()
	h := newHandler(t, sink, func(c *Config) { c.Registerer = registry })
	body := list(item(""), item(`"verb":"get"`), item(`"verb":"watch"`), item(`"objectRef":{"name":"refused"}`))
	w := post(h, "/audit/prod-1", "good", body)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if got, want := strings.TrimSpace(w.Body.String()), `{"taken":1,"left_out":{"invalid":1,"read":2}}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	events := sink.events()
	if len(events) != 1 || events[0].Source != "audit/prod-1" || events[0].Received != received {
		t.Errorf("events in the sink: %+v", events)
	}
	err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kubevalue_audit_events_total Audit events received by webhook, by result: taken, or the reason for leaving them out.
# TYPE kubevalue_audit_events_total counter
kubevalue_audit_events_total{result="invalid"} 1
kubevalue_audit_events_total{result="read"} 2
kubevalue_audit_events_total{result="taken"} 1
# HELP kubevalue_audit_last_request_timestamp_seconds When the audit webhook of a cluster last sent something that was taken.
# TYPE kubevalue_audit_last_request_timestamp_seconds gauge
kubevalue_audit_last_request_timestamp_seconds{cluster="prod-1"} `+strconv.FormatInt(received.Unix(), 10)+`
`), "kubevalue_audit_events_total", "kubevalue_audit_last_request_timestamp_seconds")
	if err != nil {
		t.Error(err)
	}
}

func TestOfSoManyClustersTheNewestRequestIsTold(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := newHandler(t, &memorySink{}, func(c *Config) { c.Registerer = registry })
	for i := range maxHeard + 10 {
		h.heard.note("c"+strconv.Itoa(i), received)
	}
	h.heard.note("c0", received.Add(time.Minute))
	if n, err := testutil.GatherAndCount(registry, "kubevalue_audit_last_request_timestamp_seconds"); err != nil || n != maxHeard {
		t.Errorf("%d clusters are told of (%v), want %d", n, err, maxHeard)
	}
	if got, want := testutil.ToFloat64(h.heard.gauges.WithLabelValues("c0")), float64(received.Add(time.Minute).Unix()); got != want {
		t.Errorf("the first one was heard at %v, want %v", got, want)
	}
	h.heard.note("new", received.Add(forgottenAfter+time.Second)) // those that were silent since make room, and the first one was not
	if n, err := testutil.GatherAndCount(registry, "kubevalue_audit_last_request_timestamp_seconds"); err != nil || n != 2 {
		t.Errorf("%d clusters are told of two days later (%v), want 2", n, err)
	}
}

func TestTheWebhookUnpacksGzip(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(list(item("")))
	_ = z.Close()
	sink := &memorySink{}
	if w := post(newHandler(t, sink, nil), "/audit/prod-1", "good", packed.Bytes(), "Content-Encoding", "gzip"); w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if n := len(sink.events()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestTheWebhookWithNothingToKeepAppendsNothing(t *testing.T) {
	sink := &memorySink{}
	if w := post(newHandler(t, sink, nil), "/audit/prod-1/", "good", list()); w.Code != http.StatusOK || len(sink.batches) != 0 {
		t.Errorf("status %d, %d batches", w.Code, len(sink.batches))
	}
}

func TestRefusalsStoreNothing(t *testing.T) {
	bomb := func() []byte {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
		_ = z.Close()
		return packed.Bytes()
	}()
	good := list(item(""))
	for name, c := range map[string]struct {
		path, token string
		body        []byte
		header      []string
		sinkErr     error
		status      int
		retryAfter  string
	}{
		"no token":            {path: "/audit/prod-1", body: good, status: 401},
		"unknown token":       {path: "/audit/prod-1", token: "bad", body: good, status: 401},
		"another endpoint":    {path: "/audit/prod-1", token: "elsewhere", body: good, status: 403},
		"another cluster":     {path: "/audit/prod-2", token: "good", body: good, status: 403},
		"no cluster":          {path: "/audit/", token: "good", body: good, status: 400},
		"a strange cluster":   {path: "/audit/-%00", token: "good", body: good, status: 400},
		"rate used up":        {path: "/audit/prod-1", token: "busy", body: good, status: 429, retryAfter: "2"},
		"not JSON":            {path: "/audit/prod-1", token: "good", body: []byte("{"), status: 400},
		"too large":           {path: "/audit/prod-1", token: "good", body: bytes.Repeat([]byte(" "), 65<<10), status: 413},
		"a gzip bomb":         {path: "/audit/prod-1", token: "good", body: bomb, header: []string{"Content-Encoding", "gzip"}, status: 413},
		"not gzip":            {path: "/audit/prod-1", token: "good", body: good, header: []string{"Content-Encoding", "gzip"}, status: 400},
		"unknown compression": {path: "/audit/prod-1", token: "good", body: good, header: []string{"Content-Encoding", "br"}, status: 415},
		"full spool":          {path: "/audit/prod-1", token: "good", body: good, sinkErr: collectors.ErrFull, status: 503, retryAfter: "5"},
		"broken sink":         {path: "/audit/prod-1", token: "good", body: good, sinkErr: errors.New("secret path"), status: 503, retryAfter: "5"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{err: c.sinkErr}
			w := post(newHandler(t, sink, nil), c.path, c.token, c.body, c.header...)
			if w.Code != c.status || w.Header().Get("Retry-After") != c.retryAfter {
				t.Errorf("status %d, Retry-After %q, want %d, %q: %s", w.Code, w.Header().Get("Retry-After"), c.status, c.retryAfter, w.Body)
			}
			if len(sink.batches) != 0 {
				t.Error("something was stored")
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the answer tells of the inside: %s", w.Body)
			}
		})
	}
}

func TestOnlyPostIsTaken(t *testing.T) {
	w := httptest.NewRecorder()
	newHandler(t, &memorySink{}, nil).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/audit/prod-1", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestAHandlerNeedsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no error")
	}
}

func TestTheRateOfATokenHolds(t *testing.T) {
	tokens, err := collectors.OpenTokens(filepath.Join(t.TempDir(), "tokens.json"), func() time.Time { return received })
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Create(collectors.Grant{Name: "apiserver", Endpoints: []string{collectors.EndpointAudit}, Rate: 10, Expires: received.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	sink := &memorySink{}
	h := newHandler(t, sink, func(c *Config) { c.Authenticate, c.Limits = tokens.Authenticate, DefaultLimits })
	items := make([]string, 1010)
	for i := range items {
		items[i] = item("")
	}
	if w := post(h, "/audit/prod-1", token, list(items...)); w.Code != http.StatusOK {
		t.Fatalf("a burst: status %d: %s", w.Code, w.Body)
	}
	w := post(h, "/audit/prod-1", token, list(item("")))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || len(sink.events()) != 1010 {
		t.Errorf("after the burst: status %d, Retry-After %q, %d events", w.Code, w.Header().Get("Retry-After"), len(sink.events()))
	}
}
