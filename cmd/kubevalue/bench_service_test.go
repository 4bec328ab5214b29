//go:build bench

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// spawned is a service in a process of its own, on the test binary's engine, so that its memory and time are its own.
type spawned struct {
	url    string
	pid    int
	tokens string
	db     *warehouse.DB
}

// spawn starts a service with further lines of configuration, which ends with the test.
func spawn(t *testing.T, settings string) *spawned {
	t.Helper()
	return spawnOn(t, warehousetest.DSN(t), settings)
}

// spawnOn is spawn on a certain warehouse.
func spawnOn(t *testing.T, dsn, settings string) *spawned {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "kubevalue.yaml")
	text := fmt.Sprintf("organisation: {timezone: UTC}\nidentity: {key_file: identity.key}\nwarehouse: {dsn: %q}\nserver:\n  listen: %s\n  tokens: tokens.json\n%s",
		dsn, address, settings)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(kubevalueBinary(t), "serve", "--config", path)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the service ended with: %v", err)
		}
		if t.Failed() {
			t.Logf("the service said:\n%s", &said)
		}
	})
	s := &spawned{url: "http://" + address, pid: cmd.Process.Pid, tokens: filepath.Join(dir, "tokens.json"), db: warehousetest.OpenDSN(t, dsn)}
	s.wait(t, "/readyz", func(string) bool { return true })
	return s
}

// wait asks until the answer is 200 and as wanted.
func (s *spawned) wait(t *testing.T, path string, wanted func(body string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ; ; time.Sleep(25 * time.Millisecond) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if ctx.Err() != nil {
			t.Fatalf("%s is not as wanted after a minute", path)
		}
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode == http.StatusOK && wanted(string(body)) {
			return
		}
	}
}

// drained waits until nothing that was acknowledged waits for the warehouse.
func (s *spawned) drained(t *testing.T) {
	t.Helper()
	s.wait(t, "/metrics", func(body string) bool { return strings.Contains(body, "\nkubevalue_pipeline_spool_batches 0\n") })
}

// token makes a token for a source of events.
func (s *spawned) token(t *testing.T, source string) string {
	t.Helper()
	store, err := collectors.OpenTokens(s.tokens, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := store.Create(collectors.Grant{
		Name: source, Source: source, Endpoints: []string{collectors.EndpointEvents, collectors.EndpointAudit}, Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// memory is a line of /proc/PID/status, in bytes: VmRSS is what the process has in memory, VmHWM the most that it ever had.
func (s *spawned) memory(t *testing.T, line string) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if name != line {
			continue
		}
		kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return kib << 10
	}
	t.Fatalf("/proc/%d/status has no %s", s.pid, line)
	return 0
}
