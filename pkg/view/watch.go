package view

import (
	"cmp"
	"runtime"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
)

// Watch follows one query. Its first look reads all runs, each later one those that have changed since: of an answer of 200 trains seldom more than one or two. It is not safe for
// concurrent use.
type Watch struct {
	query *Query
	at    Answer // what it was read from; it has no Offers
	seen  []sighting
	order []int32
}

// sighting is what a Watch knows of a run.
type sighting struct {
	changes       uint64 // before it was read
	rank          int64
	shown, behind bool
}

// unseen is no counter's value: at rest they are even.
const unseen = 1

// NewWatch follows a query, which is not to be modified.
func NewWatch(q *Query) *Watch { return &Watch{query: q} }

// Current reports whether Look would find nothing: one atomic load for each run.
func (w *Watch) Current(r *replica.Replica, now time.Time) bool {
	if !w.lists(r) || !w.holds(r, now) {
		return false
	}
	for i := range w.seen {
		if w.at.runs[i].run.Changes() != w.seen[i].changes {
			return false
		}
	}
	return true
}

// Look reads what has changed. It calls relist before the runs are listed anew and get other numbers, and show for each run that was read: with its offer, which lasts until the next
// call, or nil if it is not in the answer. What was shown before still holds of all other runs, and all of it together is the answer of one moment (V2); if the runs change faster
// than they can be read, Behind says that it is not.
func (w *Watch) Look(s *Scratch, r *replica.Replica, now time.Time, relist func(), show func(i int, o *Offer)) {
	torn := true
	for try := 0; torn && try < attempts; try++ {
		if !w.lists(r) {
			relist()
			w.list(r)
		}
		if !w.holds(r, now) {
			w.forget(r)
		}
		if torn = w.read(s, now, show); torn {
			runtime.Gosched() // a writer may have been stopped in the middle of a change
		}
	}
	w.sum(torn)
}

// lists reports whether the runs are those of the replica.
func (w *Watch) lists(r *replica.Replica) bool {
	a := &w.at
	return a.replica == r && a.index == r.Index() && a.calendar == r.Calendar() && a.listed == a.generations()
}

// holds reports whether neither the clock (V3) nor an operator (V5) has changed anything.
func (w *Watch) holds(r *replica.Replica, now time.Time) bool {
	return w.at.holds == r.Holds() && (w.at.ValidUntil.IsZero() || now.Before(w.at.ValidUntil))
}

func (w *Watch) list(r *replica.Replica) {
	w.at = Answer{replica: r, index: r.Index(), calendar: r.Calendar()}
	w.at.find(w.query)
	w.seen, w.order = make([]sighting, len(w.at.runs)), w.order[:0]
	w.forget(r)
}

// forget lets the next look read all runs.
func (w *Watch) forget(r *replica.Replica) {
	w.at.ValidUntil, w.at.holds = time.Time{}, r.Holds()
	for i := range w.seen {
		w.seen[i].changes = unseen
	}
}

// read reads the runs that are not as they were seen; false if there was none.
func (w *Watch) read(s *Scratch, now time.Time, show func(i int, o *Offer)) (some bool) {
	for i := range w.seen {
		f, was := &w.at.runs[i], w.seen[i]
		changes := f.run.Changes()
		if changes == was.changes {
			continue
		}
		some = true
		w.at.Behind = false
		s.offers, s.classes, s.start.at = s.offers[:0], s.classes[:0], time.Time{}
		s.add(&w.at, w.query, f, now)
		is := sighting{changes: changes, shown: len(s.offers) > 0, behind: w.at.Behind}
		if changes%2 == 1 {
			is.changes = unseen // it is changing now
		}
		if is.shown {
			is.rank = w.query.rank(&s.offers[0])
			show(i, &s.offers[0])
		} else {
			show(i, nil)
		}
		w.seen[i] = is
		if is.shown != was.shown || is.rank != was.rank {
			w.order = w.order[:0] // to be made anew
		}
	}
	return some
}

// sum tells of the answer what follows from its runs.
func (w *Watch) sum(torn bool) {
	w.at.Behind = torn || slices.ContainsFunc(w.at.days, func(d *replica.Day) bool { return !d.Complete() }) ||
		slices.ContainsFunc(w.seen, func(is sighting) bool { return is.behind })
	if len(w.order) > 0 {
		return
	}
	for i := range w.seen {
		if w.seen[i].shown {
			w.order = append(w.order, int32(i))
		}
	}
	slices.SortStableFunc(w.order, func(a, b int32) int { return cmp.Compare(w.seen[a].rank, w.seen[b].rank) })
}

// Behind is that of the answer, as it was seen last.
func (w *Watch) Behind() bool { return w.at.Behind }

// Runs is how many runs have numbers, shown or not.
func (w *Watch) Runs() int { return len(w.seen) }

// Order lists the runs of the answer by their numbers. It lasts until the next Look.
func (w *Watch) Order() []int32 { return w.order }

// Run tells which run has a number, and its stops.
func (w *Watch) Run(i int) (id rail.RunID, from, to rail.StopIndex) {
	f := &w.at.runs[i]
	return f.run.ID, f.leg.From, f.leg.To
}
