package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/warehouse"
)

func TestRecompute(t *testing.T) {
	s := twoMonths(t)
	db := s.store.(*warehouse.DB)
	f := &figures{cfg: inUTC(), objectives: s, db: db, now: s.now}
	days, err := f.recomputedDays(t.Context(), "", "")
	if err != nil || len(days) != 70 || !days[0].Equal(hour("2026-09-01 00:00")) {
		t.Fatalf("%d days: %v", len(days), err)
	}
	for _, wrong := range [][3]string{{"soon", "", "--from: "}, {"", "soon", "--to: "}, {"2026-10-01", "2026-10-01", "is not before the end"}} {
		if _, err := f.recomputedDays(t.Context(), wrong[0], wrong[1]); err == nil || !strings.Contains(err.Error(), wrong[2]) {
			t.Errorf("%q to %q: %v", wrong[0], wrong[1], err)
		}
	}
	steps := 0
	few := days[40:45]
	answer, err := recompute(t.Context(), db.Resum, few, true, func() { steps++ })
	if err != nil || steps != len(few) || printed(t, answer) != "5 days: all 250 sums of hours and days are those of their slices\n" {
		t.Errorf("%d steps, %+v: %v", steps, answer, err)
	}
	spoilt := func(ctx context.Context, day time.Time, mend bool) (warehouse.Resummed, error) {
		found, err := db.Resum(ctx, day, mend)
		if day.Equal(hour("2026-10-12 00:00")) {
			found.Wrong = 2
		}
		return found, err
	}
	if _, err = recompute(t.Context(), spoilt, few, false, func() {}); err == nil || !strings.Contains(err.Error(), "2 of 250 sums of hours and days are not those of their slices, on 2026-10-12") {
		t.Errorf("compared: %v", err)
	}
	if answer, err = recompute(t.Context(), spoilt, few, true, func() {}); err != nil || !strings.Contains(printed(t, answer), "2 of 250 sums of hours and days were wrong and are written anew, on 2026-10-12") {
		t.Errorf("mended %+v: %v", answer, err)
	}
}
