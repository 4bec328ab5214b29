package warehouse

import (
	"context"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// ActorKeys returns all links from keyed hashes to surrogates. Where replicas raced, the earliest row of a (version, hash)
// wins, and of several in one millisecond the smallest surrogate.
func (db *DB) ActorKeys(ctx context.Context) ([]schema.ActorKey, error) {
	type row struct {
		schema.ActorKey
		hash string
	}
	rows, err := ask(ctx, db, question{op: "read the actors' keys", table: schema.TableActorKeys, sql: `
		SELECT key_version, hash, argMin(actor, (created, actor)), min(created)
		FROM actor_keys GROUP BY key_version, hash ORDER BY key_version, hash`,
	}, func(r *row) []any { return []any{&r.Version, &r.hash, &r.Actor, &r.Created} })
	var keys []schema.ActorKey
	for _, r := range rows {
		copy(r.Hash[:], r.hash)
		keys = append(keys, r.ActorKey)
	}
	return keys, err
}

// InsertActorKeys adds links. Adding one again changes nothing.
func (db *DB) InsertActorKeys(ctx context.Context, keys []schema.ActorKey) error {
	return db.insert(ctx, block{table: schema.TableActorKeys, rows: len(keys), columns: []column{
		pick("key_version", "UInt32", keys, func(k *schema.ActorKey) uint32 { return k.Version }),
		pick("hash", "FixedString(32)", keys, func(k *schema.ActorKey) []byte { return k.Hash[:] }),
		pick("actor", "UInt64", keys, func(k *schema.ActorKey) uint64 { return k.Actor }),
		pick("created", kindTime, keys, func(k *schema.ActorKey) time.Time { return k.Created }),
	}})
}

// Aliases returns the newest alias of each actor that has one, in order of actors. Canonical == Actor is a merge undone.
func (db *DB) Aliases(ctx context.Context) ([]schema.StoredAlias, error) {
	return ask(ctx, db, question{op: "read the actors' aliases", table: schema.TableAliases, sql: `
		SELECT actor, canonical, at FROM actor_aliases FINAL ORDER BY actor`,
	}, func(a *schema.StoredAlias) []any { return []any{&a.Actor, &a.Canonical, &a.At} })
}

// InsertAliases adds aliases. Of an actor's aliases the one with the latest At wins, whatever the order in which they come;
// adding one again changes nothing.
func (db *DB) InsertAliases(ctx context.Context, rows []schema.StoredAlias) error {
	return db.insert(ctx, block{table: schema.TableAliases, rows: len(rows), columns: []column{
		pick("actor", "UInt64", rows, func(a *schema.StoredAlias) uint64 { return a.Actor }),
		pick("canonical", "UInt64", rows, func(a *schema.StoredAlias) uint64 { return a.Canonical }),
		pick("at", kindTime, rows, func(a *schema.StoredAlias) time.Time { return a.At }),
		pick("version", "UInt64", rows, func(a *schema.StoredAlias) uint64 { return uint64(a.At.UnixNano()) }),
	}})
}
