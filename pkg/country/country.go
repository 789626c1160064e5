// Package country is a made-up national railway of the real size, for benchmarks: as many stations, cities and trains as China has, with stops, ODs and
// busiest relations of the real numbers, and nothing that was copied from anywhere. With it comes a Book, an authority small enough to hold the whole country
// beside what is measured.
//
// Invariants (cited by the tests as C1...):
//
//	C1 Equal Options give equal bytes: no clock, no order of a map, no other source of chance than the seed.
//	C2 What is made passes timetable's Validate, every station has a train, and no train is faster or slower than trains are.
//	C3 At Scale 1 the shape is that of the real country, within the bounds that the test states. Every service date has the same number of trains, and the
//	   same ones whatever range it is asked for in.
//	C4 Every Act raises the Version of one run by exactly one, and State plus the adjusts since is the later State.
//	C5 A free window is never cut twice: no count is negative or above capacity, and no OD has fewer places than one around it.
//	C6 A Book keeps what was touched and makes everything else anew when it is asked, always the same.
package country

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// The real country.
const (
	realCities   = 423
	realStations = 3390
	// No two stations and no two cities are joined by more trains a day.
	realStationPair = 129
	realCityPair    = 211
)

// The real country's trains.
const (
	// TrainsPerDay run on each service date.
	TrainsPerDay = 12130
	// SaleDays is on how many dates they are on sale.
	SaleDays = 15
)

// Options of a Country.
type Options struct {
	// Seed of everything that is left to chance.
	Seed uint64
	// Scale of the country: its cities, stations and trains are so many times the real ones; 0.01 to 1, 0 means 1.
	Scale float64
	// Rules say which classes trains have; none means formation.Default.
	Rules formation.Rules
}

// Country is a railway. It never changes; any number of goroutines may use it.
type Country struct {
	network timetable.Network
	trains  []train
}

// train is a trip with the weekdays on which it runs.
type train struct {
	trip timetable.Trip // without dates
	days weekdays
}

// weekdays is a bit for each day of the week, Sunday lowest.
type weekdays uint8

const everyDay weekdays = 1<<7 - 1

// New makes a country. The error wraps formation.ErrInvalid, or says that the scale is out of range.
func New(o Options) (*Country, error) {
	if o.Scale == 0 {
		o.Scale = 1
	}
	if !(o.Scale >= 0.01 && o.Scale <= 1) { // written so that NaN fails
		return nil, fmt.Errorf("country: scale is %v; want 0.01 to 1", o.Scale)
	}
	if o.Rules.Categories == nil {
		o.Rules = formation.Default()
	}
	if err := o.Rules.Validate(); err != nil {
		return nil, err
	}
	scaled := func(n int) int { return int(math.Round(float64(n) * o.Scale)) }
	land := newLand(o.Seed, max(scaled(realCities), 12), max(scaled(realStations), 40))
	planner := newPlanner(land, chance(o.Seed, "trains"))
	drafts := planner.drafts(scaled(TrainsPerDay) / 2)
	c := &Country{network: land.network(planner.served), trains: make([]train, len(drafts))}
	each(len(drafts), func(i int) { c.trains[i] = drafts[i].train(land, o.Rules) })
	return c, nil
}

// Schedule is the country's timetable for so many service dates (1 to 400) from the given one, all of them on sale. Patterns are shared by all dates and all
// Schedules: do not modify. It panics if there are fewer or more days.
func (c *Country) Schedule(first rail.Date, days int) *timetable.Schedule {
	if days < 1 || days > 400 {
		panic(fmt.Sprintf("country: %d days; want 1 to 400", days))
	}
	s := &timetable.Schedule{Network: c.network}
	s.Network.SaleDays = days
	dates := map[weekdays][]rail.Date{}
	for _, t := range c.trains {
		if _, known := dates[t.days]; !known {
			dates[t.days] = t.days.between(first, first+rail.Date(days))
		}
		if t.trip.Dates = dates[t.days]; len(t.trip.Dates) > 0 {
			s.Trips = append(s.Trips, t.trip)
		}
	}
	return s
}

// between is the dates in [from, to) that lie on one of the weekdays.
func (w weekdays) between(from, to rail.Date) (dates []rail.Date) {
	for d := from; d < to; d++ {
		if w>>d.Weekday()&1 != 0 {
			dates = append(dates, d)
		}
	}
	return dates
}

// chance is a source of chance for one purpose: what one part draws does not change what another gets.
func chance(seed uint64, purpose string) *rand.Rand {
	return rand.New(rand.NewPCG(seed, hash(purpose)))
}

// hash is FNV-1a, 64 bit.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// each calls do for every number below n, on all processors.
func each(n int, do func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}
