package booking

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/formation"
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
	dead     atomic.Bool // a Tx was abandoned

	mu   sync.RWMutex // guards days and their maps; not held while a run is changed
	days map[rail.Date]map[rail.TripID]*run
}

// NewBook makes a Book without open runs. The schedule must have passed Validate and may not be modified any more; of trips with the same id the
// first counts. The rules say how many places a class has; a class that they do not name has none, and none has more than rail.MaxCount.
func NewBook(cfg Config, schedule *timetable.Schedule, rules formation.Rules) *Book {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	b := &Book{
		cfg: cfg, schedule: schedule, loc: time.UTC, outbox: newOutbox(cfg.Clock), numbers: make(map[rail.TripID]int, len(schedule.Trips)),
		places: map[*timetable.Pattern][]rail.SeatCount{}, days: map[rail.Date]map[rail.TripID]*run{},
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
			b.places[trip.Pattern] = rules.Places(trip.Pattern)
		}
	}
	return b
}

// Outbox is where every change of the Book is found (B5).
func (b *Book) Outbox() *Outbox { return b.outbox }

// Refill puts changes that were stored and not acknowledged, in order, into the Outbox of a Book that nobody uses yet. New changes are numbered behind
// them and behind seq.
func (b *Book) Refill(changes []Change, seq int64) { b.outbox.refill(changes, seq) }

// Open opens a service date in a Tx of its own (see Tx.Open).
func (b *Book) Open(date rail.Date) (runs int) {
	_ = b.alone(func(tx *Tx) error { // cannot fail
		runs = tx.Open(date)
		return nil
	})
	return runs
}

// openings makes the runs of a service date that are not open.
func (b *Book) openings(date rail.Date) (made []*run) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i := range b.schedule.Trips {
		trip := &b.schedule.Trips[i]
		if _, operates := slices.BinarySearch(trip.Dates, date); !operates || b.numbers[trip.ID] != i || b.days[date][trip.ID] != nil {
			continue
		}
		made = append(made, b.newRun(trip, date))
	}
	return made
}

func (b *Book) insert(runs []*run) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range runs {
		day := b.days[r.id.Date]
		if day == nil {
			day = map[rail.TripID]*run{}
			b.days[r.id.Date] = day
		}
		day[r.id.Trip] = r
	}
}

// CloseBefore forgets the runs of earlier service dates, which should have arrived, and reports whether there were any. It is no change of theirs: nodes let
// them go by themselves.
func (b *Book) CloseBefore(date rail.Date) (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for d := range b.days {
		if d < date {
			delete(b.days, d)
			closed = true
		}
	}
	return closed
}

// Patterns lists the patterns of the schedule and of the open runs, each once.
func (b *Book) Patterns() (all []*timetable.Pattern) {
	seen := map[rail.PatternID]bool{}
	add := func(p *timetable.Pattern) {
		if !seen[p.ID] {
			seen[p.ID] = true
			all = append(all, p)
		}
	}
	for i := range b.schedule.Trips {
		add(b.schedule.Trips[i].Pattern)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, day := range b.days {
		for _, r := range day {
			add(r.pattern)
		}
	}
	return all
}

// find is an open run, not locked. The error wraps ErrUnknownRun.
func (b *Book) find(id rail.RunID) (*run, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if r := b.days[id.Date][id.Trip]; r != nil && !b.dead.Load() {
		return r, nil
	}
	return nil, fmt.Errorf("%w: %s; want a run that is open", ErrUnknownRun, id)
}

// State is a run as it is now, all of it at its present version; false if it is not open. Shared slices; do not modify.
func (b *Book) State(id rail.RunID) (event.RunState, bool) {
	r, err := b.find(id)
	if err != nil {
		return event.RunState{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.dead.Load() { // since it was found: what it holds was never stored
		return event.RunState{}, false
	}
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

// Runs lists the open runs by date and trip.
func (b *Book) Runs() (ids []rail.RunID) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, date := range slices.Sorted(maps.Keys(b.days)) {
		for _, trip := range slices.Sorted(maps.Keys(b.days[date])) {
			ids = append(ids, rail.RunID{Date: date, Trip: trip})
		}
	}
	return ids
}

// Due lists the runs that hold places back which should be on sale by now.
func (b *Book) Due(now time.Time) (ids []rail.RunID) {
	for _, id := range b.Runs() {
		r, err := b.find(id)
		if err != nil {
			continue
		}
		r.mu.Lock()
		if slices.ContainsFunc(r.classes, func(c class) bool {
			return slices.ContainsFunc(c.held, func(h Held) bool { return !now.Before(h.Until) })
		}) {
			ids = append(ids, id)
		}
		r.mu.Unlock()
	}
	return ids
}
