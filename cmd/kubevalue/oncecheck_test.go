package main

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kubevalue/kubevalue/schema"
)

func TestTheNightlyCheckFindsWhatIsStoredTwice(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "twice"})
	now := time.Now().UTC()
	row := schema.StoredEvent{ID: schema.EventID("s", "1"), Time: now.Add(-25 * 24 * time.Hour), Received: now.Add(-time.Hour), Source: "s", Name: "n"}
	for i, token := range []string{"by one replica", "by another one", "by a third one"} {
		if err := b.db.InsertEvents(t.Context(), schema.EventBlock{Token: token, Rows: []schema.StoredEvent{row}}); err != nil {
			t.Fatal(err)
		}
		b.checkOnce(t.Context(), gauge)
		if got := testutil.ToFloat64(gauge); got != float64(i) {
			t.Errorf("after %d inserts: %g copies", i+1, got)
		}
	}
}

func TestTheCheckIsAtNight(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[string]time.Duration{
		"2026-11-21 02:59": time.Minute,
		"2026-11-21 03:00": 24 * time.Hour,
		"2026-11-21 03:01": 24*time.Hour - time.Minute,
		"2026-03-28 12:00": 14 * time.Hour, // an hour is left out in the night
		"2026-10-24 12:00": 16 * time.Hour, // an hour comes twice
		"2026-12-31 23:00": 4 * time.Hour,
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", now, berlin)
		if err != nil {
			t.Fatal(err)
		}
		if got := untilNight(at); got != want {
			t.Errorf("at %s: %s, want %s", now, got, want)
		}
	}
}
