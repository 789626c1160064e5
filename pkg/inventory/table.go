package inventory

import (
	"errors"
	"fmt"
	"sync/atomic"

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
	stops   int
	width   int // words for each OD
	cells   []atomic.Uint64
	classes []column
}

// column is one class of a table.
type column struct {
	code    rail.Class
	buckets []bucket
}

// bucket is the writer's side of a Bucket. A class with one bucket without quotas needs no numbers of its own: its counts are the cells.
type bucket struct {
	kind     Kind
	capacity rail.SeatCount
	quotas   *Bucket
	direct   bool
	counts   []uint16 // by OD, for Pool by segment; nil if direct
}

// NewTable builds the table of a run with so many stops from its classes. The error wraps ErrAdjust or ErrBreach.
func NewTable(stops int, classes []Class) (*Table, error) {
	if stops < 2 || stops > rail.MaxStops {
		return nil, fmt.Errorf("%w: %d stops; want 2 to %d", ErrAdjust, stops, rail.MaxStops)
	}
	if len(classes) > rail.MaxClasses {
		return nil, fmt.Errorf("%w: %d classes; want at most %d", ErrAdjust, len(classes), rail.MaxClasses)
	}
	t := &Table{stops: stops, width: (len(classes) + lanes - 1) / lanes, classes: make([]column, 0, len(classes))}
	ods := timetable.NumODs(stops)
	t.cells = make([]atomic.Uint64, ods*t.width)
	for i := range classes {
		if t.column(classes[i].Class) >= 0 {
			return nil, fmt.Errorf("%w: class %q occurs twice", ErrAdjust, classes[i].Class)
		}
		col, err := newColumn(&classes[i], stops)
		if err != nil {
			return nil, err
		}
		t.classes = append(t.classes, col)
	}
	if err := new(Writer).Apply(t, content(classes)); err != nil {
		return nil, err
	}
	return t, nil
}

func newColumn(c *Class, stops int) (column, error) {
	col := column{code: c.Class, buckets: make([]bucket, len(c.Buckets))}
	var total rail.SeatCount
	for i := range c.Buckets {
		b := &c.Buckets[i]
		if b.Capacity < 0 || b.Capacity > rail.MaxCount || b.Kind > Counts {
			return col, fmt.Errorf("%w: class %q bucket %d: kind %d, capacity %d; want a known kind and 0 to %d", ErrAdjust, c.Class, i, b.Kind, b.Capacity, rail.MaxCount)
		}
		total += b.Capacity
		col.buckets[i] = newBucket(b, stops, len(c.Buckets) == 1)
	}
	if total > rail.MaxCount || len(c.Buckets) > maxBuckets {
		return col, fmt.Errorf("%w: class %q has capacity %d in %d buckets; want at most %d in at most %d", ErrAdjust, c.Class, total, len(c.Buckets), rail.MaxCount, maxBuckets)
	}
	return col, nil
}

// maxBuckets is the greatest number of buckets of a class.
const maxBuckets = 64

func newBucket(b *Bucket, stops int, alone bool) bucket {
	out := bucket{kind: b.Kind, capacity: b.Capacity}
	if len(b.Quotas) > 0 {
		out.quotas = &Bucket{Quotas: b.Quotas}
	}
	out.direct = alone && out.quotas == nil && b.Kind != Pool
	switch {
	case b.Kind == Pool:
		out.counts = make([]uint16, stops-1)
	case !out.direct:
		out.counts = make([]uint16, timetable.NumODs(stops))
	}
	return out
}

func (b *bucket) allows(from, to rail.StopIndex) bool {
	return b.quotas == nil || b.quotas.Allows(from, to)
}

// content turns the spans of a state into the adjusts that make it from nothing.
func content(classes []Class) []Adjust {
	var all []Adjust
	for _, c := range classes {
		for i, b := range c.Buckets {
			for _, s := range b.Spans {
				all = append(all, Adjust{Class: c.Class, Bucket: uint8(i), From: s.From, To: s.To, By: s.Count})
			}
		}
	}
	return all
}

// Stops is the number of calls of the run.
func (t *Table) Stops() int { return t.stops }

// Classes is the number of seat classes.
func (t *Table) Classes() int { return len(t.classes) }

// Class is the code of class number i.
func (t *Table) Class(i int) rail.Class { return t.classes[i].code }

// Counts appends the remaining places of all classes for an OD to dst. Each four classes are one atomic load (I3).
func (t *Table) Counts(dst []rail.SeatCount, from, to rail.StopIndex) []rail.SeatCount {
	base := timetable.OD(t.stops, from, to) * t.width
	for w := range t.width {
		word := t.cells[base+w].Load()
		for range min(lanes, len(t.classes)-w*lanes) {
			dst = append(dst, rail.SeatCount(word&laneMask))
			word >>= laneBits
		}
	}
	return dst
}

// Allowed reports whether any bucket of class number i may be sold for an OD, whatever its count. It never changes within a table.
func (t *Table) Allowed(i int, from, to rail.StopIndex) bool {
	buckets := t.classes[i].buckets
	for k := range buckets {
		if buckets[k].allows(from, to) {
			return true
		}
	}
	return false
}

func (t *Table) column(code rail.Class) int {
	for i := range t.classes {
		if t.classes[i].code == code {
			return i
		}
	}
	return -1
}
