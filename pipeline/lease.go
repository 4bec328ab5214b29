package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
)

// lease lets one replica on this host at a time look ids up and insert. What a replica is about to insert is noted beside
// the lock: should it die between the events and their ids, the next one to come adds the ids before it looks any up, and
// not before the dead one's statements have run out of time.
type lease struct {
	// turn is held while waiting for lock, so that a replica that gives the lease back gets in line behind the one that waits.
	turn, lock *flock.Flock
	notes      *noteFile
	me         string
	cfg        ProcessorConfig
	// taken says that the notes, as they were read last, were this one's to write since.
	taken bool
}

// note says that events received in [From, To] may be stored without their ids, by statements that end before Until.
type note struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Until time.Time `json:"until"`
}

// meanwhile is what others may have done since this one took the lease last.
type meanwhile struct {
	// stored says that they may have stored events, changed that they may have changed what was stored, or who was erased.
	stored, changed bool
}

const (
	leasePoll = 5 * time.Millisecond
	// leaseMargin is how long a statement may outlive its time limit.
	leaseMargin = 5 * time.Second
	// repairPage is how many ids are compared at once.
	repairPage = 20_000
)

func newLease(path string, spool uuid.UUID, cfg ProcessorConfig) *lease {
	private := flock.SetPermissions(0o600)
	return &lease{turn: flock.New(path+".turn", private), lock: flock.New(path, private), notes: &noteFile{path: path + ".slots"}, me: spool.String(), cfg: cfg}
}

// prepare makes the file of the notes where it is missing, unless another replica is at it.
func (l *lease) prepare() error {
	if ok, err := l.lock.TryLock(); err != nil || !ok {
		return err
	}
	_, err := l.notes.read()
	return errors.Join(err, l.release())
}

// take waits for the lease. events says when the events that are to be stored were received, zero when there are none; timeout bounds
// the attempt that follows. done gives the lease back, and the note too when all is stored.
func (l *lease) take(ctx context.Context, events note, timeout time.Duration) (done func(stored bool) error, since meanwhile, err error) {
	if err := l.enter(ctx); err != nil {
		return nil, since, fmt.Errorf("pipeline: wait for the lease %s, which another replica holds: %w", l.lock.Path(), err)
	}
	last, changed := l.notes.sequence, l.notes.changed
	notes, err := l.notes.read()
	if err == nil {
		since = meanwhile{stored: !l.taken || l.notes.sequence != last, changed: !l.taken || l.notes.changed != changed}
		err = l.repair(ctx, notes)
	}
	if err == nil && !events.From.IsZero() {
		events.Until = l.cfg.Now().Add(timeout + leaseMargin)
		notes[l.me] = events
		err = l.notes.write(notes)
	}
	if err != nil {
		l.taken = false
		return nil, since, errors.Join(err, l.release())
	}
	l.taken = true
	return func(stored bool) error {
		var err error
		if _, noted := notes[l.me]; noted && stored {
			delete(notes, l.me)
			err = l.notes.write(notes)
		}
		return errors.Join(err, l.release())
	}, since, nil
}

// enter waits for the replica that holds the lease, and for those that wait already.
func (l *lease) enter(ctx context.Context) error {
	if _, err := l.turn.TryLockContext(ctx, leasePoll); err != nil {
		return err
	}
	_, err := l.lock.TryLockContext(ctx, leasePoll)
	if left := l.turn.Unlock(); err == nil && left != nil {
		return errors.Join(left, l.lock.Unlock())
	}
	return err
}

func (l *lease) release() error {
	if err := l.lock.Unlock(); err != nil {
		return fmt.Errorf("pipeline: give back the lease: %w", err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// repair adds the ids that other replicas have left out, and forgets their notes. It waits with the lease in hand, so that a
// replica that fails again and again cannot hold up the others for ever.
func (l *lease) repair(ctx context.Context, notes map[string]note) error {
	for owner, n := range notes {
		if owner == l.me {
			continue // this attempt repeats it
		}
		if err := sleep(ctx, n.Until.Sub(l.cfg.Now())); err != nil {
			return err
		}
		if err := l.addIDs(ctx, n); err != nil {
			return err
		}
		delete(notes, owner)
		if err := l.notes.write(notes); err != nil {
			return err
		}
	}
	return nil
}

// addIDs adds the ids of the noted events that lack them.
func (l *lease) addIDs(ctx context.Context, n note) error {
	for last := (uuid.UUID{}); ; {
		result, err := l.cfg.Store.Query(ctx, `
			SELECT id, received FROM events
			WHERE received >= {from:DateTime64(3, 'UTC')} AND received <= {to:DateTime64(3, 'UTC')} AND id > {last:UUID}
			ORDER BY id LIMIT {page:UInt32}`,
			map[string]any{"from": n.From, "to": n.To, "last": last.String(), "page": uint32(repairPage)})
		if err != nil {
			return err
		}
		if len(result.Rows) == 0 {
			return nil
		}
		ids, at := make([]uuid.UUID, len(result.Rows)), make([]time.Time, len(result.Rows))
		for i, row := range result.Rows {
			var idOK, timeOK bool
			ids[i], idOK = row[0].(uuid.UUID)
			at[i], timeOK = row[1].(time.Time)
			if !idOK || !timeOK {
				return fmt.Errorf("pipeline: ids of events came as %T with %T", row[0], row[1])
			}
		}
		last = ids[len(ids)-1]
		if err := l.addMissing(ctx, n, ids, at); err != nil {
			return err
		}
	}
}

func (l *lease) addMissing(ctx context.Context, n note, ids []uuid.UUID, at []time.Time) error {
	known, err := l.cfg.Store.SeenEventIDs(ctx, ids, n.From)
	if err != nil {
		return err
	}
	missing := 0
	for i := range ids {
		if _, ok := known[ids[i]]; !ok {
			ids[missing], at[missing] = ids[i], at[i]
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	return l.cfg.Store.InsertEventIDs(ctx, "repair/"+uuid.NewString(), ids[:missing], at[:missing])
}

// received says when the first and the last event of the run were received; zero: it has none.
func (r *run) received() (n note) {
	for i := range r.rows {
		at := r.rows[i].Received
		if i == 0 || at.Before(n.From) {
			n.From = at
		}
		if i == 0 || at.After(n.To) {
			n.To = at
		}
	}
	return n
}
