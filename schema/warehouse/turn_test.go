package warehouse_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
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

// heldUp is the DSN of a fresh database on a server behind a network that holds the last part of each block of events up until some time, if
// that is still to come: the server has seen the statement by then.
func heldUp(t *testing.T) (dsn string, hold func(until time.Time)) {
	t.Helper()
	behind := server(t)
	var until atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		if strings.HasPrefix(r.In.URL.Query().Get("query"), "INSERT INTO events") {
			r.Out.Body = &heldBody{ReadCloser: r.In.Body, until: time.Unix(until.Load(), 0)}
		}
	}}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	_, database, _ := strings.Cut(warehousetest.DSN(t), "?database=")
	return "http://u:p@/ss@" + strings.TrimPrefix(s.URL, "http://") + "/" + database, func(at time.Time) { until.Store(at.Unix()) }
}

// heldBody gives one byte, and the others not before some time.
type heldBody struct {
	io.ReadCloser
	until time.Time
	begun bool
}

func (b *heldBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		return b.ReadCloser.Read(p[:1])
	}
	time.Sleep(time.Until(b.until))
	return b.ReadCloser.Read(p)
}

// TestWhatArrivesWhenTheTurnIsOver has blocks that were sent in time, or not, and came through in time, or not.
func TestWhatArrivesWhenTheTurnIsOver(t *testing.T) {
	for _, test := range []struct {
		name string
		way  func(db *warehouse.DB)
	}{
		{"as a body", func(*warehouse.DB) {}},
		{"by the driver", (*warehouse.DB).WriteByDriver},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dsn, hold := heldUp(t)
			db := warehousetest.OpenDSN(t, dsn)
			if _, err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			test.way(db)
			turn := db.Turn("store", time.Minute)
			if !mine(t, turn) {
				t.Fatal("it was free")
			}
			rows := events(100)
			send := func(token string, until time.Time) error {
				return db.InsertEvents(t.Context(), schema.EventBlock{Token: token, New: true, Until: until, Rows: rows})
			}
			if err := send("in time", turn.Clock().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			if err := send("untimed", time.Time{}); err != nil {
				t.Error(err)
			}
			late := []error{send("late", turn.Clock().Add(-time.Second))}
			until := turn.Clock().Add(time.Second)
			hold(until.Add(time.Second))
			late = append(late, send("held", until))
			for _, err := range late {
				want := "insert 100 rows (table events): code 395: the turn to store of who sent these rows is over"
				if err == nil || err.Error() != want || warehouse.Permanent(err) {
					t.Errorf("%v (permanent %v), want %s", err, warehouse.Permanent(err), want)
				}
			}
			if n := number(t, db, "count() FROM events"); n != 200 {
				t.Errorf("%d rows are stored, want 200: those that came in time", n)
			}
			// What was refused is nothing that the table knows of.
			if err := send("late", turn.Clock().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			if n := number(t, db, "count() FROM events"); n != 300 {
				t.Errorf("%d rows are stored after another try, want 300", n)
			}
		})
	}
}
