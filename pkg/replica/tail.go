package replica

import (
	"slices"
	"sync"
)

// tail is the sequences of the last messages of a partition that were read, so that a mark proves what it says only to whoever has read that very message: after a stream fell back, the number is
// given to another one. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex // guards what follows
	read []uint64   // the last at the end
	end  uint64     // of the stream, when all was read
}

// tailKept is how many are remembered: those of a second of 500 batches each. A mark that is older than all of them is believed.
const tailKept = 512

// add notes that a message was read.
func (t *tail) add(sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.read); n > 0 && sequence <= t.read[n-1] {
		return // it came twice
	}
	if t.read = append(t.read, sequence); len(t.read) >= 2*tailKept {
		t.read = append(t.read[:0], t.read[tailKept:]...)
	}
}

// finish notes that everything up to the end of the stream was read. What is not there any more has expired.
func (t *tail) finish(end uint64) {
	t.mu.Lock()
	t.end = end
	t.mu.Unlock()
}

// has reports whether the message with a mark's sequence was read; lost that others were read around it, but not this one.
func (t *tail) has(mark uint64) (reached, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n := len(t.read); {
	case mark == 0:
		return true, false
	case n == 0:
		return mark <= t.end, false
	case mark > t.read[n-1]:
		return false, false
	case mark < t.read[0]:
		return true, false
	}
	_, reached = slices.BinarySearch(t.read, mark)
	return reached, !reached
}
