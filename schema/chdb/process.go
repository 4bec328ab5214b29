package chdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// closeGrace is how long Close waits for the child after SIGTERM; it covers what
// Serve takes to stop.
var closeGrace = drainTime + killTime + 2*time.Second

// steadyTime is how long a child must have run for its end not to count as one
// more failure in a row.
const steadyTime = time.Minute

// ProcessConfig says how to run an engine in a child process.
type ProcessConfig struct {
	// DataDir holds the engine's files, its lock and its socket.
	DataDir string
	// Command is the program with its arguments whose main calls [Serve]; it
	// gets "--data DIR --library FILE" appended. Empty is this program with the
	// argument "engine".
	Command []string
	// Library is the path of libchdb; empty looks where [FindLibrary] looks.
	Library string
	// Env is added to this process's environment.
	Env []string
	// Logger gets the engine's lines and the supervisor's events; it may be nil.
	Logger *slog.Logger
	// Backoff is the pause before a restart after so many failures in a row,
	// counted from 1. Nil is 100 ms, doubled each time, at most 30 s.
	Backoff func(failures int) time.Duration
}

// Process is an engine in a child process, restarted when it dies.
type Process struct {
	cfg    ProcessConfig
	socket string
	stop   context.CancelFunc
	done   chan struct{}
	pid    atomic.Int64
	closed sync.Once
	err    error // of the last child's end, once done is closed
}

// Start runs the engine in a child process and returns when it serves. The
// child is restarted when it dies, and dies when this process does. Why the
// engine cannot start is in the error, which wraps [ErrLibraryMissing] or
// [ErrDataDirTaken] where they apply; ctx bounds the start only.
func Start(ctx context.Context, cfg ProcessConfig) (*Process, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	p := &Process{cfg: cfg, socket: Socket(cfg.DataDir), stop: stop, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.supervise(running, started)
	select {
	case err := <-started:
		if err != nil {
			stop()
			<-p.done
			return nil, err
		}
		return p, nil
	case <-ctx.Done():
		stop()
		<-p.done
		return nil, fmt.Errorf("start the engine on %s: %w", cfg.DataDir, ctx.Err())
	}
}

func (cfg *ProcessConfig) defaults() error {
	if cfg.DataDir == "" {
		return errors.New("the engine needs a data directory")
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return fmt.Errorf("make the data directory %s absolute: %w", cfg.DataDir, err)
	}
	cfg.DataDir = dir
	if cfg.Library, err = FindLibrary(cfg.Library); err != nil {
		return err
	}
	if len(cfg.Command) == 0 {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program to run it as the engine: %w", err)
		}
		cfg.Command = []string{program, "engine"}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Backoff == nil {
		cfg.Backoff = backoff
	}
	return nil
}

// backoff is 100 ms, doubled with each failure, at most 30 s.
func backoff(failures int) time.Duration {
	return min(100*time.Millisecond<<min(failures-1, 10), 30*time.Second)
}

// Socket is the path of the unix socket that the engine serves on.
func (p *Process) Socket() string { return p.socket }

// PID is the process id of the engine that runs now, or 0 between two.
func (p *Process) PID() int { return int(p.pid.Load()) }

// Close stops the engine: running statements may end for ten seconds. A child
// that does not stop is killed. The error says that it did not stop in order;
// what it had acknowledged is safe all the same.
func (p *Process) Close() error {
	p.closed.Do(p.stop)
	<-p.done
	return p.err
}

// supervise runs one child after the other until ctx ends. It holds its thread,
// because Linux kills the child when the thread that started it ends.
func (p *Process) supervise(ctx context.Context, started chan<- error) {
	runtime.LockOSThread()
	defer close(p.done)
	serving := false
	for failures := 0; ; {
		begin := time.Now()
		c, err := p.launch(ctx)
		switch {
		case err == nil:
			if !serving {
				serving = true
				started <- nil
			}
			err = p.wait(ctx, c)
		case !serving:
			started <- err
			return
		}
		if ctx.Err() != nil {
			p.err = err
			return
		}
		if time.Since(begin) >= steadyTime {
			failures = 0
		}
		failures++
		pause := p.cfg.Backoff(failures)
		p.cfg.Logger.Error("engine died, restarting it", "error", err, "failures", failures, "pause", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// child is one run of the engine.
type child struct {
	cmd   *exec.Cmd
	alive *os.File // closed to tell the child that its parent is gone
	tail  *tail    // of what it printed
	end   chan error
}

// launch starts a child and waits until it serves.
func (p *Process) launch(ctx context.Context) (*child, error) {
	aliveRead, aliveWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe to the engine: %w", err)
	}
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe to the engine: %w", err), aliveRead.Close(), aliveWrite.Close())
	}
	defer statusRead.Close() //nolint:errcheck // only read
	args := slices.Concat(p.cfg.Command[1:], []string{"--data", p.cfg.DataDir, "--library", p.cfg.Library})
	c := &child{alive: aliveWrite, tail: &tail{logger: p.cfg.Logger}, end: make(chan error, 1)}
	c.cmd = exec.Command(p.cfg.Command[0], args...) //nolint:noctx // stop ends it in order, a context would kill it
	c.cmd.Env = append(append(os.Environ(), p.cfg.Env...), parentEnv+"=3,4", "GODEBUG="+debugSettings(os.Getenv("GODEBUG")))
	c.cmd.ExtraFiles = []*os.File{aliveRead, statusWrite}
	c.cmd.Stdout, c.cmd.Stderr = c.tail, c.tail
	c.cmd.SysProcAttr = childAttributes()
	c.cmd.WaitDelay = time.Second
	err = c.cmd.Start()
	err = errors.Join(err, aliveRead.Close(), statusWrite.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("run the engine as %q: %w", p.cfg.Command, err), aliveWrite.Close())
	}
	p.pid.Store(int64(c.cmd.Process.Pid))
	go func() { c.end <- c.cmd.Wait() }()
	status := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(statusRead).ReadString('\n') // empty when the child died
		status <- line
	}()
	select {
	case line := <-status:
		if line == "\n" {
			return c, nil
		}
		return nil, errors.Join(startError(line, c.stop(p, closeGrace), c.tail), c.alive.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), c.stop(p, closeGrace), c.alive.Close())
	}
}

// debugSettings adds to GODEBUG what the engine needs.
func debugSettings(have string) string {
	const need = "asyncpreemptoff=1"
	if have == "" {
		return need
	}
	return have + "," + need
}

// startError reads a child's own account of why it did not start, or makes one.
func startError(line string, ended error, printed *tail) error {
	quoted, kind, ok := strings.Cut(strings.TrimSuffix(line, "\n"), `" `)
	text, err := strconv.Unquote(quoted + `"`)
	if !ok || err != nil {
		return fmt.Errorf("the engine did not start: %w: it printed %q", orElse(ended, errors.New("it ended")), printed.String())
	}
	if known := startErrors[kind]; known != nil || printed.String() == "" {
		return &reportedError{text: text, kind: known}
	}
	return &reportedError{text: text + "; it printed: " + withoutStacks(printed.String())}
}

// stackLine is a line of a stack trace of libchdb.
var stackLine = regexp.MustCompile(`(?m)^\d+\. \? @ 0x[0-9a-f]+\n?`)

// withoutStacks drops what nobody can read: libchdb comes without symbols.
func withoutStacks(printed string) string {
	return strings.Join(strings.Fields(stackLine.ReplaceAllString(printed, "")), " ")
}

func orElse(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

// reportedError is an error of the child.
type reportedError struct {
	text string
	kind error // may be nil
}

func (e *reportedError) Error() string { return e.text }
func (e *reportedError) Unwrap() error { return e.kind }

// wait waits for the child's end, or stops it when ctx ends.
func (p *Process) wait(ctx context.Context, c *child) error {
	defer c.alive.Close() //nolint:errcheck // nothing was written
	select {
	case err := <-c.end:
		p.pid.Store(0)
		return fmt.Errorf("the engine ended: %w: it printed %q", orElse(err, errors.New("exit status 0")), c.tail.String())
	case <-ctx.Done():
		if err := c.stop(p, closeGrace); err != nil {
			return fmt.Errorf("stop the engine: %w: it printed %q", err, c.tail.String())
		}
		return nil
	}
}

// stop ends the child, by SIGKILL when SIGTERM does not do within grace.
func (c *child) stop(p *Process, grace time.Duration) error {
	defer p.pid.Store(0)
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case err := <-c.end:
		return err
	case <-time.After(grace):
	}
	_ = c.cmd.Process.Kill()
	return errors.Join(fmt.Errorf("it did not stop within %s and was killed", grace), <-c.end)
}

// tail logs what a child prints, line by line, and keeps the end of it.
type tail struct {
	logger *slog.Logger
	mu     sync.Mutex
	line   []byte
	kept   []byte
}

// tailSize is how much is kept, and how long a logged line may get, in bytes.
const tailSize = 4 << 10

var _ io.Writer = (*tail)(nil)

// Write takes output of the child.
func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, data...)
	if extra := len(t.kept) - tailSize; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	for _, b := range data {
		if b != '\n' && len(t.line) < tailSize {
			t.line = append(t.line, b)
			continue
		}
		if len(t.line) > 0 {
			relay(t.logger, string(t.line))
		}
		t.line = t.line[:0]
	}
	return len(data), nil
}

// String is the end of what the child printed.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.kept))
}
