// Package spool is the durable log between the collectors and the warehouse: when Append returns, the record is on disk,
// and it stays there until the cursor has passed it. One process appends and reads; what a crash, a flipped bit or a full
// disk leave behind is dealt with record by record.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"
)

// Defaults of Options.
const (
	DefaultMaxBytes     = 4 << 30
	DefaultSegmentBytes = 64 << 20
)

// queueBytes bounds the payloads that wait for the disk; more callers wait for room.
const queueBytes = MaxPayload

// Options say where a spool lives and how large it may grow.
type Options struct {
	// Dir is the spool's own directory; it is created with mode 0700.
	Dir string
	// MaxBytes bounds the segments on disk, passed records included; 0: DefaultMaxBytes.
	MaxBytes int64
	// SegmentBytes is the size at which a new segment begins; 0: DefaultSegmentBytes, or an eighth of MaxBytes when that is less.
	SegmentBytes int64
	// Logger takes what the spool finds at opening; nil: none.
	Logger *slog.Logger
	// Now is the clock; nil: the system's.
	Now func() time.Time

	create func(path string) (file, error) // how segments are created; tests make it fail
}

// Record is one appended payload.
type Record struct {
	// Batch is the id given at Append.
	Batch uuid.UUID
	// First is where the record starts and End where the next one does.
	First, End Position
	// Payload is valid until the next call of the reader.
	Payload []byte
}

// Spool is a segment log on disk. All methods may be called at the same time.
type Spool struct {
	o    Options
	lock *flock.Flock
	log  *slog.Logger
	id   uuid.UUID

	room *semaphore.Weighted // bytes of payload that wait for the disk

	mu       sync.Mutex
	queue    []*request
	wake     chan struct{} // has a value when the queue is not empty
	segments []segment     // in order; the last one may still grow
	last     uint64        // the highest number of a segment that ever was
	end      Position      // end of the committed records
	bytes    int64         // on disk or admitted to it
	records  int64         // between the cursor and end
	changed  chan struct{} // closed and replaced when end moves
	closed   bool

	stateMu   sync.Mutex
	state     state
	stateFile *os.File
	oldest    oldest

	torn *Damage // what Open cut off

	writeMu sync.Mutex
	active  *writer

	stop chan struct{}
	done chan struct{}
}

// ErrInUse means that another process has the spool.
var ErrInUse = errors.New("is in use by another kubevalue")

// Open opens or creates the spool. It fails when another process has it. A record that was cut short by a crash is
// removed; damage elsewhere is left for the reader to report.
func Open(o Options) (*Spool, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	lock := flock.New(filepath.Join(o.Dir, "lock"), flock.SetPermissions(0o600))
	if got, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("spool: lock %s: %w", o.Dir, err)
	} else if !got {
		return nil, fmt.Errorf("spool: %s %w: stop it or choose another directory", o.Dir, ErrInUse)
	}
	s := &Spool{
		o: o, lock: lock, log: o.Logger,
		room:    semaphore.NewWeighted(queueBytes),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go s.commitLoop()
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = min(DefaultSegmentBytes, o.MaxBytes/8)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.create == nil {
		o.create = createSegment
	}
	return o
}

// ID is the spool's own id, made when it was created.
func (s *Spool) ID() uuid.UUID { return s.id }

// End is the end of what has been appended.
func (s *Spool) End() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// Cursor is the end of what is done with.
func (s *Spool) Cursor() Position {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	return s.state.Cursor
}

// Sealed returns the run that was sealed and has not been passed by the cursor.
func (s *Spool) Sealed() (Manifest, bool) {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	if s.state.Sealed == nil {
		return Manifest{}, false
	}
	return *s.state.Sealed, true
}

// Seal writes the manifest to disk; it must start at the cursor.
func (s *Spool) Seal(m Manifest) error {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	next := s.state
	next.Sealed = &m
	if err := writeState(s.stateFile, &next); err != nil {
		return err
	}
	s.state = next
	return nil
}

// Advance moves the cursor over that many records that are done with, forgets the sealed run, and removes the segments that
// lie behind.
func (s *Spool) Advance(to Position, records int) error {
	s.stateMu.Lock()
	next := s.state
	next.Cursor, next.Sealed = to, nil
	err := writeState(s.stateFile, &next)
	if err == nil {
		s.state = next
	}
	s.stateMu.Unlock()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.records -= int64(records)
	s.mu.Unlock()
	s.retire(to)
	return s.removePassed(to)
}

// Trim removes what is done with from the disk of a quiet service: the newest segment too, when it is drained and no longer
// new.
func (s *Spool) Trim() error {
	at := s.Cursor()
	s.retire(at)
	return s.removePassed(at)
}

// Changed is closed at the next time that End moves.
func (s *Spool) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Records is how many records lie between the cursor and the end; damaged ones may count.
func (s *Spool) Records() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records
}

// Bytes is what the segments take on disk.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// MaxBytes is what the segments may take on disk.
func (s *Spool) MaxBytes() int64 { return s.o.MaxBytes }

// Append writes the payload behind all earlier ones and returns when it is on disk: calls at the same time share one
// fsync. It fails with collectors.ErrFull when MaxBytes or the disk leave no room; after any error, the context's own
// included, nothing is appended.
func (s *Spool) Append(ctx context.Context, batch uuid.UUID, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("spool: a payload of %d bytes is above %d: send smaller batches", len(payload), MaxPayload)
	}
	if err := s.room.Acquire(ctx, int64(len(payload))); err != nil {
		return err
	}
	defer s.room.Release(int64(len(payload)))
	r := &request{batch: batch, payload: payload, done: make(chan struct{})}
	if err := s.enqueue(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if s.withdraw(r) {
			return ctx.Err()
		}
		<-r.done // the write has begun: its result is the truth
		return r.err
	}
}

// Close waits for the appends in flight and closes the files. What is not drained stays for the next Open.
func (s *Spool) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if already {
		return nil
	}
	close(s.stop)
	<-s.done
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	err := s.closeActive()
	return errors.Join(err, s.stateFile.Close(), s.lock.Close())
}
