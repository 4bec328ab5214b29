package warehouse

import (
	"context"
	"errors"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Turn lets one of several services that share a warehouse do what only one may do at a time. It is a lease like that of migrators,
// held on by asking again: it excludes services through the same server, or the same cluster where the database's engine is
// Replicated. One that stalls for longer than its length may act when another has it already; only what carries a time by Clock until when
// the server takes it is fenced: PutState, and blocks of events with Until. A Turn is not for concurrent use.
type Turn struct {
	db     *DB
	kind   leaseKind
	owner  string
	number int64 // of the lease held; 0: none
	clock  reading
}

// reading is what the server's clock showed when ours showed here, or a little earlier; zero: it was not read.
type reading struct{ server, here time.Time }

// codeUnknownTable is ClickHouse's UNKNOWN_TABLE.
const codeUnknownTable = 60

// Turn is about what name says, in lower-case letters. Who has not asked for longer than length, 2 seconds or more, loses it.
func (db *DB) Turn(name string, length time.Duration) *Turn {
	return &Turn{db: db, kind: leaseKind{"services for " + name, "turn_" + name + "_", length}, owner: leaseOwner()}
}

// Mine says whether it is this service's turn, and makes it so if it is nobody's; it does not wait. On a warehouse that is not Shared it
// always is. After an error it is as it was at the last answer, until length is over.
func (t *Turn) Mine(ctx context.Context) (bool, error) {
	if !t.db.Shared() {
		return true, nil
	}
	if t.number > 0 {
		return t.renew(ctx)
	}
	all, err := t.db.leases(ctx, t.kind)
	if err != nil {
		return false, err
	}
	for _, l := range all {
		if l.valid && l.owner == t.owner { // it was taken, but the answer did not arrive
			t.number = l.number
			return t.renew(ctx)
		}
	}
	next, holder := nextLease(all)
	if holder != "" {
		return false, nil
	}
	taken, clock, err := t.db.takeLease(ctx, t.kind, next, t.owner)
	if taken {
		t.number, t.clock = next, clock
	}
	return taken, err
}

// Clock is the server's clock, as it was seen when the turn was taken or renewed last, whatever became of this host's clock since. It is
// never ahead of the server's: behind by a second, by how long the answer took to come, and by how long this host slept.
func (t *Turn) Clock() time.Time {
	if t.clock.server.IsZero() {
		return time.Now()
	}
	return t.clock.server.Add(time.Since(t.clock.here))
}

// State returns what a holder of the turn has stored last, empty at first.
func (t *Turn) State(ctx context.Context) (string, error) {
	state, _, err := t.db.State(ctx, t.kind.prefix)
	return state, err
}

// PutState stores what the next holder of the turn is to know, in place of what was there. The server refuses it when the turn is over.
func (t *Turn) PutState(ctx context.Context, state string) error {
	end := time.Time{}
	if !t.clock.server.IsZero() {
		end = t.clock.server.Add(t.kind.length)
	}
	return t.db.putState(ctx, t.kind.prefix, state, end)
}

// renew moves the end of the lease.
func (t *Turn) renew(ctx context.Context) (bool, error) {
	op, table := "renew the lease of "+t.kind.of, t.kind.table(t.number)
	comment, clock, err := t.db.leaseComment(ctx, t.kind, t.owner)
	if err != nil {
		return false, failed(op, "", err)
	}
	err = t.db.conn.Exec(with(ctx, nil), "ALTER TABLE "+table+" MODIFY COMMENT "+comment)
	if x, ok := errors.AsType[*clickhouse.Exception](err); ok && x.Code == codeUnknownTable {
		t.number = 0 // somebody took this service for dead
		return false, nil
	}
	if err != nil {
		return false, failed(op, table, err)
	}
	mine, err := t.db.confirmLease(ctx, t.kind, t.number, t.owner)
	if mine {
		t.clock = clock
	} else {
		t.number = 0
	}
	return mine, err
}

// GiveBack ends the turn, also when ctx has ended, so that the next service need not wait for its end.
func (t *Turn) GiveBack(ctx context.Context) {
	if t.number == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	table := t.kind.table(t.number)
	// The table stays, so that no other lease gets its number: one who stalled could else renew that.
	if err := t.db.conn.Exec(with(ctx, nil), "ALTER TABLE "+table+" MODIFY COMMENT '"+t.owner+" 0'"); err != nil {
		t.db.logger.Warn("lease not given back, it ends with its time", "table", table, "error", failed("give the lease back", table, err))
		return
	}
	t.number = 0
}
