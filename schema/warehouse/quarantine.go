package warehouse

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// InsertQuarantine keeps records that can never be stored. Inserting one again, with its ID and Time, changes nothing.
func (db *DB) InsertQuarantine(ctx context.Context, rows []schema.Quarantined) error {
	return db.insert(ctx, block{table: schema.TableQuarantine, rows: len(rows), columns: []column{
		pick("id", "UUID", rows, func(r *schema.Quarantined) uuid.UUID { return r.ID }),
		pick("time", kindTime, rows, func(r *schema.Quarantined) time.Time { return r.Time }),
		pick("source", "String", rows, func(r *schema.Quarantined) string { return r.Source }),
		pick("kind", "String", rows, func(r *schema.Quarantined) string { return r.Kind }),
		pick("reason", "String", rows, func(r *schema.Quarantined) string { return r.Reason }),
		pick("payload", "String", rows, func(r *schema.Quarantined) string { return r.Payload }),
		pick("version", "UInt64", rows, func(*schema.Quarantined) uint64 { return 1 }), // state held; decisions come later
	}})
}

// Quarantined returns the newest records that are held, at most limit, the newest first.
func (db *DB) Quarantined(ctx context.Context, limit int) ([]schema.Quarantined, error) {
	return ask(ctx, db, question{
		op: "read the quarantine", table: schema.TableQuarantine, params: map[string]any{"limit": limit}, sql: `
		SELECT id, time, toString(source), toString(kind), reason, payload FROM quarantine FINAL
		WHERE state = 'held' ORDER BY time DESC, id LIMIT {limit:UInt64}`,
	}, func(q *schema.Quarantined) []any {
		return []any{&q.ID, &q.Time, &q.Source, &q.Kind, &q.Reason, &q.Payload}
	})
}
