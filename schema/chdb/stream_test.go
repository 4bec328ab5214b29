package chdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

func TestStreamedAnswersEqualWholeOnes(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	for _, sql := range []string{
		"SELECT number, toString(number) AS s FROM numbers(100000)",
		"SELECT number FROM numbers(0)",
		"SELECT number FROM numbers(300000) WHERE number % 100000 = 1",
		"SELECT number % 3 AS k, count() FROM numbers(100) GROUP BY k WITH TOTALS ORDER BY k",
		"SELECT 1 AS x, 'a' AS y UNION ALL SELECT 2, 'b'",
		"SELECT arrayMap(x -> toString(x), range(number)) AS a, map('k', number) AS m, toLowCardinality('l') AS l FROM numbers(1000)",
	} {
		for format := range strings.FieldsSeq("Native TSV TabSeparatedRaw CSV JSONEachRow JSONLines JSONCompactEachRow RowBinary JSONCompact CSVWithNames") {
			for _, settings := range []string{"", "&extremes=1", "&output_format_json_array_of_rows=1"} {
				params := "max_threads=1&default_format=" + format + settings
				_, _, streamed := exchange{params: params, body: sql}.do(t, socket)
				_, _, whole := exchange{params: params + "&wait_end_of_query=1", body: sql}.do(t, socket)
				if format == "JSONCompact" { // has times in it
					streamed, _, _ = strings.Cut(streamed, `"statistics"`)
					whole, _, _ = strings.Cut(whole, `"statistics"`)
				}
				if streamed != whole {
					t.Errorf("%s in %s%s: %d bytes streamed, %d whole", sql, format, settings, len(streamed), len(whole))
				}
			}
		}
	}
}

func TestAnErrorAmongRowsBreaksTheAnswerOff(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	for _, header := range []http.Header{nil, {"Accept-Encoding": {"gzip"}}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine/", strings.NewReader(
			"SELECT throwIf(number = 2000000, 'too far'), number FROM numbers(3000000) SETTINGS max_threads = 1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := client(socket).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the answer ended with %v after %d bytes", err, len(text))
		}
		tag := resp.Header.Get("X-ClickHouse-Exception-Tag")
		if header == nil && !strings.Contains(string(text), "\r\n__exception__\r\n"+tag+"\r\nCode: 395. DB::Exception: too far") {
			t.Errorf("the answer ends with %q", text[max(0, len(text)-300):])
		}
	}
}

// running counts the statements that run with the comment.
func running(t *testing.T, socket, comment string) string {
	t.Helper()
	return strings.TrimSpace(ask(t, socket, "SELECT count() FROM system.processes WHERE Settings['log_comment'] = '"+comment+"'"))
}

// until waits for count statements with the comment to run.
func until(t *testing.T, socket, comment, count string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for running(t, socket, comment) != count {
		if time.Now().After(deadline) {
			t.Fatalf("%s statements run, want %s", running(t, socket, comment), count)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAStatementEndsWhenItsClientGoesAway(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	db := database(t, socket)
	ask(t, socket, "CREATE TABLE "+db+".t (n UInt64) ENGINE = MergeTree ORDER BY n")
	for name, sql := range map[string]string{
		"aggregate":        "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))",
		"whole answer":     "SELECT sum(sipHash64(number)) FROM numbers(1000000000000) FORMAT JSON",
		"insert":           "INSERT INTO " + db + ".t SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
		"sleep":            "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS function_sleep_max_microseconds_per_block = 1000000000, max_block_size = 1000",
		"endless rows":     "SELECT number FROM system.numbers FORMAT Native",
		"sort before rows": "SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) % 10000000 = 1 ORDER BY sipHash64(number)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			comment := strings.ReplaceAll(name, " ", "_")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/?log_comment="+comment, strings.NewReader(sql))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				resp, err := client(socket).Do(req)
				if err == nil { // reads nothing: the engine stands still with rows to send
					<-ctx.Done()
					err = resp.Body.Close()
				}
				done <- err
			}()
			until(t, socket, comment, "1")
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			until(t, socket, comment, "0") // each would else take longer than this waits
		})
	}
}

func TestAnInsertWhoseClientGoesAwayWritesNothing(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	db := database(t, socket)
	ask(t, socket, "CREATE TABLE "+db+".t (n UInt64) ENGINE = MergeTree ORDER BY n")
	pipe, data := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/?log_comment=gone&query="+url.QueryEscape("INSERT INTO "+db+".t FORMAT TSV"), pipe)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		resp, err := client(socket).Do(req)
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("the insert was answered with %s", resp.Status)
		}
		done <- err
	}()
	if _, err := data.Write([]byte(strings.Repeat("1\n", 200_000))); err != nil {
		t.Fatal(err)
	}
	until(t, socket, "gone", "1")
	cancel()
	if err := data.CloseWithError(context.Canceled); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	until(t, socket, "gone", "0")
	if got := ask(t, socket, "SELECT count() FROM "+db+".t"); got != "0\n" {
		t.Errorf("an insert that broke off left %s rows", got)
	}
}

func TestSixteenClientsAtOnce(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	db := database(t, socket)
	ask(t, socket, "CREATE TABLE "+db+".t (client UInt64, n UInt64) ENGINE = MergeTree ORDER BY (client, n)")
	conn := open(t, socket, func(o *clickhouse.Options) {
		o.Auth.Database = db
		o.MaxOpenConns, o.MaxIdleConns = 16, 16
	})
	const rounds, rows = 10, 1000
	group, ctx := errgroup.WithContext(t.Context())
	for id := range uint64(16) {
		group.Go(func() error {
			for round := range uint64(rounds) {
				batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
				if err != nil {
					return err
				}
				for n := range uint64(rows) {
					if err := batch.Append(id, round*rows+n); err != nil {
						return err
					}
				}
				if err := batch.Send(); err != nil {
					return err
				}
				var count, sum, other uint64
				if err := conn.QueryRow(ctx, "SELECT count(), sum(n) FROM t WHERE client = ?", id).Scan(&count, &sum); err != nil {
					return err
				}
				want := (round + 1) * rows
				if count != want || sum != want*(want-1)/2 {
					return fmt.Errorf("client %d saw %d rows with sum %d after %d", id, count, sum, want)
				}
				if err := conn.QueryRow(ctx, "SELECT sum(number) + ? FROM numbers(200000)", id).Scan(&other); err != nil || other != 19999900000+id {
					return fmt.Errorf("client %d got %d, %w", id, other, err)
				}
				if _, err := conn.Query(ctx, "SELECT * FROM nope"); err == nil {
					return errors.New("a query of nothing succeeded")
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
