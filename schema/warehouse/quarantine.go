package warehouse

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// InsertQuarantine keeps records that can never be stored. Inserting one again, with its ID and Time, changes nothing.
func (db *DB) InsertQuarantine(ctx context.Context, rows []schema.Quarantined) error {
	columns := append(quarantineColumns(rows), pick("version", "UInt64", rows, func(*schema.Quarantined) uint64 { return 1 })) // decisions come later
	return db.insert(ctx, block{table: schema.TableQuarantine, rows: len(rows), columns: columns})
}

func quarantineColumns(rows []schema.Quarantined) []column {
	return []column{
		pick("id", "UUID", rows, func(r *schema.Quarantined) uuid.UUID { return r.ID }),
		pick("time", kindTime, rows, func(r *schema.Quarantined) time.Time { return r.Time }),
		pick("source", "String", rows, func(r *schema.Quarantined) string { return r.Source }),
		pick("kind", "String", rows, func(r *schema.Quarantined) string { return r.Kind }),
		pick("reason", "String", rows, func(r *schema.Quarantined) string { return r.Reason }),
		pick("payload", "String", rows, func(r *schema.Quarantined) string { return r.Payload }),
	}
}

// Quarantined returns quarantined records, the newest first.
func (db *DB) Quarantined(ctx context.Context, q schema.QuarantineQuery) ([]schema.Quarantined, error) {
	return ask(ctx, db, question{
		op: "read the quarantine", table: schema.TableQuarantine, sql: `
		SELECT id, time, toString(source), toString(kind), reason, payload, toString(state) FROM quarantine FINAL
		WHERE ({state:String} = '' OR state = {state:String}) AND ({kind:String} = '' OR kind = {kind:String})
			AND ({source:String} = '' OR source = {source:String}) AND (time, id) < ({before:DateTime64(3, 'UTC')}, {id:UUID})
		ORDER BY time DESC, id DESC LIMIT {limit:UInt64}`,
		params: map[string]any{
			"state": string(q.State), "kind": q.Kind, "source": q.Source, "limit": q.Limit, "before": bounded(q.Before, maxTime), "id": q.BeforeID.String(),
		},
	}, quarantineFields)
}

func quarantineFields(q *schema.Quarantined) []any {
	return []any{&q.ID, &q.Time, &q.Source, &q.Kind, &q.Reason, &q.Payload, (*string)(&q.State)}
}

// QuarantinedByID returns the quarantined records whose ids begin with a text, at most limit.
func (db *DB) QuarantinedByID(ctx context.Context, prefix string, limit int) ([]schema.Quarantined, error) {
	return ask(ctx, db, question{
		op: "find in the quarantine", table: schema.TableQuarantine, params: map[string]any{"prefix": prefix, "limit": limit}, sql: `
		SELECT id, time, toString(source), toString(kind), reason, payload, toString(state) FROM quarantine FINAL
		WHERE startsWith(toString(id), lower({prefix:String})) ORDER BY time, id LIMIT {limit:UInt64}`,
	}, quarantineFields)
}

// QuarantineCounts returns how many records are held, by kind, source and reason, the most frequent first.
func (db *DB) QuarantineCounts(ctx context.Context) ([]schema.QuarantineCount, error) {
	return ask(ctx, db, question{op: "count the quarantine", table: schema.TableQuarantine, sql: `
		SELECT toString(kind), toString(source), reason, count() AS n, min(time), max(time) FROM quarantine FINAL
		WHERE state = 'held' GROUP BY kind, source, reason ORDER BY n DESC, kind, source, reason LIMIT 1000`,
	}, func(c *schema.QuarantineCount) []any {
		return []any{&c.Kind, &c.Source, &c.Reason, &c.Records, &c.First, &c.Last}
	})
}

// DecideQuarantine notes what was decided about records. The last decision about a record counts.
func (db *DB) DecideQuarantine(ctx context.Context, rows []schema.Quarantined, state schema.QuarantineState) error {
	version := db.nextVersion()
	columns := append(quarantineColumns(rows),
		pick("version", "UInt64", rows, func(*schema.Quarantined) uint64 { return version }),
		pick("state", "Enum8('held' = 0, 'retried' = 1, 'dropped' = 2)", rows, func(*schema.Quarantined) string { return string(state) }))
	return db.insert(ctx, block{table: schema.TableQuarantine, rows: len(rows), columns: columns})
}

// RemoveQuarantined takes records out of the quarantine for good, whatever was decided about them.
func (db *DB) RemoveQuarantined(ctx context.Context, ids []uuid.UUID) error {
	const most = 1000
	for some := range slices.Chunk(ids, most) {
		texts := make([]string, len(some))
		for i, id := range some {
			texts[i] = "'" + id.String() + "'"
		}
		if err := db.deleteRows(ctx, schema.TableQuarantine, "id IN ("+strings.Join(texts, ", ")+")"); err != nil {
			return err
		}
	}
	return nil
}
