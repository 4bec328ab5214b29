package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// segment is one file of the log and how far it holds committed records.
type segment struct {
	number uint64
	size   int64
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.seg", number))
}

// listSegments returns the segments of dir in order, with the sizes of their files.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var list []segment
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".seg")
		if !ok {
			continue
		}
		number, err := strconv.ParseUint(base, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("spool: %s in %s is no segment: remove it", e.Name(), dir)
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		list = append(list, segment{number: number, size: info.Size()})
	}
	slices.SortFunc(list, func(a, b segment) int { return Position{Segment: a.number}.Compare(Position{Segment: b.number}) })
	return list, nil
}

// source reads the records of one segment up to size.
type source struct {
	r      io.ReaderAt
	id     uuid.UUID
	number uint64
	size   int64
	marker [markerSize]byte
	buf    []byte
}

func newSource(r io.ReaderAt, id uuid.UUID, s segment) *source {
	return &source{r: r, id: id, number: s.number, size: s.size, marker: markerOf(id, s.number)}
}

// errDamaged means that the bytes at a place are no record; errors from the disk are not it.
type errDamaged struct{ why error }

func (e *errDamaged) Error() string { return e.why.Error() }

func (s *source) readHeader() error {
	b := make([]byte, headerSize)
	if s.size < int64(headerSize) {
		return &errDamaged{fmt.Errorf("%d bytes are too few for a header", s.size)}
	}
	if _, err := s.r.ReadAt(b, 0); err != nil {
		return fmt.Errorf("spool: read segment %d: %w", s.number, err)
	}
	if !validHeader(b, s.id, s.number) {
		return &errDamaged{errors.New("the header is not of this segment")}
	}
	return nil
}

// record reads the record at offset. The payload is valid until the next call.
func (s *source) record(offset int64) (frame, []byte, error) {
	if s.size-offset < int64(frameSize) {
		return frame{}, nil, &errDamaged{fmt.Errorf("%d bytes are too few for a record", s.size-offset)}
	}
	s.buf = slices.Grow(s.buf[:0], frameSize)[:frameSize]
	if _, err := s.r.ReadAt(s.buf, offset); err != nil {
		return frame{}, nil, fmt.Errorf("spool: read segment %d at %d: %w", s.number, offset, err)
	}
	f, err := parseFrame(s.buf, s.marker)
	if err != nil {
		return f, nil, &errDamaged{err}
	}
	if rest := s.size - offset - int64(frameSize); int64(f.length) > rest {
		return f, nil, &errDamaged{fmt.Errorf("a payload of %d bytes is cut short at %d", f.length, rest)}
	}
	s.buf = slices.Grow(s.buf, f.length)[:frameSize+f.length]
	payload := s.buf[frameSize:]
	if _, err := s.r.ReadAt(payload, offset+int64(frameSize)); err != nil {
		return f, nil, fmt.Errorf("spool: read segment %d at %d: %w", s.number, offset, err)
	}
	if err := f.check(s.buf[:frameSize], payload); err != nil {
		return f, nil, &errDamaged{err}
	}
	return f, payload, nil
}

// next finds the first valid record that starts at offset or later; size when there is none.
func (s *source) next(offset int64) (int64, error) {
	const window = 1 << 20
	b := make([]byte, window)
	for offset < s.size {
		n, err := s.r.ReadAt(b[:min(window, s.size-offset)], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("spool: read segment %d at %d: %w", s.number, offset, err)
		}
		i := bytes.Index(b[:n], s.marker[:])
		if i < 0 {
			if n < window {
				return s.size, nil
			}
			offset += int64(n - markerSize + 1) // a marker may lie across the windows
			continue
		}
		offset += int64(i)
		var damaged *errDamaged
		if _, _, err = s.record(offset); err == nil {
			return offset, nil
		} else if !errors.As(err, &damaged) {
			return 0, err
		}
		offset++
	}
	return s.size, nil
}
