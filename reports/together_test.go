package reports_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/reports/internal/sample"
	"github.com/kubevalue/kubevalue/schema"
)

// attention is what the managers' report says of budgets that INC-41 used, when it hit the objectives of all services with the
// shares given, by objective; their budgets are all used up.
func attention(t *testing.T, shares map[string]float64) []reports.Exception {
	t.Helper()
	src := sample.Sources()
	incidents, status := src.Incidents, src.Status
	src.Incidents = func(ctx context.Context, from, to time.Time) ([]schema.Incident, error) {
		all, err := incidents(ctx, from, to)
		all[0].Objectives = []string{"api-eu", "api-us", "registry"}
		return all, err
	}
	src.Status = func(ctx context.Context, until time.Time) ([]reports.ObjectiveStatus, error) {
		all, err := status(ctx, until)
		eu := all[1].Status
		for i := range all {
			s, attribution := *eu, *eu.Attribution
			attribution.Parts = append(attribution.Parts[:0:0], attribution.Parts...)
			attribution.Parts[0].Share = shares[all[i].Name]
			s.Objective, s.Attribution = all[i].Name, &attribution
			all[i].Status = &s
		}
		return all, err
	}
	var out []reports.Exception
	for _, e := range build(t, src, sample.Options(reports.Managers)).Exceptions {
		if strings.Contains(e.Title, "budget") {
			out = append(out, e)
		}
	}
	return out
}

func TestBudgetsThatOneIncidentUsedUpAreOneThingToDecide(t *testing.T) {
	equal(t, "budgets", attention(t, map[string]float64{"api-eu": 0.62, "api-us": 0.9, "registry": 0.3}), []reports.Exception{
		{Act: true, Owner: "Runtime EU", Title: "2 error budgets are used up, mostly by INC-41",
			Detail: "INC-41 (etcd-latency), 74 min, own cause, 1 of 2 follow-ups open, Wed 11 Nov. " +
				"EU API: −4.84 min of 40.3 min left over 28d; of what was used, the incident took 62%. " +
				"US API: −4.84 min of 40.3 min left over 28d; of what was used, the incident took 90%. " +
				"Unless more is used, there is budget again when the incident leaves the window on Wed 9 Dec.",
			Decision: "whether risky changes to EU API and US API wait until Wed 9 Dec, when there is error budget again"},
		{Act: true, Owner: "Runtime", Title: "Image registry: the error budget is used up",
			Detail: "Uptime 99.89%, target 99.5%; −4.84 min of 40.3 min left over 28d. Incidents in the period: INC-41 (etcd-latency), 74 min, own cause, " +
				"30% of the budget consumed, 1 of 2 follow-ups open.",
			Decision: "whether risky changes to Image registry wait until its error budget has recovered"},
	})
	if all := attention(t, map[string]float64{"api-eu": 0.4, "api-us": 0.9, "registry": 0.3}); len(all) != 3 {
		t.Errorf("%d exceptions of budgets that have no cause in common, want 3: %v", len(all), all)
	}
}
