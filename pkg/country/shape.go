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
	cities := make(map[rail.StationCode]rail.CityCode, len(s.Network.Stations))
	for _, st := range s.Network.Stations {
		cities[st.Code] = st.City
	}
	m := meter{stations: map[[2]string]int{}, cities: map[[2]string]int{}}
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
		if n := len(p.Classes); shape.ClassesMost == 0 {
			shape.ClassesFewest, shape.ClassesMost = n, n
		} else {
			shape.ClassesFewest, shape.ClassesMost = min(shape.ClassesFewest, n), max(shape.ClassesMost, n)
		}
		m.add(p, cities)
	}
	if shape.Trains = len(stops); shape.Trains == 0 {
		return shape
	}
	slices.Sort(stops)
	shape.StopsMean /= float64(shape.Trains)
	shape.ODs /= float64(shape.Trains)
	shape.StopsMedian, shape.StopsP95, shape.StopsMax = stops[len(stops)/2], stops[len(stops)*95/100], stops[len(stops)-1]
	shape.StationPair, shape.CityPair = m.most(m.stations), m.most(m.cities)
	return shape
}

// meter counts the trains of each relation.
type meter struct{ stations, cities map[[2]string]int }

// add counts a train once for each two stations and each two cities.
func (m *meter) add(p *timetable.Pattern, cities map[rail.StationCode]rail.CityCode) {
	seen := map[[2]string]bool{}
	for from := range p.Stops {
		for to := from + 1; to < len(p.Stops); to++ {
			a, b := p.Stops[from].Station, p.Stops[to].Station
			if a != b {
				m.stations[[2]string{string(a), string(b)}]++
			}
			if c := [2]string{string(cities[a]), string(cities[b])}; c[0] != c[1] && !seen[c] {
				seen[c] = true
				m.cities[c]++
			}
		}
	}
}

func (m *meter) most(of map[[2]string]int) (most int) {
	for _, n := range of {
		most = max(most, n)
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
