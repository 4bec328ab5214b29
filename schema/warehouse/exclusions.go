package warehouse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

const tableExclusions = "exclusions"

// InsertExclusion appends a version of an exclusion. Of several rows of one version the first recorded counts, whoever wrote the others:
// a writer that has to know reads Exclusions again and looks for its entry.
func (db *DB) InsertExclusion(ctx context.Context, e schema.Exclusion) error {
	const op = "record an exclusion"
	err := errors.Join(checkOptional("from", e.From), checkOptional("to", e.To), checkTime("recorded", e.Recorded))
	if e.ID == "" || e.Version == 0 || e.Entry == "" {
		err = errors.Join(err, fmt.Errorf("version %d of %q: want an id, a version from 1 and an entry", e.Version, e.ID))
	}
	weekly := ""
	if e.Weekly != nil {
		text, wrong := json.Marshal(e.Weekly)
		weekly, err = string(text), errors.Join(err, wrong)
	}
	if err != nil {
		return refused(op, tableExclusions, err)
	}
	return db.insert(ctx, block{table: tableExclusions, token: e.Entry, rows: 1, columns: []column{
		ready("id", "String", []string{e.ID}),
		ready("version", "UInt32", []uint32{e.Version}),
		ready("objectives", "Array(String)", [][]string{e.Objectives}),
		ready("valid_from", kindOptionalTime, []*time.Time{optional(e.From)}),
		ready("valid_to", kindOptionalTime, []*time.Time{optional(e.To)}),
		ready("weekly", "String", []string{weekly}),
		ready("reason", "String", []string{e.Reason}),
		ready("author", "String", []string{e.Author}),
		ready("change", "String", []string{string(e.Change)}),
		ready("changed_by", "String", []string{e.ChangedBy}),
		ready("change_reason", "String", []string{e.ChangeReason}),
		ready("recorded", kindTime, []time.Time{e.Recorded}),
		ready("entry", "String", []string{e.Entry}),
	}})
}

// Exclusions returns all versions of all exclusions, in order of ID and version.
func (db *DB) Exclusions(ctx context.Context) ([]schema.Exclusion, error) {
	type row struct {
		schema.Exclusion
		from, to *time.Time
		weekly   string
	}
	q := question{
		op: "read exclusions", table: tableExclusions,
		sql: `SELECT id, version, objectives, valid_from, valid_to, weekly, reason, author, toString(change), changed_by, change_reason, recorded, entry
			FROM exclusions`, // few, and asked for every minute: the engine would take longer to plan an order than this takes to make it
	}
	rows, err := ask(ctx, db, q, func(r *row) []any {
		return []any{&r.ID, &r.Version, &r.Objectives, &r.from, &r.to, &r.weekly, &r.Reason, &r.Author, (*string)(&r.Change), &r.ChangedBy, &r.ChangeReason,
			&r.Recorded, &r.Entry}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Version, b.Version), a.Recorded.Compare(b.Recorded), cmp.Compare(a.Entry, b.Entry))
	})
	rows = slices.CompactFunc(rows, func(a, b row) bool { return a.ID == b.ID && a.Version == b.Version })
	all := make([]schema.Exclusion, len(rows))
	for i, r := range rows {
		e := &all[i]
		*e = r.Exclusion
		if r.from != nil {
			e.From = *r.from
		}
		if r.to != nil {
			e.To = *r.to
		}
		if r.weekly == "" {
			continue
		}
		e.Weekly = &schema.WeeklySpan{}
		if err := json.Unmarshal([]byte(r.weekly), e.Weekly); err != nil {
			return nil, failed(q.op, q.table, fmt.Errorf("the hours of exclusion %s are not what was written: %w", e.ID, err))
		}
	}
	return all, nil
}
