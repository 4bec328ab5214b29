package chdb

import (
	"strconv"
	"time"
)

// DrainForTest shortens the time that running statements get when the engine of
// this process stops.
func DrainForTest(d time.Duration) { drainTime = d }

// ParentEnvForTest is the variable by which Start hands pipes to its child.
const ParentEnvForTest = parentEnv

// DefaultMemoryForTest is the engine's memory limit when none is configured.
func DefaultMemoryForTest() string { return strconv.FormatUint(defaultMemory(), 10) }
