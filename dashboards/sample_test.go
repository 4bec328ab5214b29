package dashboards_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// The sample organisation: figures that are made up, but could be true, for tests and for looking at the pages.
var (
	berlin   = mustZone("Europe/Berlin")
	calendar = journey.Calendar{Zone: berlin, WeekStart: time.Monday}
	at       = time.Date(2026, 11, 16, 9, 0, 0, 0, berlin)
)

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

// sampleConfig is a service with every part connected.
func sampleConfig() dashboards.Config {
	return dashboards.Config{
		Sources: dashboards.Sources{
			Journey: sampleJourney, Objectives: sampleObjectives, Metric: sampleMetric, Metrics: sampleMetrics, Series: sampleSeries,
			Statements: sampleStatements, Split: sampleSplit, Published: samplePublished, Objective: sampleObjective, Active: sampleActive, Adoption: sampleAdoption,
			Lifecycle: sampleLifecycle, Retention: sampleRetention, Teams: sampleTeams, Fleet: sampleFleet, Targets: sampleTargets,
		},
		Health:   func(context.Context) map[string]string { return map[string]string{"warehouse": "away"} },
		Metrics:  http.NotFoundHandler(),
		Logger:   slog.New(slog.DiscardHandler),
		Now:      func() time.Time { return at },
		Calendar: calendar,
	}
}

func sampleMetrics(context.Context) ([]journey.Metric, error) { return loadMetrics() }

// loadMetrics reads the catalogue once.
var loadMetrics = sync.OnceValues(catalogue.Load)

func samplePeriod(label string) (journey.Period, error) {
	if label == "" {
		return calendar.Last(journey.GrainWeek, 1, at)[0], nil
	}
	p, err := calendar.Parse(label, "")
	if err != nil {
		return p, dashboards.BadRequestError{Why: err.Error()}
	}
	return p, nil
}

// periodsTo are n periods up to p, oldest first.
func periodsTo(p journey.Period, n int) []journey.Period {
	out := []journey.Period{p}
	for len(out) < n {
		p = calendar.Previous(p)
		out = append(out, p)
	}
	slices.Reverse(out)
	return out
}

// wave is a number of 0 to 1 that depends on a name and a time, and moves slowly.
func wave(name string, t time.Time) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	seed := h.Sum64()
	week := float64(t.Unix()) / (7 * 24 * 3600)
	noise := rand.New(rand.NewPCG(seed, uint64(week*3))).Float64()
	return 0.5 + 0.28*math.Sin(week/5+float64(seed%100)) + 0.2*(noise-0.5)
}

// growth goes from 0 to 1 over the half year before the sample's now.
func growth(t time.Time) float64 {
	return min(1, max(0, 1-at.Sub(t).Hours()/(26*7*24)))
}

// samplePublished: all weeks but the last two are published; one of them had late data, and one was withheld at first.
func samplePublished(ctx context.Context, id, label string, periods int) ([]dashboards.Revision, error) {
	_, values, err := sampleMetric(ctx, id, label, periods)
	if err != nil {
		return nil, err
	}
	var out []dashboards.Revision
	for i, v := range slices.Backward(values) {
		if i < 2 {
			continue
		}
		v.ComputedAt = v.Period.To.AddDate(0, 0, 3)
		if first := v; i == 3 && v.Numerator != nil {
			first.Value, first.Numerator = new((*v.Numerator-4) / *v.Denominator), new(*v.Numerator-4)
			out = append(out, dashboards.Revision{Number: 1, Reason: "closed", Value: first})
			v.ComputedAt = v.ComputedAt.AddDate(0, 0, 4)
			out = append(out, dashboards.Revision{Number: 2, Reason: "late data", Value: v})
			continue
		}
		out = append(out, dashboards.Revision{Number: 1, Reason: "closed", Value: v})
	}
	return out, nil
}

func sampleValue(m journey.Metric, p journey.Period) journey.Value {
	v := journey.Value{Metric: m.ID, Version: m.Version, Period: p, Unit: m.Unit, Interval: m.Interval, ComputedAt: at, Coverage: new(1.0), Partial: !p.Complete(at)}
	w, g := wave(m.ID, p.From), growth(p.From)
	switch {
	case m.ID == "C12" || m.ID == "O30":
		v.Withheld, v.N = "small group", 3
	case m.ID == "X10":
		v.Coverage = new(0.0)
	case m.ID == "O1":
		v.Value, v.N, v.Coverage = new(0.9985+0.0014*w), 30240, new(0.991)
	case m.Unit == "ratio" && (m.Direction == journey.DirectionDown || m.ID == "X1"):
		n := 412.0
		k := math.Round(n * (0.17 - 0.1*g + 0.04*w))
		if m.ID == "X1" {
			k = n - k/4
		}
		v.Value, v.Numerator, v.Denominator, v.N = new(k/n), new(k), new(n), int(n)
		v.Low, v.High = new(max(0, k/n-0.03)), new(min(1, k/n+0.03))
	case m.Unit == "ratio":
		n := 40.0
		k := math.Round(n * (0.25 + 0.4*g + 0.1*w))
		v.Value, v.Numerator, v.Denominator, v.N = new(k/n), new(k), new(n), int(n)
		v.Low, v.High = new(max(0, k/n-0.14)), new(min(1, k/n+0.13))
	case m.Unit == "people":
		v.Value, v.N = new(math.Round(90+180*g+20*w)), int(90+180*g+20*w)
	case m.Unit == "teams":
		v.Value, v.N = new(math.Round(12+14*g+2*w)), int(12+14*g)
	default:
		v.Value, v.N = new(math.Round(10*(4+30*w*(1.1-0.6*g)))/10), 40+int(60*w)
		v.Low, v.High = new(*v.Value*0.86), new(*v.Value*1.17)
	}
	if m.Interval == journey.IntervalNone {
		v.Low, v.High = nil, nil
	}
	return v
}

func sampleEvaluate(_ context.Context, r journey.Request) ([]journey.Value, error) {
	metrics, err := loadMetrics()
	if err != nil {
		return nil, err
	}
	for _, m := range metrics {
		if m.ID != r.Metric {
			continue
		}
		var out []journey.Value
		for _, p := range r.Periods {
			v := sampleValue(m, p)
			before := sampleValue(m, calendar.Previous(p))
			v.Previous = &before
			out = append(out, v)
		}
		return out, nil
	}
	return nil, dashboards.NotFoundError{What: "the metric " + r.Metric}
}

func sampleJourney(ctx context.Context, label string) (journey.Shown, error) {
	p, err := samplePeriod(label)
	if err != nil {
		return journey.Shown{}, err
	}
	m, err := journey.BuiltInMap()
	if err != nil {
		return journey.Shown{}, err
	}
	metrics, err := loadMetrics()
	if err != nil {
		return journey.Shown{}, err
	}
	return journey.Show(ctx, m, metrics, sampleEvaluate, p)
}

func sampleSeries(ctx context.Context, ids []string, s dashboards.Span) (map[string][]journey.Value, error) {
	p, err := samplePeriod(s.Period)
	out := map[string][]journey.Value{}
	for _, id := range ids {
		if values, err := sampleEvaluate(ctx, journey.Request{Metric: id, Periods: periodsTo(p, s.Periods)}); err == nil {
			out[id] = values
		}
	}
	return out, err
}

func sampleMetric(ctx context.Context, id, label string, n int) (journey.Metric, []journey.Value, error) {
	p, err := samplePeriod(label)
	if err != nil {
		return journey.Metric{}, nil, err
	}
	values, err := sampleEvaluate(ctx, journey.Request{Metric: id, Periods: periodsTo(p, n)})
	if err != nil {
		return journey.Metric{}, nil, err
	}
	slices.Reverse(values)
	metrics, err := loadMetrics()
	return metrics[slices.IndexFunc(metrics, func(m journey.Metric) bool { return m.ID == id })], values, err
}

func sampleStatements(_ context.Context, id, _ string) ([]dashboards.Statement, error) {
	if id != "C15" {
		return nil, nil
	}
	return []dashboards.Statement{
		{Name: "numerator", SQL: "WITH activity AS (…)\nSELECT toInt64(period) AS period, uniqExact(team) AS value\nFROM activity\nWHERE 1 < 2\nGROUP BY period", Parameters: map[string]string{"starts": "[1762729200000]", "ends": "[1763334000000]", "zone": "\"Europe/Berlin\""}, Rows: 1, Took: 34 * time.Millisecond},
		{Name: "denominator", SQL: "SELECT toInt64(period) AS period, uniqExact(team) AS value\nFROM eligible\nGROUP BY period", Rows: 1, Took: 8 * time.Millisecond},
		{Name: "coverage: the hours in which sources reported", SQL: "SELECT source FROM source_hours", Supporting: true, Rows: 13},
	}, nil
}

// sampleSplit has a value for each cluster, and one that is withheld.
func sampleSplit(_ context.Context, id, label, by string) ([]journey.Value, error) {
	p, err := samplePeriod(label)
	if err != nil {
		return nil, err
	}
	metrics, err := loadMetrics()
	if err != nil {
		return nil, err
	}
	m := metrics[slices.IndexFunc(metrics, func(m journey.Metric) bool { return m.ID == id })]
	var out []journey.Value
	for i, name := range []string{"eu-central-prod-a", "us-east-prod-a", "ap-south-prod-a", "small"} {
		v := sampleValue(m, p)
		v.Dimensions = map[string]string{by: name}
		if v.Value != nil {
			v.Value = new(*v.Value * (1 - 0.3*float64(i)))
		}
		if name == "small" {
			v.Value, v.Low, v.High, v.Withheld = nil, nil, nil, "small group"
		}
		out = append(out, v)
	}
	return out, nil
}

// sampleStatus is an objective with so much of its budget used.
func sampleStatus(name string, target, consumed float64) *slo.Status {
	allowed := (1 - target) * 28 * 24 * 60
	s := &slo.Status{
		Objective: name, Target: target, At: at.Add(-2 * time.Minute), Period: slo.Interval{From: at.AddDate(0, 0, -28), To: at}, AllowedMinutes: allowed, RemainingMinutes: new(allowed * (1 - consumed)),
		BurnRates: []slo.BurnRate{{Window: time.Hour, Rate: new(0.4 * consumed)}, {Window: 6 * time.Hour, Rate: new(0.6 * consumed)}, {Window: 24 * time.Hour, Rate: new(0.8 * consumed)}, {Window: 72 * time.Hour, Rate: new(1.1 * consumed)}},
		Forecast:  slo.Forecast{Window: 24 * time.Hour, Burn: new(0.8 * consumed), Reason: "it lasts beyond the end of the period"},
	}
	s.SLI, s.Consumed, s.Remaining, s.Coverage = new(1-consumed*(1-target)), new(consumed), new(1-consumed), new(0.993)
	s.MeasuredSlices, s.ExpectedSlices, s.ExcludedSlices, s.BadMinutes = 40038, 40320, 240, allowed*consumed
	if consumed >= 1 {
		s.Forecast = slo.Forecast{Window: 24 * time.Hour, Burn: new(0.8 * consumed), Exhausted: true, Reason: "the budget is used up"}
	}
	for _, a := range []struct {
		severity    string
		long, short time.Duration
		factor      float64
		burn        float64
	}{{"page", time.Hour, 5 * time.Minute, 13.44, 0.4}, {"page", 6 * time.Hour, 30 * time.Minute, 5.6, 0.6}, {"ticket", 24 * time.Hour, 2 * time.Hour, 2.8, 0.8}, {"ticket", 72 * time.Hour, 6 * time.Hour, 0.93, 1.1}} {
		p := slo.PairStatus{AlertWindow: slo.AlertWindow{Severity: a.severity, Long: a.long, Short: a.short, Factor: a.factor}, State: slo.Inactive, LongBurn: new(a.burn * consumed), ShortBurn: new(a.burn * consumed * 0.8), LongCoverage: new(1.0)}
		if *p.LongBurn > a.factor && *p.ShortBurn > a.factor {
			p.State = slo.Firing
		}
		s.Pairs = append(s.Pairs, p)
	}
	s.Alerts = []slo.SeverityStatus{{Severity: "page", State: s.Pairs[0].State}, {Severity: "ticket", State: s.Pairs[3].State}}
	return s
}

func sampleObjectives(context.Context) ([]dashboards.Objective, error) {
	row := func(name, service, text string, target, consumed float64) dashboards.Objective {
		return dashboards.Objective{Name: name, Service: service, Description: text, Window: "28d", Method: "timeslices", Zone: "Europe/Berlin", Status: sampleStatus(name, target, consumed)}
	}
	eu := row("api-eu", "kubernetes-api-eu", "The API server of the clusters in Europe answers within a second.", 0.999, 1.12)
	eu.Status.Attribution = &slo.Attribution{Parts: []slo.AttributionPart{
		{ID: "INC-38", Class: "certificates", Cause: slo.Own, Share: 0.21, Consumed: 0.235, BadMinutes: 9.5}, {ID: "INC-41", Class: "etcd-latency", Cause: slo.Own, Share: 0.62, Consumed: 0.694, BadMinutes: 28}, {ID: slo.Unattributed, Share: 0.17, Consumed: 0.191, BadMinutes: 7.7},
	}}
	us := row("api-us", "kubernetes-api-us", "The API server of the clusters in America answers within a second.", 0.999, 0.5)
	ap := row("api-ap", "kubernetes-api-ap", "The API server of the clusters in Asia answers within a second.", 0.999, 0.82)
	ap.Status.Forecast = slo.Forecast{Window: 24 * time.Hour, Burn: new(1.9), At: new(at.Add(66 * time.Hour))}
	dns := row("cluster-dns", "dns", "Names are resolved.", 0.9995, 0.03)
	dns.Status.LowCoverage, dns.Status.Coverage = true, new(0.41)
	registry := row("registry", "registry", "Images can be pulled.", 0.995, 0.71)
	return []dashboards.Objective{ap, eu, us, {Name: "broken", Service: "build", Error: "its slices cannot be read: indicator probe/build has none"}, dns, registry}, nil
}

func sampleIncidents() []schema.Incident {
	start := time.Date(2026, 11, 11, 14, 5, 0, 0, berlin)
	return []schema.Incident{
		{ID: "INC-38", Service: "kubernetes-api-eu", Title: "Expired certificate of the webhook", Class: "certificates", Origin: schema.OriginOwn, Start: start.AddDate(0, 0, -13), Resolved: start.AddDate(0, 0, -13).Add(26 * time.Minute), Followups: []schema.Followup{{ID: "F-0", Done: start}}},
		{
			ID: "INC-41", Service: "kubernetes-api-eu", Title: "The API server ran out of memory", Class: "etcd-latency", Origin: schema.OriginOwn, Links: []string{"https://tracker.example.com/INC-41"},
			Start: start, Resolved: start.Add(5 * time.Hour), Followups: []schema.Followup{{ID: "F-1", Done: start.Add(48 * time.Hour)}, {ID: "F-2"}},
		},
	}
}

func sampleObjective(ctx context.Context, name string) (dashboards.ObjectiveDetail, error) {
	all, err := sampleObjectives(ctx)
	if err != nil {
		return dashboards.ObjectiveDetail{}, err
	}
	i := slices.IndexFunc(all, func(o dashboards.Objective) bool { return o.Name == name })
	if i < 0 {
		return dashboards.ObjectiveDetail{}, dashboards.NotFoundError{What: "the objective " + name}
	}
	d := dashboards.ObjectiveDetail{Objective: all[i]}
	s := d.Status
	if s == nil {
		return d, nil
	}
	if name == "api-eu" {
		d.Incidents = sampleIncidents()
		s.Spared = slo.Spared{BadMinutes: 31, Parts: []slo.SparedPart{{Reason: "announced upgrade", Author: "Runtime EU", Slices: 240, BadMinutes: 31}}}
	}
	d.Exclusions = []slo.Exclusion{{From: at.AddDate(0, 0, -20), To: at.AddDate(0, 0, -20).Add(4 * time.Hour), Reason: "announced upgrade"}}
	used := func(t time.Time) float64 {
		total := 0.17 * t.Sub(s.Period.From).Hours() / (28 * 24)
		for k, i := range sampleIncidents() {
			part := min(1, max(0, t.Sub(i.Start).Hours()/i.Resolved.Sub(i.Start).Hours()))
			total += []float64{0.21, 0.62}[k] * part
		}
		return total * *s.Consumed
	}
	for t := s.Period.From; !t.After(s.At); t = t.Add(2 * time.Hour) {
		d.BurnDown = append(d.BurnDown, dashboards.BudgetPoint{At: t, Remaining: new(1 - used(t))})
	}
	d.Definition = []string{"objective " + name, fmt.Sprintf("target %v, error budget %.4g", s.Target, 1-s.Target), "window 28d", "method timeslices", "a slice is good from good/total = 1", "a missing slice counts as gap", "minimum coverage 0.9"}
	d.Formulas = []string{"coverage = 40038 measured / 40320 expected = 0.993", "error ratio = 45 bad / 40038 valid slices = 0.00112", "budget consumed = 0.00112 / 0.001 = 1.12", "budget remaining = 1 - consumed = -0.12"}
	return d, nil
}

func sampleActive(_ context.Context, e analysis.Entity, s dashboards.Span) ([]analysis.ActiveRow, error) {
	p, err := samplePeriod(s.Period)
	var out []analysis.ActiveRow
	for _, p := range periodsTo(p, s.Periods) {
		n := 12 + 14*growth(p.From) + 3*wave("teams", p.From)
		if e == analysis.Actors {
			n = 90 + 180*growth(p.From) + 40*wave("people", p.From)
		}
		out = append(out, analysis.ActiveRow{Period: p, Active: int(n)})
	}
	return out, err
}

func sampleAdoption(ctx context.Context, voluntary *bool, s dashboards.Span) ([]analysis.AdoptionRow, error) {
	active, err := sampleActive(ctx, analysis.Teams, s)
	var out []analysis.AdoptionRow
	for _, r := range active {
		row := analysis.AdoptionRow{Period: r.Period, Active: r.Active, Eligible: 40}
		if voluntary != nil {
			row.Active, row.Eligible = r.Active-5, 33
		}
		row.Ratio = new(float64(row.Active) / float64(row.Eligible))
		out = append(out, row)
	}
	return out, err
}

func sampleLifecycle(_ context.Context, e analysis.Entity, s dashboards.Span) ([]analysis.LifecycleRow, error) {
	p, err := samplePeriod(s.Period)
	scale := 1.0
	if e == analysis.Actors {
		scale = 9
	}
	var out []analysis.LifecycleRow
	for _, p := range periodsTo(p, s.Periods) {
		n := func(v float64) int { return int(scale * v) }
		out = append(out, analysis.LifecycleRow{Period: p, New: n(3.4 * wave("new", p.From)), Retained: n(10 + 12*growth(p.From)), Resurrected: n(3 * wave("back", p.From)), Dormant: n(3.2 * wave("gone", p.From))})
	}
	return out, err
}

func sampleRetention(_ context.Context, e analysis.Entity, s dashboards.Span) ([]analysis.RetentionRow, error) {
	p, err := samplePeriod(s.Period)
	periods := periodsTo(p, s.Periods)
	var out []analysis.RetentionRow
	for i, p := range periods {
		size := int(5 * wave("cohort", p.From))
		if e == analysis.Actors {
			size = int(36*wave("cohort", p.From)) - 6*(i%2)
			if i == 4 {
				size = 3
			}
		}
		row := analysis.RetentionRow{Cohort: p, Size: size}
		for k := range len(periods) - i {
			if size > 0 {
				row.Cells = append(row.Cells, int(math.Round(float64(size)*math.Pow(float64(k+1), -0.35))))
			}
		}
		out = append(out, row)
	}
	return out, err
}

func sampleTeams(context.Context, string) (reports.Adoption, error) {
	return reports.Adoption{
		Joined: reports.TeamList{Names: []string{"ledger", "maps"}, Withheld: 1}, Returned: reports.TeamList{Names: []string{"search"}},
		Stalled: reports.TeamList{Names: []string{"returns"}}, Left: reports.TeamList{Names: []string{"ads"}}, Dormant: 4,
	}, nil
}

func sampleTargets() []dashboards.Target {
	return []dashboards.Target{{Kind: "scrape", Name: "apiserver", Instance: "10.0.0.1:6443", At: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Error: "status 401: want 200"}}
}

func sampleFleet(context.Context) ([]dashboards.Cluster, error) {
	var out []dashboards.Cluster
	for i, region := range []string{"eu-central", "us-east", "ap-south"} {
		for k, stage := range []string{"prod-a", "prod-b", "staging", "dev"} {
			c := dashboards.Cluster{
				Name: region + "-" + stage, Region: region, Provider: []string{"aws", "gcp", "aws"}[i], Version: []string{"v1.36.4", "v1.36.4", "v1.37.2", "v1.34.1"}[(i+k)%4],
				Created: at.AddDate(0, -3-4*k-i, 0), LastContact: at.Add(-time.Duration(20+7*k) * time.Second), Nodes: new(40 - 9*k), Namespaces: new(160 - 30*k), Workloads: new(900 - 200*k), Coverage: new(1 - 0.002*float64(i+k)),
			}
			if k == 0 {
				c.Objectives = []string{[]string{"api-eu", "api-us", "api-ap"}[i]}
			}
			if region == "ap-south" && stage == "dev" {
				c.LastContact, c.Coverage = at.Add(-53*time.Hour), new(0.68)
			}
			out = append(out, c)
		}
	}
	return append(out, dashboards.Cluster{Name: "us-west-edge", Region: "us-west", Fault: "refused: the token has expired"}), nil
}
