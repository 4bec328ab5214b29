// Package sample is an invented organisation with a week that has something to tell, for the tests of reports and their renderings.
package sample

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// Zone is the sample's reporting time zone.
var Zone = must(time.LoadLocation("Europe/Berlin"))

// Calendar is the sample's reporting calendar.
var Calendar = journey.Calendar{Zone: Zone, WeekStart: time.Monday}

// Now is the Monday morning after the reported week 2026-W46.
var Now = time.Date(2026, 11, 16, 7, 0, 0, 0, Zone)

// Hidden are names that the sources know and that a managers' report must not show.
var Hidden = []string{"checkout-7d9f8b-x2x4", "ns-payments-prod", "eu-central-prod-a", "apiserver OOM in ns-payments-prod", "audit/eu-central-prod-a"}

// Small is a team too small to be named.
const Small = "two-person-team"

// Options are those of a weekly report for an audience.
func Options(a reports.Audience) reports.Options {
	return reports.Options{
		Audience: a, Period: "2026-W46", Calendar: Calendar, Org: "Example Corp", BaseURL: "https://kubevalue.example.com",
		Adoption: []string{"C15", "A1", "A2", "C16"},
		Owners: map[string]string{
			"adoption": "Platform product", "creation": "Onboarding", "operation": "Runtime", "cleanup": "Runtime", "C11": "Capacity", "api-eu": "Runtime EU",
		},
	}
}

// Sources are the sample's figures.
func Sources() reports.Sources {
	return reports.Sources{
		Map: Map, Metrics: Metric, Evaluate: Evaluate, Objectives: Objectives, Status: Status, Incidents: Incidents, Followups: Followups, Teams: Teams, Quality: Quality,
	}
}

// Map is the sample's journey map.
var Map = journey.Map{
	Title: "Platform",
	Perspectives: []journey.Perspective{
		{ID: "platform", Title: "Platform developer"}, {ID: "application", Title: "Application developer"}, {ID: "management", Title: "Management", Customer: true},
	},
	Phases: []journey.Phase{
		{ID: "creation", Title: "Creation", Activities: []journey.Activity{
			{ID: "onboard", Title: "Onboarding", Cells: []journey.Cell{
				cell("management", at("C15", 0.6), at("C5", 72), at("C4", 0.9)),
				cell("application", at("C3", 30), at("C11", 5)),
			}},
			{ID: "self-service", Title: "Self-service", Cells: []journey.Cell{
				cell("management", at("C11", 20), at("C12", math.NaN()), at("C9", math.NaN()), at("C8", 24)),
				cell("platform", at("C12", 0.5)),
			}},
		}},
		{ID: "operation", Title: "Operation", Activities: []journey.Activity{
			{ID: "run", Title: "Running", Cells: []journey.Cell{
				cell("management", at("O1", 0.999), at("O8", 0.15), at("O10", 60), at("O13", 0.95)),
				cell("platform", at("O1", 0.999), at("O10", 60)),
			}},
			{ID: "cost", Title: "Cost", Cells: []journey.Cell{
				{Perspective: "management", Gap: &journey.Gap{Reason: "prices are not connected"}},
				{Perspective: "application", Gap: &journey.Gap{Reason: "requests and usage are not collected"}},
			}},
		}},
		{ID: "cleanup", Title: "Cleanup", Activities: []journey.Activity{
			{ID: "retire", Title: "Retiring", Cells: []journey.Cell{
				cell("management", at("X3", 14), at("X4", math.NaN())),
				cell("platform", at("X1", 0.99), at("X3", 14)),
			}},
		}},
	},
}

func cell(perspective string, metrics ...journey.CellMetric) journey.Cell {
	return journey.Cell{Perspective: perspective, Metrics: metrics}
}

// at places a metric with a target; NaN: none.
func at(id string, target float64) journey.CellMetric {
	m := journey.CellMetric{Metric: id}
	if !math.IsNaN(target) {
		m.Target = new(target)
	}
	return m
}

// series is a metric with its values of the weeks up to 2026-W46 and of the months up to October, the last ones given.
type series struct {
	metric journey.Metric
	n      int
	denom  []float64
	weeks  []float64
	months []float64
	// coverage of the reported week; 0 means 1.
	coverage float64
}

func metric(id, title, unit string, d journey.Direction) journey.Metric {
	return journey.Metric{ID: id, Title: title, Unit: unit, Direction: d, SmallGroup: journey.SmallGroupShow, MinSample: 5, Version: 1}
}

const (
	up   = journey.DirectionUp
	down = journey.DirectionDown
)

var nan = math.NaN()

var catalogue = map[string]series{
	"C15": {metric: metric("C15", "Adoption of eligible teams", "ratio", up), n: 40, denom: []float64{36, 36, 38, 38, 40, 40},
		weeks: []float64{16. / 36, 17. / 36, 18. / 38, 20. / 38, 21. / 40, 23. / 40}, months: []float64{nan, nan, 0.1, 0.16, 0.2, 0.22, 0.3, 0.33, 0.36, 0.4, 0.44, 0.5}},
	"A1":  {metric: metric("A1", "Active people", "people", up), n: 231, weeks: []float64{160, 171, 188, 204, 209, 231}},
	"A2":  {metric: metric("A2", "Active teams", "teams", up), n: 24, weeks: []float64{17, 18, 19, 21, 22, 24}},
	"C16": {metric: metric("C16", "Active by free choice", "ratio", up), n: 24, weeks: []float64{0.82, 0.83, 0.84, 0.86, 0.86, 0.875}},
	"C5":  {metric: metric("C5", "Time to first deployment, median", "hours", down), n: 6, weeks: []float64{96, 90, 71, 64, 60, 41}},
	"C4":  {metric: metric("C4", "Self-service rate", "ratio", up), n: 412, weeks: []float64{0.88, 0.9, 0.91, 0.93, 0.94, 0.941}},
	"C3":  {metric: metric("C3", "Namespace to first ready pod, median", "minutes", down), n: 19, weeks: []float64{44, 41, 38, 29, 27, 26}},
	"C8":  {metric: metric("C8", "Change lead time, median", "hours", down), n: 388, weeks: []float64{30, 29, 27, 26, 25, 22}},
	"C9":  {metric: metric("C9", "Deployments", "per team and week", up), n: 412, weeks: []float64{8.1, 8.4, 9, 9.6, 9.9, 10.3}},
	"C11": {metric: dimensions(metric("C11", "Quota denials", "owner hours", down), "cluster"), n: 9, weeks: []float64{14, 12, 17, 26, 31, 44}},
	"C12": {metric: people(metric("C12", "Permission denials per active person", "denials", down)), n: 3, weeks: []float64{nan, nan, 0.4, 0.4, 0.5, 0.7}},
	"O1":  {metric: dimensions(metric("O1", "API availability", "ratio", up), "cluster"), n: 10080, weeks: []float64{0.9996, 0.9997, 0.9994, 0.9995, 0.9996, 0.9982}, coverage: 0.991},
	"O8":  {metric: metric("O8", "Change fail rate", "ratio", down), n: 412, weeks: []float64{0.12, 0.13, 0.11, 0.12, 0.11, 0.107}},
	"O10": {metric: metric("O10", "Time to restore, median", "minutes", down), n: 2, weeks: []float64{nan, 35, 48, nan, 52, 74}},
	"O13": {metric: metric("O13", "Clusters on supported versions", "ratio", up), n: 12, weeks: []float64{1, 1, 1, 11. / 12, 11. / 12, 11. / 12}},
	"X3":  {metric: metric("X3", "Cleanup lag, median", "days", down), n: 7, weeks: []float64{21, 20, 18, 16, 15, 12.5}, coverage: 0.83},
	"X4":  {metric: metric("X4", "Abandoned namespaces", "namespaces", down), n: 163, weeks: []float64{9, 9, 8, 8, 8, 8}},
	"X1":  {metric: metric("X1", "Deletions that succeed", "ratio", up), n: 0, weeks: []float64{nan, nan, nan, nan, nan, nan}, coverage: -1},
}

func dimensions(m journey.Metric, names ...string) journey.Metric {
	m.Dimensions = names
	return m
}

func people(m journey.Metric) journey.Metric {
	m.SmallGroup, m.MinSample = journey.SmallGroupWithhold, 0
	return m
}

// Metric finds a definition of the sample's catalogue.
func Metric(id string) (journey.Metric, bool) {
	s, ok := catalogue[id]
	return s.metric, ok
}

// Evaluate answers from the sample's series.
func Evaluate(_ context.Context, r journey.Request) ([]journey.Value, error) {
	s, ok := catalogue[r.Metric]
	if !ok {
		return nil, fmt.Errorf("metric %s is not in the sample", r.Metric)
	}
	if r.By == "cluster" {
		return byCluster(s, r.Periods[0]), nil
	}
	var out []journey.Value
	for i, p := range r.Periods {
		values, denom := s.weeks, s.denom
		if p.Grain == journey.GrainMonth {
			values, denom = s.months, nil
		}
		v := journey.Value{Metric: r.Metric, Version: 1, Period: p, Unit: s.metric.Unit, N: s.n, Coverage: new(1.0), ComputedAt: Now}
		if k := len(values) - len(r.Periods) + i; k >= 0 && !math.IsNaN(values[k]) {
			v.Value = new(values[k])
			if denom != nil {
				v.Denominator, v.Numerator = new(denom[k]), new(denom[k]*values[k])
			}
		}
		if i == len(r.Periods)-1 && s.coverage != 0 {
			v.Coverage = new(max(0, s.coverage))
		}
		out = append(out, v)
	}
	return out, nil
}

func byCluster(s series, p journey.Period) []journey.Value {
	var out []journey.Value
	for i, name := range []string{"eu-central-prod-a", "us-east-prod-a", "ap-south-prod-a"} {
		last := s.weeks[len(s.weeks)-1]
		v := journey.Value{Metric: s.metric.ID, Version: 1, Period: p, Unit: s.metric.Unit, N: s.n / 3, Dimensions: map[string]string{"cluster": name}}
		v.Value = new(last * []float64{0.75, 0.25, 0}[i])
		if s.metric.Unit == "ratio" {
			v.Value = new([]float64{0.9951, 0.9997, 0.9998}[i])
		}
		out = append(out, v)
	}
	return out
}

var burn = map[string][]float64{"api-eu": {0.4, 0.3, 0.6, 0.5, 0.4, 1.8}, "api-us": {0.1, 0.1, 0, 0.2, 0.1, 0.12}, "registry": {0.7, 0.9, 1.2, 0.8, 0.6, 0.95}}

// Objectives answers with three objectives whose worst one had a bad week.
func Objectives(_ context.Context, p journey.Period, _ time.Time) ([]journey.ObjectiveFigure, error) {
	var out []journey.ObjectiveFigure
	weeksBack := int(math.Round(Now.Sub(p.To).Hours() / (7 * 24)))
	for name, target := range map[string]float64{"api-eu": 0.999, "api-us": 0.999, "registry": 0.995} {
		b := 0.3 + 0.1*math.Abs(math.Sin(float64(p.From.Month())+target))
		if p.Grain == journey.GrainWeek {
			b = burn[name][5-weeksBack]
		}
		if p.Grain == journey.GrainMonth && p.From.In(Zone).Month() == time.June && name == "api-eu" {
			b = 1.35
		}
		coverage := 1.0
		if name == "registry" && p.Grain == journey.GrainWeek {
			coverage = 0.97
		}
		out = append(out, journey.ObjectiveFigure{
			Objective: name, Target: target, SLI: new(1 - b*(1-target)), BurnRate: new(b), BudgetConsumed: new(b), BudgetRemaining: new(1 - b), Coverage: new(coverage), Measured: 10080,
		})
	}
	return out, nil
}

// Status is the standing of the objectives over 28 days.
func Status(_ context.Context, at time.Time) ([]reports.ObjectiveStatus, error) {
	status := func(name string, target, consumed float64, attribution *slo.Attribution) *slo.Status {
		allowed := (1 - target) * 28 * 24 * 60
		s := &slo.Status{
			Objective: name, Target: target, At: at, Period: slo.Interval{From: at.AddDate(0, 0, -28), To: at}, AllowedMinutes: allowed, RemainingMinutes: new(allowed * (1 - consumed)),
			Alerts:      []slo.SeverityStatus{{Severity: "page", State: slo.Inactive}, {Severity: "ticket", State: slo.Inactive}},
			BurnRates:   []slo.BurnRate{{Window: time.Hour, Rate: new(0.2)}, {Window: 24 * time.Hour, Rate: new(consumed)}},
			Attribution: attribution, Forecast: slo.Forecast{Window: 24 * time.Hour, Burn: new(consumed), Reason: "nothing is being used"},
		}
		s.SLI, s.Consumed, s.Remaining, s.Coverage = new(1-consumed*(1-target)), new(consumed), new(1-consumed), new(0.993)
		return s
	}
	eu := status("api-eu", 0.999, 1.12, &slo.Attribution{Parts: []slo.AttributionPart{
		{ID: "INC-41", Class: "etcd-latency", Share: 0.62, Consumed: 0.69, BadMinutes: 27.8}, {ID: slo.Unattributed, Share: 0.38, Consumed: 0.43, BadMinutes: 17.2},
	}})
	eu.Alerts[1].State = slo.Firing
	return []reports.ObjectiveStatus{
		{Name: "api-us", Title: "US API", Service: "kubernetes-api-us", Owner: "Runtime US", Window: "28d", Target: 0.999, Status: status("api-us", 0.999, 0.13, nil)},
		{Name: "api-eu", Title: "EU API", Service: "kubernetes-api-eu", Window: "28d", Target: 0.999, Status: eu},
		{Name: "registry", Title: "Image registry", Service: "registry", Owner: "Runtime", Window: "28d", Target: 0.995, Status: status("registry", 0.995, 0.71, nil)},
	}, nil
}

// Incidents is one incident whose free text names a namespace.
func Incidents(context.Context, time.Time, time.Time) ([]schema.Incident, error) {
	start := time.Date(2026, 11, 11, 14, 5, 0, 0, Zone)
	return []schema.Incident{{
		ID: "INC-41", Service: "kubernetes-api-eu", Title: "apiserver OOM in ns-payments-prod", Class: "etcd-latency", Cause: "pod checkout-7d9f8b-x2x4", Origin: schema.OriginOwn,
		Start: start, Detected: start.Add(4 * time.Minute), Resolved: start.Add(74 * time.Minute),
		Followups: []schema.Followup{{ID: "F-1", Owner: "Runtime EU", Done: start.Add(48 * time.Hour)}, {ID: "F-2", Owner: "Runtime EU"}},
	}}, nil
}

// Followups is a class whose work helped, and one of which that cannot be told.
func Followups(_ context.Context, at time.Time) ([]slo.FollowUpEffect, error) {
	before := slo.Interval{From: at.AddDate(0, 0, -140), To: at.AddDate(0, 0, -77)}
	return []slo.FollowUpEffect{
		{Class: "certificates", Done: 1, Open: 2, Verdict: slo.CannotTell, Reason: "2 follow-ups are still open"},
		{Class: "etcd-latency", Before: before, Done: 3, IncidentsBefore: 17, IncidentsAfter: 2, DowntimeBefore: 294, DowntimeAfter: 19, ControlBefore: 7, ControlAfter: 7, Verdict: slo.Improved, Reason: "it is so"},
	}, nil
}

// Teams has two teams that joined, one that fell silent, one that left, and small ones that must not be named.
func Teams(_ context.Context, p, _ journey.Period) ([]reports.TeamUse, error) {
	old, in := p.From.AddDate(0, -3, 0), p.From.Add(30*time.Hour)
	out := []reports.TeamUse{
		{Team: "ledger", Members: 14, Eligible: true, EligibleBefore: true, Active: true, First: in, Last: in},
		{Team: "maps", Members: 11, Eligible: true, EligibleBefore: true, Active: true, First: in, Last: in},
		{Team: Small, Members: 2, Eligible: true, EligibleBefore: true, Active: true, First: in, Last: in},
		{Team: "returns", Members: 9, Eligible: true, EligibleBefore: true, First: old, ActiveBefore: true, Last: p.From.Add(-50 * time.Hour)},
		{Team: "ads", Members: 12, EligibleBefore: true, First: old, Last: p.From.Add(-9 * 24 * time.Hour)},
		{Team: "media", Members: 8, Eligible: true, EligibleBefore: true, First: old, Last: p.From.Add(-60 * 24 * time.Hour)},
		{Team: "intranet", Members: 16, Eligible: true, EligibleBefore: true},
	}
	for i := range 21 {
		out = append(out, reports.TeamUse{Team: fmt.Sprintf("team-%02d", i), Members: 10, Eligible: true, EligibleBefore: true, Active: true, ActiveBefore: true, First: old, Last: in})
	}
	return out, nil
}

// Quality is twelve clusters, one of them silent.
func Quality(_ context.Context, p journey.Period) (reports.Quality, error) {
	q := reports.Quality{Unattributed: new(0.034), People: 48210, Quarantined: 3}
	for i, region := range []string{"eu-central", "us-east", "ap-south"} {
		for k, stage := range []string{"prod-a", "prod-b", "staging", "dev"} {
			s := reports.SourceQuality{Name: "audit/" + region + "-" + stage, Coverage: new(1 - 0.004*float64(i+k)), Last: p.To.Add(-time.Minute), Reporting: true}
			if region == "ap-south" && stage == "dev" {
				s = reports.SourceQuality{Name: s.Name, Coverage: new(0.0), Last: p.From.AddDate(0, 0, -2)}
			}
			q.Sources = append(q.Sources, s)
		}
	}
	return q, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
