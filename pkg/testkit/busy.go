package testkit

import (
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

// Busy is a loaded replica of a railway with the same trains of four classes from 北京南 to 上海虹桥 on each of some days from Tuesday on, from 07:00 on and at most an hour apart, whose
// runs change at a call. One goroutine at a time may change them.
type Busy struct {
	*replica.Replica
	Runs []rail.RunID // day after day
	sold []uint64
}

// NewBusy loads it, as of now.
func NewBusy(clock func() time.Time, days, trains int) *Busy {
	b := &Busy{Replica: replica.New(replica.Options{Clock: clock, Jitter: func() float64 { return 0 }}), sold: make([]uint64, days*trains)}
	b.Network(Network())
	patterns := make([]*timetable.Pattern, trains)
	for i := range patterns {
		p := Pattern(fmt.Sprintf("G%d", 2*i+1), rail.Minutes(420+i*min(60, 900/trains)))
		p.Classes = append(p.Classes, timetable.ClassOffer{Class: "M", Fares: p.Classes[1].Fares}, timetable.ClassOffer{Class: "WZ", Fares: p.Classes[0].Fares})
		p.ID = p.ContentID()
		patterns[i] = p
		b.Pattern(p)
	}
	for i := range b.sold {
		p := patterns[i%trains]
		run := rail.RunID{Date: Tuesday + rail.Date(i/trains), Trip: rail.TripID(p.Train)}
		b.Runs = append(b.Runs, run)
		b.State(run.Partition(), &event.RunState{
			Run: run, Pattern: p.ID, Version: rail.Version{Epoch: 1, Revision: 1}, Classes: []inventory.Class{class("O", Full), class("9", Full), class("M", Full), class("WZ", 0)},
		})
	}
	b.Loaded(0, nil)
	b.Beat(clock())
	return b
}

// Beat proves that everything up to a time has come.
func (b *Busy) Beat(at time.Time) {
	h := event.Heartbeat{Time: at}
	for p := range rail.Partition(rail.Partitions) {
		h.Marks = append(h.Marks, event.Mark{Partition: p})
	}
	_ = b.Heartbeat(&h) // it contradicts nothing
}

// Change sells a place of the i-th run, or gives one back: fifty sales follow fifty refunds.
func (b *Busy) Change(i int) {
	by := rail.SeatCount(-1)
	if b.sold[i]/50%2 == 1 {
		by = 1
	}
	b.sold[i]++
	d := event.RunDelta{Run: b.Runs[i], Version: rail.Version{Epoch: 1, Revision: 1 + b.sold[i]}, Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: by}}}
	b.Deltas(d.Run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{d}}, 0)
}

// Search is a query for all trains of the day on which the i-th run leaves.
func (b *Busy) Search(i int) *view.Query {
	return &view.Query{From: timetable.Place{City: "BJP"}, To: timetable.Place{City: "SHH"}, Date: b.Runs[i].Date}
}
