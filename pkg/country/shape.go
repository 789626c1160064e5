package country

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Shape is what a timetable looks like on a service date.
type Shape struct {
	Stations, Cities, Trains int
	// Stops of a train.
	StopsMean                       float64
	StopsMedian, StopsP95, StopsMax int
	// ODs of a train on average; those that its closed stops do not allow are counted, too.
	ODs float64
	// ClassesFewest and ClassesMost of a train.
	ClassesFewest, ClassesMost int
	// StationPair and CityPair are the most trains from one station, or city, to another.
	StationPair, CityPair int
	// Categories are the trains of each.
	Categories map[string]int
}

// Measure is the shape of a schedule on a service date.
func Measure(s *timetable.Schedule, date rail.Date) Shape {
	shape := Shape{Stations: len(s.Network.Stations), Cities: len(s.Network.Cities), Categories: map[string]int{}}
	m := newMeter(&s.Network)
	var stops []int
	for i := range s.Trips {
		p := s.Trips[i].Pattern
		if _, runs := slices.BinarySearch(s.Trips[i].Dates, date); !runs {
			continue
		}
		stops = append(stops, len(p.Stops))
		shape.StopsMean += float64(len(p.Stops))
		shape.ODs += float64(timetable.NumODs(len(p.Stops)))
		shape.Categories[p.Category]++
		n := len(p.Classes)
		if len(stops) == 1 {
			shape.ClassesFewest = n
		}
		shape.ClassesFewest, shape.ClassesMost = min(shape.ClassesFewest, n), max(shape.ClassesMost, n)
		m.add(p)
	}
	if shape.Trains = len(stops); shape.Trains == 0 {
		return shape
	}
	slices.Sort(stops)
	shape.StopsMean /= float64(shape.Trains)
	shape.ODs /= float64(shape.Trains)
	shape.StopsMedian, shape.StopsP95, shape.StopsMax = stops[len(stops)/2], stops[len(stops)*95/100], stops[len(stops)-1]
	shape.StationPair, shape.CityPair = most(m.stations), most(m.cities)
	return shape
}

// relation is from one place to another, by their numbers.
type relation uint64

// meter notes the relations of trains.
type meter struct {
	station map[rail.StationCode]int
	city    []int // by station; without one, a number of its own

	stations, cities []relation
	once             []relation
}

func newMeter(n *timetable.Network) *meter {
	m := &meter{station: map[rail.StationCode]int{}}
	cities := map[rail.CityCode]int{}
	for i, c := range n.Cities {
		cities[c.Code] = i
	}
	for i, s := range n.Stations {
		city, ok := cities[s.City]
		if !ok {
			city = len(n.Cities) + i
		}
		m.station[s.Code] = i
		m.city = append(m.city, city)
	}
	return m
}

// add notes a train once for each two stations and each two cities.
func (m *meter) add(p *timetable.Pattern) {
	once := m.once[:0]
	for from := range p.Stops {
		a := m.station[p.Stops[from].Station]
		for to := from + 1; to < len(p.Stops); to++ {
			b := m.station[p.Stops[to].Station]
			m.stations = append(m.stations, relation(a)<<32|relation(b))
			if m.city[a] != m.city[b] {
				once = append(once, relation(m.city[a])<<32|relation(m.city[b]))
			}
		}
	}
	slices.Sort(once)
	m.once = slices.Compact(once)
	m.cities = append(m.cities, m.once...)
}

// most is how often the relation occurs that occurs most.
func most(relations []relation) (most int) {
	slices.Sort(relations)
	for first, i := 0, 0; i < len(relations); i++ {
		if relations[i] != relations[first] {
			first = i
		}
		most = max(most, i-first+1)
	}
	return most
}

func (s Shape) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d stations in %d cities, %d trains a day (", s.Stations, s.Cities, s.Trains)
	for i, c := range slices.Sorted(maps.Keys(s.Categories)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", c, s.Categories[c])
	}
	fmt.Fprintf(&b, "); stops: mean %.1f, median %d, p95 %d, max %d; %.0f ODs a train; %d to %d classes; at most %d trains for two stations, %d for two cities",
		s.StopsMean, s.StopsMedian, s.StopsP95, s.StopsMax, s.ODs, s.ClassesFewest, s.ClassesMost, s.StationPair, s.CityPair)
	return b.String()
}
