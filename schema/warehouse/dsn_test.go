package warehouse_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// secret stands where a password does, or may have been meant to.
const secret = "hunter2"

func TestBadDSN(t *testing.T) {
	const forms = "embedded:DIR, clickhouse://USER:PASSWORD@HOST:9000/DATABASE or https://USER:PASSWORD@HOST:8443/DATABASE"
	for _, test := range []struct{ dsn, want string }{
		{"", "it names no warehouse: write " + forms},
		{"data/warehouse", "it names no warehouse: write " + forms},
		{"postgres://u:hunter2@db/x", `unknown scheme "postgres": write ` + forms},
		{"clickhouse:db:9000", `"//" is missing after "clickhouse:": write ` + forms},
		{"embedded:", "embedded: needs a path, as in embedded:/var/lib/kubevalue"},
		{"embedded:?database=x", "embedded: needs a path, as in embedded:/var/lib/kubevalue"},
		{"embedded:///var/lib/x", `no "//" after embedded: write embedded:/var/lib/x`},
		{"embedded:/d?database=a-b", `database "a-b": use letters, digits and underscores, at most 64 of them`},
		{"embedded:/d?compress=lz4", `unknown parameter "compress": known are database`},
		{"embedded:/d?database=%zz", `the part after "?" cannot be read: write name=value&name=value`},
		{"clickhouse://", "the host is missing: write " + forms},
		{"clickhouse:///db", "the host is missing: write " + forms},
		{"clickhouse://u:hunter2@/db", "the host is missing: write " + forms},
		{"clickhouse://h:0/db", `host "h:0": the port must be a number from 1 to 65535`},
		{"clickhouse://h:99999/db", `host "h:99999": the port must be a number from 1 to 65535`},
		{"clickhouse://u:hunter2@h:port/db", `host "h:port": the port must be a number from 1 to 65535`},
		{"clickhouse://::1:9000/db", `host "::1:9000": write an IPv6 address in brackets, as in [::1]:9000`},
		{"clickhouse://:9000/db", `host ":9000": its name is missing`},
		{"clickhouse://a,,b/db", "the host is missing: write " + forms},
		{"clickhouse://:hunter2@h/db", "there is a password without a user: write USER:PASSWORD@HOST"},
		{"clickhouse://u:hunter2%@h/db", `the user or the password holds a "%" that begins no escape: write it as "%25"`},
		{"clickhouse://u:hunter2@h/a/b", `database "a/b": use letters, digits and underscores, at most 64 of them`},
		{"clickhouse://h/db?password=hunter2", `unknown parameter "password": known are database, compress, dial_timeout, read_timeout, secure, skip_verify, tls_server_name`},
		{"clickhouse://h/db?compress=gzip", "compress=gzip: use none, lz4, zstd or, over HTTP, gzip"},
		{"http://h/db?compress=rar", "compress=rar: use none, lz4, zstd or, over HTTP, gzip"},
		{"http://h/db?dial_timeout=5", "dial_timeout=5: write a duration above zero, as in 10s"},
		{"http://h/db?read_timeout=-1s", "read_timeout=-1s: write a duration above zero, as in 10s"},
		{"https://h/db?skip_verify=maybe", "skip_verify=maybe: write true or false"},
		{"http://h/db?secure=true", "secure=true: the scheme says so already, write https:// or http://"},
	} {
		_, err := warehouse.Open(t.Context(), warehouse.Options{DSN: test.dsn})
		if err == nil {
			t.Errorf("%s: opened", test.dsn)
			continue
		}
		if got, want := err.Error(), "warehouse DSN: "+test.want; got != want {
			t.Errorf("%s:\n got %s\nwant %s", test.dsn, got, want)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the password: %v", test.dsn, err)
		}
	}
}

func TestServerDSN(t *testing.T) {
	for _, test := range []struct{ dsn, want, database string }{
		{"clickhouse://h", "clickhouse://h:9000/kubevalue", "kubevalue"},
		{"clickhouse://h?secure=true", "clickhouse://h:9440/kubevalue", "kubevalue"},
		{"clickhouse://u:hunter2@a:9001,b/metrics", "clickhouse://a:9001,b:9000/metrics", "metrics"},
		{"clickhouse://u:hunter2@[::1]/m", "clickhouse://[::1]:9000/m", "m"},
		{"clickhouse://u:hunter2@[::1]:9001/m", "clickhouse://[::1]:9001/m", "m"},
		{"http://h", "http://h:8123/kubevalue", "kubevalue"},
		{"https://u:hun@ter/2?@h/?database=m&skip_verify=true&read_timeout=1m", "https://h:8443/m", "m"},
		{"https://u:p%40ss@h:443/m", "https://h:443/m", "m"},
	} {
		db, err := warehouse.Open(t.Context(), warehouse.Options{DSN: test.dsn})
		if err != nil {
			t.Errorf("%s: %v", test.dsn, err)
			continue
		}
		if got := db.String(); got != test.want || db.Database() != test.database {
			t.Errorf("%s: got %s and database %s, want %s and %s", test.dsn, got, db.Database(), test.want, test.database)
		}
		if err := db.Close(); err != nil {
			t.Errorf("%s: %v", test.dsn, err)
		}
	}
}

func TestUnreachableServer(t *testing.T) {
	for _, dsn := range []string{
		"clickhouse://u:hunter2@127.0.0.1:1/db", "http://u:hunter2@127.0.0.1:1/db", "unix:" + filepath.Join(t.TempDir(), "none"),
	} {
		db, err := warehouse.Open(t.Context(), warehouse.Options{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		_, migrateErr := db.Migrate(t.Context())
		for _, err := range []error{db.Ping(t.Context()), migrateErr} {
			if err == nil || warehouse.Permanent(err) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", dsn, err)
			}
		}
		want := map[string]string{
			"clickhouse": "ping the warehouse clickhouse://127.0.0.1:1/db: dial tcp 127.0.0.1:1: connect: connection refused",
			"http":       "ping the warehouse http://127.0.0.1:1/db: dial tcp 127.0.0.1:1: connect: connection refused",
			"unix":       "ping the warehouse " + dsn + ": dial unix " + strings.TrimPrefix(dsn, "unix:") + ": connect: no such file or directory",
		}
		scheme, _, _ := strings.Cut(dsn, ":")
		if got := db.Ping(t.Context()).Error(); got != want[scheme] {
			t.Errorf("got %s, want %s", got, want[scheme])
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
