package timetable

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/yupiao/yupiao/pkg/rail"
)

// Place is one end of a query: a station, or a city, which means all its stations. Exactly one of the two is set. Places can be
// compared with == and be keys of a map.
type Place struct {
	City    rail.CityCode
	Station rail.StationCode
}

// cityPrefix marks a city's code or name, since a city may have the code or the name of one of its stations.
const cityPrefix = "city:"

// IsCity reports whether the place is a city.
func (p Place) IsCity() bool { return p.City != "" }

// Code is the code of the city or the station. A city and a station may have the same; String tells them apart.
func (p Place) Code() string {
	if p.IsCity() {
		return string(p.City)
	}
	return string(p.Station)
}

// String is a text that Resolve reads as this place again (with wide false): "VNP", "city:BJP".
func (p Place) String() string {
	if p.IsCity() {
		return cityPrefix + string(p.City)
	}
	return string(p.Station)
}

// maxCandidates is how many places an error proposes.
const maxCandidates = 5

// AmbiguousError says that a text names several places equally well.
type AmbiguousError struct {
	// Text is what was asked, cut at 64 bytes.
	Text string
	// Candidates are up to five of the places.
	Candidates []Place
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("place %q has several meanings; want one of %s", e.Text, list(e.Candidates))
}

// UnknownError says that a text names no place.
type UnknownError struct {
	// Text is what was asked, cut at 64 bytes.
	Text string
	// Candidates are up to five places that Search finds for it; none if nothing is near.
	Candidates []Place
}

func (e *UnknownError) Error() string {
	if len(e.Candidates) == 0 {
		return fmt.Sprintf("place %q is not known; want a station's code or name, or %s and a city's", e.Text, cityPrefix)
	}
	return fmt.Sprintf("place %q is not known; want a code or name, such as the nearest: %s", e.Text, list(e.Candidates))
}

func list(places []Place) string {
	texts := make([]string, len(places))
	for i, p := range places {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

// scope is what a text may mean.
type scope uint8

const (
	stationScope scope = iota // a station before the city of that name
	cityScope                 // the city before the station; a station means its city
	onlyCities                // nothing but a city
)

// Resolve finds the place that a text names. The text is a station's code, a city's code, a name of a station or a city in any language, its pinyin,
// or "city:" and a city's code or name. Case, width, accents, punctuation and spaces do not count, nor does "Station" (站, 역) at the end. A station's
// code beats a city's, which beats the name on the signs, which beats other names.
//
// With wide, a station means its whole city, if it has one, and a name of both a city and a station means the city; otherwise that is the
// station. The error is an *AmbiguousError or an *UnknownError. An exact code costs one look and no allocation, an unknown text a Search.
func (x *Index) Resolve(text string, wide bool) (Place, error) {
	within := stationScope
	if wide {
		within = cityScope
	}
	if place, ok := x.exact(text, within); ok {
		return place, nil
	}
	if len(text) > maxQuery {
		return Place{}, &UnknownError{Text: cut(text), Candidates: x.Search(text, maxCandidates)}
	}
	plain := strings.TrimSpace(normal(text))
	code := stationCode
	if rest, ok := strings.CutPrefix(plain, cityPrefix); ok {
		plain, code, within = rest, cityCode, onlyCities
	}
	return x.resolve(cut(text), words{code: strings.TrimSpace(plain), name: nameKey(plain)}, code, within)
}

// exact finds a place by its code as it is written.
func (x *Index) exact(text string, within scope) (Place, bool) {
	if n, ok := x.numbers[rail.StationCode(text)]; ok {
		return x.widen(Place{Station: x.stations[n].Code}, within), true
	}
	code, _ := strings.CutPrefix(text, cityPrefix)
	n, ok := x.cities[rail.CityCode(code)]
	if !ok || len(code) == len(text) {
		return Place{}, false
	}
	return Place{City: x.network.Cities[n].Code}, true
}

// words are the two forms in which a text is looked up.
type words struct {
	code, name string
}

func (x *Index) resolve(text string, w words, code kind, within scope) (Place, error) {
	for _, found := range [][]Place{
		x.choose(x.spelled(w.code, code, code), within),
		x.choose(x.spelled(w.code, cityCode, cityCode), within),
		x.choose(x.spelled(w.name, signName, signName), within),
		x.choose(x.spelled(w.name, pinyin, otherName), within),
	} {
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return Place{}, &AmbiguousError{Text: text, Candidates: found[:min(len(found), maxCandidates)]}
		}
	}
	return Place{}, &UnknownError{Text: text, Candidates: x.Search(w.name, maxCandidates)}
}

// choose keeps those of the places of one strength that the scope prefers.
func (x *Index) choose(found []Place, within scope) []Place {
	var cities, rest []Place
	for _, p := range found {
		if p.IsCity() {
			cities = append(cities, p)
		} else if p = x.widen(p, within); !slices.Contains(rest, p) {
			rest = append(rest, p)
		}
	}
	preferCity := within == onlyCities || within == cityScope && len(cities) > 0
	if preferCity || len(rest) == 0 {
		return cities
	}
	return rest
}

// widen turns a station into its city where the scope says so.
func (x *Index) widen(p Place, within scope) Place {
	if p.IsCity() || within != cityScope {
		return p
	}
	if city := x.stations[x.numbers[p.Station]].City; city != "" {
		if _, ok := x.cities[city]; ok {
			return Place{City: city}
		}
	}
	return p
}

// normal is a text without differences of width, case and accent.
func normal(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x0300 && r <= 0x036F { // the accents that NFKD has split off Latin, Greek and Cyrillic letters
			return -1
		}
		return r
	}, strings.ToLower(norm.NFKD.String(text)))
}

// stationWords say at the end of a name that it is a station's, in the form of nameKey; of two that fit, the longer stands first.
var stationWords = [...]string{"火车站", "站", "railwaystation", "station", norm.NFKD.String("역")}

// nameKey is what two ways to write a normal name have in common: its letters, marks and digits, without a station word at the end.
func nameKey(normal string) string {
	key := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, normal)
	for _, word := range stationWords {
		if rest, ok := strings.CutSuffix(key, word); ok && rest != "" {
			return rest
		}
	}
	return key
}

// cut shortens a text to maxQuery bytes of valid UTF-8.
func cut(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxQuery)], "") }
