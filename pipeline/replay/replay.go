// Package replay gives a warehouse at once what a service receives over time: the histories of tests, one after the other. It goes the way
// of production, through the drainer's processor into the tables.
package replay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
)

// Store is what histories are kept in.
type Store interface {
	pipeline.Store
	PutRoster(ctx context.Context, digest string, at time.Time, rows []schema.RosterEntry) (changed bool, err error)
	PutPrices(ctx context.Context, at time.Time, rows []schema.ResourcePrice, shared []string) (changed bool, err error)
	PutCapabilities(ctx context.Context, at time.Time, rows []schema.Capability) (changed bool, err error)
	Truncate(ctx context.Context, tables ...string) error
}

// History is what was received by Now, without a limit on lateness.
type History struct {
	Now    time.Time
	Roster []identity.Team
	// Prices are those of resources; all teams share the cost of Shared namespaces.
	Prices       []schema.ResourcePrice
	Shared       []string
	Capabilities []schema.Capability
	// Batches are processed one after the other. All attributes of their events are kept.
	Batches []schema.Batch
}

// Stage is where histories are played, one at a time. Nobody else may write to its store.
type Stage struct {
	store    Store
	resolver *identity.Resolver
	now      time.Time
	played   int
	// filled are the tables that the last history filled, roster the digest of its roster.
	filled []string
	roster string
	// registered says whether the last history had prices or capabilities, which hold until there are others.
	registered bool
}

// New makes a stage of a store in which nothing has happened.
func New(store Store) *Stage { return &Stage{store: store} }

// Clear forgets the last history. Of an actor the link to its name stays: the same name keeps its surrogate, which no figure shows. The
// roster and the registries stay, too, until the next history has others.
func (s *Stage) Clear(ctx context.Context) error {
	if slices.Contains(s.filled, schema.TableAliases) {
		s.resolver = nil // it remembers who was merged
	}
	err := s.store.Truncate(ctx, s.filled...)
	s.filled = nil
	return err
}

// Play stores a history. An error with a method Permanent() bool that returns true is about the history, any other about the store.
func (s *Stage) Play(ctx context.Context, h History) error {
	s.played++
	s.now = h.Now
	if s.resolver == nil {
		resolver, err := identity.New(identity.Config{
			Keys: []identity.Key{{Version: 1, Secret: []byte(strings.Repeat("replayed", 4))}}, Store: s.store, Now: func() time.Time { return s.now },
		})
		if err != nil {
			return err
		}
		resolver.Trust(true) // nobody is ever erased here
		s.resolver = resolver
	}
	for _, b := range h.Batches {
		s.filled = append(s.filled, tablesOf(b)...)
	}
	slices.Sort(s.filled)
	s.filled = slices.Compact(s.filled)
	if err := s.register(ctx, h); err != nil {
		return err
	}
	processor := pipeline.NewProcessor(pipeline.ProcessorConfig{Store: s.store, Identity: s.resolver, Attributes: attributesOf(h.Batches)})
	for i, b := range h.Batches {
		b.Backfill = true
		if _, err := processor.ProcessNew(ctx, fmt.Sprintf("history-%d-%d", s.played, i), b); err != nil {
			return err
		}
	}
	return nil
}

// register puts the roster and the registries in force, where they are not already.
func (s *Stage) register(ctx context.Context, h History) error {
	digest, rows, err := s.resolver.Roster(ctx, h.Roster)
	if err != nil {
		return err
	}
	if digest != s.roster {
		if _, err := s.store.PutRoster(ctx, digest, h.Now, rows); err != nil {
			return err
		}
		s.roster = digest
	}
	registers := len(h.Prices)+len(h.Shared)+len(h.Capabilities) > 0
	if !registers && !s.registered {
		return nil
	}
	if _, err := s.store.PutPrices(ctx, h.Now, h.Prices, h.Shared); err != nil {
		return err
	}
	if _, err := s.store.PutCapabilities(ctx, h.Now, h.Capabilities); err != nil {
		return err
	}
	s.registered = registers
	return nil
}

// tablesOf are those that a batch fills, by itself or by the views over them.
func tablesOf(b schema.Batch) []string {
	var tables []string
	add := func(any bool, names ...string) {
		if any {
			tables = append(tables, names...)
		}
	}
	add(len(b.Aliases) > 0, schema.TableAliases)
	add(len(b.Consumption) > 0, schema.TableConsumption)
	add(len(b.Events) > 0, schema.TableEvents, schema.TableEventIDs, schema.TableFirstSeen, "activity_days", "activity_months", "source_hours")
	add(slices.ContainsFunc(b.Events, func(e schema.Event) bool { return e.Name == "actor.group" }), "actor_groups")
	add(slices.ContainsFunc(b.Events, func(e schema.Event) bool { return e.Resource != "" }), "activity_kinds")
	add(len(b.Changes) > 0, schema.TableResourceChanges, schema.TableResources, schema.TableClusterHours)
	add(len(b.Slices) > 0, schema.TableSlices, "sli_hours", "sli_days", "sli_series")
	add(len(b.Feedback) > 0, schema.TableFeedback)
	add(len(b.Incidents) > 0, "incidents")
	return tables
}

func attributesOf(batches []schema.Batch) []string {
	var keys []string
	for _, b := range batches {
		for _, e := range b.Events {
			keys = slices.AppendSeq(keys, maps.Keys(e.Attributes))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
