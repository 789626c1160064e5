package event

import (
	"fmt"
	"slices"

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
	if err := n.Validate(); err != nil {
		return nil, fmt.Errorf("%w: network: %w", ErrBroken, err)
	}
	return n, nil
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
	return p, nil
}

func patternStopOf(i int, s *eventpb.Stop) (stop timetable.Stop, err error) {
	stop = timetable.Stop{Station: rail.StationCode(s.GetStation()), NoBoarding: s.GetNoBoarding(), NoAlighting: s.GetNoAlighting(), Train: s.GetTrain()}
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
