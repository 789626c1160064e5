package event

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/yupiao/yupiao/pkg/event/eventpb"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// EncodeNetwork writes a Network.
func EncodeNetwork(n *timetable.Network, f Format) ([]byte, error) {
	m := &eventpb.Network{Timezone: n.Timezone, Currency: n.Currency, SaleDays: uint32(n.SaleDays)}
	for _, c := range n.Cities {
		m.Cities = append(m.Cities, &eventpb.City{Code: string(c.Code), Name: c.Name, Pinyin: c.Pinyin, Initials: c.Initials, Names: c.Other})
	}
	for _, s := range n.Stations {
		m.Stations = append(m.Stations, &eventpb.Station{
			Code: string(s.Code), City: string(s.City), Name: s.Name, Pinyin: s.Pinyin, Initials: s.Initials, Names: s.Other,
		})
	}
	return marshal("network", m, f)
}

// DecodeNetwork reads a Network and validates it. The error wraps ErrBroken.
func DecodeNetwork(data []byte, f Format) (*timetable.Network, error) {
	var m eventpb.Network
	if err := unmarshal("network", data, f, &m); err != nil {
		return nil, err
	}
	n := &timetable.Network{Timezone: m.GetTimezone(), Currency: m.GetCurrency(), SaleDays: int(m.GetSaleDays())}
	for _, c := range m.GetCities() {
		names := timetable.Names{Name: c.GetName(), Pinyin: c.GetPinyin(), Initials: c.GetInitials(), Other: c.GetNames()}
		n.Cities = append(n.Cities, timetable.City{Code: rail.CityCode(c.GetCode()), Names: names})
	}
	for _, s := range m.GetStations() {
		names := timetable.Names{Name: s.GetName(), Pinyin: s.GetPinyin(), Initials: s.GetInitials(), Other: s.GetNames()}
		n.Stations = append(n.Stations, timetable.Station{Code: rail.StationCode(s.GetCode()), City: rail.CityCode(s.GetCity()), Names: names})
	}
	if err := checkTexts("network", "timezone", n.Timezone, "currency", n.Currency); err != nil {
		return nil, err
	}
	if err := n.Validate(); err != nil {
		return nil, fmt.Errorf("%w: network: %w", ErrBroken, err)
	}
	if err := checkPlaces(n); err != nil {
		return nil, err
	}
	return n, nil
}

// checkPlaces reports the first place whose names are no names.
func checkPlaces(n *timetable.Network) error {
	for i := range n.Cities {
		if err := checkNames(fmt.Sprintf("cities[%d]", i), &n.Cities[i].Names); err != nil {
			return err
		}
	}
	for i := range n.Stations {
		if err := checkNames(fmt.Sprintf("stations[%d]", i), &n.Stations[i].Names); err != nil {
			return err
		}
	}
	return nil
}

func checkNames(place string, n *timetable.Names) error {
	const kind = "network"
	if err := checkTexts(kind, place+".name", n.Name, place+".pinyin", n.Pinyin, place+".initials", n.Initials); err != nil {
		return err
	}
	if len(n.Other) > maxNames {
		return tooMany(kind, place+".names", maxNames)
	}
	for _, lang := range slices.Sorted(maps.Keys(n.Other)) { // of two that are wrong always the same is named
		if err := checkTexts(kind, place+".names", lang, place+".names", n.Other[lang]); err != nil {
			return err
		}
	}
	return nil
}

// EncodePattern writes a Pattern.
func EncodePattern(p *timetable.Pattern, f Format) ([]byte, error) {
	m := &eventpb.Pattern{Id: string(p.ID), Train: p.Train, Category: p.Category}
	for _, s := range p.Stops {
		m.Stops = append(m.Stops, &eventpb.Stop{
			Station: string(s.Station), Arrive: uint32(s.Arrive), Depart: uint32(s.Depart), NoBoarding: s.NoBoarding, NoAlighting: s.NoAlighting, Train: s.Train,
		})
	}
	for _, c := range p.Classes {
		offer := &eventpb.ClassOffer{Class: string(c.Class), Accommodation: eventpb.Accommodation(c.Accommodation)}
		for _, fare := range c.Fares {
			offer.Fares = append(offer.Fares, int32(fare))
		}
		m.Classes = append(m.Classes, offer)
	}
	return marshal("pattern", m, f)
}

// DecodePattern reads a Pattern and validates it. The error wraps ErrBroken.
func DecodePattern(data []byte, f Format) (*timetable.Pattern, error) {
	const kind = "pattern"
	var m eventpb.Pattern
	if err := unmarshal(kind, data, f, &m); err != nil {
		return nil, err
	}
	if err := checkTexts(kind, "train", m.GetTrain(), "category", m.GetCategory()); err != nil {
		return nil, err
	}
	p := &timetable.Pattern{ID: rail.PatternID(m.GetId()), Train: m.GetTrain(), Category: m.GetCategory()}
	p.Stops = slices.Grow(p.Stops, len(m.GetStops()))
	for i, s := range m.GetStops() {
		stop, err := patternStopOf(i, s)
		if err != nil {
			return nil, err
		}
		p.Stops = append(p.Stops, stop)
	}
	p.Classes = slices.Grow(p.Classes, len(m.GetClasses()))
	for i, c := range m.GetClasses() {
		if a := c.GetAccommodation(); a < 0 || a > eventpb.Accommodation_STANDING {
			return nil, broken(kind, fmt.Sprintf("classes[%d].accommodation", i), a, "SEAT, BERTH or STANDING")
		}
		p.Classes = append(p.Classes, offerOf(c))
		shareFares(p.Classes)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("%w: pattern: %w", ErrBroken, err)
	}
	if id := p.ContentID(); id != p.ID && isHash(p.ID) {
		return nil, broken(kind, "id", p.ID, fmt.Sprintf("%s, which is the hash of its content, or an id that is not of 32 hexadecimal digits", id))
	}
	return p, nil
}

// isHash reports whether an id looks as ContentID makes them. A publisher that names its patterns in another way vouches for their content by itself.
func isHash(id rail.PatternID) bool {
	return len(id) == 32 && strings.Trim(string(id), "0123456789abcdef") == ""
}

func patternStopOf(i int, s *eventpb.Stop) (stop timetable.Stop, err error) {
	stop = timetable.Stop{Station: rail.StationCode(s.GetStation()), NoBoarding: s.GetNoBoarding(), NoAlighting: s.GetNoAlighting(), Train: s.GetTrain()}
	field := fmt.Sprintf("stops[%d].", i)
	if rail.CheckToken(s.GetStation()) != nil {
		return stop, broken("pattern", field+"station", fmt.Sprintf("%.80q", s.GetStation()), "1 to 64 letters, digits, '-' or '_'")
	}
	if err := checkTexts("pattern", field+"train", s.GetTrain()); err != nil {
		return stop, err
	}
	if stop.Arrive, err = minutesOf("pattern", fmt.Sprintf("stops[%d].arrive", i), s.GetArrive()); err != nil {
		return stop, err
	}
	stop.Depart, err = minutesOf("pattern", fmt.Sprintf("stops[%d].depart", i), s.GetDepart())
	return stop, err
}

// shareFares lets the last class use the fares of one before it that costs the same, as standing does.
func shareFares(classes []timetable.ClassOffer) {
	last := &classes[len(classes)-1]
	for i := range len(classes) - 1 {
		if slices.Equal(classes[i].Fares, last.Fares) {
			last.Fares = classes[i].Fares
			return
		}
	}
}

func offerOf(c *eventpb.ClassOffer) timetable.ClassOffer {
	offer := timetable.ClassOffer{Class: rail.Class(c.GetClass()), Accommodation: rail.Accommodation(c.GetAccommodation())}
	offer.Fares = slices.Grow(offer.Fares, len(c.GetFares()))
	for _, fare := range c.GetFares() {
		offer.Fares = append(offer.Fares, rail.Money(fare))
	}
	return offer
}
