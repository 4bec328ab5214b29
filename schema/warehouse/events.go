package warehouse

import (
	"context"
	"errors"
	"fmt"
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

// one partition each: a block that is cut is cut the same way in a retry, but only a whole one is acknowledged whole.
var onePartition = clickhouse.Settings{"max_partitions_per_insert_block": 1}

// InsertEvents stores a block of events, all of one month (of Time, in UTC), at most 100,000 or so. The same token with the
// same rows lands once, in events as in first_seen. The token stands for these very rows: other rows under it would be
// dropped as a repetition. Times are cut to milliseconds.
func (db *DB) InsertEvents(ctx context.Context, token string, rows []schema.StoredEvent) error {
	op := fmt.Sprintf("insert %d rows", len(rows))
	if token == "" {
		return refused(op, schema.TableEvents, errNoToken)
	}
	if err := checkEvents(rows); err != nil {
		return refused(op, schema.TableEvents, err)
	}
	return db.insert(ctx, block{
		table: schema.TableEvents, token: token, rows: len(rows), settings: onePartition, columns: eventColumns(rows),
	})
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
