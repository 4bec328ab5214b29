package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// receiver is a server that answers from a list, the last answer for ever.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int
	bodies  []string
	keys    []string
	paths   []string
}

func newReceiver(t *testing.T, answers ...int) *receiver {
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.keys, r.paths = append(r.bodies, string(body)), append(r.keys, req.Header.Get("Idempotency-Key")), append(r.paths, req.URL.Path)
		status := r.answers[0]
		if len(r.answers) > 1 {
			r.answers = r.answers[1:]
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "because")
	}))
	t.Cleanup(r.Close)
	return r
}

func alertsNamed(n int) []Alert {
	var out []Alert
	for i := range n {
		k := Key{Burn, fmt.Sprintf("o%d", i), "", "page"}
		out = append(out, Alert{Key: k, Labels: labels(k, Input{}), Annotations: map[string]string{"summary": "s"}, StartsAt: start, Link: "http://k"})
	}
	return out
}

func TestAlertmanagersGetEveryAlertInBatches(t *testing.T) {
	one, two := newReceiver(t, 200), newReceiver(t, 200)
	a := &Alertmanager{URLs: []string{one.URL, two.URL + "/prefix/"}, Interval: 2 * time.Minute}
	all := alertsNamed(600)
	all[1].EndsAt = start.Add(time.Minute)
	if err := a.Send(t.Context(), start.Add(time.Hour), all); err != nil {
		t.Fatal(err)
	}
	if two.paths[0] != "/prefix/api/v2/alerts" || one.paths[0] != "/api/v2/alerts" {
		t.Errorf("paths %s, %s", one.paths[0], two.paths[0])
	}
	for _, r := range []*receiver{one, two} {
		var sizes []int
		for i, body := range r.bodies {
			var got []postable
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(got))
			if i == 0 && (!got[0].EndsAt.Equal(start.Add(time.Hour+8*time.Minute)) || !got[1].EndsAt.Equal(start.Add(time.Minute)) || !got[0].StartsAt.Equal(start) || got[0].GeneratorURL != "http://k") {
				t.Errorf("first alerts %+v %+v", got[0], got[1])
			}
		}
		if fmt.Sprint(sizes) != "[256 256 88]" {
			t.Errorf("batches %v", sizes)
		}
	}
	if err := a.Send(t.Context(), start, nil); err != nil || len(one.bodies) != 3 {
		t.Errorf("no alerts: %v, %d requests", err, len(one.bodies))
	}
	// The shortest expiry is four minutes.
	short := &Alertmanager{URLs: []string{one.URL}, Interval: time.Second}
	if err := short.Send(t.Context(), start, alertsNamed(1)); err != nil || !strings.Contains(one.bodies[3], start.Add(4*time.Minute).Format(time.RFC3339)) {
		t.Errorf("%v: %s", err, one.bodies[3])
	}
}

func TestAlertmanagerRetries(t *testing.T) {
	for name, c := range map[string]struct {
		answers  []int
		requests int
		err      string
	}{
		"an error that passes":     {[]int{503, 429, 200}, 3, ""},
		"an error that stays":      {[]int{500}, 3, "answered 500 Internal Server Error: because"},
		"a bad alert is final":     {[]int{400, 200}, 1, "answered 400 Bad Request: because"},
		"a wrong address is final": {[]int{404}, 1, "answered 404"},
	} {
		t.Run(name, func(t *testing.T) {
			r, healthy := newReceiver(t, c.answers...), newReceiver(t, 200)
			a := &Alertmanager{URLs: []string{r.URL, healthy.URL}, Wait: time.Millisecond}
			err := a.Send(t.Context(), start, alertsNamed(1))
			if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), r.URL)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if len(r.bodies) != c.requests || len(healthy.bodies) != 1 {
				t.Errorf("%d requests, and %d to the healthy replica", len(r.bodies), len(healthy.bodies))
			}
		})
	}
}

// refusing is a transport that never reaches anybody.
type refusing struct{ n int }

func (r *refusing) RoundTrip(*http.Request) (*http.Response, error) {
	r.n++
	return nil, errors.New("connection refused")
}

func TestAlertmanagerWaitsLongerEachTimeAndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := &refusing{}
		a := &Alertmanager{URLs: []string{"http://alertmanager:9093"}, Client: &http.Client{Transport: away}, Attempts: 4}
		began := time.Now()
		if err := a.Send(t.Context(), start, alertsNamed(1)); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error %v", err)
		}
		if waited := time.Since(began); away.n != 4 || waited != 3500*time.Millisecond {
			t.Errorf("%d attempts in %s, want 4 in 3.5s", away.n, waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Send(ctx, start, alertsNamed(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// claims are shared by replicas and survive restarts.
type claims struct {
	mu  sync.Mutex
	ids map[string]time.Time // zero: delivered
	now func() time.Time
}

func (c *claims) Claim(_ context.Context, id string, until time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.ids[id]; ok && (t.IsZero() || t.After(c.now())) {
		return false, nil
	}
	c.ids[id] = until
	return true, nil
}

func (c *claims) Delivered(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[id] = time.Time{}
	return nil
}

func (c *claims) Release(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ids, id)
	return nil
}

func TestWebhooksNotifyEachChangeOnce(t *testing.T) {
	r := newReceiver(t, 503, 200)
	now := start
	shared := &claims{ids: map[string]time.Time{}, now: func() time.Time { return now }}
	replica := func() *Webhook {
		return &Webhook{Name: "chat", URL: r.URL, Headers: map[string]string{"Authorization": "Bearer x"}, Claims: shared}
	}
	firing := alertsNamed(1)
	if err := replica().Send(t.Context(), now, firing); err == nil || !strings.Contains(err.Error(), "webhook "+r.URL+": ErrorBudgetBurn o0 (page): answered 503") {
		t.Errorf("first: %v", err)
	}
	for range 5 { // restarts and replicas
		if err := replica().Send(t.Context(), now, firing); err != nil {
			t.Fatal(err)
		}
		now = now.Add(claimFor)
	}
	resolved := alertsNamed(1)
	resolved[0].EndsAt = start.Add(time.Hour)
	for range 3 {
		if err := replica().Send(t.Context(), now, resolved); err != nil {
			t.Fatal(err)
		}
	}
	again := alertsNamed(1)
	again[0].StartsAt = start.Add(2 * time.Hour)
	if err := replica().Send(t.Context(), now, again); err != nil {
		t.Fatal(err)
	}
	quiet := alertsNamed(1)
	quiet[0].StartsAt, quiet[0].EndsAt, quiet[0].Labels[labelSendResolved] = start.Add(3*time.Hour), start.Add(4*time.Hour), "false"
	if err := replica().Send(t.Context(), now, quiet); err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for i, body := range r.bodies {
		var n notification
		if err := json.Unmarshal([]byte(body), &n); err != nil || n.ID != r.keys[i] || n.Objective != "o0" || n.Version != "1" {
			t.Fatalf("%s: %v", body, err)
		}
		statuses = append(statuses, n.Status)
	}
	if got := strings.Join(statuses, " "); got != "firing firing resolved firing" {
		t.Errorf("posted %s (the first was answered 503)", got)
	}
	if r.keys[0] != r.keys[1] || r.keys[1] == r.keys[3] {
		t.Errorf("keys %v", r.keys)
	}
}

func TestAWebhookThatRefusesIsNotAskedAgainAndADeadReplicaDoesNotBlock(t *testing.T) {
	r := newReceiver(t, 400)
	now := start
	shared := &claims{ids: map[string]time.Time{}, now: func() time.Time { return now }}
	w := &Webhook{Name: "chat", URL: r.URL, Claims: shared}
	if err := w.Send(t.Context(), now, alertsNamed(2)); err == nil || !strings.Contains(err.Error(), "o1") {
		t.Errorf("both failures are told: %v", err)
	}
	if err := w.Send(t.Context(), now, alertsNamed(2)); err != nil || len(r.bodies) != 2 {
		t.Errorf("asked again: %v, %d requests", err, len(r.bodies))
	}
	// Another replica claimed the third alert and died.
	third := alertsNamed(3)[2:]
	if ok, err := shared.Claim(t.Context(), w.id(third[0], "firing"), now.Add(claimFor)); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := w.Send(t.Context(), now, third); err != nil || len(r.bodies) != 2 {
		t.Errorf("delivered what another replica had claimed: %v", err)
	}
	now = now.Add(claimFor)
	if err := w.Send(t.Context(), now, third); err == nil || len(r.bodies) != 3 {
		t.Errorf("the claim has lapsed: %v, %d requests", err, len(r.bodies))
	}
}
