//go:build !linux

package chdb

import "syscall"

// childAttributes puts the child into a process group of its own, so that an
// interrupt from the terminal stops the parent first.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
