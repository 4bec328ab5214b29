package chdb

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// LibraryEnv names the environment variable with the path of libchdb.
const LibraryEnv = "KUBEVALUE_LIBCHDB"

// ErrLibraryMissing means that libchdb was found nowhere. Its text, as wrapped
// by [FindLibrary], says how to get it and how to do without.
var ErrLibraryMissing = errors.New("libchdb, the library of the embedded engine, is missing")

//go:embed package.json
var packageJSON []byte

//go:embed package-lock.json
var packageLock []byte

// libraryFile is the file's name on every platform.
const libraryFile = "libchdb.so"

// libraryVersion is the version of libchdb that package.json pins, for example
// 26.7.3-stable.1.
var libraryVersion = pinnedVersion(packageJSON)

// pinnedVersion reads the version that all platforms' packages share.
func pinnedVersion(manifest []byte) string {
	var doc struct {
		OptionalDependencies map[string]string `json:"optionalDependencies"`
	}
	if err := json.Unmarshal(manifest, &doc); err != nil {
		panic(fmt.Sprintf("embedded package.json: %v", err))
	}
	for _, version := range doc.OptionalDependencies {
		return version
	}
	panic("embedded package.json pins no libchdb")
}

// FindLibrary returns the path of libchdb: flag if it is set, else
// $KUBEVALUE_LIBCHDB, else libchdb.so next to the program, else the one that
// [Install] put into the user's cache directory. A flag or variable that names
// no readable file is an error of its own. The error wraps [ErrLibraryMissing].
func FindLibrary(flag string) (string, error) {
	for _, given := range []struct{ path, origin string }{{flag, "the library flag"}, {os.Getenv(LibraryEnv), "$" + LibraryEnv}} {
		if given.path == "" {
			continue
		}
		if err := isFile(given.path); err != nil {
			return "", fmt.Errorf("%w: %s names %s: %w", ErrLibraryMissing, given.origin, given.path, err)
		}
		return filepath.Abs(given.path)
	}
	var looked []string
	if program, err := os.Executable(); err == nil {
		looked = append(looked, filepath.Join(filepath.Dir(program), libraryFile))
	}
	if cached, err := cachedLibrary(); err == nil {
		looked = append(looked, cached)
	}
	for _, path := range looked {
		if isFile(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w (looked for %q): `kubevalue engine install` fetches it (version %s); $%s names another copy; "+
		"a clickhouse:// or https:// address of a ClickHouse server in the configuration avoids needing it",
		ErrLibraryMissing, looked, libraryVersion, LibraryEnv)
}

// cachedLibrary is where Install puts the library.
func cachedLibrary() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache directory for libchdb (set HOME or XDG_CACHE_HOME): %w", err)
	}
	return filepath.Join(cache, "kubevalue", "libchdb", libraryVersion, libraryFile), nil
}

func isFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", fs.ErrInvalid)
	}
	return nil
}

// npmPackage is the name of the npm package with this platform's libchdb.
func npmPackage() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	libc := ""
	if runtime.GOOS == "linux" {
		libc = "-gnu"
	}
	return "@chdb/lib-" + runtime.GOOS + "-" + arch + libc
}

// Version is the version of libchdb that [Install] fetches, for example 26.7.3-stable.1.
func Version() string { return libraryVersion }
