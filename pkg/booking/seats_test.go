package booking

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// naiveSeats is the twin of a seatMap: who sits where, place by place and segment by segment; 0 for nobody.
type naiveSeats [][]int

func newNaive(stops, places int) (n naiveSeats) {
	for range places {
		n = append(n, make([]int, stops-1))
	}
	return n
}

func (n naiveSeats) set(t *rapid.T, place uint16, from, to rail.StopIndex, was, is int) {
	for s := from; s < to; s++ {
		if n[place][s] != was { // B1
			t.Fatalf("place %d segment %d holds %d, want %d", place, s, n[place][s], was)
		}
		n[place][s] = is
	}
}

// window grows [from, to) as far as the place is free.
func (n naiveSeats) window(place uint16, from, to rail.StopIndex) window {
	for from > 0 && n[place][from-1] == 0 {
		from--
	}
	for int(to) < len(n[place]) && n[place][to] == 0 {
		to++
	}
	return window{from, to}
}

func (n naiveSeats) free(from, to rail.StopIndex) (places []uint16) {
	for p := range n {
		if !slices.ContainsFunc(n[p][from:to], func(who int) bool { return who != 0 }) {
			places = append(places, uint16(p))
		}
	}
	return places
}

// best is the place that B2 wants.
func (n naiveSeats) best(from, to rail.StopIndex) (uint16, bool) {
	free := n.free(from, to)
	if len(free) == 0 {
		return 0, false
	}
	return slices.MinFunc(free, func(p, q uint16) int {
		return int(n.window(p, from, to).length()) - int(n.window(q, from, to).length())
	}), true
}

// covering counts the spans that cover an OD.
func covering(spans []inventory.Span, from, to rail.StopIndex) (n rail.SeatCount) {
	for _, s := range spans {
		if s.From <= from && to <= s.To {
			n += s.Count
		}
	}
	return n
}

func drawOD(t *rapid.T, stops int) (from, to rail.StopIndex) {
	f := rapid.IntRange(0, stops-2).Draw(t, "from")
	return rail.StopIndex(f), rail.StopIndex(rapid.IntRange(f+1, stops-1).Draw(t, "to"))
}

// B1, B2, B3: whatever is sold and refunded, a seatMap is equal to its naive twin, at any number of words for a place.
func TestSeatMapAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stops := rapid.SampledFrom([]int{2, 3, 5, 12, 33, 64, 65, 66, 70, 129, 130, 512}).Draw(t, "stops")
		places := rapid.IntRange(0, 7).Draw(t, "places")
		m, twin := newSeatMap(stops, rail.SeatCount(places)), newNaive(stops, places)
		type sold struct {
			place    uint16
			from, to rail.StopIndex
			who      int
		}
		var tickets []sold
		for who := range rapid.IntRange(0, 60).Draw(t, "acts") {
			who++
			switch act := rapid.IntRange(0, 9).Draw(t, "act"); {
			case act == 0:
				m.add(1)
				twin = append(twin, newNaive(stops, 1)...)
			case act < 4 && len(tickets) > 0:
				i := rapid.IntRange(0, len(tickets)-1).Draw(t, "ticket")
				k := tickets[i]
				tickets = slices.Delete(tickets, i, i+1)
				twin.set(t, k.place, k.from, k.to, k.who, 0)
				if got, want := m.refund(k.place, k.from, k.to), twin.window(k.place, k.from, k.to); got != want {
					t.Fatalf("refund merges to %v, want %v", got, want)
				}
			default:
				from, to := drawOD(t, stops)
				want, possible := twin.best(from, to)
				place, cut, ok := m.sell(from, to)
				if ok != possible || place != want || ok && cut != twin.window(place, from, to) {
					t.Fatalf("sell [%d, %d): place %d out of %v (%t), want place %d (%t)", from, to, place, cut, ok, want, possible)
				}
				if ok {
					twin.set(t, place, from, to, 0, who)
					tickets = append(tickets, sold{place, from, to, who})
				}
			}
		}
		spans := m.spans()
		for range 20 {
			from, to := drawOD(t, stops)
			want := rail.SeatCount(len(twin.free(from, to)))
			if a, b := m.remaining(from, to), covering(spans, from, to); a != want || b != want {
				t.Fatalf("[%d, %d): %d places free, %d by windows, want %d", from, to, a, b, want)
			}
		}
	})
}

func TestPool(t *testing.T) {
	p := newPool(4, 2)
	for _, c := range []struct {
		from, to rail.StopIndex
		ok       bool
	}{{0, 2, true}, {1, 3, true}, {1, 2, false}, {0, 3, false}, {2, 3, true}, {2, 3, false}} {
		if _, cut, ok := p.sell(c.from, c.to); ok != c.ok || ok && cut != (window{c.from, c.to}) {
			t.Errorf("sell [%d, %d): %v, %t, want %t", c.from, c.to, cut, ok, c.ok)
		}
	}
	p.refund(0, 1, 3)
	p.add(1)
	want := []inventory.Span{{From: 0, To: 3, Count: 2}}
	if got := p.spans(); !slices.Equal(got, want) {
		t.Errorf("spans %v, want %v", got, want)
	}
}
