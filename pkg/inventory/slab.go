package inventory

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Slab is memory for tables that live and end together, such as those of a service date. It lies outside the garbage collector's heap, where it would make the collector
// wait for twice its size, and goes back to the system when the last of its tables can no longer be reached. The zero Slab is ready, and a nil one takes memory from the
// heap. Safe for concurrent use.
type Slab struct {
	mu    sync.Mutex // guards what follows
	block *block
	used  int // words of block
}

// blockWords is the size of a block: of 4 MiB, of which a date of 12,000 runs needs two or three. What is not used yet takes no memory.
const blockWords = 4 << 20 / 8

// block is a piece of memory. Tables in it keep it.
type block struct{ words []atomic.Uint64 }

func newBlock(words int) *block {
	memory := reserve(words * 8)
	b := &block{unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(memory))), words)}
	runtime.AddCleanup(b, release, memory)
	return b
}

// Table is a table without places.
func (s *Slab) Table(l *Layout) *Table {
	if l.words == 0 { // no classes
		return &Table{Layout: l}
	}
	if s == nil {
		return &Table{Layout: l, memory: unsafe.SliceData(make([]atomic.Uint64, l.words))}
	}
	words, b := s.take(l.words)
	return &Table{Layout: l, memory: unsafe.SliceData(words), keep: b}
}

// take gives words that nobody has used.
func (s *Slab) take(words int) ([]atomic.Uint64, *block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.block == nil || s.used+words > len(s.block.words) {
		s.block, s.used = newBlock(max(words, blockWords)), 0
	}
	first := s.used
	s.used += words
	return s.block.words[first:s.used], s.block
}
