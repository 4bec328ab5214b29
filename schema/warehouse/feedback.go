package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// InsertFeedback stores feedback. Of several versions of a record the highest counts, so storing one again changes nothing.
func (db *DB) InsertFeedback(ctx context.Context, token string, rows []schema.Feedback) error {
	op := fmt.Sprintf("insert %d rows", len(rows))
	if token == "" {
		return refused(op, schema.TableFeedback, errNoToken)
	}
	for i := range rows {
		r := &rows[i]
		if err := errors.Join(r.Validate(), checkTime("time", r.Time), checkOptional("until", r.Until)); err != nil {
			return refused(op, schema.TableFeedback, fmt.Errorf("row %d (%s %s): %w", i, r.Kind, r.ID, err))
		}
	}
	return db.insert(ctx, block{table: schema.TableFeedback, token: token, rows: len(rows), columns: []column{
		pick("kind", "String", rows, func(r *schema.Feedback) string { return string(r.Kind) }),
		pick("id", "String", rows, func(r *schema.Feedback) string { return r.ID }),
		pick("time", kindTime, rows, func(r *schema.Feedback) time.Time { return r.Time }),
		pick("until", kindOptionalTime, rows, func(r *schema.Feedback) *time.Time { return optional(r.Until) }),
		pick("team", "String", rows, func(r *schema.Feedback) string { return r.Team }),
		pick("persona", "String", rows, func(r *schema.Feedback) string { return r.Persona }),
		pick("survey", "String", rows, func(r *schema.Feedback) string { return r.Survey }),
		pick("question", "String", rows, func(r *schema.Feedback) string { return r.Question }),
		pick("asked", "String", rows, func(r *schema.Feedback) string { return r.Asked }),
		pick("topic", "String", rows, func(r *schema.Feedback) string { return r.Topic }),
		pick("object", "String", rows, func(r *schema.Feedback) string { return r.Object }),
		pick("state", "String", rows, func(r *schema.Feedback) string { return r.State }),
		pick("value", "Nullable(Float64)", rows, func(r *schema.Feedback) *float64 { return r.Value }),
		pick("text", "String", rows, func(r *schema.Feedback) string { return r.Text }),
		pick("extra", "String", rows, func(r *schema.Feedback) string { return r.Extra }),
		pick("version", "UInt64", rows, func(r *schema.Feedback) uint64 { return r.Version }),
	}})
}

// Feedback returns the records of a kind that count, in order of time and ID; those of one ID when that is given.
func (db *DB) Feedback(ctx context.Context, kind schema.FeedbackKind, id string) ([]schema.Feedback, error) {
	type row struct {
		schema.Feedback
		until *time.Time
	}
	rows, err := ask(ctx, db, question{
		op: "read feedback", table: schema.TableFeedback, params: map[string]any{"kind": string(kind), "id": id},
		sql: `SELECT toString(kind), id, time, until, toString(team), toString(persona), toString(survey), toString(question), toString(asked), toString(topic),
			object, toString(state), value, text, extra, version
			FROM feedback FINAL WHERE kind = {kind:String} AND ({id:String} = '' OR id = {id:String}) ORDER BY time, id`,
	}, func(r *row) []any {
		return []any{
			(*string)(&r.Kind), &r.ID, &r.Time, &r.until, &r.Team, &r.Persona, &r.Survey, &r.Question, &r.Asked, &r.Topic, &r.Object, &r.State,
			&r.Value, &r.Text, &r.Extra, &r.Version,
		}
	})
	all := make([]schema.Feedback, len(rows))
	for i, r := range rows {
		all[i] = r.Feedback
		all[i].Until = deref(r.until)
	}
	return all, err
}
