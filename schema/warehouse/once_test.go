package warehouse_test

import (
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestStoredTwice(t *testing.T) {
	db := warehousetest.Open(t)
	rows := events(300)
	insertEvents(t, db, "all", rows)
	const month = 30 * 24 * time.Hour
	expect := func(want int, since time.Time, lateness time.Duration) {
		t.Helper()
		if got, err := db.StoredTwice(t.Context(), since, lateness); got != want || err != nil {
			t.Errorf("%d copies are found, error %v; want %d", got, err, want)
		}
	}
	expect(0, noon, month)
	insertEvents(t, db, "again", rows[:40])
	insertEvents(t, db, "and again", rows[:3])
	expect(43, noon, month)
	expect(30, noon.Add(10*time.Millisecond), month-time.Hour)
	late := 0
	for _, r := range rows[3:40] {
		if !r.Time.Before(noon) {
			late++
		}
	}
	for _, r := range rows[:3] {
		if !r.Time.Before(noon) {
			late += 2
		}
	}
	expect(late, noon, 0)
}
