package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
)

func TestFeedbackGoesThroughTheSpool(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	full := schema.Batch{
		Feedback: []schema.Feedback{
			{Kind: schema.FeedbackTicket, ID: "a#1", Time: at, Until: at.Add(time.Hour), Team: "red", State: "closed", Extra: `{"a":1}`, Version: 3},
			{Kind: schema.FeedbackAnswer, ID: "i/q", Time: at, Survey: "s", Question: "q", Asked: "nps", Value: new(9.0), Text: "ünï", Version: 1},
		},
		Consumption: []schema.Consumption{{Cluster: "c", Start: at, Kind: schema.ConsumedPod, Class: "large", Namespace: "n", Team: "red", CoreSeconds: 1.5}},
		Changes:     []schema.ResourceChange{{Resource: schema.Resource{Cluster: "c", Kind: "Node", UID: "u", Name: "n"}, Change: schema.ChangeObserved, Time: at}},
	}
	for _, want := range []schema.Batch{full, {Changes: full.Changes}} {
		var c encoder
		payload, err := c.encode(&want, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("batch (-want +got):\n%s", diff)
		}
	}
	full.Feedback[0].ID = ""
	if bad := (door{now: at}).check(&full); len(bad) != 1 || bad[0].Kind != kindFeedback || bad[0].Index != 0 {
		t.Errorf("refused %v, want the ticket without an id", bad)
	}
}
