package country

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// kind of a line, and of the trains on it: a bit each, since a station may be on both.
type kind uint8

const (
	fast    kind = 1 << iota // high-speed lines
	classic                  // all others
	kinds   = 2
)

// land is the country before its trains: cities on a plane, links between neighbours, stations in and between the cities. Cities are numbered by size.
type land struct {
	cities   []city
	stations []station
	links    []link
	// joined lists the links of each city.
	joined [][]int
}

// city has a place on the plane, in km, and a share of all travellers.
type city struct {
	x, y, weight float64
	// halts are its own stations; the first is on classic lines, the others, if there are any, on fast ones.
	halts []int
}

// station of a city.
type station struct {
	city int
	on   kind
	// pull is how much more often trains call than at a station in the country, which has 1.
	pull float64
}

// link is a railway between two neighbouring cities, with the stations on the way from a to b.
type link struct {
	a, b int
	km   float64
	way  []stage
}

// stage is a station so many km from a line's, or a link's, beginning.
type stage struct {
	station int
	km      float64
}

// How the land lies.
const (
	// spacing is so many km for each city: 423 cities cover 4,000 km by 3,000 km.
	spacing = 168
	// detour is how much longer a railway is than a straight line.
	detour = 1.25
	// neighbours are the nearest cities with which each city is joined at least.
	neighbours = 4
)

func newLand(seed uint64, cities, stations int) *land {
	rng := chance(seed, "land")
	l := &land{cities: make([]city, 0, cities), joined: make([][]int, cities)}
	for i := range cities {
		x, y := l.site(rng, spacing*math.Sqrt(float64(cities)))
		l.cities = append(l.cities, city{x: x, y: y, weight: math.Pow(float64(i+4), -0.8)})
	}
	l.join()
	l.build(rng, stations)
	return l
}

// site is a place for the next city on a square of so many km: of some at random, the one that lies furthest from all others.
func (l *land) site(rng *rand.Rand, size float64) (x, y float64) {
	best := -1.0
	for range 6 {
		at, nearest := city{x: rng.Float64() * size, y: rng.Float64() * size}, math.Inf(1)
		for i := range l.cities {
			nearest = min(nearest, l.cities[i].far(at))
		}
		if nearest > best {
			x, y, best = at.x, at.y, nearest
		}
	}
	return x, y
}

func (c city) far(d city) float64 { return math.Hypot(c.x-d.x, c.y-d.y) }

// join links each city with its neighbours, and with the nearest of the bigger ones, so that all hang together.
func (l *land) join() {
	for i := range l.cities {
		order := make([]int, 0, len(l.cities))
		for k := range l.cities {
			if k != i {
				order = append(order, k)
			}
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(l.cities[i].far(l.cities[a]), l.cities[i].far(l.cities[b])) })
		for _, k := range order[:neighbours] {
			l.link(i, k)
		}
		if bigger := slices.IndexFunc(order, func(k int) bool { return k < i }); bigger >= 0 {
			l.link(i, order[bigger])
		}
	}
}

func (l *land) link(a, b int) {
	for _, k := range l.joined[a] {
		if l.links[k].other(a) == b {
			return
		}
	}
	l.joined[a], l.joined[b] = append(l.joined[a], len(l.links)), append(l.joined[b], len(l.links))
	l.links = append(l.links, link{a: a, b: b, km: detour * l.cities[a].far(l.cities[b])})
}

func (k *link) other(city int) int { return k.a + k.b - city }

// build puts stations into the cities, more into the bigger ones, and the rest along the links, by their length.
func (l *land) build(rng *rand.Rand, stations int) {
	for i := range l.cities {
		halts, n := 1, len(l.cities)
		switch {
		case i < n/20:
			halts = 3
		case i < n/4:
			halts = 2
		}
		for h := range halts {
			on := fast | classic
			if halts > 1 && h == 0 {
				on = classic
			} else if h > 0 {
				on = fast
			}
			l.cities[i].halts = append(l.cities[i].halts, len(l.stations))
			l.stations = append(l.stations, station{city: i, on: on, pull: 3 + 100*l.cities[i].weight})
		}
	}
	length, laid := 0.0, 0.0
	for i := range l.links {
		length += l.links[i].km
	}
	outside := max(stations-len(l.stations), 0)
	first := len(l.stations)
	for i := range l.links {
		laid += l.links[i].km
		l.links[i].lay(l, rng, first+int(math.Round(float64(outside)*laid/length))-len(l.stations))
	}
}

// lay puts so many stations on a link, at about equal distances. Each belongs to the nearer city; a third is on lines of both kinds.
func (k *link) lay(l *land, rng *rand.Rand, n int) {
	for i := range n {
		part := (float64(i) + 0.75 + rng.Float64()/2) / float64(n+1)
		home, on := k.a, kind(1+rng.IntN(3))
		if part > 0.5 {
			home = k.b
		}
		k.way = append(k.way, stage{len(l.stations), part * k.km})
		l.stations = append(l.stations, station{city: home, on: on, pull: 1})
	}
}

// network names all that some train serves.
func (l *land) network(served []int) timetable.Network {
	n := timetable.Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: SaleDays}
	cities := map[int]bool{}
	for i, s := range l.stations {
		if served[i] > 0 {
			n.Stations = append(n.Stations, timetable.Station{Code: l.code(i), City: l.cityCode(s.city), Names: l.stationName(i)})
			cities[s.city] = true
		}
	}
	for i := range l.cities {
		if cities[i] {
			n.Cities = append(n.Cities, timetable.City{Code: l.cityCode(i), Names: name(i)})
		}
	}
	return n
}

// code is three letters; numbers that lie together have codes that do not.
func (l *land) code(station int) rail.StationCode {
	const letters, step = 26, 7919 // a prime, so that no code comes twice within 26^3 stations
	n := (station*step + 1234) % (letters * letters * letters)
	return rail.StationCode([]byte{byte('A' + n/(letters*letters)), byte('A' + n/letters%letters), byte('A' + n%letters)})
}

// cityCode is that of its first station, as travellers know it.
func (l *land) cityCode(city int) rail.CityCode {
	return rail.CityCode(l.code(l.cities[city].halts[0]))
}

// stationName is that of the city for its own stations, with the side of the city for all but the first, and one of its own for those between cities.
func (l *land) stationName(i int) timetable.Names {
	sides := [...]string{"", "dong", "nan"}
	s := l.stations[i]
	names := name(s.city)
	h := slices.Index(l.cities[s.city].halts, i)
	if h < 0 {
		return name(len(l.cities) + i)
	}
	if h == 0 {
		return names
	}
	names.Name, names.Pinyin, names.Initials = names.Name+" "+sides[h], names.Pinyin+sides[h], names.Initials+sides[h][:1]
	return names
}

// syllables of names. Two or three of them make one.
var syllables = [...]string{
	"ba", "bo", "cen", "chu", "da", "dun", "fei", "fo", "gan", "gou", "he", "hui", "ji", "jun", "kai", "ku", "lan", "lo", "lue", "mao", "mi", "nai", "nuo", "ou", "pan",
	"pu", "qie", "qun", "ran", "ruo", "sai", "sun", "shei", "ta", "tui", "wa", "weng", "xia", "xun", "yao", "yin", "zei", "zuo", "zhai", "zhun",
}

// name number i: two syllables while there are any such, then three. The numbers are mixed, so that neighbours do not sound alike.
func name(i int) timetable.Names {
	const n = len(syllables)
	const mixed = 1009 // no factor of n
	k := i * mixed
	parts := []string{syllables[k%n], syllables[k/n%n]}
	if i >= n*n {
		parts = append(parts, syllables[i/(n*n)])
	}
	names := timetable.Names{}
	for _, p := range parts {
		names.Pinyin += p
		names.Initials += p[:1]
	}
	names.Name = string(names.Pinyin[0]-'a'+'A') + names.Pinyin[1:]
	return names
}
