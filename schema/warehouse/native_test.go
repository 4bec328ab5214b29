package warehouse_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// TestBlocksAreWrittenAsTheDriverWritesThem stores the same rows both ways.
func TestBlocksAreWrittenAsTheDriverWritesThem(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	numbers := []float64{0, -1.5, 1e300, math.SmallestNonzeroFloat64}
	rows := events(3000)
	for i := range rows {
		r := &rows[i]
		r.ActorTeam, r.Reason = string(make([]byte, random.IntN(300))), "größe"
		r.Clamped, r.Outcome, r.ActorKind = i%2 == 0, []schema.Outcome{"", schema.OutcomeSuccess, schema.OutcomeFailure, schema.OutcomeDenied}[i%4], ""
		if r.Value = nil; i%3 == 0 {
			r.Value = &numbers[random.IntN(len(numbers))]
		}
		if i%5 == 4 {
			r.Attributes = rows[i-random.IntN(4)-1].Attributes // the very same map
			continue
		}
		for range random.IntN(4) {
			if r.Attributes == nil {
				r.Attributes = map[string]string{}
			}
			r.Attributes[fmt.Sprint(random.IntN(100))] = uuid.NewString()
		}
	}
	var read [2]schema.Result
	for i := range read {
		db := warehousetest.Open(t)
		if i == 1 {
			db.WriteByDriver()
		}
		insertEvents(t, db, "t", rows)
		ids, at := make([]uuid.UUID, len(rows)), make([]time.Time, len(rows))
		for k := range rows {
			ids[k], at[k] = rows[k].ID, rows[k].Received
		}
		if err := db.InsertEventIDs(t.Context(), "t", ids, at); err != nil {
			t.Fatal(err)
		}
		var err error
		if read[i], err = db.Query(t.Context(), "SELECT *, mapSort(attributes) AS attributes FROM events ORDER BY id", nil); err != nil {
			t.Fatal(err)
		}
		noted, err := db.Query(t.Context(), "SELECT id_high, id_low, first_received FROM event_ids ORDER BY id_high", nil)
		if err != nil {
			t.Fatal(err)
		}
		read[i].Rows = append(read[i].Rows, noted.Rows...)
	}
	if len(read[0].Rows) != 2*len(rows) {
		t.Errorf("%d rows, want %d", len(read[0].Rows), 2*len(rows))
	}
	if diff := cmp.Diff(read[1], read[0]); diff != "" {
		t.Errorf("by the driver (-) and not (+):\n%s", diff)
	}
}
