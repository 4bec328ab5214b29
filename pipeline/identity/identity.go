package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Store keeps the links between hashes and surrogates, and who was erased.
type Store interface {
	ActorKeys(ctx context.Context) ([]schema.ActorKey, error)
	InsertActorKeys(ctx context.Context, keys []schema.ActorKey) error
	Aliases(ctx context.Context) ([]schema.StoredAlias, error)
	InsertAliases(ctx context.Context, rows []schema.StoredAlias) error
	Suppressed(ctx context.Context) ([]schema.ActorKey, error)
	InsertSuppressed(ctx context.Context, keys []schema.ActorKey) error
}

// Config is what a Resolver is made of.
type Config struct {
	Rules Rules
	// Keys are the secrets, the one in force first; there is at least one.
	Keys  []Key
	Store Store
	Now   func() time.Time
}

// Resolver turns names into surrogates. It is safe for concurrent use.
type Resolver struct {
	cfg Config

	mu     sync.Mutex
	loaded bool
	actors map[link]uint64
	// drafts are surrogates that may or may not have reached the store: another try must not make others.
	drafts map[link]uint64
	// merged maps an actor to the one that it is part of.
	merged map[uint64]schema.StoredAlias
	// suppressed are the names that were erased.
	suppressed map[link]bool
	// trusted says that they are as they were read last.
	trusted bool
}

// link is a hash under the version of the key that made it.
type link struct {
	version uint32
	hash    [32]byte
}

// New makes a Resolver; it reads the store when it is first needed, so that a service starts while its warehouse is away.
func New(cfg Config) (*Resolver, error) {
	if len(cfg.Keys) == 0 || cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("identity: keys, a store and a clock are required")
	}
	return &Resolver{cfg: cfg, actors: map[link]uint64{}, drafts: map[link]uint64{}, merged: map[uint64]schema.StoredAlias{}}, nil
}

// Kind says whether a person or a machine is behind a raw name.
func (r *Resolver) Kind(raw string, groups []string, said schema.ActorKind) schema.ActorKind {
	return r.cfg.Rules.Kind(r.cfg.Rules.Name(raw), groups, said)
}

// Team is the team that stands behind the groups of a person; empty: none, or several.
func (r *Resolver) Team(groups []string) string { return r.cfg.Rules.Team(groups) }

// Resolve returns the surrogate of each raw name, 0 for empty ones and for those of erased persons, making those that are new. Two names
// of one actor by Rules.Same or a prefix have one surrogate; merges by alias do not show here, they are resolved when a question is asked.
func (r *Resolver) Resolve(ctx context.Context, raw []string) ([]uint64, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	names := make([]string, len(raw))
	links := make([]link, len(raw))
	for i, n := range raw {
		if names[i] = r.cfg.Rules.Name(n); names[i] != "" {
			links[i] = r.link(names[i])
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.suppress(ctx, names, links); err != nil {
		return nil, err
	}
	if err := r.load(ctx, false); err != nil {
		return nil, err
	}
	if r.missing(links) {
		// Another replica may have met them first.
		if err := r.load(ctx, true); err != nil {
			return nil, err
		}
		if err := r.create(ctx, names, links); err != nil {
			return nil, err
		}
	}
	out := make([]uint64, len(links))
	for i, at := range links {
		out[i] = r.actors[at]
	}
	return out, nil
}

func (r *Resolver) link(name string) link {
	key := r.cfg.Keys[0]
	return link{key.Version, key.hash(name)}
}

// missing says whether one of the links has no actor yet. The zero link is nobody's.
func (r *Resolver) missing(links []link) bool {
	return slices.ContainsFunc(links, func(at link) bool {
		_, known := r.actors[at]
		return at != link{} && !known
	})
}

// load reads the store, once unless again is set.
func (r *Resolver) load(ctx context.Context, again bool) error {
	if r.loaded && !again {
		return nil
	}
	keys, err := r.cfg.Store.ActorKeys(ctx)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	aliases, err := r.cfg.Store.Aliases(ctx)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	for _, k := range keys {
		r.actors[link{k.Version, k.Hash}] = k.Actor
	}
	for _, a := range aliases {
		r.merged[a.Actor] = a
	}
	r.loaded = true
	return nil
}

// create links the names that have no surrogate under the key in force: to the one that an older key knows, or to a new one.
func (r *Resolver) create(ctx context.Context, names []string, links []link) error {
	fresh := map[link]schema.ActorKey{}
	for i, at := range links {
		if _, known := r.actors[at]; known || names[i] == "" {
			continue
		}
		if _, drafted := r.drafts[at]; !drafted {
			actor, err := r.older(names[i])
			if err != nil {
				return err
			}
			r.drafts[at] = actor
		}
		fresh[at] = schema.ActorKey{Version: at.version, Hash: at.hash, Actor: r.drafts[at], Created: r.cfg.Now().UTC()}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := r.cfg.Store.InsertActorKeys(ctx, slices.Collect(maps.Values(fresh))); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	for at, k := range fresh {
		r.actors[at] = k.Actor
		delete(r.drafts, at)
	}
	return nil
}

// older finds the surrogate that an older key gave the name, or makes a new one.
func (r *Resolver) older(name string) (uint64, error) {
	for _, key := range r.cfg.Keys[1:] {
		if actor, ok := r.actors[link{key.Version, key.hash(name)}]; ok {
			return actor, nil
		}
	}
	return surrogate()
}

// Merge makes From and To of each alias one actor, for all times. Merging again, or in a circle, changes nothing.
func (r *Resolver) Merge(ctx context.Context, aliases []schema.Alias) error {
	names := make([]string, 0, 2*len(aliases))
	for _, a := range aliases {
		names = append(names, a.From, a.To)
	}
	actors, err := r.Resolve(ctx, names)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// What another replica has merged since must not come apart.
	if err := r.load(ctx, true); err != nil {
		return err
	}
	for i := range aliases {
		rows := r.join(actors[2*i], actors[2*i+1])
		if len(rows) == 0 {
			continue
		}
		if err := r.cfg.Store.InsertAliases(ctx, rows); err != nil {
			return fmt.Errorf("identity: %w", err)
		}
		for _, row := range rows {
			r.merged[row.Actor] = row
		}
	}
	return nil
}

// join are the rows that make from, and all that is part of it, part of what to is part of. Each is later than the row that it
// replaces, since of an actor's rows the latest counts: the sender's clock has no say in that.
func (r *Resolver) join(from, to uint64) []schema.StoredAlias {
	if from == 0 || to == 0 {
		return nil
	}
	old, root := r.root(from), r.root(to)
	if old == root {
		return nil
	}
	rows := []schema.StoredAlias{r.part(old, root)}
	for _, actor := range slices.Sorted(maps.Keys(r.merged)) {
		if actor != old && r.root(actor) == old {
			rows = append(rows, r.part(actor, root))
		}
	}
	return rows
}

func (r *Resolver) part(actor, of uint64) schema.StoredAlias {
	at := r.cfg.Now().UTC().Truncate(time.Millisecond)
	if last := r.merged[actor].At.Add(time.Millisecond); at.Before(last) {
		at = last
	}
	return schema.StoredAlias{Actor: actor, Canonical: of, At: at}
}

// root follows merges to their end. Rows that were written past each other may form a circle: it ends at its smallest member.
func (r *Resolver) root(actor uint64) uint64 {
	seen := map[uint64]bool{}
	for !seen[actor] {
		seen[actor] = true
		row, ok := r.merged[actor]
		if !ok || row.Canonical == actor {
			return actor
		}
		actor = row.Canonical
	}
	smallest := actor
	for next := r.merged[actor].Canonical; next != actor; next = r.merged[next].Canonical {
		smallest = min(smallest, next)
	}
	return smallest
}
