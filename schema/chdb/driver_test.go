package chdb_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

// row has a field of every column type that kubevalue's tables use.
type row struct {
	N     uint64            `ch:"n"`
	F     float64           `ch:"f"`
	ID    uuid.UUID         `ch:"id"`
	T     time.Time         `ch:"t"`
	T3    time.Time         `ch:"t3"`
	D     time.Time         `ch:"d"`
	Low   string            `ch:"low"`
	Kind  string            `ch:"kind"`
	Attrs map[string]string `ch:"attrs"`
	Tags  []string          `ch:"tags"`
	Maybe *float64          `ch:"maybe"`
	OK    bool              `ch:"ok"`
	S     string            `ch:"s"`
	Dec   []int64           `ch:"dec"`
}

const rowColumns = `n UInt64, f Float64, id UUID, t DateTime, t3 DateTime64(3, 'UTC'), d Date, low LowCardinality(String),
	kind Enum8('human' = 1, 'machine' = 2), attrs Map(String, String), tags Array(String), maybe Nullable(Float64), ok Bool, s String, dec Array(Int64)`

func TestEveryColumnTypeMakesTheRoundTrip(t *testing.T) {
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionGZIP} {
		t.Run(method.String(), func(t *testing.T) {
			socket := chdbtest.Start(t).Socket()
			db := database(t, socket)
			conn := open(t, socket, func(o *clickhouse.Options) {
				o.Auth.Database = db
				o.Compression = &clickhouse.Compression{Method: method, Level: 1}
			})
			ctx := t.Context()
			if err := conn.Exec(ctx, "CREATE TABLE t ("+rowColumns+") ENGINE = MergeTree ORDER BY n"); err != nil {
				t.Fatal(err)
			}
			half := 0.5
			want := []row{
				{N: math.MaxUint64, F: math.Inf(1), ID: uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
					T: time.Date(2026, 3, 29, 1, 59, 59, 0, time.UTC), T3: time.Date(2026, 3, 29, 1, 59, 59, 987e6, time.UTC),
					D: time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), Low: "prod", Kind: "machine", Attrs: map[string]string{"a\x00b": "c'd\\", "": ""},
					Tags: []string{"x", "", "\x00"}, Maybe: &half, OK: true, S: strings.Repeat("\x00\xff€", 1000), Dec: []int64{math.MinInt64, 0}},
				{T: time.Unix(0, 0).UTC(), T3: time.Unix(0, 0).UTC(), D: time.Unix(0, 0).UTC(), Kind: "human", Attrs: map[string]string{}, Tags: []string{}, Dec: []int64{}},
			}
			batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if err := batch.AppendStruct(&want[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			var got []row
			if err := conn.Select(ctx, &got, "SELECT * FROM t ORDER BY n DESC"); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].T = got[i].T.UTC() // a DateTime comes in the server's zone
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBatchesWithNULBytesArriveWhole(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	db := database(t, socket)
	conn := open(t, socket, func(o *clickhouse.Options) { o.Auth.Database = db })
	ctx := t.Context()
	if err := conn.Exec(ctx, "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	const rows = 100_000
	for round := range uint64(2) {
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO t (n, s)")
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(rows) {
			if err := batch.Append(round*rows+i, fmt.Sprintf("\x00%d\x00", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			t.Fatal(err)
		}
	}
	var count, distinct, wrong uint64
	err := conn.QueryRow(ctx, "SELECT count(), uniqExact(n), countIf(s != concat(char(0), toString(n % ?), char(0))) FROM t", rows).Scan(&count, &distinct, &wrong)
	if err != nil {
		t.Fatal(err)
	}
	if count != 2*rows || distinct != 2*rows || wrong != 0 {
		t.Errorf("got %d rows, %d distinct, %d wrong", count, distinct, wrong)
	}
}

func TestBoundParametersAreData(t *testing.T) {
	conn := open(t, chdbtest.Start(t).Socket())
	nasty := "it's \\ a \"line\"\n\ttab `x`; DROP TABLE t --{y:String} \x00 end"
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"n": "42", "s": "plain"}))
	var n uint64
	var s string
	if err := conn.QueryRow(ctx, "SELECT {n:UInt64}, {s:String}").Scan(&n, &s); err != nil {
		t.Fatal(err)
	}
	if n != 42 || s != "plain" {
		t.Errorf("got %d, %q", n, s)
	}
	text := strings.ReplaceAll(nasty, "\x00", "") // the driver writes these two into the statement
	var at time.Time
	want := time.Date(2026, 10, 25, 0, 30, 0, 250e6, time.UTC)
	if err := conn.QueryRow(t.Context(), "SELECT @s, ?::DateTime64(3, 'UTC')", clickhouse.Named("s", text)).Scan(&s, &at); err == nil {
		t.Error("mixed placeholders were taken")
	}
	if err := conn.QueryRow(t.Context(), "SELECT @s, @at::DateTime64(3, 'UTC')", clickhouse.Named("s", text),
		clickhouse.DateNamed("at", want, clickhouse.MilliSeconds)).Scan(&s, &at); err != nil {
		t.Fatal(err)
	}
	if s != text || !at.Equal(want) {
		t.Errorf("got %q, %v", s, at)
	}
	if err := conn.QueryRow(t.Context(), "SELECT {s:String}, {l:Array(String)}[2]", clickhouse.Named("s", text), clickhouse.Named("l", []string{"a", "b'c"})).Scan(&s, &nasty); err != nil {
		t.Fatal(err)
	}
	if s != text || nasty != "b'c" {
		t.Errorf("got %q, %q", s, nasty)
	}
}

func TestDriverSeesErrorsWithTheirCodes(t *testing.T) {
	conn := open(t, chdbtest.Start(t).Socket())
	for sql, want := range map[string]int32{
		"SELEC 1":            62,
		"SELECT * FROM nope": 60,
		"SELECT throwIf(number = 9999999) FROM numbers(10000000)": 395, // after rows were sent
	} {
		err := func() error {
			rows, err := conn.Query(t.Context(), sql)
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return errors.Join(rows.Err(), rows.Close())
		}()
		exception, ok := errors.AsType[*clickhouse.Exception](err)
		if !ok || exception.Code != want {
			t.Errorf("%s: got %v, want code %d", sql, err, want)
		}
		if err := conn.Ping(t.Context()); err != nil {
			t.Errorf("after %s: %v", sql, err)
		}
	}
}

func TestEmptyResults(t *testing.T) {
	conn := open(t, chdbtest.Start(t).Socket())
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT number FROM numbers(10) WHERE number > 10").Scan(&n); err == nil {
		t.Error("a row came out of nothing")
	}
	var all []struct {
		N uint64 `ch:"n"`
	}
	if err := conn.Select(t.Context(), &all, "SELECT number AS n FROM numbers(0)"); err != nil || len(all) != 0 {
		t.Errorf("got %v, %v", all, err)
	}
}
