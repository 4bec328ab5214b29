package warehouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

const (
	tablePublished  = "published"
	tableObjectives = "objectives"
)

// InsertPublished appends figures of closed periods. Of two rows of one revision the first one counts, whoever wrote the second.
func (db *DB) InsertPublished(ctx context.Context, token string, rows []schema.Published) error {
	op := fmt.Sprintf("insert %d rows", len(rows))
	if token == "" {
		return refused(op, tablePublished, errNoToken)
	}
	for i, r := range rows {
		if r.Revision == 0 || r.Subject == "" || !r.Period.From.Before(r.Period.To) {
			return refused(op, tablePublished, fmt.Errorf("row %d: revision %d of %q, period %s: want a revision from 1, a subject and a period", i, r.Revision, r.Subject, r.Period.Label))
		}
	}
	return db.insert(ctx, block{table: tablePublished, token: token, rows: len(rows), columns: []column{
		pick("kind", "String", rows, func(r *schema.Published) string { return r.Kind }),
		pick("subject", "String", rows, func(r *schema.Published) string { return r.Subject }),
		pick("dimensions", "String", rows, func(r *schema.Published) string { return r.Dimensions }),
		pick("grain", "String", rows, func(r *schema.Published) string { return r.Period.Grain }),
		pick("period_from", kindTime, rows, func(r *schema.Published) time.Time { return r.Period.From }),
		pick("period_to", kindTime, rows, func(r *schema.Published) time.Time { return r.Period.To }),
		pick("label", "String", rows, func(r *schema.Published) string { return r.Period.Label }),
		pick("zone", "String", rows, func(r *schema.Published) string { return r.Period.Zone }),
		pick("revision", "UInt32", rows, func(r *schema.Published) uint32 { return r.Revision }),
		pick("reason", "String", rows, func(r *schema.Published) string { return r.Reason }),
		pick("version", "String", rows, func(r *schema.Published) string { return r.Version }),
		pick("inputs", "Map(String, String)", rows, func(r *schema.Published) map[string]string {
			if r.Inputs == nil {
				return map[string]string{}
			}
			return r.Inputs
		}),
		pick("value", "String", rows, func(r *schema.Published) string { return string(r.Value) }),
		pick("computed_at", kindTime, rows, func(r *schema.Published) time.Time { return r.ComputedAt }),
	}})
}

// Published returns all revisions of a kind's figures of one period, in order of subject, dimensions and revision.
func (db *DB) Published(ctx context.Context, kind string, p schema.PublishedPeriod) ([]schema.Published, error) {
	return db.published(ctx, "period_from = {from:DateTime64(3, 'UTC')} AND period_to = {to:DateTime64(3, 'UTC')}",
		map[string]any{"kind": kind, "grain": p.Grain, "from": p.From, "to": p.To})
}

// PublishedOf returns all revisions of the figures that a query selects, in order of subject, dimensions, period and revision.
func (db *DB) PublishedOf(ctx context.Context, q schema.PublishedQuery) ([]schema.Published, error) {
	where := "period_from >= {from:DateTime64(3, 'UTC')} AND period_from < {to:DateTime64(3, 'UTC')}"
	params := map[string]any{"kind": q.Kind, "grain": q.Grain, "from": q.From, "to": q.To}
	if q.Subject != "" {
		where += " AND subject = {subject:String}"
		params["subject"] = q.Subject
	}
	return db.published(ctx, where, params)
}

func (db *DB) published(ctx context.Context, where string, params map[string]any) ([]schema.Published, error) {
	type row struct {
		schema.Published
		value string
	}
	rows, err := ask(ctx, db, question{
		op: "read published figures", table: tablePublished, params: params,
		sql: `SELECT toString(kind), subject, dimensions, toString(grain), period_from, period_to, toString(label), toString(zone), revision, reason, version, inputs, value, computed_at
			FROM published
			WHERE kind = {kind:String} AND grain = {grain:String} AND ` + where + `
			ORDER BY subject, dimensions, period_from, period_to, revision, computed_at LIMIT 1 BY subject, dimensions, period_from, period_to, revision`,
	}, func(r *row) []any {
		return []any{&r.Kind, &r.Subject, &r.Dimensions, &r.Period.Grain, &r.Period.From, &r.Period.To, &r.Period.Label, &r.Period.Zone, &r.Revision, &r.Reason,
			&r.Version, &r.Inputs, &r.value, &r.ComputedAt}
	})
	all := make([]schema.Published, len(rows))
	for i, r := range rows {
		all[i] = r.Published
		all[i].Value = []byte(r.value)
	}
	return all, err
}

// InsertObjectives records versions of definitions; of several with one name and time the last recorded counts.
func (db *DB) InsertObjectives(ctx context.Context, rows []schema.ObjectiveVersion) error {
	return db.insert(ctx, block{table: tableObjectives, rows: len(rows), columns: []column{
		pick("name", "String", rows, func(r *schema.ObjectiveVersion) string { return r.Name }),
		pick("valid_from", kindTime, rows, func(r *schema.ObjectiveVersion) time.Time { return r.From }),
		pick("version", "String", rows, func(r *schema.ObjectiveVersion) string { return r.Version }),
		pick("definition", "String", rows, func(r *schema.ObjectiveVersion) string { return string(r.Definition) }),
		pick("reason", "String", rows, func(r *schema.ObjectiveVersion) string { return r.Reason }),
		pick("recorded", kindTime, rows, func(r *schema.ObjectiveVersion) time.Time { return r.Recorded }),
	}})
}

// Objectives returns all versions of all definitions, in order of name and time.
func (db *DB) Objectives(ctx context.Context) ([]schema.ObjectiveVersion, error) {
	type row struct {
		schema.ObjectiveVersion
		definition string
	}
	rows, err := ask(ctx, db, question{
		op: "read the definitions of objectives", table: tableObjectives,
		sql: "SELECT toString(name), valid_from, version, definition, reason, recorded FROM objectives FINAL ORDER BY name, valid_from",
	}, func(r *row) []any { return []any{&r.Name, &r.From, &r.Version, &r.definition, &r.Reason, &r.Recorded} })
	all := make([]schema.ObjectiveVersion, len(rows))
	for i, r := range rows {
		all[i] = r.ObjectiveVersion
		all[i].Definition = []byte(r.definition)
	}
	return all, err
}

// SliceVersions returns for each series a text that changes with every slice that is stored or corrected in the hours of its period;
// empty: there is none.
func (db *DB) SliceVersions(ctx context.Context, qs []schema.SliceQuery) ([]string, error) {
	out := make([]string, len(qs))
	keys := make([]seriesKey, len(qs))
	periods := map[[2]int64][]int{}
	for i, q := range qs {
		keys[i] = seriesKey{q.Indicator, q.Revision, q.Group}
		p := [2]int64{q.From.Unix(), wholeSecond(q.To).Unix()}
		periods[p] = append(periods[p], i)
	}
	ids, err := db.seriesIDs(ctx, keys)
	if err != nil {
		return nil, err
	}
	type row struct {
		series  uint64
		slices  uint64
		version string
	}
	for p, of := range periods {
		asked := map[uint64][]int{}
		for _, i := range of {
			asked[ids[i]] = append(asked[ids[i]], i)
		}
		rows, err := ask(ctx, db, question{
			op: "compare the slices of a period", table: "sli_hours", settings: newestSlices,
			params: map[string]any{"series": slices.Sorted(maps.Keys(asked)), "from": time.Unix(p[0], 0), "to": time.Unix(p[1], 0)},
			sql: `SELECT series, toUInt64(sum(measured)), toString(sum(version)) FROM sli_hours FINAL
				WHERE hour >= toStartOfHour({from:DateTime('UTC')}) AND hour < {to:DateTime('UTC')} AND series IN {series:Array(UInt64)} GROUP BY series`,
		}, func(r *row) []any { return []any{&r.series, &r.slices, &r.version} })
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			for _, i := range asked[r.series] {
				out[i] = strconv.FormatUint(r.slices, 10) + "/" + r.version
			}
		}
	}
	return out, nil
}
