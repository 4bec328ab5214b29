// Package schema holds the record types that travel between the stages, with their units, and the names of the
// tables that they end in. It imports nothing of ours: a collector, the pipeline and the warehouse agree on what a
// record is by agreeing on this package.
//
// Times are instants in UTC with millisecond precision. Durations carry their unit in the name. Ratios are 0..1.
package schema

import "time"

// ActorKind says whether a person or a machine acted.
type ActorKind string

// The kinds of actors. Unknown is not "probably human": shared admin certificates and missing identities are unknown,
// and figures about people leave them out.
const (
	ActorUnknown ActorKind = "unknown"
	ActorHuman   ActorKind = "human"
	ActorMachine ActorKind = "machine"
)

// Outcome is how an action ended for the one who tried it.
type Outcome string

// The outcomes. Denied means refused by policy (RBAC, quota, admission): the reason is in Event.Reason; failure is any other
// unsuccessful end.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	OutcomeDenied  Outcome = "denied"
)

// Reasons for an outcome other than success that collectors give and the catalogue counts. A source may give others;
// they are short, lower-case and made by a machine, never free text.
const (
	ReasonQuota     = "quota"     // a ResourceQuota or LimitRange said no
	ReasonRBAC      = "rbac"      // the authorizer said no
	ReasonAdmission = "admission" // another admission plugin or webhook said no
)

// Event is one usage event as a collector hands it over: validated, on its way to the spool, not yet identified.
// Only the spool and the quarantine ever hold Actor and Groups; the warehouse holds a pseudonym.
type Event struct {
	// ID is the sender's idempotency key within Source. Empty: the pipeline makes one at receipt, and a resend is a new event.
	ID string `json:"id,omitempty"`
	// Source is the namespace of ID: the token's source name, or "audit/CLUSTER".
	Source string `json:"source"`
	// Time is when it happened, as the sender says. The pipeline clamps it to Received when it lies in the future.
	Time time.Time `json:"time"`
	// Received is when this service took it.
	Received time.Time `json:"received"`
	// Name says what happened, e.g. "deployments.create" or "report.visit": at most 200 bytes.
	Name string `json:"name"`
	// Actor is who acted, in the sender's words (user name, e-mail, service account). Empty: nobody is known.
	Actor string `json:"actor,omitempty"`
	// ActorKind is what the sender knows; empty: pipeline/identity decides.
	ActorKind ActorKind `json:"actor_kind,omitempty"`
	// Groups are the actor's groups, as the authenticator saw them.
	Groups []string `json:"groups,omitempty"`
	// Team is the team that the actor acted for, when the sender knows; it wins over the roster.
	Team string `json:"team,omitempty"`
	// OwnerTeam is the team whose object it was, when known.
	OwnerTeam string `json:"owner_team,omitempty"`
	// Persona is the actor's role on the journey map, when known.
	Persona string `json:"persona,omitempty"`
	// Cluster, Namespace, Resource and Object say where: Resource is plural with subresource ("pods/exec").
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Resource  string `json:"resource,omitempty"`
	Object    string `json:"object,omitempty"`
	// Outcome is success unless given.
	Outcome Outcome `json:"outcome,omitempty"`
	// Reason says why the outcome is not success.
	Reason string `json:"reason,omitempty"`
	// DurationMS is how long it took, in milliseconds; nil: not measured.
	DurationMS *float64 `json:"duration_ms,omitempty"`
	// Value is a number that the event carries, its unit fixed by Name; nil: none.
	Value *float64 `json:"value,omitempty"`
	// Attributes are further facts; the pipeline keeps only the allow-listed keys.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Alias says that two identities are the same actor, for all times.
type Alias struct {
	Source string    `json:"source"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	At     time.Time `json:"at"`
}

// SliceState says whether a slice was measured.
type SliceState string

// The states of a stored slice. Exclusions are intervals that are applied at evaluation, never states.
const (
	SliceMeasured SliceState = "measured"
	SliceGap      SliceState = "gap"
)

// Slice is what an indicator measured in the half-open interval [Start, Start+Seconds).
type Slice struct {
	// Indicator names the SLI; Revision is the hash of its definition: other definitions are other series.
	Indicator string `json:"indicator"`
	Revision  string `json:"revision"`
	// Group is the member of an objective per group (a cluster, a team); empty: none.
	Group string `json:"group,omitempty"`
	// Start is aligned to Seconds since the Unix epoch.
	Start   time.Time `json:"start"`
	Seconds uint32    `json:"seconds"`
	// Good and Total count valid events, 0 <= Good <= Total; both are 0 in a gap.
	Good  float64    `json:"good"`
	Total float64    `json:"total"`
	State SliceState `json:"state"`
	// Version orders corrections of one slice: the highest wins. Collectors use the time of writing in Unix milliseconds.
	Version uint64 `json:"version"`
}

// Batch is what a collector hands over in one piece: all of it is on disk, or none of it was acknowledged.
type Batch struct {
	Events  []Event `json:"events,omitempty"`
	Slices  []Slice `json:"slices,omitempty"`
	Aliases []Alias `json:"aliases,omitempty"`
	// Incidents replace what is known of them.
	Incidents []Incident `json:"incidents,omitempty"`
	// Changes happened to resources in clusters.
	Changes []ResourceChange `json:"changes,omitempty"`
	// Feedback is what people say and ask.
	Feedback []Feedback `json:"feedback,omitempty"`
	// Consumption is what teams had of clusters.
	Consumption []Consumption `json:"consumption,omitempty"`
	// Backfill lifts the limit on late events: the sender's grant allows history.
	Backfill bool `json:"backfill,omitempty"`
}

// Len is the number of records in the batch.
func (b Batch) Len() int {
	return len(b.Events) + len(b.Slices) + len(b.Aliases) + len(b.Incidents) + len(b.Changes) + len(b.Feedback) + len(b.Consumption)
}
