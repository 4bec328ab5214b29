package schema

import "time"

// Capability is something that the platform offers, with the team that owns it, in the half-open interval [From, To).
type Capability struct {
	Name, Title, Owner string
	// Events are the names of the events that mean its use.
	Events []string
	// From and To bound it; the zero time means open.
	From, To time.Time
}

// TableCapabilities holds the registries of capabilities, TableRegistries which version of each registry counts.
const (
	TableCapabilities = "capabilities"
	TableRegistries   = "registry_versions"
)
