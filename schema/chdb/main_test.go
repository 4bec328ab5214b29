package chdb_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/kubevalue/kubevalue/schema/chdb"
	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

// drainEnv, in a child, shortens what Close waits for running statements;
// parentEnv makes the process start an engine on that directory and stay.
const (
	drainEnv  = "KUBEVALUE_CHDB_TEST_DRAIN"
	parentEnv = "KUBEVALUE_CHDB_TEST_PARENT"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(drainEnv); text != "" {
		drain, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		chdb.DrainForTest(drain)
	}
	if dir := os.Getenv(parentEnv); dir != "" {
		beParent(dir)
	}
	chdbtest.Main(m)
}

// open connects clickhouse-go to the engine on a socket.
func open(t testing.TB, socket string, change ...func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	options := &clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{"engine"},
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, socket) },
		ReadTimeout: time.Minute,
	}
	for _, f := range change {
		f(options)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// client is a plain HTTP client of the engine on a socket.
func client(socket string) *http.Client {
	c, _ := clients.LoadOrStore(socket, &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) },
	}})
	return c.(*http.Client)
}

// post sends a statement or an INSERT's data and returns the answer unread.
func post(ctx context.Context, socket, params string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/?"+params, body)
	if err != nil {
		return nil, err
	}
	return client(socket).Do(req)
}

// discard closes a body that was read as far as the test wants.
func discard(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

var clients sync.Map // of *http.Client by socket

func dial(ctx context.Context, socket string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}
