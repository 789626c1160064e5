package answer

import (
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
	if h.answer.Current(r, q.Query, now) {
		return false
	}
	truth := view.Look(r, q.Query, now)
	body := render.Printer{Index: r.Index(), Lang: q.Lang}.Answer(nil, q.Query, truth)
	if render.Tag(body) == h.page.Tag {
		return false
	}
	t.wrong[i].Add(1)
	t.off[i].Add(difference(h.answer, truth))
	return true
}

// cell is a number on the screen.
type cell struct {
	run      rail.RunID
	from, to rail.StopIndex
	class    rail.Class
}

// difference is the sum of seats by which the numbers of two answers differ.
func difference(a, b *view.Answer) (sum uint64) {
	left := map[cell]rail.SeatCount{}
	for i := range a.Offers {
		o := &a.Offers[i]
		for _, c := range o.Classes {
			left[cell{o.Run, o.From, o.To, c.Class}] = c.Remaining
		}
	}
	for i := range b.Offers {
		o := &b.Offers[i]
		for _, c := range o.Classes {
			key := cell{o.Run, o.From, o.To, c.Class}
			sum += apart(left[key], c.Remaining)
			delete(left, key)
		}
	}
	for _, n := range left {
		sum += uint64(n)
	}
	return sum
}

func apart(a, b rail.SeatCount) uint64 {
	if a > b {
		a, b = b, a
	}
	return uint64(b - a)
}
