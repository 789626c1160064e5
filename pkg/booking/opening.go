package booking

import (
	"hash/fnv"
	"time"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// How runs are opened. Which run gets what follows from its ids alone, so that the same railway opens the same way every time.
const (
	// saleClosesBefore is how many minutes before departure the sale closes.
	saleClosesBefore = 3
	// Each station opens the sale of its trains at a time of its own, so that not all of the country comes at once: every half hour from 08:00
	// to 18:00, on the first day on which their date is on sale.
	firstOpening rail.Minutes = 8 * 60
	openingEvery rail.Minutes = 30
	openings                  = 21

	// In so many of 100 trips the largest class keeps quotaPercent of its places for those who board at the origin,
	originPercent = 10
	// and in so many others for those who board in the first third of the stops and leave in the last.
	longPercent  = 10
	quotaPercent = 20
	// So many of 100 classes of trips take names when they are sold out; nobody waits for a place to stand.
	waitlistPercent = 50
	// So many of 100 runs are opened suspended.
	suspendedPercent = 1
	suspendedReason  = "engineering work on the line"
)

// percentile is a number in [0, 100) that follows from texts alone.
func percentile(texts ...string) int {
	h := fnv.New64a()
	for _, text := range texts {
		_, _ = h.Write([]byte(text)) // never fails (hash.Hash)
		_, _ = h.Write([]byte{0})
	}
	return int((h.Sum64() >> 32) % 100) // the upper bits are the better mixed ones
}

// newRun is a run as it is opened, before its first revision.
func (b *Book) newRun(trip *timetable.Trip, date rail.Date) *run {
	id := rail.RunID{Date: date, Trip: trip.ID}
	r := &run{
		id: id, pattern: trip.Pattern, loc: b.loc, opensAt: b.opening(trip, date), version: rail.Version{Epoch: b.cfg.Epoch}, claims: map[uint64]claim{},
	}
	if percentile("suspended", id.String()) < suspendedPercent {
		r.suspended, r.reason = true, suspendedReason
	}
	r.classes = b.newClasses(trip, date)
	return r
}

func (b *Book) opening(trip *timetable.Trip, date rail.Date) time.Time {
	slot := percentile("opening", string(trip.Pattern.Stops[0].Station)) % openings
	firstDay := date - rail.Date(b.schedule.Network.SaleDays-1)
	return firstDay.At(firstOpening+rail.Minutes(slot)*openingEvery, b.loc)
}

// newClasses fills the classes of a trip. A class that the rules do not know has no places.
func (b *Book) newClasses(trip *timetable.Trip, date rail.Date) []class {
	places := b.places[trip.Pattern]
	classes := make([]class, 0, len(places))
	coach := 1
	for i, offer := range trip.Pattern.Classes {
		c := newClass(trip, offer, places[i], i == largest(trip.Pattern, places))
		if offer.Accommodation != rail.Standing {
			c.firstCoach, c.coaches = coach, (int(places[i])+c.layout.perCoach-1)/c.layout.perCoach
			coach += c.coaches
			c.held = b.holdBack(&c, len(trip.Pattern.Stops), date)
		}
		classes = append(classes, c)
	}
	return classes
}

// holdBack takes places from the end of the first bucket, stage by stage.
func (b *Book) holdBack(c *class, stops int, date rail.Date) (held []Held) {
	first := &c.buckets[0]
	whole := first.Capacity
	for _, stage := range b.cfg.HeldBack {
		until := (date - rail.Date(stage.DaysBefore)).At(firstOpening, b.loc)
		n := whole * rail.SeatCount(stage.Percent) / 100
		if n == 0 || !b.cfg.Clock().Before(until) {
			continue
		}
		first.Capacity -= n
		held = append(held, Held{First: int(first.Capacity), Places: n, Until: until})
	}
	if held != nil {
		*first = newWindows(stops, 0, first.Capacity, first.Quotas)
	}
	return held
}

// largest is the number of the class with the most assigned places, or -1.
func largest(p *timetable.Pattern, places []rail.SeatCount) int {
	best := -1
	for i, offer := range p.Classes {
		if offer.Accommodation != rail.Standing && (best < 0 || places[i] > places[best]) {
			best = i
		}
	}
	return best
}

func newClass(trip *timetable.Trip, offer timetable.ClassOffer, places rail.SeatCount, largest bool) class {
	stops := len(trip.Pattern.Stops)
	c := class{code: offer.Class, layout: layoutOf(offer.Class, offer.Accommodation)}
	if offer.Accommodation == rail.Standing {
		c.buckets = []bucket{{Bucket: inventory.Bucket{Kind: inventory.Pool, Capacity: places}, stock: newPool(stops, places)}}
		return c
	}
	c.waitlist = percentile("waitlist", string(trip.ID), string(offer.Class)) < waitlistPercent
	quotas := openingQuotas(trip)
	if !largest || quotas == nil {
		c.buckets = []bucket{newWindows(stops, 0, places, nil)}
		return c
	}
	kept := places * quotaPercent / 100
	c.buckets = []bucket{newWindows(stops, 0, places-kept, nil), newWindows(stops, int(places-kept), kept, quotas)}
	return c
}

// newWindows is a bucket of assigned places, numbered from first on.
func newWindows(stops, first int, places rail.SeatCount, quotas []inventory.Quota) bucket {
	return bucket{
		Bucket:  inventory.Bucket{Kind: inventory.Windows, Capacity: places, Quotas: quotas},
		stock:   newSeatMap(stops, places),
		numbers: numbers{{Count: places, First: first}},
	}
}

// openingQuotas is whom the largest class of a trip keeps places for; nil for nobody.
func openingQuotas(trip *timetable.Trip) []inventory.Quota {
	last := rail.StopIndex(len(trip.Pattern.Stops) - 1)
	switch p := percentile("quota", string(trip.ID)); {
	case p < originPercent:
		return []inventory.Quota{{FromFirst: 0, FromLast: 0, ToFirst: 1, ToLast: last}}
	case p < originPercent+longPercent:
		return []inventory.Quota{{FromFirst: 0, FromLast: last / 3, ToFirst: last - last/3, ToLast: last}}
	default:
		return nil
	}
}
