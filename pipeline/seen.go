package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

// seen knows of most ids that the warehouse has never seen them, which spares the drainer the question: a blocked Bloom filter over
// event_ids. It errs to one side only: what it takes for seen is asked for. It holds as long as nobody else stores events, which the
// lease tells; else it begins again, from the warehouse.
type seen struct {
	store Store
	log   *slog.Logger
	now   func() time.Time

	mu sync.Mutex
	// whole has all ids that were first received at from or later; nil: every id has to be asked for.
	whole *bloom
	from  time.Time
	// next is being read from the warehouse, and gets what is stored meanwhile.
	next *bloom
	stop context.CancelFunc
	// wait is when next may be begun.
	wait    time.Time
	reading sync.WaitGroup
}

const (
	// seenFor is how long before now the ids reach that a filter has, when it is begun. An older event is asked for.
	seenFor = DedupWindow + 24*time.Hour
	// seenAge is when a filter is made anew, since it forgets nothing.
	seenAge = 24 * time.Hour
	// seenPause is how long after another replica has stored something, or a failure, a filter is begun.
	seenPause = time.Minute
)

// ask returns those of the ids that the warehouse may have seen since that time; of the others it is certain that it has not.
func (s *seen) ask(ids []uuid.UUID, since time.Time) []uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.whole == nil || since.Before(s.from) {
		return ids
	}
	var some []uuid.UUID
	for i := range ids {
		if s.whole.has(high(ids[i])) {
			some = append(some, ids[i])
		}
	}
	return some
}

// add notes ids that are about to be stored, or may have been by an attempt that failed.
func (s *seen) add(ids []uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range []*bloom{s.whole, s.next} {
		if b == nil {
			continue
		}
		for i := range ids {
			b.add(high(ids[i]))
		}
	}
}

// begin makes ready for an attempt to store, with the lease in hand and nothing of this process on its way to the warehouse. alone says
// that nobody else has stored anything since the last attempt.
func (s *seen) begin(ctx context.Context, alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !alone && (s.whole != nil || s.next != nil) {
		s.drop()
		s.wait = now.Add(seenPause)
	}
	if s.next != nil || now.Before(s.wait) || s.whole != nil && !s.whole.crowded() && now.Sub(s.from) < seenFor+seenAge {
		return
	}
	if s.whole != nil && s.whole.largest() {
		s.whole = nil // two of the largest are too much
	}
	if err := s.read(ctx, now.Add(-seenFor)); err != nil {
		s.later(ctx, err)
	}
}

// drop forgets everything. The caller holds mu.
func (s *seen) drop() {
	if s.stop != nil {
		s.stop()
	}
	s.whole, s.next, s.stop = nil, nil, nil
}

// read fills a new filter from the warehouse. What is stored from now on is added to it by add, so it misses nothing, whenever the
// statement begins. The caller holds mu.
func (s *seen) read(ctx context.Context, from time.Time) error {
	n, err := s.store.CountEventIDs(ctx, from)
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	s.stop = stop
	next := newBloom(n)
	s.next = next
	s.reading.Go(func() {
		err := s.store.EventIDs(reading, from, func(halves []uint64) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, half := range halves {
				next.add(half)
			}
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.next != next {
			return // dropped meanwhile
		}
		s.stop()
		s.next, s.stop = nil, nil
		if err != nil {
			s.later(ctx, err)
			return
		}
		s.whole, s.from = next, from
	})
	return nil
}

// later puts off a filter that could not be made. The caller holds mu. At the end of the pipeline, which breaks a reading off, nothing is said.
func (s *seen) later(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.wait = s.now().Add(seenPause)
	s.log.WarnContext(ctx, "the ids of stored events could not be read: until then each run asks for all of its own", "error", err)
}
