package chdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestALockIsWaitedForWhileItsHolderIsOnItsWayOut has a holder whose parent is there, and one whose parent is gone.
func TestALockIsWaitedForWhileItsHolderIsOnItsWayOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.lock")
	first, err := lockFile(t.Context(), path, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockFile(t.Context(), path, time.Millisecond)
	locked, ok := errors.AsType[*lockedError](err)
	if !ok || locked.holder != fmt.Sprint(os.Getpid()) {
		t.Fatalf("error %v", err)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d %d\n", os.Getpid(), os.Getppid()+1), 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = first.release() })
	second, err := lockFile(t.Context(), path, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.release(); err != nil {
		t.Error(err)
	}
}
