// Package view is what a query sees: the runs of an OD on a day with their counts and states, at a moment.
//
// Invariants (cited by the tests as V1...):
//
//	V1 A run is found by its boarding date at the from stop, whenever it left its origin.
//	V2 An Answer with Behind unset equals the replica at one moment: no run of it changed while it was read.
//	V3 An Answer changes by the clock alone at ValidUntil, not before.
//	V4 A state other than Available and Low carries a Reason; a run that has left the from stop is not listed.
//	V5 What operators have decided about a run stands above what the replica holds of it.
package view

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Query asks for the runs between two places on a boarding date. The zero value of every filter lets all pass.
type Query struct {
	From, To timetable.Place
	// Date of boarding at the from stop.
	Date rail.Date
	// Types are train categories ("G", "D").
	Types []string
	// Depart and Arrive bound the time of day at the from and the to stop.
	Depart, Arrive Window
	// Classes to show; runs without any of them are left out.
	Classes []rail.Class
	// Seats: only runs on which one shown class has at least so many places to sell.
	Seats rail.SeatCount
	Sort  Sort
}

// Window is a range of the day: from First to before Last, in minutes since midnight. The zero Window is the whole day.
type Window struct{ First, Last rail.Minutes }

// Holds reports whether a time of day is within the window.
func (w Window) Holds(m rail.Minutes) bool {
	return w == Window{} || m >= w.First && m < w.Last
}

// Sort is an order of an answer.
type Sort uint8

// The orders. All but ByDeparture fall back on it.
const (
	ByDeparture Sort = iota
	ByArrival
	ByDuration
	ByFare
)

// Answer is what a query sees at a moment.
type Answer struct {
	Offers []Offer
	// Behind: a run of the answer, or one that may be missing from it, is known to lack a change.
	Behind bool
	// Lagging: a run of it is behind, or one may be missing. Without it, Behind means numbers that are not shown.
	Lagging bool
	// ValidUntil is the next moment at which the clock alone changes the answer; zero if there is none.
	ValidUntil time.Time
	// Pinned: operators want the answer to be exact, whatever TTL it has.
	Pinned bool
	// Opens is when the sale of a run of the answer opens next, Opened when one opened last; zero for none.
	Opens, Opened time.Time

	// What the answer was made of, by which Current finds out whether it still holds.
	replica  *replica.Replica
	index    *timetable.Index
	holds    *replica.HoldTable
	calendar replica.Calendar
	days     []*replica.Day // on which the runs may have left their origin
	runs     []found
	listed   uint64 // the days' generations before the runs were found
	stamp    uint64
}

// Current reports whether Look would give the same answer now: one atomic load for each run.
func (a *Answer) Current(r *replica.Replica, now time.Time) bool {
	return a.Of(r) && a.index == r.Index() && (a.ValidUntil.IsZero() || now.Before(a.ValidUntil)) && a.unchanged()
}

// Of reports whether the answer was read from a replica, with the holds that are in force.
func (a *Answer) Of(r *replica.Replica) bool { return a.replica == r && a.holds == r.Holds() }

// Categories are those of the trains that the answer was read from, each once.
func (a *Answer) Categories() (all []string) {
	for i := range a.runs {
		if c := a.runs[i].leg.Pattern.Category; !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// Stamp is the sum of the change counters of what the answer was read from: two for each change. Equal stamps of one query on one replica are of one truth.
func (a *Answer) Stamp() uint64 { return a.stamp }

// StampNow is what Stamp would be of an answer to the same query read now, as long as its runs are the same; another number if anything has changed.
func (a *Answer) StampNow() uint64 {
	sum, _ := a.now()
	return sum
}

// Position is a point that a replica has to reach to give no older answer. Ask for it when the answer has just been read.
func (a *Answer) Position() replica.Position {
	runs := make([]*replica.Run, len(a.runs))
	for i := range a.runs {
		runs[i] = a.runs[i].run
	}
	return a.replica.Position(runs)
}

// unchanged reports whether no event has touched what the answer was read from.
func (a *Answer) unchanged() bool {
	sum, still := a.now()
	return still && sum == a.stamp
}

// now sums up the change counters. Counters only grow, so an equal sum over the same days and runs means that nothing changed; still says that nothing is changing either.
func (a *Answer) now() (sum uint64, still bool) {
	sum, still = a.changes()
	sum += a.generations()
	if a.calendar != a.replica.Calendar() {
		sum++ // a day has come or gone; no event makes an odd number
	}
	return sum, still
}

// changes of the runs.
func (a *Answer) changes() (sum uint64, still bool) {
	still = true
	for i := range a.runs {
		n := a.runs[i].run.Changes()
		sum, still = sum+n, still && n%2 == 0
	}
	return sum, still
}

// generations of the days: equal ones mean the same runs.
func (a *Answer) generations() (sum uint64) {
	for _, day := range a.days {
		sum += day.Generation()
	}
	return sum
}

// Offer is a run between two of its stops.
type Offer struct {
	Run     rail.RunID
	Pattern *timetable.Pattern
	// Version of the run of which the counts are; they may be newer where the Answer says Behind.
	Version rail.Version
	// From and To are the stops.
	From, To rail.StopIndex
	Depart   time.Time
	Arrive   time.Time
	Classes  []ClassOffer
	// Behind: the run is known to lack a change; its counts are an earlier truth.
	Behind bool
	// Suspended: nothing of the run is sold; Notice is what the booking system says about it.
	Suspended bool
	Notice    string
}

// ClassOffer is a class of an Offer.
type ClassOffer struct {
	Class     rail.Class
	State     rail.State
	Reason    Reason
	Remaining rail.SeatCount
	// Fare is set if HasFare.
	Fare    rail.Money
	HasFare bool
}

// Reason says why nothing can be sold.
type Reason struct {
	Kind ReasonKind
	// At is when the sale opens, for NotOpenYet.
	At time.Time
	// Notice is the booking system's own words, for SaleSuspended.
	Notice string
}

// ReasonKind is a closed list of reasons.
type ReasonKind uint8

// The reasons.
const (
	NoReason ReasonKind = iota
	AllSold
	WaitlistOpen
	NotOpenYet
	SaleClosed
	HasDeparted
	SaleSuspended
	QuotaForbids
	ClassNotOffered
	NotVouchedFor
)

// attempts bounds how often a busy answer is read again for V2 before it is given as it is.
const attempts = 16

// Look answers a query from a replica that is ready, at a moment.
func Look(r *replica.Replica, q *Query, now time.Time) *Answer {
	return new(Scratch).Look(r, q, now, nil)
}

// Scratch is memory for the offers of one answer after the other. The zero Scratch is ready. It is not safe for concurrent use.
type Scratch struct {
	offers  []Offer
	classes []ClassOffer
	start   struct { // of the service day that was asked for last
		date rail.Date
		at   time.Time
	}
}

// Look is the function Look, but that the answer's Offers last until the next call only; everything else of it stays. An earlier answer to the same query, or nil, saves finding its
// runs again.
func (s *Scratch) Look(r *replica.Replica, q *Query, now time.Time, before *Answer) *Answer {
	a := &Answer{}
	for try := range attempts {
		s.read(a, r, q, now, before)
		if a.unchanged() {
			break
		}
		torn := try == attempts-1
		a.Behind, a.Lagging = a.Behind || torn, a.Lagging || torn
		runtime.Gosched() // a writer may have been stopped in the middle of a change
	}
	q.order(a.Offers)
	return a
}

// read fills the answer. What it is held against is taken first (V2).
func (s *Scratch) read(a *Answer, r *replica.Replica, q *Query, now time.Time, before *Answer) {
	*a = Answer{replica: r, index: r.Index(), holds: r.Holds(), calendar: r.Calendar()}
	if before != nil && before.lists(a) {
		a.days, a.runs, a.listed = before.days, before.runs, before.listed
	} else {
		a.find(q)
	}
	sum, _ := a.changes()
	a.stamp = a.listed + sum
	for _, day := range a.days {
		missing := !day.Complete()
		a.Behind, a.Lagging = a.Behind || missing, a.Lagging || missing
	}
	s.offers, s.classes = slices.Grow(s.offers[:0], len(a.runs)), s.classes[:0]
	s.start.at = time.Time{}
	for i := range a.runs {
		s.add(a, q, &a.runs[i], now)
	}
	a.Offers = s.offers
}

// lists reports whether the answer lists the runs that another one, of the same query, would find.
func (a *Answer) lists(b *Answer) bool {
	return a.replica == b.replica && a.index == b.index && a.calendar == b.calendar && a.listed == a.generations()
}

// found is a run that serves the query's OD on its date.
type found struct {
	run *replica.Run
	leg timetable.Leg
}

// find lists the runs (V1) and the days that they are of, with the generations of the days before.
func (a *Answer) find(q *Query) {
	legs := a.index.Legs(q.From, q.To)
	var buffer [4]*replica.Day // an answer of more is rare
	days := buffer[:0]
	for i := range legs {
		if day := a.calendar.Day(q.Date - legs[i].DayOffset()); day != nil && !slices.Contains(days, day) && q.wantsLeg(&legs[i]) {
			days = append(days, day)
		}
	}
	a.days = slices.Clone(days)
	a.listed = a.generations()
	a.runs = make([]found, 0, len(legs))
	for i := range legs {
		if !q.wantsLeg(&legs[i]) {
			continue
		}
		for _, day := range a.days {
			if day.Date != q.Date-legs[i].DayOffset() {
				continue
			}
			for _, run := range day.Runs(legs[i].Number) {
				a.runs = append(a.runs, found{run, legs[i]})
			}
		}
	}
}

func (q *Query) wantsLeg(leg *timetable.Leg) bool {
	return q.Depart.Holds(leg.Depart()%rail.Day) && q.Arrive.Holds(leg.Arrive()%rail.Day) &&
		(len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t string) bool { return strings.EqualFold(t, leg.Pattern.Category) }))
}

func (s *Scratch) add(a *Answer, q *Query, f *found, now time.Time) {
	sheet := f.run.Sheet()
	if sheet == nil || sheet.Pattern != f.leg.Pattern {
		return // it changed its pattern meanwhile; the stamp shows it
	}
	start, health := s.startOf(f.run.ID.Date, a.index.Location()), f.run.Health()
	hold := a.holds.Of(f.run.ID)
	o := Offer{
		Run: f.run.ID, Pattern: sheet.Pattern, Version: sheet.Version(), From: f.leg.From, To: f.leg.To, Suspended: sheet.Suspended || hold.Suspended, Notice: sheet.Reason,
		Depart: start.Add(time.Duration(f.leg.Depart()) * time.Minute), Arrive: start.Add(time.Duration(f.leg.Arrive()) * time.Minute),
		Behind: health != replica.Live,
	}
	if hold.Suspended {
		o.Notice = hold.Reason
	}
	a.Behind = a.Behind || o.Behind
	a.Lagging = a.Lagging || health == replica.Behind
	if !now.Before(o.Depart) {
		return
	}
	a.Pinned = a.Pinned || hold.Pinned
	j := judge(f.run, sheet, &hold, o.Depart, now)
	first := len(s.classes)
	s.classes = j.classes(s.classes, o.From, o.To, q.Classes)
	o.Classes = s.classes[first:len(s.classes):len(s.classes)]
	a.until(j.next)
	a.opening(sheet.SaleOpensAt, now)
	if q.wantsOffer(&o) {
		s.offers = append(s.offers, o)
	}
}

// startOf is when a service day starts: its times are counted from there.
func (s *Scratch) startOf(date rail.Date, loc *time.Location) time.Time {
	if s.start.date != date || s.start.at.IsZero() {
		s.start.date, s.start.at = date, date.At(0, loc)
	}
	return s.start.at
}

func (a *Answer) until(next time.Time) {
	if !next.IsZero() && (a.ValidUntil.IsZero() || next.Before(a.ValidUntil)) {
		a.ValidUntil = next
	}
}

func (a *Answer) opening(at, now time.Time) {
	switch {
	case at.IsZero():
	case now.Before(at):
		if a.Opens.IsZero() || at.Before(a.Opens) {
			a.Opens = at
		}
	case at.After(a.Opened):
		a.Opened = at
	}
}

func (q *Query) wantsOffer(o *Offer) bool {
	if len(q.Classes) > 0 && len(o.Classes) == 0 {
		return false
	}
	return q.Seats == 0 || slices.ContainsFunc(o.Classes, func(c ClassOffer) bool { return c.State.Sellable() && c.Remaining >= q.Seats })
}

// order sorts offers that come by departure.
func (q *Query) order(offers []Offer) {
	if q.Sort != ByDeparture {
		slices.SortStableFunc(offers, func(a, b Offer) int { return cmp.Compare(q.rank(&a), q.rank(&b)) })
	}
}

// rank is a number by which offers that come by departure are to be sorted.
func (q *Query) rank(o *Offer) int64 {
	switch q.Sort {
	case ByArrival:
		return o.Arrive.Unix()
	case ByDuration:
		return int64(o.Arrive.Sub(o.Depart))
	case ByFare:
		return o.cheapest()
	default:
		return 0
	}
}

// cheapest is the lowest fare of a class that can be bought, or of any if none can; beyond all fares if none is known.
func (o *Offer) cheapest() int64 {
	const none, dear = int64(1) << 40, int64(1) << 36
	best := none
	for _, c := range o.Classes {
		fare := int64(c.Fare)
		if !c.State.Sellable() {
			fare += dear
		}
		if c.HasFare {
			best = min(best, fare)
		}
	}
	return best
}
