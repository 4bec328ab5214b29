package chdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// installWait is how long an install waits for another one on this machine.
const installWait = 30 * time.Minute

// Install fetches libchdb with npm into the user's cache directory and returns
// its path. Version and content are pinned by a lock file in this program; npm
// asks the registry that it is configured for. Nothing is fetched when the
// library is there already, and of several installs at once one fetches. What
// it does goes to out, a line a step.
func Install(ctx context.Context, out io.Writer) (path string, err error) {
	target, err := cachedLibrary()
	if err != nil {
		return "", err
	}
	if isFile(target) == nil {
		_, err := fmt.Fprintf(out, "libchdb %s is there already: %s\n", libraryVersion, target)
		return target, err
	}
	if err := pinned(); err != nil {
		return "", err
	}
	dir := filepath.Dir(target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create the cache directory for libchdb: %w", err)
	}
	lock, err := lockFile(ctx, filepath.Join(dir, "install.lock"), installWait)
	if err != nil {
		return "", fmt.Errorf("wait for another install of libchdb: %w", err)
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if isFile(target) == nil {
		_, err := fmt.Fprintf(out, "libchdb %s has been installed meanwhile: %s\n", libraryVersion, target)
		return target, err
	}
	if err := fetch(ctx, out, target); err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(out, "installed libchdb %s: %s\n", libraryVersion, target)
	return target, err
}

// pinned checks that the lock file knows this platform's package.
func pinned() error {
	var lock struct {
		Packages map[string]struct {
			Integrity string `json:"integrity"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(packageLock, &lock); err != nil {
		return fmt.Errorf("read the embedded package-lock.json: %w", err)
	}
	if lock.Packages["node_modules/"+npmPackage()].Integrity != "" {
		return nil
	}
	return fmt.Errorf("%w: no build of it is pinned for %s/%s; get the npm package %s of version %s yourself and name its libchdb.so in $%s, "+
		"or use a ClickHouse server by a clickhouse:// or https:// address",
		ErrLibraryMissing, runtime.GOOS, runtime.GOARCH, npmPackage(), libraryVersion, LibraryEnv)
}

// fetch runs npm in a temporary directory beside target, on the same file
// system, and moves the library to target.
func fetch(ctx context.Context, out io.Writer, target string) (err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("libchdb is fetched with npm, which is not there: install npm, or put libchdb.so of the npm package %s into %s: %w",
			npmPackage(), target, err)
	}
	work, err := os.MkdirTemp(filepath.Dir(target), "install-")
	if err != nil {
		return fmt.Errorf("create a directory to install libchdb in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	for name, content := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			return fmt.Errorf("prepare the install of libchdb: %w", err)
		}
	}
	if _, err := fmt.Fprintf(out, "fetching %s %s with npm (about 180 MB, 570 MB unpacked)\n", npmPackage(), libraryVersion); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = work
	cmd.WaitDelay = 5 * time.Second
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci for %s %s: %w: %s", npmPackage(), libraryVersion, err, strings.TrimSpace(string(text)))
	}
	fetched := filepath.Join(work, "node_modules", filepath.FromSlash(npmPackage()), libraryFile)
	if err := isFile(fetched); err != nil {
		return fmt.Errorf("npm installed %s %s without %s: %w", npmPackage(), libraryVersion, libraryFile, err)
	}
	if err := os.Rename(fetched, target); err != nil {
		return fmt.Errorf("move libchdb into the cache directory: %w", err)
	}
	return nil
}
