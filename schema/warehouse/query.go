package warehouse

import (
	"context"
	"reflect"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/kubevalue/kubevalue/schema"
)

// Bounds of what Query answers. Above them it fails rather than return a part.
const (
	maxResultRows  = 250_000
	maxResultBytes = 128 << 20
	maxMemory      = 2 << 30
)

// readOnly are the settings of Query: reading only, and a statement cannot lift its own limits by a SETTINGS clause.
var readOnly = clickhouse.Settings{
	"readonly":             1,
	"max_result_rows":      maxResultRows,
	"max_result_bytes":     maxResultBytes,
	"result_overflow_mode": "throw",
	"max_memory_usage":     maxMemory,
	// Many statements read the same columns more than once, and the next metric reads them again: within the engine's bounded cache they are
	// unpacked once.
	"use_uncompressed_cache": 1,
	// Compiling an expression takes as long as a whole statement usually does, at its third run; the data here is too small to win that back.
	"compile_expressions":           0,
	"compile_aggregate_expressions": 0,
	"compile_sort_description":      0,
}

// Query runs a SELECT with bound parameters, {name:Type} in the statement and name in params, and returns all of its rows: at
// most 250,000 and 128 MiB, within a minute and 2 GiB of the server's memory, or an error with the code that says which
// bound was hit. It cannot write, nor read files or other hosts through table functions. Parameters are strings, booleans,
// integers, floats, times, nil (NULL), and slices of them. Values in the result have the driver's Go types: UInt64 is uint64,
// Nullable(T) is *T, Enum and LowCardinality(String) are string, Array(T) is []T, times are time.Time. Where there are no rows, the embedded
// engine does not name the columns either.
func (db *DB) Query(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
	const op = "run a query"
	bound, err := parameters(params)
	if err != nil {
		return schema.Result{}, failed(op, "", err)
	}
	ctx = with(ctx, readOnly, clickhouse.WithParameters(bound))
	result, err := db.query(ctx, sql)
	if err != nil {
		return schema.Result{}, failed(op, "", err)
	}
	return result, nil
}

func (db *DB) query(ctx context.Context, sql string) (schema.Result, error) {
	rows, err := db.conn.Query(ctx, sql)
	if err != nil {
		return schema.Result{}, err
	}
	defer rows.Close() //nolint:errcheck // Err has told
	result := schema.Result{Columns: rows.Columns()}
	kinds := rows.ColumnTypes()
	for rows.Next() {
		row, err := scanRow(rows, kinds)
		if err != nil {
			return schema.Result{}, err
		}
		result.Rows = append(result.Rows, row)
	}
	return result, rows.Err()
}

func scanRow(rows driver.Rows, kinds []driver.ColumnType) ([]any, error) {
	into := make([]any, len(kinds))
	for i, kind := range kinds {
		into[i] = reflect.New(kind.ScanType()).Interface()
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	for i := range into {
		into[i] = reflect.ValueOf(into[i]).Elem().Interface()
	}
	return into, nil
}
