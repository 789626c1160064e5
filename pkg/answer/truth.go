package answer

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/view"
)

// truthEvery: one of so many answers that are served without a look is compared with the replica. Those that were looked at are true by E1.
const truthEvery = 16

// Truth counts what the answers served without a look were worth at the moment of serving, by the time since they were seen to be true.
type Truth struct {
	checked, wrong, off [len(truthBounds)]atomic.Uint64
}

// truthBounds are the upper bounds of the time since the look, inclusive.
var truthBounds = [...]time.Duration{100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, 1<<63 - 1}

// TruthStats are counts by time since the look.
type TruthStats []TruthCell

// TruthCell is the answers of one range.
type TruthCell struct {
	// Since is the range's upper bound, inclusive; the last has none.
	Since time.Duration
	// Checked answers; Wrong of them differed from the truth in at least one byte; Off is the sum of seats by which their numbers differed.
	Checked, Wrong, Off uint64
}

func (t *Truth) stats() TruthStats {
	out := make(TruthStats, len(truthBounds))
	for i, bound := range truthBounds {
		out[i] = TruthCell{bound, t.checked[i].Load(), t.wrong[i].Load(), t.off[i].Load()}
	}
	return out
}

// Score counts the answers under one rule, and how many were wrong as far as the sample tells. Safe for concurrent use.
type Score struct{ served, wrong atomic.Uint64 }

// Take gives what was counted since the last Take.
func (s *Score) Take() (served, wrong float64) {
	n, w := s.served.Swap(0), s.wrong.Swap(0)
	return float64(n), min(float64(w*truthEvery), float64(n))
}

// check compares an answer that is being served with the truth.
func (t *Truth) check(q *Request, h *held, r *replica.Replica, now time.Time) (wrong bool) {
	since, i := now.Sub(h.at), 0
	for since > truthBounds[i] {
		i++
	}
	t.checked[i].Add(1)
	if h.answer.Current(r, now) {
		return false
	}
	truth := view.Look(r, q.Query, now)
	body := render.Printer{Index: r.Index(), Lang: q.Lang}.Answer(nil, q.Query, truth)
	if render.Tag(body) == h.page.Tag {
		return false
	}
	t.wrong[i].Add(1)
	if h.numbers != nil { // the first answer under a TTL has none
		t.off[i].Add(difference(h.numbers, numbers(truth)))
	}
	return true
}

// number is one on the screen: what is left in a class of a run between two stops, told apart by a hash.
type number struct {
	cell uint64
	left rail.SeatCount
}

// cellSeed is of this process: numbers never leave it.
var cellSeed = maphash.MakeSeed()

func numbers(a *view.Answer) []number {
	n := 0
	for i := range a.Offers {
		n += len(a.Offers[i].Classes)
	}
	all := make([]number, 0, n)
	for i := range a.Offers {
		o := &a.Offers[i]
		run := maphash.Comparable(cellSeed, struct {
			run      rail.RunID
			from, to rail.StopIndex
		}{o.Run, o.From, o.To})
		for _, c := range o.Classes {
			all = append(all, number{run ^ classHash(c.Class), c.Remaining})
		}
	}
	return all
}

// classHash spreads a code of one or two characters over 64 bits (Fibonacci hashing).
func classHash(c rail.Class) uint64 {
	code := uint64(c[0])
	if len(c) > 1 {
		code |= uint64(c[1]) << 8
	}
	return code * 0x9E3779B97F4A7C15
}

// difference is the sum of seats by which two answers differ; a number that one of them lacks counts as 0 there.
func difference(a, b []number) (sum uint64) {
	left := make(map[uint64]rail.SeatCount, len(a))
	for _, n := range a {
		left[n.cell] += n.left
	}
	for _, n := range b {
		left[n.cell] -= n.left
	}
	for _, d := range left {
		sum += uint64(max(d, -d))
	}
	return sum
}
