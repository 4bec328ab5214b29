package warehouse

import (
	"context"
	"io/fs"
)

// MigrateFS migrates to the files of a test.
func (db *DB) MigrateFS(ctx context.Context, files fs.FS) ([]string, error) {
	known, err := readMigrations(files)
	if err != nil {
		return nil, err
	}
	return db.migrate(ctx, known)
}

// Exec runs a statement.
func (db *DB) Exec(ctx context.Context, sql string) error { return db.exec(ctx, "test", sql) }

// EnginePID is the process id of the embedded engine that Open started, or 0 between two.
func (db *DB) EnginePID() int { return db.engine.PID() }

// Lease takes the migrators' lease as it is taken on a server.
func (db *DB) Lease(ctx context.Context) (unlock func(), err error) { return db.lease(ctx) }

// ActorTables lists the tables that an erasure rewrites or removes from.
func ActorTables() []string { return actorTables() }

// CopyPersonal is the first half of an erasure, without its second.
func CopyPersonal(ctx context.Context, db *DB, replacement, actor uint64) error {
	for _, p := range keptPersonal {
		if err := db.copyRows(ctx, p, replacement, []uint64{actor}); err != nil {
			return err
		}
	}
	return nil
}

// WriteByDriver makes the driver write all blocks, as it does over the native protocol.
func (db *DB) WriteByDriver() { db.dsn.transport = transportNative }

// Forget makes a turn as it is when the answer to taking it did not arrive.
func (t *Turn) Forget() { t.number = 0 }
