package reports_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/reports/internal/sample"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// A platform that is measured since the middle of a week has not missed a target in it, nor does that week begin a trend.
func TestAWeekThatWasMeasuredInPartIsNoMissedWeek(t *testing.T) {
	src := sample.Sources()
	next, objectives := src.Evaluate, src.Objectives
	src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		values, err := next(ctx, r)
		for i := range values {
			if values[i].Period.Label == "2026-W43" || values[i].Period.Label == "2026-01" {
				values[i].Coverage = new(0.4)
			}
			if values[i].Period.To.Before(time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)) && values[i].Period.Grain == journey.GrainWeek {
				values[i].Value = nil
			}
		}
		return values, err
	}
	src.Objectives = func(ctx context.Context, p journey.Period, now time.Time) ([]journey.ObjectiveFigure, error) {
		all, err := objectives(ctx, p, now)
		for i := range all {
			if p.Label == "2026-W45" {
				all[i].Coverage = new(0.4)
			}
		}
		return all, err
	}
	r := build(t, src, sample.Options(reports.Managers))
	for _, f := range r.Adoption.Figures {
		if f.Metric == "C15" && f.Missed != 3 {
			t.Errorf("adoption missed its target for %d weeks, want the 3 that were measured", f.Missed)
		}
	}
	var got []string
	for _, c := range r.Charts {
		got = append(got, c.Point)
	}
	equal(t, "charts", got, []string{
		"Adoption of eligible teams, 4 weeks: 57.5% in W46, 52.6% in W44; below the target of 60% in 3 of 3 (1 not counted, measured only in part).",
		"Error budget used, worst objective, 6 weeks: 180% in W46, 70% in W41; above the limit of 100% in 2 of 5 (1 not counted, measured only in part).",
		"Adoption of eligible teams, 10 months: 50% in Oct, 16% in Feb; below the target of 60% in 9 of 9 (1 not counted, measured only in part).",
		"Error budget used, worst objective, 12 months: 35.4% in Oct, 40% in Nov; above the limit of 100% in 1 of 12.",
	})
}

func TestFollowupsAreToldWithTheirVerdict(t *testing.T) {
	equal(t, "follow-ups", managers(t).Followups, []reports.Followup{
		{Class: "etcd-latency", Verdict: slo.Improved, Reason: "it is so",
			Text: "3 follow-ups done: 17 incidents with 294 min of downtime in the 63 d before, 2 with 19 min in as long a time after (incidents nobody worked on: 7 before, 7 after)"},
		{Class: "certificates", Verdict: slo.CannotTell, Reason: "2 follow-ups are still open", Text: "1 follow-up done, 2 open"},
	})
	src := sample.Sources()
	src.Followups = func(context.Context, time.Time) ([]slo.FollowUpEffect, error) { return nil, errors.New("away") }
	if r := build(t, src, sample.Options(reports.Managers)); len(r.Followups) != 0 || r.Quality.Failed == 0 {
		t.Errorf("failed follow-ups: %v, %d questions failed", r.Followups, r.Quality.Failed)
	}
}

// A budget that was used up before the week names what used it, and when there is some again.
func TestAnEarlierIncidentExplainsABudgetThatIsUsedUp(t *testing.T) {
	src := sample.Sources()
	incidents, status := src.Incidents, src.Status
	src.Incidents = func(ctx context.Context, from, to time.Time) ([]schema.Incident, error) {
		all, err := incidents(ctx, from, to)
		for i := range all {
			all[i].Start, all[i].Resolved = all[i].Start.AddDate(0, 0, -14), all[i].Resolved.AddDate(0, 0, -14)
		}
		return all, err
	}
	at := time.Time{}
	src.Status = func(ctx context.Context, until time.Time) ([]reports.ObjectiveStatus, error) {
		at = until
		return status(ctx, until)
	}
	r := build(t, src, sample.Options(reports.Managers))
	e := r.Exceptions[0]
	for _, want := range []string{"Before this week: INC-41 (etcd-latency), 74 min, own cause", "Wed 28 Oct", "there is budget again when that leaves the window on Wed 25 Nov"} {
		if !strings.Contains(e.Detail, want) {
			t.Errorf("%q lacks %q", e.Detail, want)
		}
	}
	if want := "whether risky changes to EU API wait until Wed 25 Nov, when there is error budget again"; e.Decision != want {
		t.Errorf("decision %q, want %q", e.Decision, want)
	}
	if at.IsZero() || strings.Contains(r.Headline.Why, "INC-41") {
		t.Errorf("the reason of this week names an incident of an earlier one: %s", r.Headline.Why)
	}
}

// Counts differ by chance: eight after twelve is no news, and eighty after a hundred and twenty is.
func TestACountIsNotableBeyondChanceOnly(t *testing.T) {
	for _, c := range []struct {
		prior, now float64
		notable    bool
	}{{12, 8, false}, {120, 80, true}, {0, 3, false}, {0, 4, true}, {100, 128, false}, {100, 131, true}} {
		src := sample.Sources()
		next := src.Evaluate
		src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
			values, err := next(ctx, r)
			if r.Metric == "X4" && r.By == "" && len(values) > 1 {
				for i, v := range []float64{c.prior, c.now} {
					k := len(values) - 2 + i
					values[k].Value, values[k].N = new(v), int(v)
				}
			}
			return values, err
		}
		o := sample.Options(reports.Managers)
		o.MinGroup = 1
		r := build(t, src, o)
		f := r.Phases[2].Rows[1]
		if f.Metric != "X4" || f.Notable != c.notable && f.Doubt == "" {
			t.Errorf("%s from %v to %v: notable %v, want %v (%s)", f.Metric, c.prior, c.now, f.Notable, c.notable, f.Doubt)
		}
	}
}
