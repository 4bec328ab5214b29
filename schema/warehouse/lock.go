package warehouse

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/gofrs/flock"
)

// lockPause is how long a waiting migrator sleeps between two looks.
const lockPause = 50 * time.Millisecond

// codeTableExists is ClickHouse's TABLE_ALREADY_EXISTS.
const codeTableExists = 57

// leaseKind is what leases are for.
type leaseKind struct {
	of     string        // who takes them, for errors
	prefix string        // of the names of the tables that are leases; a number follows
	length time.Duration // after which others may take the holder for dead
}

var migrators = leaseKind{"migrators", "schema_migrations_lock_", 10 * time.Minute}

// lock makes this the one migrator of the database until unlock is called.
//
// On the embedded engine it is a file lock in the data directory, which the kernel frees when a process dies.
//
// On a server it is a lease: a table whose creation only one of several migrators achieves, with its owner and the end of
// its time by the server's clock in the comment. It excludes other migrators through the same server, or through the same
// cluster where the database's engine is Replicated. It does not fence: a migrator that stalls for longer than the lease may
// go on beside its successor, which is why every statement can be repeated.
func (db *DB) lock(ctx context.Context) (unlock func(), err error) {
	if db.dataDir != "" {
		return db.lockFile(ctx)
	}
	return db.lease(ctx)
}

func (db *DB) lockFile(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(db.dataDir, "migrate-"+db.dsn.database+".lock")
	lock := flock.New(path)
	if _, err := lock.TryLockContext(ctx, lockPause); err != nil {
		return nil, fmt.Errorf("wait for another migrator of the database %s, which holds %s: %w", db.dsn.database, path, err)
	}
	return func() {
		if err := lock.Unlock(); err != nil {
			db.logger.Warn("migrators' lock not released, it ends with this process", "path", path, "error", err)
		}
	}, nil
}

// lease is one table that is a lease.
type lease struct {
	number int64
	owner  string
	valid  bool // its time is not over
}

// lease takes the lease. Its number is above that of every lease whose time is over, so that of several migrators that find a
// dead one's lease, one creates the next.
func (db *DB) lease(ctx context.Context) (unlock func(), err error) {
	owner, holder := leaseOwner(), ""
	waited := func() error {
		return fmt.Errorf("wait for another migrator of the database %s, %s: %w", db.dsn.database, cmp.Or(holder, "just gone"), ctx.Err())
	}
	for {
		all, err := db.leases(ctx, migrators)
		if err != nil && ctx.Err() != nil && holder != "" {
			return nil, waited() // the time ran out while it looked again
		}
		if err != nil {
			return nil, err
		}
		next := int64(0)
		if next, holder = nextLease(all); holder == "" {
			taken, _, err := db.takeLease(ctx, migrators, next, owner)
			if taken || err != nil {
				return func() { db.dropLease(ctx, migrators, next) }, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, waited()
		case <-time.After(lockPause + mathrand.N(lockPause)):
		}
	}
}

// nextLease is the number that the next lease has, and who holds the present one, if anybody does.
func nextLease(all []lease) (next int64, holder string) {
	next = 1
	for _, l := range all {
		next = max(next, l.number+1)
		if l.valid {
			holder = l.owner
		}
	}
	return next, holder
}

// leaseOwner says who this is, in letters that a comment holds without quoting.
func leaseOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	clean := func(r rune) rune {
		if r == '\'' || r == '\\' || r == ' ' || r < ' ' {
			return '-'
		}
		return r
	}
	return strings.Map(clean, fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:8]))
}

// leases lists the leases of a kind, by the server's clock.
func (db *DB) leases(ctx context.Context, kind leaseKind) ([]lease, error) {
	return ask(ctx, db, question{
		op: "read the leases of " + kind.of, params: map[string]any{"prefix": kind.prefix}, sql: `
		SELECT toInt64OrZero(substring(name, length({prefix:String}) + 1)), splitByChar(' ', comment)[1],
			toInt64OrZero(splitByChar(' ', comment)[2]) > toUnixTimestamp(now()) ? true : false
		FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})`,
	}, func(l *lease) []any { return []any{&l.number, &l.owner, &l.valid} })
}

// takeLease creates the lease with a number. It then looks again and steps back if another one is valid: one who listed the
// leases before that one was created, and was slow, could else believe that the lease is free. clock is the server's, before that.
func (db *DB) takeLease(ctx context.Context, kind leaseKind, number int64, owner string) (taken bool, clock reading, err error) {
	op := "take the lease of " + kind.of
	comment, clock, err := db.leaseComment(ctx, kind, owner)
	if err != nil {
		return false, clock, failed(op, "", err)
	}
	table := kind.table(number)
	err = db.conn.Exec(with(ctx, nil), "CREATE TABLE "+table+" (x UInt8) ENGINE = Memory COMMENT "+comment)
	if x, ok := errors.AsType[*clickhouse.Exception](err); ok && x.Code == codeTableExists {
		return false, clock, nil
	}
	if err != nil {
		return false, clock, failed(op, table, err)
	}
	taken, err = db.confirmLease(ctx, kind, number, owner)
	return taken, clock, err
}

// confirmLease says whether nobody else has a valid lease, and gives the own one back if somebody has.
func (db *DB) confirmLease(ctx context.Context, kind leaseKind, number int64, owner string) (bool, error) {
	all, err := db.leases(ctx, kind)
	if err == nil && !slices.ContainsFunc(all, func(l lease) bool { return l.valid && l.owner != owner }) {
		for _, l := range all {
			if !l.valid {
				db.dropLease(ctx, kind, l.number)
			}
		}
		return true, nil
	}
	db.dropLease(ctx, kind, number)
	return false, err
}

func (k leaseKind) table(number int64) string { return k.prefix + strconv.FormatInt(number, 10) }

// leaseComment is the quoted comment of a lease that begins now, by the server's clock.
func (db *DB) leaseComment(ctx context.Context, kind leaseKind, owner string) (comment string, clock reading, err error) {
	var seconds uint32
	err = db.conn.QueryRow(with(ctx, nil), "SELECT toUnixTimestamp(now())").Scan(&seconds)
	clock = reading{server: time.Unix(int64(seconds), 0), here: time.Now()}
	return fmt.Sprintf("'%s %d'", owner, clock.server.Add(kind.length).Unix()), clock, err
}

// dropLease gives a lease back, also when ctx has ended. A lease that stays ends with its time.
func (db *DB) dropLease(ctx context.Context, kind leaseKind, number int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	table := kind.table(number)
	if err := db.conn.Exec(with(ctx, nil), "DROP TABLE IF EXISTS "+table+" SYNC"); err != nil {
		db.logger.Warn("lease not given back, it ends with its time", "table", table, "error", failed("drop the lease", table, err))
	}
}
