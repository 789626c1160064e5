package replica

import (
	"cmp"
	"slices"
	"sync"

	"github.com/yupiao/yupiao/pkg/event"
)

// tail is the places of the last messages of a partition that were read, so that a mark proves what it says only to whoever has read that very message: after a stream fell back, the number is
// given to another one. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex    // guards what follows
	read []event.Place // the last at the end
	end  uint64        // of the stream, when all was read
}

// tailKept is how many are remembered: those of a second of 500 batches each. A mark that is older than all of them is believed.
const tailKept = 512

// add notes that a message was read.
func (t *tail) add(at event.Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.read); n > 0 && at.Sequence <= t.read[n-1].Sequence {
		return // it came twice
	}
	if t.read = append(t.read, at); len(t.read) >= 2*tailKept {
		t.read = append(t.read[:0], t.read[tailKept:]...)
	}
}

// finish notes that everything up to the end of the stream was read. What is not there any more has expired.
func (t *tail) finish(end uint64) {
	t.mu.Lock()
	t.end = end
	t.mu.Unlock()
}

// has reports whether the message of a mark was read; lost that others were read around it, or in its place, but not this one.
func (t *tail) has(mark event.Place) (reached, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n := len(t.read); {
	case mark.Sequence == 0:
		return true, false
	case n == 0:
		return mark.Sequence <= t.end, false
	case mark.Sequence > t.read[n-1].Sequence:
		return false, false
	case mark.Sequence < t.read[0].Sequence:
		return true, false
	}
	i, found := slices.BinarySearchFunc(t.read, mark.Sequence, func(at event.Place, sequence uint64) int { return cmp.Compare(at.Sequence, sequence) })
	reached = found && t.read[i].Is(mark)
	return reached, !reached
}
