package chdb_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

// TestAcknowledgedRowsOutliveTheEngine kills the engine among inserts. Each
// batch has a token and is sent again until it is acknowledged, as the spool
// does; in the end each row is there once.
func TestAcknowledgedRowsOutliveTheEngine(t *testing.T) {
	t.Parallel()
	cfg := chdbtest.Config(t, t.TempDir())
	cfg.Backoff = func(int) time.Duration { return 10 * time.Millisecond }
	engine := start(t, cfg)
	ask(t, engine.Socket(), `CREATE TABLE t (batch UInt64, n UInt64) ENGINE = MergeTree ORDER BY (batch, n)
		SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1`)
	conn := open(t, engine.Socket())
	const batches, rows, kills = 120, 500, 4
	retried := 0
	for batch := range uint64(batches) {
		if batch%(batches/kills) == batches/kills/2 {
			pid := engine.PID()
			go func() {
				time.Sleep(time.Duration(batch%7) * time.Millisecond)
				kill(t, pid)
			}()
		}
		for send(t.Context(), conn, batch, rows) != nil {
			retried++
			if t.Context().Err() != nil {
				t.Fatal("out of time")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	for batch := range uint64(batches) { // all of them again, as after a lost acknowledgement
		if batch%10 == 0 {
			if err := send(t.Context(), conn, batch, rows); err != nil {
				t.Fatal(err)
			}
		}
	}
	var count, distinct uint64
	if err := conn.QueryRow(t.Context(), "SELECT count(), uniqExact(batch, n) FROM t").Scan(&count, &distinct); err != nil {
		t.Fatal(err)
	}
	if count != batches*rows || distinct != count || retried == 0 {
		t.Errorf("%d rows, %d distinct, want %d; %d batches were sent again", count, distinct, batches*rows, retried)
	}
}

func send(ctx context.Context, conn driver.Conn, id, rows uint64) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "batch-" + strconv.FormatUint(id, 10)}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
	if err != nil {
		return err
	}
	for n := range rows {
		if err := batch.Append(id, n); err != nil {
			return err
		}
	}
	return batch.Send()
}
