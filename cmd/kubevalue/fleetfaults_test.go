package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// The page of the fleet says what is wrong with a cluster that is configured, whatever the warehouse knows.
func TestTheFleetSaysWhatIsWrongWithAWatchedCluster(t *testing.T) {
	f := &figures{cfg: &Config{Clusters: []ClusterConfig{{Name: "good"}, {Name: "hangs"}, {Name: "refuses"}, {Name: "late"}, {Name: "odd"}}}, db: warehousetest.Open(t), now: time.Now, objectives: &objectiveSet{}}
	f.watches = func() []kube.Status {
		return []kube.Status{
			{Name: "hangs", Err: context.DeadlineExceeded},
			{Name: "refuses", Err: apierrors.NewUnauthorized("expired")},
			{Name: "late", Synced: true, Skew: -time.Hour},
			{Name: "odd", Err: errors.New("Pod: invalid character '<'"), Kinds: []kube.KindStatus{
				{Kind: "Node", Synced: true, Objects: 3}, {Kind: "Pod", Err: errors.New("invalid character '<'")}, {Kind: "Application.argoproj.io", Absent: true}, {Kind: "Job"},
			}},
			{Name: "good", Synced: true},
		}
	}
	fleet, err := f.fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range fleet {
		got[c.Name] = c.Fault + "; " + c.Note
	}
	const unheard = "neither an audit event nor a sign of its resources has arrived; "
	want := map[string]string{
		"good": unheard, "hangs": "does not answer; ", "refuses": "refuses our credentials; ", "late": unheard + "its clock is 1h0m0s behind ours", "odd": "cannot be watched (Pod); ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	odd := fleet[len(fleet)-1]
	kinds := []dashboards.WatchedKind{
		{Kind: "Node", State: dashboards.KindIsWatched, Objects: 3}, {Kind: "Pod", State: dashboards.KindIsRead, Error: "invalid character '<'"},
		{Kind: "Application.argoproj.io", State: dashboards.KindIsNotServed}, {Kind: "Job", State: dashboards.KindIsRead},
	}
	if diff := cmp.Diff(kinds, odd.Kinds); diff != "" || odd.Error != "Pod: invalid character '<'" {
		t.Errorf("%q; its kinds (-want +got):\n%s", odd.Error, diff)
	}
}

func TestAWatchedClusterIsReportingSilentOrNeverSeen(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for last, want := range map[time.Time]string{{}: "never seen", now.Add(-time.Hour): "silent", now.Add(-time.Minute): "reporting"} {
		if got := contactState(last, now); got != want {
			t.Errorf("seen last at %s: %q, want %q", last, got, want)
		}
	}
}
