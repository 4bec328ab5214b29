package chdb

import (
	"os"
	"syscall"
)

// scratchSpace is what a file system in memory must have free to hold the data
// of a scratch engine: containers often have one of 64 MiB only.
const scratchSpace = 2 << 30

// ScratchDir is where the data directory of an engine belongs that is thrown
// away after a short use: a file system in memory if there is one with room,
// since every insert waits for the disk, else the usual directory of temporary
// files. Setting TMPDIR overrides it.
func ScratchDir() string {
	const memory = "/dev/shm"
	var free syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &free) != nil || free.Bavail*uint64(free.Bsize) < scratchSpace {
		return os.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "kubevalue-")
	if err != nil {
		return os.TempDir()
	}
	_ = os.Remove(dir)
	return memory
}
