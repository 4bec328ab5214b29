package schema

import "time"

// Exclusion is time that counts for no budget, such as announced maintenance, as somebody recorded it. It is never changed: a later
// version with the same ID says what became of it, who said so and why.
type Exclusion struct {
	ID string `json:"id"`
	// Version counts from 1; the highest is what holds.
	Version uint32 `json:"version"`
	// Objectives are the names that it applies to; empty: all.
	Objectives []string `json:"objectives"`
	// From and To bound it, half-open. A weekly one may have neither: since ever, until further notice.
	From   time.Time   `json:"from,omitzero"`
	To     time.Time   `json:"to,omitzero"`
	Weekly *WeeklySpan `json:"weekly,omitempty"`
	// Reason says what it is for, Author who stands for it.
	Reason string `json:"reason"`
	Author string `json:"author"`
	// Change says what this version did; a withdrawn exclusion excludes nothing and never did.
	Change ExclusionChange `json:"change"`
	// ChangedBy and ChangeReason are of this version: those of the first are the author and the reason.
	ChangedBy    string    `json:"changed_by"`
	ChangeReason string    `json:"change_reason"`
	Recorded     time.Time `json:"recorded"`
	// Entry tells apart what two writers recorded as the same version at once: the first one counts.
	Entry string `json:"-"`
}

// WeeklySpan is a span of the clock on days of every week.
type WeeklySpan struct {
	// Days are names such as monday, or ranges such as monday-friday.
	Days []string `json:"days"`
	// From and To are times of the day from 00:00 to 24:00, From before To.
	From string `json:"from"`
	To   string `json:"to"`
	// Timezone is the IANA name of the clock's zone.
	Timezone string `json:"timezone"`
}

// ExclusionChange is what a version of an exclusion did.
type ExclusionChange string

// The changes: an ended exclusion has another To, a withdrawn one was a mistake.
const (
	ExclusionAdded     ExclusionChange = "added"
	ExclusionEnded     ExclusionChange = "ended"
	ExclusionWithdrawn ExclusionChange = "withdrawn"
)
