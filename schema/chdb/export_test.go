package chdb

import "time"

// DrainForTest shortens the time that running statements get when the engine of
// this process stops.
func DrainForTest(d time.Duration) { drainTime = d }

// ParentEnvForTest is the variable by which Start hands pipes to its child.
const ParentEnvForTest = parentEnv
