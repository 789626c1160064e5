// Package formation says which classes a train has, how many places of each and at what fare, by the train's category. Operators change it in
// settings; Default is right for Chinese trains.
//
// Invariants (cited by the tests as F1...):
//
//	F1 Rules that pass Validate have a category for every train: the last matches all.
//	F2 A longer ride on the same train in the same class is never cheaper.
package formation

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// ErrInvalid marks rules that cannot be used. The text names the category, the field, the value and what would be right.
var ErrInvalid = errors.New("invalid formations")

// Rules are categories in order; the first that matches a train counts.
type Rules struct {
	Categories []Category `mapstructure:"categories"`
}

// Category is a kind of train.
type Category struct {
	// Match lists train categories ("G") or GTFS route types ("101"); "*" matches all.
	Match []string `mapstructure:"match"`
	// Name is for people.
	Name string `mapstructure:"name"`
	// SpeedKmh estimates distances by time where a timetable has no coordinates, 10 to 600.
	SpeedKmh float64 `mapstructure:"speed_kmh"`
	Classes  []Class `mapstructure:"classes"`
}

// Class is a seat class of a category.
type Class struct {
	Class rail.Class `mapstructure:"class"`
	// Accommodation is "seat", "berth" or "standing".
	Accommodation string `mapstructure:"accommodation"`
	// Places on a train, 0 to 65535.
	Places int `mapstructure:"places"`
	// PerKm is the fare of a kilometre in minor units, before long rides become cheaper; Minimum is the lowest fare.
	PerKm   float64 `mapstructure:"per_km"`
	Minimum int     `mapstructure:"minimum"`
}

// Default is the rules for Chinese trains. Places are those of usual formations (16 cars CR400AF-A and 8 cars CRH2A: Chinese Wikipedia, pages of the
// trainsets; 25G coaches: 118 hard seats, 66 hard berths, 36 soft berths). Fares are set so that Beijing-Shanghai by high-speed line (1,318 km) costs
// about 553 yuan in second class, and hard seat, hard and soft sleeper are in the ratio that passengers know (about 1 : 1.8 : 2.8).
func Default() Rules {
	class := func(code rail.Class, accommodation string, places int, perKm float64, minimum int) Class {
		return Class{Class: code, Accommodation: accommodation, Places: places, PerKm: perKm, Minimum: minimum}
	}
	return Rules{Categories: []Category{
		{Match: []string{"G", "101"}, Name: "high-speed", SpeedKmh: 220, Classes: []Class{
			class("O", "seat", 1023, 46, 900), class("M", "seat", 148, 76, 1400), class("9", "seat", 22, 145, 2700), class("WZ", "standing", 60, 46, 900)}},
		{Match: []string{"D", "102"}, Name: "EMU", SpeedKmh: 150, Classes: []Class{
			class("O", "seat", 565, 33, 600), class("M", "seat", 48, 40, 800), class("WZ", "standing", 40, 33, 600)}},
		{Match: []string{"C", "S", "106", "109"}, Name: "intercity", SpeedKmh: 120, Classes: []Class{
			class("O", "seat", 565, 40, 500), class("M", "seat", 48, 62, 800), class("WZ", "standing", 60, 40, 500)}},
		{Match: []string{"*"}, Name: "classic", SpeedKmh: 85, Classes: []Class{
			class("1", "seat", 590, 12, 200), class("3", "berth", 528, 21, 5500), class("4", "berth", 72, 33, 8500), class("WZ", "standing", 120, 12, 200)}},
	}}
}

// accommodations by their names in settings.
var accommodations = map[string]rail.Accommodation{"seat": rail.Seat, "berth": rail.Berth, "standing": rail.Standing}

// Validate reports the first thing that cannot be used.
func (r Rules) Validate() error {
	if n := len(r.Categories); n == 0 || !slices.Contains(r.Categories[n-1].Match, "*") {
		return fmt.Errorf("%w: the last category must match \"*\", so that every train has one", ErrInvalid)
	}
	for i := range r.Categories {
		if err := r.Categories[i].validate(); err != nil {
			return fmt.Errorf("%w: categories[%d] (%s): %w", ErrInvalid, i, r.Categories[i].Name, err)
		}
	}
	return nil
}

func (c *Category) validate() error {
	if len(c.Match) == 0 {
		return errors.New(`match is empty; want train categories such as ["G"]`)
	}
	if !(c.SpeedKmh >= 10 && c.SpeedKmh <= 600) { // written so that NaN fails
		return fmt.Errorf("speed_kmh is %v; want 10 to 600", c.SpeedKmh)
	}
	if len(c.Classes) > rail.MaxClasses {
		return fmt.Errorf("%d classes; want at most %d", len(c.Classes), rail.MaxClasses)
	}
	for i := range c.Classes {
		if err := c.Classes[i].validate(); err != nil {
			return fmt.Errorf("classes[%d]: %w", i, err)
		}
		if slices.ContainsFunc(c.Classes[:i], func(o Class) bool { return o.Class == c.Classes[i].Class }) {
			return fmt.Errorf("classes[%d]: class %q occurs twice", i, c.Classes[i].Class)
		}
	}
	return nil
}

func (c *Class) validate() error {
	_, known := accommodations[c.Accommodation]
	switch {
	case len(c.Class) < 1 || len(c.Class) > 2:
		return fmt.Errorf("class is %q; want a code of one or two characters", c.Class)
	case !known:
		return fmt.Errorf("accommodation is %q; want seat, berth or standing", c.Accommodation)
	case c.Places < 0 || c.Places > rail.MaxCount:
		return fmt.Errorf("places is %d; want 0 to %d", c.Places, rail.MaxCount)
	case !(c.PerKm >= 0 && c.PerKm <= 100_000):
		return fmt.Errorf("per_km is %v; want 0 to 100000 minor units", c.PerKm)
	case c.Minimum < 0 || c.Minimum > 1_000_000:
		return fmt.Errorf("minimum is %d; want 0 to 1000000 minor units", c.Minimum)
	}
	return nil
}

// For is the category of a train, nil if none matches (F1).
func (r Rules) For(category string) *Category {
	for i := range r.Categories {
		if slices.ContainsFunc(r.Categories[i].Match, func(m string) bool { return m == "*" || strings.EqualFold(m, category) }) {
			return &r.Categories[i]
		}
	}
	return nil
}

// Places is how many places each class of a pattern has. A class that the rules do not know has none.
func (r Rules) Places(p *timetable.Pattern) []rail.SeatCount {
	places := make([]rail.SeatCount, len(p.Classes))
	category := r.For(p.Category)
	if category == nil {
		return places
	}
	for i, offer := range p.Classes {
		for _, c := range category.Classes {
			if c.Class == offer.Class {
				places[i] = rail.SeatCount(min(max(c.Places, 0), rail.MaxCount))
			}
		}
	}
	return places
}

// Offers is the category's classes with their fares on a pattern whose stops lie so many kilometres from its origin, in rising order.
func (c *Category) Offers(km []float64) []timetable.ClassOffer {
	offers := make([]timetable.ClassOffer, 0, len(c.Classes))
	for i := range c.Classes {
		class := &c.Classes[i]
		offer := timetable.ClassOffer{Class: class.Class, Accommodation: accommodations[class.Accommodation], Fares: make([]rail.Money, 0, timetable.NumODs(len(km)))}
		for from := range km {
			for to := from + 1; to < len(km); to++ {
				offer.Fares = append(offer.Fares, class.fare(km[to]-km[from]))
			}
		}
		offers = append(offers, offer)
	}
	return offers
}

// taper: each kilometre beyond a bound costs this share of the first ones. Long rides are cheaper by the kilometre on every railway; the bounds and
// shares follow the steps of Chinese fares (full to 500 km, then 0.9, and 0.8 beyond 1,000 km), smoothed to three.
var taper = []struct{ from, share float64 }{{0, 1}, {500, 0.9}, {1000, 0.8}}

// fare of a ride, rounded to half a yuan (50 minor units), as tickets are.
func (c *Class) fare(km float64) rail.Money {
	weighted := 0.0
	for i, step := range taper {
		end := math.Inf(1)
		if i+1 < len(taper) {
			end = taper[i+1].from
		}
		weighted += step.share * max(min(km, end)-step.from, 0)
	}
	const unit = 50
	return rail.Money(math.Round(min(max(weighted*c.PerKm, float64(c.Minimum)), 1e9)/unit) * unit)
}
