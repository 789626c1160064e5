//go:build !linux

package cluster

import "syscall"

// attributes put a process into a group of its own, so that an interrupt at the terminal is the cluster's to pass on.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
