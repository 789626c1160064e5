package booking

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// run is a train on a service date.
type run struct {
	id      rail.RunID
	pattern *timetable.Pattern
	loc     *time.Location
	opensAt time.Time

	mu        sync.Mutex // guards what follows
	version   rail.Version
	suspended bool
	reason    string
	classes   []class // in the order of the pattern
	// claims are what is sold, by the Revision of the sale.
	claims map[uint64]claim
}

// claim is a Sale without what its run and its key say.
type claim struct {
	class    uint8
	from, to rail.StopIndex
	seats    []Seat
}

// class is what a run has of a seat class.
type class struct {
	code     rail.Class
	waitlist bool
	buckets  []bucket
	held     []Held
	layout   layout
	// The coaches that the class has from the start, and the number of the first of them.
	firstCoach, coaches int
}

// bucket is the places that share a quota. The Spans of its inventory.Bucket stay empty: the stock knows them.
type bucket struct {
	inventory.Bucket
	stock   stock
	numbers numbers // of its places within the class; nil where places are not assigned
}

// sale is a claim with everything that makes it a Sale.
func (r *run) sale(revision uint64, c claim) Sale {
	return Sale{
		Run: r.id, Version: rail.Version{Epoch: r.version.Epoch, Revision: revision},
		Class: r.classes[c.class].code, From: c.from, To: c.to, Seats: slices.Clone(c.seats),
	}
}

// same reports whether two sales are one. A history that began anew since does not matter: revisions go on.
func (s Sale) same(t Sale) bool {
	return s.Run == t.Run && s.Version.Revision == t.Version.Revision && s.Class == t.Class && s.From == t.From && s.To == t.To && slices.Equal(s.Seats, t.Seats)
}

// state is the run as it is now. The caller holds mu.
func (r *run) state() event.RunState {
	s := event.RunState{
		Run: r.id, Pattern: r.pattern.ID, Version: r.version, Suspended: r.suspended, Reason: r.reason,
		SaleOpensAt: r.opensAt, SaleClosesBefore: saleClosesBefore, Classes: make([]inventory.Class, 0, len(r.classes)),
	}
	for i := range r.classes {
		s.Classes = append(s.Classes, r.classes[i].state())
	}
	return s
}

func (c *class) state() inventory.Class {
	out := inventory.Class{Class: c.code, Waitlist: c.waitlist, Buckets: make([]inventory.Bucket, 0, len(c.buckets))}
	for i := range c.buckets {
		b := c.buckets[i].Bucket
		b.Spans = c.buckets[i].stock.spans()
		out.Buckets = append(out.Buckets, b)
	}
	return out
}

// class finds a class and its number.
func (r *run) class(code rail.Class) (int, *class, error) {
	i := slices.IndexFunc(r.classes, func(c class) bool { return c.code == code })
	if i < 0 {
		return 0, nil, fmt.Errorf("%w: class %q; the train has %d others", ErrNotOffered, code, len(r.classes))
	}
	return i, &r.classes[i], nil
}

// offered finds the class of a sale, if what is asked for makes sense and is sold at all.
func (r *run) offered(code rail.Class, from, to rail.StopIndex, party Party) (int, *class, error) {
	if party.Size < 1 || party.Size > MaxParty {
		return 0, nil, refuse(ErrInvalid, "%d passengers; want 1 to %d", party.Size, MaxParty)
	}
	if !slices.Contains(Wishes, party.Wish) {
		return 0, nil, refuse(ErrInvalid, "wish %q; want one of %q", party.Wish, Wishes)
	}
	if err := r.checkStops(from, to); err != nil {
		return 0, nil, err
	}
	number, c, err := r.class(code)
	if err != nil {
		return 0, nil, err
	}
	return number, c, r.checkOffer(number, from, to)
}

// refuse says why not, with the reason as the error that is wrapped.
func refuse(reason error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", reason, fmt.Sprintf(format, args...))
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

// checkStops reports whether [from, to) is a piece of the run.
func (r *run) checkStops(from, to rail.StopIndex) error {
	if from >= to || int(to) >= len(r.pattern.Stops) {
		return fmt.Errorf("%w: stops %d to %d; want from < to < %d", ErrInvalid, from, to, len(r.pattern.Stops))
	}
	return nil
}

// checkOffer reports whether the class is sold on the OD, whatever is left of it.
func (r *run) checkOffer(number int, from, to rail.StopIndex) error {
	stops := r.pattern.Stops
	switch _, _, offered := r.pattern.Fare(number, from, to); {
	case stops[from].NoBoarding:
		return fmt.Errorf("%w: nobody boards at stop %d", ErrNotOffered, from)
	case stops[to].NoAlighting:
		return fmt.Errorf("%w: nobody alights at stop %d", ErrNotOffered, to)
	case !offered:
		return fmt.Errorf("%w: no fare from stop %d to %d", ErrNotOffered, from, to)
	}
	return nil
}

// checkSale reports whether the run is on sale at a moment for those who board at a stop.
func (r *run) checkSale(from rail.StopIndex, now time.Time) error {
	departs := r.departure(from)
	closes := departs.Add(-saleClosesBefore * time.Minute)
	switch {
	case r.suspended:
		return fmt.Errorf("%w: %s", ErrSuspended, r.reason)
	case !now.Before(departs):
		return fmt.Errorf("%w: from stop %d at %s", ErrDeparted, from, stamp(departs))
	case !now.Before(closes):
		return fmt.Errorf("%w: closed at %s", ErrNotOnSale, stamp(closes))
	case now.Before(r.opensAt):
		return fmt.Errorf("%w: opens at %s", ErrNotOnSale, stamp(r.opensAt))
	}
	return nil
}

func (r *run) departure(from rail.StopIndex) time.Time {
	return r.id.Date.At(r.pattern.Stops[from].Depart, r.loc)
}

// giveBack frees the seats of a claim.
func (r *run) giveBack(sold claim) (all []inventory.Adjust) {
	c := &r.classes[sold.class]
	for _, seat := range sold.seats {
		if seat.Unseated {
			continue
		}
		merged := c.buckets[seat.Bucket].stock.refund(seat.Place, sold.from, sold.to)
		for _, a := range reverse(inventory.Sell(c.code, seat.Bucket, merged.l, merged.r, sold.from, sold.to)) {
			all = join(all, a)
		}
	}
	return all
}

// reverse turns every sign. A refund is the reverse of the sale that would be made of the merged window.
func reverse(adjusts []inventory.Adjust) []inventory.Adjust {
	for i := range adjusts {
		adjusts[i].By = -adjusts[i].By
	}
	return adjusts
}

// capacity is the number of places of all buckets.
func (c *class) capacity() (n rail.SeatCount) {
	for i := range c.buckets {
		n += c.buckets[i].Capacity
	}
	return n
}
