package crowd

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// testFleet is so many trips between 40 cities of two stations each, with 2 to 16 stops.
func testFleet(trips int) *timetable.Schedule {
	const cities = 40
	s := &timetable.Schedule{Network: timetable.Network{Timezone: "UTC", SaleDays: 15}}
	for i := range 2 * cities {
		s.Network.Stations = append(s.Network.Stations, timetable.Station{
			Code: rail.StationCode(fmt.Sprintf("S%d", i)), City: rail.CityCode(fmt.Sprintf("C%d", i/2)),
		})
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range trips {
		p := &timetable.Pattern{}
		for _, station := range rng.Perm(2 * cities)[:2+rng.IntN(15)] {
			p.Stops = append(p.Stops, timetable.Stop{Station: s.Network.Stations[station].Code})
		}
		s.Trips = append(s.Trips, timetable.Trip{Pattern: p})
	}
	return s
}

// The head of the curve is flat, its tail steep, and no pair is without demand.
func TestDemandCurve(t *testing.T) {
	d := newDemand(testFleet(500))
	n := len(d.rides)
	weight := func(k int) float64 { return d.ranks[k] - d.ranks[k-1] }
	if n != 40*39 || len(d.rides[0]) < len(d.rides[n-1]) {
		t.Fatalf("%d pairs, %d rides on the first, %d on the last; want %d pairs, falling", n, len(d.rides[0]), len(d.rides[n-1]), 40*39)
	}
	if head := weight(1) / weight(2); head > 1.15 {
		t.Errorf("rank 2 has %.2f times the demand of rank 3, want less than 1.15", head)
	}
	if tail := weight(n/2) / weight(n-1); tail < 5 {
		t.Errorf("the middle has %.1f times the demand of the last, want more than 5", tail)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		if i := newWeights(0, 1, 0, 2, 0).pick(rng); i != 1 && i != 3 {
			t.Fatalf("picked choice %d, which has no weight", i)
		}
	}
}
