package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/alerting"
)

// TestObjectivePerGroup has three clusters over the 28 days up to 10 November, 672 hours each: eu is bad for 30 of them, us is good, and
// ap has sent nothing for the last 336.
func TestObjectivePerGroup(t *testing.T) {
	o := hourly("apiserver", "clusters")
	o.PerGroup = true
	s, db := answerSet(t, o)
	for group, bad := range map[string]int{"eu": 30, "us": 0, "ap": 0} {
		var rows []schema.Slice
		for i := range 672 {
			if group == "ap" && i >= 336 {
				break
			}
			slice := schema.Slice{Indicator: "apiserver", Revision: "r", Group: group, Start: answerNow.Add(hours(i - 672)), Seconds: 3600, Good: 1, Total: 1, State: schema.SliceMeasured, Version: 1}
			if i < bad {
				slice.Good = 0
			}
			rows = append(rows, slice)
		}
		for month, part := range byMonth(rows) {
			if err := db.InsertSlices(t.Context(), group+month, part); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := s.withGroups(t.Context(), s.all)
	if err != nil {
		t.Fatal(err)
	}
	got := all[0]
	total := got.Status
	// ap holds the watermark back by an hour, but no longer: 30 bad hours of 1678 measured ones, of a budget of a tenth.
	if got.Worst != "eu" || len(got.Groups) != 3 || !near(total.Consumed, 30/167.8) || total.ExpectedSlices != 3*672 || !near(total.Coverage, 1678/2016.) || total.BadMinutes != 1800 {
		t.Errorf("worst %s, total %+v", got.Worst, total.Figures)
	}
	byName := map[string]slo.Status{}
	for _, g := range got.Groups {
		byName[g.Group] = g.Status
	}
	if !near(byName["eu"].Consumed, 30/67.1) || !near(byName["us"].Consumed, 0) || !near(byName["ap"].Coverage, 0.5) || !byName["ap"].LowCoverage {
		t.Errorf("groups %+v", byName)
	}
	golden(t, filepath.Join("testdata", "slo", "groups.txt"), printed(t, printFunc(got.printGroups)))

	expectGroupAlerts(t, s, db)
	explained, err := s.explain(t.Context(), "apiserver", "eu", answerNow.Add(-time.Hour))
	if err != nil || *explained.Status.Consumed != *byName["eu"].Consumed {
		t.Errorf("explained %v: %v", explained.Status.Consumed, err)
	}
	if _, err := s.explain(t.Context(), "apiserver", "", answerNow); err == nil || !strings.Contains(err.Error(), "say which one, of ap, eu, us") {
		t.Errorf("explained without a group: %v", err)
	}
}

// expectGroupAlerts looks at what is alerted on: all together, which may not vanish, and each group, which may.
func expectGroupAlerts(t *testing.T, s *objectiveSet, db *warehouse.DB) {
	t.Helper()
	o := &s.all[0].Objective
	o.AlertNoData, o.Resolved, o.Targets = true, false, map[string][]string{"page": {"on-call"}}
	svc := &service{cfg: &Config{}, now: s.now, figures: &figures{objectives: s}, pipe: emptySpool(t, db, s.now), log: slog.New(slog.DiscardHandler)}
	var got []string
	for _, in := range svc.alertInputs(t.Context()) {
		if in.Status == nil || !in.Quiet || in.Targets["page"] == nil || in.Labels["service"] != "clusters" {
			t.Errorf("input %+v", in)
		}
		got = append(got, fmt.Sprintf("%s/%s %v", in.Objective, in.Group, in.MayVanish))
	}
	if want := "apiserver/ false, apiserver/ap true, apiserver/eu true, apiserver/us true"; strings.Join(got, ", ") != want {
		t.Errorf("alerts are about %s, want %s", strings.Join(got, ", "), want)
	}
}

// TestNoGroupReports has an objective per group of which nobody has ever measured anything: that is alerted on.
func TestNoGroupReports(t *testing.T) {
	o := hourly("apiserver", "clusters")
	o.PerGroup, o.AlertNoData, o.Resolved = true, true, true
	s, db := answerSet(t, o)
	options := alerting.Default()
	s.burnWindows, s.started = options.BurnWindows(), answerNow.Add(-20*time.Minute)
	svc := &service{cfg: &Config{}, now: s.now, figures: &figures{objectives: s}, pipe: emptySpool(t, db, s.now), log: slog.New(slog.DiscardHandler)}
	manager := alerting.NewManager(alerting.Config{Options: options, Store: alertMemory{stateFiles(func(name string) string { return filepath.Join(t.TempDir(), name) })}, Now: s.now})
	fire := func() []string {
		t.Helper()
		if err := manager.Tick(t.Context(), svc.alertInputs(t.Context())); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range manager.Records() {
			if r.State == slo.Firing {
				out = append(out, r.Key.String())
			}
		}
		return out
	}
	if got := fire(); len(got) != 0 { // slices of an hour: the last one began before this service did
		t.Errorf("fires: %q", got)
	}
	s.started = answerNow.Add(-2 * time.Hour)
	if got := fire(); !slices.Equal(got, []string{"NothingMeasured apiserver (page)"}) {
		t.Errorf("fires: %q", got)
	}
	if all, err := s.withGroups(t.Context(), s.all); err != nil || all[0].Error != slo.ErrNoGroups.Error() {
		t.Errorf("status: %+v, %v", all, err)
	}
}

// TestGroupsAtTheBeginningOfAPeriod has two clusters, of which one has not yet reported a slice of the new month.
func TestGroupsAtTheBeginningOfAPeriod(t *testing.T) {
	o := hourly("apiserver", "clusters")
	o.PerGroup, o.Grid, o.Definition.Window = true, slo.EpochGrid(time.Minute), slo.Window{Unit: slo.Month, Count: 1, Zone: time.UTC}
	s, db := answerSet(t, o)
	month := hour("2026-11-01 00:00")
	s.now = func() time.Time { return month.Add(90 * time.Second) }
	var rows []schema.Slice
	for group, last := range map[string]int{"eu": 0, "us": -1} {
		for minute := -20; minute <= last; minute++ {
			rows = append(rows, schema.Slice{Indicator: "apiserver", Revision: "r", Group: group, Start: month.Add(time.Duration(minute) * time.Minute), Seconds: 60, Good: 1, Total: 1,
				State: schema.SliceMeasured, Version: 1})
		}
	}
	storeSlices(t, db, rows)
	answers, err := s.statusesAt(t.Context(), s.all, s.now())
	if err != nil || answers[0].err != nil {
		t.Fatal(err, answers[0].err)
	}
	if got := answers[0]; len(got.groups.Groups) != 2 || !got.status.At.Equal(month) || !got.status.Period.To.Equal(month) {
		t.Errorf("%d groups at %s in %v", len(got.groups.Groups), got.status.At, got.status.Period)
	}
}

const groupedDocument = `apiVersion: openslo/v1
kind: SLO
metadata: {name: apiserver}
spec:
  service: clusters
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: apiserver}
    spec: {ratioMetric: {counter: false, rawType: success, raw: {metricSource: {type: kubevalue, spec: SPEC}}}}
  objectives: [{target: 0.99}]
`

// loadGrouped loads a configuration with two API servers and an objective over a metric source.
func loadGrouped(t *testing.T, spec, more string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"slo.yaml": strings.ReplaceAll(groupedDocument, "SPEC", spec),
		"kubevalue.yaml": `probes:
  - {name: api-eu, url: "https://127.0.0.1:1/readyz"}
  - {name: api-us, url: "https://127.0.0.1:2/readyz"}
  - {name: web, url: "https://127.0.0.1:3/", interval: 1s, slice: 10s}
objectives: {openslo: [slo.yaml]}
` + more,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return loadConfig(filepath.Join(dir, "kubevalue.yaml"))
}

func TestGroupsOfADocument(t *testing.T) {
	cfg, err := loadGrouped(t, "{probes: [api-*]}", "")
	if err != nil {
		t.Fatal(err)
	}
	all, err := cfg.loadObjectives()
	if err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(all[0].Of)); !all[0].grouped() || !slices.Equal(names, []string{"api-eu", "api-us"}) || all[0].Of["api-eu"].Revision == all[0].Of["api-us"].Revision {
		t.Errorf("groups %v of %v", all[0].Groups, all[0].Of)
	}
	if cfg, err = loadGrouped(t, "{indicator: api, slice: 1m, per: group}", ""); err != nil {
		t.Fatal(err)
	}
	if all, err = cfg.loadObjectives(); err != nil || !all[0].PerGroup {
		t.Errorf("per group: %+v, %v", all, err)
	}
	for _, bad := range []struct{ spec, more, want string }{
		{"{probes: [api-*, web]}", "", "slices of 1m0s and of 10s"},
		{"{probes: [api-eux]}", "", `there is no probe "api-eux" in the configuration; did you mean "api-eu"?`},
		{"{probes: api-*}", "", "probes must be a list"},
		{`{probes: ["["]}`, "", "is no pattern"},
		{"{indicator: api, slice: 1m, per: cluster}", "", "per: cluster is not known"},
		{"{probes: [api-*]}", "prices: [{service: clusters, per_minute: 1, currency: EUR}]", "those per group aside"},
	} {
		if _, err := loadGrouped(t, bad.spec, bad.more); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %q", bad.spec, err, bad.want)
		}
	}
}
