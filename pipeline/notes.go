package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubevalue/kubevalue/pipeline/spool"
)

// noteFile holds the notes beside a lease, of which the holder of the lease reads and writes them. They lie in two slots that are
// written in turn, in place: a full disk is no obstacle once the file is there, and draining is what makes room again.
type noteFile struct {
	path     string
	sequence uint64
	// changed counts how often somebody has changed, under the lease, what is stored already.
	changed uint64
}

// noted is what a slot holds.
type noted struct {
	Sequence uint64          `json:"sequence"`
	Changed  uint64          `json:"changed,omitempty"`
	Notes    map[string]note `json:"notes"`
}

// read returns the notes by the spools' ids. A file that is not there is made.
func (f *noteFile) read() (map[string]note, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.sequence, f.changed = 0, 0
		return map[string]note{}, f.create()
	}
	if err != nil {
		return nil, fmt.Errorf("pipeline: the notes beside the lease: %w", err)
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
		return nil, fmt.Errorf("pipeline: the notes beside the lease, %s, are damaged: remove the file when no kubevalue runs that shares the lease", f.path)
	}
	f.sequence, f.changed = newest.Sequence, newest.Changed
	return newest.Notes, nil
}

// create makes a file with room for both slots, whole or not at all.
func (f *noteFile) create() error {
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
func (f *noteFile) write(notes map[string]note) error {
	next := noted{Sequence: f.sequence + 1, Changed: f.changed, Notes: notes}
	b, err := spool.MarshalSlot(next)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pipeline: the notes beside the lease: %w", err)
	}
	_, err = file.WriteAt(b, int64(next.Sequence%2)*spool.SlotSize)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("pipeline: the notes beside the lease: %w", err)
	}
	f.sequence = next.Sequence
	return nil
}
