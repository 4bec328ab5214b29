//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// running is a `kubetest up` that a test talks to as any other program would.
type running struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Reader
	ready  readyLine
	client *http.Client
}

// builtKubetest builds what is missing and returns the path of the cached kubetest.
func builtKubetest(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "build")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go run . build: %v", err)
	}
	var line buildLine
	if err := json.Unmarshal(out, &line); err != nil {
		t.Fatalf("go run . build printed %q: %v", out, err)
	}
	return line.Kubetest
}

// boot starts a control plane and waits until it is ready.
func boot(t *testing.T, args ...string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), builtKubetest(t), append([]string{"up", "--dir", dir}, args...)...)}
	r.cmd.Stderr = os.Stderr
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lines = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.stdin.Close() // the tests that care have closed it and waited already
		_ = r.cmd.Wait()
		if t.Failed() {
			showLogs(t, filepath.Join(dir, "logs"))
		}
	})
	r.read(t, &r.ready)
	if r.ready.Event != "ready" {
		t.Fatalf("first line is %q, want ready", r.ready.Event)
	}
	ca, err := os.ReadFile(r.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	r.client = &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
	return r
}

// command sends one command and decodes its answer into out.
func (r *running) command(t *testing.T, line string, out any) {
	t.Helper()
	if _, err := fmt.Fprintln(r.stdin, line); err != nil {
		t.Fatalf("send %q: %v", line, err)
	}
	r.read(t, out)
}

func (r *running) read(t *testing.T, out any) {
	t.Helper()
	line, err := r.lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("kubetest said nothing more: %v", err)
	}
	if err := json.Unmarshal(line, out); err != nil {
		t.Fatalf("kubetest said %q: %v", line, err)
	}
}

// account is somebody who talks to the apiserver; as is whom to impersonate, if anybody.
type account struct {
	r         *running
	token, as string
}

// do sends body (unless empty) and returns the status and the object that came back.
func (a account) do(t *testing.T, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.r.ready.Server+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	if a.as != "" {
		req.Header.Set("Impersonate-User", a.as)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/yaml")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := a.r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%s %s answers %s with %q: %v", method, path, resp.Status, text, err)
	}
	return resp.StatusCode, object
}

// create posts a YAML manifest, which must work.
func (a account) create(t *testing.T, path, manifest string) {
	t.Helper()
	if code, got := a.do(t, http.MethodPost, path, manifest); code != http.StatusCreated {
		t.Fatalf("POST %s: %d: %v", path, code, got["message"])
	}
}

// get reads an object, which must be there.
func (a account) get(t *testing.T, path string) map[string]any {
	t.Helper()
	code, got := a.do(t, http.MethodGet, path, "")
	if code != http.StatusOK {
		t.Fatalf("GET %s: %d: %v", path, code, got["message"])
	}
	return got
}

// field is the value at the path of keys in a decoded object, nil where there is none.
func field(object any, keys ...string) any {
	for _, key := range keys {
		m, ok := object.(map[string]any)
		if !ok {
			return nil
		}
		object = m[key]
	}
	return object
}

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
	}
}

// auditEvent is the part of an audit.k8s.io/v1 Event that the tests look at.
type auditEvent struct {
	AuditID, Stage, Verb, RequestURI string
	User                             struct{ Username string }
	ImpersonatedUser                 *struct{ Username string }
	ResponseStatus                   struct{ Code int }
}

// receiver collects the events that the audit webhook is sent.
type receiver struct {
	server *httptest.Server

	mu     sync.Mutex
	events []auditEvent
	paths  map[string]int
}

func newReceiver(t *testing.T, token string) *receiver {
	r := &receiver{paths: map[string]int{}}
	r.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var list struct {
			Kind  string
			Items []auditEvent
		}
		if req.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("the webhook was called with Authorization %q", req.Header.Get("Authorization"))
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if err := json.NewDecoder(req.Body).Decode(&list); err != nil || list.Kind != "EventList" {
			t.Errorf("the webhook was sent a %q: %v", list.Kind, err)
			http.Error(w, "no EventList", http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, list.Items...)
		r.paths[req.Method+" "+req.URL.Path]++
	}))
	t.Cleanup(r.server.Close)
	return r
}

// caFile writes the certificate that verifies the receiver into dir.
func (r *receiver) caFile(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "receiver.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// find tells how many received events satisfy ok.
func (r *receiver) find(ok func(auditEvent) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if ok(e) {
			n++
		}
	}
	return n
}

// showLogs prints the end of each component's log.
func showLogs(t *testing.T, dir string) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s:\n%s", path, text[max(0, len(text)-3000):])
	}
}
