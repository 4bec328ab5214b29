package warehouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/kubevalue/kubevalue/schema"
)

const (
	tableSuppressed = "suppressed"
	tableErasures   = "erasures"
)

// personal is a table that has rows of persons, and what becomes of them when one is erased.
type personal struct {
	table string
	// replace are further columns that lose what they hold, as they stand behind REPLACE.
	replace string
	// known finds a row that an interrupted erasure has copied already; empty: a repeated copy changes nothing.
	known string
}

// keptPersonal are the tables whose rows stay for the counts, under a surrogate that nothing links to the person. Derived tables
// follow events by their views, but reach further back than events do.
var keptPersonal = []personal{
	{table: schema.TableEvents, replace: ", '' AS object, CAST(map(), 'Map(LowCardinality(String), String)') AS attributes",
		known: "id NOT IN (SELECT id FROM events WHERE actor = %d)"},
	{table: schema.TableFirstSeen},
	{table: "activity_days"},
	{table: "activity_months"},
	{table: "activity_kinds"},
	{table: "actor_groups"},
	{table: schema.TableRoster, known: "(version, team, valid_from) NOT IN (SELECT version, team, valid_from FROM roster WHERE actor = %d)"},
}

// linkPersonal are the tables that say who is behind a surrogate: their rows go.
var linkPersonal = []struct{ table, column string }{
	{schema.TableAliases, "actor"}, {schema.TableAliases, "canonical"}, {schema.TableActorKeys, "actor"},
}

// Suppressed returns the keyed hashes of the names that were erased; their Actor is 0.
func (db *DB) Suppressed(ctx context.Context) ([]schema.ActorKey, error) {
	type row struct {
		schema.ActorKey
		hash string
	}
	rows, err := ask(ctx, db, question{op: "read who was erased", table: tableSuppressed, sql: `
		SELECT key_version, hash, min(at) FROM suppressed GROUP BY key_version, hash ORDER BY key_version, hash`,
	}, func(r *row) []any { return []any{&r.Version, &r.hash, &r.Created} })
	var keys []schema.ActorKey
	for _, r := range rows {
		copy(r.Hash[:], r.hash)
		keys = append(keys, r.ActorKey)
	}
	return keys, err
}

// InsertSuppressed notes names as erased by their keyed hashes, Created being when. Noting one again changes nothing.
func (db *DB) InsertSuppressed(ctx context.Context, keys []schema.ActorKey) error {
	return db.insert(ctx, block{table: tableSuppressed, rows: len(keys), columns: []column{
		pick("key_version", "UInt32", keys, func(k *schema.ActorKey) uint32 { return k.Version }),
		pick("hash", "FixedString(32)", keys, func(k *schema.ActorKey) []byte { return k.Hash[:] }),
		pick("at", kindTime, keys, func(k *schema.ActorKey) time.Time { return k.Created }),
	}})
}

// RemoveSuppressed takes keyed hashes off the list of the erased.
func (db *DB) RemoveSuppressed(ctx context.Context, keys []schema.ActorKey) error {
	if len(keys) == 0 {
		return nil
	}
	which := make([]string, len(keys))
	for i, k := range keys {
		which[i] = fmt.Sprintf("key_version = %d AND hex(hash) = '%X'", k.Version, k.Hash)
	}
	return db.deleteRows(ctx, tableSuppressed, "("+strings.Join(which, ") OR (")+")")
}

// Erasures returns the erasures that were begun and are not complete. The earliest replacement of a surrogate counts.
func (db *DB) Erasures(ctx context.Context) ([]schema.Erasure, error) {
	return ask(ctx, db, question{op: "read the erasures under way", table: tableErasures, sql: `
		SELECT actor, argMin(replacement, (at, replacement)), min(at) FROM erasures GROUP BY actor ORDER BY actor`,
	}, func(e *schema.Erasure) []any { return []any{&e.Actor, &e.Replacement, &e.At} })
}

// InsertErasures notes that erasures begin, so that an interrupted one can go on with the same surrogates.
func (db *DB) InsertErasures(ctx context.Context, rows []schema.Erasure) error {
	return db.insert(ctx, block{table: tableErasures, rows: len(rows), columns: []column{
		pick("actor", "UInt64", rows, func(e *schema.Erasure) uint64 { return e.Actor }),
		pick("replacement", "UInt64", rows, func(e *schema.Erasure) uint64 { return e.Replacement }),
		pick("at", kindTime, rows, func(e *schema.Erasure) time.Time { return e.At }),
	}})
}

// ActorRows counts the rows of some surrogates in every table that has rows of persons.
func (db *DB) ActorRows(ctx context.Context, actors []uint64) ([]schema.PlaceCount, error) {
	if len(actors) == 0 {
		return nil, nil
	}
	var parts []string
	for _, table := range actorTables() {
		parts = append(parts, fmt.Sprintf("SELECT '%s' AS place, count() AS n FROM %s WHERE %s", table, table, actorsAre(table, actors)))
	}
	return ask(ctx, db, question{op: "count a person's rows", sql: strings.Join(parts, " UNION ALL ") + " ORDER BY place"},
		func(c *schema.PlaceCount) []any { return []any{&c.Place, &c.Rows} })
}

// ExportActor calls each with every row that some surrogates have, as a JSON object, table by table.
func (db *DB) ExportActor(ctx context.Context, actors []uint64, each func(table string, row []byte) error) error {
	if len(actors) == 0 {
		return nil
	}
	settings := clickhouse.Settings{"output_format_json_quote_64bit_integers": 1, "date_time_output_format": "iso", "max_execution_time": 0}
	for _, table := range actorTables() {
		op, columns := "export a person's rows", "*"
		if table == schema.TableActorKeys {
			columns = "* REPLACE (lower(hex(hash)) AS hash)" // its bytes are no text
		}
		rows, err := db.conn.Query(with(ctx, settings), fmt.Sprintf("SELECT formatRowNoNewline('JSONEachRow', %s) FROM %s WHERE %s", columns, table, actorsAre(table, actors)))
		if err != nil {
			return failed(op, table, err)
		}
		for err == nil && rows.Next() {
			var row string
			if err = rows.Scan(&row); err == nil {
				err = each(table, []byte(row))
			}
		}
		if err == nil {
			err = rows.Err()
		}
		_ = rows.Close()
		if err != nil {
			return failed(op, table, err)
		}
	}
	return nil
}

// EraseActors puts the replacement of each erasure into the place of its actor wherever rows stay for the counts, takes from them
// what could tell the person, and removes what links a name to the surrogates. It can be repeated after any failure: what was done
// stays done, and the erasures are forgotten last. Nobody may store events meanwhile that name the actors. The rows are gone from
// the disk when the server removes outdated parts, after some minutes.
func (db *DB) EraseActors(ctx context.Context, erasures []schema.Erasure) error {
	if len(erasures) == 0 {
		return nil
	}
	byReplacement := map[uint64][]uint64{}
	var actors []uint64
	for _, e := range erasures {
		byReplacement[e.Replacement] = append(byReplacement[e.Replacement], e.Actor)
		actors = append(actors, e.Actor)
	}
	for _, p := range keptPersonal {
		for replacement, of := range byReplacement {
			if err := db.copyRows(ctx, p, replacement, of); err != nil {
				return err
			}
		}
		if err := db.deleteRows(ctx, p.table, "actor IN ("+numbers(actors)+")"); err != nil {
			return err
		}
	}
	for _, l := range linkPersonal {
		if err := db.deleteRows(ctx, l.table, l.column+" IN ("+numbers(actors)+")"); err != nil {
			return err
		}
	}
	return db.deleteRows(ctx, tableErasures, "actor IN ("+numbers(actors)+")")
}

// copyRows writes the rows of some actors again under another surrogate, since a column of the sorting key cannot be updated.
func (db *DB) copyRows(ctx context.Context, p personal, replacement uint64, of []uint64) error {
	where := "t.actor IN (" + numbers(of) + ")" // actor alone would be the replacement
	if p.known != "" {
		where += " AND " + fmt.Sprintf(p.known, replacement)
	}
	sql := fmt.Sprintf("INSERT INTO %s SELECT * REPLACE (toUInt64(%d) AS actor%s) FROM %s AS t WHERE %s", p.table, replacement, p.replace, p.table, where)
	settings := clickhouse.Settings{"max_execution_time": 0, "max_partitions_per_insert_block": 0, "insert_deduplicate": 0}
	return failed("rewrite the rows of an erased person", p.table, db.conn.Exec(with(ctx, settings), sql))
}

// mutationPoll is how often a mutation under way is asked about.
const mutationPoll = 20 * time.Millisecond

// deleteRows removes rows and waits until the parts without them are there, for as long as it takes.
func (db *DB) deleteRows(ctx context.Context, table, where string) error {
	op := "remove rows"
	if err := db.conn.Exec(with(ctx, clickhouse.Settings{"mutations_sync": 0}), "ALTER TABLE "+table+" DELETE WHERE "+where); err != nil {
		return failed(op, table, err)
	}
	type state struct {
		left uint64
		why  string
	}
	poll := time.NewTicker(mutationPoll)
	defer poll.Stop()
	for {
		s, _, err := askOne(ctx, db, question{op: op, table: table, params: map[string]any{"table": table}, sql: `
			SELECT count(), max(latest_fail_reason) FROM system.mutations WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done`,
		}, func(s *state) []any { return []any{&s.left, &s.why} })
		switch {
		case err != nil:
			return err
		case s.left == 0:
			return nil
		case s.why != "":
			return failed(op, table, fmt.Errorf("the server says: %s", s.why))
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return failed(op, table, ctx.Err())
		}
	}
}

func actorTables() []string {
	var all []string
	for _, p := range keptPersonal {
		all = append(all, p.table)
	}
	return append(all, schema.TableActorKeys, schema.TableAliases)
}

func actorsAre(table string, actors []uint64) string {
	list := numbers(actors)
	if table == schema.TableAliases {
		return "actor IN (" + list + ") OR canonical IN (" + list + ")"
	}
	return "actor IN (" + list + ")"
}

func numbers(list []uint64) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(texts, ", ")
}

// KeyUse says how many actors are known under each version of the identity key, and how many of those under no newer one: who of them
// comes back once the key is gone is taken for somebody new.
func (db *DB) KeyUse(ctx context.Context) ([]schema.KeyUse, error) {
	return ask(ctx, db, question{op: "count the actors of each key", table: schema.TableActorKeys, sql: `
		SELECT key_version, uniqExact(actor), uniqExactIf(actor, key_version = newest) FROM (
			SELECT key_version, actor, max(key_version) OVER (PARTITION BY actor) AS newest FROM actor_keys
		) GROUP BY key_version ORDER BY key_version DESC`,
	}, func(u *schema.KeyUse) []any { return []any{&u.Version, &u.Actors, &u.Only} })
}

// ForgetKey removes all links that a version of the identity key has made.
func (db *DB) ForgetKey(ctx context.Context, version uint32) error {
	for _, table := range []string{schema.TableActorKeys, tableSuppressed} {
		if err := db.deleteRows(ctx, table, fmt.Sprintf("key_version = %d", version)); err != nil {
			return err
		}
	}
	return nil
}

// Recipients returns everybody to whom a report was ever delivered, in order.
func (db *DB) Recipients(ctx context.Context) ([]string, error) {
	return ask(ctx, db, question{op: "read who got reports", table: schema.TableDeliveries, sql: "SELECT DISTINCT recipient FROM deliveries ORDER BY recipient"}, one[string])
}

// RemoveRecipient forgets which reports a recipient got.
func (db *DB) RemoveRecipient(ctx context.Context, recipient string) error {
	return db.deleteRows(ctx, schema.TableDeliveries, fmt.Sprintf("hex(recipient) = '%X'", recipient))
}
