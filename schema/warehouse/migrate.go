package warehouse

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema/migrations"
)

// migration is one file of schema/migrations.
type migration struct {
	version    uint32
	name       string // of the file, without .sql
	checksum   string // SHA-256 of the file, in hexadecimal
	statements []string
}

// appliedTable holds what was applied. Like every migration, its statement can be repeated.
const appliedTable = "schema_migrations"

const createApplied = `CREATE TABLE IF NOT EXISTS ` + appliedTable + `
(
    version  UInt32,
    name     String,
    checksum String,
    at       DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`

// Migrate brings the database, which it creates if need be, to the tables that this binary knows, and returns the names of
// the files that it applied, in order, also when a later one failed. Of several migrators at once one works and the others wait, at most until ctx ends;
// see lock for what that is worth on a server. A database that is newer than this binary, or whose applied files are not the
// ones in this binary, is left alone with an error that says so. After a failure, Migrate can be called again.
func (db *DB) Migrate(ctx context.Context) (applied []string, err error) {
	known, err := readMigrations(migrations.FS)
	if err != nil {
		return nil, err
	}
	return db.migrate(ctx, known)
}

func (db *DB) migrate(ctx context.Context, known []migration) (applied []string, err error) {
	if err := db.createDatabase(ctx); err != nil {
		return nil, err
	}
	if done, err := db.isCurrent(ctx, known); done || err != nil {
		return nil, err
	}
	unlock, err := db.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := db.exec(ctx, "create the table "+appliedTable, createApplied); err != nil {
		return nil, err
	}
	pending, err := db.pending(ctx, known)
	if err != nil {
		return nil, err
	}
	var done []migration
	for _, m := range pending {
		if err = db.apply(ctx, m); err != nil {
			break
		}
		done = append(done, m)
		applied = append(applied, m.name)
	}
	return applied, errors.Join(err, db.note(ctx, done))
}

// apply runs the statements of one file.
func (db *DB) apply(ctx context.Context, m migration) error {
	begin := time.Now()
	for i, statement := range m.statements {
		op := fmt.Sprintf("apply migration %s, statement %d of %d", m.name, i+1, len(m.statements))
		if err := db.exec(ctx, op, statement); err != nil {
			return err
		}
	}
	db.logger.Info("migration applied", "migration", m.name, "database", db.dsn.database, "duration", time.Since(begin))
	return nil
}

// note records what was applied. A crash before it makes the next migrator repeat the statements, which changes nothing.
func (db *DB) note(ctx context.Context, done []migration) error {
	b := block{table: appliedTable, rows: len(done)}
	versions, names, checksums, at := make([]uint32, b.rows), make([]string, b.rows), make([]string, b.rows), make([]time.Time, b.rows)
	for i, m := range done {
		versions[i], names[i], checksums[i], at[i] = m.version, m.name, m.checksum, db.now()
	}
	b.columns = []column{
		ready("version", "UInt32", versions), ready("name", "String", names), ready("checksum", "String", checksums), ready("at", "DateTime64(3, 'UTC')", at),
	}
	return db.insert(ctx, b)
}

// exec runs a statement that returns nothing.
func (db *DB) exec(ctx context.Context, op, sql string) error {
	return failed(op, "", db.conn.Exec(with(ctx, nil), sql))
}

// createDatabase creates the database if it is not there, for which a user may lack the right.
func (db *DB) createDatabase(ctx context.Context) error {
	conn, err := db.connect("default", maxIdleConns)
	if err != nil {
		return fmt.Errorf("open the warehouse %s: %w", db, err)
	}
	defer conn.Close() //nolint:errcheck // nothing is under way
	op := "find the database " + db.dsn.database + " of the warehouse " + db.String()
	var n uint64
	query := "SELECT count() FROM system.databases WHERE name = '" + db.dsn.database + "'"
	if err := conn.QueryRow(with(ctx, nil), query).Scan(&n); err != nil || n > 0 {
		return failed(op, "", err)
	}
	op = "create the database " + db.dsn.database + " of the warehouse " + db.String()
	return failed(op, "", conn.Exec(with(ctx, nil), "CREATE DATABASE IF NOT EXISTS `"+db.dsn.database+"`"))
}

// isCurrent reports whether there is nothing to do, which is so at most starts, without taking the lock.
func (db *DB) isCurrent(ctx context.Context, known []migration) (bool, error) {
	_, found, err := askOne(ctx, db, question{
		op: "look for applied migrations", table: appliedTable, params: map[string]any{"table": appliedTable},
		sql: "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
	}, one[string])
	if err != nil || !found {
		return false, err
	}
	pending, err := db.pending(ctx, known)
	return err == nil && len(pending) == 0, err
}

// pending compares what was applied with what is known and returns what is left to do.
func (db *DB) pending(ctx context.Context, known []migration) ([]migration, error) {
	applied, err := ask(ctx, db, question{op: "read the applied migrations", table: appliedTable, sql: `
		SELECT version, any(name), any(checksum) FROM schema_migrations GROUP BY version ORDER BY version`,
	}, func(m *migration) []any { return []any{&m.version, &m.name, &m.checksum} })
	if err != nil {
		return nil, err
	}
	pending := slices.Clone(known)
	for _, was := range applied {
		i, found := slices.BinarySearchFunc(pending, was.version, func(m migration, v uint32) int { return cmp.Compare(m.version, v) })
		if !found {
			return nil, fmt.Errorf("the database %s has migration %s, which this kubevalue does not know (it knows up to %s): use a newer kubevalue",
				db.dsn.database, was.name, known[len(known)-1].name)
		}
		if m := pending[i]; m.checksum != was.checksum || m.name != was.name {
			return nil, fmt.Errorf("migration %s was changed after it was applied to the database %s (as %s, checksum %.12s; now %.12s): "+
				"restore the file and put the change into a new one", m.name, db.dsn.database, was.name, was.checksum, m.checksum)
		}
		pending = slices.Delete(pending, i, i+1)
	}
	return pending, nil
}

// readMigrations reads the files NNNN_name.sql, whose numbers count from 1 without a hole.
func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	slices.Sort(names)
	var all []migration
	for i, file := range names {
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, fmt.Errorf("read the migration %s: %w", file, err)
		}
		number, _, _ := strings.Cut(file, "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil || len(number) != 4 || version != uint64(i+1) {
			return nil, fmt.Errorf("migration %s: its name must begin with %04d_, files are numbered without a hole", file, i+1)
		}
		sum := sha256.Sum256(text)
		m := migration{version: uint32(version), name: strings.TrimSuffix(file, ".sql"), checksum: hex.EncodeToString(sum[:])}
		if m.statements, err = splitStatements(string(text)); err != nil {
			return nil, fmt.Errorf("migration %s: %w", file, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// splitStatements splits a file at the semicolons that end a line, and drops lines that are comments.
func splitStatements(text string) ([]string, error) {
	var all []string
	var current strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "--") || trimmed == "" {
			continue
		}
		body, ends := strings.CutSuffix(trimmed, ";")
		if !ends {
			current.WriteString(line)
			continue
		}
		current.WriteString(body)
		all = append(all, current.String())
		current.Reset()
	}
	if current.Len() > 0 {
		return nil, fmt.Errorf("no semicolon at the end of a line after %.40q", current.String())
	}
	return all, nil
}
