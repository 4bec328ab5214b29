package warehouse_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestWrongSumsAreMended(t *testing.T) {
	db := warehousetest.Open(t)
	day := noon.UTC().Truncate(24 * time.Hour)
	var rows []schema.Slice
	for _, indicator := range []string{"api", "web"} {
		for i := range 36 { // twelve hours, every 20 minutes
			rows = append(rows, schema.Slice{Indicator: indicator, Revision: "r", Start: day.Add(time.Duration(i) * 20 * time.Minute), Seconds: 1200, Good: float64(i % 4), Total: 3, State: schema.SliceMeasured, Version: 1})
		}
	}
	for i := range rows {
		rows[i].Good = min(rows[i].Good, 3)
	}
	if err := db.InsertSlices(t.Context(), "slices", rows); err != nil {
		t.Fatal(err)
	}
	q := schema.SumsQuery{Indicator: "api", Revision: "r", SliceTarget: 0.5, Segments: []schema.Segment{{From: day, To: day.Add(3 * time.Hour)}, {From: day, To: day.Add(24 * time.Hour)}}}
	whole := q
	whole.SliceTarget, whole.Segments = 1, q.Segments[1:]
	sums := func() string {
		t.Helper()
		all, err := db.SliceSumsOf(t.Context(), []schema.SumsQuery{q, whole})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%.6v", all)
	}
	resum := func(mend bool) warehouse.Resummed {
		t.Helper()
		found, err := db.Resum(t.Context(), noon, mend)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	right := sums()
	const all = 2 * (12 + 1)
	if got := resum(false); got != (warehouse.Resummed{Compared: all}) {
		t.Errorf("right sums: %+v", got)
	}
	for name, c := range map[string]struct {
		spoil string
		wrong int64
	}{
		"hours that are missing":     {"ALTER TABLE sli_hours DELETE WHERE hour < toDateTime('%s', 'UTC') + 7200 SETTINGS mutations_sync = 2", 2 * 2},
		"a day that is missing":      {"ALTER TABLE sli_days DELETE WHERE day = toDateTime('%s', 'UTC') SETTINGS mutations_sync = 2", 2},
		"an hour of another version": {"INSERT INTO sli_hours SELECT hour, series, measured + 1, valid, perfect, good + 100, total, bad_fraction, imperfect, version FROM sli_hours FINAL WHERE hour = toDateTime('%s', 'UTC')", 2},
		"an hour that is too new":    {"INSERT INTO sli_hours SELECT hour, series, measured, valid, perfect, good, total + 5, bad_fraction, imperfect, version + 1000 FROM sli_hours FINAL WHERE hour = toDateTime('%s', 'UTC')", 2},
		"a day that is too new":      {"INSERT INTO sli_days SELECT day, series, measured, valid + 1, perfect, good, total, bad_fraction, version + 1000 FROM sli_days FINAL WHERE day = toDateTime('%s', 'UTC')", 2},
		"ratios that are lost":       {"INSERT INTO sli_hours SELECT hour, series, measured, valid, perfect, good, total, bad_fraction, [], version FROM sli_hours FINAL WHERE hour = toDateTime('%s', 'UTC')", 2},
	} {
		if err := db.Exec(t.Context(), fmt.Sprintf(c.spoil, day.Format(time.DateTime))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if sums() == right {
			t.Errorf("%s: nothing was spoilt", name)
		}
		if got := resum(false); got != (warehouse.Resummed{Compared: all, Wrong: c.wrong}) {
			t.Errorf("%s: found %+v", name, got)
		}
		if got := resum(true); got.Wrong != c.wrong {
			t.Errorf("%s: mended %+v", name, got)
		}
		if diff := cmp.Diff(right, sums()); diff != "" {
			t.Errorf("%s (-right +got):\n%s", name, diff)
		}
		if got := resum(false); got.Wrong != 0 {
			t.Errorf("%s: still wrong %+v", name, got)
		}
	}
	// What was mended goes on to be corrected by later slices.
	late := rows[0]
	late.Good, late.Version = 3, 2
	if err := db.InsertSlices(t.Context(), "late", []schema.Slice{late}); err != nil {
		t.Fatal(err)
	}
	if got := resum(false); got.Wrong != 0 || sums() == right {
		t.Errorf("after a correction: %+v", got)
	}
}
