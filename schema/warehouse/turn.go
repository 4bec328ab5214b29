package warehouse

import (
	"context"
	"errors"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Turn lets one of several services that share a warehouse do what only one may do at a time. It is a lease like that of migrators,
// held on by asking again: it excludes services through the same server, or the same cluster where the database's engine is
// Replicated, and it does not fence one that stalls for longer than its length. A Turn is not for concurrent use.
type Turn struct {
	db     *DB
	kind   leaseKind
	owner  string
	number int64 // of the lease held; 0: none
	// ahead is by how much the server's clock is ahead of this one's.
	ahead time.Duration
}

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
	asked := time.Now()
	taken, now, err := t.db.takeLease(ctx, t.kind, next, t.owner)
	if taken {
		t.number, t.ahead = next, now.Sub(asked)
	}
	return taken, err
}

// Clock is the server's clock, as it was seen when the turn was taken or renewed last; it may be wrong by a second.
func (t *Turn) Clock() time.Time { return time.Now().Add(t.ahead) }

// State returns what a holder of the turn has stored last, empty at first.
func (t *Turn) State(ctx context.Context) (string, error) {
	state, _, err := t.db.State(ctx, t.kind.prefix)
	return state, err
}

// PutState stores what the next holder of the turn is to know, in place of what was there.
func (t *Turn) PutState(ctx context.Context, state string) error {
	return t.db.PutState(ctx, t.kind.prefix, state)
}

// renew moves the end of the lease.
func (t *Turn) renew(ctx context.Context) (bool, error) {
	op, table := "renew the lease of "+t.kind.of, t.kind.table(t.number)
	asked := time.Now()
	comment, now, err := t.db.leaseComment(ctx, t.kind, t.owner)
	if err != nil {
		return false, failed(op, "", err)
	}
	t.ahead = now.Sub(asked)
	err = t.db.conn.Exec(with(ctx, nil), "ALTER TABLE "+table+" MODIFY COMMENT "+comment)
	if x, ok := errors.AsType[*clickhouse.Exception](err); ok && x.Code == codeUnknownTable {
		t.number = 0 // somebody took this service for dead
		return false, nil
	}
	if err != nil {
		return false, failed(op, table, err)
	}
	mine, err := t.db.confirmLease(ctx, t.kind, t.number, t.owner)
	if !mine {
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
