//go:build !linux

package chdb

import "os"

// ScratchDir is where the data directory of an engine belongs that is thrown
// away after a short use: the directory of temporary files.
func ScratchDir() string { return os.TempDir() }
