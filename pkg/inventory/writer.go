package inventory

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Writer applies changes to tables. It holds scratch space only, so that one Writer serves all runs of a partition without allocating; it
// is not safe for concurrent use.
type Writer struct {
	groups []group
	words  []uint64 // next content of the dirty cells
	dirty  []int    // cells that the change touches
	marked []bool   // whether a cell is in dirty

	room    []atomic.Uint64 // of built
	built   Table           // by Build
	content []Adjust        // of the state that Build works on
}

// maxVolume keeps the three sums that spread adds up within 32 bits.
const maxVolume = 1 << 29

// group is the part of a change that concerns one bucket.
type group struct {
	class  int
	bucket int
	// lo and hi bound the stops touched.
	lo, hi rail.StopIndex
	// volume is the sum of the sizes of the adjusts; it bounds every number that spread can meet.
	volume int64
	// diff is what the change adds: by OD, for Pool by segment. Zero outside a call.
	diff []int32
}

// Apply makes all of a change or none of it. A reader sees each cell as it was before or as it is after (I3). The error wraps ErrAdjust
// or ErrBreach, and the table is then untouched.
func (w *Writer) Apply(t *Table, adjusts []Adjust) error {
	err := w.collect(t, adjusts)
	for i := 0; err == nil && i < len(w.groups); i++ {
		err = w.groups[i].check(t)
	}
	if err == nil {
		w.commit(t)
	}
	w.reset(t)
	runtime.KeepAlive(t) // and so the memory of its cells
	return err
}

// Build works out the content of a state with the layout, for Store. The error wraps ErrAdjust or ErrBreach (I6).
func (w *Writer) Build(l *Layout, classes []Class) error {
	if len(w.room) < l.words {
		w.room = make([]atomic.Uint64, l.words)
	}
	w.built = Table{Layout: l, memory: unsafe.SliceData(w.room)}
	clear(w.room[:l.words])
	w.content = w.content[:0]
	for i := range classes {
		w.spans(&classes[i])
	}
	return w.Apply(&w.built, w.content)
}

// spans turns the spans of a class into the adjusts that make it from nothing.
func (w *Writer) spans(c *Class) {
	for i := range c.Buckets {
		for _, s := range c.Buckets[i].Spans {
			w.content = append(w.content, Adjust{Class: c.Class, Bucket: uint8(i), From: s.From, To: s.To, By: s.Count})
		}
	}
}

// Store gives a table of the layout the content that was built last. A reader sees each cell as it was before or as it is after (I6).
func (w *Writer) Store(t *Table) {
	built, cells := w.built.cells(), t.cells()
	for i := range cells {
		if next := built[i].Load(); next != cells[i].Load() {
			cells[i].Store(next)
		}
	}
	copy(t.counts(), w.built.counts())
	runtime.KeepAlive(t) // and so the memory of its cells
}

// collect sums the adjusts up bucket by bucket.
func (w *Writer) collect(t *Table, adjusts []Adjust) error {
	for i := range adjusts {
		a := &adjusts[i]
		class := t.column(a.Class)
		if class < 0 || int(a.Bucket) >= len(t.classes[class].buckets) {
			return fmt.Errorf("%w: class %q bucket %d is not in the run", ErrAdjust, a.Class, a.Bucket)
		}
		if a.From >= a.To || int(a.To) >= t.stops {
			return fmt.Errorf("%w: class %q: stops [%d, %d); want from < to < %d", ErrAdjust, a.Class, a.From, a.To, t.stops)
		}
		if a.By < -rail.MaxCount || a.By > rail.MaxCount {
			return fmt.Errorf("%w: class %q: by %d; want at most %d either way", ErrAdjust, a.Class, a.By, rail.MaxCount)
		}
		g := w.group(t, class, int(a.Bucket))
		if g.volume += int64(max(a.By, -a.By)); g.volume > maxVolume {
			return fmt.Errorf("%w: class %q bucket %d: the adjusts add up to %d; want at most %d", ErrBreach, a.Class, a.Bucket, g.volume, maxVolume)
		}
		g.add(t, a)
	}
	for i := range w.groups {
		w.groups[i].spread(t)
	}
	return nil
}

// group finds or opens the group of a bucket.
func (w *Writer) group(t *Table, class, bucket int) *group {
	for i := range w.groups {
		if g := &w.groups[i]; g.class == class && g.bucket == bucket {
			return g
		}
	}
	if len(w.groups) == cap(w.groups) {
		w.groups = append(w.groups, group{})
	} else {
		w.groups = w.groups[:len(w.groups)+1] // keeps the diff of an earlier use
	}
	g := &w.groups[len(w.groups)-1]
	g.class, g.bucket, g.volume = class, bucket, 0
	g.lo, g.hi = rail.StopIndex(t.stops), 0
	if n := timetable.NumODs(t.stops); len(g.diff) < n {
		g.diff = make([]int32, n)
	}
	return g
}

func (g *group) of(t *Table) *bucket { return &t.classes[g.class].buckets[g.bucket] }

// add notes one adjust. Windows are noted at their own OD and spread later.
func (g *group) add(t *Table, a *Adjust) {
	g.lo, g.hi = min(g.lo, a.From), max(g.hi, a.To)
	if g.of(t).kind != Pool {
		g.diff[timetable.OD(t.stops, a.From, a.To)] += int32(a.By)
		return
	}
	for s := a.From; s < a.To; s++ {
		g.diff[s] += int32(a.By)
	}
}

// row is where the ODs of a boarding stop lie: OD(from, to) is row(from) + to. Of the stop before the first it is a number without a meaning.
func row(t *Table, from rail.StopIndex) int { return timetable.OD(t.stops, from, 0) }

// spread turns changed windows into changed counts: a count is the sum of the windows that cover it, so with a rising and b falling
// count(a,b) = window(a,b) + count(a-1,b) + count(a,b+1) - count(a-1,b+1), a two-dimensional prefix sum.
func (g *group) spread(t *Table) {
	if g.of(t).kind != Windows {
		return
	}
	for a := g.lo; a < g.hi; a++ {
		row, above := row(t, a), row(t, a-1)
		for b := g.hi; b > a; b-- {
			sum := g.diff[row+int(b)]
			if b < g.hi {
				sum += g.diff[row+int(b)+1]
			}
			if a > g.lo {
				sum += g.diff[above+int(b)]
				if b < g.hi {
					sum -= g.diff[above+int(b)+1]
				}
			}
			g.diff[row+int(b)] = sum
		}
	}
}

// check holds the bucket to I1 and I2 as it would be after the change.
func (g *group) check(t *Table) error {
	b := g.of(t)
	if b.kind == Pool {
		return g.checkSegments(t, b)
	}
	for from := g.lo; from < g.hi; from++ {
		row, above := row(t, from), row(t, from-1)
		n := g.after(t, b, row+int(from)+1)
		for to := from + 1; to <= g.hi; to++ {
			longer := rail.SeatCount(0) // on the OD that ends one stop later
			if int(to)+1 < t.stops {
				longer = g.after(t, b, row+int(to)+1)
			}
			if n < 0 || n > b.capacity {
				return g.breach(t, from, to, n, fmt.Sprintf("want 0 to %d", b.capacity))
			}
			if b.kind == Windows && (n < longer || from > 0 && n < g.after(t, b, above+int(to))) {
				return g.breach(t, from, to, n, "want no fewer than on a longer OD around it")
			}
			n = longer
		}
	}
	return nil
}

func (g *group) checkSegments(t *Table, b *bucket) error {
	for s := g.lo; s < g.hi; s++ {
		if n := rail.SeatCount(t.own(b)[s]) + rail.SeatCount(g.diff[s]); n < 0 || n > b.capacity {
			return g.breach(t, s, s+1, n, fmt.Sprintf("want 0 to %d", b.capacity))
		}
	}
	return nil
}

func (g *group) breach(t *Table, from, to rail.StopIndex, n rail.SeatCount, want string) error {
	return fmt.Errorf("%w: class %q bucket %d stops [%d, %d) would have %d; %s", ErrBreach, t.classes[g.class].code, g.bucket, from, to, n, want)
}

// after is the count of an OD as it would be after the change. The diff is zero outside the touched stops.
func (g *group) after(t *Table, b *bucket, od int) rail.SeatCount {
	if b.direct {
		return rail.SeatCount(t.cells()[od*t.width+g.class/lanes].Load()>>shift(g.class)&laneMask) + rail.SeatCount(g.diff[od])
	}
	return rail.SeatCount(t.own(b)[od]) + rail.SeatCount(g.diff[od])
}

func shift(class int) int { return class % lanes * laneBits }

// commit stages every touched cell and then stores each once, so that no reader sees one class of a change without the other.
func (w *Writer) commit(t *Table) {
	cells := t.cells()
	w.fit(len(cells))
	for i := range w.groups {
		w.stage(t, &w.groups[i])
	}
	for _, c := range w.dirty {
		if w.words[c] != cells[c].Load() {
			cells[c].Store(w.words[c])
		}
		w.marked[c] = false
	}
	w.dirty = w.dirty[:0]
}

func (w *Writer) fit(cells int) {
	if len(w.words) < cells {
		w.words, w.marked = make([]uint64, cells), make([]bool, cells)
	}
}

func (w *Writer) stage(t *Table, g *group) {
	b := g.of(t)
	if b.kind == Pool {
		w.stagePool(t, g, b)
		return
	}
	for from := g.lo; from < g.hi; from++ {
		row := row(t, from)
		for to := from + 1; to <= g.hi; to++ {
			od := row + int(to)
			d := g.diff[od]
			if d == 0 {
				continue
			}
			if !b.direct {
				t.own(b)[od] = uint16(int32(t.own(b)[od]) + d)
			}
			if b.allows(from, to) {
				w.bump(t, g.class, od, d)
			}
		}
	}
}

// stagePool: every OD that meets a touched segment has a new minimum.
func (w *Writer) stagePool(t *Table, g *group, b *bucket) {
	for from := rail.StopIndex(0); from < g.hi; from++ {
		before, after := rail.SeatCount(rail.MaxCount), rail.SeatCount(rail.MaxCount)
		for to := from + 1; int(to) < t.stops; to++ {
			n := rail.SeatCount(t.own(b)[to-1])
			before = min(before, n)
			after = min(after, n+g.segment(to-1))
			if before != after && b.allows(from, to) {
				w.bump(t, g.class, timetable.OD(t.stops, from, to), int32(after-before))
			}
		}
	}
	for s := g.lo; s < g.hi; s++ {
		t.own(b)[s] = uint16(int32(t.own(b)[s]) + g.diff[s])
	}
}

func (g *group) segment(s rail.StopIndex) rail.SeatCount {
	if s < g.lo || s >= g.hi {
		return 0
	}
	return rail.SeatCount(g.diff[s])
}

// bump changes one class's count in a cell: of a change of one bucket at once, since no other part of it can meet the cell, else in what is staged. In the end the
// sum stays within its lane, since a class's capacity is at most MaxCount; what a sum on the way there carries into the next lane, the rest of it takes back.
func (w *Writer) bump(t *Table, class, od int, by int32) {
	c := od*t.width + class/lanes
	change := uint64(int64(by)) << shift(class)
	if len(w.groups) == 1 {
		cell := &t.cells()[c]
		cell.Store(cell.Load() + change)
		return
	}
	if !w.marked[c] {
		w.marked[c] = true
		w.words[c] = t.cells()[c].Load()
		w.dirty = append(w.dirty, c)
	}
	w.words[c] += change
}

// reset clears what the change left in the diffs.
func (w *Writer) reset(t *Table) {
	for i := range w.groups {
		g := &w.groups[i]
		if g.of(t).kind == Pool {
			clear(g.diff[:t.stops-1])
			continue
		}
		for a := g.lo; a < g.hi; a++ {
			row := row(t, a)
			clear(g.diff[row+int(a)+1 : row+int(g.hi)+1])
		}
	}
	w.groups = w.groups[:0]
}
