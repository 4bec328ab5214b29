package catalogue_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// bill is a random week of clusters and what it costs.
type bill struct {
	prices []schema.ResourcePrice
	shared []string
	rows   []schema.Consumption
}

var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

func drawBill(rt *rapid.T) bill {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(rt, label) }
	amount := func(label string) float64 { return float64(rapid.IntRange(0, 4).Draw(rt, label)) * 3600 }
	var b bill
	change := monday.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "change")) * time.Hour)
	for _, kind := range []schema.ConsumptionKind{schema.ConsumedNode, schema.ConsumedStorage, schema.ConsumedBalancer} {
		for _, class := range []string{"", "a", "b"} {
			if rapid.Bool().Draw(rt, "priced") {
				b.prices = append(b.prices,
					schema.ResourcePrice{Kind: kind, Class: class, PerHour: float64(rapid.IntRange(0, 3).Draw(rt, "before")), Currency: "EUR", To: change},
					schema.ResourcePrice{Kind: kind, Class: class, PerHour: float64(rapid.IntRange(0, 3).Draw(rt, "after")), Currency: "EUR", From: change})
			}
		}
	}
	if rapid.Bool().Draw(rt, "shared") {
		b.shared = []string{"kube-system"}
	}
	for range rapid.IntRange(0, 25).Draw(rt, "rows") {
		c := schema.Consumption{
			Start: monday.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "hour")) * time.Hour), Class: pick("class", "a", "b", "c"),
			Kind:    rapid.SampledFrom([]schema.ConsumptionKind{schema.ConsumedNode, schema.ConsumedPod, schema.ConsumedPod, schema.ConsumedStorage, schema.ConsumedBalancer}).Draw(rt, "kind"),
			Seconds: amount("seconds"), CoreSeconds: amount("cores"), ByteSeconds: amount("bytes"),
		}
		if c.Kind != schema.ConsumedNode {
			c.Namespace, c.Team = pick("namespace", "shop", "kube-system", ""), pick("team", "red", "blue", "")
		}
		b.rows = append(b.rows, c)
	}
	return b
}

// whole is what all of it costs: nodes, storage and load balancers at the prices of their hours. Pods cost nothing besides. The records
// are those that the table keeps: of an identity the last one.
func (b bill) whole(cluster string) (money float64) {
	type identity struct {
		cluster, class, namespace, team string
		kind                            schema.ConsumptionKind
		start                           time.Time
	}
	kept := map[identity]schema.Consumption{}
	for _, r := range b.rows {
		kept[identity{r.Cluster, r.Class, r.Namespace, r.Team, r.Kind, r.Start}] = r
	}
	for _, r := range kept {
		if cluster != "" && r.Cluster != cluster {
			continue
		}
		price := 0.0
		for _, class := range []string{"", r.Class} { // the own one wins
			for _, p := range b.prices {
				if p.Kind == r.Kind && p.Class == class && !r.Start.Before(p.From) && (p.To.IsZero() || r.Start.Before(p.To)) {
					price = p.PerHour
				}
			}
		}
		hours := r.Seconds / 3600
		if r.Kind == schema.ConsumedStorage {
			hours = r.ByteSeconds / (1 << 30) / 3600
		}
		money += hours * price
	}
	return money
}

// TestThePartsOfTheCostAreTheWhole: own, shared and idle cost add up to what nodes, storage and load balancers cost, of all clusters and of
// each, and the teams' parts to that of all teams. Each of many random weeks is that of a cluster of its own, to ask for all of them at once.
func TestThePartsOfTheCostAreTheWhole(t *testing.T) {
	db := warehousetest.Open(t)
	e := catalogue.Evaluator{
		Query: db.Query, Metrics: load(t), Now: func() time.Time { return monday.AddDate(0, 0, 14) },
		Settings: journey.Settings{Calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}},
	}
	const rounds, weeks = 3, 100
	bills := rapid.Custom(drawBill)
	for round := range rounds {
		b := bills.Example(round)
		b.rows = nil
		for i := range weeks {
			for _, r := range bills.Example(1000*round + i).rows {
				r.Cluster = fmt.Sprint("c", i)
				b.rows = append(b.rows, r)
			}
		}
		if err := db.Truncate(t.Context(), schema.TableConsumption); err != nil {
			t.Fatal(err)
		}
		if err := db.InsertConsumption(t.Context(), fmt.Sprint("bill", round), b.rows); err != nil {
			t.Fatal(err)
		}
		if _, err := db.PutPrices(t.Context(), monday.Add(time.Duration(round)*time.Second), b.prices, b.shared); err != nil {
			t.Fatal(err)
		}
		teams, idle := weekBy(t, e, "O23", "cluster"), weekBy(t, e, "O24", "cluster")
		sum := 0.0
		for i := range weeks {
			cluster := fmt.Sprint("c", i)
			sum += teams[cluster]
			nearly(t, "the cost of "+cluster, teams[cluster]+idle[cluster], b.whole(cluster))
		}
		nearly(t, "the cost by cluster", sum, weekBy(t, e, "O23", "")[""])
		sum = 0
		for _, money := range weekBy(t, e, "O23", "team") {
			sum += money
		}
		nearly(t, "the cost by team", sum, weekBy(t, e, "O23", "")[""])
		nearly(t, "all cost", weekBy(t, e, "O23", "")[""]+weekBy(t, e, "O24", "")[""], b.whole(""))
	}
}

// weekBy is what a metric says of the week, by a dimension.
func weekBy(t *testing.T, e catalogue.Evaluator, id, by string) map[string]float64 {
	t.Helper()
	values, err := e.Evaluate(t.Context(), journey.Request{Metric: id, Periods: []journey.Period{week(t, e, "2026-W02")}, By: by})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, v := range values {
		if v.Value != nil {
			out[v.Dimensions[by]] = *v.Value
		}
	}
	return out
}

func nearly(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
