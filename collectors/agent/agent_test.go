package agent_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/agent"
	"github.com/kubevalue/kubevalue/schema"
)

type memorySink struct {
	batches []schema.Batch
	err     error
}

func (m *memorySink) Append(_ context.Context, b schema.Batch) error {
	if m.err == nil {
		m.batches = append(m.batches, b)
	}
	return m.err
}

func serve(sink *memorySink, token, body string) *httptest.ResponseRecorder {
	authenticate := func(_ context.Context, token, endpoint string) (collectors.Grant, error) {
		if token != "good" || endpoint != collectors.EndpointAgent {
			return collectors.Grant{}, collectors.ErrUnauthorized
		}
		return collectors.Grant{Backfill: true, Clusters: []string{"prod-eu"}, Teams: []string{"payments"}}, nil
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/v1/agent", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	agent.New(agent.Config{Authenticate: authenticate, Sink: sink, SliceSeconds: func(indicator, revision string) uint32 {
		return map[string]uint32{"api/r1": 60}[indicator+"/"+revision]
	}}).ServeHTTP(w, r)
	return w
}

func TestAgentTakesSlicesAndIncidents(t *testing.T) {
	sink := &memorySink{}
	w := serve(sink, "good", `{"slices":[{"indicator":"api","revision":"r1","start":"2026-03-01T00:00:00Z","seconds":60,"good":5,"total":6,"version":1}],
		"incidents":[{"id":"INC-1","service":"api","start":"2026-03-01T00:00:00Z","version":2}]}`)
	if w.Code != http.StatusAccepted {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	want := []schema.Batch{{
		Slices:    []schema.Slice{{Indicator: "api", Revision: "r1", Start: at, Seconds: 60, Good: 5, Total: 6, State: schema.SliceMeasured, Version: 1}},
		Incidents: []schema.Incident{{ID: "INC-1", Service: "api", Start: at, Origin: schema.OriginUnknown, Version: 2}},
		Backfill:  true,
	}}
	if diff := cmp.Diff(want, sink.batches); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

// The example in the README is what the door takes.
func TestTheExampleIsTaken(t *testing.T) {
	example, err := os.ReadFile("testdata/example.json")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), strings.TrimSpace(string(example))) {
		t.Error("README.md does not show collectors/agent/testdata/example.json")
	}
	sink := &memorySink{}
	if w := serve(sink, "good", string(example)); w.Code != http.StatusAccepted || w.Body.String() != "{\"taken\":7}\n" {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	b := sink.batches[0]
	if len(b.Slices) != 1 || len(b.Incidents) != 1 || len(b.Changes) != 2 || len(b.Consumption) != 1 || len(b.Feedback) != 2 {
		t.Fatalf("got %+v", b)
	}
	for _, c := range b.Changes {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, f := range b.Feedback {
		if err := f.Validate(); err != nil {
			t.Error(err)
		}
	}
	if err := b.Consumption[0].Validate(); err != nil {
		t.Error(err)
	}
	web := b.Changes[1]
	want := schema.ResourceChange{
		Resource: schema.Resource{
			Cluster: "prod-eu", Region: "eu", Kind: schema.KindDeployment, UID: "9d1c4c3e", Namespace: "payments", Name: "web", Team: "payments",
			Created: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), Desired: new(int64(3)), Available: new(int64(3)), Revision: "7",
			Rollout: schema.RolloutSucceeded, Attributes: map[string]string{"rollout_reason": "template"},
		},
		Change: schema.ChangeRolloutSucceeded, Key: "7", Time: time.Date(2026, 11, 20, 14, 3, 0, 0, time.UTC), Reason: "template", DurationMS: new(61000.0),
	}
	if diff := cmp.Diff(want, web); diff != "" {
		t.Errorf("the rollout (-want +got):\n%s", diff)
	}
}

func TestAgentRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		token, body string
		sink        error
		code        int
		says        string
	}{
		"a wrong token":          {"bad", `{"slices":[]}`, nil, http.StatusUnauthorized, "unauthorized"},
		"an unknown key":         {"good", `{"slice":[]}`, nil, http.StatusBadRequest, `unknown field \"slice\"`},
		"an empty body":          {"good", ``, nil, http.StatusBadRequest, "EOF"},
		"nothing in it":          {"good", `{}`, nil, http.StatusBadRequest, "holds nothing"},
		"another cluster":        {"good", `{"changes":[{"cluster":"prod-us"}]}`, nil, http.StatusForbidden, `cluster \"prod-us\"`},
		"another team":           {"good", `{"changes":[{"cluster":"prod-eu","team":"search"}]}`, nil, http.StatusForbidden, `team \"search\"`},
		"another team's ticket":  {"good", `{"feedback":[{"kind":"ticket","id":"1","team":"search"}]}`, nil, http.StatusForbidden, `feedback 0 is of team \"search\"`},
		"a change's unknown key": {"good", `{"changes":[{"cluster":"prod-eu","colour":"red"}]}`, nil, http.StatusBadRequest, `unknown field \"colour\"`},
		"a slice without good":   {"good", `{"slices":[{"indicator":"a","state":"gap"},{"indicator":"a","total":5}]}`, nil, http.StatusBadRequest, "1 record refused; slice 1: good or total is missing"},
		"a slice without total":  {"good", `{"slices":[{"indicator":"a","good":5}]}`, nil, http.StatusBadRequest, "slice 0: good or total is missing"},
		"counts of null":         {"good", `{"slices":[{"indicator":"a","good":null,"total":null}]}`, nil, http.StatusBadRequest, "slice 0: good or total is missing"},
		"slices of another length": {"good", `{"slices":[{"indicator":"api","revision":"r1","seconds":60,"state":"gap"},{"indicator":"api","revision":"r1","seconds":300,"state":"gap"},{"indicator":"api","revision":"r2","seconds":300,"state":"gap"}]}`, nil, http.StatusBadRequest,
			"1 record refused; slice 1: 300 seconds: objectives take the slices of api, revision r1, to be of 60"},
		"two objects":              {"good", `{"slices":[{"indicator":"a","state":"gap"}]}{}`, nil, http.StatusBadRequest, "more behind"},
		"a full spool":             {"good", `{"slices":[{"indicator":"a","state":"gap"}]}`, collectors.ErrFull, http.StatusServiceUnavailable, "full"},
		"what can never be stored": {"good", `{"slices":[{"indicator":"a","state":"gap"}]}`, &collectors.BatchError{Records: []collectors.RecordError{{Kind: "slice", Err: context.Canceled}}}, http.StatusBadRequest, "slice 0"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{err: tc.sink}
			w := serve(sink, tc.token, tc.body)
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("answered %d %s, want %d with %q", w.Code, w.Body, tc.code, tc.says)
			}
			if len(sink.batches) > 0 {
				t.Errorf("%d batches were stored", len(sink.batches))
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"slices":[{"indicator":"api","revision":"r1","start":"2026-03-01T00:00:00Z","seconds":60,"good":5,"total":6}]}`))
	f.Add([]byte(`{"changes":[{"cluster":"c","kind":"Node","uid":"1","name":"n","change":"observed","time":"2026-03-01T00:00:00Z","labels":{"a":"b"}}]}`))
	f.Add([]byte(`{"incidents":[{"id":"INC-1","followups":[{"id":"a"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := agent.Decode(body); err == nil && b.Len() == 0 {
			t.Errorf("an empty batch was taken from %q", body)
		}
	})
}
