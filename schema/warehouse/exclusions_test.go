package warehouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestExclusionsAreNeverChanged(t *testing.T) {
	db := warehousetest.Open(t)
	once := schema.Exclusion{
		ID: "network", Version: 1, Objectives: []string{"api", "web"}, From: noon, To: noon.Add(time.Hour), Reason: "work", Author: "ann", Change: schema.ExclusionAdded,
		ChangedBy: "ann", ChangeReason: "work", Recorded: noon, Entry: "a",
	}
	ended := once
	ended.Version, ended.To, ended.Change, ended.ChangedBy, ended.ChangeReason, ended.Recorded, ended.Entry = 2, noon.Add(30*time.Minute), schema.ExclusionEnded, "bob", "early", noon.Add(time.Minute), "b"
	late := ended // another writer's second version
	late.ChangedBy, late.Recorded, late.Entry = "cy", noon.Add(2*time.Minute), "0"
	weekly := schema.Exclusion{
		ID: "sunday", Version: 1, Objectives: []string{}, Weekly: &schema.WeeklySpan{Days: []string{"sunday"}, From: "02:00", To: "04:00", Timezone: "Europe/Berlin"},
		Reason: "maintenance", Author: "ann", Change: schema.ExclusionAdded, ChangedBy: "ann", ChangeReason: "maintenance", Recorded: noon, Entry: "c",
	}
	for _, e := range []schema.Exclusion{weekly, late, ended, once, once} {
		if err := db.InsertExclusion(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Exclusions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.Exclusion{once, ended, weekly}, got); diff != "" {
		t.Errorf("exclusions (-want +got):\n%s", diff)
	}
	for name, spoil := range map[string]func(*schema.Exclusion){
		"no id":               func(e *schema.Exclusion) { e.ID = "" },
		"no version":          func(e *schema.Exclusion) { e.Version = 0 },
		"no entry":            func(e *schema.Exclusion) { e.Entry = "" },
		"never recorded":      func(e *schema.Exclusion) { e.Recorded = time.Time{} },
		"before all calendar": func(e *schema.Exclusion) { e.From = time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		e := once
		spoil(&e)
		if err := db.InsertExclusion(t.Context(), e); !warehouse.Permanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
