package warehouse

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// block is what one INSERT sends: it lands whole or not at all.
type block struct {
	table string
	// token makes the block land once however often it is inserted; empty: the table needs none.
	token    string
	rows     int
	columns  []column
	settings clickhouse.Settings
}

// column is one column of a block.
type column struct {
	name string
	// kind is the ClickHouse type, which must be the table's.
	kind string
	// values is a slice of rows values, or a filler of one.
	values any
}

// filler makes the values of a column when their turn comes, in the room of spare ones of the same kind that are done with.
type filler func(spare any) (values any)

// insert sends a block.
func (db *DB) insert(ctx context.Context, b block) error {
	if b.rows == 0 {
		return nil
	}
	op := fmt.Sprintf("insert %d rows", b.rows)
	settings := maps.Clone(b.settings)
	if settings == nil {
		settings = clickhouse.Settings{}
	}
	if b.token != "" {
		settings["insert_deduplication_token"] = b.token
	}
	names := make([]string, len(b.columns))
	spare := map[string]any{} // by kind: what the driver has copied already
	kinds := make([]clickhouse.ColumnNameAndType, len(b.columns))
	for i, c := range b.columns {
		names[i] = "`" + c.name + "`"
		kinds[i] = clickhouse.ColumnNameAndType{Name: c.name, Type: c.kind}
	}
	ctx = with(ctx, settings, clickhouse.WithColumnNamesAndTypes(kinds))
	batch, err := db.inserts.PrepareBatch(ctx, "INSERT INTO "+b.table+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return failed(op, b.table, err)
	}
	defer batch.Close() //nolint:errcheck // it gives the connection back when nothing was sent
	for i, c := range b.columns {
		values := c.values
		if fill, ok := values.(filler); ok {
			values = fill(spare[c.kind])
			spare[c.kind] = values
		}
		// The driver would send nothing, without an error, if the columns were of different lengths.
		if n := reflect.ValueOf(values).Len(); n != b.rows {
			return refused(op, b.table, fmt.Errorf("column %s has %d values", c.name, n))
		}
		if err := batch.Column(i).Append(values); err != nil {
			return refused(op, b.table, fmt.Errorf("column %s: %w", c.name, err))
		}
	}
	return failed(op, b.table, batch.Send())
}

// pick makes a column of one field of each row.
func pick[R, V any](name, kind string, rows []R, field func(*R) V) column {
	return column{name: name, kind: kind, values: filler(func(spare any) any {
		room, _ := spare.([]V)
		values := slices.Grow(room[:0], len(rows))
		for i := range rows {
			values = append(values, field(&rows[i]))
		}
		return values
	})}
}
