// Package sample is a network of our own making for the demo and for tests: the big cities of China with their real stations and codes, the main
// high-speed and classic corridors with distances that are about right, and trains as they might run. It is a likeness, not a timetable.
//
// Invariants (cited by the tests as S1...):
//
//	S1 A service date has the same trains whatever range it is asked for in.
//	S2 Every pattern is valid, and no train is faster or slower than trains are (60 to 330 km/h between two stops). High-speed lines rest from
//	   midnight to six.
//	S3 About 600 trains run on a day, among them trains that run overnight for a day and more, that change their number on the way, that
//	   pass stops closed to boarding or alighting, that call at a station twice, and that run on some weekdays only. A number is carried by one
//	   train a day.
//	S4 Every two of the twelve biggest cities have a direct train each way, and every station has a train.
package sample

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// before is how many service dates before the first are covered: their last trains are still on the way on it.
const before = 2

// Schedule is the sample on so many service dates (1 to 400) from the given one, and on the two before it. The rules say which classes the trains
// have. A train that runs on none of the dates is left out. The error wraps formation.ErrInvalid or timetable.ErrInvalid.
func Schedule(from rail.Date, days int, rules formation.Rules) (*timetable.Schedule, error) {
	if err := rules.Validate(); err != nil {
		return nil, err
	}
	s := &timetable.Schedule{Network: network(days)}
	if err := s.Network.Validate(); err != nil { // days, too: all of them are on sale
		return nil, err
	}
	for i := range services {
		for _, t := range services[i].trains(rules) {
			if t.trip.Dates = t.dates(from-before, from+rail.Date(days)); len(t.trip.Dates) > 0 {
				s.Trips = append(s.Trips, t.trip)
			}
		}
	}
	for i := range s.Trips {
		if err := s.Trips[i].Pattern.Validate(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// train is a trip with the weekdays on which it runs.
type train struct {
	trip     timetable.Trip
	weekdays string
}

// dates in [from, to) on which the train runs (S1: by the date alone).
func (t *train) dates(from, to rail.Date) (dates []rail.Date) {
	for d := from; d < to; d++ {
		if t.weekdays == "" || t.weekdays[d.Weekday()] == '1' {
			dates = append(dates, d)
		}
	}
	return dates
}

// mark is a station of a corridor.
type mark struct {
	station rail.StationCode
	km      float64
	major   bool
}

// marks reads a corridor's text.
func marks(corridor string) (out []mark) {
	for _, item := range strings.Split(corridors[corridor], ", ") {
		code, text, _ := strings.Cut(item, " ")
		km, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic("sample: corridor " + corridor + ": " + err.Error()) // a table of this package, held by its tests
		}
		name, major := strings.CutSuffix(code, "*")
		out = append(out, mark{rail.StationCode(name), km, major})
	}
	return out
}

// trains are a service's trains in both directions.
func (s *service) trains(rules formation.Rules) (out []train) {
	there := marks(s.corridor)
	back := reverse(there)
	for i := range s.daily {
		out = append(out, s.train(rules, there, i, s.labelThere(i)), s.train(rules, back, i, s.labelBack(i)))
	}
	return out
}

// reverse is the way back.
func reverse(way []mark) []mark {
	back := slices.Clone(way)
	slices.Reverse(back)
	for i := range back {
		back[i].km = way[len(way)-1].km - back[i].km
	}
	return back
}

// label is the numbers of a train: at its origin, and from renumberAt on.
type label struct{ first, then int }

// labelThere is the label of the day's train number i away from the corridor's first station. Trains that are renumbered share four numbers with
// their way back, G1912/1913 and G1914/1911, so that each is even towards Beijing on either part of the way.
func (s *service) labelThere(i int) label {
	if s.renumberAt == "" {
		return label{first: s.number + 2*i}
	}
	return label{first: s.number + 4*i + 1, then: s.number + 4*i + 2}
}

// labelBack is the label of the way back of labelThere.
func (s *service) labelBack(i int) label {
	if s.renumberAt == "" {
		return label{first: s.number + 2*i + 1}
	}
	return label{first: s.number + 4*i + 3, then: s.number + 4*i}
}

// train number i of the day.
func (s *service) train(rules formation.Rules, way []mark, i int, numbers label) train {
	p := &timetable.Pattern{Train: fmt.Sprint(s.letter, numbers.first), Category: s.letter}
	clock := s.first
	if s.daily > 1 {
		clock += (s.last - s.first) * rail.Minutes(i) / rail.Minutes(s.daily-1)
	}
	var km []float64
	for _, m := range way {
		end := m.km == 0 || m.km == way[len(way)-1].km
		if !end && !s.callsAt(m, i) {
			continue
		}
		if len(km) > 0 {
			clock += rail.Minutes((m.km-km[len(km)-1])/s.kmh*60 + 0.5)
		}
		stop := timetable.Stop{Station: m.station, Arrive: clock, Depart: clock}
		if !end {
			clock += s.dwell
			stop.Depart = clock
			s.restrict(&stop, m.km, way[len(way)-1].km)
		}
		if m.station == s.renumberAt && !end {
			stop.Train = fmt.Sprint(s.letter, numbers.then)
		}
		p.Stops, km = append(p.Stops, stop), append(km, m.km)
	}
	p.Classes = rules.For(s.letter).Offers(km)
	p.ID = p.ContentID()
	return train{timetable.Trip{ID: rail.TripID(p.Train), Pattern: p}, s.weekdays}
}

func (s *service) callsAt(m mark, i int) bool {
	return m.major || s.calls == everywhere || s.calls == mixed && i%2 == 1
}

// restrict closes the first and last calls of a long-distance sleeper to those who would take a berth for a short ride: nobody leaves it within
// 300 km of its origin, nobody boards within 150 km of its end.
func (s *service) restrict(stop *timetable.Stop, km, length float64) {
	if s.letter == "Z" {
		stop.NoAlighting, stop.NoBoarding = km < 300, length-km < 150
	}
}
