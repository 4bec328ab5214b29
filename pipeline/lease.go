package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/collectors"
)

// lease lets one replica at a time look ids up and insert. What a replica is about to insert is noted beside the lock: should it
// die between the events and their ids, the next one to come adds the ids before it looks any up, and not before the dead one's
// statements have run out of time.
type lease struct {
	holder
	me  string
	cfg ProcessorConfig
	// last is what was noted, as it was read or written last.
	last noted
	// taken says that last was this one's to write since it was read.
	taken bool
	// end is when the attempt has to be over that the lease was taken for.
	end time.Time
	// until is the same by the warehouse's clock, where a lease ends although its holder knows nothing of it; else zero.
	until time.Time
}

// holder is where a lease is: a lock, and the notes beside it that its holder reads and writes.
type holder interface {
	// enter waits for the lease, leave gives it back.
	enter(ctx context.Context) error
	leave(ctx context.Context) error
	// hold makes sure that the lease is good for the time of an attempt.
	hold(ctx context.Context) error
	read(ctx context.Context) (noted, error)
	write(ctx context.Context, n noted) error
	// clock is the same for all who share the lease, or behind.
	clock() time.Time
	// ends says that the lease ends by that clock, even if its holder is frozen.
	ends() bool
	String() string
}

// note says that events received in [From, To] may be stored without their ids, by statements that end before Until.
type note struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Until time.Time `json:"until"`
}

// noted is what replicas leave for each other.
type noted struct {
	// Sequence counts the writes.
	Sequence uint64 `json:"sequence"`
	// Changed counts how often somebody has changed, under the lease, what is stored already.
	Changed uint64 `json:"changed,omitempty"`
	// Notes are by the ids of the spools.
	Notes map[string]note `json:"notes"`
}

// meanwhile is what others may have done since this one took the lease last.
type meanwhile struct {
	// stored says that they may have stored events, changed that they may have changed what was stored, or who was erased.
	stored, changed bool
}

const (
	leasePoll = 5 * time.Millisecond
	// leaseMargin is how long a statement may outlive its time limit, or go on after the warehouse has let its rows in.
	leaseMargin = 5 * time.Second
	// repairPage is how many ids are compared at once.
	repairPage = 20_000
)

// newLease is nil when cfg names no lease.
func newLease(cfg Config, spool uuid.UUID) *lease {
	l := &lease{me: spool.String(), cfg: cfg.Processor}
	switch {
	case cfg.Turn != nil:
		l.holder = &turnHolder{turn: cfg.Turn}
	case cfg.Lease != "":
		l.holder = newFileHolder(cfg.Lease, cfg.Processor.Now)
	default:
		return nil
	}
	return l
}

// take waits for the lease. events says when the events that are to be stored were received, zero when there are none; timeout bounds
// the attempt that follows. done gives the lease back, and the note too when all is stored.
func (l *lease) take(ctx context.Context, events note, timeout time.Duration) (done func(stored bool) error, since meanwhile, err error) {
	if err := l.enter(ctx); err != nil {
		return nil, since, fmt.Errorf("pipeline: wait for %s, which another replica holds: %w", l, err)
	}
	since, err = l.catchUp(ctx)
	end := l.clock().Add(timeout)
	l.end, l.until = time.Now().Add(timeout), time.Time{}
	if l.ends() {
		l.until = end
	}
	if err == nil && !events.From.IsZero() {
		events.Until = end.Add(leaseMargin)
		l.last.Notes[l.me] = events
		err = l.put(ctx)
	}
	if err == nil {
		err = l.hold(ctx)
	}
	if err != nil {
		l.taken = false
		return nil, since, errors.Join(err, l.leave(ctx))
	}
	l.taken = true
	return func(stored bool) error {
		var err error
		if _, noted := l.last.Notes[l.me]; noted && stored {
			delete(l.last.Notes, l.me)
			if err = l.hold(ctx); err == nil {
				err = l.put(ctx)
			}
		}
		return errors.Join(err, l.leave(ctx))
	}, since, nil
}

// catchUp reads the notes, and completes what they say is left to do.
func (l *lease) catchUp(ctx context.Context) (since meanwhile, err error) {
	was := l.last
	if l.last, err = l.read(ctx); err != nil {
		return since, err
	}
	if l.last.Notes == nil {
		l.last.Notes = map[string]note{}
	}
	since = meanwhile{stored: !l.taken || l.last.Sequence != was.Sequence, changed: !l.taken || l.last.Changed != was.Changed}
	return since, l.repair(ctx)
}

// put writes the notes as they are now.
func (l *lease) put(ctx context.Context) error {
	next := l.last
	next.Sequence++
	if err := l.write(ctx, next); err != nil {
		return err
	}
	l.last.Sequence = next.Sequence
	return nil
}

// repair adds the ids that other replicas have left out, and forgets their notes. It waits with the lease in hand, so that a
// replica that fails again and again cannot hold up the others for ever.
func (l *lease) repair(ctx context.Context) error {
	for owner, n := range l.last.Notes {
		if owner == l.me {
			continue // this attempt repeats it
		}
		for {
			left := n.Until.Sub(l.clock())
			if left <= 0 {
				break
			}
			if !collectors.Sleep(ctx, min(left, turnSlack)) {
				return ctx.Err()
			}
			if err := l.hold(ctx); err != nil {
				return err
			}
		}
		if err := l.addIDs(ctx, n); err != nil {
			return err
		}
		delete(l.last.Notes, owner)
		if err := l.put(ctx); err != nil {
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
		if err := errors.Join(l.addMissing(ctx, n, ids, at), l.hold(ctx)); err != nil {
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
