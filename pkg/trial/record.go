package trial

import (
	"cmp"
	"slices"
	"time"
	"unsafe"
)

// record is what is kept of a key while it is recorded.
type record struct {
	hash  uint64 // mixed
	probe Probe
	since slot

	// Guarded by the shard's mutex.
	hot      slot // the first that counts in the hot stratum; never for a key that is not hot
	fresh    bool // its first request ever is the first arrival
	arrivals queue[arrival]

	truth
}

// truth is what a record knows of the answer; guarded by Recorder.polling.
type truth struct {
	probed  bool
	from    slot // the first poll
	stamp   uint64
	late    bool // a look is due
	digest  uint64
	seats   []Seat // by cell
	opening []time.Time
	looked  slot
	before  uint64 // digest before the first change that is kept
	changes queue[change]
}

// arrive counts a request. Those of goroutines that overtook each other count at the newest slot.
func (r *record) arrive(at slot) {
	if last := r.arrivals.last(); last != nil && last.at >= at {
		last.n++
		return
	}
	r.arrivals.push(arrival{at: at, n: 1})
}

func (r *record) asked() slot {
	if last := r.arrivals.last(); last != nil {
		return last.at
	}
	return r.since
}

// forget drops the requests before a slot, but for the last of them: it tells what a cache held then (X3).
func (r *record) forget(before slot) {
	all := r.arrivals.all()
	n, _ := slices.BinarySearchFunc(all, before, func(a arrival, s slot) int { return cmp.Compare(a.at, s) })
	if n > 1 {
		r.arrivals.drop(n - 1)
		r.fresh = false
	}
}

// first is the slot of the oldest request that is kept.
func (r *record) first() slot {
	if all := r.arrivals.all(); len(all) > 0 {
		return all[0].at
	}
	return r.since
}

// poll reads the stamp (X6). It looks at the answer if the stamp has moved, or the clock has passed an opening, and the budget allows; else it
// comes back to it.
func (t *truth) poll(p Probe, now slot, clock func(slot) time.Time, budget *int) (late bool) {
	stamp := p.Stamp() // before the look: a change during it is found by the next poll
	moved := t.probed && stamp != t.stamp
	opened := t.probed && !moved && t.opened(clock(t.looked), clock(now))
	if t.probed && !moved && !opened && !t.late {
		return false
	}
	n := uint32(0)
	switch {
	case moved:
		n = advanced(t.stamp, stamp)
	case opened:
		n = 1
	}
	t.stamp = stamp
	if *budget <= 0 {
		late = !t.late
		t.late = true
		if t.probed && n > 0 {
			t.digest = mix(^stamp) // taken to be new bytes until they are looked at
			t.changes.push(change{at: now, n: n, digest: t.digest})
		}
		return late && t.probed
	}
	answer := p.Look()
	*budget -= 1 + len(answer.Seats)/seatsOfLook
	t.look(answer, now, n)
	return false
}

// seatsOfLook is how many numbers a look of the usual cost shows: 17 trains of four classes. A look at an answer of many more costs as much more.
const seatsOfLook = 68

func (t *truth) look(answer Truth, now slot, n uint32) {
	slices.SortFunc(answer.Seats, func(a, b Seat) int { return cmp.Compare(a.Cell, b.Cell) })
	switch {
	case !t.probed:
		t.probed, t.from, t.before = true, now, answer.Digest
	case n > 0 || answer.Digest != t.digest:
		t.changes.push(change{at: now, n: n, digest: answer.Digest, seats: differences(t.seats, answer.Seats)})
	}
	t.late, t.looked, t.digest, t.seats, t.opening = false, now, answer.Digest, answer.Seats, answer.Openings
}

// advanced is how many changes lie between two stamps. One that went back is of another replica: something has changed.
func advanced(from, to uint64) uint32 {
	if to < from {
		return 1
	}
	return uint32(min(max((to-from)/2, 1), 1000))
}

// opened reports whether a sale opened after one moment and up to another.
func (t *truth) opened(after, upTo time.Time) bool {
	return slices.ContainsFunc(t.opening, func(o time.Time) bool { return o.After(after) && !o.After(upTo) })
}

// differences is by how much each number has moved from one answer to the next, both by cell; what is not there counts as 0.
func differences(from, to []Seat) (out []Seat) {
	i, j := 0, 0
	for i < len(from) || j < len(to) {
		switch {
		case j == len(to) || i < len(from) && from[i].Cell < to[j].Cell:
			out = appendSeat(out, from[i].Cell, -from[i].Left)
			i++
		case i == len(from) || to[j].Cell < from[i].Cell:
			out = appendSeat(out, to[j].Cell, to[j].Left)
			j++
		default:
			out = appendSeat(out, to[j].Cell, to[j].Left-from[i].Left)
			i, j = i+1, j+1
		}
	}
	return out
}

func appendSeat(out []Seat, cell uint64, by int32) []Seat {
	if by == 0 {
		return out
	}
	return append(out, Seat{Cell: cell, Left: by})
}

// forget drops the changes up to and with a slot.
func (t *truth) forget(upTo slot) {
	all := t.changes.all()
	n, _ := slices.BinarySearchFunc(all, upTo+1, func(c change, s slot) int { return cmp.Compare(c.at, s) })
	if n > 0 {
		t.before = all[n-1].digest
	}
	t.changes.drop(n)
}

// size is the bytes of a record, about.
func (r *record) size() (bytes int) {
	bytes = int(unsafe.Sizeof(*r)) + cap(r.arrivals.items)*int(unsafe.Sizeof(arrival{})) + cap(r.changes.items)*int(unsafe.Sizeof(change{}))
	seats := cap(r.seats)
	for i := range r.changes.all() {
		seats += cap(r.changes.all()[i].seats)
	}
	return bytes + seats*int(unsafe.Sizeof(Seat{}))
}

// spread parts changes that one poll found between its slot and the one before, since they came in both.
func spread(changes []change) []change {
	out := make([]change, 0, len(changes))
	for _, c := range changes {
		if c.n >= 2 {
			half := c
			half.at, half.n = c.at-1, c.n/2
			if len(out) > 0 {
				half.at = max(half.at, out[len(out)-1].at)
			}
			out = append(out, half)
			c.n, c.seats = c.n-half.n, nil
		}
		out = append(out, c)
	}
	return out
}
