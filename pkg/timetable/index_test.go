package timetable

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/yupiao/yupiao/pkg/rail"
)

// newRide makes a pattern of stops; one that gives no departure leaves when it arrives.
func newRide(id rail.PatternID, stops ...Stop) *Pattern {
	p := &Pattern{ID: id, Train: string(id), Stops: stops}
	for i := range p.Stops {
		if p.Stops[i].Depart == 0 {
			p.Stops[i].Depart = p.Stops[i].Arrive
		}
	}
	return p
}

// twoCities has the city X with the stations A and B, the city Y with C, and the station D without a city.
func twoCities() *Network {
	return &Network{
		Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15,
		Cities: []City{{Code: "X", Names: Names{Name: "Ix"}}, {Code: "Y", Names: Names{Name: "Ypsilon"}}, {Code: "Z", Names: Names{Name: "Zet"}}},
		Stations: []Station{
			{Code: "A", City: "X", Names: Names{Name: "Ay"}}, {Code: "C", City: "Y", Names: Names{Name: "Cee"}},
			{Code: "B", City: "X", Names: Names{Name: "Bee"}}, {Code: "D", Names: Names{Name: "Dee"}},
		},
	}
}

// show writes legs as "id:from-to".
func show(legs []Leg) (out []string) {
	for _, l := range legs {
		out = append(out, fmt.Sprintf("%s:%d-%d", l.Pattern.ID, l.From, l.To))
	}
	return out
}

func TestLegs(t *testing.T) {
	x := NewIndex(twoCities(), []*Pattern{
		newRide("p", Stop{Station: "A", Arrive: 60}, Stop{Station: "B", Arrive: 70}, Stop{Station: "C", Arrive: 100}),
		newRide("next", Stop{Station: "D", Arrive: 1400}, Stop{Station: "A", Arrive: 1450}, Stop{Station: "C", Arrive: 1500}),
		newRide("loop", Stop{Station: "C", Arrive: 200}, Stop{Station: "D", Arrive: 210}, Stop{Station: "C", Arrive: 220}, Stop{Station: "D", Arrive: 230}),
		newRide("shut", Stop{Station: "D", Arrive: 300}, Stop{Station: "D", Arrive: 310, NoBoarding: true},
			Stop{Station: "C", Arrive: 320, NoAlighting: true}, Stop{Station: "C", Arrive: 330}, Stop{Station: "?", Arrive: 340}),
		newRide("p", Stop{Station: "C", Arrive: 1}, Stop{Station: "A", Arrive: 2}),
	})
	city := func(c rail.CityCode) Place { return Place{City: c} }
	at := func(s rail.StationCode) Place { return Place{Station: s} }
	for _, c := range []struct {
		name     string
		from, to Place
		want     []string
	}{
		{"T4 by time of day, whatever the day", city("X"), city("Y"), []string{"next:1-2", "p:0-2", "p:1-2"}},
		{"a station of a city", at("A"), city("Y"), []string{"next:1-2", "p:0-2"}},
		{"between stations", at("B"), at("C"), []string{"p:1-2"}},
		{"T3 shortest ride of a loop", at("C"), at("D"), []string{"loop:0-1", "loop:2-3"}},
		{"T3 the other way, T2 closed stops", at("D"), city("Y"), []string{"loop:1-2", "shut:0-3", "next:0-2"}},
		{"within a city by stations", at("A"), at("B"), []string{"p:0-1"}},
		{"from a station to its city", at("A"), city("X"), []string{"p:0-1"}},
		{"a city to itself", city("X"), city("X"), nil},
		{"a station to itself", at("C"), at("C"), nil},
		{"a station that the network does not know", city("Y"), at("?"), []string{"shut:3-4"}},
		{"a city without stations", city("Z"), city("Y"), nil},
		{"a city that is not known", city("Q"), city("Y"), nil},
		{"a station that is not known", at("A"), at("Q"), nil},
		{"no place", Place{}, Place{}, nil},
	} {
		if got := show(x.Legs(c.from, c.to)); !slices.Equal(got, c.want) {
			t.Errorf("%s: Legs(%v, %v) = %v, want %v", c.name, c.from, c.to, got, c.want)
		}
	}
}

func TestLegTimes(t *testing.T) {
	p := newRide("p", Stop{Station: "A", Arrive: 10, Depart: 20}, Stop{Station: "B", Arrive: 2880, Depart: 2900}, Stop{Station: "C", Arrive: 3000})
	for _, c := range []struct {
		leg            Leg
		depart, arrive rail.Minutes
		days           rail.Date
	}{
		{Leg{p, 0, 1, 0}, 20, 2880, 0},
		{Leg{p, 1, 2, 0}, 2900, 3000, 2},
	} {
		if c.leg.Depart() != c.depart || c.leg.Arrive() != c.arrive || c.leg.DayOffset() != c.days {
			t.Errorf("%v: %d, %d, day %d; want %d, %d, day %d", show([]Leg{c.leg}), c.leg.Depart(), c.leg.Arrive(), c.leg.DayOffset(), c.depart, c.arrive, c.days)
		}
	}
}

// TestOrder holds the order of T4 beyond the time: train number at the from stop, stop, id.
func TestOrder(t *testing.T) {
	ride := func(id rail.PatternID, train string) *Pattern {
		p := newRide(id, Stop{Station: "A", Arrive: 10, Train: train}, Stop{Station: "C", Arrive: 20})
		p.Train = "G0"
		return p
	}
	same := newRide("same", Stop{Station: "A", Arrive: 10}, Stop{Station: "B", Arrive: 10}, Stop{Station: "C", Arrive: 20})
	x := NewIndex(twoCities(), []*Pattern{ride("z", "G2"), ride("y", "G3"), same, ride("x", "G2")})
	want := []string{"x:0-1", "z:0-1", "y:0-1", "same:0-2", "same:1-2"}
	if got := show(x.Legs(Place{City: "X"}, Place{City: "Y"})); !slices.Equal(got, want) {
		t.Errorf("legs %v, want %v", got, want)
	}
}

// naiveLegs looks at every pair of stops of every pattern and takes the words of T2, T3 and T4 literally.
func naiveLegs(n *Network, patterns []*Pattern, from, to Place) (legs []Leg) {
	cityOf := map[rail.StationCode]rail.CityCode{}
	for _, s := range n.Stations {
		cityOf[s.Code] = s.City
	}
	in := func(s Stop, p Place) bool { return p.IsCity() && cityOf[s.Station] == p.City || p.Station == s.Station }
	for number, p := range patterns {
		for i, a := range p.Stops {
			for j, b := range p.Stops[i+1:] {
				between := p.Stops[i+1 : i+1+j]
				longer := slices.ContainsFunc(between, func(s Stop) bool {
					return s.Station == a.Station && !s.NoBoarding || s.Station == b.Station && !s.NoAlighting
				})
				if in(a, from) && in(b, to) && a.Station != b.Station && !a.NoBoarding && !b.NoAlighting && !longer && !(from.IsCity() && from == to) {
					legs = append(legs, Leg{Pattern: p, From: rail.StopIndex(i), To: rail.StopIndex(i + 1 + j), Number: int32(number)})
				}
			}
		}
	}
	slices.SortFunc(legs, func(l, m Leg) int {
		return cmp.Or(
			cmp.Compare(l.Depart()%rail.Day, m.Depart()%rail.Day),
			cmp.Compare(l.Arrive()-l.Depart(), m.Arrive()-m.Depart()),
			cmp.Compare(l.Pattern.TrainAt(l.From), m.Pattern.TrainAt(m.From)),
			cmp.Compare(l.From, m.From), cmp.Compare(l.To, m.To), cmp.Compare(l.Pattern.ID, m.Pattern.ID))
	})
	return legs
}

// drawNetwork has few stations, so that trains loop, some without a city.
func drawNetwork(t *rapid.T) *Network {
	n := &Network{Timezone: "UTC", SaleDays: 1, Cities: []City{{Code: "0"}, {Code: "1"}, {Code: "2"}}}
	for i := range rapid.IntRange(1, 6).Draw(t, "stations") {
		city := rapid.SampledFrom([]rail.CityCode{"", "0", "1", "2"}).Draw(t, "city")
		n.Stations = append(n.Stations, Station{Code: rail.StationCode('A' + rune(i)), City: city})
	}
	return n
}

func drawPattern(t *rapid.T, id rail.PatternID) *Pattern {
	p := &Pattern{ID: id, Train: rapid.SampledFrom([]string{"G1", "G2"}).Draw(t, "train")}
	at := rail.Minutes(0)
	for range rapid.IntRange(2, 8).Draw(t, "stops") {
		at += rapid.SampledFrom([]rail.Minutes{0, 1, 700, 1440}).Draw(t, "minutes")
		p.Stops = append(p.Stops, Stop{
			Station: rapid.SampledFrom([]rail.StationCode{"A", "B", "C", "D", "E", "F", "?"}).Draw(t, "station"),
			Arrive:  at, Depart: at,
			NoBoarding:  rapid.IntRange(0, 4).Draw(t, "no boarding") == 0,
			NoAlighting: rapid.IntRange(0, 4).Draw(t, "no alighting") == 0,
			Train:       rapid.SampledFrom([]string{"", "", "K3"}).Draw(t, "new number"),
		})
	}
	return p
}

// TestLegsNaive: T2, T3 and T4 on random networks with loops, closed stops, rides within a city and stations without a city.
func TestLegsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNetwork(t)
		var patterns []*Pattern
		for i := range rapid.IntRange(0, 8).Draw(t, "patterns") {
			patterns = append(patterns, drawPattern(t, rail.PatternID(fmt.Sprint(i))))
		}
		places := []Place{{City: "0"}, {City: "1"}, {City: "2"}, {Station: "A"}, {Station: "B"}, {Station: "C"}, {Station: "F"}, {Station: "?"}}
		x := NewIndex(n, patterns)
		for _, from := range places {
			for _, to := range places {
				got, want := x.Legs(from, to), naiveLegs(n, patterns, from, to)
				if !slices.Equal(got, want) {
					t.Fatalf("Legs(%v, %v) = %v, want %v", from, to, show(got), show(want))
				}
			}
		}
	})
}

func TestIndexLookups(t *testing.T) {
	n := twoCities()
	p := newRide("p", Stop{Station: "A"}, Stop{Station: "?", Arrive: 1})
	x := NewIndex(n, []*Pattern{p})
	if x.Network() != n || x.Location().String() != "Asia/Shanghai" {
		t.Errorf("network %p in %v, want %p in Asia/Shanghai", x.Network(), x.Location(), n)
	}
	if got, ok := x.Pattern("p"); !ok || got != p {
		t.Errorf("Pattern(p) = %v, %t", got, ok)
	}
	if got, ok := x.City("Y"); !ok || got != &n.Cities[1] {
		t.Errorf("City(Y) = %v, %t", got, ok)
	}
	if got, ok := x.Station("D"); !ok || got != &n.Stations[3] {
		t.Errorf("Station(D) = %v, %t", got, ok)
	}
	if got, ok := x.Station("?"); !ok || got.Name != "?" || got.City != "" {
		t.Errorf("Station(?) = %v, %t; want one that is named by its code", got, ok)
	}
	_, pattern := x.Pattern("q")
	_, city := x.City("A")
	_, station := x.Station("X")
	if pattern || city || station {
		t.Errorf("found pattern %t, city %t, station %t that are not there", pattern, city, station)
	}
	if n.Timezone = "Nowhere"; NewIndex(n, nil).Location() != time.UTC {
		t.Error("an unknown zone is not UTC")
	}
}

func TestStationsOf(t *testing.T) {
	x := NewIndex(twoCities(), nil)
	for _, c := range []struct {
		place Place
		want  string
	}{
		{Place{City: "X"}, "[A B]"}, {Place{City: "Y"}, "[C]"}, {Place{City: "Z"}, "[]"}, {Place{City: "A"}, "[]"},
		{Place{Station: "B"}, "[B]"}, {Place{Station: "D"}, "[D]"}, {Place{Station: "X"}, "[]"}, {Place{}, "[]"},
	} {
		codes := []rail.StationCode{}
		for _, s := range x.StationsOf(c.place) {
			codes = append(codes, s.Code)
		}
		if got := fmt.Sprint(codes); got != c.want {
			t.Errorf("StationsOf(%v) = %s, want %s", c.place, got, c.want)
		}
	}
}

// TestShared: T1, of use under -race; and what a caller appends to an answer does not reach the next one's.
func TestShared(t *testing.T) {
	network, patterns := newCountry(countrySize{stations: 40, cities: 8, patterns: 60})
	x := NewIndex(network, patterns)
	from, to := Place{City: "C000"}, Place{City: "C001"}
	want := show(x.Legs(from, to))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_ = append(x.Legs(from, to), Leg{})
			_ = append(x.StationsOf(from), nil)
			_, _ = x.Resolve("beijing", true)
			x.Search("beijign", 5)
		})
	}
	all.Wait()
	if got := show(x.Legs(from, to)); len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("legs %v, before %v", got, want)
	}
}

func TestLegsAllocateNothing(t *testing.T) {
	x := NewIndex(newCountry(countrySize{stations: 40, cities: 8, patterns: 60}))
	from, to := Place{City: "C000"}, Place{City: "C001"}
	if n := testing.AllocsPerRun(100, func() { x.Legs(from, to) }); n != 0 {
		t.Errorf("a query from city to city allocates %v times", n)
	}
}
