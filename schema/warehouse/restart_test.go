package warehouse_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/chdb"
	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// embedded are the options for an engine of the test's own.
func embedded(t *testing.T, dir string) warehouse.Options {
	t.Helper()
	c := chdbtest.Config(t, dir)
	return warehouse.Options{DSN: "embedded:" + dir + "?database=own", EngineCommand: c.Command, EngineEnv: c.Env, Library: c.Library}
}

func open(t *testing.T, o warehouse.Options) *warehouse.DB {
	t.Helper()
	db, err := warehouse.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func closed(t *testing.T, db *warehouse.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestEmbeddedEngine(t *testing.T) {
	o := embedded(t, t.TempDir())
	db := open(t, o)
	if got, want := db.String(), o.DSN[:len(o.DSN)-len("?database=own")]; got != want || db.Database() != "own" {
		t.Errorf("it is %s, database %s; want %s", got, db.Database(), want)
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a database that is not there answers")
	}
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	rows := events(1000)
	insertEvents(t, db, "block", rows)
	before := firstSeen(t, db)

	if _, err := warehouse.Open(t.Context(), o); !errors.Is(err, chdb.ErrDataDirTaken) {
		t.Errorf("a second engine on the directory: %v", err)
	}
	o.Attach = true
	beside := open(t, o)
	if n := number(t, beside, "count() FROM events"); n != 1000 {
		t.Errorf("a process beside it sees %d of 1000 events", n)
	}
	closed(t, beside)
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("after the process beside it ended: %v", err)
	}
	closed(t, db)

	again := open(t, o) // nobody to attach to: it starts one
	defer closed(t, again)
	insertEvents(t, again, "block", rows)
	if n := number(t, again, "count() FROM events"); n != 1000 {
		t.Errorf("a block that came again after a restart: %d events of 1000", n)
	}
	if after := firstSeen(t, again); after != before {
		t.Errorf("a block that came again after a restart: first_seen was %s and is %s", before, after)
	}
}

// TestEngineDiesAmidInserts kills the engine at moments all over an insert, retries as the drainer does, and counts.
func TestEngineDiesAmidInserts(t *testing.T) {
	db := open(t, embedded(t, t.TempDir()))
	defer closed(t, db)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const rowsOfBlock = 20_000
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	blocks, failures, insert := 6, 0, time.Duration(0)
	for i := 0; i < blocks; i++ {
		rows := events(rowsOfBlock)
		for j := range rows {
			rows[j].ID, rows[j].Name = uuid.New(), fmt.Sprint("block ", i)
		}
		dead, start := make(chan struct{}), time.Now()
		if i%2 == 1 { // after 1/6, 3/6 and 5/6 of the time that the last undisturbed insert took
			pid := db.EnginePID()
			time.AfterFunc(insert*time.Duration(i%6)/6, func() {
				defer close(dead)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				for db.EnginePID() == pid { // until it is known to be dead
					time.Sleep(time.Millisecond)
				}
			})
		} else {
			close(dead)
		}
		for first := true; ; first = false {
			err := db.InsertEvents(ctx, schema.EventBlock{Token: fmt.Sprint("block ", i), New: first, Rows: rows})
			if err == nil {
				break
			}
			if warehouse.Permanent(err) || ctx.Err() != nil {
				t.Fatal(err)
			}
			failures++
			time.Sleep(20 * time.Millisecond)
		}
		if i%2 == 0 {
			insert = time.Since(start)
		}
		<-dead // a block may have been faster than its kill
		waitFor(ctx, db)
		if i == blocks-1 && failures == 0 && blocks < 60 {
			blocks += 6 // all of them were, since the machine was busier when the time was taken
		}
	}
	result, err := db.Query(ctx, "SELECT name, count(), uniqExact(id) FROM events GROUP BY name", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Rows) != blocks {
		t.Errorf("%d of %d blocks are there", len(result.Rows), blocks)
	}
	for _, row := range result.Rows {
		if row[1] != uint64(rowsOfBlock) || row[2] != uint64(rowsOfBlock) {
			t.Errorf("%v: %v rows, %v ids, want %d", row[0], row[1], row[2], rowsOfBlock)
		}
	}
	if n := number(t, db, "uniqExact(actor, name) FROM events"); n != number(t, db, "uniqExact(actor, name) FROM first_seen") {
		t.Errorf("first_seen does not have all of %d", n)
	}
	if failures == 0 {
		t.Error("no insert failed: the engine was not killed in time")
	}
	t.Logf("%d attempts failed", failures)
}

func TestEngineDiesAmidAnAnswer(t *testing.T) {
	db := open(t, embedded(t, t.TempDir()))
	defer closed(t, db)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid := db.EnginePID()
	time.AfterFunc(900*time.Millisecond, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	// A block of 65,409 rows takes 0.65 s; without the kill all of them would come.
	result, err := db.Query(t.Context(), "SELECT number, sleepEachRow(0.00001) FROM numbers(200000)", nil)
	e, ok := errors.AsType[*warehouse.Error](err)
	if !ok || e.Code != 0 || e.Permanent() {
		t.Errorf("%d of 200000 rows, error %v", len(result.Rows), err)
	}
	waitFor(t.Context(), db)
}

// waitFor waits until the engine is back.
func waitFor(ctx context.Context, db *warehouse.DB) {
	for db.Ping(ctx) != nil && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
}

// TestTokenOfADeadEngine has the state that an engine leaves which dies after it noted a block's token and before the block is
// there: the token is known, the part is not.
func TestTokenOfADeadEngine(t *testing.T) {
	o := embedded(t, t.TempDir())
	db := open(t, o)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := events(1000)
	insertEvents(t, db, "block", rows)
	closed(t, db)
	for round := range 2 {
		parts, err := filepath.Glob(filepath.Join(strings.TrimPrefix(db.String(), "embedded:"), "clickhouse", "store", "*", "*", "202611_*"))
		parts = slices.DeleteFunc(parts, func(part string) bool { // those of other tables
			columns, err := os.ReadFile(filepath.Join(part, "columns.txt"))
			return err != nil || !strings.Contains(string(columns), "duration_ms")
		})
		if err != nil || len(parts) != 1 {
			t.Fatalf("the parts of November: %v, %v", parts, err)
		}
		if err := os.RemoveAll(parts[0]); err != nil {
			t.Fatal(err)
		}
		db := open(t, o)
		if n := number(t, db, "count() FROM events"); n != 0 {
			t.Fatalf("%d rows without their part", n)
		}
		for range 2 {
			insertEvents(t, db, "block", rows)
			if n := number(t, db, "count() FROM events"); n != 1000 {
				t.Errorf("round %d: %d of 1000 events", round, n)
			}
		}
		closed(t, db)
	}
}

func TestMissingLibrary(t *testing.T) {
	o := embedded(t, t.TempDir())
	o.Library = "/nowhere/libchdb.so"
	if _, err := warehouse.Open(t.Context(), o); !errors.Is(err, chdb.ErrLibraryMissing) {
		t.Errorf("error %v", err)
	}
}

// TestAttachToAnEngineThatStops plays an engine that still takes connections but answers nobody.
func TestAttachToAnEngineThatStops(t *testing.T) {
	o := embedded(t, t.TempDir())
	o.Attach = true
	path := chdb.Socket(strings.TrimSuffix(strings.TrimPrefix(o.DSN, "embedded:"), "?database=own"))
	stopping, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := stopping.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	db := open(t, o)
	defer closed(t, db)
	if db.EnginePID() == 0 {
		t.Error("it joined an engine that answers nobody")
	}
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
	_ = stopping.Close()
}
