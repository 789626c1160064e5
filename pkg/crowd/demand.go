package crowd

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// The rank curve of demand: the pair of places at rank k (from 0) of n has the weight (k+zipfShift)^-zipfExponent * e^(-zipfFall*k/n). Real journeys
// follow such a curve: the shift makes the head flat, the exponent is that of the middle, and the last factor makes the tail steep.
const (
	zipfShift    = 9
	zipfExponent = 1.06
	zipfFall     = 3
)

// ride is a trip between two of its stops.
type ride struct {
	trip     int32 // number within the schedule
	from, to rail.StopIndex
}

// pair is two places, each a city or a station without one.
type pair struct{ from, to timetable.Place }

func (p pair) compare(q pair) int {
	return cmp.Or(cmp.Compare(p.from.String(), q.from.String()), cmp.Compare(p.to.String(), q.to.String()))
}

// demand is what people want to ride: for each pair of places, by rank, all rides between them. It never changes.
type demand struct {
	rides [][]ride
	ranks weights
}

// newDemand ranks the pairs by the number of their trains: where most trains go, most people go.
func newDemand(schedule *timetable.Schedule) demand {
	rides := ridesByPair(schedule)
	pairs := slices.SortedFunc(maps.Keys(rides), func(p, q pair) int {
		return cmp.Or(cmp.Compare(len(rides[q]), len(rides[p])), p.compare(q))
	})
	var d demand
	for rank, p := range pairs {
		k, n := float64(rank), float64(len(pairs))
		d.rides = append(d.rides, rides[p])
		d.ranks.add(math.Pow(k+zipfShift, -zipfExponent) * math.Exp(-zipfFall*k/n))
	}
	return d
}

func ridesByPair(schedule *timetable.Schedule) map[pair][]ride {
	cities := make(map[rail.StationCode]rail.CityCode, len(schedule.Network.Stations))
	for _, s := range schedule.Network.Stations {
		cities[s.Code] = s.City
	}
	rides := map[pair][]ride{}
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
					p := pair{a, b}
					rides[p] = append(rides[p], ride{trip: int32(i), from: rail.StopIndex(from), to: rail.StopIndex(to)})
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

// pick gives the rides of a random pair; none if no train leads anywhere.
func (d *demand) pick(rng *rand.Rand) []ride {
	if len(d.rides) == 0 {
		return nil
	}
	return d.rides[d.ranks.pick(rng)]
}

// weights is a random choice: the sums of the weights of all choices up to each.
type weights []float64

func newWeights(each ...float64) (w weights) {
	for _, weight := range each {
		w.add(weight)
	}
	return w
}

func (w *weights) add(weight float64) {
	sum := weight
	if n := len(*w); n > 0 {
		sum += (*w)[n-1]
	}
	*w = append(*w, sum)
}

// pick gives the number of a choice with a chance in proportion to its weight: the first whose sum is above a random part of the whole. There must be
// at least one choice.
func (w weights) pick(rng *rand.Rand) int {
	last := len(w) - 1
	x := rng.Float64() * w[last]
	return min(sort.Search(len(w), func(i int) bool { return w[i] > x }), last)
}
