package warehouse_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// value asks for one value.
func value(t testing.TB, db *warehouse.DB, sql string, param any) any {
	t.Helper()
	result, err := db.Query(t.Context(), sql, map[string]any{"x": param})
	if err != nil {
		t.Fatalf("%s with %v: %v", sql, param, err)
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) != 1 {
		t.Fatalf("%s: %v", sql, result)
	}
	return result.Rows[0][0]
}

func TestParametersArrive(t *testing.T) {
	db := warehousetest.Open(t)
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	odd := "a'b\\c\td\ne\rf\x00g`h\"i{x:String}?&=%ü📦"
	for _, test := range []struct {
		kind string
		in   any
		want any
	}{
		{"String", odd, odd},
		{"String", "", ""},
		{"String", `\N`, `\N`},
		{"String", "NULL", "NULL"},
		{"String", schema.ActorHuman, "human"},
		{"Int64", -5, int64(-5)},
		{"Int64", int64(math.MinInt64), int64(math.MinInt64)},
		{"UInt64", uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{"UInt8", uint8(7), uint8(7)},
		{"Float64", 0.1, 0.1},
		{"Float64", math.Inf(-1), math.Inf(-1)},
		{"Float64", 5e-324, 5e-324},
		{"Bool", true, true},
		{"DateTime64(3, 'UTC')", noon.Add(7 * time.Millisecond), noon.Add(7 * time.Millisecond)},
		{"DateTime64(3, 'UTC')", noon.In(tokyo), noon},
		{"DateTime64(3, 'Asia/Tokyo')", noon, noon.In(tokyo)},
		{"DateTime64(3, 'UTC')", time.Unix(0, 0), time.Unix(0, 0).UTC()},
		{"DateTime64(3, 'UTC')", time.UnixMilli(-86_400_500), time.UnixMilli(-86_400_500).UTC()},
		{"DateTime('UTC')", time.Unix(1, 0), time.Unix(1, 0).UTC()},
		{"DateTime('Asia/Tokyo')", noon, noon.In(tokyo)},
		{"DateTime", noon, noon},
		{"Array(String)", []string{odd, "", "]", "NULL", `\'`}, []string{odd, "", "]", "NULL", `\'`}},
		{"Array(String)", []string{}, []string{}},
		{"Array(UInt64)", []uint64{0, math.MaxUint64}, []uint64{0, math.MaxUint64}},
		{"Array(Int64)", []int64{-1, 1}, []int64{-1, 1}},
		{"Array(Float64)", []float64{0.1, -2}, []float64{0.1, -2}},
		{"Array(DateTime64(3, 'UTC'))", []time.Time{time.Unix(1, 0), noon.Add(time.Millisecond)}, []time.Time{time.Unix(1, 0).UTC(), noon.Add(time.Millisecond)}},
		{"Array(DateTime('UTC'))", []time.Time{noon}, []time.Time{noon}},
		{"Array(Array(UInt64))", [][]uint64{{1}, {}, {2, 3}}, [][]uint64{{1}, {}, {2, 3}}},
		{"Nullable(String)", nil, (*string)(nil)},
		{"Nullable(String)", "x", pointer("x")},
		{"Array(Nullable(Int64))", []any{1, nil}, []*int64{pointer(int64(1)), nil}},
	} {
		got := value(t, db, "SELECT {x:"+test.kind+"}", test.in)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s of %#v (-want +got):\n%s", test.kind, test.in, diff)
		}
	}
}

func pointer[T any](v T) *T { return &v }

func TestParametersOfAnyText(t *testing.T) {
	db := warehousetest.Open(t)
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.StringMatching(`[\\'\t\n\r\x00\[\],{}":ntr0N]*`))).Draw(rt, "texts")
		got := value(t, db, "SELECT {x:Array(String)}", texts).([]string)
		if len(got) != len(texts) || len(texts) > 0 && !cmp.Equal(texts, got) {
			rt.Fatalf("array: sent %q, got %q", texts, got)
		}
		for _, text := range texts {
			if got := value(t, db, "SELECT {x:String}", text); got != text {
				rt.Fatalf("sent %q, got %q", text, got)
			}
		}
	})
}

func TestBadParameters(t *testing.T) {
	db := warehousetest.Open(t)
	for _, test := range []struct {
		param any
		want  string
	}{
		{struct{}{}, "run a query: parameter x: a struct {} cannot be a parameter"},
		{map[string]string{}, "run a query: parameter x: a map[string]string cannot be a parameter"},
		{strings.Repeat("x", 1<<20), "run a query: the parameters take 1048577 bytes, at most 921600 are possible: pass less, or let the statement find it in a table"},
	} {
		if _, err := db.Query(t.Context(), "SELECT {x:String}", map[string]any{"x": test.param}); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	if _, err := db.Query(t.Context(), "SELECT {y:String}", nil); err == nil || !strings.HasPrefix(err.Error(), "run a query: code 456: ") {
		t.Errorf("a parameter that is missing: %v", err)
	}
}

func TestResults(t *testing.T) {
	db := warehousetest.Open(t)
	for _, test := range []struct {
		sql  string
		want schema.Result
	}{
		{"SELECT number AS n, toString(number) AS s FROM numbers(2)", schema.Result{Columns: []string{"n", "s"}, Rows: [][]any{{uint64(0), "0"}, {uint64(1), "1"}}}},
		{"SELECT name, count() AS n FROM events GROUP BY name; ", schema.Result{}},
		{"WITH 1 AS one SELECT one AS a FROM events -- nothing", schema.Result{}},
		{"SELECT toLowCardinality('a') AS l, CAST('x' AS Enum8('x' = 1)) AS e, (1, 'b') AS t, map('k', 1) AS m, NULL AS n",
			schema.Result{Columns: []string{"l", "e", "t", "m", "n"}, Rows: [][]any{{"a", "x", []any{uint8(1), "b"}, map[string]uint8{"k": 1}, (*any)(nil)}}}},
	} {
		got, err := db.Query(t.Context(), test.sql, nil)
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.sql, diff)
		}
	}
}

func TestQueryOnlyReads(t *testing.T) {
	db := warehousetest.Open(t)
	insertEvents(t, db, "t", events(10))
	for _, sql := range []string{
		"INSERT INTO event_ids (id_high) VALUES (1)",
		"INSERT INTO event_ids (id_high) SELECT 1",
		"CREATE TABLE x (a UInt8) ENGINE = Memory",
		"ALTER TABLE events DELETE WHERE true",
		"DROP TABLE events",
		"TRUNCATE TABLE events",
		"SET readonly = 0",
		"SYSTEM FLUSH LOGS",
		"SELECT 1 SETTINGS readonly = 0",
		"SELECT 1 SETTINGS max_memory_usage = 0",
		"SELECT * FROM file('/etc/passwd', 'LineAsString')",
		"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
		"SELECT * FROM remote('127.0.0.1', 'system.one')",
		"SELECT * FROM executable('id', 'LineAsString', 'x String')",
		"SELECT 1 INTO OUTFILE '/tmp/kubevalue-test'",
	} {
		if result, err := db.Query(t.Context(), sql, nil); err == nil {
			t.Errorf("%s: allowed, returned %v", sql, result)
		}
	}
	if n := number(t, db, "count() FROM events"); n != 10 {
		t.Errorf("%d of 10 events are left", n)
	}
	if _, err := db.Query(t.Context(), "DROP TABLE events", nil); err == nil || !strings.HasSuffix(err.Error(), "; only reading is allowed here") {
		t.Errorf("error %v", err)
	}
}

func TestQueryIsBounded(t *testing.T) {
	db := warehousetest.Open(t)
	for _, test := range []struct{ sql, code string }{
		{"SELECT number FROM numbers(300000)", "code 396: "},
		{"SELECT repeat('x', 1000 + number % 2) FROM numbers(200000)", "code 396: "},
		{"SELECT length(groupArray(repeat('x', 1000000 + number % 2))) FROM numbers(5000)", "code 241: "},
	} {
		_, err := db.Query(t.Context(), test.sql, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "run a query: "+test.code) || warehouse.Permanent(err) {
			t.Errorf("%s: %v", test.sql, err)
		}
	}
	if result, err := db.Query(t.Context(), "SELECT number FROM numbers(200000)", nil); err != nil || len(result.Rows) != 200_000 {
		t.Errorf("%d rows, error %v", len(result.Rows), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := db.Query(ctx, "SELECT sum(sleepEachRow(0.00001)) FROM numbers(60000000)", nil) // 10 minutes; without a context a statement gets one
	if err == nil || time.Since(begin) > 45*time.Second || !strings.HasPrefix(err.Error(), "run a query: code 159: ") && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := db.Query(ctx, "SELECT 1", nil); !errors.Is(err, context.Canceled) || err.Error() != "run a query: cancelled" {
		t.Errorf("cancelled: %v", err)
	}
}

// TestTheServersTimeEndsFirst holds what a lease needs: the server gives up before the context of the caller does.
func TestTheServersTimeEndsFirst(t *testing.T) {
	db := warehousetest.Open(t)
	for _, left := range []time.Duration{0, 40 * time.Second, 10 * time.Minute} {
		ctx, begin := t.Context(), time.Now()
		if left > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, left)
			defer cancel()
		}
		result, err := db.Query(ctx, "SELECT toFloat64(getSetting('max_execution_time'))", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := 60.0
		if left > 0 {
			want = min(want, left.Seconds())
		}
		passed := time.Since(begin).Seconds() // of which some may have been before the server was asked
		if got := result.Rows[0][0].(float64); got > want || got < want-passed-1 {
			t.Errorf("with %s left the server has %v s, want %v, or %v less", left, got, want, passed)
		}
	}
}

func TestPinnedSettings(t *testing.T) {
	db := warehousetest.Open(t)
	for name, want := range map[string]string{
		"async_insert": "0", "distributed_foreground_insert": "1", "insert_deduplicate": "1", "max_insert_threads": "1",
		"deduplicate_blocks_in_dependent_materialized_views": "1", "materialized_views_ignore_errors": "0",
		"throw_on_max_partitions_per_insert_block": "1", "session_timezone": "UTC", "timeout_overflow_mode": "throw",
		"readonly": "1", "max_result_rows": "250000", "result_overflow_mode": "throw", "max_memory_usage": "2147483648",
	} {
		if got := value(t, db, "SELECT toString(value) FROM system.settings WHERE name = {x:String}", name); got != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
}
