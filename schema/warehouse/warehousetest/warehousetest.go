// Package warehousetest gives tests a warehouse on the real embedded engine: one engine for a test binary, a fresh and
// migrated database for each test.
//
//	func TestMain(m *testing.M) { warehousetest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		db := warehousetest.Open(t)
//		…
//	}
package warehousetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// Main is a TestMain. It runs the tests and stops the engine; in the engine's own process it serves and does not return.
func Main(m *testing.M) { chdbtest.Main(m) }

// Open returns a migrated warehouse of its own for a test, which ends with the test. Tests may run in parallel.
func Open(tb testing.TB) *warehouse.DB {
	tb.Helper()
	db := OpenDSN(tb, DSN(tb))
	if _, err := db.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return db
}

// DSN returns a DSN of a database that is not there yet, on the test binary's engine. The database is dropped after the test.
func DSN(tb testing.TB) string {
	tb.Helper()
	socket := chdbtest.Start(tb).Socket()
	database := "test_" + strings.ToLower(rand.Text()[:12])
	tb.Cleanup(func() {
		if err := drop(socket, database); err != nil {
			tb.Errorf("drop the database %s: %v", database, err)
		}
	})
	return "unix:" + socket + "?database=" + database
}

// OpenDSN opens a warehouse and closes it after the test.
func OpenDSN(tb testing.TB, dsn string) *warehouse.DB {
	tb.Helper()
	db, err := warehouse.Open(tb.Context(), warehouse.Options{DSN: dsn})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// drop drops a database by plain HTTP: the warehouse itself never does.
func drop(socket, database string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/", strings.NewReader("DROP DATABASE IF EXISTS "+database))
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return err
}
