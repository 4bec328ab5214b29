package warehouse

import (
	"context"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Open ends of a membership as they are stored, so that plain comparisons work.
var (
	openFrom = minTime
	openTo   = maxTime
)

const tableRosterVersions = "roster_versions"

// PutRoster makes rows the roster, unless digest is that of the newest one already. Readers see the old roster until all of
// the new one is there; older versions stay.
func (db *DB) PutRoster(ctx context.Context, digest string, at time.Time, rows []schema.RosterEntry) (changed bool, err error) {
	type roster struct {
		version uint64
		digest  string
	}
	newest, found, err := askOne(ctx, db, question{op: "read the newest roster's digest", table: tableRosterVersions, sql: `
		SELECT version, digest FROM roster_versions ORDER BY version DESC LIMIT 1`,
	}, func(r *roster) []any { return []any{&r.version, &r.digest} })
	if err != nil || found && newest.digest == digest {
		return false, err
	}
	for i, r := range rows {
		if r.Team == "" {
			return false, refused("store the roster", schema.TableRoster, fmt.Errorf("row %d has no team", i))
		}
	}
	version := max(newest.version+1, db.nextVersion())
	versions := make([]uint64, len(rows))
	for i := range versions {
		versions[i] = version
	}
	err = db.insert(ctx, block{table: schema.TableRoster, rows: len(rows), columns: []column{
		ready("version", "UInt64", versions),
		pick("team", "String", rows, func(r *schema.RosterEntry) string { return r.Team }),
		pick("actor", "UInt64", rows, func(r *schema.RosterEntry) uint64 { return r.Actor }),
		pick("valid_from", kindTime, rows, func(r *schema.RosterEntry) time.Time { return bounded(r.From, openFrom) }),
		pick("valid_to", kindTime, rows, func(r *schema.RosterEntry) time.Time { return bounded(r.To, openTo) }),
		pick("voluntary", "Bool", rows, func(r *schema.RosterEntry) bool { return r.Voluntary }),
		pick("persona", "String", rows, func(r *schema.RosterEntry) string { return r.Persona }),
	}})
	if err != nil {
		return false, err
	}
	err = db.insert(ctx, block{table: tableRosterVersions, rows: 1, columns: []column{
		ready("version", "UInt64", []uint64{version}),
		ready("digest", "String", []string{digest}),
		ready("at", kindTime, []time.Time{at}),
	}})
	return err == nil, err
}

// bounded is t within the times that rows may have, or open when t is zero.
func bounded(t, open time.Time) time.Time {
	switch {
	case t.IsZero():
		return open
	case t.Before(minTime):
		return minTime
	case t.After(maxTime):
		return maxTime
	}
	return t
}

// CurrentRoster returns the newest roster, in order of team, actor and time.
func (db *DB) CurrentRoster(ctx context.Context) ([]schema.RosterEntry, error) {
	rows, err := ask(ctx, db, question{op: "read the roster", table: schema.TableRoster, sql: `
		SELECT toString(team), actor, valid_from, valid_to, voluntary, toString(persona)
		FROM roster_current ORDER BY team, actor, valid_from, valid_to`,
	}, func(r *schema.RosterEntry) []any {
		return []any{&r.Team, &r.Actor, &r.From, &r.To, &r.Voluntary, &r.Persona}
	})
	for i := range rows {
		if rows[i].From.Equal(openFrom) {
			rows[i].From = time.Time{}
		}
		if rows[i].To.Equal(openTo) {
			rows[i].To = time.Time{}
		}
	}
	return rows, err
}
