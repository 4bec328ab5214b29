package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors"
)

func TestDriftListsWhoDisagrees(t *testing.T) {
	t.Parallel()
	b := boot(t, "drift: [{kind: Deployment, field: .spec.replicas}]\n")
	agent := bearer(b.token("agent", collectors.EndpointAgent))
	for cluster, replicas := range map[string]string{"c1": "3", "c2": "3", "c3": "5", "c4": "(none)"} {
		for name, value := range map[string]string{"web": replicas, "same": "1"} {
			body := fmt.Sprintf(`{"changes":[{"cluster":%[1]q,"kind":"Cluster","uid":%[1]q,"name":%[1]q,"change":"observed","key":"1","time":%[5]q},
				{"cluster":%[1]q,"kind":"Deployment","uid":%[2]q,"namespace":"shop","name":%[3]q,"change":"observed","key":"1",
				"time":%[5]q,"attributes":{"field:.spec.replicas":%[4]q}}]}`, cluster, cluster+name, name, value, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339))
			if got := b.post("/v1/agent", body, "Authorization", agent); got.status != 202 {
				t.Fatalf("%d %s", got.status, got.body)
			}
		}
	}
	b.flush()
	want := `KIND        OBJECT    FIELD           MOST HAVE  CLUSTERS  OTHERS
Deployment  shop/web  .spec.replicas  3          2 of 4    c3=5
                                                           c4=(none)
`
	if diff := cmp.Diff(want, b.command(0, "cluster", "drift")); diff != "" {
		t.Errorf("cluster drift (-want +got):\n%s", diff)
	}
}
