package inventory

import (
	"errors"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Errors of tables. ErrAdjust: the change itself is malformed (unknown class or bucket, stops out of range). ErrBreach: it is well formed, but
// would break I1 or I2, so the content or the change is wrong; the caller must not trust the run's numbers until it has a good RunState.
var (
	ErrAdjust = errors.New("malformed adjust")
	ErrBreach = errors.New("count out of bounds")
)

const (
	lanes    = 4  // counts in a word
	laneBits = 16 // bits of a count
	laneMask = 1<<laneBits - 1
)

// Table holds the counts of a run: for each OD the classes side by side, four to a word, the ODs of one boarding stop together. Any number of
// goroutines may read it; it is changed by one Writer at a time.
type Table struct {
	*Layout
	// memory is the first of the layout's words: the cells, then the numbers of the buckets that are not direct, which are the writer's. There are as many tables as runs, so
	// that their length is not kept in each.
	memory *atomic.Uint64
	keep   *block // where the memory is, if in a Slab
}

// cells are those of the table.
func (t *Table) cells() []atomic.Uint64 { return unsafe.Slice(t.memory, t.words)[:t.Layout.cells] }

// counts are all numbers that its buckets keep beside the cells.
func (t *Table) counts() []uint16 {
	if t.Layout.counts == 0 {
		return nil
	}
	first := &unsafe.Slice(t.memory, t.words)[t.Layout.cells]
	return unsafe.Slice((*uint16)(unsafe.Pointer(first)), t.Layout.counts)
}

// NewTable builds the table of a run with so many stops from its classes. The error wraps ErrAdjust or ErrBreach.
func NewTable(stops int, classes []Class) (*Table, error) {
	l, err := NewLayout(stops, classes)
	if err != nil {
		return nil, err
	}
	var w Writer
	if err := w.Build(l, classes); err != nil {
		return nil, err
	}
	t := (*Slab)(nil).Table(l)
	w.Store(t)
	return t, nil
}

// Counts appends the remaining places of all classes for an OD to dst. Each four classes are one atomic load (I3).
func (t *Table) Counts(dst []rail.SeatCount, from, to rail.StopIndex) []rail.SeatCount {
	cells, base := t.cells(), timetable.OD(t.stops, from, to)*t.width
	for w := range t.width {
		word := cells[base+w].Load()
		for range min(lanes, len(t.classes)-w*lanes) {
			dst = append(dst, rail.SeatCount(word&laneMask))
			word >>= laneBits
		}
	}
	runtime.KeepAlive(t) // and so the memory of its cells
	return dst
}

// own are the numbers that a bucket keeps beside the cells.
func (t *Table) own(b *bucket) []uint16 { return t.counts()[b.first : b.first+b.size] }
