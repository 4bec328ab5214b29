package spool

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/collectors"
)

const (
	// groupBytes bounds what one write and fsync take together; a larger record goes alone.
	groupBytes = 8 << 20
	// drainedAge is the age at which a segment whose records are all done with is given up, so that raw identities do not stay on a quiet service's disk.
	drainedAge = time.Minute
)

var errClosed = errors.New("spool: closed")

// file is what the spool needs of a segment that it writes.
type file interface {
	WriteAt(b []byte, offset int64) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

func createSegment(path string) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

type request struct {
	batch   uuid.UUID
	payload []byte
	err     error
	done    chan struct{}
}

func (r *request) size() int64 { return int64(frameSize + len(r.payload)) }

// writer is the segment that grows.
type writer struct {
	f       file
	number  uint64
	size    int64
	marker  [markerSize]byte
	created time.Time
}

func (s *Spool) enqueue(r *request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.bytes+r.size()+int64(headerSize) > s.o.MaxBytes {
		return fmt.Errorf("%w (%d of %d bytes)", collectors.ErrFull, s.bytes, s.o.MaxBytes)
	}
	s.bytes += r.size()
	s.queue = append(s.queue, r)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// withdraw takes a request back that nobody has begun to write.
func (s *Spool) withdraw(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, r)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	s.bytes -= r.size()
	return true
}

// take removes the requests of the next group from the queue.
func (s *Spool) take() []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, int64(0)
	for n < len(s.queue) && (n == 0 || size+s.queue[n].size() <= groupBytes) {
		size += s.queue[n].size()
		n++
	}
	group := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	return group
}

func (s *Spool) commitLoop() {
	defer close(s.done)
	var buf []byte
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			s.refuseRest()
			return
		}
		for group := s.take(); len(group) > 0; group = s.take() {
			buf = s.commit(group, buf[:0])
			for _, r := range group {
				close(r.done)
			}
			if cap(buf) > 2*groupBytes {
				buf = nil
			}
		}
	}
}

// refuseRest ends the requests that came between the last group and Close.
func (s *Spool) refuseRest() {
	for group := s.take(); len(group) > 0; group = s.take() {
		for _, r := range group {
			r.err = errClosed
			close(r.done)
		}
	}
}

// commit writes and syncs the group; all of it is on disk, or none of it and every request has the error.
func (s *Spool) commit(group []*request, buf []byte) []byte {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	var size int64
	for _, r := range group {
		size += r.size()
	}
	err := s.roll()
	if err == nil {
		for _, r := range group {
			buf = appendRecord(buf, s.active.marker, r.batch, r.payload)
		}
		err = s.write(buf)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", collectors.ErrFull, err)
		}
		for _, r := range group {
			r.err = err
		}
		s.bytes -= size
		return buf
	}
	s.segments[len(s.segments)-1].size = s.active.size
	s.records += int64(len(group))
	s.end = Position{Segment: s.active.number, Offset: s.active.size}
	close(s.changed)
	s.changed = make(chan struct{})
	return buf
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// write appends b to the active segment and syncs it. After an error nothing of b may stay, so it is cut off again, and the
// segment is given up: after a failed sync nobody knows its state, and on a full disk it can go as soon as it is drained.
func (s *Spool) write(b []byte) error {
	w := s.active
	_, err := w.f.WriteAt(b, w.size)
	if err == nil {
		err = w.f.Sync()
	}
	if err == nil {
		w.size += int64(len(b))
		return nil
	}
	err = errors.Join(err, w.f.Truncate(w.size), s.closeActive())
	if w.size == int64(headerSize) {
		err = errors.Join(err, s.dropEmpty(w.number))
	}
	return fmt.Errorf("spool: write segment %d: %w", w.number, err)
}

// dropEmpty removes the newest segment, which has no record.
func (s *Spool) dropEmpty(number uint64) error {
	s.mu.Lock()
	s.segments = s.segments[:len(s.segments)-1]
	s.bytes -= int64(headerSize)
	s.mu.Unlock()
	return os.Remove(segmentPath(s.o.Dir, number))
}

// roll makes sure that there is an active segment with room.
func (s *Spool) roll() error {
	if s.active != nil && s.active.size < s.o.SegmentBytes {
		return nil
	}
	if err := s.closeActive(); err != nil {
		s.log.Warn("closing a spool segment failed", "error", err)
	}
	s.mu.Lock()
	s.last++
	number := s.last
	s.mu.Unlock()
	path := segmentPath(s.o.Dir, number)
	f, err := s.o.create(path)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	w := &writer{f: f, number: number, size: int64(headerSize), marker: markerOf(s.id, number), created: s.o.Now()}
	_, err = f.WriteAt(appendHeader(nil, s.id, number), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(s.o.Dir)
	}
	if err != nil {
		return fmt.Errorf("spool: create segment %d: %w", number, errors.Join(err, f.Close(), os.Remove(path)))
	}
	s.active = w
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, segment{number: number, size: w.size})
	s.bytes += w.size
	return nil
}

func (s *Spool) closeActive() error {
	if s.active == nil {
		return nil
	}
	f := s.active.f
	s.active = nil
	return f.Close()
}

// retire gives the active segment up when all its records are done with and it is large or no longer new.
func (s *Spool) retire(passed Position) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	w := s.active
	if w == nil || w.number != passed.Segment || w.size != passed.Offset {
		return
	}
	if w.size < s.o.SegmentBytes && s.o.Now().Sub(w.created) < drainedAge {
		return
	}
	if err := s.closeActive(); err != nil {
		s.log.Warn("closing a spool segment failed", "error", err)
	}
}

// removePassed removes the segments that end at or before the position and will not grow.
func (s *Spool) removePassed(to Position) error {
	s.writeMu.Lock()
	var growing uint64
	if s.active != nil {
		growing = s.active.number
	}
	s.mu.Lock()
	n := 0
	for n < len(s.segments) && s.segments[n].number != growing && !to.Before(Position{Segment: s.segments[n].number, Offset: s.segments[n].size}) {
		n++
	}
	passed := slices.Clone(s.segments[:n])
	s.segments = slices.Delete(s.segments, 0, n)
	for _, seg := range passed {
		s.bytes -= seg.size
	}
	s.mu.Unlock()
	s.writeMu.Unlock()
	var errs []error
	for _, seg := range passed {
		errs = append(errs, os.Remove(segmentPath(s.o.Dir, seg.number)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("spool: remove passed segments: %w", err)
	}
	return nil
}
