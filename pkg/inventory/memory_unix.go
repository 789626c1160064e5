//go:build unix

package inventory

import (
	"fmt"
	"syscall"
)

// reserve takes zeroed memory from the system. Without any, nothing can go on, as when the heap cannot grow.
func reserve(bytes int) []byte {
	memory, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("out of memory: %d bytes for tables: %v", bytes, err))
	}
	return memory
}

func release(memory []byte) { _ = syscall.Munmap(memory) } // it is what reserve gave
