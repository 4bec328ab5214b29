package pipeline

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// run is what is inserted together: the rows of some batches, ready but for what the warehouse knows.
type run struct {
	// usual is for how many rows there is room while another run is on its way, most for how many there is room that is kept.
	usual, most int

	rows []schema.StoredEvent
	side []side
	// byID finds the row of an id.
	byID map[uuid.UUID]int32
	// names are the raw actors of the rows, each once.
	names  []string
	kinds  []judged
	nameAt map[string]int32
	// ids makes the ids of the events of source.
	ids    schema.EventIDs
	source string
	// at is when the run's first batch was taken.
	at time.Time

	slices    []schema.Slice
	aliases   []schema.Alias
	incidents []schema.Incident
	feedback  []schema.Feedback

	consumption []schema.Consumption
	changes     []schema.ResourceChange
	// bad are records that can never be stored.
	bad []schema.Quarantined

	// repeated says that an earlier process may have stored some of it.
	repeated bool
	// copies counts the events that were left out since the run has an earlier copy.
	copies int
	// fresh and seen are the events that the warehouse did not know, and knew, when it was first asked.
	asked, fresh, seen int
}

// side is what belongs to a row but is not stored.
type side struct {
	name int32 // in names; -1: nobody
	// at is the row's place in the run before any row was left out: it names blocks, so it must not change.
	at int32
	// record and index find the event again.
	record, index int32
}

// judged is what a name was found to be, and what of.
type judged struct {
	is, said schema.ActorKind
	groups   []string
}

// firstRoom is for how many rows a run has room at first.
const firstRoom = 64

// grow makes room for another row: little at first, since most services are quiet, and never more than is wanted in the end.
func (r *run) grow() {
	room := 2 * cap(r.rows)
	switch {
	case cap(r.rows) < r.usual:
		room = min(max(2*room, firstRoom), r.usual) // in few steps, since each leaves its room behind
	case cap(r.rows) < r.most:
		room = r.most
	}
	room = max(room, firstRoom)
	r.rows = append(make([]schema.StoredEvent, 0, room), r.rows...)
	r.side = append(make([]side, 0, room), r.side...)
}

// borrow moves the rows into the room of a run that is empty, if that is the larger one, and leaves it the smaller one.
func (r *run) borrow(from *run) {
	if cap(from.rows) <= cap(r.rows) {
		return
	}
	rows, sides := from.rows[:len(r.rows)], from.side[:len(r.side)]
	copy(rows, r.rows)
	copy(sides, r.side)
	clear(r.rows)
	from.rows, from.side = r.rows[:0], r.side[:0]
	r.rows, r.side = rows, sides
}

// staged says which batch is being staged: its number in the run, its id, of which the ids of events without one are made, and
// when it was taken.
type staged struct {
	record int32
	batch  uuid.UUID
	at     time.Time
}

func (r *run) reset() {
	*r = run{
		usual: r.usual, most: r.most, rows: r.rows[:0], side: r.side[:0], names: r.names[:0], kinds: r.kinds[:0], byID: r.byID, nameAt: r.nameAt,
		slices: r.slices[:0], aliases: r.aliases[:0], incidents: r.incidents[:0], changes: r.changes[:0], feedback: r.feedback[:0], consumption: r.consumption[:0],
	}
	if r.byID == nil {
		r.byID, r.nameAt = map[uuid.UUID]int32{}, map[string]int32{}
	}
	clear(r.byID)
	clear(r.nameAt)
}

// release forgets the texts of the rows, which are large, and a room that was an exception.
func (r *run) release() {
	if cap(r.rows) > r.most {
		r.rows, r.side = nil, nil
	}
	clear(r.rows[:cap(r.rows)])
	clear(r.names[:cap(r.names)])
	clear(r.kinds[:cap(r.kinds)])
	r.reset()
}

// add stages a batch. Records that can never be stored are left to bad.
func (p *Processor) add(r *run, from staged, b *schema.Batch) {
	if r.at.IsZero() {
		r.at = from.at
	}
	for i := range b.Events {
		e := &b.Events[i]
		if err := errors.Join(Validate(e), checkReceived(e)); err != nil {
			r.bad = append(r.bad, quarantined(from, refusal{kind: kindEvent, index: i, source: e.Source, why: err}, e))
			continue
		}
		p.addEvent(r, r.eventID(e, from.batch, i), side{record: from.record, index: int32(i)}, e)
	}
	r.slices = appendGood(r, r.slices, from, kindSlice, list[schema.Slice]{b.Slices, checkSlice})
	r.aliases = appendGood(r, r.aliases, from, kindAlias, list[schema.Alias]{b.Aliases, checkAlias})
	r.incidents = appendGood(r, r.incidents, from, kindIncident, list[schema.Incident]{b.Incidents, checkIncident})
	r.changes = appendGood(r, r.changes, from, kindChange, list[schema.ResourceChange]{b.Changes, checkChange})
	r.feedback = appendGood(r, r.feedback, from, kindFeedback, list[schema.Feedback]{b.Feedback, (*schema.Feedback).Validate})
	r.consumption = appendGood(r, r.consumption, from, kindConsumption, list[schema.Consumption]{b.Consumption, (*schema.Consumption).Validate})
}

// list is records of one kind and what is checked of them.
type list[T any] struct {
	records []T
	fault   func(*T) error
}

func appendGood[T any](r *run, good []T, from staged, kind string, l list[T]) []T {
	for i := range l.records {
		if err := l.fault(&l.records[i]); err != nil {
			r.bad = append(r.bad, quarantined(from, refusal{kind: kind, index: i, why: err}, &l.records[i]))
			continue
		}
		good = append(good, l.records[i])
	}
	return good
}

// addEvent stages an event unless the run has a copy that was received before it or at the same time.
func (p *Processor) addEvent(r *run, id uuid.UUID, at side, e *schema.Event) {
	i, known := r.byID[id]
	if known {
		r.copies++
		if !e.Received.Truncate(time.Millisecond).Before(r.rows[i].Received) {
			return
		}
	} else {
		i = int32(len(r.rows))
		r.byID[id] = i
		if len(r.rows) == cap(r.rows) {
			r.grow()
		}
		r.rows = append(r.rows, schema.StoredEvent{})
		r.side = append(r.side, side{})
	}
	at.name, at.at = -1, i
	kind := schema.ActorUnknown
	if e.Actor != "" {
		at.name = r.name(e.Actor)
		kind = p.kind(&r.kinds[at.name], e)
	}
	r.side[i] = at
	p.store(&r.rows[i], id, e)
	r.rows[i].ActorKind = kind
	if kind == schema.ActorHuman && e.Team == "" {
		if team := p.cfg.Identity.Team(e.Groups); team != "" {
			r.rows[i].ActorTeam, r.rows[i].TeamSource = team, teamByGroup
		}
	}
}

func (r *run) name(raw string) int32 {
	name, known := r.nameAt[raw]
	if !known {
		name = int32(len(r.names))
		r.nameAt[raw] = name
		r.names = append(r.names, raw)
		r.kinds = append(r.kinds, judged{})
	}
	return name
}

// kind decides by rules once for a name with the same groups.
func (p *Processor) kind(k *judged, e *schema.Event) schema.ActorKind {
	if k.is == "" || k.said != e.ActorKind || !slices.Equal(k.groups, e.Groups) {
		*k = judged{is: p.cfg.Identity.Kind(e.Actor, e.Groups, e.ActorKind), said: e.ActorKind, groups: e.Groups}
	}
	return k.is
}

// The team_source of events: of those that name their team, and of those whose actor was in groups of one team.
const (
	teamByEvent = "event"
	teamByGroup = "group"
)

// store fills the row of an event, all but its actor.
func (p *Processor) store(row *schema.StoredEvent, id uuid.UUID, e *schema.Event) {
	*row = schema.StoredEvent{
		ID: id, Time: e.Time.UTC().Truncate(time.Millisecond), Received: e.Received.UTC().Truncate(time.Millisecond), Source: e.Source, Name: e.Name,
		ActorTeam: e.Team, OwnerTeam: e.OwnerTeam, Persona: e.Persona, Cluster: e.Cluster, Namespace: e.Namespace, Resource: e.Resource, Object: e.Object,
		Outcome: cmp.Or(e.Outcome, schema.OutcomeSuccess), Reason: e.Reason, DurationMS: e.DurationMS, Value: e.Value,
	}
	if row.ActorTeam != "" {
		row.TeamSource = teamByEvent
	}
	if row.Time.After(row.Received) {
		row.Clamped = row.Time.Sub(row.Received) > p.cfg.ClockSkew
		row.Time = row.Received
	}
	row.Attributes = p.kept(e.Attributes)
}

// kept are the attributes that stay: the map itself when all of them do, as is the rule, since Append has dropped the others.
func (p *Processor) kept(attributes map[string]string) map[string]string {
	n := 0
	for k := range attributes {
		if p.keep[k] {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case len(attributes):
		return attributes
	}
	some := make(map[string]string, n)
	for k, v := range attributes {
		if p.keep[k] {
			some[k] = v
		}
	}
	return some
}

// eventID is the key of an event: its own id, or one that its batch gives it.
func (r *run) eventID(e *schema.Event, batch uuid.UUID, index int) uuid.UUID {
	if e.Source != r.source || r.source == "" {
		r.source, r.ids = e.Source, schema.NewEventIDs(e.Source)
	}
	if e.ID != "" {
		return r.ids.ID(e.ID)
	}
	return r.ids.ID("\x00" + batch.String() + "/" + strconv.Itoa(index))
}

// arrange puts the rows in order of their months, each month in the order of receipt, and fixes their places.
func (r *run) arrange() {
	inOrder := true
	for i := 1; i < len(r.rows) && inOrder; i++ {
		inOrder = month(r.rows[i-1].Time) <= month(r.rows[i].Time)
	}
	if inOrder {
		return
	}
	order := make([]int32, len(r.rows))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(month(r.rows[a].Time), month(r.rows[b].Time)) })
	rows, sides := make([]schema.StoredEvent, len(order)), make([]side, len(order))
	for to, from := range order {
		rows[to], sides[to] = r.rows[from], r.side[from]
		sides[to].at = int32(to)
	}
	r.rows, r.side = rows, sides
}

// drop leaves out the rows that the warehouse has.
func (r *run) drop(seen map[uuid.UUID]struct{}) {
	if len(seen) == 0 {
		return
	}
	kept := 0
	for i := range r.rows {
		if _, known := seen[r.rows[i].ID]; !known {
			r.rows[kept], r.side[kept] = r.rows[i], r.side[i]
			kept++
		}
	}
	r.rows, r.side = r.rows[:kept], r.side[:kept]
}

// month is the partition of a time, such as 202611.
func month(t time.Time) int {
	t = t.UTC()
	return t.Year()*100 + int(t.Month())
}

// stretches returns where the partition changes: rows[from:to] is of one partition each.
func stretches(n int, partition func(i int) int) [][2]int {
	var parts [][2]int
	for from := 0; from < n; {
		to := from + 1
		for to < n && partition(to) == partition(from) {
			to++
		}
		parts = append(parts, [2]int{from, to})
		from = to
	}
	return parts
}
