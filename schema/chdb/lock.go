package chdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrDataDirTaken means that another engine runs on the data directory.
var ErrDataDirTaken = errors.New("the data directory is in use")

// fileLock is an advisory lock that the kernel drops when its process ends.
type fileLock struct{ file *os.File }

// lockFile takes the lock on path, waiting for at most wait. It writes this
// process's id into the file. It returns errLocked when the wait was in vain.
func lockFile(ctx context.Context, path string, wait time.Duration) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(&lockedError{path: path, holder: holder(file)}, file.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // for people only
	}
	return &fileLock{file: file}, nil
}

// release drops the lock. The file stays: removing it would let two processes
// lock two files of the same name.
func (l *fileLock) release() error { return l.file.Close() }

// lockedError says that another process holds the lock.
type lockedError struct{ path, holder string }

func (e *lockedError) Error() string {
	return fmt.Sprintf("%s is locked by process %s", e.path, e.holder)
}

func holder(file *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "(unknown)"
}
