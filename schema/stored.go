package schema

import (
	"crypto/sha1" //nolint:gosec // UUID v5 is made of it
	"time"

	"github.com/google/uuid"
)

// EventBlock is what one insert into the table events sends.
type EventBlock struct {
	// Token makes the block land once, however often it is inserted with these very rows: other rows under it would be dropped as a
	// repetition. It must not be empty.
	Token string
	// New says that nobody has ever tried the token, not even with an insert that failed or in a process that died.
	New bool
	// Until is when the warehouse begins to refuse the block, by its own clock and in whole seconds, whenever it was sent; zero: never.
	Until time.Time
	// Rows are of one month (of Time, in UTC), at most 100,000 or so.
	Rows []StoredEvent
}

// StoredEvent is a row of the table events: deduplicated and identified.
type StoredEvent struct {
	// ID is EventID(Source, sender's id).
	ID       uuid.UUID
	Time     time.Time
	Received time.Time
	Source   string
	Name     string
	// Actor is the surrogate of the person or machine; 0: nobody is known.
	Actor     uint64
	ActorKind ActorKind
	// ActorTeam is the team that the event itself names, and TeamSource where that came from; a team by roster is resolved
	// when a question is asked, so that a change of the roster leaves no stale rows.
	ActorTeam  string
	TeamSource string
	OwnerTeam  string
	Persona    string
	Cluster    string
	Namespace  string
	Resource   string
	Object     string
	Outcome    Outcome
	Reason     string
	DurationMS *float64
	Value      *float64
	// Clamped marks an event whose sender dated it after its receipt.
	Clamped    bool
	Attributes map[string]string
}

// eventNamespace is the root of all event ids; changing it would let every event be counted again.
var eventNamespace = uuid.MustParse("5b1d8f0e-5a0c-4d3e-9a52-7c1f6f0f4b0a")

// EventID is the key that one event has whatever the protocol, batch or replica that brought it: UUID v5 of the
// sender's id in the namespace of its source.
func EventID(source, id string) uuid.UUID { return NewEventIDs(source).ID(id) }

// EventIDs makes the ids of one source's events: EventID for many.
type EventIDs struct{ namespace uuid.UUID }

// NewEventIDs makes the EventIDs of a source.
func NewEventIDs(source string) EventIDs { return EventIDs{named(eventNamespace, source)} }

// ID is EventID of the source and id.
func (n EventIDs) ID(id string) uuid.UUID { return named(n.namespace, id) }

// named is the UUID v5 (RFC 9562, 5.5) of a name. uuid.NewSHA1 makes the same one with five allocations; events come by the million.
func named(namespace uuid.UUID, name string) (id uuid.UUID) {
	var room [256]byte                                                   // most names fit
	hash := sha1.Sum(append(append(room[:0], namespace[:]...), name...)) //nolint:gosec // a name, not a secret
	copy(id[:], hash[:])
	id[6], id[8] = 0x50|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}

// RosterEntry is one membership, or a whole team when Actor is 0, in the half-open interval [From, To).
type RosterEntry struct {
	Team string
	// Actor is the member's surrogate; 0: the row speaks of the team itself.
	Actor uint64
	// From and To bound the validity; the zero time means open.
	From, To time.Time
	// Voluntary is false for teams that were told to use the product.
	Voluntary bool
	// Persona is the member's role on the journey map; empty: not stated.
	Persona string
}

// Quarantined is a record that can never be stored, kept with the reason.
type Quarantined struct {
	ID      uuid.UUID
	Time    time.Time
	Source  string
	Kind    string // event, slice, alias, incident, change, feedback, consumption; message: a foreign client's; segment: bytes of the spool
	Reason  string
	Payload string // the record as JSON, or the raw bytes of a damaged segment in base64
	// State is what was decided about it; it is held when it is inserted.
	State QuarantineState
}

// Delivery is one attempt to hand a report to a recipient. Its identity is (Report, Period, Recipient).
type Delivery struct {
	Report    string // e.g. "weekly/managers"
	Period    string // e.g. "2026-W46"
	Recipient string
	Status    DeliveryStatus
	At        time.Time
	Attempts  uint32
	Error     string
	MessageID string
}

// DeliveryStatus is how far a delivery has come.
type DeliveryStatus string

// The states of a delivery. Sending is written before the SMTP conversation and sent after it: a crash in between is
// visible, and is not repeated without being asked for.
const (
	DeliverySending DeliveryStatus = "sending"
	DeliverySent    DeliveryStatus = "sent"
	DeliveryFailed  DeliveryStatus = "failed"
)

// Result is a small result set, read to its end. Values have the Go types of clickhouse-go.
type Result struct {
	Columns []string // may be empty where there are no rows
	Rows    [][]any
}

// The tables that stages name outside the warehouse.
const (
	TableEvents     = "events"
	TableEventIDs   = "event_ids"
	TableFirstSeen  = "first_seen"
	TableActorKeys  = "actor_keys"
	TableAliases    = "actor_aliases"
	TableRoster     = "roster"
	TableSlices     = "sli_slices"
	TableDeliveries = "deliveries"
	TableQuarantine = "quarantine"
)

// ActorKey links the keyed hash of an identity to its surrogate.
type ActorKey struct {
	// Version is the version of the secret key that made Hash.
	Version uint32
	Hash    [32]byte
	Actor   uint64
	Created time.Time
}

// StoredAlias says that Actor is Canonical, for all times; Canonical == Actor undoes a merge.
type StoredAlias struct {
	Actor, Canonical uint64
	At               time.Time
}

// TableStorage is what one table costs.
type TableStorage struct {
	Table                               string
	Rows, CompressedBytes, Uncompressed uint64
	// Oldest and Newest bound the table's time column; the zero time: it has none, or no rows.
	Oldest, Newest time.Time
	// Retention is how long rows are kept by the configuration; 0: for ever.
	Retention time.Duration
}

// SumsQuery asks for the sums of an indicator's slices over consecutive half-open segments.
type SumsQuery struct {
	Indicator, Revision, Group string
	// Segments are disjoint and in order of time.
	Segments []Segment
	// SliceTarget is the share of good at which a slice is a good one, for SliceSums.GoodSlices.
	SliceTarget float64
}

// SliceQuery asks for the newest versions of an indicator's slices that start in [From, To), in order of time.
type SliceQuery struct {
	Indicator, Revision, Group string
	From, To                   time.Time
}

// SeriesMarks is how far the slices of a series reach.
type SeriesMarks struct {
	// First is the start of its earliest slice, measured or not; zero: it has none.
	First time.Time
	// Measured are the starts of the measured slices that were asked for, in order.
	Measured []time.Time
}

// Segment is the half-open interval [From, To).
type Segment struct{ From, To time.Time }

// CompositeQuery asks for the sums of a composite's slices, which follow step by step from those of its children.
type CompositeQuery struct {
	// AnyDown: a slice is bad when any child is; else it is the children's mean by weight.
	AnyDown  bool
	Of       []CompositeChild
	Segments []Segment
}

// CompositeChild is one series of a composite. Weight is above 0; GoodFrom is the ratio below which it is down.
type CompositeChild struct {
	Indicator, Revision, Group string
	Weight, GoodFrom           float64
}

// SliceSums is what was measured in a segment, over the newest version of each slice.
type SliceSums struct {
	// Measured counts the measured slices, Valid those of them with an event, GoodSlices those whose good/total reaches SliceTarget.
	Measured, Valid, GoodSlices int64
	// Good and Total are sums of events, BadFraction the sum of (total-good)/total over the valid slices.
	Good, Total, BadFraction float64
}
