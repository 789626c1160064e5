package country

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// The rank curve of demand: the pair of places at rank k (from 0) of n has the weight (k+zipfShift)^-zipfExponent * e^(-zipfFall*k/n), as among crowd's
// people.
const (
	zipfShift    = 9
	zipfExponent = 1.06
	zipfFall     = 3
)

// Demand is what people want to ride: all rides of a schedule by the two places, each a city or a station without one, with the demand of their rank. The
// pair with most trains is the first. It never changes; any number of goroutines may use it.
type Demand struct {
	places []timetable.Place
	pairs  []pair
	rides  []ride
	ranks  weights
}

// pair is two places, by number, and their rides.
type pair struct {
	from, to    int32
	first, last int32 // in rides, without the last
	trains      int32 // that have the rides
}

// ride is a trip between two of its stops.
type ride struct {
	trip     int32 // number within the schedule
	from, to rail.StopIndex
}

// NewDemand ranks the pairs of a schedule.
func NewDemand(s *timetable.Schedule) *Demand {
	d := &Demand{}
	type keyed struct {
		key uint64
		ride
	}
	numbers := d.number(s)
	var all []keyed
	for i := range s.Trips {
		stops := s.Trips[i].Pattern.Stops
		for from := range stops {
			a := numbers[stops[from].Station]
			for to := from + 1; to < len(stops); to++ {
				if b := numbers[stops[to].Station]; a != b && !stops[from].NoBoarding && !stops[to].NoAlighting {
					all = append(all, keyed{uint64(a)<<32 | uint64(b), ride{int32(i), rail.StopIndex(from), rail.StopIndex(to)}})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	d.rides = make([]ride, 0, len(all))
	for i, r := range all {
		if i == 0 || r.key != all[i-1].key {
			d.pairs = append(d.pairs, pair{from: int32(r.key >> 32), to: int32(uint32(r.key)), first: int32(i)})
		}
		p := &d.pairs[len(d.pairs)-1]
		if p.trains == 0 || d.rides[len(d.rides)-1].trip != r.trip {
			p.trains++
		}
		p.last = int32(i + 1)
		d.rides = append(d.rides, r.ride)
	}
	slices.SortStableFunc(d.pairs, func(p, q pair) int { return cmp.Compare(q.trains, p.trains) })
	for rank := range d.pairs {
		k, n := float64(rank), float64(len(d.pairs))
		d.ranks.add(math.Pow(k+zipfShift, -zipfExponent) * math.Exp(-zipfFall*k/n))
	}
	return d
}

// number gives each place a number, those without a city behind the cities, and tells that of each station.
func (d *Demand) number(s *timetable.Schedule) map[rail.StationCode]int32 {
	cities, numbers := map[rail.CityCode]int32{}, map[rail.StationCode]int32{}
	for i, c := range s.Network.Cities {
		cities[c.Code] = int32(i)
		d.places = append(d.places, timetable.Place{City: c.Code})
	}
	for _, st := range s.Network.Stations {
		n, ok := cities[st.City]
		if !ok {
			n = int32(len(d.places))
			d.places = append(d.places, timetable.Place{Station: st.Code})
		}
		numbers[st.Code] = n
	}
	return numbers
}

// Pairs is how many pairs of places have a train.
func (d *Demand) Pairs() int { return len(d.pairs) }

// Pick is a random pair of places, by their demand. There must be one.
func (d *Demand) Pick(rng *rand.Rand) (from, to timetable.Place) {
	p := d.pairs[d.ranks.pick(rng)]
	return d.places[p.from], d.places[p.to]
}

// Near is so many pairs of places, or all, whose numbers of rides are nearest to a wanted one: a query finds as many.
func (d *Demand) Near(rides int32, pairs int) (all [][2]timetable.Place) {
	away := func(p pair) int32 { return max(p.last-p.first-rides, rides-(p.last-p.first)) }
	sorted := slices.SortedStableFunc(slices.Values(d.pairs), func(p, q pair) int { return cmp.Compare(away(p), away(q)) })
	for _, p := range sorted[:min(pairs, len(sorted))] {
		all = append(all, [2]timetable.Place{d.places[p.from], d.places[p.to]})
	}
	return all
}

// ride is a random one of a random pair.
func (d *Demand) ride(rng *rand.Rand) ride {
	p := d.pairs[d.ranks.pick(rng)]
	return d.rides[p.first+rng.Int32N(p.last-p.first)]
}

// weights is a random choice: the sums of the weights of all choices up to each.
type weights []float64

func (w *weights) add(weight float64) {
	sum := weight
	if n := len(*w); n > 0 {
		sum += (*w)[n-1]
	}
	*w = append(*w, sum)
}

// pick gives the number of a choice with a chance in proportion to its weight: the first whose sum is above a random part of the whole. There must be
// at least one choice with a weight.
func (w weights) pick(rng *rand.Rand) int {
	last := len(w) - 1
	x := rng.Float64() * w[last]
	return min(sort.Search(len(w), func(i int) bool { return w[i] > x }), last)
}
