package limit

import (
	"net"
	"syscall"
	"unsafe"
)

// backlog is how many connections wait to be accepted; 0 where that is not known.
func backlog(l net.Listener) (waiting int) {
	var info syscall.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	control(l, func(fd uintptr) {
		_, _, e := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if e == 0 {
			waiting = int(info.Unacked) // of a listening socket (tcp_diag_get_info)
		}
	})
	return waiting
}

// peek is the beginning of what has come, which stays there.
func peek(c net.Conn) (head []byte) {
	receive(c, 32, syscall.MSG_PEEK, &head)
	return head
}

// hear takes what has come, so that the kernel does not tell the client of a reset before he has read what he is told.
func hear(c net.Conn) {
	var heard []byte
	receive(c, 4096, 0, &heard)
}

func receive(c net.Conn, most int, how int, into *[]byte) {
	control(c, func(fd uintptr) {
		b := make([]byte, most)
		n, _, _ := syscall.Recvfrom(int(fd), b, how|syscall.MSG_DONTWAIT) // nothing is nothing, for whatever reason
		*into = b[:max(n, 0)]
	})
}

func control(of any, do func(fd uintptr)) {
	if c, ok := of.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(do) // a closed one says so to others
		}
	}
}
