package schema

import (
	"time"

	"github.com/google/uuid"
)

// Erasure says which surrogate takes the place of one of an erased person's, until all tables are rewritten.
type Erasure struct {
	Actor, Replacement uint64
	At                 time.Time
}

// PlaceCount says how many rows of a person a place holds, or held.
type PlaceCount struct {
	// Place is a table.
	Place string
	Rows  uint64
}

// QuarantineState is what was decided about a quarantined record.
type QuarantineState string

// The states of a quarantined record. Held ones wait for a decision.
const (
	QuarantineHeld    QuarantineState = "held"
	QuarantineRetried QuarantineState = "retried"
	QuarantineDropped QuarantineState = "dropped"
)

// QuarantineQuery asks for quarantined records.
type QuarantineQuery struct {
	// State bounds the answer; empty: any.
	State QuarantineState
	// Kind and Source bound the answer; empty: any.
	Kind, Source string
	// Before and BeforeID continue behind the last record of the page before, the newest being first; the zero time begins.
	Before   time.Time
	BeforeID uuid.UUID
	// Limit is how many records at most, from 1.
	Limit int
}

// QuarantineCount says how many records of one kind and source are held for one reason, the first and the last of them when.
type QuarantineCount struct {
	Kind, Source, Reason string
	Records              uint64
	First, Last          time.Time
}

// KeyUse says how many actors are linked under a version of the identity key, and how many of them under no newer version.
type KeyUse struct {
	Version      uint32
	Actors, Only uint64
}
