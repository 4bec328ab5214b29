package main

import (
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

func TestAFrozenAlertSaysWhy(t *testing.T) {
	s := &slo.Status{
		Alerts: []slo.SeverityStatus{{Severity: "page", State: slo.Frozen}, {Severity: "ticket", State: slo.Firing}, {Severity: "note", State: slo.Inactive}},
		Pairs: []slo.PairStatus{
			{AlertWindow: slo.AlertWindow{Severity: "page"}, State: slo.Inactive},
			{AlertWindow: slo.AlertWindow{Severity: "page"}, State: slo.Frozen, Reason: "no measurement in the last 5m"},
			{AlertWindow: slo.AlertWindow{Severity: "ticket"}, State: slo.Firing},
		},
	}
	if got, want := alertText(s), "page frozen (no measurement in the last 5m), ticket firing"; got != want {
		t.Errorf("alerts %q, want %q", got, want)
	}
	if got := alertText(&slo.Status{Alerts: s.Alerts[2:]}); got != "none" {
		t.Errorf("inactive alerts are %q", got)
	}
}

func TestAForecastIsAsOfTheServicesClock(t *testing.T) {
	f := slo.Forecast{At: new(time.Date(2031, 6, 1, 0, 0, 0, 0, time.UTC)), Window: time.Hour}
	for now, want := range map[string][2]string{
		"2031-05-01": {"2031-06-01 00:00", "used up on 2031-06-01T00:00:00Z"}, "2029-05-01": {"not in a year", "not within a year"},
	} {
		at, err := time.Parse(time.DateOnly, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := usedUp(f, at); got != want[0] {
			t.Errorf("on %s: %q, want %q", now, got, want[0])
		}
		if got := forecastText(f, at); !strings.HasPrefix(got, want[1]) {
			t.Errorf("on %s: %q, want %q", now, got, want[1])
		}
	}
}
