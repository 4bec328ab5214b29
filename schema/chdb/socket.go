package chdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxSocketPath is what fits into the kernel's socket addresses: 108 bytes on
// Linux and 104 on macOS, with the terminating zero.
const maxSocketPath = 103

// Socket returns the path of the unix socket of the engine on dataDir:
// engine.sock in it, or, when that path is too long for a socket, a name made
// of a hash of the absolute path of dataDir in a private directory under
// $XDG_RUNTIME_DIR or the temporary directory.
func Socket(dataDir string) string {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		dir = filepath.Clean(dataDir)
	}
	if path := filepath.Join(dir, "engine.sock"); len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(dir))
	name := filepath.Join("kubevalue-"+strconv.Itoa(os.Getuid()), hex.EncodeToString(sum[:8])+".sock")
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()} {
		if path := filepath.Join(base, name); filepath.IsAbs(path) && len(path) <= maxSocketPath {
			return path
		}
	}
	return filepath.Join("/tmp", name)
}

// listen opens the socket for this user alone. The caller holds the lock of the
// data directory, so a socket file that is there is a dead engine's.
func listen(ctx context.Context, dataDir string) (net.Listener, error) {
	path := Socket(dataDir)
	if err := privateDir(filepath.Dir(path), dataDir); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of an engine that is gone: %w", err)
	}
	old := syscall.Umask(0o177)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on the engine's socket %s: %w", path, err)
	}
	return listener, nil
}

// privateDir makes sure that a socket directory outside the data directory
// belongs to this user and is closed to others, since its parent may not be.
func privateDir(dir, dataDir string) error {
	if abs, err := filepath.Abs(dataDir); err == nil && abs == dir {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create the directory of the engine's socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check the directory of the engine's socket: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ok || int(owner.Uid) != os.Getuid() {
		return fmt.Errorf("the directory %s of the engine's socket is not a private directory of this user; remove it or set XDG_RUNTIME_DIR", dir)
	}
	return nil
}
