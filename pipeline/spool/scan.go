package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Scan calls each for every whole record on the disk of a spool, those included that are done with and not yet removed: done says so.
// It reads only, and next to a service that runs: what that one removes or appends meanwhile may be missing. damaged counts the
// stretches that hold no record. A directory that does not exist is an empty spool.
func Scan(dir string, each func(rec Record, done bool) error) (damaged int, err error) {
	state, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	segments, err := listSegments(dir)
	if err != nil {
		return 0, err
	}
	for i, seg := range segments {
		n, err := scanSegment(scanned{dir: dir, state: state, segment: seg, last: i == len(segments)-1}, each)
		damaged += n
		if err != nil {
			return damaged, err
		}
	}
	return damaged, nil
}

// scanned is a segment that is read by Scan.
type scanned struct {
	dir   string
	state state
	segment
	last bool
}

func scanSegment(s scanned, each func(rec Record, done bool) error) (damaged int, err error) {
	f, err := os.Open(segmentPath(s.dir, s.number))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // done with, meanwhile
	}
	if err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	src := newSource(f, s.state.Spool, s.segment)
	for at := int64(headerSize); at < s.size; {
		var bad *errDamaged
		frame, payload, err := src.record(at)
		if errors.As(err, &bad) {
			next, err := src.next(at + 1)
			if err != nil {
				return damaged, err
			}
			if !s.last || next < s.size { // the end of the newest segment may be in the middle of being written
				damaged++
			}
			at = next
			continue
		}
		if err != nil {
			return damaged, err
		}
		rec := Record{Batch: frame.id, First: Position{s.number, at}, End: Position{s.number, at + int64(frameSize+frame.length)}, Payload: payload}
		if err := each(rec, !s.state.Cursor.Before(rec.End)); err != nil {
			return damaged, err
		}
		at = rec.End.Offset
	}
	return damaged, nil
}

// readState reads the newest slot that is whole.
func readState(dir string) (s state, err error) {
	b, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return s, fmt.Errorf("spool: %w", err)
	}
	for len(b) > 0 {
		n := min(slotSize, len(b))
		if got, ok := unmarshalSlot(b[:n]); ok && got.Sequence >= s.Sequence {
			s = got
		}
		b = b[n:]
	}
	return s, nil
}

// Damaged lists the files with bytes that were no record, which the spool keeps beside its segments.
func Damaged(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "damaged", "*"))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return files, nil
}
