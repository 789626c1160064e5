package country

import (
	"iter"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const (
	// refundShare of all acts give a place back: refunds, and reservations that nobody paid.
	refundShare = 0.12
	// maxSales are remembered; of more than that, some will surely travel.
	maxSales = 1 << 16
	// tries for a place, and for a sale that can be given back, before an Act does the other.
	salesTried, refundsTried = 2000, 8
	// saleClosesBefore is how many minutes before departure the sale closes.
	saleClosesBefore = 3
)

// BookOptions of a Book.
type BookOptions struct {
	Seed     uint64
	Schedule *timetable.Schedule
	// Rules say how many places trains have; none means formation.Default.
	Rules formation.Rules
	// Today is the date whose trains are sold most; those of later dates less.
	Today rail.Date
	// Epoch of all versions; 0 means 1.
	Epoch uint64
}

// Book is the authority of a country without seats: for each run and class it knows the free windows as numbers. So it knows less than a booking system, and is
// small: nothing for a run that was never touched, and some hundred bytes for others. All its runs are on sale, whatever the hour; there are no quotas. It is
// safe for concurrent use, but only a single caller of Act sees the same acts every time.
type Book struct {
	seed     uint64
	epoch    uint64
	today    rail.Date
	schedule *timetable.Schedule
	numbers  map[rail.TripID]int32
	places   [][]rail.SeatCount // by trip and class
	classes  []demand.Weights   // by trip: by places
	demand   *demand.Demand

	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	dates []rail.Date // open, in order
	days  map[rail.Date][]*run
	near  demand.Weights // chances of dates
	sales []sale
}

// run is one that was touched.
type run struct {
	revision uint64
	stocks   []stock // by class
}

// sale is what can be given back.
type sale struct {
	date     rail.Date
	trip     int32
	class    uint8
	cut      window
	from, to rail.StopIndex
}

// NewBook makes a book without a date. It needs about 10 bytes for each OD of each train.
func NewBook(o BookOptions) *Book {
	if o.Rules.Categories == nil {
		o.Rules = formation.Default()
	}
	b := &Book{
		seed: o.Seed, epoch: max(o.Epoch, 1), today: o.Today, schedule: o.Schedule, numbers: make(map[rail.TripID]int32, len(o.Schedule.Trips)),
		demand: demand.New(o.Schedule), rng: chance(o.Seed, "acts"), days: map[rail.Date][]*run{},
	}
	for i := range o.Schedule.Trips {
		t := &o.Schedule.Trips[i]
		b.numbers[t.ID] = int32(i)
		places, wanted := o.Rules.Places(t.Pattern), demand.Weights(nil)
		for _, n := range places {
			wanted.Add(float64(n))
		}
		b.places, b.classes = append(b.places, places), append(b.classes, wanted)
	}
	return b
}

// ride is a random one of a random pair.
func (b *Book) ride() demand.Ride {
	rides := b.demand.Rides(b.demand.Pick(b.rng))
	return rides[b.rng.IntN(len(rides))]
}

// Demand is what people want of the book's trains.
func (b *Book) Demand() *demand.Demand { return b.demand }

// Open puts the runs of a service date on sale, partly sold already, and returns their number. A date that is open stays as it is.
func (b *Book) Open(date rail.Date) (runs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, open := b.days[date]; !open {
		b.days[date] = make([]*run, len(b.schedule.Trips))
		b.dates = append(b.dates, date)
		b.weigh()
	}
	for i := range b.schedule.Trips {
		if b.runs(int32(i), date) {
			runs++
		}
	}
	return runs
}

// Depart ends the sale of a date; its runs stay as they are, but for those of its trains that people board on later dates, until Close.
func (b *Book) Depart(date rail.Date) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dates = slices.DeleteFunc(b.dates, func(d rail.Date) bool { return d == date })
	b.weigh()
}

// Versions yields the runs of a date that is not closed, with their present versions.
func (b *Book) Versions(date rail.Date) iter.Seq2[rail.RunID, rail.Version] {
	return func(yield func(rail.RunID, rail.Version) bool) {
		for i := range b.schedule.Trips {
			v, ok := b.version(int32(i), date)
			if ok && !yield(rail.RunID{Date: date, Trip: b.schedule.Trips[i].ID}, v) {
				return
			}
		}
	}
}

// version of a trip's run; false unless it runs on a date that is not closed. A run that was never touched has the first.
func (b *Book) version(trip int32, date rail.Date) (rail.Version, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	day, open := b.days[date]
	if !open || !b.runs(trip, date) {
		return rail.Version{}, false
	}
	v := rail.Version{Epoch: b.epoch, Revision: 1}
	if r := day[trip]; r != nil {
		v.Revision = r.revision
	}
	return v, true
}

// Close ends the sale of a date and forgets its runs.
func (b *Book) Close(date rail.Date) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.days, date)
	b.dates = slices.DeleteFunc(b.dates, func(d rail.Date) bool { return d == date })
	b.weigh()
}

// weigh says how much each open date is wanted: the next ones most.
func (b *Book) weigh() {
	slices.Sort(b.dates)
	b.near = nil
	for i := range b.dates {
		b.near.Add(1 / float64(i+1))
	}
}

// runs reports whether a trip runs on a date.
func (b *Book) runs(trip int32, date rail.Date) bool {
	_, found := slices.BinarySearch(b.schedule.Trips[trip].Dates, date)
	return found
}

// States yields the runs of an open date one by one, as the changes that open them: each is its present state with the restated delta that belongs to it. None is
// kept. Acts may go on meanwhile.
func (b *Book) States(date rail.Date) iter.Seq[feed.Change] {
	return func(yield func(feed.Change) bool) {
		for i := range b.schedule.Trips {
			id := rail.RunID{Date: date, Trip: b.schedule.Trips[i].ID}
			state, ok := b.State(id)
			if ok && !yield(feed.Change{State: &state, Delta: event.RunDelta{Run: id, Version: state.Version, Restated: true}}) {
				return
			}
		}
	}
}

// State is a run as it is now; false unless it runs on a date that is open. It makes a Book a feed.Authority.
func (b *Book) State(id rail.RunID) (event.RunState, bool) {
	trip, known := b.numbers[id.Trip]
	if !known || !b.runs(trip, id.Date) {
		return event.RunState{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	day, open := b.days[id.Date]
	if !open {
		return event.RunState{}, false
	}
	r := day[trip]
	if r == nil {
		r = b.opened(trip, id.Date)
	}
	p := b.schedule.Trips[trip].Pattern
	s := event.RunState{Run: id, Pattern: p.ID, Version: rail.Version{Epoch: b.epoch, Revision: r.revision}, SaleClosesBefore: saleClosesBefore}
	for i, offer := range p.Classes {
		s.Classes = append(s.Classes, inventory.Class{Class: offer.Class, Waitlist: offer.Accommodation != rail.Standing, Buckets: []inventory.Bucket{
			{Kind: r.stocks[i].kind(), Capacity: b.places[trip][i], Spans: r.stocks[i].spans()},
		}})
	}
	return s, true
}

// touch is a run to be changed. The caller holds mu, and the date is open.
func (b *Book) touch(trip int32, date rail.Date) *run {
	day := b.days[date]
	if day[trip] == nil {
		day[trip] = b.opened(trip, date)
	}
	return day[trip]
}

// Act is one more act of somebody: a sale, or about one time in eight a return, as one change at the run's next version. It is false if nobody can have what he
// wants: no date is open, or all is sold out.
func (b *Book) Act() (feed.Change, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.dates) == 0 {
		return feed.Change{}, false
	}
	if b.rng.Float64() < refundShare {
		for range min(refundsTried, len(b.sales)) {
			if c, ok := b.giveBack(); ok {
				return c, true
			}
		}
	}
	for range salesTried {
		if c, ok := b.sell(); ok {
			return c, true
		}
	}
	return feed.Change{}, false
}

// sell sells one place of what somebody wants.
func (b *Book) sell() (feed.Change, bool) {
	ride, boarding := b.ride(), b.dates[b.near.Pick(b.rng)]
	pattern := b.schedule.Trips[ride.Trip].Pattern
	date := boarding - pattern.Stops[ride.From].Depart.Days()
	if _, open := b.days[date]; !open || !b.runs(ride.Trip, date) || len(b.classes[ride.Trip]) == 0 {
		return feed.Change{}, false
	}
	class := b.classes[ride.Trip].Pick(b.rng)
	r := b.touch(ride.Trip, date)
	cut, ok := r.stocks[class].sell(ride.From, ride.To)
	if !ok {
		return feed.Change{}, false
	}
	s := sale{date: date, trip: ride.Trip, class: uint8(class), cut: cut, from: ride.From, to: ride.To}
	b.remember(s)
	return b.change(r, s, 1), true
}

func (b *Book) remember(s sale) {
	if len(b.sales) < maxSales {
		b.sales = append(b.sales, s)
		return
	}
	b.sales[b.rng.IntN(maxSales)] = s
}

// giveBack takes a random sale back. One whose window cannot be put together again, since what was left of it has been sold, travels.
func (b *Book) giveBack() (feed.Change, bool) {
	i, last := b.rng.IntN(len(b.sales)), len(b.sales)-1
	s := b.sales[i]
	b.sales[i] = b.sales[last]
	b.sales = b.sales[:last]
	if _, open := b.days[s.date]; !open {
		return feed.Change{}, false
	}
	r := b.touch(s.trip, s.date)
	if !r.stocks[s.class].refund(s.cut, s.from, s.to) {
		return feed.Change{}, false
	}
	return b.change(r, s, -1), true
}

// change tells of a sale, or with sign -1 of its return, at the run's next version.
func (b *Book) change(r *run, s sale, sign rail.SeatCount) feed.Change {
	r.revision++
	trip := &b.schedule.Trips[s.trip]
	adjusts := inventory.Sell(trip.Pattern.Classes[s.class].Class, 0, s.cut.l, s.cut.r, s.from, s.to)
	for i := range adjusts {
		adjusts[i].By *= sign
	}
	return feed.Change{Delta: event.RunDelta{
		Run: rail.RunID{Date: s.date, Trip: trip.ID}, Version: rail.Version{Epoch: b.epoch, Revision: r.revision}, Adjusts: adjusts,
	}}
}
