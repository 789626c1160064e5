package timetable

import (
	"cmp"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// Leg is a ride on a pattern between two of its stops.
type Leg struct {
	Pattern *Pattern
	// From and To are stops of Pattern, From before To.
	From, To rail.StopIndex
	// Number of the pattern among the distinct ones that the index was made of.
	Number int32
}

// Depart is the time of leaving the from stop, in minutes from the service date.
func (l Leg) Depart() rail.Minutes { return l.Pattern.Stops[l.From].Depart }

// Arrive is the time of reaching the to stop, in minutes from the service date.
func (l Leg) Arrive() rail.Minutes { return l.Pattern.Stops[l.To].Arrive }

// DayOffset is how many days after its service date the train leaves the from stop: the boarding date minus it is the service date.
func (l Leg) DayOffset() rail.Date { return l.Depart().Days() }

// Index answers which legs lead from one place to another, and which place a person means. It is made by NewIndex and never changes
// afterwards, so any number of goroutines may use it at once (T1).
type Index struct {
	network  *Network
	location *time.Location
	patterns map[rail.PatternID]*Pattern

	// An area is what a query for a city covers: area n is city n of the network; behind the cities, each station without a city
	// is an area of its own.
	cities map[rail.CityCode]int32
	// stations lie together by area: those of area n start at first[n] and end before first[n+1].
	stations []*Station
	first    []int32
	numbers  map[rail.StationCode]int32 // places in stations and areas
	areas    []int32                    // by station

	// legs lie together by to area, then from area, in the order of T4. A matrix of all pairs would grow with the square of the areas, of which
	// most pairs have no train; so the cells to area n, sorted by from area, start at rows[n] and end before rows[n+1].
	legs  []Leg
	rows  []int32
	cells []cell

	gazetteer
}

// cell is the legs from one area to another: they start at first and end where those of the next cell start.
type cell struct {
	from, first int32
}

// NewIndex builds the index of patterns on a network, both of which must have passed Validate and may not be modified any more. Of patterns
// with the same id the first counts. A station that the network does not know is listed under its code, without a city.
func NewIndex(network *Network, patterns []*Pattern) *Index {
	x := &Index{network: network, location: time.UTC, patterns: make(map[rail.PatternID]*Pattern, len(patterns))}
	if location, err := time.LoadLocation(network.Timezone); err == nil {
		x.location = location
	}
	distinct := make([]*Pattern, 0, len(patterns))
	for _, p := range patterns {
		if x.patterns[p.ID] == nil {
			x.patterns[p.ID] = p
			distinct = append(distinct, p)
		}
	}
	x.addStations(distinct)
	x.addLegs(distinct)
	x.gazetteer = newGazetteer(x, distinct)
	return x
}

// Network is the network that the index was built on; shared, do not modify.
func (x *Index) Network() *Network { return x.network }

// Location is the time zone of the network; UTC if the zone is not known here.
func (x *Index) Location() *time.Location { return x.location }

// Pattern finds a pattern by its id; shared, do not modify.
func (x *Index) Pattern(id rail.PatternID) (*Pattern, bool) {
	p, ok := x.patterns[id]
	return p, ok
}

// Station finds a station by its exact code; shared, do not modify.
func (x *Index) Station(code rail.StationCode) (*Station, bool) {
	n, ok := x.numbers[code]
	if !ok {
		return nil, false
	}
	return x.stations[n], true
}

// City finds a city by its exact code; shared, do not modify.
func (x *Index) City(code rail.CityCode) (*City, bool) {
	n, ok := x.cities[code]
	if !ok {
		return nil, false
	}
	return &x.network.Cities[n], true
}

// CityOf is the city of a place: itself, or that of the station; empty if none is known.
func (x *Index) CityOf(place Place) rail.CityCode {
	if place.IsCity() {
		return place.City
	}
	if s, ok := x.Station(place.Station); ok {
		return s.City
	}
	return ""
}

// StationsOf is the stations that a place means, those of a city in the order of the network; shared, do not modify. It is empty for a
// place that is not known.
func (x *Index) StationsOf(place Place) []*Station {
	if place.IsCity() {
		n, ok := x.cities[place.City]
		if !ok {
			return nil
		}
		return slices.Clip(x.stations[x.first[n]:x.first[n+1]])
	}
	n, ok := x.numbers[place.Station]
	if !ok {
		return nil
	}
	return x.stations[n : n+1 : n+1]
}

// Legs is all legs between two places in the order of T4; shared, do not modify. It is nil if there is none, if a place is not known, and
// from a city to itself. A query for whole areas does not allocate; one for a station among several of its city does.
func (x *Index) Legs(from, to Place) []Leg {
	a, wholeFrom := x.areaOf(from)
	b, wholeTo := x.areaOf(to)
	if a < 0 || b < 0 || from.IsCity() && from == to {
		return nil
	}
	legs := x.between(a, b)
	if wholeFrom && wholeTo {
		return legs
	}
	var some []Leg
	for _, l := range legs {
		stops := l.Pattern.Stops
		if from.has(&stops[l.From]) && to.has(&stops[l.To]) {
			some = append(some, l)
		}
	}
	return some
}

// has reports whether a stop, known to be in the place's area, is at the place.
func (p Place) has(s *Stop) bool { return p.IsCity() || p.Station == s.Station }

// areaOf is the area around a place, or -1, and whether the place is all of it.
func (x *Index) areaOf(place Place) (area int32, whole bool) {
	if place.IsCity() {
		if area, ok := x.cities[place.City]; ok {
			return area, true
		}
		return -1, false
	}
	n, ok := x.numbers[place.Station]
	if !ok {
		return -1, false
	}
	area = x.areas[n]
	return area, x.first[area+1]-x.first[area] == 1
}

// between is the legs from area a to area b.
func (x *Index) between(a, b int32) []Leg {
	row := x.cells[x.rows[b]:x.rows[b+1]]
	k, found := slices.BinarySearchFunc(row, a, func(c cell, a int32) int { return cmp.Compare(c.from, a) })
	if !found {
		return nil
	}
	end := x.cells[int(x.rows[b])+k+1].first
	return slices.Clip(x.legs[row[k].first:end])
}

// addStations numbers the areas and the stations.
func (x *Index) addStations(patterns []*Pattern) {
	x.cities = make(map[rail.CityCode]int32, len(x.network.Cities))
	for n, c := range x.network.Cities {
		x.cities[c.Code] = int32(n)
	}
	type member struct {
		area    int32
		station *Station
	}
	var members []member
	areas := int32(len(x.network.Cities))
	for _, s := range allStations(x.network, patterns) {
		area, ok := x.cities[s.City]
		if !ok {
			area = areas
			areas++
		}
		members = append(members, member{area, s})
	}
	slices.SortStableFunc(members, func(a, b member) int { return cmp.Compare(a.area, b.area) })

	x.numbers = make(map[rail.StationCode]int32, len(members))
	x.first = make([]int32, areas+1)
	for n, m := range members {
		x.numbers[m.station.Code] = int32(n)
		x.stations = append(x.stations, m.station)
		x.areas = append(x.areas, m.area)
		x.first[m.area+1]++
	}
	sumUp(x.first)
}

// allStations is the stations of the network, then those that only the patterns know.
func allStations(network *Network, patterns []*Pattern) []*Station {
	var all []*Station
	known := make(map[rail.StationCode]bool, len(network.Stations))
	for i := range network.Stations {
		s := &network.Stations[i]
		known[s.Code] = true
		all = append(all, s)
	}
	for _, p := range patterns {
		for i := range p.Stops {
			if code := p.Stops[i].Station; !known[code] {
				known[code] = true
				all = append(all, &Station{Code: code, Names: Names{Name: string(code)}})
			}
		}
	}
	return all
}

// sumUp turns counts, kept one place up, into the places at which each begins.
func sumUp(counts []int32) {
	for n := range len(counts) - 1 {
		counts[n+1] += counts[n]
	}
}

// draft is a leg on its way to its cell. It has no pointers and is small, since all drafts are moved twice.
type draft struct {
	pattern  int32 // place among the patterns
	from, to rail.StopIndex
	// other is the area at the other end: while the drafts lie by from area it is the to area, and the reverse.
	other int32
	// when is the departure on the boarding day, then the riding time: what the legs of a cell are ordered by first.
	when uint32
}

// rideBits is what the longest ride that Validate allows (14 days of minutes) needs in when; the departure needs 11 bits.
const rideBits = 15

func newDraft(n int32, p *Pattern, from, to rail.StopIndex) draft {
	l := Leg{Pattern: p, From: from, To: to}
	clock, ride := uint32(l.Depart()%rail.Day), uint32(l.Arrive()-l.Depart())
	return draft{pattern: n, from: from, to: to, when: clock<<rideBits | ride}
}

// addLegs sorts the legs by counting, by from area and then by to area, which leaves those of a cell together.
func (x *Index) addLegs(patterns []*Pattern) {
	from, to := make([]int32, len(x.first)), make([]int32, len(x.first))
	x.eachLeg(patterns, func(a, b int32, _ draft) {
		from[a+1]++
		to[b+1]++
	})
	sumUp(from)
	sumUp(to)
	byFrom := make([]draft, from[len(from)-1])
	next := slices.Clone(from)
	x.eachLeg(patterns, func(a, b int32, d draft) {
		d.other = b
		byFrom[next[a]] = d
		next[a]++
	})
	x.addRows(flip(byFrom, from, to), to, patterns)
}

// eachLeg calls do for each leg with the areas of its ends, pattern by pattern.
func (x *Index) eachLeg(patterns []*Pattern, do func(from, to int32, d draft)) {
	var areas []int32
	for n, p := range patterns {
		areas = areas[:0]
		for i := range p.Stops {
			areas = append(areas, x.areas[x.numbers[p.Stops[i].Station]])
		}
		for from, to := range p.rides {
			do(areas[from], areas[to], newDraft(int32(n), p, from, to))
		}
	}
}

// flip sorts drafts that lie by from area (that of area n starts at from[n]) by to area.
func flip(drafts []draft, from, to []int32) []draft {
	flipped := make([]draft, len(drafts))
	next := slices.Clone(to)
	for area := range len(from) - 1 {
		for _, d := range drafts[from[area]:from[area+1]] {
			at := &next[d.other]
			d.other = int32(area)
			flipped[*at] = d
			*at++
		}
	}
	return flipped
}

// addRows cuts drafts that lie by to area (that of area n starts at to[n]) and within it by from area into cells.
func (x *Index) addRows(drafts []draft, to []int32, patterns []*Pattern) {
	x.legs = make([]Leg, 0, len(drafts))
	for area := range len(to) - 1 {
		x.rows = append(x.rows, int32(len(x.cells)))
		row := drafts[to[area]:to[area+1]]
		for start, end := 0, 0; start < len(row); start = end {
			for end < len(row) && row[end].other == row[start].other {
				end++
			}
			x.addCell(row[start:end], patterns)
		}
	}
	x.rows = append(x.rows, int32(len(x.cells)))
	x.cells = append(x.cells, cell{from: -1, first: int32(len(x.legs))})
}

// addCell appends the legs of the next cell in the order of T4; the id last, so that equal timetables have equal answers.
func (x *Index) addCell(drafts []draft, patterns []*Pattern) {
	x.cells = append(x.cells, cell{from: drafts[0].other, first: int32(len(x.legs))})
	slices.SortFunc(drafts, func(d, e draft) int {
		if d.when != e.when {
			return cmp.Compare(d.when, e.when)
		}
		p, q := patterns[d.pattern], patterns[e.pattern]
		return cmp.Or(
			cmp.Compare(p.TrainAt(d.from), q.TrainAt(e.from)),
			cmp.Compare(d.from, e.from), cmp.Compare(d.to, e.to), cmp.Compare(p.ID, q.ID))
	})
	for _, d := range drafts {
		x.legs = append(x.legs, Leg{Pattern: patterns[d.pattern], From: d.from, To: d.to, Number: d.pattern})
	}
}

// rides yields the pairs of stops that are legs (T2, T3), from-major.
func (p *Pattern) rides(yield func(from, to rail.StopIndex) bool) {
	before := p.alightedBefore()
	for i := range p.Stops {
		from := &p.Stops[i]
		if from.NoBoarding {
			continue
		}
		for j := i + 1; j < len(p.Stops); j++ {
			to := &p.Stops[j]
			if to.Station == from.Station {
				if !to.NoBoarding {
					break // whoever boards here instead rides shorter to every later stop
				}
				continue
			}
			if !to.NoAlighting && before[j] < i && !yield(rail.StopIndex(i), rail.StopIndex(j)) {
				return
			}
		}
	}
}

// alightedBefore is, by stop, the last earlier stop at the same station that lets passengers off, or -1.
func (p *Pattern) alightedBefore() []int {
	before := make([]int, len(p.Stops))
	for j := range p.Stops {
		before[j] = j - 1
		for ; before[j] >= 0; before[j]-- {
			if s := &p.Stops[before[j]]; !s.NoAlighting && s.Station == p.Stops[j].Station {
				break
			}
		}
	}
	return before
}
