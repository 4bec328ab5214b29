package usage

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

func ceSample(t *testing.T, id string) cloudevents.Event {
	t.Helper()
	e := cloudevents.NewEvent()
	e.SetID(id)
	e.SetSource("/portal/%E2%82%AC")
	e.SetType("report.read")
	e.SetSubject("costs 100%")
	e.SetTime(received.Add(-time.Minute))
	e.SetExtension("team", "shop")
	e.SetExtension("authid", "ann")
	e.SetExtension("authtype", "user")
	if err := e.SetData(cloudevents.ApplicationJSON, map[string]any{"page": "start", "value": 2.5, "owner_team": "platform", "list": []int{1}}); err != nil {
		t.Fatal(err)
	}
	return e
}

func ceWant(id string) schema.Event {
	value := 2.5
	return schema.Event{
		ID: cloudID("/portal/%E2%82%AC", id), Source: "ci", Time: received.Add(-time.Minute), Received: received, Name: "report.read", Object: "costs 100%",
		Team: "shop", Actor: "ann", ActorKind: schema.ActorHuman, OwnerTeam: "platform", Value: &value, Outcome: schema.OutcomeSuccess,
		Attributes: map[string]string{"page": "start", AttributeCESource: "/portal/%E2%82%AC"},
	}
}

func TestTheCloudEventsSDKWorks(t *testing.T) {
	for name, mode := range map[string]func(context.Context) context.Context{
		"binary": cloudevents.WithEncodingBinary, "structured": cloudevents.WithEncodingStructured,
	} {
		t.Run(name, func(t *testing.T) {
			sink := &memorySink{}
			server := httptest.NewServer(newReceiver(t, sink, nil).CloudEvents())
			defer server.Close()
			client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(server.URL), cehttp.WithHeader("Authorization", "Bearer good"))
			if err != nil {
				t.Fatal(err)
			}
			if result := client.Send(mode(t.Context()), ceSample(t, "e1")); cloudevents.IsUndelivered(result) || !cloudevents.IsACK(result) {
				t.Fatalf("send: %v", result)
			}
			if diff := cmp.Diff([]schema.Event{ceWant("e1")}, sink.events()); diff != "" {
				t.Errorf("events differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheCloudEventsSDKsBatchWorks(t *testing.T) {
	sink := &memorySink{}
	server := httptest.NewServer(newReceiver(t, sink, nil).CloudEvents())
	defer server.Close()
	request, err := cehttp.NewHTTPRequestFromEvents(t.Context(), server.URL, []cloudevents.Event{ceSample(t, "e1"), ceSample(t, "e2")})
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer good")
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if diff := cmp.Diff([]schema.Event{ceWant("e1"), ceWant("e2")}, sink.events()); diff != "" || response.StatusCode != http.StatusAccepted {
		t.Errorf("status %d, events differ (-want +got):\n%s", response.StatusCode, diff)
	}
}

func TestCloudEventsOfOneBatchAreJudgedOneByOne(t *testing.T) {
	const good = `{"specversion":"1.0","id":"1","source":"s","type":"a"}`
	body := `[` + good + `,{"specversion":"0.3","id":"1","source":"s","type":"a"},{"specversion":"1.0","source":"s","type":"a"},7,` +
		`{"specversion":"1.0","id":"1","source":"s","type":"a","time":"noon"},{"specversion":"1.0","id":"1","source":"s","type":"a","data":{"team":"bank"}},` + good + `]`
	sink := &memorySink{}
	w := send(newReceiver(t, sink, nil).CloudEvents(), "/", "shop", []byte(body), "Content-Type", "application/cloudevents-batch+json; charset=utf-8")
	var got nativeResult
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusBadRequest {
		t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	want := nativeResult{Accepted: 2, Rejected: 5, Errors: []eventFault{
		{1, "specversion: want 1.0"}, {2, "id: missing"}, {3, "want a JSON object"}, {4, "time: want RFC 3339"}, {5, "team: the token is not good for this team"},
	}}
	if diff := cmp.Diff(want, got); diff != "" || len(sink.events()) != 2 {
		t.Errorf("%d events, answer differs (-want +got):\n%s", len(sink.events()), diff)
	}
}

func TestCloudEventsInHeadersAreDecodedOnce(t *testing.T) {
	sink := &memorySink{}
	header := []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "s", "ce-type", "a", "ce-subject", "100%2525%20%E2%82%AC", "Content-Type", "text/plain"}
	w := send(newReceiver(t, sink, nil).CloudEvents(), "/", "good", []byte("no JSON"), header...)
	if events := sink.events(); w.Code != http.StatusAccepted || len(events) != 1 || events[0].Object != "100%25 €" {
		t.Errorf("status %d, events %+v: %s", w.Code, events, w.Body)
	}
}

func TestCloudEventsRefusals(t *testing.T) {
	const good = `{"specversion":"1.0","id":"1","source":"s","type":"a"}`
	structured := "application/cloudevents+json"
	for name, c := range map[string]struct {
		token, body, contentType string
		sinkErr                  error
		status                   int
	}{
		"no token":       {"", good, structured, nil, 401},
		"not an event":   {"good", good, "application/json", nil, 400},
		"not JSON":       {"good", `{"specversion":`, structured, nil, 400},
		"another format": {"good", good, "application/cloudevents+avro", nil, 400},
		"no batch":       {"good", good, "application/cloudevents-batch+json", nil, 400},
		"too many":       {"good", "[" + strings.Repeat("{},", 100) + "{}]", "application/cloudevents-batch+json", nil, 413},
		"full spool":     {"good", good, structured, collectors.ErrFull, 503},
	} {
		sink := &memorySink{err: c.sinkErr}
		w := send(newReceiver(t, sink, nil).CloudEvents(), "/", c.token, []byte(c.body), "Content-Type", c.contentType)
		if w.Code != c.status || len(sink.batches) != 0 {
			t.Errorf("%s: status %d, %d batches, want %d: %s", name, w.Code, len(sink.batches), c.status, w.Body)
		}
	}
}

func TestTheHandshakeOfAWebhook(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/", nil)
	r.Header.Set("WebHook-Request-Origin", "eventgrid.example")
	r.Header.Set("WebHook-Request-Callback", "http://127.0.0.1:1/")
	w := httptest.NewRecorder()
	newReceiver(t, &memorySink{}, nil).CloudEvents().ServeHTTP(w, r)
	got := []string{w.Header().Get("Allow"), w.Header().Get("WebHook-Allowed-Origin"), w.Header().Get("WebHook-Allowed-Rate")}
	if diff := cmp.Diff([]string{"POST, OPTIONS", "eventgrid.example", "*"}, got); diff != "" || w.Code != http.StatusOK {
		t.Errorf("status %d, headers differ (-want +got):\n%s", w.Code, diff)
	}
}

func TestCloudIDsTellSourceFromID(t *testing.T) {
	long := strings.Repeat("x", 300)
	seen := map[string]bool{}
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"1", "1:a"}, {"11", ":a"}, {long, "a"}, {long + "a", ""}} {
		id := cloudID(pair[0], pair[1])
		if seen[id] || len(id) > 200 {
			t.Errorf("%q is not alone, or too long", id)
		}
		seen[id] = true
	}
}

func FuzzCloudEvents(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"a","durationms":"5","data":{"actor":"x"}}`), "application/cloudevents+json")
	f.Add([]byte(`[{"specversion":"1.0","id":"1","source":"s","type":"a"}]`), "application/cloudevents-batch+json")
	f.Add([]byte(`{}`), "application/json")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		w := send(newReceiver(t, &memorySink{}, nil).CloudEvents(), "/", "good", body, "Content-Type", contentType, "ce-id", "1", "ce-type", "a%")
		switch w.Code {
		case http.StatusAccepted, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
