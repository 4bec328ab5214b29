package slotest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
)

func sources(t *testing.T, pattern string) []Source {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files for %s: %v", pattern, err)
	}
	var out []Source
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Source{filepath.Base(name), text})
	}
	return out
}

func TestCorpusPasses(t *testing.T) {
	var out bytes.Buffer
	result := Run(context.Background(), &out, sources(t, "../testdata/*.yaml"))
	if result.ExitCode() != 0 {
		t.Fatal(out.String())
	}
	t.Log(out.String())
}
