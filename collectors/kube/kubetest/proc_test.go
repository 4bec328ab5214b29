//go:build e2e

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expectGone waits until no component runs any more.
func expectGone(t *testing.T, r *running) {
	t.Helper()
	if len(r.ready.PIDs) != 5 {
		t.Fatalf("%d components, want 5", len(r.ready.PIDs))
	}
	for name, pid := range r.ready.PIDs {
		eventually(t, name+" is gone", func() bool { return !alive(pid) })
	}
}

// alive tells whether a process runs; one that has ended but that nobody waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// expectLoopback checks that all components listen, and on 127.0.0.1 only.
func expectLoopback(t *testing.T, r *running) {
	t.Helper()
	for name, pid := range r.ready.PIDs {
		addresses := listeners(t, pid)
		if len(addresses) == 0 {
			t.Errorf("%s listens nowhere", name)
		}
		for _, address := range addresses {
			if !strings.HasPrefix(address, "0100007F:") { // 127.0.0.1, the way the kernel prints it
				t.Errorf("%s listens on %s, want 127.0.0.1 only", name, address)
			}
		}
	}
}

// listeners returns the local addresses, in hexadecimal, on which a process listens.
func listeners(t *testing.T, pid int) []string {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	mine := map[string]bool{}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil { // descriptors come and go
			mine[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	var addresses []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6 here
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const local, state, inode, listening = 1, 3, 9, "0A"
			if f := strings.Fields(line); f[state] == listening && mine[f[inode]] {
				addresses = append(addresses, f[local])
			}
		}
	}
	return addresses
}
