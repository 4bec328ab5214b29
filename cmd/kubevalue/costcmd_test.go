package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

func TestCostCheckListsWhatHasNoPrice(t *testing.T) {
	t.Parallel()
	b := boot(t, "costs: {currency: EUR, nodes: [{class: large, per_hour: 0.5}, {per_hour: 1.25, to: 2020-01-01}], storage: [{per_gib_month: 0.1}]}\n")
	if got := b.command(0, "cost", "check"); got != "No watched cluster told within 24 hours what it has: `kubevalue cluster list` shows which ones report.\n" {
		t.Errorf("without anything it says %q", got)
	}
	hour := time.Now().UTC().Add(-time.Hour).Truncate(time.Millisecond)
	agent := bearer(b.token("agent", collectors.EndpointAgent))
	tell := func(rows ...schema.Consumption) {
		t.Helper()
		body, err := json.Marshal(schema.Batch{Consumption: rows})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.post("/v1/agent", string(body), "Authorization", agent); got.status != 202 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		b.flush()
	}
	large := schema.Consumption{Cluster: "c1", Start: hour, Kind: schema.ConsumedNode, Class: "large", Seconds: 60}
	tell(large, schema.Consumption{Cluster: "c1", Start: hour, Kind: schema.ConsumedStorage, Class: "fast", ByteSeconds: 60},
		schema.Consumption{Cluster: "c1", Start: hour, Kind: schema.ConsumedPod, Class: "large", Seconds: 60},
		schema.Consumption{Cluster: "c1", Start: hour.AddDate(0, 0, -3), Kind: schema.ConsumedNode, Class: "gone", Seconds: 60})
	want := `KIND     CLASS  CLUSTERS  PRICE
node     large  1         0.5 EUR per hour
storage  fast   1         0.1 EUR per GiB and month
`
	if diff := cmp.Diff(want, b.command(0, "cost", "check")); diff != "" {
		t.Errorf("with prices for all (-want +got):\n%s", diff)
	}
	large.Cluster, large.Class = "c2", "small"
	tell(large, schema.Consumption{Cluster: "c2", Start: hour, Kind: schema.ConsumedBalancer, Seconds: 60}, schema.Consumption{Cluster: "c1", Start: hour, Kind: schema.ConsumedBalancer, Seconds: 60})
	want = `KIND      CLASS  CLUSTERS  PRICE
balancer  -      2         none
node      large  1         0.5 EUR per hour
node      small  1         none
storage   fast   1         0.1 EUR per GiB and month
2 of 4 have no price: add them to costs in the configuration, with 0 for what costs nothing
`
	if diff := cmp.Diff(want, b.command(1, "cost", "check")); diff != "" {
		t.Errorf("without some prices (-want +got):\n%s", diff)
	}
}

func TestIncidentShowHasWhatTheAlertSaid(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	body := `{"version":"4","receiver":"kv","future":{"n":1},"alerts":[{"status":"firing","labels":{"service":"shop","alertname":"Slow"},"annotations":{"summary":"the shop is slow"},
		"startsAt":"2026-03-01T11:00:00Z","fingerprint":"f","novel":[1]}]}`
	if got := b.post("/v1/alertmanager", body, "Authorization", bearer(b.token("am", collectors.EndpointIncidents))); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	b.flush()
	var in schema.Incident
	if err := json.Unmarshal([]byte(b.command(0, "incident", "show", "alertmanager/f/1772362800")), &in); err != nil {
		t.Fatal(err)
	}
	var details any
	if err := json.Unmarshal(in.Details, &details); err != nil || in.Title != "the shop is slow" {
		t.Errorf("it shows %+v, %v", in, err)
	}
	want := map[string]any{
		"labels": map[string]any{"service": "shop", "alertname": "Slow"}, "alert": map[string]any{"novel": []any{1.0}},
		"notification": map[string]any{"receiver": "kv", "future": map[string]any{"n": 1.0}},
	}
	if diff := cmp.Diff(want, details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	b.command(1, "incident", "show", "none")
}
