package gtfs

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

type route struct {
	name string
	kind int
	rail bool
}

// trip is a line of trips.txt with its lines of stop_times.txt.
type trip struct {
	id, service, train string
	category           string
	line               int
	calls              []call
	broken             bool
}

type call struct {
	stop           *stop
	sequence, line int
	arrive, depart rail.Minutes // untimed where the feed does not say
	closedOn       bool
	closedOff      bool
}

const untimed rail.Minutes = -1

// isRail: railways of the basic and of the extended route types. Trams, metros, buses and ferries have no seats to count.
func isRail(kind int) bool { return kind == 2 || kind >= 100 && kind <= 117 }

func (im *importer) readRoutes() error {
	return im.src.each("routes.txt", required, []string{"route_id", "route_type"}, func(r *row) error {
		kind, err := strconv.Atoi(r.get("route_type"))
		if err != nil || kind < 0 || kind > 1702 {
			return im.problem(r.problem("route_type", "a number of the GTFS reference, such as 2 for rail"))
		}
		if r.get("route_id") == "" {
			return im.problem(r.problem("route_id", "an id"))
		}
		if !isRail(kind) {
			im.report.SkippedRoutes++
		}
		im.routes[r.get("route_id")] = route{name: r.get("route_short_name"), kind: kind, rail: isRail(kind)}
		return nil
	})
}

// readCalendar reads calendar.txt and calendar_dates.txt; one of them is enough.
func (im *importer) readCalendar() error {
	weekdays := []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	rows := 0
	err := im.src.each("calendar.txt", optional, append([]string{"service_id", "start_date", "end_date"}, weekdays...), func(r *row) error {
		rows++
		return im.calendarRow(r, weekdays)
	})
	if err != nil {
		return err
	}
	err = im.src.each("calendar_dates.txt", optional, []string{"service_id", "date", "exception_type"}, func(r *row) error {
		rows++
		return im.exceptionRow(r)
	})
	if err == nil && rows == 0 {
		err = fmt.Errorf("neither calendar.txt nor calendar_dates.txt says on which days trains run")
	}
	return err
}

func (im *importer) calendarRow(r *row, weekdays []string) error {
	start, errStart := rail.ParseCompactDate(r.get("start_date"))
	end, errEnd := rail.ParseCompactDate(r.get("end_date"))
	switch {
	case errStart != nil:
		return im.problem(r.problem("start_date", "YYYYMMDD"))
	case errEnd != nil:
		return im.problem(r.problem("end_date", "YYYYMMDD"))
	case end < start:
		return im.problem(r.problem("end_date", "a day not before start_date "+r.get("start_date")))
	}
	for i, day := range weekdays {
		switch r.get(day) {
		case "1":
			for d := max(start, im.earliest()); d <= min(end, im.From+rail.Date(im.Days)); d++ {
				if int(d.Weekday()) == i {
					im.run(r.get("service_id"), d, true)
				}
			}
		case "0":
		default:
			return im.problem(r.problem(day, "0 or 1"))
		}
	}
	return nil
}

// earliest is the first service date whose train can still be on its way in the window: no pattern is longer than two weeks.
func (im *importer) earliest() rail.Date { return im.From - 14 }

func (im *importer) run(service string, date rail.Date, runs bool) {
	days := im.services[service]
	if days == nil {
		days = map[rail.Date]bool{}
		im.services[service] = days
	}
	if runs {
		days[date] = true
	} else {
		delete(days, date)
	}
}

func (im *importer) exceptionRow(r *row) error {
	date, err := rail.ParseCompactDate(r.get("date"))
	if err != nil {
		return im.problem(r.problem("date", "YYYYMMDD"))
	}
	kind := r.get("exception_type")
	if kind != "1" && kind != "2" {
		return im.problem(r.problem("exception_type", "1 (added) or 2 (removed)"))
	}
	if im.services[r.get("service_id")] == nil {
		im.services[r.get("service_id")] = map[rail.Date]bool{}
	}
	if date >= im.earliest() && date < im.From+rail.Date(im.Days) {
		im.run(r.get("service_id"), date, kind == "1")
	}
	return nil
}

func (im *importer) readTrips() error {
	return im.src.each("trips.txt", required, []string{"route_id", "service_id", "trip_id"}, func(r *row) error {
		id := r.get("trip_id")
		route, known := im.routes[r.get("route_id")]
		switch {
		case id == "" || !utf8.ValidString(id):
			return im.problem(r.problem("trip_id", "an id in UTF-8"))
		case im.trips[id] != nil:
			return im.problem(r.problem("trip_id", "an id that did not occur before"))
		case !known:
			return im.problem(r.problem("route_id", "a route of routes.txt"))
		}
		t := &trip{id: id, service: r.get("service_id"), train: cmp.Or(r.get("trip_short_name"), route.name, id), line: r.line}
		t.category = category(t.train, route.kind)
		im.trips[id] = t
		if !route.rail {
			im.report.SkippedTrips++
			return nil
		}
		if im.services[t.service] == nil {
			t.broken = true
			return im.problem(r.problem("service_id", "a service of calendar.txt or calendar_dates.txt"))
		}
		im.order = append(im.order, t)
		return nil
	})
}

// chineseNumber is a train number whose letter says what kind of train it is. A train that changes its number is often written with both ("D305/D308").
var chineseNumber = regexp.MustCompile(`^[A-Z][0-9]{1,4}(/[A-Z]?[0-9]{1,4})*$`)

// category is what passengers filter by: the letter of a Chinese number, the feed's route type otherwise.
func category(train string, kind int) string {
	if chineseNumber.MatchString(train) {
		return train[:1]
	}
	return strconv.Itoa(kind)
}

func (im *importer) readStopTimes() error {
	return im.src.each("stop_times.txt", required, []string{"trip_id", "stop_id", "stop_sequence", "arrival_time", "departure_time"}, func(r *row) error {
		t := im.trips[r.get("trip_id")]
		if t == nil {
			return im.problem(r.problem("trip_id", "a trip of trips.txt"))
		}
		if t.broken {
			return nil
		}
		c, problem := im.call(r)
		if problem != nil {
			t.broken = true
			return im.problem(problem)
		}
		t.calls = append(t.calls, c)
		return nil
	})
}

func (im *importer) call(r *row) (c call, problem *Problem) {
	stop := im.stops[r.get("stop_id")]
	if stop == nil {
		return c, r.problem("stop_id", "a stop of stops.txt")
	}
	sequence, err := strconv.Atoi(r.get("stop_sequence"))
	if err != nil || sequence < 0 {
		return c, r.problem("stop_sequence", "a number of 0 or more")
	}
	c = call{stop: im.station(stop), sequence: sequence, line: r.line}
	if c.arrive, problem = clock(r, "arrival_time"); problem != nil {
		return c, problem
	}
	if c.depart, problem = clock(r, "departure_time"); problem != nil {
		return c, problem
	}
	if c.closedOn, problem = closed(r, "pickup_type"); problem != nil {
		return c, problem
	}
	c.closedOff, problem = closed(r, "drop_off_type")
	return c, problem
}

// closed reads a pickup or drop-off type. By arrangement (2, 3) counts as open: a seat can be sold.
func closed(r *row, column string) (bool, *Problem) {
	switch r.get(column) {
	case "", "0", "2", "3":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, r.problem(column, "0 to 3")
	}
}

// clock reads H:MM:SS or HH:MM:SS, which may pass 24 h; the seconds are dropped.
func clock(r *row, column string) (rail.Minutes, *Problem) {
	text := r.get(column)
	if text == "" {
		return untimed, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) == 3 && len(parts[0]) >= 1 && len(parts[0]) <= 3 && len(parts[1]) == 2 && len(parts[2]) == 2 {
		h, errH := strconv.ParseUint(parts[0], 10, 16)
		m, errM := strconv.ParseUint(parts[1], 10, 8)
		s, errS := strconv.ParseUint(parts[2], 10, 8)
		if errH == nil && errM == nil && errS == nil && m < 60 && s < 60 && h <= 14*24 {
			return rail.Minutes(h*60 + m), nil
		}
	}
	return 0, r.problem(column, "HH:MM:SS, which may pass 24:00:00")
}

// pattern builds a trip's pattern.
func (im *importer) pattern(t *trip) (*timetable.Pattern, *Problem) {
	slices.SortFunc(t.calls, func(a, b call) int { return cmp.Compare(a.sequence, b.sequence) })
	if problem := t.settleTimes(); problem != nil {
		return nil, problem
	}
	p := &timetable.Pattern{Train: t.train, Category: t.category, Stops: make([]timetable.Stop, 0, len(t.calls))}
	for _, c := range t.calls {
		p.Stops = append(p.Stops, timetable.Stop{Station: c.stop.token, Arrive: c.arrive, Depart: c.depart, NoBoarding: c.closedOn, NoAlighting: c.closedOff})
	}
	rules := im.Rules.For(t.category)
	p.Classes = rules.Offers(t.distances(rules.SpeedKmh))
	p.ID = p.ContentID()
	if err := p.Validate(); err != nil {
		return nil, &Problem{File: "trips.txt", Line: t.line, Want: err.Error()}
	}
	return p, nil
}

func (c *call) problem(column, value, want string) *Problem {
	return &Problem{File: "stop_times.txt", Line: c.line, Column: column, Value: value, Want: want}
}

// settleTimes checks the order of the calls and their times, and fills in the times of stops that have none, evenly between their neighbours.
func (t *trip) settleTimes() *Problem {
	if len(t.calls) < 2 {
		return &Problem{File: "trips.txt", Line: t.line, Column: "trip_id", Value: clip(t.id), Want: "a trip with two or more stop times"}
	}
	last := rail.Minutes(0)
	known := 0 // the last call with times
	for i := range t.calls {
		c := &t.calls[i]
		if i > 0 && c.sequence == t.calls[i-1].sequence {
			return c.problem("stop_sequence", strconv.Itoa(c.sequence), "a number that did not occur in the trip")
		}
		if c.arrive == untimed {
			c.arrive = c.depart
		}
		if c.depart == untimed {
			c.depart = c.arrive
		}
		if c.arrive == untimed {
			if i == 0 || i == len(t.calls)-1 {
				return c.problem("arrival_time", "", "a time: only stops between the first and the last may be without")
			}
			continue
		}
		if c.arrive < last || c.depart < c.arrive {
			return c.problem("arrival_time", c.arrive.Clock(), "a time that is not before that of the stop before it, nor after its departure")
		}
		interpolate(t.calls[known : i+1])
		last, known = c.depart, i
	}
	return nil
}

// interpolate gives the calls between the first and the last of a stretch their times.
func interpolate(calls []call) {
	n := rail.Minutes(len(calls) - 1)
	for k := 1; k < len(calls)-1; k++ {
		at := calls[0].depart + (calls[n].arrive-calls[0].depart)*rail.Minutes(k)/n
		calls[k].arrive, calls[k].depart = at, at
	}
}

// distances of the calls from the first: by coordinates, or by time where any is missing.
func (t *trip) distances(kmh float64) []float64 {
	km := make([]float64, len(t.calls))
	for i := 1; i < len(km); i++ {
		km[i] = km[i-1] + kilometres(t.calls[i-1].stop, t.calls[i].stop)
	}
	if math.IsNaN(km[len(km)-1]) {
		for i := range km {
			km[i] = float64(t.calls[i].arrive-t.calls[0].depart) / 60 * kmh
		}
		km[0] = 0
	}
	return km
}
