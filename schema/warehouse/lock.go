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

// leaseTime is how long a migrator on a server may work before others may take it for dead.
const leaseTime = 10 * time.Minute

// lockPause is how long a waiting migrator sleeps between two looks.
const lockPause = 50 * time.Millisecond

// codeTableExists is ClickHouse's TABLE_ALREADY_EXISTS.
const codeTableExists = 57

// leasePrefix begins the names of the tables that are leases; a number follows.
const leasePrefix = "schema_migrations_lock_"

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
		all, err := db.leases(ctx)
		if err != nil && ctx.Err() != nil && holder != "" {
			return nil, waited() // the time ran out while it looked again
		}
		if err != nil {
			return nil, err
		}
		next := int64(1)
		holder = ""
		for _, l := range all {
			next = max(next, l.number+1)
			if l.valid {
				holder = l.owner
			}
		}
		if holder == "" {
			taken, err := db.takeLease(ctx, next, owner)
			if taken || err != nil {
				return func() { db.dropLeases(ctx, next) }, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, waited()
		case <-time.After(lockPause + mathrand.N(lockPause)):
		}
	}
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

// leases lists the leases, by the server's clock.
func (db *DB) leases(ctx context.Context) ([]lease, error) {
	return ask(ctx, db, question{
		op: "read the migrators' leases", params: map[string]any{"prefix": leasePrefix}, sql: `
		SELECT toInt64OrZero(substring(name, length({prefix:String}) + 1)), splitByChar(' ', comment)[1],
			toInt64OrZero(splitByChar(' ', comment)[2]) > toUnixTimestamp(now()) ? true : false
		FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})`,
	}, func(l *lease) []any { return []any{&l.number, &l.owner, &l.valid} })
}

// takeLease creates the lease with a number. It then looks again and steps back if another one is valid: one who listed the
// leases before that one was created, and was slow, could else believe that the lease is free.
func (db *DB) takeLease(ctx context.Context, number int64, owner string) (bool, error) {
	const op = "take the migrators' lease"
	var now uint32
	if err := db.conn.QueryRow(with(ctx, nil), "SELECT toUnixTimestamp(now())").Scan(&now); err != nil {
		return false, failed(op, "", err)
	}
	table := leasePrefix + strconv.FormatInt(number, 10)
	end := int64(now) + int64(leaseTime.Seconds())
	err := db.conn.Exec(with(ctx, nil), fmt.Sprintf("CREATE TABLE %s (x UInt8) ENGINE = Memory COMMENT '%s %d'", table, owner, end))
	if x, ok := errors.AsType[*clickhouse.Exception](err); ok && x.Code == codeTableExists {
		return false, nil
	}
	if err != nil {
		return false, failed(op, table, err)
	}
	all, err := db.leases(ctx)
	if err == nil && !slices.ContainsFunc(all, func(l lease) bool { return l.valid && l.owner != owner }) {
		for _, l := range all {
			if !l.valid {
				db.dropLeases(ctx, l.number)
			}
		}
		return true, nil
	}
	db.dropLeases(ctx, number)
	return false, err
}

// dropLeases gives a lease back, also when ctx has ended. A lease that stays ends with its time.
func (db *DB) dropLeases(ctx context.Context, number int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	table := leasePrefix + strconv.FormatInt(number, 10)
	if err := db.conn.Exec(with(ctx, nil), "DROP TABLE IF EXISTS "+table+" SYNC"); err != nil {
		db.logger.Warn("migrators' lease not given back, it ends with its time", "table", table, "error", failed("drop the lease", table, err))
	}
}
