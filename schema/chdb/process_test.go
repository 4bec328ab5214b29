package chdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/chdb"
	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

// start starts an engine of the test's own.
func start(t *testing.T, cfg chdb.ProcessConfig) *chdb.Process {
	t.Helper()
	process, err := chdb.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Close(); err != nil {
			t.Error(err)
		}
	})
	return process
}

func TestADataDirectoryHasOneEngine(t *testing.T) {
	t.Parallel()
	cfg := chdbtest.Config(t, t.TempDir())
	first := start(t, cfg)
	_, err := chdb.Start(t.Context(), cfg)
	want := fmt.Sprintf("the data directory is in use: %s is used by the engine with process id %d; stop that program, or choose another data directory", cfg.DataDir, first.PID())
	if !errors.Is(err, chdb.ErrDataDirTaken) || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if got := ask(t, first.Socket(), "SELECT 1"); got != "1\n" {
		t.Errorf("after that the first engine answers %q", got)
	}
}

func TestAnEngineThatCannotStartSaysWhy(t *testing.T) {
	good := chdbtest.Config(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "clickhouse"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*chdb.ProcessConfig)
		want   string
		is     error
	}{
		{"no directory", func(c *chdb.ProcessConfig) { c.DataDir = "" }, "the engine needs a data directory", nil},
		{"a directory that is a file", func(c *chdb.ProcessConfig) { c.DataDir = file }, "create the engine's data directory", nil},
		{"a library that is not there", func(c *chdb.ProcessConfig) { c.Library = file + "x" }, "is missing: the library flag names", chdb.ErrLibraryMissing},
		{"a library that is none", func(c *chdb.ProcessConfig) { c.Library = file }, "load libchdb from " + file, nil},
		{"another library", func(c *chdb.ProcessConfig) { c.Library = libc(t) }, "is not a libchdb of version", nil},
		{"a directory that the engine cannot use", func(c *chdb.ProcessConfig) { c.DataDir = broken }, "File exists", nil},
		{"a program that is not there", func(c *chdb.ProcessConfig) { c.Command = []string{file + "x", "engine"} }, "run the engine as", nil},
		{"a program that prints and fails", func(c *chdb.ProcessConfig) { c.Command = []string{"sh", "-c", "echo oh no >&2; exit 3"} }, `exit status 3: it printed "oh no"`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := good
			tc.change(&cfg)
			process, err := chdb.Start(t.Context(), cfg)
			if err == nil {
				t.Error(errors.Join(errors.New("it started"), process.Close()))
				return
			}
			if !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("got %v\nwant %q", err, tc.want)
			}
		})
	}
}

// libc finds a shared library that is not libchdb.
func libc(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/lib/*/libm.so.6", "/lib64/libm.so.6", "/usr/lib/libSystem.B.dylib"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("no shared library to try")
	return ""
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	cfg := chdbtest.Config(t, t.TempDir())
	cfg.Command = []string{"sh", "-c", "exec sleep 600"}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := chdb.Start(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 5*time.Minute {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

func TestADeadEngineIsRestarted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var pauses []int
	var log bytes.Buffer
	cfg := chdbtest.Config(t, t.TempDir())
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Backoff = func(failures int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		pauses = append(pauses, failures)
		return time.Millisecond
	}
	engine := start(t, cfg)
	ask(t, engine.Socket(), "CREATE TABLE kept ENGINE = MergeTree ORDER BY n AS SELECT 42 AS n")
	for range 3 {
		old := engine.PID()
		kill(t, old)
		deadline := time.Now().Add(patience)
		for engine.PID() == old || engine.PID() == 0 {
			if time.Now().After(deadline) {
				t.Fatal("no new engine")
			}
			time.Sleep(time.Millisecond)
		}
		if got := eventually(t, engine.Socket(), "SELECT n FROM kept"); got != "42\n" {
			t.Errorf("after the restart: %q", got)
		}
	}
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(pauses); got != "[1 2 3]" {
		t.Errorf("failures in a row: %s", got)
	}
	if !strings.Contains(log.String(), "signal: killed") || engine.PID() != 0 {
		t.Errorf("pid %d, log: %s", engine.PID(), log.String())
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// patience is how long a test waits for anything on a machine that is slow and busy.
const patience = 5 * time.Minute

// eventually asks until an engine that restarts answers.
func eventually(t *testing.T, socket, sql string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		resp, err := post(t.Context(), socket, "", strings.NewReader(sql))
		if err == nil {
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return string(text)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: no answer: %v", sql, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAStopLetsStatementsEnd(t *testing.T) {
	t.Parallel()
	cfg := chdbtest.Config(t, t.TempDir())
	engine := start(t, cfg)
	answer := answerLater(t, engine.Socket(), "SELECT sleepEachRow(0.5) + number FROM numbers(2) SETTINGS max_block_size = 1, log_comment = 'last'")
	until(t, engine.Socket(), "last", "1")
	if err := engine.Close(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := <-answer; got != "0\n1\n" {
		t.Errorf("the statement that ran while the engine stopped: %q", got)
	}
	if _, err := dial(t.Context(), engine.Socket()); err == nil {
		t.Error("the engine still listens")
	}
	again := start(t, cfg)
	if got := ask(t, again.Socket(), "SELECT 2"); got != "2\n" {
		t.Errorf("the next engine: %q", got)
	}
}

// answerLater posts a statement and sends its answer, or why there is none.
func answerLater(t *testing.T, socket, sql string) <-chan string {
	t.Helper()
	answer := make(chan string, 1)
	go func() {
		resp, err := post(t.Context(), socket, "", strings.NewReader(sql))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- string(text)
	}()
	return answer
}

func TestAStopKillsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	cfg := chdbtest.Config(t, t.TempDir())
	cfg.Env = append(cfg.Env, drainEnv+"=200ms")
	engine := start(t, cfg)
	answer := answerLater(t, engine.Socket(),
		"SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number)) SETTINGS log_comment = 'endless'")
	until(t, engine.Socket(), "endless", "1")
	err := engine.Close() // gives up, and kills the engine, when the statement does not notice in time
	if got := <-answer; err != nil || !strings.HasPrefix(got, "Code: 394. ") {
		t.Errorf("stop: %v; the statement: %s", err, got)
	}
}

// beParent runs an engine for a parent that is about to be killed.
func beParent(dir string) {
	var library string
	if path, err := chdb.FindLibrary(""); err == nil {
		library = path
	}
	program, err := os.Executable()
	if err != nil {
		panic(err)
	}
	process, err := chdb.Start(context.Background(), chdb.ProcessConfig{
		DataDir: dir, Library: library, Command: []string{"env", "-u", parentEnv, program}, Env: []string{"KUBEVALUE_CHDBTEST_ENGINE=1"},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(process.PID())
	select {}
}

func TestAnEngineDiesWithItsParent(t *testing.T) {
	t.Parallel()
	chdbtest.Config(t, t.TempDir()) // has the library fetched
	dir := t.TempDir()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	kill(t, parent.Process.Pid)
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
	gone(t, pid)
	engine := start(t, chdbtest.Config(t, dir)) // at once: the lock is free or will be
	if got := ask(t, engine.Socket(), "SELECT 3"); got != "3\n" {
		t.Errorf("the next engine: %q", got)
	}
}

// gone waits for a process to end.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAnEngineStopsWhenThePipeOfItsParentCloses(t *testing.T) {
	t.Parallel()
	cfg := chdbtest.Config(t, t.TempDir())
	aliveRead, aliveWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), cfg.Command[0], "--data", cfg.DataDir, "--library", cfg.Library)
	cmd.Env = append(append(os.Environ(), cfg.Env...), chdb.ParentEnvForTest+"=3,4")
	cmd.ExtraFiles = []*os.File{aliveRead, statusWrite}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	discard(t, aliveRead)
	discard(t, statusWrite)
	if line, err := io.ReadAll(statusRead); err != nil || string(line) != "\n" {
		t.Fatalf("status %q, %v", line, err)
	}
	if got := ask(t, chdb.Socket(cfg.DataDir), "SELECT 4"); got != "4\n" {
		t.Error(got)
	}
	discard(t, aliveWrite)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the engine ended with %v", err)
	}
}

func TestSocketsArePrivateAndShort(t *testing.T) {
	t.Parallel()
	short := chdbtest.Start(t).Socket()
	long := chdbtest.Config(t, filepath.Join(t.TempDir(), strings.Repeat("long-", 30)))
	engine := start(t, long)
	for _, socket := range []string{short, engine.Socket()} {
		info, err := os.Stat(socket)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != os.ModeSocket|0o600 || len(socket) > 103 {
			t.Errorf("%s: mode %s, %d bytes", socket, info.Mode(), len(socket))
		}
	}
	if dir, err := os.Stat(filepath.Dir(engine.Socket())); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("directory of the socket: %v, %v", dir, err)
	}
	if got := ask(t, engine.Socket(), "SELECT 5"); got != "5\n" {
		t.Error(got)
	}
}
