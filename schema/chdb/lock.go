package chdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrDataDirTaken means that another engine runs on the data directory.
var ErrDataDirTaken = errors.New("the data directory is in use")

// fileLock is an advisory lock that the kernel drops when its process ends.
type fileLock struct{ file *os.File }

// leaveWait is how long an engine waits for one whose parent is gone: it was
// killed, or ends by itself, which takes seconds on a busy machine.
const leaveWait = 30 * time.Second

// lockFile takes the lock on path, waiting for at most wait, or leaveWait for a
// process whose parent is gone. It writes the ids of this process and of its
// parent into the file. It returns errLocked when the wait was in vain.
func lockFile(ctx context.Context, path string, wait time.Duration) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	for began := time.Now(); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		pid, parent := holder(file)
		waited := time.Since(began)
		if ctx.Err() != nil || waited > leaveWait || waited > wait && !orphaned(pid, parent) {
			return nil, errors.Join(&lockedError{path: path, holder: pid}, file.Close())
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := file.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(file, "%d %d\n", os.Getpid(), os.Getppid()) // for people, and for those who wait
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

// holder is the process that has written into a lock file, and its parent then.
func holder(file *os.File) (pid, parent string) {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 40))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) == 0 {
		return "(unknown)", ""
	}
	return fields[0], strings.Join(fields[1:], " ")
}

// orphaned says that a process has another parent than it had, as far as the
// system tells.
func orphaned(pid, parent string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	_, rest, found := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	return err == nil && found && parent != "" && len(fields) > 1 && fields[1] != parent
}
