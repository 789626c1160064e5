package inventory

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Layout is what many tables have in common: stops, classes, and how their buckets count. It never changes, and is shared by all runs that are made alike.
type Layout struct {
	stops   int
	width   int // words for each OD
	cells   int // words of a table that are cells
	counts  int // numbers that its buckets keep beside the cells
	words   int // of a table, for both
	classes []column
}

// column is one class of a table.
type column struct {
	code    rail.Class
	buckets []bucket
}

// bucket is how a Bucket counts. A class with one bucket without quotas needs no numbers of its own: its counts are the cells.
type bucket struct {
	kind     Kind
	direct   bool
	capacity rail.SeatCount
	// Its numbers in a table's counts, by OD, for Pool by segment; none if direct.
	first, size int32
	quotas      []Quota
}

// NewLayout is the layout of a run with so many stops and such classes, whose spans do not matter. The error wraps ErrAdjust.
func NewLayout(stops int, classes []Class) (*Layout, error) {
	if stops < 2 || stops > rail.MaxStops {
		return nil, fmt.Errorf("%w: %d stops; want 2 to %d", ErrAdjust, stops, rail.MaxStops)
	}
	if len(classes) > rail.MaxClasses {
		return nil, fmt.Errorf("%w: %d classes; want at most %d", ErrAdjust, len(classes), rail.MaxClasses)
	}
	l := &Layout{stops: stops, width: (len(classes) + lanes - 1) / lanes, classes: make([]column, 0, len(classes))}
	l.cells = timetable.NumODs(stops) * l.width
	for i := range classes {
		if l.column(classes[i].Class) >= 0 {
			return nil, fmt.Errorf("%w: class %q occurs twice", ErrAdjust, classes[i].Class)
		}
		if err := l.add(&classes[i]); err != nil {
			return nil, err
		}
	}
	if l.words = l.cells + (l.counts+lanes-1)/lanes; l.words > maxWords {
		return nil, fmt.Errorf("%w: %d stops and %d classes with these buckets take %d bytes; want at most %d", ErrAdjust, stops, len(classes), 8*l.words, 8*maxWords)
	}
	return l, nil
}

// maxWords is the greatest size of a table: 16 MiB, twice what 32 classes of one bucket each take on 512 stops. A state of some kilobytes could ask for half a gigabyte.
const maxWords = 16 << 20 / 8

// Bytes is about how much memory a table of the layout takes, as if it were the only one.
func (l *Layout) Bytes() int64 {
	n := 8 * l.words
	for i := range l.classes {
		n += int(unsafe.Sizeof(column{}))
		for k := range l.classes[i].buckets {
			n += int(unsafe.Sizeof(bucket{})) + len(l.classes[i].buckets[k].quotas)*int(unsafe.Sizeof(Quota{}))
		}
	}
	return int64(n)
}

func (l *Layout) add(c *Class) error {
	col := column{code: c.Class, buckets: make([]bucket, len(c.Buckets))}
	var total rail.SeatCount
	for i := range c.Buckets {
		b := &c.Buckets[i]
		if b.Capacity < 0 || b.Capacity > rail.MaxCount || b.Kind > Counts {
			return fmt.Errorf("%w: class %q bucket %d: kind %d, capacity %d; want a known kind and 0 to %d", ErrAdjust, c.Class, i, b.Kind, b.Capacity, rail.MaxCount)
		}
		total += b.Capacity
		col.buckets[i] = l.bucket(b, len(c.Buckets) == 1)
	}
	if total > rail.MaxCount || len(c.Buckets) > MaxBuckets {
		return fmt.Errorf("%w: class %q has capacity %d in %d buckets; want at most %d in at most %d", ErrAdjust, c.Class, total, len(c.Buckets), rail.MaxCount, MaxBuckets)
	}
	l.classes = append(l.classes, col)
	return nil
}

// MaxBuckets is the greatest number of buckets of a class.
const MaxBuckets = 64

func (l *Layout) bucket(b *Bucket, alone bool) bucket {
	out := bucket{kind: b.Kind, capacity: b.Capacity, quotas: slices.Clone(b.Quotas), first: int32(l.counts)}
	out.direct = alone && len(out.quotas) == 0 && b.Kind != Pool
	switch {
	case b.Kind == Pool:
		out.size = int32(l.stops - 1)
	case !out.direct:
		out.size = int32(timetable.NumODs(l.stops))
	}
	l.counts += int(out.size)
	return out
}

// Fits reports whether NewLayout would make an equal one.
func (l *Layout) Fits(stops int, classes []Class) bool {
	return l.stops == stops && slices.EqualFunc(l.classes, classes, func(col column, c Class) bool {
		return col.code == c.Class && slices.EqualFunc(col.buckets, c.Buckets, func(b bucket, o Bucket) bool {
			return b.kind == o.Kind && b.capacity == o.Capacity && slices.Equal(b.quotas, o.Quotas)
		})
	})
}

func (b *bucket) allows(from, to rail.StopIndex) bool {
	return allowed(b.quotas, from, to)
}

func (l *Layout) column(code rail.Class) int {
	for i := range l.classes {
		if l.classes[i].code == code {
			return i
		}
	}
	return -1
}

// Stops is the number of calls of the run.
func (l *Layout) Stops() int { return l.stops }

// Classes is the number of seat classes.
func (l *Layout) Classes() int { return len(l.classes) }

// Class is the code of class number i.
func (l *Layout) Class(i int) rail.Class { return l.classes[i].code }

// Allowed reports whether any bucket of class number i may be sold for an OD, whatever its count.
func (l *Layout) Allowed(i int, from, to rail.StopIndex) bool {
	buckets := l.classes[i].buckets
	for k := range buckets {
		if buckets[k].allows(from, to) {
			return true
		}
	}
	return false
}
