package sample

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

var monday = rail.NewDate(2026, 11, 23)

func schedule(t *testing.T, from rail.Date, days int) *timetable.Schedule {
	t.Helper()
	s, err := Schedule(from, days, formation.Default())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trainsOn(s *timetable.Schedule, date rail.Date) map[rail.TripID]rail.PatternID {
	out := map[rail.TripID]rail.PatternID{}
	for _, trip := range s.Trips {
		for _, d := range trip.Dates {
			if d == date {
				out[trip.ID] = trip.Pattern.ID
			}
		}
	}
	return out
}

// S1.
func TestDateDecidesAlone(t *testing.T) {
	wide := schedule(t, monday, 20)
	for d := range rail.Date(12) {
		if narrow := schedule(t, monday+d, 1); !reflect.DeepEqual(trainsOn(wide, monday+d), trainsOn(narrow, monday+d)) {
			t.Errorf("%s has other trains in another range", monday+d)
		}
	}
	if len(trainsOn(wide, monday-before)) == 0 || len(trainsOn(wide, monday-before-1)) > 0 || len(trainsOn(wide, monday+20)) > 0 {
		t.Error("the range is not the one asked for")
	}
}

// S2.
func TestSpeeds(t *testing.T) {
	for _, trip := range schedule(t, monday, 1).Trips {
		stops := trip.Pattern.Stops
		for i := 1; i < len(stops); i++ {
			if stops[i].Arrive <= stops[i-1].Depart {
				t.Errorf("%s takes no time to %s", trip.ID, stops[i].Station)
			}
		}
	}
	for _, s := range services {
		if s.kmh < 40 || s.kmh > 320 {
			t.Errorf("%s runs at %g km/h", s.corridor, s.kmh)
		}
	}
}

// S3.
func TestVariety(t *testing.T) {
	s := schedule(t, monday, 7)
	for d := range rail.Date(7) {
		if n := len(trainsOn(s, monday+d)); n < 550 || n > 650 {
			t.Errorf("%d trains on %s", n, monday+d)
		}
	}
	seen := map[string]int{}
	ids := map[rail.TripID]bool{}
	for _, trip := range s.Trips {
		if ids[trip.ID] {
			t.Errorf("two trips are called %s", trip.ID)
		}
		ids[trip.ID] = true
		stops := trip.Pattern.Stops
		called := map[rail.StationCode]bool{}
		for _, stop := range stops {
			if called[stop.Station] {
				seen["calls twice"]++
			}
			called[stop.Station] = true
			if stop.NoBoarding {
				seen["closed to boarding"]++
			}
			if stop.NoAlighting {
				seen["closed to alighting"]++
			}
			if stop.Train != "" {
				seen["changes its number"]++
			}
		}
		if trip.Pattern.Arrival() > rail.Day {
			seen["overnight"]++
		}
		if trip.Pattern.Arrival() > 2*rail.Day {
			seen["two nights"]++
		}
		if len(trip.Dates) < 7 {
			seen["some weekdays"]++
		}
	}
	for _, what := range []string{"calls twice", "closed to boarding", "closed to alighting", "changes its number", "overnight", "two nights", "some weekdays"} {
		if seen[what] == 0 {
			t.Errorf("no train that %s", what)
		}
	}
	t.Logf("%d stations, %d cities, %d trips, %v", len(s.Network.Stations), len(s.Network.Cities), len(s.Trips), seen)
}

// Every station is served, and the biggest cities are joined directly, each way.
func TestCitiesAreJoined(t *testing.T) {
	s := schedule(t, monday, 1)
	var patterns []*timetable.Pattern
	for _, trip := range s.Trips {
		patterns = append(patterns, trip.Pattern)
	}
	index := timetable.NewIndex(&s.Network, patterns)
	big := []rail.CityCode{"BJP", "SHH", "GZQ", "WHN", "CSQ"}
	for _, from := range big {
		for _, to := range big {
			if legs := index.Legs(timetable.Place{City: from}, timetable.Place{City: to}); from != to && len(legs) == 0 {
				t.Errorf("no train from %s to %s", from, to)
			}
		}
	}
	served := map[rail.StationCode]bool{}
	for _, p := range patterns {
		for _, stop := range p.Stops {
			served[stop.Station] = true
		}
	}
	for _, station := range s.Network.Stations {
		if !served[station.Code] {
			t.Errorf("no train calls at %s", station.Code)
		}
	}
	if len(served) != len(s.Network.Stations) {
		t.Errorf("%d stations are called at, %d are known", len(served), len(s.Network.Stations))
	}
}

// Names and codes are facts: they are held against the list of all stations, where it is to be had.
func TestCodesAreReal(t *testing.T) {
	dir := os.Getenv("YUPIAO_TESTDATA")
	if dir == "" {
		t.Skip("needs the list of all stations: set YUPIAO_TESTDATA to the folder that holds cn-stations/stations.csv")
	}
	file, err := os.Open(filepath.Join(dir, "cn-stations", "stations.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]string{}
	for _, row := range rows {
		list[row[2]] = row
	}
	for _, s := range network(1).Stations {
		row := list[string(s.Code)]
		if row == nil || row[1] != s.Name || row[3] != s.Pinyin {
			t.Errorf("%s %s %s; the list has %v", s.Code, s.Name, s.Pinyin, row)
		}
	}
}

func BenchmarkSchedule(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Schedule(monday, 15, formation.Default()); err != nil {
			b.Fatal(err)
		}
	}
}
