// Package demand is what people want: pairs of places by rank, along a curve that is like that of real journeys, and boarding dates by nearness.
//
// Invariants (cited by the tests as M1...):
//
//	M1 Every pair has a weight above 0, and none has more than the pair that ranks before it.
//	M2 A timetable's pairs are all pairs of places between which a passenger may ride, each with all its rides: where most trains go, most people go.
//	M3 A choice of weight 0 is never picked; the others are, in proportion to their weights.
package demand

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Ride is a trip between two of its stops.
type Ride struct {
	// Trip is its number within the schedule.
	Trip     int32
	From, To rail.StopIndex
}

// Pair is two places, each a city or a station without one.
type Pair struct{ From, To timetable.Place }

func (p Pair) compare(q Pair) int {
	return cmp.Or(cmp.Compare(p.From.String(), q.From.String()), cmp.Compare(p.To.String(), q.To.String()))
}

// Rank is the place of a pair among all, from 0, the most wanted first.
type Rank int

// Demand is pairs of places and how much each is wanted. It never changes; all its methods may be called at once.
type Demand struct {
	pairs []Pair
	rides [][]Ride // of each pair; nil if they are not known
	ranks Weights
}

// New ranks the pairs of a schedule by the number of their trains.
func New(schedule *timetable.Schedule) *Demand {
	rides := ridesByPair(schedule)
	d := &Demand{pairs: slices.SortedFunc(maps.Keys(rides), func(p, q Pair) int {
		return cmp.Or(cmp.Compare(len(rides[q]), len(rides[p])), p.compare(q))
	})}
	for _, p := range d.pairs {
		d.rides = append(d.rides, rides[p])
	}
	d.ranks = Curve(len(d.pairs))
	return d
}

func ridesByPair(schedule *timetable.Schedule) map[Pair][]Ride {
	cities := make(map[rail.StationCode]rail.CityCode, len(schedule.Network.Stations))
	for _, s := range schedule.Network.Stations {
		cities[s.Code] = s.City
	}
	rides := map[Pair][]Ride{}
	var places []timetable.Place
	for i := range schedule.Trips {
		stops := schedule.Trips[i].Pattern.Stops
		places = places[:0]
		for _, s := range stops {
			places = append(places, placeOf(s.Station, cities[s.Station]))
		}
		for from, a := range places {
			for to := from + 1; to < len(places); to++ {
				if b := places[to]; a != b && !stops[from].NoBoarding && !stops[to].NoAlighting {
					p := Pair{a, b}
					rides[p] = append(rides[p], Ride{Trip: int32(i), From: rail.StopIndex(from), To: rail.StopIndex(to)})
				}
			}
		}
	}
	return rides
}

// placeOf is what people say for a station: its city, if it has one.
func placeOf(station rail.StationCode, city rail.CityCode) timetable.Place {
	if city != "" {
		return timetable.Place{City: city}
	}
	return timetable.Place{Station: station}
}

// Len is the number of pairs: 0 if no train leads anywhere.
func (d *Demand) Len() int { return len(d.pairs) }

// Pair is the pair at a rank below Len.
func (d *Demand) Pair(at Rank) Pair { return d.pairs[at] }

// Rides are all rides of the pair at a rank below Len; shared, do not modify. None are known of pairs that were read from a file.
func (d *Demand) Rides(at Rank) []Ride {
	if d.rides == nil {
		return nil
	}
	return d.rides[at]
}

// Pick gives the rank of a random pair. There must be at least one.
func (d *Demand) Pick(rng *rand.Rand) Rank { return Rank(d.ranks.Pick(rng)) }
