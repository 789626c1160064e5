package testkit

import (
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Tuesday is the day of the small railway; Morning is before its first train.
var (
	Tuesday = rail.NewDate(2026, 12, 1)
	Morning = time.Date(2026, 12, 1, 6, 0, 0, 0, time.FixedZone("CST", 8*3600))
)

// Railway is a loaded replica of a small railway, one run for each thing that can be true of a run on Tuesday:
//
//	G1  07:00  O 100 left, 9 sold out
//	G3  08:00  O 12 left, 9 sold out with a waiting list
//	G5  09:00  suspended ("台风")
//	G7  10:00  not on sale before 08:30
//	G9  11:00  O only for passengers who board at the origin
//	G11 12:00  9 is not offered between 北京南 and 济南西
//	K13 22:50 of Monday: found on Tuesday by those who board at 济南西 at 00:22
//
// Each run is at version 1/1. A State or Deltas call on the replica changes it.
func Railway(clock func() time.Time) *replica.Replica {
	return railwayWith(replica.Options{Clock: clock})
}

// Held is Railway in the Morning, under holds.
func Held(holds *replica.Holds) *replica.Replica {
	return railwayWith(replica.Options{Clock: func() time.Time { return Morning }, Holds: holds})
}

func railwayWith(o replica.Options) *replica.Replica {
	clock := o.Clock
	o.Jitter = func() float64 { return 0 }
	r := replica.New(o)
	r.Network(Network())
	for _, s := range railway() {
		r.Pattern(s.pattern)
		r.State(s.state.Run.Partition(), s.state)
	}
	r.Loaded(0, nil)
	h := event.Heartbeat{Time: clock()}
	for p := range rail.Partition(rail.Partitions) {
		h.Marks = append(h.Marks, event.Mark{Partition: p})
	}
	_ = r.Heartbeat(&h) // a first one cannot contradict anything
	return r
}

type opening struct {
	pattern *timetable.Pattern
	state   *event.RunState
}

func railway() (all []opening) {
	open := func(train string, depart rail.Minutes, date rail.Date, change func(*timetable.Pattern, *event.RunState)) {
		p := Pattern(train, depart)
		s := &event.RunState{Run: rail.RunID{Date: date, Trip: rail.TripID(train)}, Version: rail.Version{Epoch: 1, Revision: 1}, SaleClosesBefore: 5}
		s.Classes = []inventory.Class{class("O", 100), class("9", 0)}
		change(p, s)
		p.ID = p.ContentID()
		s.Pattern = p.ID
		all = append(all, opening{p, s})
	}
	open("G1", 420, Tuesday, func(*timetable.Pattern, *event.RunState) {})
	open("G3", 480, Tuesday, func(_ *timetable.Pattern, s *event.RunState) {
		s.Classes = []inventory.Class{class("O", 12), class("9", 0)}
		s.Classes[1].Waitlist = true
	})
	open("G5", 540, Tuesday, func(_ *timetable.Pattern, s *event.RunState) { s.Suspended, s.Reason = true, "台风" })
	open("G7", 600, Tuesday, func(_ *timetable.Pattern, s *event.RunState) {
		s.SaleOpensAt = Morning.Add(2*time.Hour + 30*time.Minute)
	})
	open("G9", 660, Tuesday, func(_ *timetable.Pattern, s *event.RunState) {
		s.Classes[0].Buckets[0].Quotas = []inventory.Quota{{ToFirst: 1, ToLast: 2}}
	})
	open("G11", 720, Tuesday, func(p *timetable.Pattern, _ *event.RunState) { p.Classes[1].Fares[0] = timetable.NoFare })
	open("K13", 22*60+50, Tuesday-1, func(*timetable.Pattern, *event.RunState) {})
	return all
}

func class(code rail.Class, free rail.SeatCount) inventory.Class {
	return inventory.Class{Class: code, Buckets: []inventory.Bucket{{Capacity: Full, Spans: []inventory.Span{{To: 2, Count: free}}}}}
}

// Fixed is a source of one replica, for tests without a feed.
type Fixed struct {
	R   *replica.Replica
	Why string
}

// Replica of the source.
func (f *Fixed) Replica() *replica.Replica { return f.R }

// Degraded says what the test wants.
func (f *Fixed) Degraded() string { return f.Why }

// Progress is that of a load that has ended.
func (f *Fixed) Progress() feed.Progress { return feed.Progress{States: 7, Expected: 7} }
