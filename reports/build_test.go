package reports_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/reports/internal/sample"
	"github.com/kubevalue/kubevalue/schema"
)

func build(t *testing.T, src reports.Sources, o reports.Options) reports.Report {
	t.Helper()
	r, err := reports.Build(t.Context(), sample.Now, src, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func managers(t *testing.T) reports.Report {
	t.Helper()
	return build(t, sample.Sources(), sample.Options(reports.Managers))
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestTheHeadlineSaysWhatChangedWhyAndWhatToDecide(t *testing.T) {
	equal(t, "headline", managers(t).Headline, reports.Headline{
		Changed:  "Adoption rose from 52.5% to 57.5% of 40 eligible teams, while EU API used 180% of its weekly error budget (40% the week before); “Time to first deployment, median” went from 60 h to 41 h (better).",
		Why:      "3 teams joined (ledger, maps and 1 too small to be named); 1 team fell silent (returns); 1 team left (ads); incident INC-41 (etcd-latency) hit EU API for 74 min and used 62% of the budget consumed over 28d; part of it may be measurement, since 1 of 12 sources did not report.",
		Decision: "Decide whether risky changes to EU API wait until its error budget has recovered (owner: Runtime EU).",
	})
}

// constant makes every metric stay at its last value.
func constant(next journey.EvaluateFunc) journey.EvaluateFunc {
	return func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		values, err := next(ctx, r)
		for i := range values {
			label := values[i].Period
			values[i] = values[len(values)-1]
			values[i].Period, values[i].Coverage = label, new(1.0)
		}
		return values, err
	}
}

// calm is the sample without anything to tell: nothing moves, no target, no incident, every source reports.
func calm() reports.Sources {
	src := sample.Sources()
	src.Evaluate = constant(src.Evaluate)
	src.Teams = func(ctx context.Context, p, prev journey.Period) ([]reports.TeamUse, error) {
		teams, err := sample.Teams(ctx, p, prev)
		return teams[7:], err
	}
	src.Objectives = func(ctx context.Context, p journey.Period, now time.Time) ([]journey.ObjectiveFigure, error) {
		figures, err := sample.Objectives(ctx, p, now)
		for i := range figures {
			figures[i].BurnRate, figures[i].SLI = new(0.2), new(0.9999)
		}
		return figures, err
	}
	src.Status = func(ctx context.Context, at time.Time) ([]reports.ObjectiveStatus, error) {
		all, err := sample.Status(ctx, at)
		for i := range all {
			s := all[i].Status
			s.Remaining, s.Consumed, s.RemainingMinutes = new(0.8), new(0.2), new(0.8*s.AllowedMinutes)
		}
		return all, err
	}
	src.Quality = func(context.Context, journey.Period) (reports.Quality, error) {
		return reports.Quality{Sources: []reports.SourceQuality{{Name: "audit/a", Coverage: new(1.0), Reporting: true}}}, nil
	}
	src.Incidents = nil
	src.Map = withoutTargets(src.Map)
	return src
}

func withoutTargets(m journey.Map) journey.Map {
	out := journey.Map{Perspectives: m.Perspectives}
	for _, ph := range m.Phases {
		copied := journey.Phase{ID: ph.ID, Title: ph.Title}
		for _, act := range ph.Activities {
			a := journey.Activity{ID: act.ID, Title: act.Title}
			for _, c := range act.Cells {
				c.Metrics = slices.Clone(c.Metrics)
				for i := range c.Metrics {
					c.Metrics[i].Target = nil
				}
				a.Cells = append(a.Cells, c)
			}
			copied.Activities = append(copied.Activities, a)
		}
		out.Phases = append(out.Phases, copied)
	}
	return out
}

func TestAQuietWeekSaysSo(t *testing.T) {
	r := build(t, calm(), sample.Options(reports.Managers))
	equal(t, "headline", r.Headline, reports.Headline{
		Changed:  "Adoption stayed at 57.5% of 40 eligible teams, and all 3 objectives kept within their weekly error budgets.",
		Why:      "There is nothing to explain: no figure moved beyond its margin.",
		Decision: "No decision is needed this week.",
		Quiet:    true,
	})
	if len(r.Exceptions) != 0 {
		t.Errorf("exceptions %+v", r.Exceptions)
	}
}

func TestSentencesFollowTheFigures(t *testing.T) {
	cases := map[string]struct {
		change                 func(src *reports.Sources)
		changed, why, decision string // parts of the sentences; empty: as in a quiet week
	}{
		"the number of eligible teams moved adoption": {
			change: func(src *reports.Sources) {
				next := src.Evaluate
				src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
					values, err := next(ctx, r)
					if r.Metric == "C15" && len(values) == 6 {
						values[4].Value, values[4].Denominator = new(0.5), new(46.0)
					}
					return values, err
				}
			},
			changed: "Adoption rose from 50% to 57.5% of 40 eligible teams",
			why:     "The number of eligible teams went from 46 to 40.",
		},
		"a burnt budget that no incident explains": {
			change:  func(src *reports.Sources) { src.Objectives = sample.Objectives },
			changed: "while EU API used 180% of its weekly error budget (40% the week before)", why: "No recorded incident explains the budget that EU API used.",
		},
		"an objective that will run out of budget": {
			change: func(src *reports.Sources) {
				next := src.Status
				src.Status = func(ctx context.Context, at time.Time) ([]reports.ObjectiveStatus, error) {
					all, err := next(ctx, at)
					all[0].Status.Forecast.At = new(at.Add(53 * time.Hour))
					return all, err
				}
			},
			decision: "Decide what is done about US API before its error budget ends on Wed 18 Nov 05:00 CET (owner: Runtime US).",
		},
		"nothing measured": {
			change: func(src *reports.Sources) {
				src.Objectives = func(context.Context, journey.Period, time.Time) ([]journey.ObjectiveFigure, error) { return nil, nil }
			},
			changed: "while no objective was measured",
		},
		"only a part of the objectives measured": {
			change: func(src *reports.Sources) {
				src.Objectives = func(context.Context, journey.Period, time.Time) ([]journey.ObjectiveFigure, error) {
					return []journey.ObjectiveFigure{{Objective: "api-eu", SLI: new(1.0), BurnRate: new(0.0), Coverage: new(0.4)}}, nil
				}
			},
			changed: "and the 1 of 3 objectives that were measured kept within their weekly error budgets, 1 of them with gaps in the measurement",
		},
		"objectives that nothing covers": {
			change: func(src *reports.Sources) {
				next := src.Status
				src.Status = func(ctx context.Context, at time.Time) ([]reports.ObjectiveStatus, error) {
					all, err := next(ctx, at)
					all[2].Status.LowCoverage, all[2].Status.Coverage = true, new(0.41)
					return all, err
				}
			},
			decision: "Decide who repairs the measurement of Image registry (owner: Runtime).",
		},
		"no objectives at all": {
			change: func(src *reports.Sources) { src.Status = nil }, changed: "and no objective for stability is defined",
		},
		"adoption that cannot be computed": {
			change: func(src *reports.Sources) {
				next := src.Evaluate
				src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
					if r.Metric == "C15" {
						return nil, errors.New("the warehouse is away")
					}
					return next(ctx, r)
				}
			},
			changed: "Adoption is not known (could not be computed)",
		},
		"a definition that changed": {
			change: func(src *reports.Sources) {
				next := src.Evaluate
				src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
					values, err := next(ctx, r)
					values[len(values)-1].Version = 2
					return values, err
				}
			},
			changed: "Adoption is 57.5% of 40 eligible teams, not comparable with the week before (the definition changed)",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			src := calm()
			c.change(&src)
			h := build(t, src, sample.Options(reports.Managers)).Headline
			for _, s := range []struct{ what, got, want, quiet string }{
				{"changed", h.Changed, c.changed, "Adoption stayed at 57.5% of 40 eligible teams"},
				{"why", h.Why, c.why, ""}, {"decision", h.Decision, c.decision, "No decision is needed this week."},
			} {
				if want := s.want; !strings.Contains(s.got, want) || want == "" && !strings.Contains(s.got, s.quiet) {
					t.Errorf("%s: %q does not say %q", s.what, s.got, want+s.quiet)
				}
			}
		})
	}
}

func TestFiguresAreJudgedByDirectionMarginCoverageAndSample(t *testing.T) {
	r := managers(t)
	got := map[string]string{}
	for _, ph := range r.Phases {
		for _, f := range ph.Rows {
			text := ph.ID + ": " + string(f.Trend) + ", " + string(f.State)
			if f.Notable {
				text += ", notable"
			}
			if f.Doubt != "" {
				text += ", " + f.Doubt
			}
			if f.Missing != "" {
				text += ", " + f.Missing
			}
			got[f.Metric] = text
		}
	}
	equal(t, "figures", got, map[string]string{
		"C5": "creation: better, met, notable", "C4": "creation: better, met", "C11": "creation: worse, missed, notable",
		"C12": "creation: unknown, no_data, withheld: small group", "C9": "creation: better, unrated",
		"O1": "operation: worse, missed", "O8": "operation: better, met", "O10": "operation: unknown, missed, a sample below 5",
		"O13": "operation: same, missed", "X3": "cleanup: unknown, met, only 83% of this week was measured", "X4": "cleanup: same, unrated",
	})
	if r.Phases[0].More != 1 {
		t.Errorf("%d more figures in the first phase, want 1: it has six, and managers see five", r.Phases[0].More)
	}
}

func TestAnIntervalDecidesWhatIsNotable(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      bool
	}{{0.93, 0.96, false}, {0.9405, 0.96, true}} { // the week before was 0.94
		src := sample.Sources()
		next := src.Evaluate
		src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
			values, err := next(ctx, r)
			for i := range values {
				values[i].Low, values[i].High = &c.low, &c.high
			}
			return values, err
		}
		f := build(t, src, sample.Options(reports.Managers)).Phases[0].Rows[1]
		if f.Metric != "C4" || f.Notable != c.want {
			t.Errorf("%s with interval [%v, %v]: notable %v, want %v", f.Metric, c.low, c.high, f.Notable, c.want)
		}
	}
}

func TestTeamsAreSortedByWhatTheyDid(t *testing.T) {
	a := managers(t).Adoption
	equal(t, "joined", a.Joined, reports.TeamList{Names: []string{"ledger", "maps"}, Withheld: 1})
	equal(t, "stalled", a.Stalled, reports.TeamList{Names: []string{"returns"}})
	equal(t, "left", a.Left, reports.TeamList{Names: []string{"ads"}})
	equal(t, "returned", a.Returned.Len(), 0)
	equal(t, "dormant", a.Dormant, 1)

	from := time.Date(2026, 11, 9, 0, 0, 0, 0, sample.Zone)
	src := sample.Sources()
	src.Teams = func(context.Context, journey.Period, journey.Period) ([]reports.TeamUse, error) {
		old := from.AddDate(-1, 0, 0)
		return []reports.TeamUse{
			{Team: "back", Members: 9, Eligible: true, Active: true, First: old, Last: from},
			{Team: "first event at the first instant", Members: 9, Eligible: true, Active: true, First: from, Last: from},
			{Team: "first event just before", Members: 9, Eligible: true, Active: true, ActiveBefore: true, First: from.Add(-1), Last: from},
			{Team: "silent for exactly four weeks before", Members: 9, Eligible: true, First: old, Last: from.AddDate(0, 0, -28)},
			{Team: "silent for longer", Members: 9, Eligible: true, First: old, Last: from.AddDate(0, 0, -28).Add(-1)},
			{Team: "gone, never active", Members: 9, EligibleBefore: true},
			{Team: "gone, active in its last days", Members: 9, EligibleBefore: true, Active: true, ActiveBefore: true, First: old, Last: from},
		}, nil
	}
	a = build(t, src, sample.Options(reports.Managers)).Adoption
	equal(t, "returned", a.Returned.Names, []string{"back"})
	equal(t, "joined", a.Joined.Names, []string{"first event at the first instant"})
	equal(t, "stalled", a.Stalled.Names, []string{"silent for exactly four weeks before"})
	equal(t, "left", a.Left.Names, nil)
	equal(t, "dormant", a.Dormant, 1)
}

func TestManagersSeeNoNamesOfPodsOrNamespacesAndNobodySeesSmallTeams(t *testing.T) {
	for _, audience := range []reports.Audience{reports.Managers, reports.Consumers} {
		dump, err := json.Marshal(build(t, sample.Sources(), sample.Options(audience)))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(dump), sample.Small) {
			t.Errorf("%s: the report names a team of two", audience)
		}
		for _, name := range sample.Hidden[:4] {
			if audience == reports.Managers && strings.Contains(string(dump), name) && name != "eu-central-prod-a" {
				t.Errorf("managers' report has %q", name)
			}
		}
		if seen := strings.Contains(string(dump), "apiserver OOM"); seen != (audience == reports.Consumers) {
			t.Errorf("%s: the incident's own title is there: %v", audience, seen)
		}
	}
}

func TestSmallGroupsAreWithheldWhateverTheEvaluatorDid(t *testing.T) {
	find := func(r reports.Report) reports.Figure { return r.Phases[0].Rows[3] }
	o := sample.Options(reports.Managers)
	f := find(build(t, sample.Sources(), o))
	if f.Metric != "C12" || f.Value != nil || f.N != 0 || f.Missing != "withheld: small group" {
		t.Errorf("figure about 3 people: %+v", f)
	}
	o.MinGroup = 3
	if f = find(build(t, sample.Sources(), o)); f.Value == nil {
		t.Errorf("figure about 3 people, of groups from 3 on: %+v", f)
	}
}

// Weeks before anything was connected have a value of 0 and a coverage of 0: they are not points of a trend.
func TestWhatWasNotMeasuredIsNotZero(t *testing.T) {
	src := sample.Sources()
	next := src.Evaluate
	src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		values, err := next(ctx, r)
		for i := range values[:min(5, len(values))] {
			values[i].Value, values[i].Coverage = new(0.0), new(0.0)
		}
		return values, err
	}
	r := build(t, src, sample.Options(reports.Managers))
	f := r.Adoption.Figures[0]
	if f.Prior != nil || f.Change != nil || f.Missed != 1 {
		t.Errorf("prior %v, change %v, missed for %d weeks: want none, none and 1", f.Prior, f.Change, f.Missed)
	}
	for _, c := range r.Charts {
		if c.ID == "adoption-weeks" {
			t.Errorf("one measured week is drawn as a trend: %+v", c)
		}
	}
	if want := "Adoption is 57.5% of 40 eligible teams, without a week before to compare with"; !strings.HasPrefix(r.Headline.Changed, want) {
		t.Errorf("headline %q", r.Headline.Changed)
	}
}

func TestSourcesThatFailAreDeclaredMissing(t *testing.T) {
	away := errors.New("the warehouse is away")
	src := sample.Sources()
	src.Objectives = func(context.Context, journey.Period, time.Time) ([]journey.ObjectiveFigure, error) { return nil, away }
	src.Status = func(context.Context, time.Time) ([]reports.ObjectiveStatus, error) { return nil, away }
	src.Incidents = func(context.Context, time.Time, time.Time) ([]schema.Incident, error) { return nil, away }
	src.Teams = func(context.Context, journey.Period, journey.Period) ([]reports.TeamUse, error) { return nil, away }
	src.Quality = func(context.Context, journey.Period) (reports.Quality, error) { return reports.Quality{}, away }
	src.Evaluate = func(context.Context, journey.Request) ([]journey.Value, error) { return nil, away }
	r := build(t, src, sample.Options(reports.Managers))
	equal(t, "headline", r.Headline, reports.Headline{
		Changed:  "Adoption is not known (could not be computed), and no objective for stability is defined.",
		Why:      "Nothing was measured that could say what changed.",
		Decision: "Decide what is measured first: neither adoption nor stability is.",
	})
	equal(t, "teams", r.Adoption.TeamsMissing, "could not be computed")
	equal(t, "quality", r.Quality.Missing, "could not be computed")
	if r.Quality.Failed < 10 {
		t.Errorf("%d questions failed, want them counted", r.Quality.Failed)
	}
	if len(r.Charts) != 0 {
		t.Errorf("charts of nothing: %+v", r.Charts)
	}
}

func TestAWeekUnderWayIsMarkedAndNotJudged(t *testing.T) {
	src := sample.Sources()
	next := src.Evaluate
	src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		values, err := next(ctx, r)
		values[len(values)-1].Partial = r.Periods[len(values)-1].Grain == journey.GrainWeek
		return values, err
	}
	src.Objectives = nil
	o := sample.Options(reports.Managers)
	o.Period = "2026-W47"
	r := build(t, src, o)
	if !r.Partial || !strings.Contains(r.Headline.Changed, "not comparable with the week before (the week is not over)") {
		t.Errorf("partial %v: %s", r.Partial, r.Headline.Changed)
	}
}

func TestBuildRefuses(t *testing.T) {
	cases := map[string]struct {
		change func(o *reports.Options, src *reports.Sources)
		want   string
	}{
		"an unknown audience": {func(o *reports.Options, _ *reports.Sources) { o.Audience = "board" }, `audience "board" is unknown: use managers or consumers`},
		"no zone":             {func(o *reports.Options, _ *reports.Sources) { o.Calendar.Zone = nil }, "no time zone"},
		"no evaluator":        {func(_ *reports.Options, s *reports.Sources) { s.Evaluate = nil }, "metric catalogue and its evaluator"},
		"a month":             {func(o *reports.Options, _ *reports.Sources) { o.Period = "2026-11" }, `week: period "2026-11" is a month, but the grain is week`},
		"nonsense":            {func(o *reports.Options, _ *reports.Sources) { o.Period = "2026-W54" }, `week: period "2026-W54": the year 2026 has the weeks 2026-W01 to 2026-W53`},
		"the future":          {func(o *reports.Options, _ *reports.Sources) { o.Period = "2026-W48" }, "week 2026-W48 begins on 23 November 2026, after now"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o, src := sample.Options(reports.Managers), sample.Sources()
			c.change(&o, &src)
			_, err := reports.Build(t.Context(), sample.Now, src, o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to say %q", err, c.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := reports.Build(ctx, sample.Now, sample.Sources(), sample.Options(reports.Managers)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
}

func TestWithoutAWeekTheLastCompleteOneIsReported(t *testing.T) {
	o := sample.Options(reports.Managers)
	o.Period = ""
	r := build(t, sample.Sources(), o)
	equal(t, "period", r.Period.Label, "2026-W46")
	equal(t, "previous", r.Previous.Label, "2026-W45")
	equal(t, "from", r.Period.From.In(sample.Zone).Format(time.RFC3339), "2026-11-09T00:00:00+01:00")
}

func TestChartsComeInTheSameOrderAndSayTheirPoint(t *testing.T) {
	var got []string
	for _, c := range managers(t).Charts {
		got = append(got, c.ID+": "+c.Point)
	}
	equal(t, "charts", got, []string{
		"adoption-weeks: Adoption of eligible teams, 6 weeks: 57.5% in W46, 44.4% in W41; below the target of 60% in 6 of 6.",
		"budget-weeks: Error budget used, worst objective, 6 weeks: 180% in W46, 70% in W41; above the limit of 100% in 2 of 6.",
		"adoption-months: Adoption of eligible teams, 10 months: 50% in Oct, 10% in Jan; below the target of 60% in 10 of 10.",
		"budget-months: Error budget used, worst objective, 12 months: 35.4% in Oct, 40% in Nov; above the limit of 100% in 1 of 12.",
	})
}

func TestConsumersGetWhatThoseOnCallNeed(t *testing.T) {
	r := build(t, sample.Sources(), sample.Options(reports.Consumers))
	quota := r.Phases[0].Rows[1]
	equal(t, "quota denials by cluster, the worst first", quota.Parts, []reports.Part{
		{Name: "eu-central-prod-a", Value: new(33.0), N: 3}, {Name: "us-east-prod-a", Value: new(11.0), N: 3}, {Name: "ap-south-prod-a", Value: new(0.0), N: 3},
	})
	equal(t, "gaps", r.Quality.Gaps, []reports.Gap{{Phase: "Operation", Activity: "Cost", Perspective: "Application developer", Reason: "requests and usage are not collected"}})
	if parts := managers(t).Phases[0].Rows[2].Parts; parts != nil {
		t.Errorf("managers' figures are split: %+v", parts)
	}
}

func TestIncidentsAreClippedToThePeriod(t *testing.T) {
	src := sample.Sources()
	from := time.Date(2026, 11, 9, 0, 0, 0, 0, sample.Zone)
	src.Incidents = func(context.Context, time.Time, time.Time) ([]schema.Incident, error) {
		return []schema.Incident{
			{ID: "B", Objectives: []string{"api-us"}, Start: from.Add(167 * time.Hour)},
			{ID: "A", Objectives: []string{"api-us"}, Start: from.Add(-5 * time.Hour), Resolved: from.Add(90 * time.Minute)},
			{ID: "C", Objectives: []string{"another"}, Service: "kubernetes-api-us", Start: from},
			{ID: "D", Start: from},
		}, nil
	}
	var got []reports.Incident
	for _, o := range build(t, src, sample.Options(reports.Managers)).Objectives {
		got = append(got, o.Incidents...)
	}
	equal(t, "incidents", got, []reports.Incident{
		{ID: "A", Start: from.Add(-5 * time.Hour), Minutes: 90}, {ID: "B", Start: from.Add(167 * time.Hour), Minutes: 60, Open: true},
	})
}
