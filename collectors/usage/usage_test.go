package usage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

var received = time.Date(2026, 11, 16, 9, 0, 5, 0, time.UTC)

// memorySink keeps what it is given, or fails.
type memorySink struct {
	mu      sync.Mutex
	batches []schema.Batch
	err     error
}

func (s *memorySink) Append(_ context.Context, b schema.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	// They are the caller's again, texts included.
	text, err := json.Marshal(b.Events)
	if err != nil {
		return err
	}
	b.Events = nil
	if err := json.Unmarshal(text, &b.Events); err != nil {
		return err
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

func (s *memorySink) aliases() []schema.Alias {
	var all []schema.Alias
	for _, b := range s.batches {
		all = append(all, b.Aliases...)
	}
	return all
}

// authenticate knows the tokens of the tests; every endpoint is allowed but for the token "elsewhere".
func authenticate(_ context.Context, token, _ string) (collectors.Grant, error) {
	grant := collectors.Grant{Name: "ci", Source: "ci"}
	switch token {
	case "good":
	case "shop":
		grant.Teams, grant.Clusters = []string{"shop"}, []string{"prod-1"}
	case "backfill":
		grant.Backfill = true
	case "elsewhere":
		return collectors.Grant{}, collectors.ErrForbidden
	case "busy":
		return collectors.Grant{}, &collectors.RateLimitError{RetryAfter: 200 * time.Millisecond}
	default:
		return collectors.Grant{}, collectors.ErrUnauthorized
	}
	return grant, nil
}

func newReceiver(t testing.TB, sink collectors.Sink, change func(*Config)) *Receiver {
	t.Helper()
	cfg := Config{
		Authenticate: authenticate, Sink: sink,
		Validate: func(e *schema.Event) error {
			if len(e.Name) > 200 {
				return errors.New("name: more than 200 bytes")
			}
			return nil
		},
		Limits:    collectors.BodyLimits{Wire: 64 << 10, Decoded: 256 << 10, Timeout: time.Minute},
		MaxEvents: 100, EventBytes: 4 << 10,
		Now: func() time.Time { return received },
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send posts a body with a bearer token and further headers, given as name and value in turn.
func send(h http.Handler, path, token string, body []byte, header ...string) *httptest.ResponseRecorder {
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

func TestAReceiverNeedsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no error")
	}
}

// discard takes everything and keeps nothing.
type discard struct{}

func (discard) Append(context.Context, schema.Batch) error { return nil }
