package controlplane

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a process that runs a script.
func shell(t *testing.T, script string) (*process, *spawner, chan string) {
	t.Helper()
	died := make(chan string, 1)
	s := newSpawner()
	p := &process{
		name: "sh", path: "/bin/sh", args: []string{"-c", script},
		logPath: filepath.Join(t.TempDir(), "log"), died: died,
	}
	if err := p.start(s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(0); err != nil {
			t.Error(err)
		}
		s.close()
	})
	return p, s, died
}

func TestProcessStopsOnRequestAndStartsAgain(t *testing.T) {
	p, s, died := shell(t, "exec sleep 60")
	first := p.pid()
	if err := p.start(s); err == nil || !strings.Contains(err.Error(), "it runs already") {
		t.Errorf("starting it twice gives %v", err)
	}
	if err := p.stop(time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := p.signal(syscall.SIGTERM); err == nil || err.Error() != "stop sh: not running" {
		t.Errorf("stopping it twice gives %v", err)
	}
	if err := p.start(s); err != nil {
		t.Fatal(err)
	}
	if p.pid() == first || p.pid() == 0 {
		t.Errorf("process id is %d after %d, want a new one", p.pid(), first)
	}
	select {
	case name := <-died:
		t.Errorf("%s is said to have died although it was stopped", name)
	default:
	}
}

func TestStubbornProcessIsKilled(t *testing.T) {
	p, _, _ := shell(t, "trap '' TERM; echo trapped; while :; do sleep 0.05; done")
	for p.logTail() != "trapped" {
		time.Sleep(time.Millisecond)
	}
	if err := p.stop(50 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if p.pid() != 0 {
		t.Error("it runs still")
	}
}

func TestProcessThatEndsByItselfIsReported(t *testing.T) {
	p, _, died := shell(t, "echo last words; exit 3")
	if name := <-died; name != "sh" {
		t.Errorf("%q died, want sh", name)
	}
	if p.pid() != 0 || p.logTail() != "last words" {
		t.Errorf("process id %d, log %q, want none and its last words", p.pid(), p.logTail())
	}
}
