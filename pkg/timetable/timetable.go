// Package timetable says which trains run between two places: stations and cities, stopping patterns, the index from an OD to the
// patterns that serve it, and the search that turns what a person types into a station or a city.
//
// Invariants (cited by the tests as T1...):
//
//	T1 An Index is immutable: readers share it without locks, a change makes a new one.
//	T2 A leg is listed only if its from stop lets passengers on and its to stop lets them off.
//	T3 A train that calls at one station twice is listed for the shortest ride between the two stations only.
//	T4 Legs are ordered by departure on the boarding day, then arrival, then train number, then stop.
//	T5 Whatever place Resolve returns, its String is resolved to the same place.
//	T6 An answer of Search is places of the index, each once; a longer answer begins with the shorter one.
//	T7 A query between whole cities does not allocate.
package timetable

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// ErrInvalid marks a network or a pattern that contradicts itself; the text names the field, the value and what would be right.
var ErrInvalid = errors.New("invalid timetable")

// Network is what all runs share: the stations, the cities and the clock they live by. Shared after Validate; do not modify.
type Network struct {
	// Timezone is the IANA name of the one time zone of all times ("Asia/Shanghai").
	Timezone string
	// Currency of all fares, ISO 4217.
	Currency string
	// SaleDays is the number of boarding dates on sale, today included.
	SaleDays int
	Cities   []City
	Stations []Station
}

// City groups stations that a traveller takes for one place.
type City struct {
	Code rail.CityCode
	Names
}

// Station is a place where trains call.
type Station struct {
	Code rail.StationCode
	// City that the station belongs to; empty for none.
	City rail.CityCode
	Names
}

// Names of a place. Name is the one on its signs; all others may be empty.
type Names struct {
	Name string
	// Pinyin in lower case without spaces ("beijingnan"), or any Latin form that people type.
	Pinyin string
	// Initials of the syllables ("bjn").
	Initials string
	// Other names by language tag ("en": "Beijing South").
	Other map[string]string
}

// In is the name in lang, or the name on the signs where that language has none.
func (n Names) In(lang rail.Lang) string {
	if s := n.Other[string(lang)]; s != "" {
		return s
	}
	return n.Name
}

// Pattern is an ordered list of stops with times, classes and fares, shared by all its dates. Shared after Validate; do not modify.
type Pattern struct {
	ID rail.PatternID
	// Train is the public number at the origin; a stop may carry another from there on.
	Train string
	// Category of the train, by which passengers filter: the letter of the number in China ("G", "D", "K"), else a feed's route type.
	Category string
	Stops    []Stop
	Classes  []ClassOffer
}

// Stop is one call of a pattern. Times are minutes from 00:00 of the service date; the first has Arrive == Depart, as has the last.
type Stop struct {
	Station rail.StationCode
	Arrive  rail.Minutes
	Depart  rail.Minutes
	// NoBoarding and NoAlighting close the stop to passengers in one direction.
	NoBoarding  bool
	NoAlighting bool
	// Train is the public number from this stop on where it changes here; empty where it stays.
	Train string
}

// ClassOffer is a class of a pattern with its fares.
type ClassOffer struct {
	Class         rail.Class
	Accommodation rail.Accommodation
	// Fares by OD in the order of OD. Empty: fares are not known. NoFare: the class is not offered on that OD.
	Fares []rail.Money
}

// NoFare stands for "not offered on this OD".
const NoFare rail.Money = -1

// Trip is a service of the public timetable: a pattern and the service dates on which it runs, in rising order.
type Trip struct {
	ID      rail.TripID
	Pattern *Pattern
	Dates   []rail.Date
}

// Schedule is a whole timetable as it comes from a GTFS feed or the sample network.
type Schedule struct {
	Network Network
	Trips   []Trip
}

// Patterns lists the patterns of the trips, each once.
func (s *Schedule) Patterns() (all []*Pattern) {
	seen := make(map[rail.PatternID]bool, len(s.Trips))
	for i := range s.Trips {
		if p := s.Trips[i].Pattern; !seen[p.ID] {
			seen[p.ID] = true
			all = append(all, p)
		}
	}
	return all
}

// Busiest is the pair of stations between the ends of the most trips.
func (s *Schedule) Busiest() (from, to rail.StationCode) {
	type pair struct{ from, to rail.StationCode }
	counts, best := map[pair]int{}, pair{}
	for _, t := range s.Trips {
		stops := t.Pattern.Stops
		p := pair{stops[0].Station, stops[len(stops)-1].Station}
		counts[p]++
		if n := counts[p]; n > counts[best] || n == counts[best] && p.from+p.to < best.from+best.to {
			best = p
		}
	}
	return best.from, best.to
}

// NumODs is the number of ODs of a run with so many stops.
func NumODs(stops int) int { return stops * (stops - 1) / 2 }

// OD is the place of (from, to) in every table by OD: from-major, so that the ODs of one boarding stop lie together. It needs
// from < to < stops.
func OD(stops int, from, to rail.StopIndex) int {
	f := int(from)
	return f*(2*stops-f-1)/2 + int(to) - f - 1
}

// TrainAt is the public number under which the train leaves stop i.
func (p *Pattern) TrainAt(i rail.StopIndex) string {
	for k := int(i); k >= 0; k-- {
		if p.Stops[k].Train != "" {
			return p.Stops[k].Train
		}
	}
	return p.Train
}

// Called reports whether the train has a public number on some part of its way.
func (p *Pattern) Called(train string) bool {
	for i := range p.Stops[:len(p.Stops)-1] {
		if p.TrainAt(rail.StopIndex(i)) == train {
			return true
		}
	}
	return false
}

// Fare of class number c on an OD. known is false where the pattern carries no fares; offered is false where the class is not sold.
func (p *Pattern) Fare(c int, from, to rail.StopIndex) (fare rail.Money, known, offered bool) {
	fares := p.Classes[c].Fares
	if len(fares) == 0 {
		return 0, false, true
	}
	fare = fares[OD(len(p.Stops), from, to)]
	return fare, fare != NoFare, fare != NoFare
}

// Arrival is the time of the last stop, in minutes from the service date.
func (p *Pattern) Arrival() rail.Minutes { return p.Stops[len(p.Stops)-1].Arrive }

// ContentID is the id of the pattern's content: the first 16 bytes of SHA-256 over a plain text of all fields, in hexadecimal.
func (p *Pattern) ContentID() rail.PatternID {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", p.Train, p.Category)
	for _, s := range p.Stops {
		fmt.Fprintf(h, "%q %d %d %t %t %q\n", s.Station, s.Arrive, s.Depart, s.NoBoarding, s.NoAlighting, s.Train)
	}
	for _, c := range p.Classes {
		fmt.Fprintf(h, "%q %d %d\n", c.Class, c.Accommodation, c.Fares)
	}
	return rail.PatternID(hex.EncodeToString(h.Sum(nil)[:16]))
}

// Validate reports the first contradiction of the network.
func (n *Network) Validate() error {
	if _, err := time.LoadLocation(n.Timezone); err != nil || n.Timezone == "" || n.Timezone == "Local" {
		return fmt.Errorf("%w: timezone %q; want an IANA name such as Asia/Shanghai", ErrInvalid, n.Timezone)
	}
	if n.SaleDays < 1 || n.SaleDays > 400 {
		return fmt.Errorf("%w: sale_days %d; want 1 to 400", ErrInvalid, n.SaleDays)
	}
	cities := make(map[rail.CityCode]bool, len(n.Cities))
	for _, c := range n.Cities {
		if err := checkPlace("city", string(c.Code), c.Name, cities[c.Code]); err != nil {
			return err
		}
		cities[c.Code] = true
	}
	stations := make(map[rail.StationCode]bool, len(n.Stations))
	for _, s := range n.Stations {
		if err := checkPlace("station", string(s.Code), s.Name, stations[s.Code]); err != nil {
			return err
		}
		if s.City != "" && !cities[s.City] {
			return fmt.Errorf("%w: station %q: city %q is not in the network", ErrInvalid, s.Code, s.City)
		}
		stations[s.Code] = true
	}
	return nil
}

func checkPlace(kind, code, name string, seen bool) error {
	switch {
	case rail.CheckToken(code) != nil:
		return fmt.Errorf("%w: %s code %w", ErrInvalid, kind, rail.CheckToken(code))
	case seen:
		return fmt.Errorf("%w: %s code %q occurs twice", ErrInvalid, kind, code)
	case name == "":
		return fmt.Errorf("%w: %s %q has no name", ErrInvalid, kind, code)
	}
	return nil
}

// Validate reports the first contradiction of the pattern.
func (p *Pattern) Validate() error {
	if err := rail.CheckToken(string(p.ID)); err != nil {
		return fmt.Errorf("%w: pattern id: %w", ErrInvalid, err)
	}
	if n := len(p.Stops); n < 2 || n > rail.MaxStops {
		return fmt.Errorf("%w: pattern %s: %d stops; want 2 to %d", ErrInvalid, p.ID, n, rail.MaxStops)
	}
	if n := len(p.Classes); n > rail.MaxClasses {
		return fmt.Errorf("%w: pattern %s: %d classes; want at most %d", ErrInvalid, p.ID, n, rail.MaxClasses)
	}
	if err := p.checkTimes(); err != nil {
		return err
	}
	return p.checkClasses()
}

func (p *Pattern) checkTimes() error {
	const longest = 14 * rail.Day
	last := rail.Minutes(0)
	for i, s := range p.Stops {
		if s.Station == "" {
			return fmt.Errorf("%w: pattern %s: stop %d has no station", ErrInvalid, p.ID, i)
		}
		if s.Arrive < last || s.Depart < s.Arrive || s.Depart > longest {
			return fmt.Errorf("%w: pattern %s: stop %d arrives at %d, departs at %d; want rising minutes of at most %d after %d",
				ErrInvalid, p.ID, i, s.Arrive, s.Depart, longest, last)
		}
		last = s.Depart
	}
	return nil
}

func (p *Pattern) checkClasses() error {
	for i, c := range p.Classes {
		if len(c.Class) < 1 || len(c.Class) > 2 {
			return fmt.Errorf("%w: pattern %s: class %q; want a code of one or two characters", ErrInvalid, p.ID, c.Class)
		}
		if slices.ContainsFunc(p.Classes[:i], func(o ClassOffer) bool { return o.Class == c.Class }) {
			return fmt.Errorf("%w: pattern %s: class %q occurs twice", ErrInvalid, p.ID, c.Class)
		}
		if n := len(c.Fares); n != 0 && n != NumODs(len(p.Stops)) {
			return fmt.Errorf("%w: pattern %s: class %q has %d fares; want none or one for each of %d ODs", ErrInvalid, p.ID, c.Class, n, NumODs(len(p.Stops)))
		}
		for _, f := range c.Fares {
			if f < NoFare {
				return fmt.Errorf("%w: pattern %s: class %q has fare %d; want -1 (not offered) or more", ErrInvalid, p.ID, c.Class, f)
			}
		}
	}
	return nil
}
