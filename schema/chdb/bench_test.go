package chdb_test

import (
	"testing"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

func BenchmarkSelectOne(b *testing.B) {
	conn := open(b, chdbtest.Start(b).Socket())
	for b.Loop() {
		var n uint8
		if err := conn.QueryRow(b.Context(), "SELECT 1").Scan(&n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBatchOfThousandRows(b *testing.B) {
	socket := chdbtest.Start(b).Socket()
	db := database(b, socket)
	ask(b, socket, "CREATE TABLE "+db+".t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	conn := open(b, socket)
	for b.Loop() {
		batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO "+db+".t")
		if err != nil {
			b.Fatal(err)
		}
		for n := range uint64(1000) {
			if err := batch.Append(n, "some text"); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
}
