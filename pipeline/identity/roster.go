package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Team is an entry of the roster as it is configured: who could use the product in [From, To).
type Team struct {
	Name string
	// Members are raw names.
	Members []string
	// From and To bound the entry; the zero time means open.
	From, To  time.Time
	Voluntary bool
	Persona   string
}

// Roster turns teams into rows, one for each team itself and one for each member who was not erased, and a digest of them that changes
// when they do.
func (r *Resolver) Roster(ctx context.Context, teams []Team) (digest string, rows []schema.RosterEntry, err error) {
	var names []string
	for _, t := range teams {
		names = append(names, t.Members...)
	}
	found, err := r.Resolve(ctx, names)
	if err != nil {
		return "", nil, err
	}
	for _, t := range teams {
		var actors []uint64
		actors, found = found[:len(t.Members)], found[len(t.Members):]
		erased := func(actor uint64) bool { return actor == 0 }
		for _, actor := range append([]uint64{0}, slices.DeleteFunc(slices.Clone(actors), erased)...) {
			rows = append(rows, schema.RosterEntry{Team: t.Name, Actor: actor, From: t.From, To: t.To, Voluntary: t.Voluntary, Persona: t.Persona})
		}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return "", nil, fmt.Errorf("digest of the roster: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), rows, nil
}
