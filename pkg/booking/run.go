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
	// tickets that are sold, by the Revision of their sale.
	tickets map[uint64]claim
}

// claim is a Ticket without what its run and its key say.
type claim struct {
	class, bucket uint8
	place         uint16
	from, to      rail.StopIndex
}

// class is what a run has of a seat class.
type class struct {
	code     rail.Class
	waitlist bool
	buckets  []bucket
}

// bucket is the places that share a quota. The Spans of its inventory.Bucket stay empty: the stock knows them.
type bucket struct {
	inventory.Bucket
	stock stock
}

// ticket is a claim with everything that makes it a Ticket.
func (r *run) ticket(revision uint64, c claim) Ticket {
	return Ticket{
		Run: r.id, Version: rail.Version{Epoch: r.version.Epoch, Revision: revision},
		Class: r.classes[c.class].code, Bucket: c.bucket, Place: c.place, From: c.from, To: c.to,
	}
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
		return fmt.Errorf("%w: from stop %d at %s", ErrDeparted, from, departs.Format(time.RFC3339))
	case !now.Before(closes):
		return fmt.Errorf("%w: closed at %s", ErrNotOnSale, closes.Format(time.RFC3339))
	case now.Before(r.opensAt):
		return fmt.Errorf("%w: opens at %s", ErrNotOnSale, r.opensAt.Format(time.RFC3339))
	}
	return nil
}

func (r *run) departure(from rail.StopIndex) time.Time {
	return r.id.Date.At(r.pattern.Stops[from].Depart, r.loc)
}

// take sells a place out of the first bucket that allows the OD and has one (B2).
func (c *class) take(from, to rail.StopIndex) (number uint8, place uint16, cut window, err error) {
	refusal := ErrRestricted
	for i := range slices.Backward(c.buckets) {
		b := &c.buckets[i]
		if !b.Allows(from, to) {
			continue
		}
		if place, cut, ok := b.stock.sell(from, to); ok {
			return uint8(i), place, cut, nil
		}
		refusal = ErrSoldOut
	}
	return 0, 0, window{}, fmt.Errorf("%w: from stop %d to %d", refusal, from, to)
}

// capacity is the number of places of all buckets.
func (c *class) capacity() (n rail.SeatCount) {
	for i := range c.buckets {
		n += c.buckets[i].Capacity
	}
	return n
}
