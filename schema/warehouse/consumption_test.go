package warehouse_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// TestOfTwoRecordsOfAnHourTheLaterOneCounts: a collector hands the sums of an hour over again as they grow, and what the warehouse takes at
// once may hold several of them.
func TestOfTwoRecordsOfAnHourTheLaterOneCounts(t *testing.T) {
	db := warehousetest.Open(t)
	start := time.Date(2026, 11, 20, 12, 0, 3, 0, time.UTC)
	sum := func(team string, seconds float64) schema.Consumption {
		return schema.Consumption{Cluster: "c1", Start: start, Kind: schema.ConsumedPod, Class: "large", Namespace: "shop", Team: team, Seconds: seconds}
	}
	for i, rows := range [][]schema.Consumption{
		{sum("red", 300), sum("blue", 60), sum("red", 600), sum("blue", 120), sum("red", 900)}, {sum("red", 1200)}, {sum("blue", 180), sum("red", 1500)},
	} {
		if err := db.InsertConsumption(t.Context(), fmt.Sprint("t", i), rows); err != nil {
			t.Fatal(err)
		}
		result, err := db.Query(t.Context(), "SELECT toFloat64(sum(seconds)) FROM consumption FINAL", nil)
		if want := []float64{1020, 1320, 1680}[i]; err != nil || result.Rows[0][0] != want {
			t.Errorf("after %d blocks there are %v s, %v; want %v", i+1, result.Rows, err, want)
		}
	}
}
