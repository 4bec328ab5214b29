package main

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// oldYear stores the hours of checkout from October 2025 to the middle of 2026; seen from answerNow, November 2026, the first months
// ended long ago. service publishes them.
func oldYear(t *testing.T) (*service, *publisher, *objectiveSet) {
	t.Helper()
	s, db := answerSet(t, hourly("checkout", "shop"))
	storeHours(t, db, "checkout", hour("2025-10-01 00:00"), hour("2026-06-01 00:00"), [2]string{"2025-11-05 00:00", "2025-11-05 12:00"})
	svc := &service{cfg: &Config{}, now: func() time.Time { return s.now() }, figures: &figures{objectives: s}, log: slog.New(slog.DiscardHandler)}
	p := &publisher{}
	publishNow(t, svc, p)
	return svc, p, s
}

func publishNow(t *testing.T, s *service, p *publisher) {
	t.Helper()
	if err := s.publishDue(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// reasons are those of the revisions of checkout in a month.
func reasons(t *testing.T, s *objectiveSet, month string) string {
	t.Helper()
	p, err := s.period(month)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.history(t.Context(), "checkout", p)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range all.Revisions {
		out = append(out, r.Reason)
	}
	return strings.Join(out, "; ")
}

// TestWhatComesLateForOldPeriods has late data, an incident and an exclusion of a year ago: each becomes a revision, the exclusion at
// once, the others within a day.
func TestWhatComesLateForOldPeriods(t *testing.T) {
	svc, p, s := oldYear(t)
	db := s.store.(*warehouse.DB)
	if got := reasons(t, s, "2025-11"); got != "closed" {
		t.Fatalf("November: %s", got)
	}
	storeSlices(t, db, []schema.Slice{{Indicator: "checkout", Revision: "r", Start: hour("2025-11-05 00:00"), Seconds: 3600, Good: 10, Total: 10, State: schema.SliceMeasured, Version: 2}})
	now := answerNow.Add(time.Hour)
	s.now = func() time.Time { return now }
	publishNow(t, svc, p)
	if got := reasons(t, s, "2025-11"); got != "closed" {
		t.Errorf("an hour later: %s", got)
	}
	now = answerNow.Add(24 * time.Hour)
	publishNow(t, svc, p)
	if got := reasons(t, s, "2025-11"); got != "closed; late data" {
		t.Errorf("a day later: %s", got)
	}
	found := schema.Incident{ID: "INC-9", Service: "shop", Start: hour("2025-11-05 02:00"), Resolved: hour("2025-11-05 12:00"), Version: 1}
	if err := db.InsertIncidents(t.Context(), "found", []schema.Incident{found}); err != nil {
		t.Fatal(err)
	}
	now = answerNow.Add(48 * time.Hour)
	publishNow(t, svc, p)
	now = now.Add(time.Minute)
	drill := schema.Exclusion{ID: "drill", Version: 1, Entry: "1", From: hour("2025-11-05 02:00"), To: hour("2025-11-05 06:00"), Reason: "drill", Author: "ops",
		Change: schema.ExclusionAdded, ChangedBy: "ops", Recorded: now}
	if err := db.InsertExclusion(t.Context(), drill); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	publishNow(t, svc, p)
	if got := reasons(t, s, "2025-11"); !strings.HasPrefix(got, "closed; late data; incident change; exclusion change") {
		t.Errorf("in the end: %s", got)
	}
	if got := reasons(t, s, "2025-12"); got != "closed" {
		t.Errorf("December, which nothing was about: %s", got)
	}
}

// TestPeriodsWhoseSlicesHaveGone are not computed anew from what is left of them.
func TestPeriodsWhoseSlicesHaveGone(t *testing.T) {
	_, _, s := oldYear(t)
	db := s.store.(*warehouse.DB)
	s.keeps = answerNow.Sub(hour("2025-11-20 00:00"))
	// The incident cuts an hour of November in two, of which the slices would be needed.
	found := schema.Incident{ID: "INC-9", Service: "shop", Start: hour("2025-11-05 02:30"), Resolved: hour("2025-11-05 12:00"), Version: 1}
	if err := db.InsertIncidents(t.Context(), "found", []schema.Incident{found}); err != nil {
		t.Fatal(err)
	}
	done, err := s.publish(t.Context(), hour("2025-10-01 00:00"))
	if err != nil {
		t.Fatal(err)
	}
	if done.Revised != 0 || !slices.Contains(done.Gone, "2025-10") || !slices.Contains(done.Gone, "2025-11") || slices.Contains(done.Gone, "2025-12") {
		t.Errorf("published %+v", done)
	}
	if text := printed(t, done); !strings.Contains(text, "stay as they were published, since slices of them have gone (retention.slices): 2025-W40, ") {
		t.Errorf("printed %q", text)
	}
	if got := reasons(t, s, "2025-11"); got != "closed" {
		t.Errorf("November: %s", got)
	}
}

func TestBackfillOfSlicesThatAreNotKept(t *testing.T) {
	c := &Config{zone: time.UTC, Retention: RetentionConfig{Slices: Duration(400 * 24 * time.Hour)}}
	if _, err := c.backfillPeriod("2025-01-01", "", answerNow); err == nil ||
		!strings.Contains(err.Error(), "--from 2025-01-01: slices are kept for 400d only (retention.slices), so what is before 2025-10-06 12:00 UTC would go at once") {
		t.Errorf("error %v", err)
	}
	if _, err := c.backfillPeriod("2025-10-07", "", answerNow); err != nil {
		t.Error(err)
	}
	c.Retention.Slices = 0
	if _, err := c.backfillPeriod("2015-01-01", "", answerNow); err != nil {
		t.Error(err)
	}
}

// TestNothingWasMeasured has answers say so, rather than that nothing was used.
func TestNothingWasMeasured(t *testing.T) {
	s, _ := answerSet(t, hourly("checkout", "shop"))
	attributed, err := s.attribute(t.Context(), "checkout", "2026-10", latest)
	if err != nil {
		t.Fatal(err)
	}
	if text := printed(t, attributed); !strings.Contains(text, "nothing was measured") || strings.Contains(text, "nothing was used") {
		t.Errorf("attributed:\n%s", text)
	}
	p, err := s.period("2026-10")
	if err != nil {
		t.Fatal(err)
	}
	compared, err := s.compare(t.Context(), p, s.calendar.Previous(p), latest)
	if err != nil {
		t.Fatal(err)
	}
	if text := printed(t, compared); strings.Contains(text, "What changed") || !strings.Contains(text, "nothing was measured in the later period") {
		t.Errorf("compared:\n%s", text)
	}
}
