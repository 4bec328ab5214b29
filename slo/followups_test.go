package slo

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRateRatioIntervals(t *testing.T) {
	// Without control: Clopper and Pearson for k of n, as a ratio p/(1-p); 1 - 0.025^(1/6) = 0.459258 for none of six.
	// With: Fisher's exact interval; the last two are R's fisher.test on its examples Convictions and TeaTasting, whose
	// search stops at a precision of 1 %.
	for _, c := range []struct {
		a0, a1, c0, c1       int
		low, high, precision float64
	}{
		{6, 0, 0, 0, 0, 0.8493112, 1e-6},
		{0, 6, 0, 0, 1.1774247, math.Inf(1), 1e-6},
		{5, 5, 0, 0, 0.2301425, 4.3451345, 1e-6},
		{15, 2, 3, 10, 0.003325764, 0.363182271, 1e-2},
		{1, 3, 3, 1, 0.2117329, 621.9337505, 1e-2},
	} {
		low, high := oddsInterval(c.a0, c.a1, c.c0, c.c1)
		got := math.Inf(1)
		if high != nil {
			got = *high
		}
		if math.Abs(low-c.low) > c.precision*c.low || !(got == c.high || math.Abs(got-c.high) < c.precision*c.high) {
			t.Errorf("%d, %d against %d, %d: [%v, %v], want [%v, %v]", c.a0, c.a1, c.c0, c.c1, low, got, c.low, c.high)
		}
	}
}

// incidentsAt spreads n incidents of a class over an interval.
func incidentsAt(class string, from time.Time, length time.Duration, n int) []Incident {
	var out []Incident
	for k := range n {
		start := from.Add(length * time.Duration(2*k+1) / time.Duration(2*n))
		out = append(out, Incident{ID: fmt.Sprintf("%s-%s-%d", class, from.Format("0102"), k), Class: class, From: start, To: start.Add(20 * time.Minute)})
	}
	return out
}

func TestFollowUpVerdicts(t *testing.T) {
	trigger, done, now := march, march.AddDate(0, 0, 10), march.AddDate(0, 0, 70)
	study := func(before, after, controlBefore, controlAfter int) FollowUpEffect {
		var all []Incident
		all = append(all, incidentsAt("etcd", trigger.Add(-60*day), 60*day, before)...)
		all = append(all, Incident{ID: "trigger", Class: "etcd", From: trigger, To: trigger.Add(5 * time.Hour)})
		all = append(all, Incident{ID: "repair", Class: "etcd", From: trigger.Add(5 * day), To: trigger.Add(5*day + time.Hour)})
		all = append(all, incidentsAt("etcd", done, 60*day, after)...)
		all = append(all, incidentsAt("dns", trigger.Add(-60*day), 60*day, controlBefore)...)
		all = append(all, incidentsAt("dns", done, 60*day, controlAfter)...)
		effects, err := FollowUpStudy{Incidents: all, FollowUps: []FollowUp{{"trigger", done}, {"trigger", done.Add(-day)}}, From: trigger.AddDate(0, 0, -80), Now: now, Seed: 1}.Evaluate()
		if err != nil || len(effects) != 1 {
			t.Fatal(effects, err)
		}
		return effects[0]
	}
	for name, c := range map[string]struct {
		before, after, controlBefore, controlAfter int
		want                                       Verdict
		reason                                     string
	}{
		"far fewer, the control unchanged": {12, 1, 10, 10, Improved, "12 incidents before, 1 after, in 60d each"},
		"far more, the control unchanged":  {1, 12, 10, 10, Worsened, ""},
		"fewer, but so did the control":    {12, 3, 12, 3, CannotTell, "compatible with no change"},
		"a few":                            {3, 1, 10, 10, CannotTell, "3 incidents before and 1 after"},
		"none at all":                      {0, 0, 5, 5, CannotTell, "no incident of the class"},
		"far fewer without control":        {12, 1, 0, 0, Improved, "other causes are not ruled out"},
		"the control had none after":       {4, 2, 3, 0, CannotTell, "other causes are not ruled out"},
	} {
		t.Run(name, func(t *testing.T) {
			e := study(c.before, c.after, c.controlBefore, c.controlAfter)
			if e.Verdict != c.want || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("%s (%s), want %s (%s)", e.Verdict, e.Reason, c.want, c.reason)
			}
			if e.IncidentsBefore != c.before || e.IncidentsAfter != c.after || e.ControlBefore != c.controlBefore || e.ControlAfter != c.controlAfter || e.Done != 2 {
				t.Errorf("counted %+v", e)
			}
			if e.Before.Length() != e.After.Length() || e.DowntimeBefore != 20*float64(c.before) || e.DowntimeAfter != 20*float64(c.after) {
				t.Errorf("periods %s and %s, downtime %v and %v", e.Before, e.After, e.DowntimeBefore, e.DowntimeAfter)
			}
			if again := study(c.before, c.after, c.controlBefore, c.controlAfter); cmp.Diff(e, again) != "" {
				t.Error("the same study has another answer")
			}
		})
	}
	if p := study(12, 1, 10, 10).PDowntime; p > 0.01 {
		t.Errorf("the downtime test has p = %v", p)
	}
	open, err := FollowUpStudy{Incidents: incidentsAt("x", march, day, 1), FollowUps: []FollowUp{{Incident: "x-0301-0"}}, From: march, Now: now}.Evaluate()
	if err != nil || open[0].Verdict != CannotTell || open[0].Open != 1 {
		t.Errorf("open follow-ups: %+v, %v", open, err)
	}
	if _, err := (FollowUpStudy{FollowUps: []FollowUp{{Incident: "nobody"}}, From: march, Now: now}).Evaluate(); err == nil {
		t.Error("a follow-up of nothing is accepted")
	}
}

func TestFollowUpsOfOtherClassesAreNoControl(t *testing.T) {
	// Two incidents of etcd led to work; so did one of net, which is therefore no control.
	first, second, done := march, march.Add(3*day), march.AddDate(0, 0, 10)
	all := []Incident{{ID: "second", Class: "etcd", From: second, To: second.Add(time.Hour)}, {ID: "first", Class: "etcd", From: first, To: first.Add(time.Hour)}}
	all = append(all, incidentsAt("net", march.Add(-60*day), 60*day, 4)...)
	all = append(all, incidentsAt("net", done, 60*day, 4)...)
	all = append(all, incidentsAt("dns", march.Add(-60*day), 60*day, 2)...)
	effects, err := FollowUpStudy{Incidents: all, FollowUps: []FollowUp{{"second", done}, {"first", done.Add(-day)}, {"net-0311-0", done.AddDate(0, 0, 20)}}, From: march.AddDate(0, 0, -80), Now: march.AddDate(0, 0, 70), Longest: 30 * day}.Evaluate()
	if err != nil || len(effects) != 2 {
		t.Fatal(effects, err)
	}
	e := effects[0]
	if e.Class != "etcd" || !e.Before.To.Equal(first) || !e.After.From.Equal(done) || e.Before.Length() != 30*day || e.ControlBefore != 1 || e.ControlAfter != 0 {
		t.Errorf("%+v", e)
	}
}

func TestFollowUpsRarelyImproveByChance(t *testing.T) {
	// Incidents that fall into either period at random are found improved or worsened in at most 5 % of the cases.
	found, n := 0, 0
	for seed := range uint64(120) {
		var all []Incident
		for k := range 20 {
			from := march.Add(-60 * day)
			if (seed*2654435761>>(k%30))&1 == 1 {
				from = march.AddDate(0, 0, 10)
			}
			all = append(all, Incident{ID: fmt.Sprint(k), Class: "c", From: from.Add(time.Duration(k+1) * day), To: from.Add(time.Duration(k+1)*day + time.Hour)})
		}
		all = append(all, Incident{ID: "trigger", Class: "c", From: march, To: march.Add(time.Hour)})
		e, err := FollowUpStudy{Incidents: all, FollowUps: []FollowUp{{"trigger", march.AddDate(0, 0, 10)}}, From: march.AddDate(0, 0, -60), Now: march.AddDate(0, 0, 70), Seed: seed}.Evaluate()
		if err != nil {
			t.Fatal(err)
		}
		n++
		if e[0].Verdict != CannotTell {
			found++
		}
	}
	if found*20 > n*2 {
		t.Errorf("%d of %d random histories have a verdict", found, n)
	}
}
