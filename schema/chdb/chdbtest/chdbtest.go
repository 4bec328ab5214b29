// Package chdbtest runs the embedded ClickHouse engine for tests, with the test
// binary itself as the engine's program.
package chdbtest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/chdb"
)

// childEnv marks a process as an engine started by this package.
const childEnv = "KUBEVALUE_CHDBTEST_ENGINE"

// startTime bounds the start of the engine, without fetching its library.
const startTime = 5 * time.Minute

// dirPrefix begins the names of the engines' data directories; the process id
// of the test binary follows.
const dirPrefix = "kubevalue-chdbtest-"

// Main is a TestMain: it runs the tests and stops the engine that they started.
// In the engine's own process it serves and does not return.
func Main(m *testing.M) {
	RunIfChild()
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "chdbtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// RunIfChild serves the engine and exits if this process was started by
// [Command]; else it does nothing. It is what a TestMain calls first that
// cannot use [Main].
func RunIfChild() {
	if os.Getenv(childEnv) == "" {
		return
	}
	flags := flag.NewFlagSet("engine", flag.ExitOnError)
	data := flags.String("data", "", "data directory")
	library := flags.String("library", "", "path of libchdb")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(2)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := chdb.Serve(context.Background(), chdb.ServeConfig{DataDir: *data, Library: *library, Logger: logger}); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Config is how to start this test binary as the engine on dataDir, with the
// library fetched if need be; for tests that start engines of their own.
func Config(tb testing.TB, dataDir string) chdb.ProcessConfig {
	tb.Helper()
	library, err := library()
	if err != nil {
		tb.Fatalf("get libchdb: %v", err)
	}
	program, err := os.Executable()
	if err != nil {
		tb.Fatalf("find the test binary: %v", err)
	}
	return chdb.ProcessConfig{DataDir: dataDir, Library: library, Command: []string{program}, Env: []string{childEnv + "=1"}}
}

var engine struct {
	sync.Mutex
	process *chdb.Process
	dir     string
}

// Start returns the test binary's one engine, which it starts on an empty
// temporary directory when first called. Tests share it: each takes databases
// or tables of its own. It fetches libchdb when it is nowhere to be found.
func Start(tb testing.TB) *chdb.Process {
	tb.Helper()
	engine.Lock()
	defer engine.Unlock()
	if engine.process != nil {
		return engine.process
	}
	sweep()
	dir, err := os.MkdirTemp(chdb.ScratchDir(), dirPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		tb.Fatalf("create a data directory: %v", err)
	}
	cfg := Config(tb, dir)
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	process, err := chdb.Start(ctx, cfg)
	if err != nil {
		tb.Fatalf("start the embedded engine: %v", err)
	}
	engine.process, engine.dir = process, dir
	return process
}

var library = sync.OnceValues(func() (string, error) {
	if path, err := chdb.FindLibrary(""); err == nil {
		return path, nil
	}
	return chdb.Install(context.Background(), os.Stderr)
})

// stop stops the engine and removes its files.
func stop() error {
	engine.Lock()
	defer engine.Unlock()
	if engine.process == nil {
		return nil
	}
	if err := engine.process.Close(); err != nil {
		return err
	}
	return os.RemoveAll(engine.dir)
}

// sweep removes the directories of test binaries that were killed.
func sweep() {
	dirs, err := filepath.Glob(filepath.Join(chdb.ScratchDir(), dirPrefix+"*-*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(text)
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(dir)
		}
	}
}
