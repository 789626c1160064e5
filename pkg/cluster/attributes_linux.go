package cluster

import "syscall"

// attributes put a process into a group of its own, so that an interrupt at the terminal is the cluster's to pass on, and have it end with the cluster, however that ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
