package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
)

// recover reads what an earlier process left.
func (s *Spool) recover() error {
	f, st, known, err := openState(s.o.Dir)
	if err != nil {
		return err
	}
	s.stateFile, s.state = f, st
	if err := s.readDir(known); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

func (s *Spool) readDir(known bool) error {
	var err error
	if s.segments, err = listSegments(s.o.Dir); err != nil {
		return err
	}
	if !known {
		if s.state.Spool, err = s.adoptID(); err != nil {
			return err
		}
		if len(s.segments) > 0 {
			s.log.Warn("the spool's state is lost: draining from its oldest segment", "dir", s.o.Dir)
		}
	}
	s.id = s.state.Spool
	for range 2 { // both slots take their space now
		if err := writeState(s.stateFile, &s.state); err != nil {
			return err
		}
	}
	if err := syncDir(s.o.Dir); err != nil {
		return err
	}
	s.last = s.state.Cursor.Segment
	for _, seg := range s.segments {
		s.last = max(s.last, seg.number)
		s.bytes += seg.size
	}
	if err := s.cutTail(); err != nil {
		return err
	}
	s.end = s.state.Cursor
	if n := len(s.segments); n > 0 {
		if end := (Position{Segment: s.segments[n-1].number, Offset: s.segments[n-1].size}); s.end.Before(end) {
			s.end = end
		}
	}
	if err := s.removePassed(s.state.Cursor); err != nil {
		return err
	}
	return s.countRecords()
}

// adoptID finds the id of a spool whose state is lost in the header of a segment, or makes a new one.
func (s *Spool) adoptID() (uuid.UUID, error) {
	for _, seg := range s.segments {
		f, err := os.Open(segmentPath(s.o.Dir, seg.number))
		if err != nil {
			return uuid.UUID{}, fmt.Errorf("spool: %w", err)
		}
		b := make([]byte, headerSize)
		_, err = io.ReadFull(f, b)
		f.Close()
		if err != nil {
			continue
		}
		if id := uuid.UUID(b[len(magic) : len(magic)+16]); validHeader(b, id, seg.number) {
			return id, nil
		}
	}
	return uuid.NewRandom()
}

// cutTail removes a last record that was not written to its end.
func (s *Spool) cutTail() error {
	if len(s.segments) == 0 {
		return nil
	}
	last := &s.segments[len(s.segments)-1]
	path := segmentPath(s.o.Dir, last.number)
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	src := newSource(f, s.id, *last)
	end, why, err := src.validEnd()
	if err != nil {
		return err
	}
	if end < last.size {
		tail := &Damage{From: Position{Segment: last.number, Offset: end}, To: Position{Segment: last.number, Offset: last.size}, Why: why}
		if err := s.saveTail(tail); err != nil {
			return err
		}
		s.bytes -= last.size - end
		last.size = end
	}
	if end <= int64(headerSize) {
		s.bytes -= end
		s.segments = s.segments[:len(s.segments)-1]
		return os.Remove(path)
	}
	if why == nil {
		return nil
	}
	if err := f.Truncate(end); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return f.Sync()
}

// validEnd is the end of the last valid record of the segment, or of its header, or 0, and what is wrong behind it.
func (s *source) validEnd() (int64, error, error) {
	var damaged *errDamaged
	var end, next int64
	err := s.readHeader()
	if err == nil {
		end, next = int64(headerSize), int64(headerSize)
	} else if !errors.As(err, &damaged) {
		return 0, nil, err
	} else if next, err = s.next(int64(headerSize)); err != nil {
		return 0, nil, err
	}
	for next < s.size {
		f, _, err := s.record(next)
		if err == nil {
			next += int64(frameSize + f.length)
			end = next
			continue
		}
		if !errors.As(err, &damaged) {
			return 0, nil, err
		}
		if next, err = s.next(next + 1); err != nil {
			return 0, nil, err
		}
	}
	if end == s.size {
		return end, nil, nil
	}
	return end, damaged.why, nil
}

// saveTail keeps the bytes that are to be cut off, unless they are the zeros that a file system leaves.
func (s *Spool) saveTail(d *Damage) error {
	const sample = 1 << 20
	path, b, err := s.Rescue(d, sample)
	if err != nil && !isFull(err) {
		return err
	}
	if len(b) < sample && len(bytes.Trim(b, "\x00")) == 0 {
		if path != "" {
			return os.Remove(path)
		}
		return nil
	}
	s.torn = d
	s.log.Warn("a record at the end of the spool was not written to its end", "at", d.From.String(), "bytes", d.To.Offset-d.From.Offset,
		"saved", path, "error", d.Why)
	return nil
}

// countRecords goes through the frames behind the cursor without reading the payloads.
func (s *Spool) countRecords() error {
	for _, seg := range s.segments {
		f, err := os.Open(segmentPath(s.o.Dir, seg.number))
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		at := int64(headerSize)
		if seg.number == s.state.Cursor.Segment {
			at = max(at, s.state.Cursor.Offset)
		}
		s.records += newSource(f, s.ID(), seg).count(at)
		f.Close()
	}
	return nil
}

// count counts the frames from offset on; damage ends it.
func (s *source) count(offset int64) (n int64) {
	b := make([]byte, frameSize)
	for offset < s.size {
		if _, err := s.r.ReadAt(b, offset); err != nil {
			return n
		}
		f, err := parseFrame(b, s.marker)
		if err != nil {
			return n
		}
		offset += int64(frameSize + f.length)
		n++
	}
	return n
}

// Torn is the record that Open cut off because it was not written to its end; nil: there was none. Its bytes are under
// damaged/.
func (s *Spool) Torn() *Damage { return s.torn }
