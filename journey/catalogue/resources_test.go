package catalogue_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// history is what happened to some clusters in five weeks of January, by a seed.
func history(seed uint64) ([]schema.ResourceChange, []schema.Slice) {
	r := rand.New(rand.NewPCG(seed, 0))
	start := time.Date(2025, 12, 29, 0, 0, 0, 0, time.UTC)
	at := func() time.Time { return start.Add(time.Duration(r.IntN(35*24*60)) * time.Minute) }
	var changes []schema.ResourceChange
	var measured []schema.Slice
	add := func(c schema.ResourceChange, res schema.Resource) {
		c.Resource, c.Key = res, fmt.Sprint(len(changes))
		changes = append(changes, c)
	}
	for c := range 3 {
		name := fmt.Sprintf("c%d", c)
		self := schema.Resource{Cluster: name, Region: name[1:], Kind: schema.KindCluster, UID: name, Name: name, Created: start.AddDate(0, 0, -50*c)}
		for range 20 {
			self.Version = fmt.Sprintf("v1.%d.0", 30+r.IntN(5))
			self.Attributes = map[string]string{"count.Pod": fmt.Sprint(r.IntN(100))}
			add(schema.ResourceChange{Change: schema.ChangeObserved, Time: at()}, self)
		}
		for i := range 8 {
			space := schema.Resource{Cluster: name, Kind: schema.KindNamespace, UID: fmt.Sprintf("%s-ns-%d", name, i), Name: fmt.Sprintf("ns-%d", i),
				Team: []string{"", "red", "blue"}[r.IntN(3)], Labels: map[string]string{"env": []string{"dev", "prod"}[r.IntN(2)]}, Created: at().AddDate(0, 0, -30*r.IntN(2))}
			add(schema.ResourceChange{Change: schema.ChangeCreated, Time: space.Created}, space)
			add(schema.ResourceChange{Change: schema.ChangeReady, Time: space.Created.Add(time.Duration(r.IntN(1000)) * time.Second)}, space)
			space.Attributes = map[string]string{"empty_since": at().AddDate(0, 0, -14).Format(time.RFC3339)}
			add(schema.ResourceChange{Change: schema.ChangeEmptied, Time: at()}, space)
			space.Terminating = at()
			add(schema.ResourceChange{Change: schema.ChangeTerminating, Time: space.Terminating}, space)
			add(schema.ResourceChange{Change: schema.ChangeDeleted, Time: space.Terminating.Add(time.Duration(r.IntN(5000)) * time.Second)}, space)
			web := schema.Resource{Cluster: name, Kind: schema.KindDeployment, UID: space.UID + "-web", Namespace: space.Name, Name: "web", Team: space.Team,
				Attributes: map[string]string{"rollout_reason": schema.RolloutTemplate}}
			node := schema.Resource{Cluster: name, Kind: schema.KindNode, UID: space.UID + "-node", Name: fmt.Sprintf("n-%d", i), Version: fmt.Sprintf("v1.%d.1", 30+r.IntN(5))}
			for range 4 {
				when := at()
				add(schema.ResourceChange{Change: schema.ChangeRolloutStarted, Time: when, Reason: schema.RolloutTemplate}, web)
				add(schema.ResourceChange{Change: []schema.Change{schema.ChangeRolloutFailed, schema.ChangeRolloutSucceeded}[r.IntN(2)], Time: when.Add(time.Hour)}, web)
				add(schema.ResourceChange{Change: schema.ChangeObserved, Time: when}, node)
				measured = append(measured, schema.Slice{Indicator: "workload-availability", Revision: "1", Group: name + "/" + space.Name + "/Deployment/web",
					Start: when, Seconds: 60, Good: float64(r.IntN(60)), Total: 60, State: schema.SliceMeasured, Version: 1})
			}
		}
	}
	return changes, measured
}

func insert(t *testing.T, db *warehouse.DB, token string, changes []schema.ResourceChange, measured []schema.Slice) {
	t.Helper()
	if err := db.InsertResourceChanges(t.Context(), token, changes); err != nil {
		t.Fatal(err)
	}
	if err := db.InsertSlices(t.Context(), token, measured); err != nil {
		t.Fatal(err)
	}
}

func kubeMetrics(t *testing.T) []journey.Metric {
	t.Helper()
	return slices.DeleteFunc(load(t), func(m journey.Metric) bool { return !slices.Equal(m.Sources, []string{"kube"}) })
}

// all is every value of the metrics of clusters in some weeks, as a whole and by their first dimension.
func all(t *testing.T, e catalogue.Evaluator, periods ...journey.Period) map[string]any {
	t.Helper()
	out := map[string]any{}
	e.Query = journey.Remember(e.Query)
	for _, m := range kubeMetrics(t) {
		for _, by := range append([]string{""}, m.Dimensions[:min(1, len(m.Dimensions))]...) {
			values, err := e.Evaluate(t.Context(), journey.Request{Metric: m.ID, Periods: periods, By: by})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if m.SQL.Ratio != "" && v.Numerator != nil && *v.Numerator > 0 && *v.Denominator == 0 {
					t.Errorf("%s %s %v is %g of nothing", m.ID, v.Period.Label, v.Dimensions, *v.Numerator)
				}
				out[fmt.Sprintf("%s %s %v", m.ID, v.Period.Label, v.Dimensions)] = []any{v.Value, v.Numerator, v.Denominator, v.N, v.Coverage, v.Low, v.High}
			}
		}
	}
	return out
}

func TestMetricsOfClustersAreTheSameAskedAloneTogetherAndOfWhatWasToldTwice(t *testing.T) {
	db := warehousetest.Open(t)
	changes, measured := history(7)
	insert(t, db, "once", changes, measured)
	e := catalogue.Evaluator{
		Query: db.Query, Metrics: load(t), Now: func() time.Time { return time.Date(2026, 1, 29, 7, 0, 0, 0, time.UTC) },
		Settings: journey.Settings{Calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}},
	}
	var periods []journey.Period
	alone := map[string]any{}
	for _, label := range []string{"2026-W01", "2026-W02", "2026-W05"} {
		p := week(t, e, label)
		periods = append(periods, p)
		for k, v := range all(t, e, p) {
			alone[k] = v
		}
	}
	if diff := cmp.Diff(alone, all(t, e, periods...)); diff != "" {
		t.Errorf("asked together (-alone +together):\n%s", diff)
	}
	insert(t, db, "twice", changes[:len(changes)/2], measured[:len(measured)/2])
	if diff := cmp.Diff(alone, all(t, e, periods...)); diff != "" {
		t.Errorf("told twice (-once +twice):\n%s", diff)
	}
	if len(alone) < 3*len(kubeMetrics(t)) || len(kubeMetrics(t)) < 15 {
		t.Errorf("%d values of %d metrics were compared", len(alone), len(kubeMetrics(t)))
	}
}
