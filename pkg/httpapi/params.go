package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

const (
	maxQuery = 2048 // bytes of a query string
	maxValue = 128  // bytes of a parameter's value
	maxItems = 32   // items of a list
	maxParty = 9
)

// params are the parameters of a request, each known, given once, of sane size and valid UTF-8.
type params map[string]string

func parseParams(raw string, known ...string) (params, *Problem) {
	if len(raw) > maxQuery {
		return nil, &Problem{Kind: invalidParameter, Detail: fmt.Sprintf("the query string has %d bytes; want at most %d", len(raw), maxQuery)}
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &Problem{Kind: invalidParameter, Detail: "the query string is not percent-encoded: " + clip(err.Error())}
	}
	p := make(params, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) { // equal queries get equal problems
		all := values[name]
		switch {
		case !slices.Contains(known, name):
			return nil, &Problem{Kind: unknownParameter, Parameter: clip(name), Detail: "known here: " + strings.Join(known, ", ")}
		case len(all) > 1:
			return nil, &Problem{Kind: repeatedParam, Parameter: name, Value: clip(strings.Join(all, ", ")), Detail: "give it once"}
		case len(all[0]) > maxValue:
			return nil, invalid(name, all[0], fmt.Sprintf("at most %d bytes", maxValue))
		case !utf8.ValidString(all[0]):
			return nil, invalid(name, all[0], "UTF-8")
		}
		p[name] = all[0]
	}
	return p, nil
}

func invalid(name, value, want string) *Problem {
	return &Problem{Kind: invalidParameter, Parameter: name, Value: clip(value), Detail: "want " + want}
}

// queryParams are those of a seat search.
var queryParams = []string{"from", "to", "date", "types", "depart", "arrive", "classes", "available", "seats", "sort", "scope", "lang"}

// parser reads parameters one by one and keeps the first problem.
type parser struct {
	params
	index   *timetable.Index
	printer render.Printer
	problem *Problem
}

func (p *parser) fail(problem *Problem) {
	if p.problem == nil {
		p.problem = problem
	}
}

// Parameters that only whole answers have: paramOffers asks for offer tokens, paramMaxAge is the greatest age in seconds.
const (
	paramOffers = "offers"
	paramMaxAge = "max_age"
)

// extras are what those parameters say.
type extras struct {
	offers, limited bool
	maxAge          int
}

// parseQuery reads a seat search, which may have some parameters more. The dates on sale are [first, last].
func parseQuery(raw string, index *timetable.Index, first, last rail.Date, known ...string) (q *view.Query, lang rail.Lang, more extras, problem *Problem) {
	values, problem := parseParams(raw, slices.Concat(queryParams, known)...)
	if problem != nil {
		return nil, "", more, problem
	}
	p := &parser{params: values, index: index}
	lang = p.lang()
	p.printer = render.Printer{Index: index, Lang: lang}
	more.offers = p.choice(paramOffers, "false", "true", "false") == "true"
	more.maxAge, more.limited = p.maxAge()
	wide := p.choice("scope", "city", "city", "station") == "city"
	q = &view.Query{
		From: p.place("from", wide), To: p.place("to", wide), Date: p.date(first, last),
		Types: p.list("types"), Depart: p.window("depart"), Arrive: p.window("arrive"), Classes: p.classes(), Seats: p.seats(), Sort: p.sort(),
	}
	if p.problem == nil && q.From == q.To {
		p.fail(&Problem{Kind: samePlace, Parameter: "to", Value: clip(values["to"]), Detail: "both mean " + p.printer.PlaceName(q.To) + "; with scope=station two stations of one city can be asked for"})
	}
	return q, lang, more, p.problem
}

// longestAge is the greatest max_age, a day: older data than that are of no use to anybody.
const longestAge = 86400

func (p *parser) maxAge() (seconds int, given bool) {
	text, given := p.params[paramMaxAge]
	if !given {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > longestAge {
		p.fail(invalid(paramMaxAge, text, fmt.Sprintf("whole seconds from 0 to %d", longestAge)))
	}
	return n, true
}

func (p *parser) need(name, example string) (string, bool) {
	v := strings.TrimSpace(p.params[name])
	if v == "" {
		p.fail(&Problem{Kind: missingParameter, Parameter: name, Detail: "want for example " + name + "=" + example})
	}
	return v, v != ""
}

func (p *parser) place(name string, wide bool) timetable.Place {
	text, ok := p.need(name, "BJP")
	if !ok {
		return timetable.Place{}
	}
	place, err := p.index.Resolve(text, wide)
	var unknown *timetable.UnknownError
	var ambiguous *timetable.AmbiguousError
	switch {
	case errors.As(err, &unknown):
		p.fail(&Problem{Kind: unknownPlace, Parameter: name, Value: clip(text), Candidates: p.candidates(unknown.Candidates),
			Detail: "want a station code, a name, its pinyin, or city: and a city; see /v1/stations"})
	case errors.As(err, &ambiguous):
		p.fail(&Problem{Kind: ambiguousPlace, Parameter: name, Value: clip(text), Candidates: p.candidates(ambiguous.Candidates), Detail: "want the code of one of the candidates"})
	case err != nil:
		p.fail(invalid(name, text, "a place: "+err.Error()))
	}
	return place
}

func (p *parser) candidates(places []timetable.Place) []candidate {
	out := make([]candidate, 0, len(places))
	for _, place := range places {
		out = append(out, candidate{Code: place.Code(), Name: p.printer.PlaceName(place), City: place.IsCity()})
	}
	return out
}

func (p *parser) date(first, last rail.Date) rail.Date {
	text, ok := p.need("date", first.String())
	if !ok {
		return 0
	}
	date, err := rail.ParseDate(text)
	switch {
	case err != nil:
		p.fail(invalid("date", text, "a date such as "+first.String()))
	case date < first || date > last:
		p.fail(&Problem{Kind: dateOutsideSale, Parameter: "date", Value: clip(text), Detail: fmt.Sprintf("want %s to %s", first, last)})
	}
	return date
}

// choice is a value of a closed list; fallback if it is absent.
func (p *parser) choice(name, fallback string, all ...string) string {
	v, given := p.params[name]
	switch {
	case !given:
		return fallback
	case !slices.Contains(all, v):
		p.fail(invalid(name, v, strings.Join(all, ", ")))
	}
	return v
}

func (p *parser) lang() rail.Lang {
	all := make([]string, 0, len(rail.Langs))
	for _, l := range rail.Langs {
		all = append(all, string(l))
	}
	return rail.Lang(p.choice("lang", string(rail.Native), all...))
}

func (p *parser) list(name string) []string {
	v, given := p.params[name]
	if !given {
		return nil
	}
	items := strings.Split(v, ",")
	if len(items) > maxItems || slices.Contains(items, "") {
		p.fail(invalid(name, v, fmt.Sprintf("1 to %d values separated by commas", maxItems)))
	}
	return items
}

func (p *parser) classes() (out []rail.Class) {
	for _, c := range p.list("classes") {
		if len(c) > 2 {
			p.fail(invalid("classes", c, "class codes such as O,M,9"))
		}
		out = append(out, rail.Class(strings.ToUpper(c)))
	}
	return out
}

// seats is the size of a party; available=true is a party of one.
func (p *parser) seats() rail.SeatCount {
	least := rail.SeatCount(0)
	if p.choice("available", "false", "true", "false") == "true" {
		least = 1
	}
	v, given := p.params["seats"]
	if !given {
		return least
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxParty {
		p.fail(invalid("seats", v, fmt.Sprintf("a party of 1 to %d", maxParty)))
	}
	return max(least, rail.SeatCount(n))
}

func (p *parser) sort() view.Sort {
	orders := []string{"departure", "arrival", "duration", "fare"} // in the order of view.Sort
	return view.Sort(max(slices.Index(orders, p.choice("sort", orders[0], orders...)), 0))
}

// window reads "06:00-12:00"; the end may be 24:00.
func (p *parser) window(name string) view.Window {
	v, given := p.params[name]
	if !given {
		return view.Window{}
	}
	a, b, found := strings.Cut(v, "-")
	first, okA := clock(a)
	last, okB := clock(b)
	if !found || !okA || !okB || first >= last {
		p.fail(invalid(name, v, "a range of the day such as 06:00-12:00"))
	}
	return view.Window{First: first, Last: last}
}

func clock(s string) (rail.Minutes, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	h, errH := strconv.ParseUint(s[:2], 10, 8)
	m, errM := strconv.ParseUint(s[3:], 10, 8)
	t := rail.Minutes(h*60 + m)
	return t, errH == nil && errM == nil && m < 60 && t <= rail.Day
}
