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
	// rides of all pairs, and where those of each pair are; none if they are not known.
	rides []Ride
	spans []span
	ranks Weights
}

// span is the rides of a pair: from first to before last. Trains is how many trips they are of.
type span struct{ first, last, trains int32 }

// New ranks the pairs of a schedule by the number of their trains.
func New(schedule *timetable.Schedule) *Demand {
	places, numbers := number(schedule)
	d := &Demand{}
	var pairs []uint64
	for _, r := range ridesOf(schedule, numbers) {
		last := len(d.spans) - 1
		if last < 0 || pairs[last] != r.pair {
			pairs, d.spans = append(pairs, r.pair), append(d.spans, span{first: int32(len(d.rides))})
			last++
		}
		p := &d.spans[last]
		if p.trains == 0 || d.rides[len(d.rides)-1].Trip != r.Trip {
			p.trains++
		}
		d.rides = append(d.rides, r.Ride)
		p.last = int32(len(d.rides))
	}
	order := make([]int, len(pairs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(d.spans[j].trains, d.spans[i].trains) })
	spans := make([]span, 0, len(order))
	for _, i := range order {
		spans, d.pairs = append(spans, d.spans[i]), append(d.pairs, Pair{places[pairs[i]>>32], places[uint32(pairs[i])]})
	}
	d.spans, d.ranks = spans, Curve(len(d.pairs))
	return d
}

// number gives each place a number, in the order of their texts, and tells that of each station. A station that the network does not know is a place of its own.
func number(s *timetable.Schedule) (places []timetable.Place, numbers map[rail.StationCode]uint32) {
	of := map[rail.StationCode]timetable.Place{}
	for _, st := range s.Network.Stations {
		of[st.Code] = placeOf(st)
	}
	for i := range s.Trips {
		for _, stop := range s.Trips[i].Pattern.Stops {
			if _, known := of[stop.Station]; !known {
				of[stop.Station] = timetable.Place{Station: stop.Station}
			}
		}
	}
	places = slices.SortedFunc(maps.Values(of), func(a, b timetable.Place) int { return cmp.Compare(a.String(), b.String()) })
	places = slices.Compact(places)
	at := make(map[timetable.Place]uint32, len(places))
	for n, p := range places {
		at[p] = uint32(n)
	}
	numbers = make(map[rail.StationCode]uint32, len(of))
	for code, p := range of {
		numbers[code] = at[p]
	}
	return places, numbers
}

// placeOf is what people say for a station: its city, if it has one.
func placeOf(s timetable.Station) timetable.Place {
	if s.City != "" {
		return timetable.Place{City: s.City}
	}
	return timetable.Place{Station: s.Code}
}

// between is a ride with its places' numbers, of which the upper half is where it starts.
type between struct {
	pair uint64
	Ride
}

// ridesOf lists the rides of a schedule, pair by pair, and trip by trip within.
func ridesOf(s *timetable.Schedule, numbers map[rail.StationCode]uint32) (all []between) {
	for i := range s.Trips {
		stops := s.Trips[i].Pattern.Stops
		for from := range stops {
			a := numbers[stops[from].Station]
			for to := from + 1; to < len(stops); to++ {
				if b := numbers[stops[to].Station]; a != b && !stops[from].NoBoarding && !stops[to].NoAlighting {
					all = append(all, between{uint64(a)<<32 | uint64(b), Ride{Trip: int32(i), From: rail.StopIndex(from), To: rail.StopIndex(to)}})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b between) int { return cmp.Compare(a.pair, b.pair) })
	return all
}

// Len is the number of pairs: 0 if no train leads anywhere.
func (d *Demand) Len() int { return len(d.pairs) }

// Pair is the pair at a rank below Len.
func (d *Demand) Pair(at Rank) Pair { return d.pairs[at] }

// Rides are all rides of the pair at a rank below Len; shared, do not modify. None are known of pairs that were read from a file.
func (d *Demand) Rides(at Rank) []Ride {
	if d.spans == nil {
		return nil
	}
	return d.rides[d.spans[at].first:d.spans[at].last]
}

// Near is so many ranks, or all, of the pairs whose numbers of rides are nearest to a wanted one.
func (d *Demand) Near(rides, ranks int) []Rank {
	all := make([]Rank, d.Len())
	for i := range all {
		all[i] = Rank(i)
	}
	away := func(at Rank) int { return max(len(d.Rides(at))-rides, rides-len(d.Rides(at))) }
	slices.SortStableFunc(all, func(a, b Rank) int { return cmp.Compare(away(a), away(b)) })
	return all[:min(ranks, len(all))]
}

// Pick gives the rank of a random pair. There must be at least one.
func (d *Demand) Pick(rng *rand.Rand) Rank { return Rank(d.ranks.Pick(rng)) }
