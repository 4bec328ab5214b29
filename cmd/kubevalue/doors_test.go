package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/posthog/posthog-go"
	analytics "github.com/segmentio/analytics-go/v3"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/usage"
)

func bearer(token string) string { return "Bearer " + token }

// TestDoors posts through every door of one service, as the clients of each protocol do, and counts what is in the table.
func TestDoors(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	token := b.token("web", collectors.EndpointEvents, collectors.EndpointSegment, collectors.EndpointPostHog, collectors.EndpointCloudEvents)
	auditToken := b.token("audit", collectors.EndpointAudit)
	b.sendSegment(token)
	b.sendPostHog(token)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(token+":"))
	accepted := []struct {
		path, body string
		header     []string
		status     int
	}{
		{"/v1/events", `{"id":"same-1","name":"report.read","actor":"ann"}`, []string{"Authorization", bearer(token)}, http.StatusAccepted},
		{"/v1/events", "{\"id\":\"n1\",\"name\":\"a\"}\n{\"id\":\"n2\",\"name\":\"a\"}\n", []string{"Authorization", bearer(token), "Content-Type", "application/x-ndjson"}, http.StatusAccepted},
		{"/v1/track", `{"messageId":"same-1","userId":"ann","event":"report.read"}`, []string{"Authorization", basic}, http.StatusOK},
		{"/v1/page/", `{"messageId":"s2","userId":"ann","name":"Start"}`, []string{"Authorization", basic}, http.StatusOK},
		{"/v1/screen", `{"messageId":"s3","userId":"ann","name":"Start"}`, []string{"Authorization", basic}, http.StatusOK},
		{"/v1/group", `{"messageId":"s4","userId":"ann","groupId":"shop"}`, []string{"Authorization", basic}, http.StatusOK},
		{"/v1/identify", `{"messageId":"s5","userId":"ann","anonymousId":"x"}`, []string{"Authorization", basic}, http.StatusOK},
		{"/v1/alias", `{"messageId":"s6","userId":"ann","previousId":"y"}`, []string{"Authorization", basic}, http.StatusOK},
		{"/v1/cloudevents", `{"specversion":"1.0","id":"c1","source":"/shop","type":"order.placed"}`, []string{"Authorization", bearer(token), "Content-Type", "application/cloudevents+json"}, http.StatusAccepted},
		{"/v1/cloudevents", `{"actor":"ann"}`, []string{"Authorization", bearer(token), "Content-Type", "application/json",
			"ce-specversion", "1.0", "ce-id", "c2", "ce-source", "/shop", "ce-type", "order.placed"}, http.StatusAccepted},
		{"/audit/prod", strings.ReplaceAll(auditList, "NOW", time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")), []string{"Authorization", bearer(auditToken), "Content-Type", "application/json"}, http.StatusOK},
	}
	for _, c := range accepted {
		if got := b.post(c.path, c.body, c.header...); got.status != c.status {
			t.Errorf("POST %s: %d %s, want %d", c.path, got.status, got.body, c.status)
		}
	}
	for i, path := range usage.PostHogPaths() {
		for j, slash := range []string{"", "/"} {
			body := fmt.Sprintf(`{"api_key":%q,"event":"posthog.path","uuid":"p%d-%d","distinct_id":"ann"}`, token, i, j)
			if got := b.post(path+slash, body); got.status != http.StatusOK {
				t.Errorf("POST %s: %d %s", path+slash, got.status, got.body)
			}
		}
	}
	if got := b.post("/e/", packed(t, fmt.Sprintf(`{"api_key":%q,"event":"report.read","uuid":"same-1","distinct_id":"ann"}`, token)), "Content-Encoding", "gzip"); got.status != http.StatusOK {
		t.Errorf("packed: %d %s", got.status, got.body)
	}
	got := b.send(http.MethodOptions, "/v1/cloudevents", nil, "WebHook-Request-Origin", "shop.example.com")
	if got.status != http.StatusOK || got.header.Get("WebHook-Allowed-Origin") != "shop.example.com" {
		t.Errorf("handshake: %d %v", got.status, got.header)
	}
	doors := []string{"/v1/agent", "/api/v1/nothing"}
	for _, c := range accepted {
		doors = append(doors, c.path)
	}
	b.refuseInOneForm(append(doors, usage.PostHogPaths()...))
	b.flush()
	want := `a 2
actor.group 1
deployments.create 1
order.placed 2
page.view 1
posthog.client 1
posthog.path 12
report.read 1
screen.view 1
segment.client 2
`
	if diff := b.query("SELECT name, count() FROM events GROUP BY name ORDER BY name"); diff != want {
		t.Errorf("events in the table:\n%swant\n%s", diff, want)
	}
	if got := b.query("SELECT count() FROM quarantine"); got != "0\n" {
		t.Errorf("in quarantine: %s", got)
	}
}

// refuseInOneForm looks at what each door says to a stranger, and to a body that it cannot read.
func (b *booted) refuseInOneForm(paths []string) {
	b.t.Helper()
	for _, path := range paths {
		for _, header := range [][]string{nil, {"Authorization", "Bearer nobody"}, {"Content-Encoding", "nonsense"}} {
			got := b.post(path, "{", header...)
			var problem map[string]any
			if err := json.Unmarshal([]byte(got.body), &problem); err != nil || got.status < 400 {
				b.t.Errorf("POST %s with %q: %d %s", path, header, got.status, got.body)
				continue
			}
			code, _ := problem["code"].(string)
			message, _ := problem["message"].(string)
			if len(problem) != 3 || problem["status"] != "error" || code == "" || message == "" {
				b.t.Errorf("POST %s with %q: %s, want status, code and message", path, header, got.body)
			}
		}
	}
}

// auditList is what an API server sends when ann creates a deployment, and kubevalue itself a config map.
const auditList = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"level":"Metadata","auditID":"a1","stage":"ResponseComplete",
"requestURI":"/apis/apps/v1/namespaces/shop/deployments","verb":"create","user":{"username":"ann"},"objectRef":{"resource":"deployments","namespace":"shop","name":"web","apiGroup":"apps","apiVersion":"v1"},
"responseStatus":{"code":201},"requestReceivedTimestamp":"NOW","stageTimestamp":"NOW"},
{"level":"Metadata","auditID":"a2","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/configmaps","verb":"create",
"user":{"username":"system:serviceaccount:kubevalue:collector"},"objectRef":{"resource":"configmaps","namespace":"shop","name":"own","apiVersion":"v1"},
"responseStatus":{"code":201},"requestReceivedTimestamp":"NOW","stageTimestamp":"NOW"}]}`

// sendSegment sends with Segment's own client.
func (b *booted) sendSegment(token string) {
	b.t.Helper()
	client, err := analytics.NewWithConfig(token, analytics.Config{Endpoint: b.url(), BatchSize: 2, Logger: analytics.StdLogger(log.New(io.Discard, "", 0))})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, id := range []string{"seg-1", "seg-2", "seg-1"} {
		if err := client.Enqueue(analytics.Track{MessageId: id, UserId: "ann", Event: "segment.client"}); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := client.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// sendPostHog sends with PostHog's own client.
func (b *booted) sendPostHog(token string) {
	b.t.Helper()
	client, err := posthog.NewWithConfig(token, posthog.Config{Endpoint: b.url(), BatchSize: 1, Logger: posthog.StdLogger(log.New(io.Discard, "", 0))})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := client.Enqueue(posthog.Capture{Uuid: "ph-1", DistinctId: "ann", Event: "posthog.client", Timestamp: time.Now()}); err != nil {
		b.t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.Copy(w, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
