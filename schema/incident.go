package schema

import (
	"encoding/json"
	"time"
)

// Origin says whose fault an incident was.
type Origin string

// The origins of incidents: own means the platform team's, upstream a provider's or a dependency's.
const (
	OriginUnknown  Origin = "unknown"
	OriginOwn      Origin = "own"
	OriginUpstream Origin = "upstream"
)

// Unattributed is the name of what no incident accounts for, which no incident may have.
const Unattributed = "unattributed"

// Incident is an interruption of a service. A later record with the same ID and a higher Version replaces it whole.
type Incident struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	// Objectives are the names of the objectives that it concerns; empty: all of Service.
	Objectives []string `json:"objectives,omitempty"`
	Title      string   `json:"title,omitempty"`
	// Class groups incidents of one kind, e.g. "etcd-latency": follow-ups work on a class.
	Class string `json:"class,omitempty"`
	Cause string `json:"cause,omitempty"`
	// Origin is unknown unless given.
	Origin Origin    `json:"origin,omitempty"`
	Start  time.Time `json:"start"`
	// Detected and Resolved are zero while nobody has noticed, or while it lasts.
	Detected  time.Time  `json:"detected,omitzero"`
	Resolved  time.Time  `json:"resolved,omitzero"`
	Links     []string   `json:"links,omitempty"`
	Followups []Followup `json:"followups,omitempty"`
	// Details are what its source says of it besides, a JSON object; nil: nothing. They are never read but by people.
	Details json.RawMessage `json:"details,omitempty"`
	Version uint64          `json:"version"`
}

// Followup is work that an incident led to.
type Followup struct {
	ID    string    `json:"id"`
	Title string    `json:"title,omitempty"`
	Owner string    `json:"owner,omitempty"` // a team, never a person
	Due   time.Time `json:"due,omitzero"`
	// Done is zero while it is open.
	Done time.Time `json:"done,omitzero"`
}
