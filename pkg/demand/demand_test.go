package demand

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

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

// M1: the head of the curve is flat, its tail steep, and no pair is without demand.
func TestCurve(t *testing.T) {
	d := New(testFleet(500))
	n := d.Len()
	weight := func(k int) float64 { return d.ranks[k] - d.ranks[k-1] }
	if n != 40*39 {
		t.Fatalf("%d pairs; want %d", n, 40*39)
	}
	if head := weight(1) / weight(2); head > 1.15 {
		t.Errorf("rank 2 has %.2f times the demand of rank 3, want less than 1.15", head)
	}
	if tail := weight(n/2) / weight(n-1); tail < 5 {
		t.Errorf("the middle has %.1f times the demand of the last, want more than 5", tail)
	}
	for k := 1; k+1 < n; k++ {
		if weight(k+1) <= 0 || weight(k+1) > weight(k)+1e-12 {
			t.Fatalf("rank %d has the weight %g after %g", k+1, weight(k+1), weight(k))
		}
	}
}

// M2, against the naive way: all trips, all pairs of their stops.
func TestPairs(t *testing.T) {
	s := testFleet(60)
	s.Trips[0].Pattern.Stops[0].NoBoarding = true
	d, rides, before := New(s), 0, 1<<30
	for rank := range Rank(d.Len()) {
		trains := map[int32]bool{}
		for _, r := range d.Rides(rank) {
			stops := s.Trips[r.Trip].Pattern.Stops
			if from, to := city(stops[r.From]), city(stops[r.To]); d.Pair(rank) != (Pair{from, to}) || r.From >= r.To {
				t.Fatalf("rank %d is %v, but has a ride from %s to %s", rank, d.Pair(rank), from, to)
			}
			rides++
			trains[r.Trip] = true
		}
		if len(trains) > before {
			t.Fatalf("rank %d has %d trains, the one before it %d", rank, len(trains), before)
		}
		before = len(trains)
	}
	want := 0
	for i, trip := range s.Trips {
		for from, a := range trip.Pattern.Stops {
			for _, b := range trip.Pattern.Stops[from+1:] {
				if city(a) != city(b) && (i > 0 || from > 0) {
					want++
				}
			}
		}
	}
	if rides != want {
		t.Errorf("%d rides; want %d", rides, want)
	}
}

// M2: a station that the network does not know is a place of its own.
func TestUnknownStations(t *testing.T) {
	p := &timetable.Pattern{Stops: []timetable.Stop{{Station: "X"}, {Station: "Y"}}}
	d := New(&timetable.Schedule{Trips: []timetable.Trip{{Pattern: p}}})
	if d.Len() != 1 || d.Pair(0) != (Pair{timetable.Place{Station: "X"}, timetable.Place{Station: "Y"}}) || len(d.Rides(0)) != 1 {
		t.Errorf("%+v", d)
	}
}

// The nearest numbers of rides come first, and none twice.
func TestNear(t *testing.T) {
	d := New(testFleet(60))
	before, seen := 0, map[Rank]bool{}
	for _, at := range d.Near(3, 100) {
		away := max(len(d.Rides(at))-3, 3-len(d.Rides(at)))
		if away < before || seen[at] {
			t.Errorf("rank %d is %d away, after one that is %d away; seen before: %t", at, away, before, seen[at])
		}
		before, seen[at] = away, true
	}
	if n := len(d.Near(3, 1<<20)); len(seen) != 100 || n != d.Len() {
		t.Errorf("%d and %d; want 100 and all", len(seen), n)
	}
}

func city(s timetable.Stop) timetable.Place {
	var n int
	_, _ = fmt.Sscanf(string(s.Station), "S%d", &n) // testFleet wrote it
	return timetable.Place{City: rail.CityCode(fmt.Sprintf("C%d", n/2))}
}

// M3.
func TestPick(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	w, picked := NewWeights(0, 1, 0, 3, 0), [5]int{}
	for range 4000 {
		picked[w.Pick(rng)]++
	}
	if picked[0]+picked[2]+picked[4] > 0 || picked[1] < 800 || picked[1] > 1200 {
		t.Errorf("weights 0 1 0 3 0 were picked %v times", picked)
	}
	if days := Days(3); len(days) != 3 || days[0] != 1 || days[1] != 1.5 {
		t.Errorf("sums of days %v; want 1, 1.5, 1.83", days)
	}
}

func TestRead(t *testing.T) {
	d, err := Read(strings.NewReader("from,to,weight\nVNP,AOH,2\n\ncity:BJP, city:SHH,5.5\n"))
	if err != nil || d.Len() != 2 || d.Pair(0) != (Pair{timetable.Place{City: "BJP"}, timetable.Place{City: "SHH"}}) || d.Pair(1).To.Station != "AOH" || d.ranks[1] != 7.5 || d.Rides(0) != nil {
		t.Errorf("%+v %v", d, err)
	}
	for text, want := range map[string]string{
		"":                    "no pair in it",
		"from,to,weight\n":    "no pair in it",
		"VNP,AOH\n":           "want from,to,weight",
		"VNP,AOH,1\nVNP,北京,1": `line 2: place "北京"; want a station's code`,
		"VNP,VNP,1":           "line 1: VNP to itself",
		"VNP,AOH,-1":          `weight "-1"; want a number above 0`,
		"VNP,AOH,NaN":         `weight "NaN"`,
		"A,B,1\nA,B,2":        "line 2: A to B is there twice",
	} {
		if _, err := Read(strings.NewReader(text)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
	if _, err := Read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrInvalid) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// M1 for whatever is read.
func FuzzRead(f *testing.F) {
	f.Add("from,to,weight\nVNP,AOH,2\ncity:BJP,city:SHH,1e3\n")
	f.Add("\"A\",B,1\r\nB,A,1")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		sum := 0.0
		for i, s := range d.ranks {
			if s < sum || i == 0 && s <= 0 {
				t.Errorf("sum %g after %g", s, sum)
			}
			sum = s
		}
		if d.Len() == 0 || len(d.ranks) != d.Len() || d.Pick(rand.New(rand.NewPCG(1, 1))) >= Rank(d.Len()) {
			t.Errorf("%d pairs with %d weights", d.Len(), len(d.ranks))
		}
	})
}
