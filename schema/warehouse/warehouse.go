package warehouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/kubevalue/kubevalue/schema/chdb"
)

// Options say which warehouse to open.
type Options struct {
	// DSN is embedded:DIR, unix:SOCKET (an embedded engine that runs already), clickhouse://USER:PASSWORD@HOST:9000/DATABASE,
	// or the same with http:// or https://. ?database=NAME works in all of them; servers also take compress, dial_timeout,
	// read_timeout, secure, skip_verify and tls_server_name.
	DSN string
	// EngineCommand is the program of the embedded engine with its arguments; empty: this program with "engine".
	EngineCommand []string
	// EngineEnv is added to the embedded engine's environment.
	EngineEnv []string
	// Library is the path of libchdb; empty: where chdb.FindLibrary looks.
	Library string
	// Attach lets a short-lived command use the engine that another process runs on the DSN's directory. Without it, a
	// directory in use is an error that wraps chdb.ErrDataDirTaken.
	Attach bool
	// Logger may be nil.
	Logger *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// DB is an open warehouse. Its methods may be called from several goroutines.
type DB struct {
	dsn     dsn
	conn    driver.Conn
	inserts driver.Conn            // for inserts only
	room    atomic.Pointer[[]byte] // for a column of a block, unless an insert has it
	engine  *chdb.Process          // nil: somebody else's
	socket  string                 // of the embedded engine; empty: a server
	dataDir string                 // of the embedded engine
	logger  *slog.Logger
	now     func() time.Time
	version atomic.Uint64 // the last that was given out
	known   atomic.Pointer[seriesCount]
}

// Connections to a server or engine; each insert or query uses one. The driver takes idle ones in turn, and each keeps a buffer
// as large as the largest insert that it ever sent: so inserts have their own, of which one stays open.
const (
	maxOpenConns   = 16
	maxIdleConns   = 8
	maxIdleInserts = 1
)

// pingTime bounds how long Attach waits for the answer of an engine that may be stopping.
const pingTime = 5 * time.Second

// Open opens a warehouse. An embedded engine is started, which ctx bounds; a server is not contacted yet, so that a service
// can start while its server is away: Ping and Migrate say whether it is there. An error names the fault in the DSN, or why
// the engine did not start; it never holds the password.
func Open(ctx context.Context, o Options) (*DB, error) {
	d, err := parseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	db := &DB{dsn: d, logger: o.Logger, now: o.Now}
	if db.logger == nil {
		db.logger = slog.New(slog.DiscardHandler)
	}
	if db.now == nil {
		db.now = time.Now
	}
	if err := db.startEngine(ctx, o); err != nil {
		return nil, fmt.Errorf("open the warehouse %s: %w", d, err)
	}
	db.conn, err = db.connect(d.database, maxIdleConns)
	if err == nil {
		db.inserts, err = db.connect(d.database, maxIdleInserts)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the warehouse %s: %w", d, err), db.stopEngine())
	}
	return db, nil
}

// startEngine starts the embedded engine if the DSN asks for one, and nobody runs it whom Attach allows to join.
func (db *DB) startEngine(ctx context.Context, o Options) error {
	switch db.dsn.transport {
	case transportSocket:
		db.socket, db.dataDir = db.dsn.path, filepath.Dir(db.dsn.path)
		return nil
	case transportEmbedded:
		db.socket, db.dataDir = chdb.Socket(db.dsn.path), db.dsn.path
	default:
		return nil
	}
	if o.Attach && engineServes(ctx, db.socket) {
		return nil
	}
	var err error
	db.engine, err = chdb.Start(ctx, chdb.ProcessConfig{
		DataDir: db.dataDir, Command: o.EngineCommand, Env: o.EngineEnv, Library: o.Library, Logger: db.logger,
	})
	return err
}

// engineServes asks the engine behind a socket for an answer: the kernel still connects to one that is about to stop.
func engineServes(ctx context.Context, socket string) bool {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/ping", http.NoBody)
	if err != nil {
		return false
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

func (db *DB) stopEngine() error {
	if db.engine == nil {
		return nil
	}
	return db.engine.Close()
}

// connect makes a pool of connections that use a database, of which idle ones stay open. It contacts nobody.
func (db *DB) connect(database string, idle int) (driver.Conn, error) {
	d := db.dsn
	o := &clickhouse.Options{
		Protocol:     clickhouse.HTTP,
		Addr:         d.hosts,
		Auth:         clickhouse.Auth{Database: database, Username: d.user, Password: d.password},
		Settings:     pinned,
		DialTimeout:  d.dialTimeout,
		ReadTimeout:  d.readTimeout,
		MaxOpenConns: maxOpenConns,
		MaxIdleConns: idle,
	}
	o.ClientInfo.Products = append(o.ClientInfo.Products, struct{ Name, Version string }{"kubevalue", ""})
	switch d.transport {
	case transportEmbedded, transportSocket:
		o.Addr = []string{"engine"}
		o.DialContext = func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", db.socket)
		}
		o.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) {
			t.Proxy = nil // a proxy of the environment has no business with a socket
			return t, nil
		}
	case transportNative:
		o.Protocol = clickhouse.Native
	}
	if d.tls {
		o.TLS = &tls.Config{InsecureSkipVerify: d.skipVerify, ServerName: d.serverName} //nolint:gosec // the DSN asks for it
	}
	methods := map[string]clickhouse.CompressionMethod{
		"lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD, "gzip": clickhouse.CompressionGZIP,
	}
	if method, ok := methods[d.compress]; ok {
		o.Compression = &clickhouse.Compression{Method: method, Level: 1}
	}
	return clickhouse.Open(o)
}

// String says where the warehouse is, without user and password.
func (db *DB) String() string { return db.dsn.String() }

// Database is the name of the database.
func (db *DB) Database() string { return db.dsn.database }

// Shared says that other services may use this warehouse, too: a server, or an engine that somebody runs. An engine that this process
// started, or that it has joined for a moment, is one service's own.
func (db *DB) Shared() bool { return db.dsn.transport != transportEmbedded }

// LocalLease is the path of a file that all who use this database on an embedded engine agree on, for a lock among those who
// insert; empty: the warehouse is a server, and knows no such file.
func (db *DB) LocalLease() string {
	if db.dataDir == "" {
		return ""
	}
	return filepath.Join(db.dataDir, "pipeline-"+db.dsn.database+".lease")
}

// Ping asks the warehouse for an answer. A server without the database, which Migrate creates, answers with an error.
func (db *DB) Ping(ctx context.Context) error {
	var one uint8
	return failed("ping the warehouse "+db.String(), "", db.conn.QueryRow(with(ctx, nil), "SELECT 1").Scan(&one))
}

// Close closes the connections and stops the embedded engine that Open started. What was acknowledged is safe, whatever the
// error says.
func (db *DB) Close() error {
	err := errors.Join(db.conn.Close(), db.inserts.Close())
	if err = errors.Join(err, db.stopEngine()); err != nil {
		return fmt.Errorf("close the warehouse %s: %w", db, err)
	}
	return nil
}

// nextVersion orders what this process writes: the time in nanoseconds, and always more than the last one.
func (db *DB) nextVersion() uint64 {
	for {
		last := db.version.Load()
		next := max(uint64(db.now().UnixNano()), last+1)
		if db.version.CompareAndSwap(last, next) {
			return next
		}
	}
}
