package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// errNotRunning is what stopping a stopped component gives.
var errNotRunning = errors.New("not running")

// process is one component: how to start it, and its current run if it has one.
type process struct {
	name    string
	path    string
	args    []string
	logPath string
	died    chan<- string // gets the name when a run ends that nobody ended

	mu  sync.Mutex
	run *run
}

// run is one life of a process.
type run struct {
	cmd    *exec.Cmd
	exited chan struct{}
	ended  bool // somebody asked for the end; guarded by process.mu
}

// start launches the process by way of s. Its output is appended to logPath.
func (p *process) start(s *spawner) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		return fmt.Errorf("start %s: it runs already as process %d", p.name, p.run.cmd.Process.Pid)
	}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	// No context ends it: that is for stop and, at the latest, the death signal.
	cmd := exec.CommandContext(context.Background(), p.path, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own keeps a Ctrl-C on the terminal from ending everything at once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := errors.Join(s.start(cmd), log.Close()); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	r := &run{cmd: cmd, exited: make(chan struct{})}
	p.run = r
	go p.wait(r)
	return nil
}

func (p *process) wait(r *run) {
	// How it ended is told by its log; what matters here is whether it was asked to.
	_ = r.cmd.Wait()
	p.mu.Lock()
	p.run = nil
	unasked := !r.ended
	p.mu.Unlock()
	close(r.exited)
	if unasked {
		p.died <- p.name
	}
}

// signal asks the current run to end and returns a channel that is closed when it has.
func (p *process) signal(sig syscall.Signal) (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil, fmt.Errorf("stop %s: %w", p.name, errNotRunning)
	}
	p.run.ended = true
	if err := p.run.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, fmt.Errorf("stop %s: %w", p.name, err)
	}
	return p.run.exited, nil
}

// stop ends the current run by SIGTERM and, after patience, by SIGKILL. It returns when
// the process has gone, and is nil too when there is none.
func (p *process) stop(patience time.Duration) error {
	exited, err := p.signal(syscall.SIGTERM)
	if errors.Is(err, errNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	select {
	case <-exited:
		return nil
	case <-time.After(patience):
	}
	if _, err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	<-exited
	return nil
}

// pid is the current run's process id, 0 without one.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return 0
	}
	return p.run.cmd.Process.Pid
}

// logTail is the end of the process's log.
func (p *process) logTail() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// spawner starts processes from one operating system thread that lives until close.
// The kernel sends a child's death signal when the thread that forked it ends, which for
// an arbitrary goroutine's thread may be long before the program does.
type spawner struct {
	requests chan spawnRequest
}

type spawnRequest struct {
	cmd    *exec.Cmd
	result chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest)}
	go func() {
		runtime.LockOSThread()
		for r := range s.requests {
			r.result <- r.cmd.Start()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd: cmd, result: make(chan error)}
	s.requests <- r
	return <-r.result
}

// close ends the thread and with it, at the latest, all processes that it started.
func (s *spawner) close() { close(s.requests) }
