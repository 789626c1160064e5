package country

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// stopCurve is how many stops trains have: a share of them, in 10,000, has at most so many. Between the points it is straight. The mean is 10.4, of the
// ODs 81.
var stopCurve = [...]struct{ share, stops float64 }{{0, 2}, {0.08, 2.6}, {0.3, 5.3}, {0.5, 8}, {0.75, 12.8}, {0.9, 21}, {0.95, 26}, {0.99, 35}, {1, 61.4}}

func stopsAt(share float64) int {
	i := 1
	for stopCurve[i].share < share {
		i++
	}
	a, b := stopCurve[i-1], stopCurve[i]
	return int(a.stops + (b.stops-a.stops)*(share-a.share)/(b.share-a.share) + 0.5)
}

// brand is what a train's letter says of it.
type brand struct {
	letter string
	on     kind
	// shares of all trains with at most 5, 14, 26 and more stops.
	shares [4]float64
	// kmh between stops, from and to; dwell at a stop, in minutes; stretch is up to how many stations it passes for one at which it calls.
	slow, quick float64
	dwell       rail.Minutes
	stretch     float64
	// atNight: it leaves at any hour. Others rest from midnight to six, unless they are late.
	atNight bool
	// closed: nobody leaves it near its origin or boards near its end, as on long-distance sleepers.
	closed bool
}

var brands = [...]brand{
	{"G", fast, [4]float64{50, 55, 25, 0}, 240, 310, 2, 5, false, false},
	{"D", fast, [4]float64{18, 28, 25, 0}, 150, 200, 2, 3, false, false},
	{"C", fast, [4]float64{30, 2, 0, 0}, 140, 220, 1, 1.3, false, false},
	{"K", classic, [4]float64{2, 10, 35, 100}, 70, 95, 5, 2, true, false},
	{"T", classic, [4]float64{0, 2, 5, 0}, 85, 105, 6, 3, true, false},
	{"Z", classic, [4]float64{0, 3, 10, 0}, 95, 115, 6, 4, true, true},
}

// brandOf is a random brand for a train with so many stops.
func brandOf(stops int, rng *rand.Rand) *brand {
	size := 0
	for _, most := range [...]int{5, 14, 26} {
		if stops > most {
			size++
		}
	}
	var w demand.Weights
	for i := range brands {
		w.Add(brands[i].shares[size])
	}
	return &brands[w.Pick(rng)]
}

// draft is a train, there or back, before its times and fares.
type draft struct {
	brand  *brand
	number int
	// twin: it runs under the number of another, on the days on which that does not.
	twin bool
	days weekdays
	way  []stage // where it calls
	rng  *rand.Rand
}

// someDays of twins: one runs on these, the other on all others.
var someDays = [...]weekdays{0b1100001, 0b0100001, 0b0101011} // Friday to Sunday; Friday and Sunday; four days of the week

// twinShare of trains run on some days alone, with a twin on the others: about one in so many.
const twinShare = 16

// drafts are so many pairs of trains on every day. The longest come first: they find room on long lines, and call where no train has called yet.
func (p *planner) drafts(pairs int) (all []draft) {
	numbers := map[string]int{}
	for i := range pairs {
		stops := stopsAt(1 - (float64(i)+0.5)/float64(pairs))
		b := brandOf(stops, p.rng)
		number := numbers[b.letter] + 1
		numbers[b.letter] = number + 1
		days := everyDay
		if p.rng.IntN(twinShare) == 0 {
			days = someDays[p.rng.IntN(len(someDays))]
			all = p.pair(all, draft{brand: b, number: number, twin: true, days: everyDay &^ days}, stops)
		}
		all = p.pair(all, draft{brand: b, number: number, days: days}, stops)
	}
	return all
}

// pair adds a train and its way back.
func (p *planner) pair(all []draft, there draft, stops int) []draft {
	there.way = p.route(there.brand.on, stops, there.brand.stretch)
	back := there
	back.number, back.way = there.number+1, reverse(there.way)
	there.rng, back.rng = rand.New(rand.NewPCG(p.rng.Uint64(), 1)), rand.New(rand.NewPCG(p.rng.Uint64(), 2))
	return append(all, there, back)
}

func reverse(way []stage) []stage {
	back := slices.Clone(way)
	slices.Reverse(back)
	for i := range back {
		back[i].km = way[len(way)-1].km - back[i].km
	}
	return back
}

// train gives a draft its times and fares.
func (d *draft) train(l *land, rules formation.Rules) train {
	p := &timetable.Pattern{Train: fmt.Sprint(d.brand.letter, d.number), Category: d.brand.letter}
	kmh := d.brand.slow + d.rng.Float64()*(d.brand.quick-d.brand.slow)
	clock, km := rail.Minutes(0), make([]float64, 0, len(d.way))
	for i, s := range d.way {
		if i > 0 {
			clock += max(rail.Minutes((s.km-d.way[i-1].km)/kmh*60+0.5), 1)
		}
		stop := timetable.Stop{Station: l.code(s.station), Arrive: clock, Depart: clock}
		if i > 0 && i < len(d.way)-1 {
			clock += d.brand.dwell
			stop.Depart = clock
			d.restrict(&stop, s.km, d.way[len(d.way)-1].km)
		}
		p.Stops, km = append(p.Stops, stop), append(km, s.km)
	}
	departure := d.departure(clock)
	for i := range p.Stops {
		p.Stops[i].Arrive += departure
		p.Stops[i].Depart += departure
	}
	p.Classes = rules.For(p.Category).Offers(km)
	p.ID = p.ContentID()
	id := rail.TripID(p.Train)
	if d.twin {
		id += "-2"
	}
	return train{timetable.Trip{ID: id, Pattern: p}, d.days}
}

// restrict closes the stops of a sleeper within 300 km of its origin to those who would leave, and within 150 km of its end to those who would board.
func (d *draft) restrict(stop *timetable.Stop, km, length float64) {
	if d.brand.closed {
		stop.NoAlighting, stop.NoBoarding = km < 300, length-km < 150
	}
}

// departure from the origin of a train that is on the way for so long: by day between six and midnight, or early if it needs longer.
func (d *draft) departure(length rail.Minutes) rail.Minutes {
	const first, last, early = 6 * 60, 24*60 - 15, 3 * 60
	room := last - first - length
	if d.brand.atNight {
		room = rail.Day
		return rail.Minutes(d.rng.IntN(int(room)))
	}
	return first + rail.Minutes(d.rng.IntN(int(max(room, early))))
}

// planner finds ways for trains: where most people want to go, but nowhere more trains than there are, and everywhere one.
type planner struct {
	land  *land
	rng   *rand.Rand
	lines []line
	heavy [1 << kinds]demand.Weights // by kind: all lines, those of other kinds without weight
	// served counts the trains that call at a station; pairs and cities count those from one to another.
	served        []int
	pairs, cities []uint16
	unserved      int
}

func newPlanner(l *land, rng *rand.Rand) *planner {
	p := &planner{
		land: l, rng: rng, lines: l.lines(rng), served: make([]int, len(l.stations)), unserved: len(l.stations),
		pairs: make([]uint16, len(l.stations)*len(l.stations)), cities: make([]uint16, len(l.cities)*len(l.cities)),
	}
	for _, ln := range p.lines {
		for k := range kinds {
			if on := kind(1 << k); on == ln.kind {
				p.heavy[on].Add(ln.weight)
			} else {
				p.heavy[on].Add(0)
			}
		}
	}
	return p
}

// route is where a train with so many stops calls. It passes up to stretch stations for each.
func (p *planner) route(on kind, stops int, stretch float64) []stage {
	const patience = 60
	var way []stage
	for try := range patience {
		ln := p.neediest(on, stops)
		if ln == nil || try > 0 {
			ln = p.choose(on, stops, try > patience/2)
		}
		way = p.calls(p.section(ln, stops, stretch), stops)
		if p.fits(way) {
			break
		}
	}
	p.count(way)
	return way
}

// neediest is the line of a kind on which most stations that are long enough a train's have none yet; nil if all have one.
func (p *planner) neediest(on kind, stops int) (best *line) {
	if p.unserved == 0 {
		return nil
	}
	most := 0
	for i := range p.lines {
		ln := &p.lines[i]
		if ln.kind != on || len(ln.way) < stops {
			continue
		}
		n := 0
		for _, s := range ln.way {
			if p.served[s.station] == 0 {
				n++
			}
		}
		if n > most {
			best, most = ln, n
		}
	}
	return best
}

// choose is a random line with room for so many stops, by weight or, where all heavy ones are full, with equal chances; the one with most stations if there
// seems to be none.
func (p *planner) choose(on kind, stops int, even bool) *line {
	longest := -1
	for range 50 {
		i := p.heavy[on].Pick(p.rng)
		if even {
			i = p.rng.IntN(len(p.lines))
		}
		if p.lines[i].kind == on && len(p.lines[i].way) >= stops && float64(len(p.lines[i].mains)) >= float64(stops)/perCity {
			return &p.lines[i]
		}
	}
	for i := range p.lines {
		if p.lines[i].kind == on && (longest < 0 || len(p.lines[i].way) > len(p.lines[longest].way)) {
			longest = i
		}
	}
	return &p.lines[longest]
}

// perCity is at how many stations of a city a train calls on average at most, where its line is long enough.
const perCity = 1.5

// section is a part of a line, from one city's own station to another's, with room for so many stops; all of the line while it has stations without a train.
func (p *planner) section(ln *line, stops int, stretch float64) []stage {
	if p.unserved > 0 && slices.ContainsFunc(ln.way, func(s stage) bool { return p.served[s.station] == 0 }) {
		return ln.way
	}
	want := min(int(float64(stops)*(1+p.rng.Float64()*(stretch-1))), len(ln.way))
	starts := 0
	for starts < len(ln.mains)-1 && len(ln.way)-ln.mains[starts] >= want {
		starts++
	}
	from := ln.mains[p.rng.IntN(max(starts, 1))]
	to, cities := len(ln.way)-1, 0
	for _, m := range ln.mains {
		if cities++; m <= from {
			cities = 0
		} else if m-from+1 >= want && float64(cities+1) >= float64(stops)/perCity {
			to = m
			break
		}
	}
	return ln.way[from : to+1]
}

// calls are both ends of a section and those between them that have least trains for their pull, up to so many in all; a second one in a city where there is no
// other left, and so on.
func (p *planner) calls(section []stage, stops int) []stage {
	type wish struct {
		place int
		score float64
	}
	wishes := make([]wish, 0, len(section))
	for i := 1; i < len(section)-1; i++ {
		s := section[i].station
		wishes = append(wishes, wish{i, float64(p.served[s]) / p.land.stations[s].pull * (0.5 + p.rng.Float64())})
	}
	slices.SortFunc(wishes, func(a, b wish) int { return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.place, b.place)) })
	places, inCity := make([]int, 0, stops), map[int]int{}
	call := func(place int) {
		places = append(places, place)
		inCity[p.land.stations[section[place].station].city]++
	}
	call(0)
	call(len(section) - 1)
	for most := 1; len(places) < stops && len(wishes) > 0; most++ {
		wishes = slices.DeleteFunc(wishes, func(w wish) bool {
			station := section[w.place].station
			take := len(places) < stops && (p.served[station] == 0 || inCity[p.land.stations[station].city] < most)
			if take {
				call(w.place)
			}
			return take
		})
	}
	slices.Sort(places)
	way := make([]stage, 0, len(places))
	for _, i := range places {
		way = append(way, stage{section[i].station, section[i].km - section[0].km})
	}
	return way
}

// fits reports whether no two of the stations, nor their cities, have all the trains that they can have.
func (p *planner) fits(way []stage) bool {
	fits := true
	p.relations(way, func(pair, cities *uint16) {
		fits = fits && *pair < realStationPair && (cities == nil || *cities < realCityPair)
	})
	return fits
}

func (p *planner) count(way []stage) {
	for _, s := range way {
		if p.served[s.station]++; p.served[s.station] == 1 {
			p.unserved--
		}
	}
	p.relations(way, func(pair, cities *uint16) {
		*pair++
		if cities != nil {
			*cities++
		}
	})
}

// relations calls do with the counters of each two stations, and of each two cities once: at their first stations on the way.
func (p *planner) relations(way []stage, do func(pair, cities *uint16)) {
	for i, a := range way {
		cityA := p.land.stations[a.station].city
		firstA := i == 0 || p.land.stations[way[i-1].station].city != cityA
		for j := i + 1; j < len(way); j++ {
			cityB := p.land.stations[way[j].station].city
			var cities *uint16
			if firstA && cityA != cityB && p.land.stations[way[j-1].station].city != cityB {
				cities = counter(p.cities, len(p.land.cities), cityA, cityB)
			}
			do(counter(p.pairs, len(p.land.stations), a.station, way[j].station), cities)
		}
	}
}

// counter of two of n: the same either way, since each train has its way back.
func counter(counts []uint16, n, a, b int) *uint16 { return &counts[min(a, b)*n+max(a, b)] }
