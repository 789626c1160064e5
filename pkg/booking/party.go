package booking

import (
	"cmp"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// cut is a place that was sold, with the free window that it was cut out of.
type cut struct {
	seat   Seat
	window window
}

// take sells places for a party, all or none: out of the last bucket that allows the OD and has enough for all, or else out of several (B2).
func (c *class) take(from, to rail.StopIndex, party Party) ([]cut, error) {
	total, allowed := rail.SeatCount(0), false
	for i := len(c.buckets) - 1; i >= 0; i-- {
		if !c.buckets[i].Allows(from, to) {
			continue
		}
		allowed = true
		n := c.buckets[i].stock.remaining(from, to)
		if n >= rail.SeatCount(party.Size) {
			return c.takeFrom(i, from, to, party), nil
		}
		total += n
	}
	switch {
	case !allowed:
		return nil, refuse(ErrRestricted, "from stop %d to %d", from, to)
	case total < rail.SeatCount(party.Size):
		return nil, refuse(ErrSoldOut, "from stop %d to %d: %d places for %d", from, to, total, party.Size)
	}
	return c.takeFromSeveral(from, to, party), nil
}

// takeFromSeveral takes what each bucket has. The caller has counted that it is enough.
func (c *class) takeFromSeveral(from, to rail.StopIndex, party Party) (cuts []cut) {
	for i := len(c.buckets) - 1; i >= 0 && party.Size > 0; i-- {
		if !c.buckets[i].Allows(from, to) {
			continue
		}
		part := party
		part.Size = min(party.Size, int(c.buckets[i].stock.remaining(from, to)))
		cuts = append(cuts, c.takeFrom(i, from, to, part)...)
		party.Size -= part.Size
	}
	return cuts
}

// takeFrom takes places of one bucket that has enough.
func (c *class) takeFrom(bucket int, from, to rail.StopIndex, party Party) []cut {
	b := &c.buckets[bucket]
	cuts := make([]cut, 0, party.Size)
	seats, assigned := b.stock.(*seatMap)
	if !assigned || party.Size == 1 && !selective(party.Wish) {
		for range party.Size {
			place, w, _ := b.stock.sell(from, to)
			cuts = append(cuts, cut{Seat{Bucket: uint8(bucket), Place: place}, w})
		}
		return cuts
	}
	for _, place := range c.group(b, seats.free(from, to), party) {
		cuts = append(cuts, cut{Seat{Bucket: uint8(bucket), Place: place}, seats.take(place, from, to)})
	}
	return cuts
}

func selective(w Wish) bool { return w == Window || w == Aisle || w == LowerBerth }

// candidate is a free place: its number within the class, and how many segments of its window would be left over.
type candidate struct {
	place  uint16
	number int
	over   rail.StopIndex
}

// group picks the places of a party: of those that meet the wish if they are enough, else of all.
func (c *class) group(b *bucket, free []candidate, party Party) []uint16 {
	meeting := make([]candidate, 0, len(free))
	for i := range free {
		free[i].number = b.numbers.of(free[i].place)
		if c.layout.meets(party.Wish, free[i].number) {
			meeting = append(meeting, free[i])
		}
	}
	if len(meeting) >= party.Size {
		free = meeting
	}
	return c.closest(free, party.Size)
}

// nearness orders groups of places: all in one coach first, then the closest together, then those that leave the least over.
type nearness struct{ coaches, spread, over int }

func (a nearness) compare(b nearness) int {
	return cmp.Or(cmp.Compare(a.coaches, b.coaches), cmp.Compare(a.spread, b.spread), cmp.Compare(a.over, b.over))
}

// closest is the best of all groups of neighbours among candidates in the order of their numbers. Any other group of n has a neighbouring one with
// at most its spread, so that looking at neighbours is enough.
func (c *class) closest(free []candidate, n int) []uint16 {
	best, least := 0, nearness{}
	for i := 0; i+n <= len(free); i++ {
		group := free[i : i+n]
		near := nearness{coaches: c.layout.coach(group[n-1].number) - c.layout.coach(group[0].number), spread: group[n-1].number - group[0].number}
		for _, f := range group {
			near.over += int(f.over)
		}
		if i == 0 || near.compare(least) < 0 {
			best, least = i, near
		}
	}
	places := make([]uint16, 0, n)
	for _, f := range free[best : best+n] {
		places = append(places, f.place)
	}
	return places
}

// adjustsOf are the changes of the counts that sales of places make. Equal ones are joined.
func adjustsOf(code rail.Class, cuts []cut, from, to rail.StopIndex) []inventory.Adjust {
	var out []inventory.Adjust
	for _, c := range cuts {
		for _, a := range inventory.Sell(code, c.seat.Bucket, c.window.l, c.window.r, from, to) {
			out = join(out, a)
		}
	}
	return out
}

func join(all []inventory.Adjust, a inventory.Adjust) []inventory.Adjust {
	for i := range all {
		if b := &all[i]; b.Bucket == a.Bucket && b.From == a.From && b.To == a.To {
			b.By += a.By
			return all
		}
	}
	return append(all, a)
}
