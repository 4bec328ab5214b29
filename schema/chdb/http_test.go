package chdb_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/schema/chdb"
	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

// exchange is one request and its answer, body read and unpacked.
type exchange struct {
	method, params, body string
	header               http.Header
}

func (x exchange) do(t testing.TB, socket string) (status int, header http.Header, body string) {
	t.Helper()
	if x.method == "" {
		x.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), x.method, "http://engine/?"+x.params, strings.NewReader(x.body))
	if err != nil {
		t.Fatal(err)
	}
	for key, values := range x.header {
		req.Header[key] = values
	}
	resp, err := client(socket).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var from io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if from, err = gzip.NewReader(resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// ask posts a statement and returns the answer, which must be a good one.
func ask(t testing.TB, socket, sql string) string {
	t.Helper()
	status, _, body := exchange{body: sql}.do(t, socket)
	if status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", sql, status, body)
	}
	return body
}

// database makes a database of the test's own and returns its name.
func database(t testing.TB, socket string) string {
	t.Helper()
	name := "test_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
	ask(t, socket, "DROP DATABASE IF EXISTS "+name+" SYNC")
	ask(t, socket, "CREATE DATABASE "+name)
	return name
}

func TestStatementsComeInURLAndBody(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	db := database(t, socket)
	ask(t, socket, "CREATE TABLE "+db+".t (n UInt64, s String DEFAULT 'none') ENGINE = MergeTree ORDER BY n")
	in := "database=" + db + "&"
	esc := url.QueryEscape
	for _, tc := range []struct {
		name string
		exchange
		want string
	}{
		{"a query in the body", exchange{body: "SELECT 1+1"}, "2\n"},
		{"a query in the URL by GET", exchange{method: http.MethodGet, params: "query=" + esc("SELECT 1+1")}, "2\n"},
		{"a query in the URL by POST", exchange{params: "query=" + esc("SELECT 1+1")}, "2\n"},
		{"a query over both", exchange{params: "query=" + esc("SELECT 1,"), body: "2"}, "1\t2\n"},
		{"a trailing semicolon and a comment", exchange{body: "SELECT 1; -- one\n/* and only */"}, "1\n"},
		{"quotes that look like ends", exchange{body: `SELECT 'a;b', "x;" FROM (SELECT 1 AS "x;")`}, "a;b\t1\n"},
		{"a format in the statement", exchange{body: "SELECT 1 AS x FORMAT JSONEachRow"}, "{\"x\":1}\n"},
		{"a default format", exchange{params: "default_format=CSVWithNames", body: "SELECT 1 AS x, 'a' AS y"}, "\"x\",\"y\"\n1,\"a\"\n"},
		{"the statement's format wins", exchange{params: "default_format=CSV", body: "SELECT 'a' FORMAT TSV"}, "a\n"},
		{"parameters", exchange{params: "param_n=7&param_s=" + esc(`it's \\ a\ttab`), body: "SELECT {n:UInt8} * 6, {s:String}"}, "42\tit\\'s \\\\ a\\ttab\n"},
		{"parameters of other types", exchange{params: "param_a=" + esc("['x','y']") + "&param_d=2026-03-29", body: "SELECT {a:Array(String)}[2], {d:Date} + 1"}, "y\t2026-03-30\n"},
		{"a setting", exchange{params: "max_block_size=17", body: "SELECT getSetting('max_block_size')"}, "17\n"},
		{"a setting with quotes in it", exchange{params: "format_csv_delimiter=" + esc("'"), body: "SELECT 1, 2 FORMAT CSV"}, "1'2\n"},
		{"a log comment", exchange{params: "log_comment=mine", body: "SELECT getSetting('log_comment')"}, "mine\n"},
		{"a database", exchange{params: in, body: "SELECT currentDatabase()"}, db + "\n"},
		{"a statement without a result", exchange{params: in, body: "TRUNCATE TABLE t"}, ""},
		{"SHOW", exchange{params: in, body: "SHOW TABLES"}, "t\n"},
		{"EXISTS", exchange{params: in, body: "EXISTS TABLE t"}, "1\n"},
		{"a query that begins with FROM", exchange{body: "FROM numbers(3) SELECT sum(number)"}, "3\n"},
		{"a query that begins with WITH", exchange{body: "WITH 4 AS x SELECT x"}, "4\n"},
		{"a query in brackets", exchange{body: "(SELECT 1) UNION ALL (SELECT 1)"}, "1\n1\n"},
		{"an insert of values", exchange{params: in, body: "INSERT INTO t VALUES (1, 'a;b'), (2, 'c''d');"}, ""},
		{"an insert of values of some columns", exchange{params: in, body: "INSERT INTO t (n) VALUES (3)"}, ""},
		{"an insert of values with parameters", exchange{params: in + "param_n=4", body: "INSERT INTO t (n) VALUES ({n:UInt64})"}, ""},
		{"an insert with the data in the body", exchange{params: in + "query=" + esc("INSERT INTO t FORMAT CSV"), body: "5,e\n6,f\n"}, ""},
		{"an insert with all in the body", exchange{params: in, body: "INSERT INTO t FORMAT JSONEachRow\n{\"n\":7,\"s\":\"g\"}\n{\"n\":8}"}, ""},
		{"an insert with all in the URL", exchange{params: in + "query=" + esc("INSERT INTO t VALUES (9, 'i')")}, ""},
		{"an insert with data in both", exchange{params: in + "query=" + esc("INSERT INTO t VALUES (10, 'j'),"), body: "(11, 'k')"}, ""},
		{"an insert without FORMAT", exchange{params: in + "query=" + esc("INSERT INTO t (n)"), body: "(12)"}, ""},
		{"an insert with SETTINGS", exchange{params: in, body: "INSERT INTO t SETTINGS async_insert=1, wait_for_async_insert=1 FORMAT CSV 13,m"}, ""},
		{"an insert by TABLE and quoted names", exchange{params: in, body: "INSERT INTO TABLE `" + db + "`.`t` (`n`, \"s\") FORMAT TSV\n14\tn\n"}, ""},
		{"an insert from a query", exchange{params: in, body: "INSERT INTO t (n) SELECT 15"}, ""},
		{"an insert from a query in brackets", exchange{params: in, body: "INSERT INTO t (n) (SELECT 16)"}, ""},
		{"an insert from WITH", exchange{params: in, body: "INSERT INTO t (n) WITH 17 AS x SELECT x"}, ""},
		{"WITH before INSERT", exchange{params: in, body: "WITH 18 AS x INSERT INTO t (n) SELECT x"}, ""},
		{"an insert of nothing", exchange{params: in + "query=" + esc("INSERT INTO t FORMAT Native")}, ""},
		{"an asynchronous insert", exchange{params: in + "async_insert=1&wait_for_async_insert=1&query=" + esc("INSERT INTO t FORMAT CSV"), body: "19,s\n"}, ""},
		{"what was inserted", exchange{params: in, body: "SELECT count(), sum(n), arraySort(groupUniqArray(n)) = range(1, 20), groupArray(s) FROM (SELECT * FROM t ORDER BY n)"},
			"19\t190\t1\t['a;b','c\\'d','none','none','e','f','g','none','i','j','k','none','m','n','none','none','none','none','s']\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, _, body := tc.do(t, socket)
			if status != http.StatusOK || body != tc.want {
				t.Errorf("status %d, got %q, want %q", status, body, tc.want)
			}
		})
	}
}

func TestErrorsCarryClickHousesCodes(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	db := database(t, socket)
	ask(t, socket, "CREATE TABLE "+db+".t (n UInt64) ENGINE = MergeTree ORDER BY n")
	esc := url.QueryEscape
	for _, tc := range []struct {
		name string
		exchange
		status int
		code   string
		text   string
	}{
		{"a syntax error", exchange{body: "SELEC 1"}, 400, "62", "Code: 62. DB::Exception: Syntax error"},
		{"an unknown table", exchange{body: "SELECT * FROM nope"}, 404, "60", "UNKNOWN_TABLE"},
		{"an unknown database", exchange{params: "database=nope", body: "SELECT 1"}, 404, "81", "nope"},
		{"an unknown column", exchange{body: "SELECT nope FROM " + db + ".t"}, 404, "47", "nope"},
		{"an unknown function", exchange{body: "SELECT nope(1)"}, 404, "46", "nope"},
		{"an unknown setting", exchange{params: "nope=1", body: "SELECT 1"}, 404, "115", "Unknown setting 'nope'"},
		{"a bad value of a setting", exchange{params: "max_threads=many", body: "SELECT 1"}, 400, "", "many"},
		{"a bad name of a setting", exchange{params: esc("a = 1, b") + "=1", body: "SELECT 1"}, 404, "115", "a = 1, b"},
		{"a missing parameter", exchange{body: "SELECT {n:UInt8}"}, 400, "456", "n"},
		{"a bad parameter", exchange{params: "param_n=x", body: "SELECT {n:UInt8}"}, 400, "", "x"},
		{"an error while running", exchange{body: "SELECT throwIf(number = 3, 'three') FROM numbers(10)"}, 500, "395", "three"},
		{"out of time", exchange{params: "max_execution_time=1", body: "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"}, 408, "159", "TIMEOUT_EXCEEDED"},
		{"out of memory", exchange{params: "max_memory_usage=10000000", body: "SELECT length(groupArray(number)) FROM numbers(100000000)"}, 500, "241", "MEMORY_LIMIT_EXCEEDED"},
		{"two statements", exchange{body: "SELECT 1; SELECT 2"}, 400, "62", "Multi-statements are not allowed"},
		{"two statements, the first an insert", exchange{body: "INSERT INTO " + db + ".t SELECT 1; DROP TABLE " + db + ".t"}, 400, "62", "Multi-statements are not allowed"},
		{"a NUL byte outside of data", exchange{body: "SELECT 'a\x00b'"}, 400, "62", "NUL"},
		{"no statement", exchange{}, 400, "62", "Syntax error"},
		{"an insert into nothing", exchange{body: "INSERT INTO nope VALUES (1)"}, 404, "60", "nope"},
		{"bad data", exchange{params: "query=" + esc("INSERT INTO "+db+".t FORMAT CSV"), body: "x\n"}, 400, "117", "INCORRECT_DATA"},
		{"cut Native data", exchange{params: "query=" + esc("INSERT INTO "+db+".t FORMAT Native"), body: "\x01\x05\x01n"}, 400, "32", "ATTEMPT_TO_READ_AFTER_EOF"},
		{"an unknown format", exchange{params: "query=" + esc("INSERT INTO "+db+".t FORMAT Nope"), body: "1"}, 404, "73", "Nope"},
		{"an unknown output format", exchange{params: "default_format=Nope", body: "SELECT 1"}, 404, "73", "Nope"},
		{"a change by GET", exchange{method: http.MethodGet, params: "query=" + esc("DROP TABLE "+db+".t")}, 403, "164", "readonly"},
		{"an insert by GET", exchange{method: http.MethodGet, params: "query=" + esc("INSERT INTO "+db+".t VALUES (1)")}, 403, "164", "readonly"},
		{"a session", exchange{params: "session_id=1", body: "SELECT 1"}, 501, "48", "session"},
		{"block compression", exchange{params: "compress=1", body: "SELECT 1"}, 501, "48", "gzip"},
		{"external tables", exchange{body: "x", header: http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}}, 501, "48", "external tables"},
		{"another encoding", exchange{body: "x", header: http.Header{"Content-Encoding": {"br"}}}, 400, "89", "br"},
		{"a gzip body that is none", exchange{body: "SELECT 1", header: http.Header{"Content-Encoding": {"gzip"}}}, 400, "33", "gzip"},
		{"an insert from input()", exchange{body: "INSERT INTO " + db + ".t SELECT * FROM input('n UInt64') FORMAT CSV 1"}, 501, "48", "input()"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, header, body := tc.do(t, socket)
			code := header.Get("X-ClickHouse-Exception-Code")
			if status != tc.status || tc.code != "" && code != tc.code || !strings.Contains(body, tc.text) ||
				!strings.HasPrefix(body, "Code: "+code+". DB::Exception: ") || strings.Count(body, "DB::Exception") != 1 || strings.Count(body, "(version ") != 1 {
				t.Errorf("got status %d, code %s: %s\nwant status %d, code %s and %q", status, code, body, tc.status, tc.code, tc.text)
			}
		})
	}
	if got := ask(t, socket, "SELECT count() FROM "+db+".t"); got != "0\n" {
		t.Errorf("failed statements left %s rows", got)
	}
}

func TestPingAndMethods(t *testing.T) {
	c := client(chdbtest.Start(t).Socket())
	for _, tc := range []struct {
		method, url, want string
		status            int
	}{
		{http.MethodGet, "http://engine/ping", "Ok.\n", 200},
		{http.MethodGet, "http://engine/", "Ok.\n", 200},
		{http.MethodDelete, "http://engine/?query=SELECT+1", "statements come by GET or POST\n", 405},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, tc.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.status || string(text) != tc.want {
			t.Errorf("%s %s: got %d %q", tc.method, tc.url, resp.StatusCode, text)
		}
	}
}

func TestHeadersDescribeTheAnswer(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	_, header, _ := exchange{params: "query_id=mine", body: "SELECT 1 FORMAT JSON"}.do(t, socket)
	for name, want := range map[string]string{
		"X-ClickHouse-Query-Id": "mine", "X-ClickHouse-Format": "JSON", "Content-Type": "application/json; charset=UTF-8",
		"X-ClickHouse-Timezone": "Etc/UTC", "X-ClickHouse-Server-Display-Name": "kubevalue",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	db := database(t, socket)
	ask(t, socket, "CREATE TABLE "+db+".t (n UInt64) ENGINE = MergeTree ORDER BY n")
	_, header, _ = exchange{body: "INSERT INTO " + db + ".t VALUES (1), (2), (3)"}.do(t, socket)
	if summary := header.Get("X-ClickHouse-Summary"); !strings.Contains(summary, `"written_rows":"3"`) {
		t.Errorf("summary of an insert of three rows: %s", summary)
	}
	if id := header.Get("X-ClickHouse-Query-Id"); len(id) != 36 {
		t.Errorf("query id made up by the engine: %q", id)
	}
}

func TestTheEngineHoldsItsMemoryLimit(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	got := strings.TrimSpace(ask(t, socket, "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'"))
	if want := chdb.DefaultMemoryForTest(); got != want || want == "0" {
		t.Errorf("the limit is %s, want %s", got, want)
	}
}

func TestGzipBothWays(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	db := database(t, socket)
	ask(t, socket, "CREATE TABLE "+db+".t (n UInt64) ENGINE = MergeTree ORDER BY n")
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	for range 100_000 {
		if _, err := io.WriteString(zip, "7\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	insert := exchange{params: "query=" + url.QueryEscape("INSERT INTO "+db+".t FORMAT TSV"), body: packed.String(), header: http.Header{"Content-Encoding": {"gzip"}}}
	if status, _, body := insert.do(t, socket); status != 200 {
		t.Fatalf("status %d: %s", status, body)
	}
	cut := insert
	cut.body = insert.body[:packed.Len()/2]
	if status, _, body := cut.do(t, socket); status != 400 {
		t.Errorf("a body that is cut off: status %d: %s", status, body)
	}
	accept := http.Header{"Accept-Encoding": {"br, gzip;q=0.5"}}
	for _, sql := range []string{"SELECT sum(n), count() FROM " + db + ".t", "SELECT sum(n), count() FROM " + db + ".t FORMAT TSVWithNames"} {
		_, header, body := exchange{body: sql, header: accept}.do(t, socket)
		if header.Get("Content-Encoding") != "gzip" || !strings.HasSuffix(body, "700000\t100000\n") {
			t.Errorf("%s: encoding %q, got %q", sql, header.Get("Content-Encoding"), body)
		}
	}
	_, header, body := exchange{params: "enable_http_compression=0", body: "SELECT 1", header: accept}.do(t, socket)
	if header.Get("Content-Encoding") != "" || body != "1\n" {
		t.Errorf("compression that was turned off: %q, %q", header.Get("Content-Encoding"), body)
	}
	if status, _, body := (exchange{body: "SELEC 1", header: accept}).do(t, socket); status != 400 || !strings.HasPrefix(body, "Code: 62") {
		t.Errorf("an error: %d, %q", status, body)
	}
}

// TestWhatIsAskedAgainStaysUncompressed counts the engine's hits: without a configured size the setting would do nothing, silently.
func TestWhatIsAskedAgainStaysUncompressed(t *testing.T) {
	socket := chdbtest.Start(t).Socket()
	ask(t, socket, "CREATE TABLE asked_again (n UInt64 CODEC(ZSTD)) ENGINE = MergeTree ORDER BY n")
	ask(t, socket, "INSERT INTO asked_again SELECT number FROM numbers(100000)")
	for range 2 {
		if got := ask(t, socket, "SELECT sum(n) FROM asked_again SETTINGS use_uncompressed_cache = 1"); got != "4999950000\n" {
			t.Fatal(got)
		}
	}
	if got := ask(t, socket, "SELECT value > 0 FROM system.events WHERE event = 'UncompressedCacheHits'"); got != "1\n" {
		t.Errorf("hits: %q", got)
	}
}
