package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/kubevalue/kubevalue/pipeline/spool"
)

// fileHolder is a lease that is a lock of a file, for replicas on one host or on a file system whose locks reach all of them. The kernel
// gives it back when a process dies. The notes lie in two slots of another file that are written in turn, in place: a full disk is no
// obstacle once the file is there, and draining is what makes room again.
type fileHolder struct {
	// turn is held while waiting for lock, so that a replica that gives the lease back gets in line behind the one that waits.
	turn, lock *flock.Flock
	path       string
	now        func() time.Time
}

func newFileHolder(path string, now func() time.Time) *fileHolder {
	private := flock.SetPermissions(0o600)
	return &fileHolder{turn: flock.New(path+".turn", private), lock: flock.New(path, private), path: path + ".slots", now: now}
}

// String names the file.
func (f *fileHolder) String() string { return "the lease " + f.lock.Path() }

func (f *fileHolder) clock() time.Time { return f.now() }

// ends is false: a frozen process holds its locks.
func (*fileHolder) ends() bool { return false }

// hold has nothing to do: the lock is held until it is given back.
func (*fileHolder) hold(context.Context) error { return nil }

// prepare makes the file of the notes where it is missing, unless another replica is at it: there may be no room later.
func (f *fileHolder) prepare(ctx context.Context) error {
	if ok, err := f.lock.TryLock(); err != nil || !ok {
		return err
	}
	_, err := f.read(ctx)
	return errors.Join(err, f.leave(ctx))
}

// enter waits for the replica that holds the lease, and for those that wait already.
func (f *fileHolder) enter(ctx context.Context) error {
	if _, err := f.turn.TryLockContext(ctx, leasePoll); err != nil {
		return err
	}
	_, err := f.lock.TryLockContext(ctx, leasePoll)
	if left := f.turn.Unlock(); err == nil && left != nil {
		return errors.Join(left, f.lock.Unlock())
	}
	return err
}

func (f *fileHolder) leave(context.Context) error {
	if err := f.lock.Unlock(); err != nil {
		return fmt.Errorf("pipeline: give back the lease: %w", err)
	}
	return nil
}

// read returns the notes. A file that is not there is made.
func (f *fileHolder) read(context.Context) (noted, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return noted{}, f.create()
	}
	if err != nil {
		return noted{}, fmt.Errorf("pipeline: the notes beside the lease: %w", err)
	}
	var newest noted
	for len(b) > 0 {
		n := min(spool.SlotSize, len(b))
		var one noted
		if spool.UnmarshalSlot(b[:n], &one) && one.Sequence >= newest.Sequence && one.Notes != nil {
			newest = one
		}
		b = b[n:]
	}
	if newest.Notes == nil {
		return noted{}, fmt.Errorf("pipeline: the notes beside the lease, %s, are damaged: remove the file when no kubevalue runs that shares the lease", f.path)
	}
	return newest, nil
}

// create makes a file with room for both slots, whole or not at all.
func (f *fileHolder) create() error {
	empty, err := spool.MarshalSlot(noted{Notes: map[string]note{}})
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.path), ".lease-*")
	if err != nil {
		return fmt.Errorf("pipeline: the notes beside the lease: %w", err)
	}
	_, err = tmp.Write(append(empty, empty...))
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		return fmt.Errorf("pipeline: the notes beside the lease: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// write replaces the notes as a whole, after they were read under the same hold of the lease.
func (f *fileHolder) write(_ context.Context, n noted) error {
	b, err := spool.MarshalSlot(n)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pipeline: the notes beside the lease: %w", err)
	}
	_, err = file.WriteAt(b, int64(n.Sequence%2)*spool.SlotSize)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("pipeline: the notes beside the lease: %w", err)
	}
	return nil
}
