package warehouse_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// mine asks for a turn, which must not fail.
func mine(t *testing.T, turn *warehouse.Turn) bool {
	t.Helper()
	ok, err := turn.Mine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestOneServiceHasItsTurn(t *testing.T) {
	dsn := serverDSN(t, "p@/ss")
	db := warehousetest.OpenDSN(t, dsn)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := warehousetest.OpenDSN(t, dsn)
	a, b := db.Turn("alerts", time.Minute), other.Turn("alerts", time.Minute)
	for range 3 {
		if !mine(t, a) || mine(t, b) {
			t.Fatal("the first keeps it for as long as it asks")
		}
	}
	if elsewhere := other.Turn("reports", time.Minute); !mine(t, elsewhere) {
		t.Error("another thing is another turn")
	}
	a.GiveBack(t.Context())
	if !mine(t, b) || mine(t, a) {
		t.Error("what was given back is the next one's")
	}
	// b stalls for so long that it counts as dead: its time is over by the server's clock.
	if err := db.Exec(t.Context(), "ALTER TABLE turn_alerts_2 MODIFY COMMENT 'b/1/X 1000'"); err != nil {
		t.Fatal(err)
	}
	if !mine(t, a) || mine(t, b) || !mine(t, a) {
		t.Error("the turn of one who stalled is free, and it notices")
	}
}

// TestATurnOutlivesLostAnswers has a service that does not learn that it took the turn, and one whose giving back fails.
func TestATurnOutlivesLostAnswers(t *testing.T) {
	dsn := serverDSN(t, "p@/ss")
	db := warehousetest.OpenDSN(t, dsn)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := db.Turn("store", time.Minute), warehousetest.OpenDSN(t, dsn).Turn("store", time.Minute)
	if !mine(t, a) {
		t.Fatal("it was free")
	}
	a.Forget()
	if mine(t, b) || !mine(t, a) {
		t.Error("it is still the one's who took it")
	}
	a.GiveBack(t.Context())
	if !mine(t, b) {
		t.Fatal("it was given back")
	}
	rename := func(from, to string) {
		t.Helper()
		if err := db.Exec(t.Context(), "RENAME TABLE "+from+" TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("turn_store_2", "hidden")
	b.GiveBack(t.Context())
	rename("hidden", "turn_store_2")
	if mine(t, a) || !mine(t, b) {
		t.Error("it is still the one's who could not give it back")
	}
}

// TestWhatHoldersOfATurnLeaveForEachOther also looks at the clock that they share.
func TestWhatHoldersOfATurnLeaveForEachOther(t *testing.T) {
	dsn := serverDSN(t, "p@/ss")
	db := warehousetest.OpenDSN(t, dsn)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b, other := db.Turn("store", time.Minute), db.Turn("store", time.Minute), db.Turn("store_2", time.Minute)
	if state, err := a.State(t.Context()); state != "" || err != nil {
		t.Errorf("%q, %v at first", state, err)
	}
	for _, state := range []string{"first", "second"} {
		if err := a.PutState(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		if got, err := b.State(t.Context()); got != state || err != nil {
			t.Errorf("%q, %v after %q", got, err, state)
		}
	}
	if state, err := other.State(t.Context()); state != "" || err != nil {
		t.Errorf("another turn has the state %q, %v", state, err)
	}
	before := time.Now().Add(-time.Second)
	if !mine(t, a) {
		t.Fatal("it was free")
	}
	if now := a.Clock(); now.Before(before) || now.After(time.Now()) {
		t.Errorf("the server's clock is at %s, here it is between %s and now", now, before)
	}
}

func TestOfManyAtOnceOneHasTheTurn(t *testing.T) {
	dsn := serverDSN(t, "p@/ss")
	db := warehousetest.OpenDSN(t, dsn)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		var wg sync.WaitGroup
		var holders atomic.Int32
		turns := make([]*warehouse.Turn, 6)
		for i := range turns {
			turns[i] = db.Turn(fmt.Sprint("r", round), time.Minute)
			wg.Go(func() {
				if ok, err := turns[i].Mine(t.Context()); err != nil {
					t.Error(err)
				} else if ok {
					holders.Add(1)
				}
			})
		}
		wg.Wait()
		if n := holders.Load(); n > 1 {
			t.Fatalf("%d have the turn at once", n)
		}
	}
}

func TestAnEngineThatIsShared(t *testing.T) {
	dsn := warehousetest.DSN(t)
	db, other := warehousetest.OpenDSN(t, dsn), warehousetest.OpenDSN(t, dsn)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b := db.Turn("alerts", time.Minute), other.Turn("alerts", time.Minute); !mine(t, a) || mine(t, b) || !db.Shared() {
		t.Error("on an engine that somebody runs there may be another service")
	}
	own := open(t, embedded(t, t.TempDir()))
	defer closed(t, own)
	if a, b := own.Turn("alerts", time.Minute), own.Turn("alerts", time.Minute); !mine(t, a) || !mine(t, b) || own.Shared() {
		t.Error("on an engine of its own there is nobody else")
	}
}

func TestStateOfTheLastWriter(t *testing.T) {
	ahead := time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	dsn := warehousetest.DSN(t)
	fast, err := warehouse.Open(t.Context(), warehouse.Options{DSN: dsn, Now: func() time.Time { return ahead }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fast.Close() })
	db := warehousetest.OpenDSN(t, dsn)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if state, found, err := db.State(t.Context(), "alerts"); found || err != nil {
		t.Fatalf("%q, %v", state, err)
	}
	for i, writer := range []*warehouse.DB{db, fast, db} { // the last one's clock is behind
		if err := writer.PutState(t.Context(), "alerts", fmt.Sprintf("{%d: 'é'}", i)); err != nil {
			t.Fatal(err)
		}
		if err := writer.PutState(t.Context(), "other", "x"); err != nil {
			t.Fatal(err)
		}
		if state, found, err := db.State(t.Context(), "alerts"); state != fmt.Sprintf("{%d: 'é'}", i) || !found || err != nil {
			t.Errorf("after %d: %q, %v", i, state, err)
		}
	}
}
