package chdb

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Bounds of a stop, shortened by tests: statements may end by themselves for drainTime, are then
// killed, and have killTime to notice.
var (
	drainTime = 10 * time.Second
	killTime  = 10 * time.Second
)

// lockWait is how long an engine waits for the lock of its data directory: an
// engine whose parent was killed a moment ago may still be on its way out.
const lockWait = 2 * time.Second

// ServeConfig says what engine to serve.
type ServeConfig struct {
	// DataDir holds the engine's files, its lock and its socket. It is created
	// when missing. One engine runs on it at a time.
	DataDir string
	// Library is the path of libchdb; empty looks where FindLibrary looks.
	Library string
	// MaxMemoryBytes bounds what all statements together may allocate; above it
	// they fail with code 241. 0 is half of the memory of the machine or of the
	// control group. The engine never takes more than 90 % of the machine.
	MaxMemoryBytes uint64
	// Logger may be nil.
	Logger *slog.Logger
}

// Serve runs the engine on cfg.DataDir in this process and serves ClickHouse's
// HTTP interface on [Socket] until ctx ends, the process gets SIGTERM or an
// interrupt, or the parent that started it with [Start] is gone. It then lets
// running statements end for up to ten seconds, kills the rest and returns nil.
//
// The error wraps [ErrLibraryMissing] or [ErrDataDirTaken] where they apply.
// A process can call it once, since libchdb cannot be started again. It should
// run with GODEBUG=asyncpreemptoff=1, as Start makes it: the runtime's
// preemption signals would interrupt libchdb's threads.
func Serve(ctx context.Context, cfg ServeConfig) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	parent := inheritParent()
	ctx, cancel := parent.watch(ctx)
	defer cancel()
	err := serve(ctx, cfg, parent.ready)
	if err != nil {
		parent.report(err)
	}
	return err
}

func serve(ctx context.Context, cfg ServeConfig, ready func()) (err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	path, err := FindLibrary(cfg.Library)
	if err != nil {
		return err
	}
	lock, err := lockDataDir(ctx, cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	listener, err := listen(ctx, cfg.DataDir)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // the server closed it on a proper stop
	args, err := engineArgs(cfg)
	if err != nil {
		return err
	}
	lib, err := loadLibrary(path)
	if err != nil {
		return err
	}
	keeper, err := lib.connect(args) // keeps the engine up between requests
	if err != nil {
		// libchdb says why only in its log, which is off by default.
		_, _ = lib.connect(append(args, "--logger.console=1", "--log-level=error"))
		return fmt.Errorf("start the engine on %s: %w", cfg.DataDir, err)
	}
	h, err := newHandler(lib, args, cfg.Logger)
	if err != nil {
		keeper.close()
		return err
	}
	cfg.Logger.Info("engine is serving", "data_dir", cfg.DataDir, "socket", listener.Addr().String(), "version", h.version)
	ready()
	if err := serveHTTP(ctx, listener, h); err != nil {
		return err // statements still run: closing their engine would crash it
	}
	keeper.close()
	cfg.Logger.Info("engine stopped", "data_dir", cfg.DataDir)
	return nil
}

// lockDataDir creates the data directory if need be and takes its lock.
func lockDataDir(ctx context.Context, dir string) (*fileLock, error) {
	if dir == "" {
		return nil, errors.New("the engine needs a data directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the engine's data directory: %w", err)
	}
	lock, err := lockFile(ctx, filepath.Join(dir, "engine.lock"), lockWait)
	if locked, ok := errors.AsType[*lockedError](err); ok {
		return nil, fmt.Errorf("%w: %s is used by the engine with process id %s; stop that program, or choose another data directory",
			ErrDataDirTaken, dir, locked.holder)
	}
	return lock, err
}

// cacheSize bounds, in bytes, what the engine keeps uncompressed of what
// statements with use_uncompressed_cache = 1 have read.
const cacheSize = 128 << 20

// engineArgs writes the engine's configuration file and returns the arguments
// of every connection. Without a file of ours libchdb would read config.xml of
// the working directory, or one in the user's home.
func engineArgs(cfg ServeConfig) ([]string, error) {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("make the data directory %s absolute: %w", cfg.DataDir, err)
	}
	memory := cfg.MaxMemoryBytes
	if memory == 0 {
		memory = defaultMemory()
	}
	text, err := xml.MarshalIndent(struct {
		XMLName xml.Name `xml:"clickhouse"`
		Memory  uint64   `xml:"max_server_memory_usage"`
		Cache   uint64   `xml:"uncompressed_cache_size"`
	}{Memory: memory, Cache: cacheSize}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the engine's configuration: %w", err)
	}
	file := filepath.Join(dir, "engine.xml")
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("write the engine's configuration: %w", err)
	}
	return []string{"--path=" + filepath.Join(dir, "clickhouse"), "--config-file=" + file}, nil
}

// serveHTTP serves until ctx ends and then stops in order. An error means that
// requests are still running.
func serveHTTP(ctx context.Context, listener net.Listener, h *handler) error {
	requests, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	server := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    4 << 20, // statements and parameters come in the URL
		ErrorLog:          slog.NewLogLogger(h.logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the engine's socket: %w", err)
	case <-ctx.Done():
	}
	if stopServer(server, drainTime) == nil {
		return nil
	}
	h.logger.Warn("killing statements that did not end in time", "drain", drainTime)
	kill()
	if err := stopServer(server, killTime); err != nil {
		return fmt.Errorf("stop the engine: statements still run %s after they were killed: %w", killTime, err)
	}
	return nil
}

func stopServer(server *http.Server, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return server.Shutdown(ctx)
}

// parent is the supervisor's side of this process: pipes of [Start].
type parent struct {
	alive  *os.File // readable until the parent is gone
	status *os.File // takes one line: empty when ready, else the error
}

// parentEnv tells a child the numbers of the files of its parent.
const parentEnv = "KUBEVALUE_ENGINE_PARENT_FDS"

// inheritParent finds the pipes of the parent, if there is one.
func inheritParent() parent {
	var alive, status uintptr
	if _, err := fmt.Sscanf(os.Getenv(parentEnv), "%d,%d", &alive, &status); err != nil {
		return parent{}
	}
	syscall.CloseOnExec(int(alive))
	syscall.CloseOnExec(int(status))
	return parent{alive: os.NewFile(alive, "parent"), status: os.NewFile(status, "status")}
}

// watch ends the context when the parent is gone.
func (p parent) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if p.alive != nil {
		go func() {
			_, _ = p.alive.Read(make([]byte, 1)) // nothing is ever written
			cancel()
		}()
	}
	return ctx, cancel
}

func (p parent) ready() { p.say("") }

// report tells the parent why the engine did not start.
func (p parent) report(err error) {
	kind := ""
	for name, known := range startErrors {
		if errors.Is(err, known) {
			kind = name
		}
	}
	p.say(strconv.Quote(err.Error()) + " " + kind)
}

func (p parent) say(line string) {
	if p.status != nil {
		_, _ = p.status.WriteString(line + "\n")
		_ = p.status.Close()
	}
}

// startErrors are the errors that keep their identity on the way to the parent.
var startErrors = map[string]error{"library": ErrLibraryMissing, "taken": ErrDataDirTaken}
