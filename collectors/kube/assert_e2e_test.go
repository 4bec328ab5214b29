//go:build e2e

package kube_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
)

func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// checkOutage waits for a slice after an outage, and looks at those that overlap it and those before.
func (s *store) checkOutage(t *testing.T, group string, down, up time.Time) {
	t.Helper()
	after := time.Now().Add(slice).Truncate(slice) // the first slice that begins when all is being watched again
	slices := func() map[int64]schema.Slice {
		s.mu.Lock()
		defer s.mu.Unlock()
		newest := map[int64]schema.Slice{}
		for _, one := range s.slices {
			if one.Group == group && one.Version >= newest[one.Start.Unix()].Version {
				newest[one.Start.Unix()] = one
			}
		}
		return newest
	}
	eventually(t, "a slice after the outage", func() bool { _, ok := slices()[after.Unix()]; return ok })
	for _, one := range slices() {
		start := one.Start
		end := start.Add(slice)
		switch {
		case start.Before(up) && end.After(down):
			if one.State != schema.SliceGap || one.Good != 0 || one.Total != 0 {
				t.Errorf("slice at %s overlaps the outage from %s to %s: %+v", start, down, up, one)
			}
		case !start.Before(after):
			if one.State != schema.SliceMeasured || one.Good != one.Total || one.Total != slice.Seconds() {
				t.Errorf("slice at %s is after the outage: %+v", start, one)
			}
		}
	}
}

// checkInventory compares the warehouse's inventory with what the test left behind.
func (s *store) checkInventory(t *testing.T) {
	t.Helper()
	result, err := s.db.Query(t.Context(), `SELECT toString(kind) AS kind, countIf(deleted IS NULL) AS live, countIf(deleted IS NOT NULL) AS dead,
		countIf(deleted IS NOT NULL AND deleted_from < deleted) AS vaguely FROM resources FINAL WHERE kind IN ('Cluster', 'Node', 'Deployment') GROUP BY kind ORDER BY kind`, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "inventory", result.Rows, [][]any{
		{"Cluster", uint64(1), uint64(0), uint64(0)}, {"Deployment", uint64(0), uint64(2), uint64(1)}, {"Node", uint64(3), uint64(0), uint64(0)},
	})
	result, err = s.db.Query(t.Context(), `SELECT count() FROM resource_changes FINAL WHERE kind = 'Cluster' AND change = 'observed'
		AND k8s_version LIKE 'v1.%' AND attributes['count.Node'] = '3' AND region = 'lab'`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := result.Rows[0][0].(uint64); n == 0 {
		t.Error("the cluster's own record has neither its version nor its number of nodes")
	}
}
