package warehouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

const tableIncidents = "incidents"

// InsertIncidents stores incidents with their follow-ups. Of several versions of an incident the highest replaces the others
// whole, so storing one again changes nothing; the token only spares a cluster's replicas the work.
func (db *DB) InsertIncidents(ctx context.Context, token string, rows []schema.Incident) error {
	op := fmt.Sprintf("insert %d rows", len(rows))
	if token == "" {
		return refused(op, tableIncidents, errNoToken)
	}
	followups := make([]string, len(rows))
	for i, r := range rows {
		text, err := json.Marshal(r.Followups)
		if err = errors.Join(err, checkTime("start", r.Start), checkOptional("detected", r.Detected), checkOptional("resolved", r.Resolved)); err != nil {
			return refused(op, tableIncidents, fmt.Errorf("row %d (incident %s): %w", i, r.ID, err))
		}
		followups[i] = string(text)
	}
	return db.insert(ctx, block{table: tableIncidents, token: token, rows: len(rows), columns: []column{
		pick("id", "String", rows, func(r *schema.Incident) string { return r.ID }),
		pick("service", "String", rows, func(r *schema.Incident) string { return r.Service }),
		pick("objectives", "Array(String)", rows, func(r *schema.Incident) []string { return r.Objectives }),
		pick("title", "String", rows, func(r *schema.Incident) string { return r.Title }),
		pick("class", "String", rows, func(r *schema.Incident) string { return r.Class }),
		pick("cause", "String", rows, func(r *schema.Incident) string { return r.Cause }),
		pick("origin", "Enum8('unknown' = 0, 'own' = 1, 'upstream' = 2)", rows, func(r *schema.Incident) string {
			return orDefault(string(r.Origin), string(schema.OriginUnknown))
		}),
		pick("start", kindTime, rows, func(r *schema.Incident) time.Time { return r.Start }),
		pick("detected", kindOptionalTime, rows, func(r *schema.Incident) *time.Time { return optional(r.Detected) }),
		pick("resolved", kindOptionalTime, rows, func(r *schema.Incident) *time.Time { return optional(r.Resolved) }),
		pick("links", "Array(String)", rows, func(r *schema.Incident) []string { return r.Links }),
		ready("followups", "String", followups),
		pick("details", "String", rows, func(r *schema.Incident) string { return string(r.Details) }),
		pick("version", "UInt64", rows, func(r *schema.Incident) uint64 { return r.Version }),
	}})
}

const kindOptionalTime = "Nullable(DateTime64(3, 'UTC'))"

func checkOptional(what string, t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return checkTime(what, t)
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Incidents returns the newest version of each incident that shares an instant with [from, to), in order of start and ID. One
// that is not resolved lasts.
func (db *DB) Incidents(ctx context.Context, from, to time.Time) ([]schema.Incident, error) {
	type row struct {
		schema.Incident
		detected, resolved *time.Time
		followups, details string
	}
	q := question{
		op: "read incidents", table: tableIncidents, params: map[string]any{"from": from, "to": to}, sql: `
		SELECT id, toString(service), objectives, title, toString(class), cause, toString(origin), start, detected, resolved, links, followups, details, version
		FROM incidents FINAL
		WHERE start < {to:DateTime64(3, 'UTC')} AND (start >= {from:DateTime64(3, 'UTC')} OR ifNull(resolved > {from:DateTime64(3, 'UTC')}, true))
		ORDER BY start, id`,
	}
	rows, err := ask(ctx, db, q, func(r *row) []any {
		return []any{&r.ID, &r.Service, &r.Objectives, &r.Title, &r.Class, &r.Cause, (*string)(&r.Origin), &r.Start,
			&r.detected, &r.resolved, &r.Links, &r.followups, &r.details, &r.Version}
	})
	if err != nil {
		return nil, err
	}
	var all []schema.Incident
	for _, r := range rows {
		if err := json.Unmarshal([]byte(r.followups), &r.Followups); err != nil {
			return nil, failed(q.op, q.table, fmt.Errorf("the follow-ups of incident %s are not what was written: %w", r.ID, err))
		}
		if r.details != "" {
			r.Details = json.RawMessage(r.details)
		}
		if r.detected != nil {
			r.Detected = *r.detected
		}
		if r.resolved != nil {
			r.Resolved = *r.resolved
		}
		if len(r.Objectives) == 0 {
			r.Objectives = nil
		}
		if len(r.Links) == 0 {
			r.Links = nil
		}
		all = append(all, r.Incident)
	}
	return all, nil
}
