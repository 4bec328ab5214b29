package warehouse

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Storage returns what each table costs, the largest first. A table's time column is its first one of type DateTime or
// DateTime64; bytes are those on this server.
func (db *DB) Storage(ctx context.Context) ([]schema.TableStorage, error) {
	type table struct {
		schema.TableStorage
		column, engine string
	}
	tables, err := ask(ctx, db, question{op: "measure the tables", sql: `
		SELECT t.name, ifNull(t.total_rows, 0), p.compressed, p.uncompressed, c.name, t.engine_full
		FROM system.tables AS t
		LEFT JOIN (
			SELECT table, sum(data_compressed_bytes) AS compressed, sum(data_uncompressed_bytes) AS uncompressed
			FROM system.parts WHERE database = currentDatabase() AND active GROUP BY table
		) AS p ON p.table = t.name
		LEFT JOIN (
			SELECT table, argMin(name, position) AS name
			FROM system.columns WHERE database = currentDatabase() AND type LIKE '%DateTime%' GROUP BY table
		) AS c ON c.table = t.name
		WHERE t.database = currentDatabase() AND t.engine LIKE '%MergeTree'`,
	}, func(t *table) []any {
		return []any{&t.Table, &t.Rows, &t.CompressedBytes, &t.Uncompressed, &t.column, &t.engine}
	})
	if err != nil {
		return nil, err
	}
	var spans []string
	for _, t := range tables {
		if t.column != "" && t.Rows > 0 {
			spans = append(spans, fmt.Sprintf("SELECT '%s', toDateTime64(min(`%s`), 3, 'UTC'), toDateTime64(max(`%s`), 3, 'UTC') FROM `%s`", t.Table, t.column, t.column, t.Table))
		}
	}
	type span struct {
		table          string
		oldest, newest time.Time
	}
	byTable := map[string]span{}
	if len(spans) > 0 {
		all, err := ask(ctx, db, question{op: "find the oldest and newest rows", sql: strings.Join(spans, " UNION ALL ")}, func(s *span) []any {
			return []any{&s.table, &s.oldest, &s.newest}
		})
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			byTable[s.table] = s
		}
	}
	all := make([]schema.TableStorage, len(tables))
	for i, t := range tables {
		all[i] = t.TableStorage
		all[i].Retention = retentionOf(t.engine)
		all[i].Oldest, all[i].Newest = byTable[t.Table].oldest, byTable[t.Table].newest
	}
	slices.SortFunc(all, func(a, b schema.TableStorage) int {
		return cmp.Or(cmp.Compare(b.CompressedBytes, a.CompressedBytes), cmp.Compare(a.Table, b.Table))
	})
	return all, nil
}

// Truncate empties tables, at once and for good. It is for databases that a test made for itself.
func (db *DB) Truncate(ctx context.Context, tables ...string) error {
	for _, table := range tables {
		op := "empty the table"
		if !databaseName.MatchString(table) {
			return refused(op, table, fmt.Errorf("that is not the name of a table"))
		}
		if err := failed(op, table, db.conn.Exec(with(ctx, nil), "TRUNCATE TABLE "+table+" SYNC")); err != nil {
			return err
		}
	}
	return nil
}
