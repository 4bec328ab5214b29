package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// store is a spool and the warehouse behind it, which lags: it knows only what was drained.
type store struct {
	appended, drained []schema.Incident
	down              error
}

func (s *store) Append(_ context.Context, b schema.Batch) error {
	var bad []collectors.RecordError
	for i, in := range b.Incidents {
		if in.Service == "never" || in.Service == "" {
			bad = append(bad, collectors.RecordError{Kind: "incident", Index: i, Err: errors.New("service is missing")})
		}
	}
	if len(bad) > 0 {
		return &collectors.BatchError{Records: bad}
	}
	s.appended = append(s.appended, b.Incidents...)
	return nil
}

func (s *store) known(_ context.Context, from, to time.Time) ([]schema.Incident, error) {
	newest := map[string]schema.Incident{}
	for _, in := range s.drained {
		if in.Start.Before(to) && (in.Resolved.IsZero() || in.Resolved.After(from)) && in.Version > newest[in.ID].Version {
			newest[in.ID] = in
		}
	}
	var out []schema.Incident
	for _, in := range newest {
		out = append(out, in)
	}
	return out, s.down
}

func (s *store) drain() { s.drained = append([]schema.Incident(nil), s.appended...) }

func newReceiver(t *testing.T, s *store, m Mapping) *Receiver {
	t.Helper()
	r, err := New(Config{
		Authenticate: func(_ context.Context, token, endpoint string) (collectors.Grant, error) {
			if token != "secret" || endpoint != collectors.EndpointIncidents {
				return collectors.Grant{}, collectors.ErrUnauthorized
			}
			return collectors.Grant{Name: "am"}, nil
		},
		Sink: s, Known: s.known, Mapping: m, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func post(h http.Handler, body string) (int, string) {
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// told is a notification as Alertmanager writes it, with fields that we do not know.
func told(alerts ...string) string {
	return `{"version":"4","groupKey":"{}","truncatedAlerts":0,"status":"firing","receiver":"kubevalue","groupLabels":{},"externalURL":"http://am","futureField":1,"alerts":[` + strings.Join(alerts, ",") + `]}`
}

func fired(minute, ended int) string {
	status, end := "firing", "0001-01-01T00:00:00Z"
	if ended != 0 {
		status, end = "resolved", now.Add(time.Duration(ended)*time.Minute).Format(time.RFC3339Nano)
	}
	labels, _ := json.Marshal(map[string]string{"alertname": "Slow", "service": "api", "origin": "upstream", "objective": "api-latency"})
	return fmt.Sprintf(`{"status":%q,"labels":%s,"annotations":{"summary":"the API is slow","runbook_url":"http://wiki/slow"},"startsAt":%q,"endsAt":%q,"generatorURL":"http://prom/g","fingerprint":"f1"}`,
		status, labels, now.Add(time.Duration(minute)*time.Minute).Format(time.RFC3339Nano), end)
}

// keptOfSlow is what told and fired say besides.
const keptOfSlow = `{"annotations":{"runbook_url":"http://wiki/slow"},"labels":{"alertname":"Slow","objective":"api-latency","origin":"upstream","service":"api"},` +
	`"notification":{"futureField":1,"groupLabels":{},"receiver":"kubevalue","truncatedAlerts":0}}`

func TestFieldsThatNobodyKnowsAreKept(t *testing.T) {
	huge := strings.Repeat("x", 400)
	var labels []string
	for i := range 50 {
		labels = append(labels, fmt.Sprintf(`"l%02d":%q`, i, huge))
	}
	for name, test := range map[string]struct{ alert, top, want string }{
		"nothing more":                 {`"labels":{"service":"api"}`, ``, `{"labels":{"service":"api"}}`},
		"of the alert":                 {`"labels":{"service":"api"},"novel":{"a":[1,null,2.50]}`, ``, `{"alert":{"novel":{"a":[1,2.50]}},"labels":{"service":"api"}}`},
		"of the notification":          {`"labels":{"service":"api"}`, `"novel":true,"commonLabels":{"a":"b"},"status":"firing",`, `{"labels":{"service":"api"},"notification":{"novel":true}}`},
		"labels of several words":      {`"labels":{"service":"api","region":"EU West"}`, ``, `{"labels":{"region":"EU West","service":"api"}}`},
		"what somebody wrote":          {`"labels":{"service":"api"},"annotations":{"description":"Ann saw it first","severity":"high"},"novel":["two words","one"]`, ``, `{"alert":{"novel":["one"]},"annotations":{"severity":"high"},"labels":{"service":"api"}}`},
		"who it was":                   {`"labels":{"service":"api","user":"ann","User_Name":"ann","contact":"ann@example.com"},"novel":{"author":"ann","n":1}`, ``, `{"alert":{"novel":{"n":1}},"labels":{"service":"api"}}`},
		"whom a name of a field tells": {`"labels":{"service":"api","user-id":"ann"},"novel":{"ann@example.com":1,"n":1}`, `"groupKey":"{}:{user=\"ann\"}","ann@example.com":1,`, `{"alert":{"novel":{"n":1}},"labels":{"service":"api"}}`},
		"a text beyond all bounds":     {`"labels":{"service":"api"},"novel":"` + huge + huge + `"`, ``, `{"labels":{"service":"api"}}`},
		"labels beyond all bounds":     {`"labels":{"service":"api",` + strings.Join(labels, ",") + `}`, ``, `{"labels":{` + strings.Join(labels[:7], ",") + `}}`},
	} {
		s := &store{}
		body := `{"version":"4",` + test.top + `"alerts":[{"status":"firing","startsAt":"2026-03-01T11:00:00Z","fingerprint":"f",` + test.alert + `}]}`
		if code, got := post(newReceiver(t, s, Mapping{}).Alertmanager(), body); code != http.StatusOK {
			t.Fatalf("%s: %d %s", name, code, got)
		}
		if diff := cmp.Diff(test.want, string(s.appended[0].Details)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAnAlertIsOneIncidentHoweverOftenItIsSent(t *testing.T) {
	s := &store{}
	r := newReceiver(t, s, Mapping{})
	for i, c := range []struct{ body, want string }{
		{told(fired(-10, 0)), `{"taken":1,"unchanged":0}`},
		{told(fired(-10, 0)), `{"taken":0,"unchanged":1}`},  // again, before it is in the warehouse
		{told(fired(-11, 0)), `{"taken":0,"unchanged":1}`},  // another Prometheus saw it earlier
		{told(fired(-10, -2)), `{"taken":1,"unchanged":0}`}, // resolved
		{told(fired(-10, -2)), `{"taken":0,"unchanged":1}`}, // by the other Alertmanager, too
		{told(fired(-10, 0)), `{"taken":0,"unchanged":1}`},  // a firing that was late
		{told(fired(-1, 0)), `{"taken":1,"unchanged":0}`},   // it fires again: another incident
		{told(fired(-1, -1)), `{"taken":1,"unchanged":0}`},  // ended before it began, by some clock
		{told(), `{"taken":0,"unchanged":0}`},
	} {
		if code, got := post(r.Alertmanager(), c.body); code != http.StatusOK || got != c.want {
			t.Errorf("notification %d: %d %s, want %s", i, code, got, c.want)
		}
		if i%2 == 1 {
			s.drain()
		}
	}
	want := schema.Incident{
		ID: "alertmanager/f1/" + fmt.Sprint(now.Add(-10*time.Minute).Unix()), Service: "api", Objectives: []string{"api-latency"}, Title: "the API is slow",
		Class: "Slow", Origin: schema.OriginUpstream, Start: now.Add(-10 * time.Minute), Detected: now.Add(-10 * time.Minute), Resolved: now.Add(-2 * time.Minute),
		Links: []string{"http://prom/g", "http://wiki/slow", "http://am"}, Details: json.RawMessage(keptOfSlow), Version: uint64(now.UnixMilli()) + 1,
	}
	if diff := cmp.Diff(want, s.appended[1]); diff != "" {
		t.Errorf("the incident differs (-want +got):\n%s", diff)
	}
	if last := s.appended[len(s.appended)-1]; !last.Resolved.Equal(now) {
		t.Errorf("an alert that ended as it began is resolved at %s", last.Resolved)
	}
}

func TestWhatPeopleSayStays(t *testing.T) {
	s := &store{}
	r := newReceiver(t, s, Mapping{})
	post(r.Alertmanager(), told(fired(-10, 0)))
	id := s.appended[0].ID
	code, got := post(r.Native(), fmt.Sprintf(`{"id":%q,"cause":"a full disk","class":"disk","start":%q,"followups":[{"id":"P-1","owner":"db"}]}`, id, now.Add(-15*time.Minute).Format(time.RFC3339)))
	if code != http.StatusOK || got != `{"taken":1,"unchanged":0}` {
		t.Fatal(code, got)
	}
	s.drain()
	post(r.Alertmanager(), told(fired(-10, -2)))
	last := s.appended[len(s.appended)-1]
	if last.ID != id || last.Cause != "a full disk" || last.Class != "disk" || len(last.Followups) != 1 || last.Service != "api" ||
		!last.Start.Equal(now.Add(-15*time.Minute)) || !last.Resolved.Equal(now.Add(-2*time.Minute)) || last.Version <= s.appended[1].Version {
		t.Errorf("the incident is %+v", last)
	}
	if s.appended[0].Followups != nil || s.appended[0].Cause != "" {
		t.Error("an older version was changed")
	}
}

func TestLabelsAreMapped(t *testing.T) {
	s := &store{}
	r := newReceiver(t, s, Mapping{Service: []string{"app", "team"}, Class: []string{"kind"}, DefaultService: "platform"})
	alert := `{"status":"firing","labels":%s,"annotations":%s,"startsAt":"2026-03-01T11:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":%q}`
	post(r.Alertmanager(), told(fmt.Sprintf(alert, `{"team":"db","kind":"k"}`, `{"app":"shop"}`, "a"), fmt.Sprintf(alert, `{"service":"x"}`, `{}`, "b")))
	if len(s.appended) != 2 || s.appended[0].Service != "shop" || s.appended[0].Class != "k" || s.appended[1].Service != "platform" {
		t.Errorf("incidents %+v", s.appended)
	}
}

func TestBodiesThatAreNoIncidents(t *testing.T) {
	s := &store{}
	r := newReceiver(t, s, Mapping{})
	noService := `{"status":"firing","labels":{"alertname":"A"},"startsAt":"2026-03-01T11:00:00Z","fingerprint":"x"}`
	for _, c := range []struct {
		name string
		h    http.Handler
		body string
		code int
		want string
	}{
		{"HTML", r.Alertmanager(), "<html>", 400, `{"status":"error","code":"bad_request","message":"`},
		{"HTML says what is wanted", r.Alertmanager(), "<html>", 400, "want Alertmanager's webhook, version 4"},
		{"another version", r.Alertmanager(), `{"version":"3"}`, 400, `version \"3\"`},
		{"no fingerprint", r.Alertmanager(), told(`{"status":"firing","startsAt":"2026-03-01T11:00:00Z"}`), 400, "an alert needs fingerprint and startsAt"},
		{"a status that is none", r.Alertmanager(), told(`{"status":"maybe","startsAt":"2026-03-01T11:00:00Z","fingerprint":"x"}`), 400, "must be firing or resolved"},
		{"no service", r.Alertmanager(), told(noService, fired(-5, 0)), 400, `{"taken":1,"unchanged":0,"refused":[{"index":0,"error":"no service: the alert \"A\" has none of the labels or annotations service"}]}`},
		{"no id", r.Native(), `{"service":"api"}`, 400, "id is missing"},
		{"an unknown field", r.Native(), `{"id":"i","service":"api","servize":"x"}`, 400, `unknown field`},
		{"never storable", r.Native(), `[{"id":"i","service":"never"},{"id":"j","service":"api"}]`, 400, `{"taken":1,"unchanged":0,"refused":[{"index":0,"error":"service is missing"}]}`},
		{"neither", r.Native(), `[1`, 400, "want an incident or a list of incidents"},
		{"too large", r.Native(), strings.Repeat(" ", int(DefaultLimits.Wire)+1), 413, "too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, got := post(c.h, c.body); code != c.code || !strings.Contains(got, c.want) {
				t.Errorf("%d %s, want %d %s", code, got, c.code, c.want)
			}
		})
	}
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(told(fired(-5, 0))))
	req.Header.Set("Authorization", "Bearer wrong")
	w := httptest.NewRecorder()
	before := len(s.appended)
	if r.Alertmanager().ServeHTTP(w, req); w.Code != http.StatusUnauthorized || len(s.appended) != before {
		t.Errorf("a wrong token: %d, %d incidents", w.Code, len(s.appended)-before)
	}
	s.down = errors.New("the warehouse is away")
	if code, got := post(r.Alertmanager(), told(fired(-3, 0))); code != http.StatusServiceUnavailable || strings.Contains(got, "warehouse") {
		t.Errorf("without the warehouse: %d %s", code, got)
	}
}
