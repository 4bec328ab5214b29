package catalogue_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// What somebody does who is in two teams counts for both, once for each: a team has the same figure alone as among the others.
func TestATeamHasTheSameFigureAloneAndAmongOthers(t *testing.T) {
	db := warehousetest.Open(t)
	monday := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	var rows []schema.StoredEvent
	for i, e := range []struct {
		actor   uint64
		name    string
		outcome schema.Outcome
		reason  string
	}{
		{1, "deployments.create", schema.OutcomeDenied, "quota"}, {2, "deployments.create", schema.OutcomeDenied, "quota"}, {1, "logs.query", schema.OutcomeSuccess, ""},
		{2, "deployments.create", schema.OutcomeSuccess, ""}, {1, "secrets.delete", schema.OutcomeDenied, "rbac"}, {2, "deployment", schema.OutcomeSuccess, ""},
		{1, "deployment", schema.OutcomeFailure, ""}, {1, "deployment", schema.OutcomeSuccess, ""},
	} {
		at := monday.Add(time.Duration(i) * time.Hour)
		rows = append(rows, schema.StoredEvent{
			ID: schema.EventID("test", fmt.Sprint(i)), Time: at, Received: at, Source: "audit/k", Name: e.name, Actor: e.actor, ActorKind: schema.ActorHuman,
			Cluster: "k", Namespace: "x", Object: "web", Outcome: e.outcome, Reason: e.reason, Attributes: map[string]string{"commit_time": "2026-01-05T09:00:00Z"},
		})
	}
	if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: "teams", Rows: rows}); err != nil {
		t.Fatal(err)
	}
	roster := []schema.RosterEntry{{Team: "a"}, {Team: "a", Actor: 1}, {Team: "b"}, {Team: "b", Actor: 1}, {Team: "b", Actor: 2}}
	if _, err := db.PutRoster(t.Context(), "1", monday, roster); err != nil {
		t.Fatal(err)
	}
	if _, err := db.PutCapabilities(t.Context(), monday, []schema.Capability{{Name: "deploy", Events: []string{"deployments.create"}}, {Name: "logs", Events: []string{"logs.query"}}}); err != nil {
		t.Fatal(err)
	}
	e := catalogue.Evaluator{
		Query: db.Query, Metrics: load(t), Now: func() time.Time { return monday.AddDate(0, 0, 10) },
		Settings: journey.Settings{Calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}},
	}
	type figure struct {
		Value, Numerator, Denominator, Low, High *float64
		N                                        int
	}
	told := map[string]bool{}
	ask := func(r journey.Request) map[string]figure {
		t.Helper()
		r.Periods = []journey.Period{week(t, e, "2026-W02")}
		values, err := e.Evaluate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]figure{}
		for _, v := range values {
			all[v.Dimensions[journey.DimensionTeam]] = figure{v.Value, v.Numerator, v.Denominator, v.Low, v.High, v.N}
			told[r.Metric] = told[r.Metric] || v.Value != nil && *v.Value > 0
		}
		return all
	}
	for _, m := range e.Metrics {
		if !slices.Contains(m.Dimensions, journey.DimensionTeam) || slices.Contains(m.Sources, "kube") || slices.Contains(m.Sources, "feedback") {
			continue
		}
		among := ask(journey.Request{Metric: m.ID, By: journey.DimensionTeam})
		for _, team := range []string{"a", "b"} {
			alone := ask(journey.Request{Metric: m.ID, Filter: map[string]string{journey.DimensionTeam: team}})[team]
			if got, ok := among[team]; ok {
				if diff := cmp.Diff(alone, got); diff != "" {
					t.Errorf("%s of team %s differs (-alone +among others):\n%s", m.ID, team, diff)
				}
			} else if alone.N != 0 {
				t.Errorf("%s of team %s is %+v alone, and nothing among others", m.ID, team, alone)
			}
		}
	}
	for _, id := range []string{"A1", "A10", "C8", "C9", "C11", "C12", "C15", "O8"} {
		if !told[id] {
			t.Errorf("%s has no figure here", id)
		}
	}
}
