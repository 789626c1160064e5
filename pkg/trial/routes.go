package trial

import (
	"cmp"
	"slices"

	"github.com/yupiao/yupiao/pkg/timetable"
)

// Route is what people ask for: from one place to another, so many days ahead.
type Route struct {
	From, To timetable.Place
	Days     int
	// Requests per second, reckoned from the sample.
	Requests float64
}

// Routes are the most asked for, the first of them most.
func (s *Sample) Routes(most int) []Route {
	type where struct {
		from, to timetable.Place
		days     int
	}
	asked := map[where]float64{}
	for i := range s.keys {
		k := &s.keys[i]
		at := where{k.facts.From, k.facts.To, k.facts.Days}
		for _, a := range k.arrivals {
			asked[at] += s.weight(k, a.at) * float64(a.n)
		}
	}
	seconds := max(s.End.Sub(s.Begin).Seconds(), 1)
	var all []Route
	for at, n := range asked {
		if n > 0 {
			all = append(all, Route{at.from, at.to, at.days, n / seconds})
		}
	}
	slices.SortFunc(all, func(a, b Route) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.From.String(), b.From.String()), cmp.Compare(a.To.String(), b.To.String()), cmp.Compare(a.Days, b.Days))
	})
	return all[:min(len(all), most)]
}
