package warehouse

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// question is a statement with what an error says about it.
type question struct {
	op, table, sql string
	params         map[string]any
	settings       clickhouse.Settings
}

// ask reads all rows that a statement returns; into lists where the columns of a row go, and may set what all rows have in common.
func ask[T any](ctx context.Context, db *DB, q question, into func(*T) []any) ([]T, error) {
	params, err := parameters(q.params)
	if err != nil {
		return nil, failed(q.op, q.table, err)
	}
	rows, err := db.conn.Query(with(ctx, q.settings, clickhouse.WithParameters(params)), q.sql)
	if err != nil {
		return nil, failed(q.op, q.table, err)
	}
	defer rows.Close() //nolint:errcheck // Err has told
	var all []T
	var row T
	columns := into(&row)
	fresh := row
	for rows.Next() {
		row = fresh
		if err := rows.Scan(columns...); err != nil {
			return nil, failed(q.op, q.table, err)
		}
		all = append(all, row)
	}
	return all, failed(q.op, q.table, rows.Err())
}

// askOne reads the first row that a statement returns; false: there is none.
func askOne[T any](ctx context.Context, db *DB, q question, into func(*T) []any) (row T, found bool, err error) {
	all, err := ask(ctx, db, q, into)
	if err != nil || len(all) == 0 {
		return row, false, err
	}
	return all[0], true, nil
}

// one lists a single column.
func one[T any](v *T) []any { return []any{v} }
