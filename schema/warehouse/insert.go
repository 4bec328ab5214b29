package warehouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// block is what one INSERT sends: it lands whole or not at all.
type block struct {
	table string
	// token makes the block land once however often it is inserted; empty: the table needs none.
	token string
	// until is when the server begins to refuse the block, for tables that have the constraint in_time; zero: never.
	until    time.Time
	rows     int
	columns  []column
	settings clickhouse.Settings
}

// column is one column of a block.
type column struct {
	name string
	// kind is the ClickHouse type, which must be the table's.
	kind string
	rows int
	// values makes the values for the driver.
	values filler
	// write appends the values in the Native format; nil: the driver has to.
	write func(b []byte) []byte
	// misfit finds a value that the column cannot hold; nil: there is none.
	misfit func() error
}

// filler makes the values of a column when their turn comes, in the room of spare ones of the same kind that are done with.
type filler func(spare any) (values any)

// maxRoom bounds the memory that is kept for the next block, in bytes: more than a column of 40,000 usual rows takes.
const maxRoom = 4 << 20

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
	if !b.until.IsZero() {
		settings["log_comment"] = fmt.Sprint("until ", b.until.Unix())
	}
	names := make([]string, len(b.columns))
	for i, c := range b.columns {
		names[i] = "`" + c.name + "`"
		if c.rows != b.rows {
			return refused(op, b.table, fmt.Errorf("column %s has %d values", c.name, c.rows))
		}
		if c.misfit == nil {
			continue
		}
		if err := c.misfit(); err != nil {
			return refused(op, b.table, fmt.Errorf("column %s: %w", c.name, err))
		}
	}
	statement := "INSERT INTO " + b.table + " (" + strings.Join(names, ", ") + ")"
	room := db.room.Swap(nil)
	if room == nil {
		room = new([]byte)
	}
	body, ok := newNativeBody(b, *room)
	if !ok || db.dsn.transport == transportNative {
		return db.insertByDriver(ctx, settings, statement, b)
	}
	err := db.inserts.InsertFormat(with(ctx, settings), "Native", statement, body)
	if *room = body.close(); cap(*room) <= maxRoom {
		db.room.Store(room)
	}
	return failed(op, b.table, err)
}

// insertByDriver sends a block whose columns the driver has to write.
func (db *DB) insertByDriver(ctx context.Context, settings clickhouse.Settings, statement string, b block) error {
	op := fmt.Sprintf("insert %d rows", b.rows)
	spare := map[string]any{} // by kind: what the driver has copied already
	kinds := make([]clickhouse.ColumnNameAndType, len(b.columns))
	for i, c := range b.columns {
		kinds[i] = clickhouse.ColumnNameAndType{Name: c.name, Type: c.kind}
	}
	batch, err := db.inserts.PrepareBatch(with(ctx, settings, clickhouse.WithColumnNamesAndTypes(kinds)), statement)
	if err != nil {
		return failed(op, b.table, err)
	}
	defer batch.Close() //nolint:errcheck // it gives the connection back when nothing was sent
	for i, c := range b.columns {
		values := c.values(spare[c.kind])
		spare[c.kind] = values
		if err := batch.Column(i).Append(values); err != nil {
			return refused(op, b.table, fmt.Errorf("column %s: %w", c.name, err))
		}
	}
	return failed(op, b.table, batch.Send())
}

// pick makes a column of one field of each row.
func pick[R, V any](name, kind string, rows []R, field func(*R) V) column {
	return column{name: name, kind: kind, rows: len(rows), write: writer(kind, rows, field), misfit: misfit(kind, rows, field), values: func(spare any) any {
		room, _ := spare.([]V)
		values := slices.Grow(room[:0], len(rows))
		for i := range rows {
			values = append(values, field(&rows[i]))
		}
		return values
	}}
}

// ready makes a column of its values.
func ready[V any](name, kind string, values []V) column {
	return pick(name, kind, values, func(v *V) V { return *v })
}
