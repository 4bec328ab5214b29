//go:build e2e || bench

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kubevalue-built-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubevalue")
	out, err := exec.Command("make", "-C", filepath.Join("..", ".."), "build", "BIN="+path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// kubevalueBinary builds the program as it is delivered, once: a test binary would add its own code to what a service has in memory.
func kubevalueBinary(t *testing.T) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatalf("build kubevalue: %v", err)
	}
	return path
}
