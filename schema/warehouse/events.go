package warehouse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// The times that rows may have: DateTime64 holds more, but partitions and the DateTime of other columns do not.
var (
	minTime = time.Unix(0, 0).UTC()
	maxTime = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

var errNoToken = errors.New("the token is empty: a retry would count twice")

// checkTime refuses a time that a column does not hold. Half-open: maxTime itself is out.
func checkTime(what string, t time.Time) error {
	if t.Before(minTime) || !t.Before(maxTime) {
		return fmt.Errorf("%s %s is outside of %s to %s", what, t.Format(time.RFC3339), minTime.Format(time.DateOnly), maxTime.Format(time.DateOnly))
	}
	return nil
}

// onePartition makes the server refuse what would be cut into several parts: a block must land whole or not at all.
var onePartition = clickhouse.Settings{"max_partitions_per_insert_block": 1}

// generations bounds how often a block is inserted under a token of its own.
const generations = 4

// InsertEvents stores a block of events, once, in events as in what is derived from it. Times are cut to milliseconds.
//
// MergeTree notes a token just before the block is there. An engine that dies in between refuses the block ever after as a
// repetition, so InsertEvents looks whether it is there, and inserts it under a further token when it is not. Under a new token it
// believes the engine.
func (db *DB) InsertEvents(ctx context.Context, b schema.EventBlock) error {
	if b.New || len(b.Rows) == 0 {
		return db.insertEvents(ctx, b.Token, b)
	}
	for generation := range generations {
		under := b.Token
		if generation > 0 {
			under = fmt.Sprintf("%s#%d", b.Token, generation+1)
		}
		if err := db.insertEvents(ctx, under, b); err != nil {
			return err
		}
		if there, err := db.eventsAreThere(ctx, b.Rows); there || err != nil {
			return err
		}
		db.logger.Warn("events are missing after their insert, the token may be a dead engine's", "token", under, "rows", len(b.Rows))
	}
	// An engine does not die at the same instant time after time: the table itself removes these rows, by its TTL.
	return nil
}

// insertEvents inserts a block once, under that token.
func (db *DB) insertEvents(ctx context.Context, token string, b schema.EventBlock) error {
	op := fmt.Sprintf("insert %d rows", len(b.Rows))
	if b.Token == "" {
		return refused(op, schema.TableEvents, errNoToken)
	}
	if err := checkEvents(b.Rows); err != nil {
		return refused(op, schema.TableEvents, err)
	}
	return db.insert(ctx, block{
		table: schema.TableEvents, token: token, until: b.Until, rows: len(b.Rows), settings: onePartition, columns: eventColumns(b.Rows),
	})
}

// eventsAreThere reports whether any of some rows of a block are stored: a block lands whole or not at all, but rows of it may
// have been erased since. Engines other than MergeTree are believed: a cluster commits token and block together, and may read
// from a replica that does not have the block yet.
func (db *DB) eventsAreThere(ctx context.Context, rows []schema.StoredEvent) (bool, error) {
	const samples = 5
	params := map[string]any{}
	var conditions []string
	for i := range min(samples, len(rows)) {
		r := rows[i*(len(rows)-1)/max(1, min(samples, len(rows))-1)]
		params[fmt.Sprint("kind", i)] = orDefault(string(r.ActorKind), "unknown")
		params[fmt.Sprint("name", i)], params[fmt.Sprint("actor", i)] = r.Name, r.Actor
		params[fmt.Sprint("time", i)], params[fmt.Sprint("id", i)] = r.Time, r.ID.String()
		conditions = append(conditions, strings.ReplaceAll("(actor_kind = {kind?:String} AND name = {name?:String} AND actor = {actor?:UInt64}"+
			" AND time = {time?:DateTime64(3, 'UTC')} AND id = {id?:UUID})", "?", strconv.Itoa(i)))
	}
	_, there, err := askOne(ctx, db, question{
		op: "look for inserted rows", table: schema.TableEvents, params: params,
		sql: "SELECT 1 FROM events WHERE " + strings.Join(conditions, " OR ") + ` LIMIT 1 UNION ALL
			SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'events' AND engine != 'MergeTree'`,
	}, one[uint8])
	return there, err
}

func checkEvents(rows []schema.StoredEvent) error {
	for i, r := range rows {
		if err := errors.Join(checkTime("time", r.Time), checkTime("received", r.Received)); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
		if a, b := r.Time.UTC(), rows[0].Time.UTC(); a.Month() != b.Month() || a.Year() != b.Year() {
			return fmt.Errorf("row %d is of %s, row 0 of %s: a block must be of one month", i, a.Format("2006-01"), b.Format("2006-01"))
		}
	}
	return nil
}

const (
	kindActor   = "Enum8('unknown' = 0, 'human' = 1, 'machine' = 2)"
	kindOutcome = "Enum8('success' = 0, 'failure' = 1, 'denied' = 2)"
	kindTime    = "DateTime64(3, 'UTC')"
)

// eventColumns turns rows into columns. Strings of low cardinality go as plain ones: the engine makes their dictionaries
// faster than the driver does.
func eventColumns(rows []schema.StoredEvent) []column {
	return []column{
		pick("id", "UUID", rows, func(r *schema.StoredEvent) uuid.UUID { return r.ID }),
		pick("time", kindTime, rows, func(r *schema.StoredEvent) time.Time { return r.Time }),
		pick("received", kindTime, rows, func(r *schema.StoredEvent) time.Time { return r.Received }),
		pick("source", "String", rows, func(r *schema.StoredEvent) string { return r.Source }),
		pick("name", "String", rows, func(r *schema.StoredEvent) string { return r.Name }),
		pick("actor", "UInt64", rows, func(r *schema.StoredEvent) uint64 { return r.Actor }),
		pick("actor_kind", kindActor, rows, func(r *schema.StoredEvent) string { return orDefault(string(r.ActorKind), "unknown") }),
		pick("actor_team", "String", rows, func(r *schema.StoredEvent) string { return r.ActorTeam }),
		pick("team_source", "String", rows, func(r *schema.StoredEvent) string { return r.TeamSource }),
		pick("owner_team", "String", rows, func(r *schema.StoredEvent) string { return r.OwnerTeam }),
		pick("persona", "String", rows, func(r *schema.StoredEvent) string { return r.Persona }),
		pick("cluster", "String", rows, func(r *schema.StoredEvent) string { return r.Cluster }),
		pick("namespace", "String", rows, func(r *schema.StoredEvent) string { return r.Namespace }),
		pick("resource", "String", rows, func(r *schema.StoredEvent) string { return r.Resource }),
		pick("object", "String", rows, func(r *schema.StoredEvent) string { return r.Object }),
		pick("outcome", kindOutcome, rows, func(r *schema.StoredEvent) string { return orDefault(string(r.Outcome), "success") }),
		pick("reason", "String", rows, func(r *schema.StoredEvent) string { return r.Reason }),
		pick("duration_ms", "Nullable(Float64)", rows, func(r *schema.StoredEvent) *float64 { return r.DurationMS }),
		pick("value", "Nullable(Float64)", rows, func(r *schema.StoredEvent) *float64 { return r.Value }),
		pick("clamped", "Bool", rows, func(r *schema.StoredEvent) bool { return r.Clamped }),
		pick("attributes", "Map(String, String)", rows, func(r *schema.StoredEvent) map[string]string { return r.Attributes }),
	}
}

func orDefault(value, instead string) string {
	if value == "" {
		return instead
	}
	return value
}
