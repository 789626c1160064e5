package gtfs

import (
	"archive/zip"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// small is a feed with one of each: a platform with a parent, an area, a calendar with exceptions, a night train, a closed stop, an untimed stop, a bus.
func small() map[string]string {
	return map[string]string{
		"agency.txt":         "agency_id,agency_name,agency_url,agency_timezone\nCR,Rail,http://x,Asia/Shanghai\n",
		"stops.txt":          "\ufeffstop_id,stop_code,stop_name,tts_stop_name,stop_lat,stop_lon,location_type,parent_station\nVNP,VNP,北京南,beijingnan,39.86,116.38,1,\nVNP-1,,北京南 1,,39.86,116.38,0,VNP\nBJP,BJP,北京,beijing,39.90,116.43,,\nJGK,JGK,济南西,jinanxi,36.67,116.89,,\nAOH,AOH,上海虹桥,shanghaihongqiao,31.19,121.32,,\n",
		"areas.txt":          "area_id,area_name\n0357,北京\n",
		"stop_areas.txt":     "area_id,stop_id\n0357,VNP-1\n0357,BJP\n",
		"routes.txt":         "route_id,route_short_name,route_type\nG,高速,101\nB,巴士,3\n",
		"calendar.txt":       "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\nW,1,1,1,1,1,0,0,20261101,20261231\n",
		"calendar_dates.txt": "service_id,date,exception_type\r\nW,20261125,2\r\nW,20261128,1\r\nN,20261123,1\r\n",
		"trips.txt":          "trip_id,route_id,service_id,trip_short_name\nt1,G,W,G1\nt2,G,W,G1\nnight,G,N,D301/D304\nbus,B,W,B1\nlate,G,N,G9\n",
		"stop_times.txt": "trip_id,stop_sequence,stop_id,arrival_time,departure_time,pickup_type,drop_off_type\n" +
			"t1,30,AOH,11:00:00,11:00:00,,\nt1,10,VNP-1,7:00:00,7:00:00,0,0\nt1,20,JGK,,,1,0\n" +
			"t2,1,VNP,07:00:00,07:00:00,0,0\nt2,2,JGK,09:00:00,09:00:59,1,0\nt2,3,AOH,11:00:00,11:00:00,0,0\n" +
			"night,1,BJP,22:00:00,22:00:00,0,0\nnight,2,JGK,24:30:00,24:32:00,0,0\nnight,3,AOH,31:00:00,31:00:00,0,0\n" +
			"bus,1,BJP,10:00:00,10:00:00,0,0\nbus,2,AOH,20:00:00,20:00:00,0,0\n" +
			"late,1,BJP,10:00:00,10:00:00,0,0\nlate,2,AOH,20:00:00,20:00:00,0,0\n",
	}
}

// tuesday starts the window of the tests: three days.
var tuesday = rail.NewDate(2026, time.November, 24)

func options(lenient bool) Options {
	return Options{Rules: formation.Default(), From: tuesday, Days: 5, Lenient: lenient}
}

func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func archive(t testing.TB, files map[string]string, prefix string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "feed.zip")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(file)
	for name, text := range files {
		w, err := z.Create(prefix + name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// runs lists "trip date" of a schedule.
func runs(s *timetable.Schedule) (out []string) {
	for _, t := range s.Trips {
		for _, d := range t.Dates {
			out = append(out, fmt.Sprint(t.ID, " ", d))
		}
	}
	slices.Sort(out)
	return out
}

// G3, G4, and all else that the small feed has, from a folder, a zip file and a zip file with a folder in it.
func TestSmallFeed(t *testing.T) {
	for name, path := range map[string]string{"folder": folder(t, small()), "zip": archive(t, small(), ""), "zip with a folder": archive(t, small(), "feed/")} {
		t.Run(name, func(t *testing.T) {
			s, report, err := Read(path, options(false))
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"night 2026-11-23", "t1 2026-11-24", "t1 2026-11-26", "t1 2026-11-27", "t1 2026-11-28", "t2 2026-11-24", "t2 2026-11-26", "t2 2026-11-27", "t2 2026-11-28"}
			if got := runs(s); !slices.Equal(got, want) {
				t.Errorf("runs %v\nwant %v", got, want)
			}
			if want := (Report{Stations: 4, Cities: 1, Patterns: 2, Trips: 3, Runs: 9, SkippedRoutes: 1, SkippedTrips: 2}); !reflect.DeepEqual(*report, want) {
				t.Errorf("report %+v\nwant   %+v", *report, want)
			}
			checkSmall(t, s)
		})
	}
}

func checkSmall(t *testing.T, s *timetable.Schedule) {
	t.Helper()
	if n := s.Network; n.Timezone != "Asia/Shanghai" || n.Currency != "CNY" || n.SaleDays != 5 || n.Cities[0].Code != "BJP" || n.Cities[0].Initials != "bj" {
		t.Errorf("network %+v", n)
	}
	if v := s.Network.Stations[0]; v.Code != "VNP" || v.City != "BJP" || v.Pinyin != "beijingnan" || v.Initials != "bjn" {
		t.Errorf("the platform's station is %+v", v)
	}
	byID := map[rail.TripID]*timetable.Pattern{}
	for _, trip := range s.Trips {
		byID[trip.ID] = trip.Pattern
	}
	p := byID["t1"]
	if p != byID["t2"] {
		t.Error("G4: equal trains have two patterns") // the untimed stop is half-way in time as well
	}
	if p.Stops[1].Arrive != 540 || !p.Stops[1].NoBoarding || p.Stops[1].NoAlighting || p.Train != "G1" || p.Category != "G" {
		t.Errorf("%+v", p.Stops)
	}
	if km := p.Classes[0].Fares[1]; km < 50000 || km > 62000 { // 1,070 km by great circle, a fifth more by line
		t.Errorf("second class to the end costs %d", km)
	}
	if n := byID["night"]; n.Category != "D" || n.Stops[1].Depart != 24*60+32 {
		t.Errorf("%+v", n)
	}
}

// A feed without coordinates has fares by time.
func TestFaresByTime(t *testing.T) {
	files := small()
	files["stops.txt"] = "stop_id,stop_name\nVNP,a\nVNP-1,b\nBJP,c\nJGK,d\nAOH,e\n"
	s, _, err := Read(folder(t, files), options(false))
	if err != nil {
		t.Fatal(err)
	}
	for _, trip := range s.Trips {
		if fares := trip.Pattern.Classes[0].Fares; slices.Min(fares) <= 0 || fares[1] <= fares[0] {
			t.Errorf("%s: %v", trip.ID, fares)
		}
	}
}

// G1, G2: what is broken is said with its place; a lenient read leaves it out, counts it, and reads the rest.
func TestBrokenLines(t *testing.T) {
	for _, tt := range []struct{ file, old, new, want string }{
		{"stop_times.txt", "24:30:00", "25:7x:00", `stop_times.txt:9: arrival_time "25:7x:00": want HH:MM:SS, which may pass 24:00:00`},
		{"stop_times.txt", "24:32:00", "24:10:00", `stop_times.txt:9: arrival_time "00:30": want a time that is not before`},
		{"stop_times.txt", "night,3", "night,2", `stop_times.txt:10: stop_sequence "2": want a number that did not occur in the trip`},
		{"stop_times.txt", "night,3,AOH", "night,x,AOH", `stop_times.txt:10: stop_sequence "x": want a number of 0 or more`},
		{"stop_times.txt", "night,3,AOH", "night,3,XXX", `stop_times.txt:10: stop_id "XXX": want a stop of stops.txt`},
		{"stop_times.txt", "night,3,AOH", "nacht,3,AOH", `stop_times.txt:10: trip_id "nacht": want a trip of trips.txt`},
		{"stop_times.txt", "31:00:00,31:00:00,0,0", "31:00:00,31:00:00,9,0", `stop_times.txt:10: pickup_type "9": want 0 to 3`},
		{"stop_times.txt", "31:00:00,31:00:00", ",", `stop_times.txt:10: arrival_time "": want a time: only stops between`},
		{"trips.txt", "night,G,N", "night,Q,N", `trips.txt:4: route_id "Q": want a route of routes.txt`},
		{"trips.txt", "night,G,N", "night,G,Q", `trips.txt:4: service_id "Q": want a service of calendar.txt`},
		{"trips.txt", "t2,G", "t1,G", `trips.txt:3: trip_id "t1": want an id that did not occur before`},
		{"routes.txt", "B,巴士,3", "B,巴士,rail", `routes.txt:3: route_type "rail": want a number of the GTFS reference`},
		{"calendar.txt", "W,1,1", "W,2,1", `calendar.txt:2: monday "2": want 0 or 1`},
		{"calendar.txt", "20261231", "20260101", `calendar.txt:2: end_date "20260101": want a day not before start_date 20261101`},
		{"calendar_dates.txt", "20261125", "2026-11-25", `calendar_dates.txt:2: date "2026-11-25": want YYYYMMDD`},
		{"calendar_dates.txt", "20261128,1", "20261128,3", `calendar_dates.txt:3: exception_type "3": want 1 (added) or 2 (removed)`},
		{"stops.txt", "36.67", "96.67", `stops.txt:5: stop_lat "96.67": want degrees within 90`},
		{"stops.txt", "0,VNP", "0,XXX", `stops.txt:3: parent_station "XXX": want a stop of stops.txt`},
		{"stops.txt", "JGK,JGK", "VNP,JGK", `stops.txt:5: stop_id "VNP": want an id that did not occur before`},
		{"stops.txt", "济南西", "\xff\xfe", `stops.txt:5: stop_name`},
		{"stop_areas.txt", "0357,BJP", "9999,BJP", `stop_areas.txt:3: area_id "9999": want an area of areas.txt`},
		{"agency.txt", "Asia/Shanghai", "Asia/Atlantis", `agency.txt:2: agency_timezone "Asia/Atlantis": want an IANA time zone`},
	} {
		files := small()
		files[tt.file] = strings.Replace(files[tt.file], tt.old, tt.new, 1)
		path := folder(t, files)
		_, _, err := Read(path, options(false))
		var problem *Problem
		if !errors.Is(err, ErrFeed) || !errors.As(err, &problem) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %s for %s: got %v\nwant %s", tt.file, tt.new, tt.old, err, tt.want)
		}
		s, report, err := Read(path, options(true))
		if tt.file == "agency.txt" {
			continue // without a zone nothing can be read
		}
		if err != nil || report.SkippedLines == 0 || len(report.Problems) == 0 || len(s.Trips) == 0 && tt.file != "stops.txt" { // all trains call at the stop that is broken
			t.Errorf("lenient, %s for %s: %v %+v", tt.new, tt.old, err, report)
		}
	}
}

// G1: what makes the whole feed unusable.
func TestUnusable(t *testing.T) {
	for want, change := range map[string]func(map[string]string){
		"stops.txt is missing":                                     func(f map[string]string) { delete(f, "stops.txt") },
		"trips.txt is missing":                                     func(f map[string]string) { delete(f, "trips.txt") },
		"neither calendar.txt nor calendar_dates.txt":              func(f map[string]string) { delete(f, "calendar.txt"); delete(f, "calendar_dates.txt") },
		"frequencies.txt has 1 rows":                               func(f map[string]string) { f["frequencies.txt"] = "trip_id,headway_secs\nt1,600\n" },
		"routes.txt: column route_type is missing; found route_id": func(f map[string]string) { f["routes.txt"] = "route_id\nG\n" },
		"routes.txt is empty":                                      func(f map[string]string) { f["routes.txt"] = "" },
		"trips.txt: parse error on line 2":                         func(f map[string]string) { f["trips.txt"] = "route_id,service_id,trip_id\n\"a\"b,c,d\n" },
	} {
		files := small()
		change(files)
		for _, lenient := range []bool{false, true} {
			if _, _, err := Read(folder(t, files), options(lenient)); !errors.Is(err, ErrFeed) || !strings.Contains(err.Error(), want) {
				t.Errorf("lenient %t: got %v; want %s", lenient, err, want)
			}
		}
	}
	notZip := filepath.Join(t.TempDir(), "x.zip")
	if err := os.WriteFile(notZip, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{notZip, "/nowhere/at/all"} {
		if _, _, err := Read(path, options(true)); !errors.Is(err, ErrFeed) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// G2: a feed that is broken throughout is not read to its end in strict mode, nor are all its problems kept in the other.
func TestProblemsAreBounded(t *testing.T) {
	files := small()
	files["stop_times.txt"] += strings.Repeat("nobody,1,VNP,1:00:00,1:00:00,0,0\n", 1000)
	_, _, err := Read(folder(t, files), options(false))
	if n := strings.Count(fmt.Sprint(err), "nobody"); n != 20 {
		t.Errorf("%d problems reported", n)
	}
	_, report, err := Read(folder(t, files), options(true))
	if err != nil || len(report.Problems) != 20 || report.SkippedLines != 1000 {
		t.Errorf("%v %d %d", err, len(report.Problems), report.SkippedLines)
	}
}

func TestInitials(t *testing.T) {
	for pinyin, want := range map[string]string{"beijingnan": "bjn", "shanghaihongqiao": "shhq", "guangzhou": "gz", "haerbin": "heb", "chongqing": "cq", "london": "", "x": ""} {
		if got := initials(pinyin); got != want {
			t.Errorf("%s: %q; want %q", pinyin, got, want)
		}
	}
	initials(strings.Repeat("angan", 1000)) // bounded
}

func realFeed(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("YUPIAO_TESTDATA")
	if dir == "" {
		t.Skip("needs a real timetable: set YUPIAO_TESTDATA to the folder that holds cn-hsr-gtfs/gtfs.zip")
	}
	return filepath.Join(dir, "cn-hsr-gtfs", "gtfs.zip")
}

// The real feed: the runs are those that a plain reading of its files gives.
func TestRealFeed(t *testing.T) {
	path := realFeed(t)
	o := Options{Rules: formation.Default(), From: rail.NewDate(2026, time.November, 23), Days: 15}
	s, report, err := Read(path, o)
	if err != nil {
		t.Fatal(err)
	}
	want := plainRuns(t, path, o)
	if got := runs(s); !slices.Equal(got, want) {
		t.Errorf("%d runs; a plain reading gives %d", len(got), len(want))
	}
	overnight, closed := 0, 0
	for _, trip := range s.Trips {
		if trip.Pattern.Arrival() > rail.Day {
			overnight++
		}
		if slices.ContainsFunc(trip.Pattern.Stops, func(s timetable.Stop) bool { return s.NoBoarding }) {
			closed++
		}
	}
	if report.SkippedLines > 0 || overnight == 0 || closed == 0 {
		t.Errorf("%+v, %d overnight, %d with a stop closed to boarding", report, overnight, closed)
	}
	t.Logf("%+v, %d overnight, %d with a stop closed to boarding", report, overnight, closed)
}

// plainRuns reads the feed's dates again, the plain way: it has calendar_dates.txt alone.
func plainRuns(t *testing.T, path string, o Options) (out []string) {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	table := func(name string) [][]string {
		f, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows[1:]
	}
	last := map[string]string{} // the latest arrival of each trip, as text: hours have two digits
	for _, row := range table("stop_times.txt") {
		last[row[0]] = max(last[row[0]], row[1])
	}
	dates := map[string][]string{}
	for _, row := range table("calendar_dates.txt") {
		dates[row[0]] = append(dates[row[0]], row[1])
	}
	for _, row := range table("trips.txt") {
		for _, day := range dates[row[1]] {
			date, err := rail.ParseCompactDate(day)
			if err != nil {
				t.Fatal(err)
			}
			end := date
			if last[row[2]] >= "24:00:00" {
				end++
			}
			if end >= o.From && date < o.From+rail.Date(o.Days) {
				out = append(out, fmt.Sprint(row[2], " ", date))
			}
		}
	}
	slices.Sort(out)
	return out
}

// G1, G2: whatever the files hold, no panic, and what is read is valid.
func FuzzRead(f *testing.F) {
	names := slices.Sorted(maps.Keys(small()))
	for i, name := range names {
		f.Add(uint8(i), small()[name])
	}
	f.Add(uint8(7), "trip_id,stop_sequence,stop_id,arrival_time,departure_time\nt1,1,VNP,99:99:99,\n\"")
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		files := small()
		files[names[int(which)%len(names)]] = text
		dir := folder(t, files)
		for _, lenient := range []bool{false, true} {
			s, _, err := Read(dir, options(lenient))
			if err != nil {
				continue
			}
			if err := s.Network.Validate(); err != nil {
				t.Error(err)
			}
			for _, trip := range s.Trips {
				if err := trip.Pattern.Validate(); err != nil || len(trip.Dates) == 0 || rail.CheckToken(string(trip.ID)) != nil {
					t.Errorf("%+v: %v", trip, err)
				}
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	path := realFeed(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Read(path, Options{Rules: formation.Default(), From: tuesday, Days: 15}); err != nil {
			b.Fatal(err)
		}
	}
}
