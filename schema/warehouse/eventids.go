package warehouse

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// lookupSize is how many ids one statement looks up. They are part of the statement, 11 bytes each.
const lookupSize = 100_000

// readIDsTime bounds reading all ids: 80 million of them take a minute.
const readIDsTime = 10 * time.Minute

// lookupStatement bounds a statement that looks ids up, in bytes.
const lookupStatement = 4 << 20

// InsertEventIDs notes ids as seen, received[i] being when ids[i] was first taken; a block may span several days. Noting an id
// again changes nothing, so the token only spares a cluster's replicas the work.
func (db *DB) InsertEventIDs(ctx context.Context, token string, ids []uuid.UUID, received []time.Time) error {
	op := fmt.Sprintf("insert %d rows", len(ids))
	if token == "" {
		return refused(op, schema.TableEventIDs, errNoToken)
	}
	for i, t := range received {
		if err := checkTime("received", t); err != nil {
			return refused(op, schema.TableEventIDs, fmt.Errorf("row %d: %w", i, err))
		}
	}
	return db.insert(ctx, block{table: schema.TableEventIDs, token: token, rows: len(ids), columns: []column{
		pick("id_high", "UInt64", ids, func(id *uuid.UUID) uint64 { return binary.BigEndian.Uint64(id[:8]) }),
		pick("id_low", "UInt64", ids, func(id *uuid.UUID) uint64 { return binary.BigEndian.Uint64(id[8:]) }),
		ready("first_received", kindTime, received),
	}})
}

// SeenEventIDs returns those of the ids that were first received at since or later.
//
// Looking ids up costs a probe of nearly every stored one once there are more than some thousand of them, so the statement
// does no more than that: partitions are chosen by day, the time is compared here, and the ids go along as text, since
// bound parameters travel in the URL, where they do not fit.
func (db *DB) SeenEventIDs(ctx context.Context, ids []uuid.UUID, since time.Time) (map[uuid.UUID]struct{}, error) {
	seen := map[uuid.UUID]struct{}{}
	for some := range slices.Chunk(ids, lookupSize) {
		if err := db.lookUp(ctx, some, since, seen); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func (db *DB) lookUp(ctx context.Context, ids []uuid.UUID, since time.Time, seen map[uuid.UUID]struct{}) error {
	wanted := make(map[uuid.UUID]struct{}, len(ids))
	high := make([]byte, 0, 8*len(ids))
	for _, id := range ids {
		wanted[id] = struct{}{}
		high = binary.LittleEndian.AppendUint64(high, binary.BigEndian.Uint64(id[:8]))
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, "SELECT id_high, id_low, first_received FROM %s WHERE %s AND id_high IN (SELECT x FROM format(RowBinary, 'x UInt64', base64Decode('",
		schema.TableEventIDs, receivedSince(since))
	sql.WriteString(base64.StdEncoding.EncodeToString(high))
	sql.WriteString("')))")
	type row struct {
		high, low uint64
		received  time.Time
	}
	rows, err := ask(ctx, db, question{
		op: fmt.Sprintf("look %d ids up", len(ids)), table: schema.TableEventIDs, sql: sql.String(),
		settings: clickhouse.Settings{"max_query_size": lookupStatement},
	}, func(r *row) []any { return []any{&r.high, &r.low, &r.received} })
	for _, r := range rows {
		var id uuid.UUID
		binary.BigEndian.PutUint64(id[:8], r.high)
		binary.BigEndian.PutUint64(id[8:], r.low)
		if _, ok := wanted[id]; ok && !r.received.Before(since) {
			seen[id] = struct{}{}
		}
	}
	return err
}

// CountEventIDs counts the ids that were first received on the day of since or later.
func (db *DB) CountEventIDs(ctx context.Context, since time.Time) (int, error) {
	n, _, err := askOne(ctx, db, question{
		op: "count ids", table: schema.TableEventIDs, sql: "SELECT count() FROM " + schema.TableEventIDs + " WHERE " + receivedSince(since),
	}, one[uint64])
	return int(n), err
}

// EventIDs hands over the first halves of all ids that were first received on the day of since or later, some thousands at a time, in no
// order. What is noted while it reads may be missing.
func (db *DB) EventIDs(ctx context.Context, since time.Time, each func(halves []uint64)) error {
	op := "read ids"
	ctx = with(ctx, clickhouse.Settings{"max_threads": 1, "max_execution_time": readIDsTime.Seconds()})
	rows, err := db.conn.Query(ctx, "SELECT id_high FROM "+schema.TableEventIDs+" WHERE "+receivedSince(since))
	if err != nil {
		return failed(op, schema.TableEventIDs, err)
	}
	defer rows.Close() //nolint:errcheck // Err has told
	some := make([]uint64, 0, 4096)
	for rows.Next() {
		var half uint64
		if err := rows.Scan(&half); err != nil {
			return failed(op, schema.TableEventIDs, err)
		}
		if some = append(some, half); len(some) == cap(some) {
			each(some)
			some = some[:0]
		}
	}
	each(some)
	return failed(op, schema.TableEventIDs, rows.Err())
}

// receivedSince chooses partitions: those of the day of a time and of later ones.
func receivedSince(since time.Time) string {
	return "_partition_id >= '" + since.UTC().Format("20060102") + "'"
}
