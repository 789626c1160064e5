package booking

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Book is all open runs with their places. All methods are safe for concurrent use; changes of different runs wait for each other only while they
// are appended to the outbox.
type Book struct {
	cfg      Config
	schedule *timetable.Schedule
	loc      *time.Location
	numbers  map[rail.TripID]int                     // of the schedule's trips
	places   map[*timetable.Pattern][]rail.SeatCount // by class of the pattern
	outbox   *Outbox

	mu   sync.RWMutex         // guards days; not held while a run is changed
	days map[rail.Date][]*run // by number of the trip; nil where it does not run
}

// NewBook makes a Book without open runs. The schedule must have passed Validate and may not be modified any more; of trips with the same id the
// first counts. The rules say how many places a class has; a class that they do not name has none, and none has more than rail.MaxCount.
func NewBook(cfg Config, schedule *timetable.Schedule, rules formation.Rules) *Book {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	b := &Book{
		cfg: cfg, schedule: schedule, loc: time.UTC, outbox: newOutbox(cfg.Clock),
		numbers: make(map[rail.TripID]int, len(schedule.Trips)), places: map[*timetable.Pattern][]rail.SeatCount{}, days: map[rail.Date][]*run{},
	}
	if loc, err := time.LoadLocation(schedule.Network.Timezone); err == nil {
		b.loc = loc
	}
	for i := range schedule.Trips {
		trip := &schedule.Trips[i]
		if _, twice := b.numbers[trip.ID]; !twice {
			b.numbers[trip.ID] = i
		}
		if b.places[trip.Pattern] == nil {
			b.places[trip.Pattern] = placesOf(trip.Pattern, rules)
		}
	}
	return b
}

// placesOf is how many places each class of a pattern has.
func placesOf(p *timetable.Pattern, rules formation.Rules) []rail.SeatCount {
	places := make([]rail.SeatCount, len(p.Classes))
	category := rules.For(p.Category)
	if category == nil {
		return places
	}
	for i, offer := range p.Classes {
		for _, c := range category.Classes {
			if c.Class == offer.Class {
				places[i] = rail.SeatCount(min(max(c.Places, 0), rail.MaxCount))
			}
		}
	}
	return places
}

// Outbox is where every change of the Book is found (B5).
func (b *Book) Outbox() *Outbox { return b.outbox }

// Open opens all runs of a service date, at revision 1 and with one restated change each, and returns their number. A date that is open already is left
// as it is, and gives 0.
func (b *Book) Open(date rail.Date) (runs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.days[date] != nil {
		return 0
	}
	day := make([]*run, len(b.schedule.Trips))
	for i := range day {
		trip := &b.schedule.Trips[i]
		if _, operates := slices.BinarySearch(trip.Dates, date); !operates || b.numbers[trip.ID] != i {
			continue
		}
		day[i] = b.newRun(trip, date)
		day[i].version.Epoch = b.cfg.Epoch
		b.restate(day[i]) // nobody else knows the run yet: no lock is needed, and its opening is its first change
		runs++
	}
	b.days[date] = day
	return runs
}

// Close forgets the runs of a service date, which should have arrived. It is no change of theirs: nodes let them go by themselves.
func (b *Book) Close(date rail.Date) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.days, date)
}

// find is an open run, not locked. The error wraps ErrUnknownRun.
func (b *Book) find(id rail.RunID) (*run, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	number, known := b.numbers[id.Trip]
	if day := b.days[id.Date]; known && day != nil && day[number] != nil {
		return day[number], nil
	}
	return nil, fmt.Errorf("%w: %s; want a trip of the schedule on an open date", ErrUnknownRun, id)
}

// commit ends a change that is a sum of adjusts. The caller holds the run's lock.
func (b *Book) commit(r *run, adjusts []inventory.Adjust) {
	r.version.Revision++
	b.outbox.add(Change{Delta: event.RunDelta{Run: r.id, Version: r.version, Adjusts: adjusts}})
}

// restate ends a change that is told by the whole state. The caller holds the run's lock.
func (b *Book) restate(r *run) {
	r.version.Revision++
	state := r.state()
	b.outbox.add(Change{Delta: event.RunDelta{Run: r.id, Version: r.version, Restated: true}, State: &state})
}

// State is a run as it is now, all of it at its present version; false if it is not open. Shared slices; do not modify.
func (b *Book) State(id rail.RunID) (event.RunState, bool) {
	r, err := b.find(id)
	if err != nil {
		return event.RunState{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state(), true
}

// Remaining is how many places of a class can be sold for an OD, whatever the status of the sale: the sum over the buckets whose quotas allow it,
// counted place by place and segment by segment. It is slow, and right by its looks: what the counting by windows is held against (B3). It is 0
// where there is no such run, class or OD.
func (b *Book) Remaining(id rail.RunID, code rail.Class, from, to rail.StopIndex) (n rail.SeatCount) {
	r, err := b.find(id)
	if err != nil || r.checkStops(from, to) != nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, c, err := r.class(code)
	if err != nil {
		return 0
	}
	for i := range c.buckets {
		if c.buckets[i].Allows(from, to) {
			n += c.buckets[i].stock.remaining(from, to)
		}
	}
	return n
}

// Runs lists the open runs by date and within it in the order of the schedule.
func (b *Book) Runs() (ids []rail.RunID) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, date := range slices.Sorted(maps.Keys(b.days)) {
		for _, r := range b.days[date] {
			if r != nil {
				ids = append(ids, r.id)
			}
		}
	}
	return ids
}

// Versions lists the runs of a service date in a partition with their present versions, in the order of the schedule. Each is true by itself; runs
// may change while the list is made.
func (b *Book) Versions(partition rail.Partition, date rail.Date) (versions []event.RunVersion) {
	b.mu.RLock()
	day := b.days[date] // never changes once it is there
	b.mu.RUnlock()
	for _, r := range day {
		if r == nil || r.id.Partition() != partition {
			continue
		}
		r.mu.Lock()
		versions = append(versions, event.RunVersion{Run: r.id, Version: r.version})
		r.mu.Unlock()
	}
	return versions
}
