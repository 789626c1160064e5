package timetable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yupiao/yupiao/pkg/rail"
)

// countrySize is how big a made-up country is.
type countrySize struct {
	stations, cities, patterns int
}

var china = countrySize{stations: 3390, cities: 423, patterns: 20000}

// newCountry makes a network with made-up names of two to four syllables and patterns of 10.4 stops on average.
func newCountry(size countrySize) (*Network, []*Pattern) {
	rng := rand.New(rand.NewPCG(1, uint64(size.patterns)))
	network := &Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15}
	for n := range size.cities {
		network.Cities = append(network.Cities, City{Code: rail.CityCode(fmt.Sprintf("C%03d", n)), Names: newNames(rng)})
	}
	for n := range size.stations {
		city := network.Cities[n%size.cities].Code
		network.Stations = append(network.Stations, Station{Code: rail.StationCode(fmt.Sprintf("S%04d", n)), City: city, Names: newNames(rng)})
	}
	patterns := make([]*Pattern, size.patterns)
	for n := range patterns {
		patterns[n] = newPattern(rng, network, fmt.Sprintf("G%d", n))
	}
	return network, patterns
}

func newNames(rng *rand.Rand) Names {
	syllables := []string{"bei", "jing", "nan", "shang", "hai", "hang", "zhou", "tai", "yuan", "xi", "an", "guang", "dong", "wu", "han"}
	signs := []rune("北京南上海杭州太原西安广东武汉")
	var n Names
	for range 2 + rng.IntN(3) {
		k := rng.IntN(len(syllables))
		n.Name += string(signs[k])
		n.Pinyin += syllables[k]
		n.Initials += syllables[k][:1]
	}
	n.Other = map[string]string{"en": n.Pinyin + " South", "ko": "역" + n.Name}
	return n
}

// newPattern calls at 3 to 61 stations, few as a rule; the square of a random number makes some stations busier than others.
func newPattern(rng *rand.Rand, network *Network, train string) *Pattern {
	p := &Pattern{ID: rail.PatternID("p" + train), Train: train, Category: "G"}
	at := rail.Minutes(rng.IntN(int(rail.Day)))
	for range min(61, 3+int(rng.ExpFloat64()*8)) {
		u := rng.Float64()
		station := network.Stations[int(u*u*float64(len(network.Stations)))].Code
		at += rail.Minutes(5 + rng.IntN(60))
		p.Stops = append(p.Stops, Stop{Station: station, Arrive: at, Depart: at + 2})
		at += 2
	}
	return p
}

func BenchmarkIndex(b *testing.B) {
	for _, patterns := range []int{600, 4458, 20000} {
		network, all := newCountry(countrySize{stations: 3390, cities: 423, patterns: patterns})
		b.Run(fmt.Sprintf("patterns=%d", patterns), func(b *testing.B) {
			b.ReportAllocs()
			legs := 0
			for b.Loop() {
				legs = len(NewIndex(network, all).legs)
			}
			b.ReportMetric(float64(legs), "legs")
		})
	}
}

func BenchmarkLegs(b *testing.B) {
	x := NewIndex(newCountry(china))
	from, to := Place{City: "C000"}, Place{City: "C001"}
	stations := [2]Place{{Station: x.StationsOf(from)[0].Code}, {Station: x.StationsOf(to)[0].Code}}
	for name, ends := range map[string][2]Place{"cities": {from, to}, "stations": stations} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if x.Legs(ends[0], ends[1]) == nil {
					b.Fatal("no legs")
				}
			}
			b.ReportMetric(float64(len(x.Legs(ends[0], ends[1]))), "legs")
		})
	}
}

func BenchmarkResolve(b *testing.B) {
	x := NewIndex(newCountry(china))
	station := x.Network().Stations[7]
	for name, text := range map[string]string{"code": string(station.Code), "name": station.Name, "unknown": "beijngnanxx"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = x.Resolve(text, true) // a made-up name may be ambiguous; that is an answer too
			}
		})
	}
}

func BenchmarkSearch(b *testing.B) {
	x := NewIndex(newCountry(china))
	queries := []string{"b", "bjn", "beijing", "北京", "beijngnan", "shanghiahan", "qqqqqqqqqqqq", string(slices.Repeat([]byte("an"), 32))}
	for _, query := range queries {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.Search(query, 10)
			}
		})
	}
}
