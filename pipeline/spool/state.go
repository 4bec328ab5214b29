package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
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
	slotSize  = 4096
)

type slot struct {
	CRC   uint32          `json:"crc32c"`
	State json.RawMessage `json:"state"`
}

func marshalSlot(s state) ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("spool: state: %w", err)
	}
	b, err := json.Marshal(slot{CRC: crc32.Checksum(data, castagnoli), State: data})
	if err != nil {
		return nil, fmt.Errorf("spool: state: %w", err)
	}
	if len(b) >= slotSize {
		return nil, fmt.Errorf("spool: a state of %d bytes does not fit %d", len(b), slotSize)
	}
	return append(append(b, bytes.Repeat([]byte{' '}, slotSize-len(b)-1)...), '\n'), nil
}

func unmarshalSlot(b []byte) (state, bool) {
	var sl slot
	var s state
	ok := json.Unmarshal(b, &sl) == nil && crc32.Checksum(sl.State, castagnoli) == sl.CRC && json.Unmarshal(sl.State, &s) == nil
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
