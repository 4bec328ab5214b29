package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/slo"
)

// publishAll runs the publisher over all that there is.
func publishAll(t *testing.T, s *objectiveSet) publication {
	t.Helper()
	done, err := s.publish(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// usedIn is what was used of the budget of checkout in a month, and how it was published.
func usedIn(t *testing.T, s *objectiveSet, month string, v view) (float64, *publishedAs) {
	t.Helper()
	p, err := s.period(month)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.standings(t.Context(), "checkout", p, v)
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Status == nil || all[0].Status.Consumed == nil {
		t.Fatalf("no figure of %s: %+v", month, all[0])
	}
	return *all[0].Status.Consumed, all[0].Published
}

func TestClosedPeriodsStayAsPublished(t *testing.T) {
	s := twoMonths(t)
	db := s.store.(*warehouse.DB)
	record := func() {
		t.Helper()
		if _, err := s.recordDefinitions(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// September, October, the third quarter; the weeks 36 to 44: week 45 ended on 9 November and has not closed.
	record()
	if done := publishAll(t, s); done.Periods != 2+1+9 || done.Revised != 0 || done.Published != 12+1+5 {
		t.Errorf("published %+v", done) // search was measured in October and in its weeks 40 to 44 only
	}
	if again := publishAll(t, s); again.Published+again.Revised != 0 {
		t.Errorf("nothing has changed, but %+v", again)
	}
	used, how := usedIn(t, s, "2026-10", asPublished)
	if !near(&used, 24/74.4) || how == nil || how.Revision != 1 || how.Revisions != 1 || how.Reason != "closed" {
		t.Errorf("as published %v, %+v", used, how)
	}

	// Late: two of the bad hours were good.
	late := []schema.Slice{}
	for _, at := range []string{"2026-10-05 00:00", "2026-10-05 01:00"} {
		late = append(late, schema.Slice{Indicator: "checkout", Revision: "r", Start: hour(at), Seconds: 3600, Good: 10, Total: 10, State: schema.SliceMeasured, Version: 2})
	}
	storeSlices(t, db, late)
	if done := publishAll(t, s); done.Published != 0 || done.Revised != 2 { // the month and its week
		t.Errorf("after late data %+v", done)
	}
	used, how = usedIn(t, s, "2026-10", asPublished)
	if !near(&used, 24/74.4) || how.Revisions != 2 || how.Newest != "late data" {
		t.Errorf("as published %v, %+v: what was published must not change", used, how)
	}
	if used, how = usedIn(t, s, "2026-10", latest); !near(&used, 22/74.4) || how != nil {
		t.Errorf("latest %v, %+v", used, how)
	}

	// An exclusion, then an incident, then a target that was agreed on in October.
	s.exclusions = []schema.Exclusion{{From: hour("2026-10-20 00:00"), To: hour("2026-10-20 02:00"), Reason: "drill", Author: "ops"}}
	publishAll(t, s)
	found := schema.Incident{ID: "INC-4", Service: "shop", Start: hour("2026-10-20 02:00"), Resolved: hour("2026-10-20 06:00"), Version: 1}
	if err := db.InsertIncidents(t.Context(), "found", []schema.Incident{found}); err != nil {
		t.Fatal(err)
	}
	publishAll(t, s)
	s.all[0].Definition.Target = 0.8
	s.effective = map[string]effective{"checkout": {hour("2026-10-15 00:00"), "agreed with sales"}}
	record()
	publishAll(t, s)
	p, err := s.period("2026-10")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.history(t.Context(), "checkout", p)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, r := range answer.Revisions {
		reasons = append(reasons, fmt.Sprintf("%d %s %.4f", r.Revision, r.Reason, *r.Status.Consumed))
	}
	want := []string{
		fmt.Sprintf("1 closed %.4f", 24/74.4), fmt.Sprintf("2 late data %.4f", 22/74.4), fmt.Sprintf("3 exclusion change %.4f", 20/74.2),
		fmt.Sprintf("4 incident change %.4f", 20/74.2), fmt.Sprintf("5 definition change %.4f", 20/148.4),
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	if text := printed(t, answer); !strings.Contains(text, "5         2026-11-10 12:00  definition change  80%") {
		t.Errorf("printed:\n%s", text)
	}
	if used, _ := usedIn(t, s, "2026-09", latest); used != 0.5 {
		t.Errorf("September, before the new target: %v", used)
	}
	compared, err := s.compare(t.Context(), p, s.calendar.Previous(p), latest)
	if err != nil {
		t.Fatal(err)
	}
	parts := compared.Objectives[0].Comparison.Parts
	if parts[0].ID != slo.DefinitionChange || !near(&parts[0].Change, 0.25-0.5) {
		t.Errorf("a changed target is a part of the change: %+v", parts)
	}
	if compared, err = s.compare(t.Context(), p, s.calendar.Previous(p), asPublished); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "slo", "revised.txt"), printed(t, compared))
}

func TestDefinitionsInForce(t *testing.T) {
	now := hour("2026-06-01 00:00")
	s, _ := answerSet(t, hourly("checkout", "shop"), hourly("search", "shop"))
	s.now = func() time.Time { return now }
	record := func(want int) {
		t.Helper()
		if n, err := s.recordDefinitions(t.Context()); err != nil || n != want {
			t.Fatalf("%d definitions recorded, want %d: %v", n, want, err)
		}
	}
	targets := func(at string) string {
		t.Helper()
		all, err := s.inForce(t.Context(), hour(at))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, o := range all {
			out = append(out, fmt.Sprintf("%s %v", o.Definition.Name, o.Definition.Target))
		}
		return strings.Join(out, ", ")
	}
	record(2)
	record(0)
	now = hour("2026-07-01 00:00")
	s.all[0].Definition.Target = 0.8
	record(1)
	now = hour("2026-08-01 00:00")
	s.all = s.all[:1]
	record(1)
	record(0)
	now = hour("2026-09-01 00:00")
	for at, want := range map[string]string{
		"2020-01-01 00:00": "checkout 0.9, search 0.9", "2026-07-01 00:00": "checkout 0.9, search 0.9", "2026-07-31 00:00": "checkout 0.8, search 0.9",
		"2026-08-31 00:00": "checkout 0.8",
	} {
		if got := targets(at); got != want {
			t.Errorf("in force at %s: %s, want %s", at, got, want)
		}
	}
}

func TestDefinitionsAreRestoredWhole(t *testing.T) {
	zone, err := slo.LoadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	calendar := hourly("calendar", "shop")
	calendar.Definition.Window = slo.Window{Unit: slo.Month, Count: 2, Zone: zone, Anchor: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)}
	calendar.Definition.Missing, calendar.Definition.Alerts = slo.MissingBad, []slo.AlertWindow{{Severity: "page", Long: time.Hour, Short: 5 * time.Minute, Factor: 5, For: time.Minute}}
	composite := hourly("composite", "shop")
	composite.Definition.Method, composite.Definition.TimeSliceTarget, composite.Definition.Alerts = "", 0, nil
	composite.Definition.Composite = &slo.Composite{Kind: slo.Weighted, Of: []slo.Child{{Name: "a", Weight: 2, TimeSliceTarget: 1}, {Name: "b", Weight: 1, TimeSliceTarget: 1}}}
	composite.Of = map[string]indicator{"a": {Name: "a", Revision: "1"}, "b": {Name: "b", Revision: "2", Group: "eu"}}
	grouped := hourly("grouped", "shop")
	grouped.Of = map[string]indicator{"eu": {Name: "eu", Revision: "1"}, "us": {Name: "us", Revision: "1"}}
	grouped.Groups = []member{{"eu", grouped.Of["eu"]}, {"us", grouped.Of["us"]}}
	silent := hourly("silent", "shop")
	silent.AlertNoData = false
	for _, o := range []configuredObjective{hourly("rolling", "shop"), calendar, composite, grouped, silent} {
		definition, version := o.version()
		got, err := restored(schema.ObjectiveVersion{Name: o.Definition.Name, Version: version, Definition: definition})
		if err != nil {
			t.Fatal(err)
		}
		again, same := got.version()
		if same != version || string(again) != string(definition) || got.Definition.Validate() != nil {
			t.Errorf("%s: %s became %s", o.Definition.Name, definition, again)
		}
		at := hour("2026-11-01 12:00")
		if got.Definition.Window.Period(at).String() != o.Definition.Window.Period(at).String() || (got.Definition.Alerts == nil) != (o.Definition.Alerts == nil) || len(got.Groups) != len(o.Groups) || got.AlertNoData != o.AlertNoData {
			t.Errorf("%s is not what it was: %+v", o.Definition.Name, got)
		}
	}
}
