//go:build e2e || bench

package kube_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// plane is a real control plane that runs as a program of its own.
type plane struct {
	stdin      io.WriteCloser
	lines      *bufio.Reader
	kubeconfig string
	viewer     string // the kubeconfig of somebody without rights
	dir        string
	client     kubernetes.Interface
}

// startPlane starts a control plane with so many fake nodes and further flags, building it when it is missing.
func startPlane(t *testing.T, nodes int, flags ...string) *plane {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "run", ".", "build")
	build.Dir, build.Stderr = "kubetest", os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("build kubetest: %v", err)
	}
	var built struct {
		Kubetest string `json:"kubetest"`
	}
	if err := json.Unmarshal(out, &built); err != nil {
		t.Fatalf("kubetest build printed %q: %v", out, err)
	}
	p := &plane{dir: t.TempDir()}
	users := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(users, []byte("viewer-token,viewer,1,viewers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), built.Kubetest,
		append([]string{"up", "--dir", p.dir, "--nodes", strconv.Itoa(nodes), "--users", users}, flags...)...)
	cmd.Stderr = os.Stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.stdin.Close()
		_ = cmd.Wait()
	})
	p.lines = bufio.NewReader(stdout)
	var ready struct {
		Event string `json:"event"`
		Admin struct {
			Kubeconfig string `json:"kubeconfig"`
		} `json:"admin"`
		Users map[string]struct {
			Kubeconfig string `json:"kubeconfig"`
		} `json:"users"`
	}
	p.answer(t, &ready)
	if ready.Event != "ready" {
		t.Fatalf("kubetest said %q, want ready", ready.Event)
	}
	p.kubeconfig, p.viewer = ready.Admin.Kubeconfig, ready.Users["viewer"].Kubeconfig
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	if p.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plane) answer(t *testing.T, into any) {
	t.Helper()
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("kubetest said nothing more: %v", err)
	}
	if err := json.Unmarshal(line, into); err != nil {
		t.Fatalf("kubetest said %q: %v", line, err)
	}
}

// command stops or starts a component and returns when the apiserver went away or came back.
func (p *plane) command(t *testing.T, line string) time.Time {
	t.Helper()
	if _, err := fmt.Fprintln(p.stdin, line); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Event     string    `json:"event"`
		Error     string    `json:"error"`
		UnreadyAt time.Time `json:"unready_at"`
		ReadyAt   time.Time `json:"ready_at"`
	}
	p.answer(t, &got)
	switch got.Event {
	case "stopped":
		return got.UnreadyAt
	case "started":
		return got.ReadyAt
	}
	t.Fatalf("%s: %+v", line, got)
	return time.Time{}
}

// eventually waits until something is so: for minutes, since on a machine that is slow, busy and has a slow disk each step takes long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// must fails the test unless what it was asked for worked.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
