package sim

import (
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// fact is what was true of a run from a moment on.
type fact struct {
	version   rail.Version
	from      time.Time // on the booking system's clock
	suspended bool
	counts    []rail.SeatCount // by OD and class
}

// truth is the booking system, and all that was ever true in it.
type truth struct {
	clock   func() time.Time
	book    *booking.Book
	outbox  *booking.Outbox
	history map[rail.RunID][]fact
	ids     []rail.RunID // of all runs, in order
	sales   []booking.Sale
	epoch   uint64
	stops   rail.StopIndex
	classes []rail.Class
}

func newTruth(clock func() time.Time) *truth {
	network := testkit.Network()
	today := rail.DateOf(clock(), time.UTC)
	schedule := &timetable.Schedule{Network: *network}
	for _, train := range []string{"G1", "G3", "G5"} {
		p := testkit.Pattern(train, 600)
		schedule.Trips = append(schedule.Trips, timetable.Trip{ID: rail.TripID(train), Pattern: p, Dates: []rail.Date{today + 1, today + 2, today + 3, today + 4}})
	}
	rules := formation.Rules{Categories: []formation.Category{{Match: []string{"*"}, Classes: []formation.Class{{Class: "O", Places: 6}, {Class: "9", Places: 3}}}}}
	t := &truth{clock: clock, book: booking.NewBook(booking.Config{Epoch: 1, Clock: clock}, schedule, rules), history: map[rail.RunID][]fact{}, epoch: 1, stops: 3, classes: []rail.Class{"O", "9"}}
	t.outbox = t.book.Outbox()
	return t
}

// note notes what is true of all runs now. It comes after every act, so that no truth is passed over.
func (t *truth) note(runs ...rail.RunID) {
	for _, id := range runs {
		s, ok := t.book.State(id)
		if !ok {
			continue
		}
		all := t.history[id]
		if len(all) > 0 && all[len(all)-1].version == s.Version {
			continue
		}
		if len(all) == 0 {
			i, _ := slices.BinarySearchFunc(t.ids, id, rail.RunID.Compare)
			t.ids = slices.Insert(t.ids, i, id)
		}
		f := fact{version: s.Version, from: t.clock(), suspended: s.Suspended}
		for from := range t.stops - 1 {
			for to := from + 1; to < t.stops; to++ {
				for _, class := range t.classes {
					f.counts = append(f.counts, t.book.Remaining(id, class, from, to))
				}
			}
		}
		t.history[id] = append(all, f)
	}
}

// at finds the fact of a version, and the moment until which it was true; zero: it still is.
func (t *truth) at(id rail.RunID, v rail.Version) (f *fact, until time.Time) {
	all := t.history[id]
	i := slices.IndexFunc(all, func(f fact) bool { return f.version == v })
	if i < 0 {
		return nil, until
	}
	if i+1 < len(all) {
		until = all[i+1].from
	}
	return &all[i], until
}

func (t *truth) last(id rail.RunID) *fact {
	all := t.history[id]
	return &all[len(all)-1]
}
