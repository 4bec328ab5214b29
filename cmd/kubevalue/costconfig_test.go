package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubevalue/kubevalue/schema"
)

func TestPricesOfResourcesAreStoredByTheHour(t *testing.T) {
	t.Parallel()
	b := boot(t, `
organisation: {timezone: Europe/Berlin}
costs:
  currency: EUR
  nodes: [{class: large, per_hour: 0.1, from: 2026-06-01}, {per_hour: 0.2}]
  storage: [{class: fast, per_gib_month: 7.3}]
  shared: [kube-system]
`)
	want := []schema.ResourcePrice{
		{Kind: schema.ConsumedNode, Class: "large", PerHour: 0.1, Currency: "EUR", From: time.Date(2026, 5, 31, 22, 0, 0, 0, time.UTC)},
		{Kind: schema.ConsumedNode, PerHour: 0.2, Currency: "EUR"}, {Kind: schema.ConsumedStorage, Class: "fast", PerHour: 0.01, Currency: "EUR"},
	}
	if diff := cmp.Diff(want, b.cfg.resourcePrices(), cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
	rows := b.query("SELECT kind, class, toString(round(per_hour, 6)), currency, toUnixTimestamp(valid_from) FROM resource_prices_current ORDER BY kind, class")
	if want := "node  0.2 EUR 0\nnode large 0.1 EUR 1780264800\nshared kube-system 0  0\nstorage fast 0.01 EUR 0\n"; rows != want {
		t.Errorf("stored are\n%s, want\n%s", rows, want)
	}
	if _, err := b.db.PutPrices(t.Context(), time.Now(), []schema.ResourcePrice{{Kind: schema.ConsumedNode, Currency: "EUR"}, {Kind: schema.ConsumedNode, Class: "a", Currency: "USD"}}, nil); err == nil ||
		!strings.Contains(err.Error(), "figures add up in one currency") {
		t.Errorf("two currencies: %v", err)
	}
}

func TestWhatHasNoPriceIsKnown(t *testing.T) {
	t.Parallel()
	b := boot(t, `
costs:
  currency: EUR
  nodes: [{class: large, per_hour: 0.1}, {class: old, per_hour: 0.1, to: 2026-01-01}]
  storage: [{per_gib_month: 0}]
`)
	now := time.Now().UTC()
	row := func(cluster string, kind schema.ConsumptionKind, class string, ago time.Duration) schema.Consumption {
		return schema.Consumption{Cluster: cluster, Start: now.Add(-ago).Truncate(time.Millisecond), Kind: kind, Class: class, Seconds: 60, CoreSeconds: 60}
	}
	rows := []schema.Consumption{
		row("c1", schema.ConsumedNode, "large", time.Hour), row("c1", schema.ConsumedNode, "old", time.Hour), row("c2", schema.ConsumedNode, "old", time.Hour),
		row("c1", schema.ConsumedNode, "gone", 25*time.Hour), row("c1", schema.ConsumedStorage, "fast", time.Hour), row("c1", schema.ConsumedBalancer, "", time.Hour),
		row("c1", schema.ConsumedPod, "small", time.Hour),
	}
	if err := b.db.InsertConsumption(t.Context(), "rows", rows); err != nil {
		t.Fatal(err)
	}
	got, err := unpriced(t.Context(), b.db, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[unpricedClass]int64{{"node", "old"}: 2, {"balancer", ""}: 1}, got, cmp.AllowUnexported(unpricedClass{})); diff != "" {
		t.Errorf("without a price (-want +got):\n%s", diff)
	}
	m, err := b.figures.evaluator.Metric("O27")
	if err != nil || m.Unit != "EUR per team" {
		t.Errorf("O27 is in %q, %v", m.Unit, err)
	}
}
