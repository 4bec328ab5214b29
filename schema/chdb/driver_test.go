package chdb_test

import (
	"testing"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

func TestDriverSpeaksToTheEngine(t *testing.T) {
	conn := open(t, chdbtest.Start(t).Socket())
	ctx := t.Context()
	if err := conn.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(ctx, "CREATE TABLE hello (n UInt64, s String) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO hello")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(1000) {
		if err := batch.Append(i, "a\x00b"); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var n, sum, length uint64
	if err := conn.QueryRow(ctx, "SELECT count(), sum(n), sum(length(s)) FROM hello").Scan(&n, &sum, &length); err != nil {
		t.Fatal(err)
	}
	if n != 1000 || sum != 499500 || length != 3000 {
		t.Errorf("got %d rows, sum %d, length %d", n, sum, length)
	}
}
