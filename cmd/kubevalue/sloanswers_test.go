package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// answerNow is when the questions of these tests are asked: on the tenth of November, when October has closed.
var answerNow = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)

func hour(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

// hourly is an objective of 90 % good hours, a month's budget being 72 hours in September and 74.4 in October.
func hourly(name, service string) configuredObjective {
	return configuredObjective{
		Objective: openslo.Objective{Service: service, AlertNoData: true, Definition: slo.Objective{
			Name: name, Target: 0.9, Window: slo.RollingWindow(28 * 24 * time.Hour), Method: slo.Timeslices, TimeSliceTarget: 1, MinCoverage: 0.9, Alerts: []slo.AlertWindow{},
		}},
		Of:   map[string]indicator{name: {Name: name, Revision: "r"}},
		Grid: slo.EpochGrid(time.Hour),
	}
}

// storeHours stores slices of an hour, 10 of 10 good but in the bad hours, where none is.
func storeHours(t testing.TB, db *warehouse.DB, name string, from, to time.Time, bad ...[2]string) {
	t.Helper()
	var rows []schema.Slice
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		s := schema.Slice{Indicator: name, Revision: "r", Start: at, Seconds: 3600, Good: 10, Total: 10, State: schema.SliceMeasured, Version: 1}
		for _, b := range bad {
			if !at.Before(hour(b[0])) && at.Before(hour(b[1])) {
				s.Good = 0
			}
		}
		rows = append(rows, s)
	}
	storeSlices(t, db, rows)
}

func storeSlices(t testing.TB, db *warehouse.DB, rows []schema.Slice) {
	t.Helper()
	parts := byMonth(rows)
	for _, month := range slices.Sorted(maps.Keys(parts)) {
		token := fmt.Sprint(rows[0].Indicator, month, rows[0].Version, len(rows))
		if err := db.InsertSlices(t.Context(), token, parts[month]); err != nil {
			t.Fatal(err)
		}
	}
}

// answerSet is objectives over a warehouse of their own, at answerNow in UTC.
func answerSet(t testing.TB, all ...configuredObjective) (*objectiveSet, *warehouse.DB) {
	t.Helper()
	db := warehousetest.Open(t)
	return &objectiveSet{
		all: all, store: db, maxLag: 5 * time.Minute, closeAfter: defaultCloseAfter, now: func() time.Time { return answerNow },
		calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday},
	}, db
}

func near(got *float64, want float64) bool { return got != nil && math.Abs(*got-want) < 1e-9 }

// printed is what the command prints.
func printed(t *testing.T, a printable) string {
	t.Helper()
	var b strings.Builder
	if err := a.print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// twoMonths stores September and October: 36 bad hours of checkout in September under INC-0, in October 12 under INC-1 (own), 6 under
// INC-2 (upstream) and 6 under none.
func twoMonths(t *testing.T) *objectiveSet {
	t.Helper()
	s, db := answerSet(t, hourly("checkout", "shop"), hourly("search", "shop"))
	storeHours(t, db, "checkout", hour("2026-09-01 00:00"), hour("2026-11-10 12:00"), [2]string{"2026-09-10 00:00", "2026-09-11 12:00"},
		[2]string{"2026-10-05 00:00", "2026-10-05 12:00"}, [2]string{"2026-10-12 06:00", "2026-10-12 12:00"}, [2]string{"2026-10-20 00:00", "2026-10-20 06:00"})
	storeHours(t, db, "search", hour("2026-10-01 00:00"), hour("2026-11-10 12:00"))
	incidents := []schema.Incident{
		{ID: "INC-0", Service: "shop", Objectives: []string{"checkout"}, Origin: schema.OriginOwn, Class: "dns", Start: hour("2026-09-10 00:00"), Resolved: hour("2026-09-11 12:00"), Version: 1},
		{ID: "INC-1", Service: "shop", Origin: schema.OriginOwn, Class: "dns", Start: hour("2026-10-05 00:00"), Resolved: hour("2026-10-05 12:00"), Version: 1},
		{ID: "INC-2", Service: "shop", Origin: schema.OriginUpstream, Class: "cloud", Start: hour("2026-10-12 06:00"), Resolved: hour("2026-10-12 12:00"), Version: 1},
		{ID: "INC-3", Service: "elsewhere", Origin: schema.OriginOwn, Start: hour("2026-10-20 00:00"), Resolved: hour("2026-10-20 06:00"), Version: 1},
	}
	if err := db.InsertIncidents(t.Context(), "incidents", incidents); err != nil {
		t.Fatal(err)
	}
	return s
}

// An incident that took the name of what no incident accounts for, when that was not refused yet, is told from it and freezes nothing.
func TestAnIncidentOfTheReservedNameIsToldApart(t *testing.T) {
	s, db := answerSet(t, hourly("checkout", "shop"))
	storeHours(t, db, "checkout", hour("2026-10-01 00:00"), hour("2026-11-10 12:00"), [2]string{"2026-10-05 00:00", "2026-10-05 12:00"}, [2]string{"2026-10-20 00:00", "2026-10-20 04:00"})
	old := schema.Incident{
		ID: schema.Unattributed, Service: "shop", Origin: schema.OriginOwn, Class: "dns", Start: hour("2026-10-05 00:00"), Resolved: hour("2026-10-05 12:00"), Version: 1,
		Followups: []schema.Followup{{ID: "a", Done: hour("2026-10-07 00:00")}},
	}
	if err := db.InsertIncidents(t.Context(), "old", []schema.Incident{old}); err != nil {
		t.Fatal(err)
	}
	answer, err := s.attribute(t.Context(), "checkout", "2026-10", asPublished)
	if err != nil {
		t.Fatal(err)
	}
	one := answer.Objectives[0]
	if one.Status == nil {
		t.Fatalf("no figures: %s", one.Fault)
	}
	if incident, _ := one.Status.Attribution.Share("incident unattributed"); !near(&incident, 0.75) || one.Causes.Own != incident || one.Causes.Unattributed != 0.25 {
		t.Errorf("shares %+v, causes %+v", one.Status.Attribution.Parts, *one.Causes)
	}
	if effects, err := s.followups(t.Context(), time.Time{}, slo.MaxLength); err != nil || len(effects.Classes) != 1 {
		t.Errorf("follow-ups %+v, %v", effects, err)
	}
}

func TestCompareMonths(t *testing.T) {
	s := twoMonths(t)
	p, err := s.period("month")
	if err != nil {
		t.Fatal(err)
	}
	with, err := s.other(p, "previous")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.compare(t.Context(), p, with, asPublished)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Period.Label != "2026-10" || answer.With.Label != "2026-09" || answer.Period.State != periodClosed {
		t.Fatalf("compared %s with %s", answer.Period, answer.With)
	}
	checkout, search := answer.Objectives[0], answer.Objectives[1]
	if c := checkout.Comparison; !near(c.Before.Consumed, 36/72.) || !near(c.After.Consumed, 24/74.4) || !near(c.Consumed, 24/74.4-0.5) {
		t.Errorf("checkout used %v, %v before", *c.After.Consumed, *c.Before.Consumed)
	}
	want := map[string]float64{"INC-0": -0.5, "INC-1": 12 / 74.4, "INC-2": 6 / 74.4, slo.Unattributed: 6 / 74.4}
	sum := 0.0
	for _, part := range checkout.Comparison.Parts {
		if math.Abs(part.Change-want[part.ID]) > 1e-9 {
			t.Errorf("%s changed the budget used by %v, want %v", part.ID, part.Change, want[part.ID])
		}
		delete(want, part.ID)
		sum += part.Change
	}
	if len(want) > 0 || !near(checkout.Comparison.Consumed, sum) {
		t.Errorf("parts missing: %v; the parts sum to %v", want, sum)
	}
	if search.Comparison == nil || search.Comparison.Consumed != nil || search.Before.Status.Consumed != nil {
		t.Errorf("search was not measured in September, but is compared: %+v", search.Comparison)
	}
	shop := answer.Services[0]
	if shop.After.Worst != "checkout" || !near(shop.After.Uptime, 1-24/744.) || !near(shop.Before.Uptime, 1-36/720.) || shop.Before.Objectives != 2 {
		t.Errorf("service %+v", shop)
	}
	golden(t, filepath.Join("testdata", "slo", "compare.txt"), printed(t, answer))
}

func TestPeriodUnderWayIsMarkedPartial(t *testing.T) {
	s := twoMonths(t)
	p, err := s.period("current")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.compare(t.Context(), p, s.calendar.Previous(p), asPublished)
	if err != nil {
		t.Fatal(err)
	}
	after := answer.Objectives[0].After.Status
	if answer.Period.State != periodOpen || !after.Partial || !after.At.Equal(answerNow) || after.MeasuredSlices != 9*24+12 {
		t.Errorf("the month under way: %s, status %+v", answer.Period, after)
	}
	if text := printed(t, answer); !strings.Contains(text, "under way: partial") || !strings.Contains(text, "all objectives: the later period is still under way") {
		t.Errorf("the text does not say that November is under way:\n%s", text)
	}
}

func TestPeriodsThatCannotBeAsked(t *testing.T) {
	s := &objectiveSet{now: func() time.Time { return answerNow }, calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}}
	for text, want := range map[string]string{"2026-12": "still to come", "1850-01": "before 1970", "fortnight": "want a week 2026-W02", "current-year": "want a week"} {
		if _, err := s.period(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("period %q: %v", text, err)
		}
	}
	p, err := s.period("2026-10")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"2026-W40": "but the grain is month", "2026-10": "with itself", "1850-01": "before 1970"} {
		if _, err := s.other(p, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v", text, err)
		}
	}
	if with, err := s.other(p, "year-ago"); err != nil || with.Label != "2025-10" {
		t.Errorf("a year ago: %s, %v", with.Label, err)
	}
}

func TestAttributionSumsToTheWhole(t *testing.T) {
	s := twoMonths(t)
	s.exclusions = []schema.Exclusion{{From: hour("2026-10-20 00:00"), To: hour("2026-10-20 03:00"), Reason: "drill", Author: "ops"}}
	answer, err := s.attribute(t.Context(), "checkout", "2026-10", asPublished)
	if err != nil {
		t.Fatal(err)
	}
	o := answer.Objectives[0]
	sum := 0.0
	for _, part := range o.Status.Attribution.Parts {
		sum += part.Consumed
	}
	if sum != *o.Status.Consumed || !near(o.Status.Consumed, 21/74.1) {
		t.Errorf("the parts sum to %v, used was %v", sum, *o.Status.Consumed)
	}
	if c := o.Causes; math.Abs(c.Own-12/21.) > 1e-9 || math.Abs(c.Upstream-6/21.) > 1e-9 || math.Abs(c.Unattributed-3/21.) > 1e-9 || c.Unknown != 0 {
		t.Errorf("causes %+v", c)
	}
	if sp := o.Status.Spared; sp.BadMinutes != 180 || !near(sp.Consumed, 24/74.4-21/74.1) {
		t.Errorf("spared %+v", sp)
	}
	golden(t, filepath.Join("testdata", "slo", "attribute.txt"), printed(t, answer))
	if _, err := s.attribute(t.Context(), "chekout", "2026-10", asPublished); err == nil || !strings.Contains(err.Error(), `did you mean "checkout"`) {
		t.Errorf("a mistyped objective: %v", err)
	}
}

func TestValueByHourOfTheWeek(t *testing.T) {
	s, db := answerSet(t, hourly("checkout", "shop"), hourly("mail", "mail"))
	// Weeks 37 and 38: the Monday hour that costs five times as much was bad in the first week only.
	storeHours(t, db, "checkout", hour("2026-09-07 00:00"), hour("2026-09-21 00:00"), [2]string{"2026-09-07 10:00", "2026-09-07 11:00"},
		[2]string{"2026-09-08 00:00", "2026-09-08 01:00"}, [2]string{"2026-09-15 00:00", "2026-09-15 01:00"}, [2]string{"2026-09-16 05:00", "2026-09-16 06:00"})
	s.exclusions = []schema.Exclusion{{From: hour("2026-09-17 03:10"), To: hour("2026-09-17 03:20"), Reason: "drill", Author: "ops"}}
	one, five := 1.0, 5.0
	cfg := Config{zone: time.UTC, Prices: []PriceConfig{{Service: "shop", PerMinute: &one, Currency: "EUR", To: "2026-10-01", Hours: []PriceHoursConfig{
		{Days: []string{"monday"}, From: "10:00", To: "11:00", PerMinute: &five},
	}}}}
	s.pricing = cfg.pricing(s.all)
	p, err := s.period("2026-W38")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.value(t.Context(), p, s.calendar.Previous(p))
	if err != nil {
		t.Fatal(err)
	}
	got := answer.Services[0].Amounts[0]
	// 167 hours count, one of them at 5: the objective allows 6 minutes of each.
	want := slo.Amount{Currency: "EUR", Loss: 120, Gained: 5*60 + 0 - 60, AgainstObjective: 166*6 + 5*6 - 120, MeasuredMinutes: 167 * 60, BadMinutes: 120}
	for name, pair := range map[string][2]float64{
		"loss": {got.Loss, want.Loss}, "gained": {got.Gained, want.Gained}, "against objective": {got.AgainstObjective, want.AgainstObjective},
		"measured": {got.MeasuredMinutes, want.MeasuredMinutes}, "bad": {got.BadMinutes, want.BadMinutes},
		"minutes gained": {got.GainedMinutes, 0}, "minutes against the objective": {got.AgainstObjectiveMinutes, 167*6 - 120}, // an hour better, two of which one each worse
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-6 {
			t.Errorf("%s %v, want %v", name, pair[0], pair[1])
		}
	}
	if !slices.Equal(answer.Unpriced, []string{"mail"}) || !near(answer.Services[0].Coverage, 1) {
		t.Errorf("unpriced %v, coverage %v", answer.Unpriced, answer.Services[0].Coverage)
	}
	golden(t, filepath.Join("testdata", "slo", "value.txt"), printed(t, answer))

	october, err := s.period("2026-W41")
	if err != nil {
		t.Fatal(err)
	}
	storeHours(t, db, "checkout", hour("2026-10-05 00:00"), hour("2026-10-06 00:00"))
	answer, err = s.value(t.Context(), october, p)
	if err != nil {
		t.Fatal(err)
	}
	if one := answer.Services[0]; one.Priced() || one.UnpricedMinutes != 24*60 || !near(one.Coverage, 1/7.) {
		t.Errorf("after the price ended: %+v, coverage %v", one.Value, *one.Coverage)
	}
}

func TestFollowupsAdmitThatTheyCannotTell(t *testing.T) {
	s, db := answerSet(t)
	var rows []schema.Incident
	add := func(class string, day, length int, done time.Time) {
		start := hour("2026-03-01 00:00").AddDate(0, 0, day)
		in := schema.Incident{ID: fmt.Sprintf("%s-%d", class, day), Service: "shop", Class: class, Start: start, Resolved: start.Add(time.Duration(length) * time.Minute), Version: 1}
		if !done.IsZero() {
			in.Followups = []schema.Followup{{ID: in.ID + "/1", Done: done}}
		}
		rows = append(rows, in)
	}
	for day := range 200 { // the control: a steady class without follow-ups
		if day%4 == 0 {
			add("network", day, 10, time.Time{})
		}
	}
	for day := 1; day < 60; day += 3 {
		add("dns", day, 30, time.Time{})
	}
	add("dns", 61, 60, hour("2026-05-10 00:00"))
	add("disk", 20, 15, time.Time{})
	add("disk", 50, 15, hour("2026-05-01 00:00"))
	add("quota", 100, 15, hour("2027-01-01 00:00"))
	if err := db.InsertIncidents(t.Context(), "incidents", rows); err != nil {
		t.Fatal(err)
	}
	answer, err := s.followups(t.Context(), time.Time{}, 60*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]slo.FollowUpEffect{}
	for _, e := range answer.Classes {
		got[e.Class] = e
	}
	dns := got["dns"]
	if dns.Verdict != slo.Improved || dns.IncidentsBefore != 20 || dns.IncidentsAfter != 0 || dns.DowntimeBefore != 600 || !dns.Controlled || !dns.Before.To.Equal(hour("2026-05-01 00:00")) {
		t.Errorf("dns: %+v", dns)
	}
	if disk := got["disk"]; disk.Verdict != slo.CannotTell || disk.IncidentsBefore != 1 {
		t.Errorf("one incident before and none after is no evidence: %+v", disk)
	}
	if quota := got["quota"]; quota.Verdict != slo.CannotTell || quota.Open != 1 || quota.Done != 0 {
		t.Errorf("a follow-up that will be done next year is open: %+v", quota)
	}
	golden(t, filepath.Join("testdata", "slo", "followups.txt"), printed(t, answer))
}

func TestExplainHasTheNumbers(t *testing.T) {
	s := twoMonths(t)
	answer, err := s.explain(t.Context(), "checkout", "", hour("2026-10-13 00:00"))
	if err != nil {
		t.Fatal(err)
	}
	// The 28 days before 13 October have 18 bad hours of 672; the budget is 67.2.
	if !near(answer.Status.Consumed, 18/67.2) {
		t.Errorf("used %v", *answer.Status.Consumed)
	}
	golden(t, filepath.Join("testdata", "slo", "explain.txt"), printed(t, answer))
	all, err := s.statusesAt(t.Context(), s.all[:1], hour("2026-10-13 00:00"))
	if err != nil || *all[0].status.Consumed != *answer.Status.Consumed {
		t.Errorf("the status says %v, the explanation %v: %v", *all[0].status.Consumed, *answer.Status.Consumed, err)
	}
	if _, err := s.explain(t.Context(), "checkout", "", hour("1850-01-01 00:00")); err == nil || !strings.Contains(err.Error(), "before 1970") {
		t.Errorf("a time before all: %v", err)
	}
	if _, err := s.explain(t.Context(), "checkout", "", answerNow.Add(time.Hour)); err == nil {
		t.Error("the future was explained")
	}
}

func hours(n int) time.Duration { return time.Duration(n) * time.Hour }

// printFunc prints a part of an answer.
type printFunc func(io.Writer) error

func (f printFunc) print(out io.Writer) error { return f(out) }
