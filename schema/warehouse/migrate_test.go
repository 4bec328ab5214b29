package warehouse_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
	"github.com/kubevalue/kubevalue/schema/migrations"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// files makes a set of migrations.
func files(nameAndSQL ...string) fs.FS {
	all := fstest.MapFS{}
	for i := 0; i < len(nameAndSQL); i += 2 {
		all[nameAndSQL[i]+".sql"] = &fstest.MapFile{Data: []byte(nameAndSQL[i+1])}
	}
	return all
}

const (
	first  = "-- one;\nCREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = MergeTree ORDER BY x;\nINSERT INTO a SELECT 1;\n"
	second = "CREATE TABLE IF NOT EXISTS b (x UInt8)\nENGINE = MergeTree ORDER BY x;\n"
)

// number asks for one number.
func number(t testing.TB, db *warehouse.DB, sql string) uint64 {
	t.Helper()
	result, err := db.Query(t.Context(), "SELECT toUInt64("+strings.Replace(sql, " FROM", ") FROM", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.Rows[0][0].(uint64)
}

func TestMigrateAppliesWhatIsMissingOnce(t *testing.T) {
	db := warehousetest.OpenDSN(t, warehousetest.DSN(t))
	for _, step := range []struct {
		files fs.FS
		want  []string
	}{
		{files("0001_a", first), []string{"0001_a"}},
		{files("0001_a", first), nil},
		{files("0001_a", first, "0002_b", second), []string{"0002_b"}},
		{files("0001_a", first, "0002_b", second), nil},
	} {
		got, err := db.MigrateFS(t.Context(), step.files)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
	}
	if n := number(t, db, "count() FROM a"); n != 1 {
		t.Errorf("the first file ran %d times", n)
	}
}

func TestMigrationsCanBeRepeated(t *testing.T) {
	db := warehousetest.Open(t)
	if err := db.Exec(t.Context(), "TRUNCATE TABLE schema_migrations"); err != nil { // as after a crash before it is noted
		t.Fatal(err)
	}
	again, err := db.Migrate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != len(names) {
		t.Errorf("applied %v of %v", again, names)
	}
}

func TestMigrateRefusesAnotherHistory(t *testing.T) {
	db := warehousetest.OpenDSN(t, warehousetest.DSN(t))
	if _, err := db.MigrateFS(t.Context(), files("0001_a", first, "0002_b", second)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		files fs.FS
		want  []string
	}{
		{"a changed file", files("0001_a", first, "0002_b", second+"-- more\n"),
			[]string{"migration 0002_b was changed after it was applied to the database " + db.Database(), "restore the file and put the change into a new one"}},
		{"a renamed file", files("0001_a", first, "0002_c", second),
			[]string{"migration 0002_c was changed after it was applied", "as 0002_b"}},
		{"an older binary", files("0001_a", first),
			[]string{"the database " + db.Database() + " has migration 0002_b, which this kubevalue does not know (it knows up to 0001_a): use a newer kubevalue"}},
	} {
		applied, err := db.MigrateFS(t.Context(), test.files)
		if err == nil || len(applied) > 0 {
			t.Errorf("%s: applied %v, error %v", test.name, applied, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in the error %v", test.name, want, err)
			}
		}
	}
}

func TestMigrateStopsAtAFault(t *testing.T) {
	db := warehousetest.OpenDSN(t, warehousetest.DSN(t))
	broken := "CREATE TABLE IF NOT EXISTS c (x UInt8) ENGINE = MergeTree ORDER BY x;\nCREATE TABLE d (x Nonsense) ENGINE = Memory;\n"
	applied, err := db.MigrateFS(t.Context(), files("0001_a", first, "0002_c", broken, "0003_b", second))
	if diff := cmp.Diff([]string{"0001_a"}, applied); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "apply migration 0002_c, statement 2 of 2: code 50: ") {
		t.Errorf("error %v", err)
	}
	applied, err = db.MigrateFS(t.Context(), files("0001_a", first, "0002_c", strings.Replace(broken, "Nonsense", "UInt8", 1), "0003_b", second))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0002_c", "0003_b"}, applied); diff != "" {
		t.Errorf("applied after the repair (-want +got):\n%s", diff)
	}
}

func TestMigrationFilesAreChecked(t *testing.T) {
	db := warehousetest.OpenDSN(t, warehousetest.DSN(t))
	for _, test := range []struct {
		files fs.FS
		want  string
	}{
		{files("0001_a", first, "0003_b", second), "migration 0003_b.sql: its name must begin with 0002_, files are numbered without a hole"},
		{files("1_a", first), "migration 1_a.sql: its name must begin with 0001_, files are numbered without a hole"},
		{files("0001_a", "SELECT 1"), `migration 0001_a.sql: no semicolon at the end of a line after "SELECT 1"`},
	} {
		if _, err := db.MigrateFS(t.Context(), test.files); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// server makes the test binary's engine look like a ClickHouse server that asks for a password, and returns its address.
func server(t *testing.T) *url.URL {
	t.Helper()
	socket := chdbtest.Start(t).Socket()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p@/ss" {
			w.Header().Set("X-ClickHouse-Exception-Code", "516")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("Code: 516. DB::Exception: u: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED) (version 1)"))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	address, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// serverDSN is the DSN of a fresh database on the server.
func serverDSN(t *testing.T, password string) string {
	t.Helper()
	_, database, _ := strings.Cut(warehousetest.DSN(t), "?database=")
	return "http://u:" + password + "@" + server(t).Host + "/" + database
}

func TestWrongPassword(t *testing.T) {
	db := warehousetest.OpenDSN(t, serverDSN(t, secret))
	_, err := db.Migrate(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "check user and password in the warehouse DSN") || strings.Contains(err.Error(), secret) {
		t.Errorf("error %v", err)
	}
}

// TestConcurrentMigrators has a file that is not idempotent on purpose: its row tells how often it ran.
func TestConcurrentMigrators(t *testing.T) {
	for _, test := range []struct{ name, dsn string }{
		{"by a file lock", warehousetest.DSN(t)},
		{"by a lease", serverDSN(t, "p@/ss")},
	} {
		t.Run(test.name, func(t *testing.T) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			var applied []string
			for range 6 {
				db := warehousetest.OpenDSN(t, test.dsn)
				wg.Go(func() {
					names, err := db.MigrateFS(t.Context(), files("0001_a", first, "0002_b", second))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					applied = append(applied, names...)
				})
			}
			wg.Wait()
			if diff := cmp.Diff([]string{"0001_a", "0002_b"}, applied); diff != "" {
				t.Errorf("applied by all (-want +got):\n%s", diff)
			}
			db := warehousetest.OpenDSN(t, test.dsn)
			if n := number(t, db, "count() FROM a"); n != 1 {
				t.Errorf("the first file ran %d times", n)
			}
			if n := number(t, db, "count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%lock%'"); n != 0 {
				t.Errorf("%d leases are left", n)
			}
		})
	}
}

func TestLease(t *testing.T) {
	db := warehousetest.OpenDSN(t, serverDSN(t, "p@/ss"))
	if _, err := db.MigrateFS(t.Context(), files("0001_a", second)); err != nil {
		t.Fatal(err)
	}
	lease := func(number, end string) {
		t.Helper()
		if err := db.Exec(t.Context(), "CREATE TABLE schema_migrations_lock_"+number+" (x UInt8) ENGINE = Memory COMMENT 'other/1/X "+end+"'"); err != nil {
			t.Fatal(err)
		}
	}
	lease("7", "1000") // whoever held it is long gone
	unlock, err := db.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const count = "count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'schema_migrations_lock_%'"
	if n := number(t, db, count+" AND name LIKE '%8'"); n != 1 {
		t.Errorf("%d leases with the next number", n)
	}
	if n := number(t, db, count); n != 1 {
		t.Errorf("%d leases: that of the dead migrator should be gone", n)
	}
	unlock()
	lease("9", "4000000000")
	want := "wait for another migrator of the database " + db.Database() + ", other/1/X"
	for limit := time.Second; ; limit *= 2 { // on a busy machine it takes a while to learn of the other one
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err := db.Lease(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || limit > time.Minute {
			t.Fatalf("while another migrator works: %v", err)
		}
		if strings.Contains(err.Error(), want) {
			break
		}
	}
}

func TestTablesAreDurable(t *testing.T) {
	db := warehousetest.Open(t)
	result, err := db.Query(t.Context(), `SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'
		AND NOT (engine_full LIKE '%fsync_after_insert = 1%' AND engine_full LIKE '%fsync_part_directory = 1%')`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Rows) > 0 {
		t.Errorf("tables that may lose an acknowledged insert with the power: %v; add the settings to their migrations", result.Rows)
	}
	if n := number(t, db, "count() FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"); n < 10 {
		t.Errorf("only %d tables", n)
	}
}
