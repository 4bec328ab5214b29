package warehouse

import (
	"context"
	"time"
)

const tableState = "service_state"

// State returns what PutState stored last under a name; false: nothing.
func (db *DB) State(ctx context.Context, name string) (string, bool, error) {
	return askOne(ctx, db, question{
		op: "read the state", table: tableState, params: map[string]any{"name": name},
		sql: "SELECT argMax(state, version) FROM service_state WHERE name = {name:String} HAVING count() > 0",
	}, one[string])
}

// PutState replaces what is stored under a name, for one writer at a time: see [DB.Turn]. Its versions count up, so that the last writer
// wins whatever the clocks of writers say.
func (db *DB) PutState(ctx context.Context, name, state string) error {
	return db.putState(ctx, name, state, time.Time{})
}

// putState is PutState that the server refuses from until on, by its own clock; zero: never.
func (db *DB) putState(ctx context.Context, name, state string, until time.Time) error {
	version, _, err := askOne(ctx, db, question{
		op: "read the version of the state", table: tableState, params: map[string]any{"name": name},
		sql: "SELECT max(version) FROM service_state WHERE name = {name:String}",
	}, one[uint64])
	if err != nil {
		return err
	}
	return db.insert(ctx, block{table: tableState, until: until, rows: 1, columns: []column{
		ready("name", "String", []string{name}),
		ready("state", "String", []string{state}),
		ready("stored", kindTime, []time.Time{db.now()}),
		ready("version", "UInt64", []uint64{version + 1}),
	}})
}
