package country

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// window is the stops [l, r).
type window struct{ l, r rail.StopIndex }

// windows is so many free windows alike.
type windows struct {
	window
	count uint16
}

// stock is what is left of a class: free windows in no order, or for places to stand how many are left on each segment.
type stock struct {
	free []windows
	left []uint16 // nil for a class with assigned places
}

func (s *stock) kind() inventory.Kind {
	if s.left != nil {
		return inventory.Pool
	}
	return inventory.Windows
}

// sell takes a place for [from, to) out of the shortest window that covers it, of equal ones the first, and tells which. A place to stand is a window of its own.
func (s *stock) sell(from, to rail.StopIndex) (cut window, ok bool) {
	if s.left != nil {
		if slices.Min(s.left[from:to]) == 0 {
			return window{}, false
		}
		s.stand(from, to, -1)
		return window{from, to}, true
	}
	for _, w := range s.free {
		if w.l <= from && w.r >= to && (!ok || cmp.Or(cmp.Compare(w.r-w.l, cut.r-cut.l), cmp.Compare(w.l, cut.l)) < 0) {
			cut, ok = w.window, true
		}
	}
	if ok {
		s.take(cut)
		s.put(window{cut.l, from}, 1)
		s.put(window{to, cut.r}, 1)
	}
	return cut, ok
}

// refund puts a window together again out of which [from, to) was sold. It is false, and nothing is done, if a part of it is not there any more.
func (s *stock) refund(cut window, from, to rail.StopIndex) bool {
	if s.left != nil {
		s.stand(from, to, 1)
		return true
	}
	before, after := window{cut.l, from}, window{to, cut.r}
	if before.l < before.r && s.find(before) < 0 || after.l < after.r && s.find(after) < 0 {
		return false
	}
	s.take(before)
	s.take(after)
	s.put(cut, 1)
	return true
}

func (s *stock) find(w window) int {
	return slices.IndexFunc(s.free, func(f windows) bool { return f.window == w })
}

// put adds windows; an empty one, or none of them, is nothing.
func (s *stock) put(w window, count uint16) {
	if w.l >= w.r || count == 0 {
		return
	}
	if i := s.find(w); i >= 0 {
		s.free[i].count += count
		return
	}
	s.free = append(s.free, windows{w, count})
}

// take removes a window that is there; an empty one is nothing.
func (s *stock) take(w window) {
	if w.l >= w.r {
		return
	}
	i, last := s.find(w), len(s.free)-1
	if s.free[i].count--; s.free[i].count == 0 {
		s.free[i] = s.free[last]
		s.free = s.free[:last]
	}
}

func (s *stock) stand(from, to rail.StopIndex, by int) {
	for i := from; i < to; i++ {
		s.left[i] = uint16(int(s.left[i]) + by)
	}
}

// spans is the content, sorted.
func (s *stock) spans() []inventory.Span {
	if s.left != nil {
		return s.standing()
	}
	spans := make([]inventory.Span, 0, len(s.free))
	for _, w := range s.free {
		spans = append(spans, inventory.Span{From: w.l, To: w.r, Count: rail.SeatCount(w.count)})
	}
	slices.SortFunc(spans, func(a, b inventory.Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return spans
}

// standing joins neighbouring segments with the same number.
func (s *stock) standing() (spans []inventory.Span) {
	for from, to := 0, 0; from < len(s.left); from = to {
		for to < len(s.left) && s.left[to] == s.left[from] {
			to++
		}
		if n := s.left[from]; n > 0 {
			spans = append(spans, inventory.Span{From: rail.StopIndex(from), To: rail.StopIndex(to), Count: rail.SeatCount(n)})
		}
	}
	return spans
}

// How much is sold when a run opens.
const (
	// soldToday of the places of an average train are sold on its hot section on the day itself; on each day before that, so much less: a third is sold four
	// days ahead, next to nothing in two weeks.
	soldToday = 0.9
	perDay    = 0.78
	// A train is up to so much more, or less, wanted than others.
	heatSpread = 0.35
	// groups are the most different ODs that travellers of a class have on the hot section.
	groups = 12
)

// opened is a run as it is when it opens. It is the same whenever it is asked for (C6).
func (b *Book) opened(trip int32, date rail.Date) *run {
	id := b.schedule.Trips[trip].ID
	segments := len(b.schedule.Trips[trip].Pattern.Stops) - 1
	always := rand.New(rand.NewPCG(b.seed, hash(string(id)))) // what is so on all dates of a trip
	hot := hotSection(segments, always)
	share := soldToday * math.Pow(perDay, float64(max(date-b.today, 0))) * (1 + heatSpread*(2*always.Float64()-1))
	rng := rand.New(rand.NewPCG(b.seed^uint64(date), hash(string(id))))
	r := &run{revision: 1, stocks: make([]stock, len(b.places[trip]))}
	for i, offer := range b.schedule.Trips[trip].Pattern.Classes {
		sold := uint16(min(share*(0.9+0.2*rng.Float64()), 1) * float64(b.places[trip][i]))
		if offer.Accommodation == rail.Standing {
			r.stocks[i] = openedStanding(segments, hot, uint16(b.places[trip][i]), sold/2)
		} else {
			r.stocks[i] = openedSeats(segments, hot, uint16(b.places[trip][i]), sold, rng)
		}
	}
	return r
}

// hotSection is the part of a train's way on which it is wanted most.
func hotSection(segments int, rng *rand.Rand) window {
	l := rng.IntN(segments/2 + 1)
	return window{rail.StopIndex(l), rail.StopIndex(l + 1 + rng.IntN(max(segments-l, 1)))}
}

// openedSeats is places of which so many are sold to groups of travellers who ride the whole hot section and some stops more on either side. What is left of
// their places before and after it is free, or in part sold again.
func openedSeats(segments int, hot window, places, sold uint16, rng *rand.Rand) (s stock) {
	end := rail.StopIndex(segments)
	s.put(window{0, end}, places-sold)
	for left, n := sold, min(groups, 1+segments/2); left > 0; n-- {
		group := left / uint16(max(n, 1))
		if n <= 1 || group == 0 {
			group = left
		}
		left -= group
		from, to := rail.StopIndex(rng.IntN(int(hot.l)+1)), hot.r+rail.StopIndex(rng.IntN(int(end-hot.r)+1))
		s.leave(window{0, from}, group, rng)
		s.leave(window{to, end}, group, rng)
	}
	return s
}

// leave puts what is left of a group's places: of one half the whole window, of the other what remains after one more ride.
func (s *stock) leave(w window, count uint16, rng *rand.Rand) {
	if w.l >= w.r {
		return
	}
	whole := count / 2
	s.put(w, whole)
	at := w.l + rail.StopIndex(rng.IntN(int(w.r-w.l)+1))
	if rng.IntN(2) == 0 {
		s.put(window{w.l, at}, count-whole)
	} else {
		s.put(window{at, w.r}, count-whole)
	}
}

// openedStanding is places to stand of which so many are taken on the hot section.
func openedStanding(segments int, hot window, places, sold uint16) stock {
	s := stock{left: slices.Repeat([]uint16{places}, segments)}
	for i := hot.l; i < hot.r; i++ {
		s.left[i] -= sold
	}
	return s
}
