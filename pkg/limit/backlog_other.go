//go:build !linux

package limit

import "net"

// backlog is not known here.
func backlog(net.Listener) int { return 0 }

// peek sees nothing here.
func peek(net.Conn) []byte { return nil }

// hear does nothing here.
func hear(net.Conn) {}
