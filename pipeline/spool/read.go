package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// Damage is a stretch of the log that holds no valid record; reading goes on at To.
type Damage struct {
	From, To Position
	// Why says what was found at From.
	Why error
}

// Error says where and what.
func (d *Damage) Error() string {
	return fmt.Sprintf("spool: %d damaged bytes at %v: %v", d.To.Offset-d.From.Offset, d.From, d.Why)
}

// Unwrap gives the cause.
func (d *Damage) Unwrap() error { return d.Why }

// Reader goes through the records in order. One goroutine at a time.
type Reader struct {
	s   *Spool
	pos Position
	f   *os.File
	src *source
}

// NewReader starts reading at a position that is the start or the end of a record.
func (s *Spool) NewReader(at Position) *Reader { return &Reader{s: s, pos: at} }

// Position is where the next record is looked for.
func (r *Reader) Position() Position { return r.pos }

// Next returns the next record; io.EOF when there is none before End. A *Damage is returned in its place in the order of the
// log, and the next call goes on behind it.
func (r *Reader) Next() (Record, error) {
	if err := r.seek(); err != nil {
		return Record{}, err
	}
	if r.pos.Offset < int64(headerSize) {
		var damaged *errDamaged
		if err := r.src.readHeader(); errors.As(err, &damaged) {
			return Record{}, r.skip(int64(headerSize), damaged.why)
		} else if err != nil {
			return Record{}, err
		}
		r.pos.Offset = int64(headerSize)
		if r.pos.Offset == r.src.size {
			return r.Next()
		}
	}
	f, payload, err := r.src.record(r.pos.Offset)
	var damaged *errDamaged
	if errors.As(err, &damaged) {
		return Record{}, r.skip(r.pos.Offset+1, damaged.why)
	} else if err != nil {
		return Record{}, err
	}
	rec := Record{Batch: f.id, First: r.pos, Payload: payload}
	r.pos.Offset += int64(frameSize + f.length)
	rec.End = r.pos
	return rec, nil
}

// skip moves to the next valid record of the segment and returns what lies before it.
func (r *Reader) skip(from int64, why error) error {
	next, err := r.src.next(from)
	if err != nil {
		return err
	}
	d := &Damage{From: r.pos, To: Position{Segment: r.pos.Segment, Offset: next}, Why: why}
	r.pos = d.To
	return d
}

// seek opens the segment in which the next record is.
func (r *Reader) seek() error {
	seg, ok := r.s.segmentFor(r.pos)
	if !ok {
		return io.EOF
	}
	if seg.number != r.pos.Segment {
		r.pos = Position{Segment: seg.number}
	}
	if r.src != nil && r.src.number == seg.number {
		r.src.size = seg.size
		return nil
	}
	if err := r.Close(); err != nil {
		return err
	}
	f, err := os.Open(segmentPath(r.s.o.Dir, seg.number))
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	r.f, r.src = f, newSource(f, r.s.ID(), seg)
	return nil
}

// Close closes the file in use. The reader may go on afterwards.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	f := r.f
	r.f, r.src = nil, nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// segmentFor finds the first segment that has bytes at the position or after it.
func (s *Spool) segmentFor(p Position) (segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segments {
		if p.Before(Position{Segment: seg.number, Offset: seg.size}) {
			return seg, true
		}
	}
	return segment{}, false
}

// oldest remembers which record a cursor points to.
type oldest struct {
	at    Position
	batch uuid.UUID
	known bool
}

// Oldest is the id of the first record behind the cursor; false when there is none, or none that can be read.
func (s *Spool) Oldest() (uuid.UUID, bool) {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	cursor := s.state.Cursor
	if s.oldest.known && s.oldest.at == cursor {
		return s.oldest.batch, true
	}
	r := s.NewReader(cursor)
	defer r.Close()
	for {
		rec, err := r.Next()
		var damage *Damage
		if errors.As(err, &damage) {
			continue
		}
		if err != nil {
			return uuid.UUID{}, false
		}
		s.oldest = oldest{at: cursor, batch: rec.Batch, known: true}
		return rec.Batch, true
	}
}

// Rescue copies the damaged bytes to a file of their own under damaged/ and returns its path with the first bytes, at most
// max of them.
func (s *Spool) Rescue(d *Damage, max int) (path string, sample []byte, err error) {
	src, err := os.Open(segmentPath(s.o.Dir, d.From.Segment))
	if err != nil {
		return "", nil, fmt.Errorf("spool: %w", err)
	}
	defer src.Close()
	stretch := func() *io.SectionReader { return io.NewSectionReader(src, d.From.Offset, d.To.Offset-d.From.Offset) }
	if sample, err = io.ReadAll(io.LimitReader(stretch(), int64(max))); err != nil {
		return "", nil, fmt.Errorf("spool: %w", err)
	}
	path = filepath.Join(s.o.Dir, "damaged", fmt.Sprintf("%020d-%d-%d.bin", d.From.Segment, d.From.Offset, d.To.Offset))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", sample, fmt.Errorf("spool: %w", err)
	}
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", sample, fmt.Errorf("spool: %w", err)
	}
	_, err = io.Copy(dst, stretch())
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return "", sample, fmt.Errorf("spool: rescue damaged bytes: %w", errors.Join(err, os.Remove(path)))
	}
	return path, sample, nil
}

// Seek makes the reader go on at the position, which is the start or the end of a record.
func (r *Reader) Seek(at Position) { r.pos = at }
