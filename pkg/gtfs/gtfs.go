// Package gtfs reads a timetable from a GTFS feed (gtfs.org/documentation/schedule/reference), a zip file or a folder.
//
// Invariants (cited by the tests as G1...):
//
//	G1 What is read passes timetable's Validate; what cannot be read is a Problem with file, line, column, value and what would be right.
//	G2 A strict read ends with the first problems; a lenient one leaves out the broken row, or the whole trip if one of its stop times is broken,
//	   and counts it. Nothing panics.
//	G3 A service day counts if the trip still runs on a day of the window: one that left on the evening before is there.
//	G4 Trains with equal stops, times, classes and fares share one pattern.
package gtfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// ErrFeed marks a feed that cannot be used as a whole; the text says why.
var ErrFeed = errors.New("unusable GTFS feed")

// Options of a read.
type Options struct {
	// Rules give the trains their classes and fares; they must be valid.
	Rules formation.Rules
	// From is the first day of the window, Days its length, 1 to 400.
	From rail.Date
	Days int
	// Lenient leaves out what is broken instead of failing.
	Lenient bool
	// MaxProblems is how many problems are reported; 0 means 20.
	MaxProblems int
}

// Report says what was read and what was left out.
type Report struct {
	Stations, Cities, Patterns, Trips int
	// Runs is the number of trips times their days in the window.
	Runs int
	// SkippedRoutes are not rail; SkippedTrips are of such routes, without a day in the window, or broken; SkippedLines are broken.
	SkippedRoutes, SkippedTrips, SkippedLines int
	// Problems are the first of those that made lines or trips be left out.
	Problems []*Problem
}

// Problem is a broken place of a feed.
type Problem struct {
	File   string
	Line   int // 0: the file as a whole
	Column string
	Value  string
	Want   string
}

func (p *Problem) Error() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Column == "" {
		return fmt.Sprintf("%s: %s", where, p.Want)
	}
	return fmt.Sprintf("%s: %s %q: want %s", where, p.Column, p.Value, p.Want)
}

// Read reads a feed. The error wraps ErrFeed, and each Problem that it is made of.
func Read(path string, o Options) (*timetable.Schedule, *Report, error) {
	if err := o.Rules.Validate(); err != nil {
		return nil, nil, err
	}
	if o.Days < 1 || o.Days > 400 {
		return nil, nil, fmt.Errorf("%w: a window of %d days; want 1 to 400", ErrFeed, o.Days)
	}
	if o.MaxProblems <= 0 {
		o.MaxProblems = 20
	}
	src, err := open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFeed, err)
	}
	defer src.close()
	im := newImporter(o, src)
	schedule, err := im.read()
	if err != nil {
		return nil, nil, err
	}
	return schedule, &im.report, nil
}

// importer is one read under way.
type importer struct {
	Options
	src      *source
	report   Report
	timezone string
	currency string

	stops    map[string]*stop // by stop_id
	stations []*stop          // in the order of the file
	areas    map[string]string
	services map[string]map[rail.Date]bool
	routes   map[string]route
	trips    map[string]*trip
	order    []*trip // in the order of the file
}

func newImporter(o Options, src *source) *importer {
	return &importer{
		Options: o, src: src, stops: map[string]*stop{}, areas: map[string]string{}, services: map[string]map[rail.Date]bool{}, routes: map[string]route{}, trips: map[string]*trip{},
	}
}

// errStop ends a strict read that has seen enough.
var errStop = errors.New("too many problems")

// problem notes a broken place. A strict read goes on until it has enough of them to be of use.
func (im *importer) problem(p *Problem) error {
	im.report.SkippedLines++
	if len(im.report.Problems) < im.MaxProblems {
		im.report.Problems = append(im.report.Problems, p)
	} else if !im.Lenient {
		return errStop
	}
	return nil
}

// read takes the files in the order in which they refer to each other.
func (im *importer) read() (*timetable.Schedule, error) {
	steps := []func() error{im.readFrequencies, im.readAgency, im.readCurrency, im.readAreas, im.readStops, im.readCalendar, im.readRoutes, im.readTrips, im.readStopTimes}
	for _, step := range steps {
		if err := step(); err != nil && !errors.Is(err, errStop) {
			return nil, fmt.Errorf("%w: %w", ErrFeed, err)
		} else if err != nil {
			break
		}
	}
	if err := im.verdict(); err != nil {
		return nil, err
	}
	schedule, err := im.build()
	if err == nil {
		err = im.verdict()
	}
	return schedule, err
}

// verdict fails a strict read that met problems.
func (im *importer) verdict() error {
	if im.Lenient || len(im.report.Problems) == 0 {
		return nil
	}
	all := make([]error, 0, len(im.report.Problems))
	for _, p := range im.report.Problems {
		all = append(all, p)
	}
	return fmt.Errorf("%w: at least %d broken lines (--lenient leaves them out):\n%w", ErrFeed, im.report.SkippedLines, errors.Join(all...))
}

// build turns what was read into a schedule.
func (im *importer) build() (*timetable.Schedule, error) {
	network := im.network()
	if err := network.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFeed, err)
	}
	s := &timetable.Schedule{Network: network}
	patterns := map[rail.PatternID]*timetable.Pattern{}
	ids := map[rail.TripID]string{}
	for _, t := range im.order {
		if t.broken || len(t.calls) == 0 {
			im.report.SkippedTrips++
			continue
		}
		built, err := im.trip(t, ids)
		if err != nil {
			return nil, err
		}
		if built == nil {
			im.report.SkippedTrips++
			continue
		}
		if shared := patterns[built.Pattern.ID]; shared != nil {
			built.Pattern = shared
		}
		patterns[built.Pattern.ID] = built.Pattern
		im.report.Runs += len(built.Dates)
		s.Trips = append(s.Trips, *built)
	}
	im.report.Patterns, im.report.Trips = len(patterns), len(s.Trips)
	im.report.Stations, im.report.Cities = len(network.Stations), len(network.Cities)
	return s, nil
}

// trip builds one trip; nil if it has no day in the window or is broken, which is then noted.
func (im *importer) trip(t *trip, ids map[rail.TripID]string) (*timetable.Trip, error) {
	pattern, problem := im.pattern(t)
	if problem != nil {
		return nil, im.problem(problem)
	}
	dates := im.dates(t.service, pattern.Arrival())
	if len(dates) == 0 {
		return nil, nil
	}
	id := rail.TripID(rail.Token(t.id))
	if other, twice := ids[id]; twice {
		return nil, im.problem(&Problem{File: "trips.txt", Line: t.line, Column: "trip_id", Value: t.id, Want: "an id that does not become " + string(id) + ", as that of " + other + " does"})
	}
	ids[id] = t.id
	return &timetable.Trip{ID: id, Pattern: pattern, Dates: dates}, nil
}

// dates are a service's days on which a train that takes so long runs within the window (G3).
func (im *importer) dates(service string, arrival rail.Minutes) (dates []rail.Date) {
	for date := range im.services[service] {
		if date+arrival.Days() >= im.From && date < im.From+rail.Date(im.Days) {
			dates = append(dates, date)
		}
	}
	slices.Sort(dates)
	return dates
}

func (im *importer) readFrequencies() error {
	rows := 0
	err := im.src.each("frequencies.txt", optional, nil, func(*row) error {
		rows++
		return nil
	})
	if err == nil && rows > 0 {
		err = fmt.Errorf("frequencies.txt has %d rows: trains without times of their own have no runs and no seats; list each trip with its stop times", rows)
	}
	return err
}

func (im *importer) readAgency() error {
	return im.src.each("agency.txt", required, []string{"agency_timezone"}, func(r *row) error {
		zone := r.get("agency_timezone")
		if _, err := time.LoadLocation(zone); err != nil || zone == "" {
			return im.problem(r.problem("agency_timezone", "an IANA time zone such as Asia/Shanghai"))
		}
		if im.timezone != "" && im.timezone != zone {
			return im.problem(r.problem("agency_timezone", im.timezone+", as in the lines before: all agencies of a feed share one zone"))
		}
		im.timezone = zone
		return nil
	})
}

// readCurrency takes the first currency of the feed's own fares. Without any it is the yuan in China, and XXX (ISO 4217: none) elsewhere.
func (im *importer) readCurrency() error {
	err := im.src.each("fare_attributes.txt", optional, nil, func(r *row) error {
		if im.currency == "" {
			im.currency = strings.ToUpper(r.get("currency_type"))
		}
		return nil
	})
	if len(im.currency) != 3 {
		im.currency = "XXX"
		if slices.Contains([]string{"Asia/Shanghai", "Asia/Urumqi", "Asia/Chongqing", "Asia/Harbin", "PRC"}, im.timezone) {
			im.currency = "CNY"
		}
	}
	return err
}
