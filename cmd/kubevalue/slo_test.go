package main

import (
	"testing"

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
