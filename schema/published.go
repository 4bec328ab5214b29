package schema

import "time"

// The kinds of published figures: statuses of objectives, and values of catalogue metrics.
const (
	KindObjective = "objective"
	KindMetric    = "metric"
)

// PublishedQuery asks for all revisions of a kind's figures of the periods of a grain that begin in [From, To).
type PublishedQuery struct {
	Kind string
	// Subject is what the figures are of; empty: everything.
	Subject  string
	Grain    string
	From, To time.Time
}

// Published is the figure of a closed period as it was published. Rows are never changed: a later revision says why it differs.
type Published struct {
	// Kind and Subject say what it is of, Dimensions (a JSON object, empty: none) which part of it.
	Kind, Subject, Dimensions string
	Period                    PublishedPeriod
	// Revision counts from 1, Reason says why it was made.
	Revision uint32
	Reason   string
	// Version is the definition's.
	Version string
	// Inputs has a hash of each input: an input whose hash is the same has not changed.
	Inputs     map[string]string
	Value      []byte // JSON
	ComputedAt time.Time
}

// PublishedPeriod is the half-open calendar period [From, To) of a time zone.
type PublishedPeriod struct {
	Grain    string
	From, To time.Time
	// Label is 2026-10, 2026-W46, 2026-Q4 or 2026-10-31, Zone an IANA name.
	Label, Zone string
}

// ObjectiveVersion is what an objective was defined as from a time on.
type ObjectiveVersion struct {
	Name string
	// From is since when it is in force; the Unix epoch stands for since ever.
	From time.Time
	// Version is the hash of Definition, JSON; both are empty when the objective was withdrawn.
	Version    string
	Definition []byte
	Reason     string
	Recorded   time.Time
}
