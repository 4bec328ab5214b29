package pipeline

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
)

// Store is what the pipeline needs of the warehouse. Inserts with a token land once, however often they are repeated with the same rows.
type Store interface {
	identity.Store
	InsertEvents(ctx context.Context, token string, rows []schema.StoredEvent) error
	SeenEventIDs(ctx context.Context, ids []uuid.UUID, since time.Time) (map[uuid.UUID]struct{}, error)
	InsertEventIDs(ctx context.Context, token string, ids []uuid.UUID, received []time.Time) error
	InsertSlices(ctx context.Context, token string, rows []schema.Slice) error
	InsertIncidents(ctx context.Context, token string, rows []schema.Incident) error
	InsertQuarantine(ctx context.Context, rows []schema.Quarantined) error
}

// DedupWindow is how long an event is known by its id: a copy that is received later than that is a new event.
const DedupWindow = 7 * 24 * time.Hour

// ProcessorConfig is what a Processor is made of.
type ProcessorConfig struct {
	Store    Store
	Identity *identity.Resolver
	// Attributes are the keys of event attributes that are kept; the others are dropped.
	Attributes []string
}

// Processor is the inner part of the drainer: it takes batches as they were received, and leaves each event in the tables once. It keeps
// nothing between two batches, so that a batch can be repeated after a crash at any moment.
type Processor struct{ cfg ProcessorConfig }

// NewProcessor makes a Processor.
func NewProcessor(cfg ProcessorConfig) *Processor { return &Processor{cfg: cfg} }

// Outcome counts what became of a batch.
type Outcome struct {
	// Events were stored, Duplicates dropped: they, or a copy, are in the tables already.
	Events, Duplicates         int
	Slices, Aliases, Incidents int
}

// Process stores a batch under a token that is its own for ever: repeated with the same token and the same records, it changes nothing.
// Of several copies of an event the one received first is stored. Aliases come first, so that nobody sees their events apart.
func (p *Processor) Process(ctx context.Context, token string, b schema.Batch) (Outcome, error) {
	var out Outcome
	if len(b.Aliases) > 0 {
		if err := p.cfg.Identity.Merge(ctx, b.Aliases); err != nil {
			return out, err
		}
		out.Aliases = len(b.Aliases)
	}
	if err := p.events(ctx, token, b.Events, &out); err != nil {
		return out, err
	}
	for _, part := range partitions(b.Slices, func(s schema.Slice) string { return month(s.Start) }) {
		if err := p.cfg.Store.InsertSlices(ctx, token+"/slices/"+part.name, part.rows); err != nil {
			return out, err
		}
		out.Slices += len(part.rows)
	}
	if len(b.Incidents) > 0 {
		if err := p.cfg.Store.InsertIncidents(ctx, token+"/incidents", b.Incidents); err != nil {
			return out, err
		}
		out.Incidents = len(b.Incidents)
	}
	return out, nil
}

// received is an event with its key.
type received struct {
	id uuid.UUID
	schema.Event
}

// events stores the events that are not known yet: look the ids up, insert the events, then their ids. A crash between the two leaves
// events without ids, whose repetition carries the same token.
func (p *Processor) events(ctx context.Context, token string, events []schema.Event, out *Outcome) error {
	if len(events) == 0 {
		return nil
	}
	first := firstCopies(events)
	ids, since := make([]uuid.UUID, len(first)), first[0].Received
	for i, e := range first {
		ids[i] = e.id
		if e.Received.Before(since) {
			since = e.Received
		}
	}
	seen, err := p.cfg.Store.SeenEventIDs(ctx, ids, since.Add(-DedupWindow))
	if err != nil {
		return err
	}
	fresh := slices.DeleteFunc(first, func(e received) bool { _, known := seen[e.id]; return known })
	out.Duplicates = len(events) - len(fresh)
	if len(fresh) == 0 {
		return nil
	}
	rows, err := p.identify(ctx, fresh)
	if err != nil {
		return err
	}
	for _, part := range partitions(rows, func(r schema.StoredEvent) string { return month(r.Time) }) {
		if err := p.cfg.Store.InsertEvents(ctx, token+"/events/"+part.name, part.rows); err != nil {
			return err
		}
	}
	for _, part := range partitions(fresh, func(e received) string { return e.Received.UTC().Format(time.DateOnly) }) {
		ids, at := make([]uuid.UUID, len(part.rows)), make([]time.Time, len(part.rows))
		for i, e := range part.rows {
			ids[i], at[i] = e.id, e.Received
		}
		if err := p.cfg.Store.InsertEventIDs(ctx, token+"/ids/"+part.name, ids, at); err != nil {
			return err
		}
	}
	out.Events = len(fresh)
	return nil
}

// firstCopies keeps, of events with one id, the one received first; ties as listed.
func firstCopies(events []schema.Event) []received {
	all := make([]received, 0, len(events))
	at := make(map[uuid.UUID]int, len(events))
	for _, e := range events {
		id := schema.EventID(e.Source, e.ID)
		if i, known := at[id]; known {
			if e.Received.Before(all[i].Received) {
				all[i].Event = e
			}
			continue
		}
		at[id] = len(all)
		all = append(all, received{id, e})
	}
	return all
}

// identify replaces names by surrogates.
func (p *Processor) identify(ctx context.Context, events []received) ([]schema.StoredEvent, error) {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = e.Actor
	}
	actors, err := p.cfg.Identity.Resolve(ctx, names)
	if err != nil {
		return nil, err
	}
	rows := make([]schema.StoredEvent, len(events))
	for i, e := range events {
		rows[i] = p.stored(e, actors[i])
	}
	return rows, nil
}

func (p *Processor) stored(e received, actor uint64) schema.StoredEvent {
	row := schema.StoredEvent{
		ID: e.id, Time: e.Time, Received: e.Received, Source: e.Source, Name: e.Name,
		Actor: actor, ActorKind: p.cfg.Identity.Kind(e.Actor, e.Groups, e.ActorKind), ActorTeam: e.Team,
		OwnerTeam: e.OwnerTeam, Persona: e.Persona, Cluster: e.Cluster, Namespace: e.Namespace, Resource: e.Resource, Object: e.Object,
		Outcome: cmp.Or(e.Outcome, schema.OutcomeSuccess), Reason: e.Reason, DurationMS: e.DurationMS, Value: e.Value,
	}
	if row.ActorTeam != "" {
		row.TeamSource = "event"
	}
	if row.Time.After(row.Received) {
		row.Time, row.Clamped = row.Received, true
	}
	for _, key := range p.cfg.Attributes {
		if v, ok := e.Attributes[key]; ok {
			if row.Attributes == nil {
				row.Attributes = map[string]string{}
			}
			row.Attributes[key] = v
		}
	}
	return row
}

// part is the rows of one partition of a table.
type part[T any] struct {
	name string
	rows []T
}

// partitions splits rows by partition, in order of the names, so that a repetition makes the same blocks.
func partitions[T any](rows []T, name func(T) string) []part[T] {
	by := map[string]int{}
	var parts []part[T]
	for _, r := range rows {
		n := name(r)
		i, ok := by[n]
		if !ok {
			i = len(parts)
			by[n] = i
			parts = append(parts, part[T]{name: n})
		}
		parts[i].rows = append(parts[i].rows, r)
	}
	slices.SortFunc(parts, func(a, b part[T]) int { return cmp.Compare(a.name, b.name) })
	return parts
}

func month(t time.Time) string { return t.UTC().Format("200601") }

// permanent says that an error will not go away by trying again: the rows themselves are at fault.
func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

