package main

import (
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// TestWhatIsKnownOfAClusterIncludesTheSpool: a service that has just started must not take for new what its predecessor has told the spool.
func TestWhatIsKnownOfAClusterIncludesTheSpool(t *testing.T) {
	b := boot(t, "")
	now := time.Now().UTC().Truncate(time.Millisecond)
	change := schema.ResourceChange{
		Resource: schema.Resource{Cluster: "c1", Kind: schema.KindDeployment, UID: "uid-web", Namespace: "shop", Name: "web", Created: now.Add(-time.Hour)},
		Change:   schema.ChangeObserved, Key: now.Format(time.DateOnly), Time: now, Seen: now,
	}
	if err := b.pipe.Append(t.Context(), schema.Batch{Changes: []schema.ResourceChange{change}}); err != nil {
		t.Fatal(err)
	}
	known, err := b.liveResources(t.Context(), "c1")
	if err != nil || len(known) != 1 || known[0].Name != "web" {
		t.Errorf("known are %+v, %v; want the deployment that was told a moment ago", known, err)
	}
}
