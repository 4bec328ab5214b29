package demo_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/cmd/kubevalue/demo"
)

var now = time.Date(2026, 11, 18, 13, 30, 0, 0, time.UTC)

func TestTheSameSeedGivesTheSameOrganisation(t *testing.T) {
	a, b, other := demo.NewWorld(7, 26, now), demo.NewWorld(7, 26, now), demo.NewWorld(8, 26, now)
	day := a.Start.AddDate(0, 0, 30)
	_ = a.Day(a.Start) // days do not depend on what was asked for before
	if diff := cmp.Diff(a.Day(day), b.Day(day)); diff != "" {
		t.Errorf("one seed, two days:\n%s", diff)
	}
	if diff := cmp.Diff(a.Slices(day), b.Slices(day)); diff != "" {
		t.Errorf("one seed, two days of slices:\n%s", diff)
	}
	if diff := cmp.Diff(a.Changes(day), b.Changes(day)); diff != "" || len(a.Changes(day)) == 0 {
		t.Errorf("one seed, two days of changes:\n%s", diff)
	}
	if diff := cmp.Diff(a.Uptime(day), b.Uptime(day)); diff != "" {
		t.Errorf("one seed, two days of uptime:\n%s", diff)
	}
	if cmp.Equal(a.Day(day), other.Day(day)) {
		t.Error("another seed gives the same day")
	}
}

func TestTheOrganisationHasItsSizeAndItsStory(t *testing.T) {
	w := demo.NewWorld(1, 26, now)
	people, mandated, left, absent := 0, 0, 0, 0
	for _, team := range w.Teams {
		people += len(team.Members)
		if !team.Voluntary {
			mandated++
		}
		if !team.Left.IsZero() {
			left++
		}
		if team.Joined.IsZero() {
			absent++
		}
	}
	if len(w.Clusters) != 12 || len(w.Teams) != 40 || people != 600 || mandated != 4 || left != 1 || absent != 3 {
		t.Errorf("%d clusters, %d teams, %d people, %d told to come, %d left, %d never came", len(w.Clusters), len(w.Teams), people, mandated, left, absent)
	}
	events := 0
	for day := w.Start; day.Before(w.End); day = day.AddDate(0, 0, 1) {
		d := w.Day(day)
		events += len(d.Actions) + len(d.Events)
		for _, a := range d.Actions {
			if a.At.Before(day) || a.At.After(now) || !a.At.Before(day.AddDate(0, 0, 1)) {
				t.Fatalf("an action of %s at %s", day, a.At)
			}
		}
	}
	if events < 50_000 || events > 400_000 {
		t.Errorf("%d events, want 50,000 to 400,000", events)
	}
}

func TestIncidentsShowInTheSlices(t *testing.T) {
	w := demo.NewWorld(1, 26, now)
	for _, in := range w.Incidents {
		if in.End.After(now) {
			continue
		}
		bad, total := 0.0, 0.0
		for _, s := range w.Slices(in.Start.Truncate(24 * time.Hour)) {
			if s.Cluster == in.Clusters[0] && !s.Start.Before(in.Start) && s.Start.Before(in.End) {
				bad, total = bad+s.Total-s.Good, total+s.Total
			}
		}
		if total > 0 && bad/total < in.Bad-0.05 {
			t.Errorf("%s: %v of attempts fail, want %v", in.ID, bad/total, in.Bad)
		}
	}
}
