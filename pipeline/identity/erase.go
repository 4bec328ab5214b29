package identity

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kubevalue/kubevalue/schema"
)

// Trust says whether the caller knows that nobody was erased, nor an erasure lifted, since it said so last: who was erased is then not read
// again. Without Trust, it is read each time: an erasure holds at once for everybody who stores events.
func (r *Resolver) Trust(unchanged bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trusted = unchanged; !unchanged {
		r.suppressed, r.loaded = nil, false
		clear(r.actors) // the surrogates of the erased are nobody's
		clear(r.merged)
	}
}

// suppress empties the names, and zeroes the links, of those who were erased. Who was erased under an older key is noted under the one in force, so that the older can go.
func (r *Resolver) suppress(ctx context.Context, names []string, links []link) error {
	if !r.trusted || r.suppressed == nil {
		if err := r.loadSuppressed(ctx); err != nil {
			return err
		}
	}
	if len(r.suppressed) == 0 {
		return nil
	}
	var again []schema.ActorKey
	for i, name := range names {
		if name == "" {
			continue
		}
		if erased := slices.ContainsFunc(r.links(name), func(at link) bool { return r.suppressed[at] }); !erased {
			continue
		}
		if !r.suppressed[links[i]] {
			again = append(again, schema.ActorKey{Version: links[i].version, Hash: links[i].hash, Created: r.cfg.Now().UTC()})
		}
		names[i], links[i] = "", link{}
	}
	if len(again) > 0 {
		if err := r.cfg.Store.InsertSuppressed(ctx, again); err != nil {
			return fmt.Errorf("identity: %w", err)
		}
		for _, k := range again {
			r.suppressed[link{k.Version, k.Hash}] = true
		}
	}
	return nil
}

func (r *Resolver) loadSuppressed(ctx context.Context) error {
	keys, err := r.cfg.Store.Suppressed(ctx)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	r.suppressed = make(map[link]bool, len(keys))
	for _, k := range keys {
		r.suppressed[link{k.Version, k.Hash}] = true
	}
	return nil
}

// links are those that a name has under each key, the one in force first.
func (r *Resolver) links(name string) []link {
	all := make([]link, len(r.cfg.Keys))
	for i, key := range r.cfg.Keys {
		all[i] = link{key.Version, key.hash(name)}
	}
	return all
}

// Person is what the store knows of who is behind a name.
type Person struct {
	// Actors are the surrogates of the person, in order; none: nobody of that name is known, or no more.
	Actors []uint64
	// Links are the keyed hashes of all the person's names, those included that the given name would have under keys of which nothing is
	// stored yet (their Actor is 0).
	Links []schema.ActorKey
	// Suppressed says that the name was erased.
	Suppressed bool

	resolver *Resolver
	known    map[link]bool
}

// Find says who is behind a raw name, all that was merged with it included. It makes nobody.
func (r *Resolver) Find(ctx context.Context, raw string) (Person, error) {
	p := Person{resolver: r, known: map[link]bool{}}
	name := r.cfg.Rules.Name(raw)
	if name == "" {
		return p, fmt.Errorf("identity: the name %q is empty", raw)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.loadSuppressed(ctx); err != nil {
		return p, err
	}
	if err := r.load(ctx, true); err != nil {
		return p, err
	}
	roots := map[uint64]bool{}
	for _, at := range r.links(name) {
		p.Suppressed = p.Suppressed || r.suppressed[at]
		p.known[at] = true
		if actor, ok := r.actors[at]; ok {
			roots[r.root(actor)] = true
		} else {
			p.Links = append(p.Links, schema.ActorKey{Version: at.version, Hash: at.hash, Created: r.cfg.Now().UTC()})
		}
	}
	actors := map[uint64]bool{}
	for at, actor := range r.actors {
		if roots[r.root(actor)] {
			actors[actor], p.known[at] = true, true
			p.Links = append(p.Links, schema.ActorKey{Version: at.version, Hash: at.hash, Actor: actor, Created: r.cfg.Now().UTC()})
		}
	}
	for actor := range r.merged {
		if roots[r.root(actor)] {
			actors[actor] = true
		}
	}
	p.Actors = slices.Sorted(maps.Keys(actors))
	return p, nil
}

// Is says whether a raw name is one of the person's.
func (p Person) Is(raw string) bool {
	name := p.resolver.cfg.Rules.Name(raw)
	return name != "" && slices.ContainsFunc(p.resolver.links(name), func(at link) bool { return p.known[at] })
}

// Replacements are the erasures that put one new surrogate into the place of all of the person's.
func (p Person) Replacements() ([]schema.Erasure, error) {
	if len(p.Actors) == 0 {
		return nil, nil
	}
	replacement, err := surrogate()
	if err != nil {
		return nil, err
	}
	all := make([]schema.Erasure, len(p.Actors))
	for i, actor := range p.Actors {
		all[i] = schema.Erasure{Actor: actor, Replacement: replacement, At: p.resolver.cfg.Now().UTC()}
	}
	return all, nil
}

// Erased is everybody who was erased, as one person without surrogates: Is finds what still names any of them.
func (r *Resolver) Erased(ctx context.Context) (Person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.loadSuppressed(ctx)
	return Person{resolver: r, known: maps.Clone(r.suppressed)}, err
}
