package country

import (
	"fmt"
	"math"
	"strings"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// shift is how much later than its original each further copy of a train leaves, in minutes.
const shift = 17

// Grow makes a timetable so many times as large, 1 to 100, as one that was read from a real feed: beside the trains themselves there are copies of them that
// leave later and have numbers of their own. A factor between two whole ones makes another copy of trains here and there. Trains that shared a pattern go on to
// share one. The schedule that was given is not changed.
func Grow(s *timetable.Schedule, factor float64) *timetable.Schedule {
	factor = min(max(factor, 1), 100)
	grown := &timetable.Schedule{Network: s.Network, Trips: append([]timetable.Trip(nil), s.Trips...)}
	type copied struct {
		of rail.PatternID
		n  int
	}
	patterns := map[copied]*timetable.Pattern{}
	for i := range s.Trips {
		t := &s.Trips[i]
		copies := int(math.Floor(float64(i+1)*factor)-math.Floor(float64(i)*factor)) - 1
		for n := 1; n <= copies; n++ {
			key := copied{t.Pattern.ID, n}
			if patterns[key] == nil {
				patterns[key] = later(t.Pattern, n)
			}
			grown.Trips = append(grown.Trips, timetable.Trip{ID: copyID(t.ID, n), Pattern: patterns[key], Dates: t.Dates})
		}
	}
	return grown
}

// copyID is an id that no trip of a feed is likely to have. One that would be too long ends with a hash of the rest.
func copyID(id rail.TripID, n int) rail.TripID {
	const room = 40
	if len(id) > room {
		id = rail.TripID(fmt.Sprintf("%s_%016x", id[:room-17], hash(string(id))))
	}
	return rail.TripID(fmt.Sprintf("%s-copy%d", id, n))
}

// later is copy number n of a pattern. Trains that would leave after midnight leave that much earlier instead, so that their date stays.
func later(p *timetable.Pattern, n int) *timetable.Pattern {
	by := rail.Minutes(n * shift)
	if start := p.Stops[0].Depart; start < rail.Day && start+by >= rail.Day {
		by = -min(by, start)
	}
	c := *p
	c.Train = copyNumber(p.Train, n)
	c.Stops = append([]timetable.Stop(nil), p.Stops...)
	for i := range c.Stops {
		stop := &c.Stops[i]
		stop.Arrive, stop.Depart = stop.Arrive+by, stop.Depart+by
		if stop.Train != "" {
			stop.Train = copyNumber(stop.Train, n)
		}
	}
	c.ID = c.ContentID()
	return &c
}

// copyNumber puts the copy's number before the digits: G7 becomes G10007 and G20007, which no real train is.
func copyNumber(train string, n int) string {
	at := strings.IndexAny(train, "0123456789")
	if at < 0 {
		return fmt.Sprintf("%s%d", train, n)
	}
	return fmt.Sprintf("%s%d%0*s", train[:at], n, 4, train[at:])
}
