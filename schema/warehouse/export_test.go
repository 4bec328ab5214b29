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
