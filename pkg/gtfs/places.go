package gtfs

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// stop is a line of stops.txt. Trains call at platforms; passengers know the station.
type stop struct {
	id, code, name, latin string
	parent, area          string
	lat, lon              float64 // NaN where the feed does not say
	line                  int
	token                 rail.StationCode
}

func (im *importer) readAreas() error {
	names := map[string]string{}
	err := im.src.each("areas.txt", optional, []string{"area_id"}, func(r *row) error {
		names[r.get("area_id")] = r.get("area_name")
		return nil
	})
	if err != nil {
		return err
	}
	im.areas = names
	return nil
}

func (im *importer) readStops() error {
	area := map[string]string{} // by stop_id
	err := im.src.each("stop_areas.txt", optional, []string{"area_id", "stop_id"}, func(r *row) error {
		if _, known := im.areas[r.get("area_id")]; !known {
			return im.problem(r.problem("area_id", "an area of areas.txt"))
		}
		area[r.get("stop_id")] = r.get("area_id")
		return nil
	})
	if err != nil {
		return err
	}
	err = im.src.each("stops.txt", required, []string{"stop_id"}, func(r *row) error {
		s, problem := readStop(r)
		if problem == nil && im.stops[s.id] != nil {
			problem = r.problem("stop_id", "an id that did not occur before")
		}
		if problem != nil {
			return im.problem(problem)
		}
		s.area = area[s.id]
		im.stops[s.id] = s
		im.stations = append(im.stations, s)
		return nil
	})
	if err == nil {
		im.nameStations()
		err = im.checkParents()
	}
	return err
}

// checkParents: a parent may stand after its platforms, so it is looked for at the end.
func (im *importer) checkParents() error {
	for _, s := range im.stations {
		if s.parent != "" && im.stops[s.parent] == nil {
			if err := im.problem(&Problem{File: "stops.txt", Line: s.line, Column: "parent_station", Value: clip(s.parent), Want: "a stop of stops.txt"}); err != nil {
				return err
			}
		}
	}
	return nil
}

func readStop(r *row) (*stop, *Problem) {
	s := &stop{id: r.get("stop_id"), code: r.get("stop_code"), name: r.get("stop_name"), parent: r.get("parent_station"), latin: r.get("tts_stop_name"), line: r.line}
	switch {
	case s.id == "":
		return nil, r.problem("stop_id", "an id")
	case !utf8.ValidString(s.name) || !utf8.ValidString(s.id):
		return nil, r.problem("stop_name", "UTF-8")
	}
	if s.name == "" {
		s.name = s.id // only generic nodes may be without, and no train calls there
	}
	var problem *Problem
	s.lat, problem = coordinate(r, "stop_lat", 90)
	if problem == nil {
		s.lon, problem = coordinate(r, "stop_lon", 180)
	}
	return s, problem
}

func coordinate(r *row, column string, limit float64) (float64, *Problem) {
	text := r.get(column)
	if text == "" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(math.Abs(v) <= limit) {
		return 0, r.problem(column, "degrees within "+strconv.FormatFloat(limit, 'f', -1, 64))
	}
	return v, nil
}

// station is the place that passengers know: the parent, if there is one. An area of the platform is one of the station.
func (im *importer) station(s *stop) *stop {
	if p := im.stops[s.parent]; p != nil {
		if p.area == "" {
			p.area = s.area
		}
		return p
	}
	return s
}

// nameStations gives each stop a code: its own if it can be one and nobody else has it, else one made of its id.
func (im *importer) nameStations() {
	taken := map[rail.StationCode]bool{}
	for _, s := range im.stations {
		s.token = rail.StationCode(s.code)
		if rail.CheckToken(s.code) != nil || taken[s.token] {
			s.token = rail.StationCode(rail.Token(s.id))
		}
		for n := 2; taken[s.token]; n++ {
			s.token = rail.StationCode(rail.Token(s.id + "-" + strconv.Itoa(n)))
		}
		taken[s.token] = true
	}
}

// network is the stations at which a train calls, and their cities.
func (im *importer) network() timetable.Network {
	n := timetable.Network{Timezone: im.timezone, Currency: im.currency, SaleDays: im.Days}
	called := map[*stop]bool{}
	for _, t := range im.order {
		for _, c := range t.calls {
			called[c.stop] = true
		}
	}
	cities := im.cities(called)
	seen := map[rail.CityCode]bool{}
	for _, s := range im.stations {
		if !called[s] {
			continue
		}
		station := timetable.Station{Code: s.token, Names: s.names()}
		if city, ok := cities[s.area]; ok {
			station.City = city.Code
			if !seen[city.Code] {
				seen[city.Code] = true
				n.Cities = append(n.Cities, city)
			}
		}
		n.Stations = append(n.Stations, station)
	}
	return n
}

func (s *stop) names() timetable.Names {
	n := timetable.Names{Name: s.name}
	if latin := strings.ToLower(strings.ReplaceAll(s.latin, " ", "")); latin != "" && isASCII(latin) {
		n.Pinyin, n.Initials = latin, initials(latin)
	}
	return n
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return true
}

// cities are the areas that hold a station. A city's code is that of the station which bears its name; so are its other names.
func (im *importer) cities(called map[*stop]bool) map[string]timetable.City {
	out := map[string]timetable.City{}
	for _, s := range im.stations {
		name := im.areas[s.area]
		if s.area == "" || !called[s] {
			continue
		}
		if _, done := out[s.area]; !done {
			if name == "" {
				name = s.area
			}
			out[s.area] = timetable.City{Code: rail.CityCode(rail.Token(s.area)), Names: timetable.Names{Name: name}}
		}
		if s.name == name {
			out[s.area] = timetable.City{Code: rail.CityCode(s.token), Names: s.names()}
		}
	}
	unique(out)
	return out
}

// unique gives cities whose codes are equal (two areas of one name, a station code that is another area's id) codes that cannot be.
func unique(cities map[string]timetable.City) {
	count := map[rail.CityCode]int{}
	for _, c := range cities {
		count[c.Code]++
	}
	for area, c := range cities {
		if count[c.Code] > 1 {
			c.Code = rail.CityCode(rail.Token("area." + area))
			cities[area] = c
		}
	}
}

// kilometres of a ride by great circles, a fifth longer since lines are not straight; NaN where a place is not known.
func kilometres(a, b *stop) float64 {
	const radius, detour = 6371.0, 1.2
	rad := math.Pi / 180
	dLat, dLon := (b.lat-a.lat)*rad, (b.lon-a.lon)*rad
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(a.lat*rad)*math.Cos(b.lat*rad)*math.Pow(math.Sin(dLon/2), 2)
	return 2 * radius * math.Asin(math.Sqrt(min(h, 1))) * detour
}
