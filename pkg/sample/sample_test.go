package sample

import (
	"encoding/csv"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		if narrow := schedule(t, monday+d, 1); !maps.Equal(trainsOn(wide, monday+d), trainsOn(narrow, monday+d)) {
			t.Errorf("%s has other trains in another range", monday+d)
		}
	}
	if len(trainsOn(wide, monday-before)) == 0 || len(trainsOn(wide, monday-before-1)) > 0 || len(trainsOn(wide, monday+20)) > 0 {
		t.Error("the range is not the one asked for")
	}
}

// S2.
func TestPlausible(t *testing.T) {
	for i := range services {
		s := &services[i]
		ways := [2][]mark{marks(s.corridor), reverse(marks(s.corridor))}
		for n, train := range s.trains(formation.Default()) {
			p := train.trip.Pattern
			if p.ID != p.ContentID() {
				t.Errorf("%s: pattern %s; want its content's id %s", train.trip.ID, p.ID, p.ContentID())
			}
			if strings.ContainsAny(p.Category, "GDC") && (p.Stops[0].Depart < 6*60 || p.Arrival() > rail.Day) {
				t.Errorf("%s runs at night: %s, %d minutes", train.trip.ID, p.Stops[0].Depart.Clock(), p.Arrival())
			}
			checkSpeeds(t, p, ways[n%2])
		}
	}
}

// checkSpeeds follows a train along its way, one mark after the other, since a way may come back to a station.
func checkSpeeds(t *testing.T, p *timetable.Pattern, way []mark) {
	t.Helper()
	km := way[0].km
	for i := range p.Stops {
		here := slices.IndexFunc(way, func(m mark) bool { return m.station == p.Stops[i].Station })
		if here < 0 {
			t.Fatalf("%s calls at %s, which does not lie on its way", p.Train, p.Stops[i].Station)
		}
		if i > 0 {
			hours := float64(p.Stops[i].Arrive-p.Stops[i-1].Depart) / 60
			if kmh := (way[here].km - km) / hours; !(kmh >= 60 && kmh <= 330) {
				t.Errorf("%s runs to %s at %.0f km/h", p.Train, p.Stops[i].Station, kmh)
			}
		}
		km, way = way[here].km, way[here+1:]
	}
}

func TestRefused(t *testing.T) {
	for _, days := range []int{-1, 0, 401} {
		if _, err := Schedule(monday, days, formation.Default()); !errors.Is(err, timetable.ErrInvalid) {
			t.Errorf("%d days: %v; want %v", days, err, timetable.ErrInvalid)
		}
	}
	if _, err := Schedule(monday, 1, formation.Rules{}); !errors.Is(err, formation.ErrInvalid) {
		t.Errorf("no rules: %v; want %v", err, formation.ErrInvalid)
	}
}

// S3.
func TestVariety(t *testing.T) {
	s := schedule(t, monday, 7)
	for d := range rail.Date(7) {
		if n := len(trainsOn(s, monday+d)); n < 550 || n > 700 {
			t.Errorf("%d trains on %s", n, monday+d)
		}
	}
	seen, numbers := map[string]int{}, map[string]rail.TripID{}
	for i := range s.Trips {
		trip := &s.Trips[i]
		for _, number := range numbersOf(trip.Pattern) {
			if other, twice := numbers[number]; twice {
				t.Errorf("%s is the number of %s and %s", number, other, trip.ID)
			}
			numbers[number] = trip.ID
		}
		for what := range oddities(trip) {
			seen[what]++
		}
	}
	for _, what := range []string{"calls twice", "is closed to boarding", "is closed to alighting", "changes its number", "runs overnight", "is boarded on its third day", "runs on some weekdays"} {
		if seen[what] == 0 {
			t.Errorf("no train %s", what)
		}
	}
	t.Logf("%d stations, %d cities, %d trips, %v", len(s.Network.Stations), len(s.Network.Cities), len(s.Trips), seen)
}

// numbersOf is the public numbers that a train carries; the first is its trip's id as well.
func numbersOf(p *timetable.Pattern) []string {
	numbers := []string{p.Train}
	for i := range p.Stops {
		if p.Stops[i].Train != "" {
			numbers = append(numbers, p.Stops[i].Train)
		}
	}
	return numbers
}

// oddities is what makes a trip of the week other than most.
func oddities(trip *timetable.Trip) map[string]bool {
	odd := map[string]bool{}
	add := func(is bool, what string) {
		if is {
			odd[what] = true
		}
	}
	p := trip.Pattern
	called := map[rail.StationCode]bool{}
	for _, stop := range p.Stops[:len(p.Stops)-1] {
		add(stop.NoBoarding, "is closed to boarding")
		add(stop.NoAlighting, "is closed to alighting")
		add(stop.Train != "", "changes its number")
		add(stop.Depart >= 2*rail.Day && !stop.NoBoarding, "is boarded on its third day")
		called[stop.Station] = true
	}
	add(len(called) < len(p.Stops)-1 || called[p.Stops[len(p.Stops)-1].Station], "calls twice")
	add(p.Arrival() > rail.Day, "runs overnight")
	add(len(trip.Dates) < 7+before, "runs on some weekdays")
	return odd
}

// S4.
func TestCitiesAreJoined(t *testing.T) {
	s := schedule(t, monday, 1)
	var patterns []*timetable.Pattern
	served := map[rail.StationCode]bool{}
	for _, trip := range s.Trips {
		if trip.Dates[len(trip.Dates)-1] == monday { // an ordinary day joins them, without the trains of the weekend
			patterns = append(patterns, trip.Pattern)
		}
		for _, stop := range trip.Pattern.Stops {
			served[stop.Station] = true
		}
	}
	index := timetable.NewIndex(&s.Network, patterns)
	big := []rail.CityCode{"BJP", "SHH", "GZQ", "SZQ", "CQW", "CDW", "TJP", "WHN", "XAY", "HZH", "NJH", "ZZF"}
	for _, from := range big {
		for _, to := range big {
			if legs := index.Legs(timetable.Place{City: from}, timetable.Place{City: to}); from != to && len(legs) == 0 {
				t.Errorf("no train from %s to %s", from, to)
			}
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
	check := func(code string, n timetable.Names) {
		row := list[code]
		if row == nil || row[1] != n.Name || row[3] != n.Pinyin || row[4] != n.Initials {
			t.Errorf("%s %s %s %s; the list has %v", code, n.Name, n.Pinyin, n.Initials, row)
		}
	}
	for _, c := range network(1).Cities {
		check(string(c.Code), c.Names)
	}
	for _, s := range network(1).Stations {
		check(string(s.Code), s.Names)
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
