package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// Manifest is a sealed run of records: it is on disk before the first attempt to insert it, so that every further attempt,
// after a restart too, repeats the same rows.
type Manifest struct {
	// First is where the run starts and End where it ends.
	First Position `json:"first"`
	End   Position `json:"end"`
	// Batch is the id of the run's first record. It keeps tokens apart even if positions should ever repeat.
	Batch uuid.UUID `json:"batch"`
}

// state is what the spool remembers besides its segments.
type state struct {
	Sequence uint64    `json:"sequence"`
	Spool    uuid.UUID `json:"spool"`
	Cursor   Position  `json:"cursor"`
	Sealed   *Manifest `json:"sealed,omitempty"`
}

// The state lives in two slots of one file, written in turn. A torn write leaves the other slot, and a full disk is no
// obstacle: the space is there already, while a renamed copy would need more, and draining is what makes room again.
const (
	stateName = "state"
	slotSize  = SlotSize
)

func marshalSlot(s state) ([]byte, error) { return MarshalSlot(s) }

func unmarshalSlot(b []byte) (s state, ok bool) {
	ok = UnmarshalSlot(b, &s)
	return s, ok
}

// openState opens the state of dir and returns the newest slot that is whole; known is false when there is none.
func openState(dir string) (f *os.File, s state, known bool, err error) {
	path := filepath.Join(dir, stateName)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, s, false, fmt.Errorf("spool: %w", err)
	}
	for len(b) > 0 {
		n := min(slotSize, len(b))
		if got, ok := unmarshalSlot(b[:n]); ok && (!known || got.Sequence > s.Sequence) {
			s, known = got, true
		}
		b = b[n:]
	}
	if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, s, false, fmt.Errorf("spool: %w", err)
	}
	return f, s, known, nil
}

// writeState writes the state, with the next sequence number, over the older slot.
func writeState(f *os.File, s *state) error {
	next := *s
	next.Sequence++
	b, err := marshalSlot(next)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(b, int64(next.Sequence%2)*slotSize); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	*s = next
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("spool: sync %s: %w", dir, err)
	}
	return nil
}
