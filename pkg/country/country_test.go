package country

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/gtfs"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

var first = rail.NewDate(2026, time.December, 1)

func newCountry(t testing.TB, seed uint64, scale float64) *Country {
	t.Helper()
	c, err := New(Options{Seed: seed, Scale: scale})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sum is over all bytes of a schedule.
func sum(t *testing.T, s *timetable.Schedule) string {
	t.Helper()
	h := sha256.New()
	network, err := event.EncodeNetwork(&s.Network, event.JSON)
	if err != nil {
		t.Fatal(err)
	}
	h.Write(network)
	if err := json.NewEncoder(h).Encode(s.Trips); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// C1.
func TestSameSeedSameBytes(t *testing.T) {
	of := func(seed uint64) string { return sum(t, newCountry(t, seed, 0.03).Schedule(first, 3)) }
	if a, b := of(7), of(7); a != b {
		t.Errorf("seed 7 gave %s and then %s", a, b)
	}
	if a, b := of(7), of(8); a == b {
		t.Error("seeds 7 and 8 gave the same")
	}
}

// C3: the real country's numbers, and how far the made-up one may be from them.
func TestShapeIsTheRealOne(t *testing.T) {
	const seed = 1
	s := newCountry(t, seed, 1).Schedule(first, SaleDays)
	shape := Measure(s, first+3)
	t.Log("seed", seed, shape)
	about := func(what string, got, want, part float64) {
		t.Helper()
		if got < want*(1-part) || got > want*(1+part) {
			t.Errorf("%s: %.1f; want %.1f, give or take %.0f %%", what, got, want, 100*part)
		}
	}
	about("stations", float64(shape.Stations), 3390, 0.005)
	about("cities", float64(shape.Cities), 423, 0.005)
	about("trains a day", float64(shape.Trains), 12130, 0)
	about("stops of a train", shape.StopsMean, 10.4, 0.01)
	about("median of stops", float64(shape.StopsMedian), 8, 0)
	about("p95 of stops", float64(shape.StopsP95), 26, 0)
	about("most stops", float64(shape.StopsMax), 61, 0)
	about("ODs of a train", shape.ODs, 81, 0.02)
	about("trains for two stations", float64(shape.StationPair), 129, 0.1)
	about("trains for two cities", float64(shape.CityPair), 211, 0.1)
	if legs := ridesOfATrain(demand.New(s)); legs > 3 {
		t.Errorf("a train has %.1f rides between the cities of a query; want at most 3: a real feed has 2", legs)
	}
	if shape.ClassesFewest != 3 || shape.ClassesMost != 4 {
		t.Errorf("%d to %d classes; want 3 to 4", shape.ClassesFewest, shape.ClassesMost)
	}
	for _, category := range []string{"G", "D", "C", "K", "T", "Z"} {
		if shape.Categories[category] == 0 {
			t.Errorf("no train of category %s", category)
		}
	}
}

// ridesOfATrain is as how many rides a train is found by a query, on average of what people ask.
func ridesOfATrain(d *demand.Demand) float64 {
	rides, trains, before := 0.0, 0.0, 0.0
	for at, sum := range demand.Curve(d.Len()) {
		once := map[int32]bool{}
		for _, r := range d.Rides(demand.Rank(at)) {
			once[r.Trip] = true
		}
		weight := sum - before
		rides, trains, before = rides+weight*float64(len(d.Rides(demand.Rank(at)))), trains+weight*float64(len(once)), sum
	}
	return rides / trains
}

// C3: the same trains whatever range is asked for, as many on every day.
func TestDays(t *testing.T) {
	c := newCountry(t, 2, 0.05)
	on := func(s *timetable.Schedule, d rail.Date) (ids []rail.TripID) {
		for _, trip := range s.Trips {
			if slices.Contains(trip.Dates, d) {
				ids = append(ids, trip.ID)
			}
		}
		return ids
	}
	all := c.Schedule(first, 14)
	for d := first; d < first+14; d++ {
		trains := on(all, d)
		if one := on(c.Schedule(d, 1), d); !slices.Equal(trains, one) {
			t.Errorf("%s: %d trains among others, %d alone", d, len(trains), len(one))
		}
		if want := 606; len(trains) != want {
			t.Errorf("%s: %d trains; want %d", d, len(trains), want)
		}
	}
	if monday, saturday := on(all, first-1+7), on(all, first+4+7); slices.Equal(monday, saturday) {
		t.Error("all trains run on all days")
	}
}

// C2.
func TestWhatIsMadeIsValid(t *testing.T) {
	for seed, scale := range []float64{0.01, 0.02, 0.01, 0.1, 0.3} {
		t.Run(fmt.Sprintf("seed=%d/scale=%v", seed, scale), func(t *testing.T) {
			s := newCountry(t, uint64(seed), scale).Schedule(first, 7)
			if err := s.Network.Validate(); err != nil {
				t.Fatal(err)
			}
			served := map[rail.StationCode]bool{}
			ids := map[rail.TripID]bool{}
			overnight := 0
			for _, trip := range s.Trips {
				p := trip.Pattern
				if err := p.Validate(); err != nil || ids[trip.ID] || rail.CheckToken(string(trip.ID)) != nil {
					t.Fatalf("trip %s: %v", trip.ID, err)
				}
				ids[trip.ID] = true
				if p.Arrival() > rail.Day {
					overnight++
				}
				for _, stop := range p.Stops {
					served[stop.Station] = true
				}
			}
			if len(served) != len(s.Network.Stations) {
				t.Errorf("%d of %d stations have a train", len(served), len(s.Network.Stations))
			}
			if overnight == 0 {
				t.Error("no train runs overnight")
			}
		})
	}
}

// C2: no faster and slower than trains are, which their fares tell.
func TestSpeeds(t *testing.T) {
	l := newLand(3, 40, 300)
	p := newPlanner(l, chance(3, "trains"))
	for _, d := range p.drafts(300) {
		stops := d.train(l, formation.Default()).trip.Pattern.Stops
		for i := 1; i < len(stops); i++ {
			km, hours := d.way[i].km-d.way[i-1].km, float64(stops[i].Arrive-stops[i-1].Depart)/60
			if kmh := km / hours; km > 20 && (kmh < 60 || kmh > 330) {
				t.Errorf("%s%d: stop %d: %.0f km/h over %.0f km", d.brand.letter, d.number, i, kmh, km)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for _, scale := range []float64{-1, 0.009, 1.1} {
		if _, err := New(Options{Scale: scale}); err == nil || !strings.Contains(err.Error(), "want 0.01 to 1") {
			t.Errorf("scale %v: %v", scale, err)
		}
	}
	if _, err := New(Options{Scale: 0.01, Rules: formation.Rules{Categories: []formation.Category{{}}}}); err == nil {
		t.Error("rules that cannot be used were taken")
	}
}

func TestGrow(t *testing.T) {
	s := newCountry(t, 4, 0.02).Schedule(first, 2)
	before := sum(t, s)
	grown := Grow(s, 2.5)
	checkGrown(t, s, grown, 2.5)
	if sum(t, s) != before {
		t.Error("the original was changed")
	}
	if n := copyNumber("G7", 2); n != "G20007" {
		t.Errorf("G7 became %s", n)
	}
	if id := copyID(rail.TripID(strings.Repeat("x", 64)), 99); rail.CheckToken(string(id)) != nil {
		t.Errorf("%s: %v", id, rail.CheckToken(string(id)))
	}
}

func checkGrown(t *testing.T, s, grown *timetable.Schedule, factor float64) {
	t.Helper()
	if got, want := float64(len(grown.Trips)), float64(len(s.Trips))*factor; got < want-1 || got > want+1 {
		t.Errorf("%.0f trips became %.0f; want %.0f", float64(len(s.Trips)), got, want)
	}
	trips, patterns := map[rail.TripID]bool{}, map[rail.PatternID]bool{}
	for _, trip := range grown.Trips {
		if err := trip.Pattern.Validate(); err != nil || trips[trip.ID] || rail.CheckToken(string(trip.ID)) != nil {
			t.Fatalf("trip %s: %v", trip.ID, err)
		}
		trips[trip.ID], patterns[trip.Pattern.ID] = true, true
	}
	if got, least := len(patterns), int(float64(len(s.Patterns()))*(factor-0.1)); got < least {
		t.Errorf("%d patterns; want at least %d", got, least)
	}
}

// The real feed, grown to the country's size.
func TestGrowRealFeed(t *testing.T) {
	dir := os.Getenv("YUPIAO_TESTDATA")
	if dir == "" {
		t.Skip("needs a real timetable: set YUPIAO_TESTDATA to the folder that holds cn-hsr-gtfs/gtfs.zip")
	}
	date := rail.NewDate(2026, time.November, 24)
	s, _, err := gtfs.Read(filepath.Join(dir, "cn-hsr-gtfs", "gtfs.zip"), gtfs.Options{Rules: formation.Default(), From: date, Days: 2})
	if err != nil {
		t.Fatal(err)
	}
	const factor = 3.2
	grown := Grow(s, factor)
	checkGrown(t, s, grown, factor)
	t.Log(Measure(grown, date))
	b := NewBook(BookOptions{Seed: 1, Schedule: grown, Today: date})
	b.Open(date)
	follow(t, b, grown, []rail.Date{date}, 5000)
}

func TestNamesDiffer(t *testing.T) {
	l := newLand(5, 423, 3390)
	codes, names := map[rail.StationCode]bool{}, map[string]int{}
	for i := range l.stations {
		codes[l.code(i)] = true
		n := l.stationName(i)
		names[n.Name]++
		if len(l.code(i)) != 3 || n.Pinyin == "" || n.Initials == "" || bytes.ContainsAny([]byte(n.Pinyin), " ") {
			t.Errorf("station %d: %s %+v", i, l.code(i), n)
		}
	}
	if len(codes) != len(l.stations) || len(names) < len(l.stations)*95/100 {
		t.Errorf("%d stations have %d codes and %d names", len(l.stations), len(codes), len(names))
	}
}

func BenchmarkNew(b *testing.B) {
	for _, scale := range []float64{0.02, 1} {
		b.Run(fmt.Sprintf("scale=%v", scale), func(b *testing.B) {
			for b.Loop() {
				newCountry(b, 1, scale).Schedule(first, SaleDays)
			}
		})
	}
}
