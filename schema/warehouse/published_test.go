package warehouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

var november = schema.PublishedPeriod{
	Grain: "month", From: time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC), Label: "2026-11", Zone: "Europe/Berlin",
}

func figure(subject string, revision uint32, value string, at time.Time) schema.Published {
	return schema.Published{
		Kind: schema.KindObjective, Subject: subject, Period: november, Revision: revision, Reason: "closed", Version: "v", Inputs: map[string]string{"slices": "1"},
		Value: []byte(value), ComputedAt: at,
	}
}

func TestPublishedRowsStayAsTheyWere(t *testing.T) {
	db := warehousetest.Open(t)
	first, second := figure("api", 1, `{"a":1}`, noon), figure("api", 2, `{"a":2}`, noon.Add(time.Hour))
	other := figure("web", 1, `{}`, noon)
	for token, rows := range map[string][]schema.Published{
		"1": {first, other}, "2": {second},
		"3": {figure("api", 1, `{"a":3}`, noon.Add(2*time.Hour))}, // a replica that came late
	} {
		if err := db.InsertPublished(t.Context(), token, rows); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Published(t.Context(), schema.KindObjective, november)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.Published{first, second, other}, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	december := november
	december.From, december.To = november.To, november.To.AddDate(0, 1, 0)
	if got, err = db.Published(t.Context(), schema.KindObjective, december); err != nil || len(got) != 0 {
		t.Errorf("another month: %v, %v", got, err)
	}
	if err := db.InsertPublished(t.Context(), "4", []schema.Published{figure("api", 0, "{}", noon)}); !warehouse.Permanent(err) {
		t.Errorf("revision 0: %v", err)
	}
}

func TestObjectiveVersions(t *testing.T) {
	db := warehousetest.Open(t)
	epoch := time.Unix(0, 0).UTC()
	rows := []schema.ObjectiveVersion{
		{Name: "api", From: epoch, Version: "1", Definition: []byte("{}"), Reason: "first", Recorded: noon},
		{Name: "api", From: noon, Version: "2", Definition: []byte(`{"t":2}`), Reason: "changed", Recorded: noon},
	}
	corrected := rows[1]
	corrected.Version, corrected.Definition, corrected.Recorded = "", []byte{}, noon.Add(time.Second)
	for _, block := range [][]schema.ObjectiveVersion{rows, {corrected}} {
		if err := db.InsertObjectives(t.Context(), block); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Objectives(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.ObjectiveVersion{rows[0], corrected}, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

func TestSliceVersionsChangeWithTheSlices(t *testing.T) {
	db := warehousetest.Open(t)
	slice := schema.Slice{Indicator: "api", Revision: "r", Start: november.From, Seconds: 60, Good: 1, Total: 1, State: schema.SliceMeasured, Version: 1}
	outside := slice
	outside.Start = november.To
	ask := schema.SliceQuery{Indicator: "api", Revision: "r", From: november.From, To: november.To}
	none := ask
	none.Group = "eu"
	seen := map[string]bool{}
	for i, c := range []struct {
		slice   schema.Slice
		changes bool
	}{{slice, true}, {slice, false}, {outside, false}, {newer(slice), true}} {
		if err := db.InsertSlices(t.Context(), time.Unix(int64(i), 0).String(), []schema.Slice{c.slice}); err != nil {
			t.Fatal(err)
		}
		got, err := db.SliceVersions(t.Context(), []schema.SliceQuery{none, ask})
		if err != nil {
			t.Fatal(err)
		}
		if seen[got[1]] == c.changes || got[0] != "" {
			t.Errorf("after block %d: %q, seen before: %v", i, got, seen)
		}
		seen[got[1]] = true
	}
}

func newer(s schema.Slice) schema.Slice {
	s.Version++
	return s
}
