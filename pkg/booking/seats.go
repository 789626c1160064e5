package booking

import (
	"math/bits"
	"slices"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// window is the stops [l, r).
type window struct{ l, r rail.StopIndex }

func (w window) length() rail.StopIndex { return w.r - w.l }

// stock is the places of a bucket. None of its methods checks its arguments: from < to within the run, and only what was sold is refunded.
type stock interface {
	// sell takes one place for [from, to) and returns the free window that it was cut out of.
	sell(from, to rail.StopIndex) (place uint16, cut window, ok bool)
	// take sells [from, to) of a place that is free there, and returns the free window that it was cut out of.
	take(place uint16, from, to rail.StopIndex) (cut window)
	// refund gives [from, to) of a place back and returns the free window that it is now part of.
	refund(place uint16, from, to rail.StopIndex) (merged window)
	// remaining counts what can be sold for [from, to), the naive way.
	remaining(from, to rail.StopIndex) rail.SeatCount
	// spans is the content, sorted.
	spans() []inventory.Span
	// add puts more places on sale, free from end to end.
	add(places rail.SeatCount)
}

// seatMap is assigned places: a bit for each segment of each place, set while it is sold.
type seatMap struct {
	stops  int
	places rail.SeatCount
	width  int      // words for each place
	sold   []uint64 // place by place; nil until the first sale, which most runs of later days wait for
}

const wordBits = 64

func newSeatMap(stops int, places rail.SeatCount) *seatMap {
	return &seatMap{stops: stops, places: places, width: (stops - 1 + wordBits - 1) / wordBits}
}

// sell is best fit (B2): it looks at every place, which for 1,000 of them is a few microseconds.
func (m *seatMap) sell(from, to rail.StopIndex) (place uint16, cut window, ok bool) {
	m.touch()
	least := rail.StopIndex(rail.MaxStops)
	for p := range uint16(m.places) {
		free, covers := m.around(p, from, to)
		if !covers || free.length() >= least {
			continue
		}
		place, cut, ok, least = p, free, true, free.length()
		if least == to-from {
			break // nothing left over: no later place is better
		}
	}
	if ok {
		m.flip(place, from, to)
	}
	return place, cut, ok
}

// touch makes the bits at the first sale.
func (m *seatMap) touch() {
	if m.sold == nil {
		m.sold = make([]uint64, int(m.places)*m.width)
	}
}

func (m *seatMap) take(place uint16, from, to rail.StopIndex) window {
	m.touch()
	cut, _ := m.around(place, from, to)
	m.flip(place, from, to)
	return cut
}

// free lists the places that are free on all of [from, to).
func (m *seatMap) free(from, to rail.StopIndex) (all []candidate) {
	m.touch()
	for p := range uint16(m.places) {
		if w, covers := m.around(p, from, to); covers {
			all = append(all, candidate{place: p, over: w.length() - (to - from)})
		}
	}
	return all
}

func (m *seatMap) refund(place uint16, from, to rail.StopIndex) window {
	m.flip(place, from, to)
	merged, _ := m.around(place, from, to)
	return merged
}

// remaining walks every place and looks at every segment. It shares nothing with sell but the bits.
func (m *seatMap) remaining(from, to rail.StopIndex) (n rail.SeatCount) {
	for p := range uint16(m.places) {
		free := true
		for s := from; s < to; s++ {
			free = free && !m.isSold(p, s)
		}
		if free {
			n++
		}
	}
	return n
}

func (m *seatMap) spans() []inventory.Span {
	end := rail.StopIndex(m.stops - 1)
	if m.places == 0 {
		return nil
	}
	if m.sold == nil {
		return []inventory.Span{{From: 0, To: end, Count: m.places}}
	}
	counts := make([]rail.SeatCount, timetable.NumODs(m.stops))
	for p := range uint16(m.places) {
		for s := rail.StopIndex(0); s < end; s++ {
			if !m.isSold(p, s) {
				r := m.nextSold(p, s)
				counts[timetable.OD(m.stops, s, r)]++
				s = r
			}
		}
	}
	return spansOf(m.stops, counts)
}

// spansOf lists the counts by OD that are not zero.
func spansOf(stops int, counts []rail.SeatCount) (spans []inventory.Span) {
	od := 0
	for from := range rail.StopIndex(stops) {
		for to := from + 1; int(to) < stops; to++ {
			if n := counts[od]; n != 0 {
				spans = append(spans, inventory.Span{From: from, To: to, Count: n})
			}
			od++
		}
	}
	return spans
}

func (m *seatMap) add(places rail.SeatCount) {
	m.places += places
	if m.sold != nil {
		m.sold = append(m.sold, make([]uint64, int(places)*m.width)...)
	}
}

// around is the free window of a place that covers [from, to), if it is free there.
func (m *seatMap) around(place uint16, from, to rail.StopIndex) (free window, covers bool) {
	r := m.nextSold(place, from)
	if r < to {
		return window{}, false
	}
	return window{l: m.freeSince(place, from), r: r}, true
}

func (m *seatMap) row(place uint16) []uint64 {
	return m.sold[int(place)*m.width:][:m.width]
}

func (m *seatMap) isSold(place uint16, segment rail.StopIndex) bool {
	return m.sold != nil && m.row(place)[segment/wordBits]>>(segment%wordBits)&1 != 0
}

// flip sells what is free and frees what is sold.
func (m *seatMap) flip(place uint16, from, to rail.StopIndex) {
	row := m.row(place)
	for s := from; s < to; s++ {
		row[s/wordBits] ^= 1 << (s % wordBits)
	}
}

// nextSold is the first sold segment of a place at or after one, or the last stop if there is none.
func (m *seatMap) nextSold(place uint16, segment rail.StopIndex) rail.StopIndex {
	row, first := m.row(place), int(segment/wordBits)
	word := row[first] &^ (1<<(segment%wordBits) - 1)
	for w := first; ; {
		if word != 0 {
			return rail.StopIndex(w*wordBits + bits.TrailingZeros64(word))
		}
		if w++; w == len(row) {
			return rail.StopIndex(m.stops - 1)
		}
		word = row[w]
	}
}

// freeSince is the stop from which on a place is free up to the given one: that behind the last sold segment before it, or 0.
func (m *seatMap) freeSince(place uint16, stop rail.StopIndex) rail.StopIndex {
	row, last := m.row(place), int(stop/wordBits)
	word := row[last] & (1<<(stop%wordBits) - 1)
	for w := last; ; {
		if word != 0 {
			return rail.StopIndex(w*wordBits + bits.Len64(word))
		}
		if w--; w < 0 {
			return 0
		}
		word = row[w]
	}
}

// pool is places without assignment: how many are left on each segment. A sale is cut out of nothing larger than itself, so that its window
// is its OD.
type pool struct{ left []rail.SeatCount }

func newPool(stops int, places rail.SeatCount) *pool {
	return &pool{left: slices.Repeat([]rail.SeatCount{places}, stops-1)}
}

func (p *pool) sell(from, to rail.StopIndex) (place uint16, cut window, ok bool) {
	if p.remaining(from, to) == 0 {
		return 0, window{}, false
	}
	p.change(from, to, -1)
	return 0, window{from, to}, true
}

func (p *pool) take(_ uint16, from, to rail.StopIndex) window {
	p.change(from, to, -1)
	return window{from, to}
}

func (p *pool) refund(_ uint16, from, to rail.StopIndex) window {
	p.change(from, to, 1)
	return window{from, to}
}

func (p *pool) remaining(from, to rail.StopIndex) rail.SeatCount { return slices.Min(p.left[from:to]) }

func (p *pool) add(places rail.SeatCount) { p.change(0, rail.StopIndex(len(p.left)), places) }

func (p *pool) change(from, to rail.StopIndex, by rail.SeatCount) {
	for s := from; s < to; s++ {
		p.left[s] += by
	}
}

// spans joins neighbouring segments with the same number.
func (p *pool) spans() (spans []inventory.Span) {
	for from, to := 0, 0; from < len(p.left); from = to {
		for to < len(p.left) && p.left[to] == p.left[from] {
			to++
		}
		if n := p.left[from]; n != 0 {
			spans = append(spans, inventory.Span{From: rail.StopIndex(from), To: rail.StopIndex(to), Count: n})
		}
	}
	return spans
}
