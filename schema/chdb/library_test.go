package chdb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// home gives the test a cache directory and a program directory of its own, as
// far as they can be had.
func home(t *testing.T) (cache string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv(LibraryEnv, "")
	path, err := cachedLibrary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindLibraryLooksInOrder(t *testing.T) {
	cached := home(t)
	_, err := FindLibrary("")
	if !errors.Is(err, ErrLibraryMissing) {
		t.Fatalf("with nothing there: %v", err)
	}
	for _, text := range []string{"kubevalue engine install", "clickhouse://", "https://", libraryVersion, cached, LibraryEnv} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
	expect := func(flag, want string) {
		t.Helper()
		if got, err := FindLibrary(flag); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	expect("", write(t, cached, "", 0o644))
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := write(t, filepath.Join(filepath.Dir(program), libraryFile), "", 0o644)
	t.Cleanup(func() {
		if err := os.Remove(beside); err != nil {
			t.Error(err)
		}
	})
	expect("", beside)
	fromEnv := write(t, filepath.Join(t.TempDir(), "env.so"), "", 0o644)
	t.Setenv(LibraryEnv, fromEnv)
	expect("", fromEnv)
	fromFlag := write(t, filepath.Join(t.TempDir(), "flag.so"), "", 0o644)
	expect(fromFlag, fromFlag)
	if _, err := FindLibrary(fromFlag + "x"); !errors.Is(err, ErrLibraryMissing) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a flag that names nothing: %v", err)
	}
	t.Setenv(LibraryEnv, t.TempDir())
	if _, err := FindLibrary(""); !errors.Is(err, ErrLibraryMissing) || !strings.Contains(err.Error(), "$"+LibraryEnv+" names") {
		t.Errorf("a variable that names a directory: %v", err)
	}
}

// fakeNPM puts an npm first in PATH that notes its calls and runs script.
func fakeNPM(t *testing.T, script string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	write(t, filepath.Join(dir, "npm"), "#!/bin/sh\necho \"$@\" >> "+calls+"\n"+script, 0o755)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return calls
}

func TestInstallFetchesOnce(t *testing.T) {
	cached := home(t)
	calls := fakeNPM(t, "grep -q sha512- package-lock.json && ! grep -q resolved package-lock.json || exit 9\n"+
		"mkdir -p node_modules/"+npmPackage()+" && sleep 0.1 && echo library > node_modules/"+npmPackage()+"/libchdb.so")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if got, err := Install(context.Background(), io.Discard); got != cached || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	group.Wait()
	text, err := os.ReadFile(calls)
	if err != nil || string(text) != "ci --ignore-scripts --no-audit --no-fund --loglevel=error\n" {
		t.Errorf("npm was called with %q, %v", text, err)
	}
	if text, err := os.ReadFile(cached); string(text) != "library\n" {
		t.Errorf("installed %q, %v", text, err)
	}
	var out bytes.Buffer
	if _, err := Install(context.Background(), &out); err != nil || !strings.Contains(out.String(), "is there already: "+cached) {
		t.Errorf("the next install says %q, %v", out.String(), err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(cached), "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestInstallSaysWhatFailed(t *testing.T) {
	cached := home(t)
	fakeNPM(t, "echo npm error no network >&2; exit 1")
	if _, err := Install(context.Background(), io.Discard); err == nil || !strings.Contains(err.Error(), "npm error no network") {
		t.Errorf("a failing npm: %v", err)
	}
	fakeNPM(t, "exit 0")
	if _, err := Install(context.Background(), io.Discard); err == nil || !strings.Contains(err.Error(), "without libchdb.so") {
		t.Errorf("an npm that installs nothing: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Install(context.Background(), io.Discard); err == nil || !strings.Contains(err.Error(), "install npm") {
		t.Errorf("no npm: %v", err)
	}
	if isFile(cached) == nil {
		t.Error("a failed install left a library")
	}
}

func TestThePinnedLibrary(t *testing.T) {
	if err := pinned(); err != nil && runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		t.Error(err)
	}
	if bytes.Contains(packageLock, []byte("resolved")) || bytes.Contains(packageLock, []byte("://")) {
		t.Error("package-lock.json holds download addresses; renew it with npm install --package-lock-only --omit-lockfile-registry-resolved")
	}
	if !strings.HasPrefix(libraryVersion, "26.7.") {
		t.Errorf("version %s", libraryVersion)
	}
}
