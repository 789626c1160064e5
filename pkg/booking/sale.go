package booking

import (
	"fmt"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Sell sells one place of a class from a stop to a later one. The error wraps the reason: ErrUnknownRun, ErrInvalid, ErrNotOffered, ErrSuspended,
// ErrDeparted, ErrNotOnSale, ErrRestricted or ErrSoldOut.
func (b *Book) Sell(id rail.RunID, code rail.Class, from, to rail.StopIndex) (Ticket, error) {
	r, err := b.find(id)
	if err != nil {
		return Ticket{}, fmt.Errorf("sell: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := b.sell(r, code, from, to)
	if err != nil {
		return Ticket{}, fmt.Errorf("sell %s class %q: %w", id, code, err)
	}
	return t, nil
}

// sell looks at the reasons to refuse in the order in which the errors are declared. The caller holds the run's lock.
func (b *Book) sell(r *run, code rail.Class, from, to rail.StopIndex) (Ticket, error) {
	if err := r.checkStops(from, to); err != nil {
		return Ticket{}, err
	}
	number, c, err := r.class(code)
	if err != nil {
		return Ticket{}, err
	}
	if err := r.checkOffer(number, from, to); err != nil {
		return Ticket{}, err
	}
	if err := r.checkSale(from, b.cfg.Clock()); err != nil {
		return Ticket{}, err
	}
	bucket, place, cut, err := c.take(from, to)
	if err != nil {
		return Ticket{}, err
	}
	b.commit(r, inventory.Sell(code, bucket, cut.l, cut.r, from, to))
	return r.issue(claim{class: uint8(number), bucket: bucket, place: place, from: from, to: to}), nil
}

// issue notes the claim of the sale that was just committed.
func (r *run) issue(c claim) Ticket {
	if r.tickets == nil {
		r.tickets = map[uint64]claim{}
	}
	r.tickets[r.version.Revision] = c
	return r.ticket(r.version.Revision, c)
}

// Refund takes a ticket back before its train leaves the from stop, also while the sale is suspended or closed. The error wraps ErrUnknownRun, ErrTicket
// or ErrDeparted.
func (b *Book) Refund(t Ticket) error {
	r, err := b.find(t.Run)
	if err != nil {
		return fmt.Errorf("refund: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, sold := r.tickets[t.Version.Revision]
	if !sold || r.ticket(t.Version.Revision, c) != t {
		return fmt.Errorf("refund %s: %w: number %s; want one that was sold and not refunded, unchanged", t.Run, ErrTicket, t.Version)
	}
	if departs := r.departure(t.From); !b.cfg.Clock().Before(departs) {
		return fmt.Errorf("refund %s: %w: from stop %d at %s", t.Run, ErrDeparted, t.From, departs.Format(time.RFC3339))
	}
	delete(r.tickets, t.Version.Revision)
	merged := r.classes[c.class].buckets[c.bucket].stock.refund(c.place, c.from, c.to)
	b.commit(r, reverse(inventory.Sell(t.Class, t.Bucket, merged.l, merged.r, t.From, t.To)))
	return nil
}

// reverse turns every sign. A refund is the reverse of the sale that would be made of the merged window.
func reverse(adjusts []inventory.Adjust) []inventory.Adjust {
	for i := range adjusts {
		adjusts[i].By = -adjusts[i].By
	}
	return adjusts
}

// restating makes a change of a run that is told by its whole state, or none if change refuses.
func (b *Book) restating(verb string, id rail.RunID, change func(*run) error) error {
	r, err := b.find(id)
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := change(r); err != nil {
		return fmt.Errorf("%s %s: %w", verb, id, err)
	}
	b.restate(r)
	return nil
}

// Release puts more places of a class on sale, at least 1, free from end to end: places that were held back, or a coach that was added. They join the
// class's first bucket. A class has at most rail.MaxCount. The error wraps ErrUnknownRun, ErrNotOffered or ErrInvalid.
func (b *Book) Release(id rail.RunID, code rail.Class, places rail.SeatCount) error {
	return b.restating("release", id, func(r *run) error {
		_, c, err := r.class(code)
		if err != nil {
			return err
		}
		if most := rail.MaxCount - c.capacity(); places < 1 || places > most {
			return fmt.Errorf("%w: %d places of class %q; want 1 to %d", ErrInvalid, places, code, most)
		}
		c.buckets[0].Capacity += places
		c.buckets[0].stock.add(places)
		return nil
	})
}

// Suspend stops the sale of a run; the reason is told to travellers. On a suspended run it changes the reason. The error wraps ErrUnknownRun.
func (b *Book) Suspend(id rail.RunID, reason string) error {
	return b.restating("suspend", id, func(r *run) error {
		r.suspended, r.reason = true, reason
		return nil
	})
}

// Resume ends a suspension. The error wraps ErrUnknownRun, or ErrInvalid if the run is not suspended.
func (b *Book) Resume(id rail.RunID) error {
	return b.restating("resume", id, func(r *run) error {
		if !r.suspended {
			return fmt.Errorf("%w: not suspended", ErrInvalid)
		}
		r.suspended, r.reason = false, ""
		return nil
	})
}

// SetQuota says for which ODs a bucket of a class may be sold from now on; none for all. Tickets that were sold stay. The error wraps ErrUnknownRun,
// ErrNotOffered or ErrInvalid.
func (b *Book) SetQuota(id rail.RunID, code rail.Class, bucket uint8, quotas []inventory.Quota) error {
	return b.restating("set quota", id, func(r *run) error {
		_, c, err := r.class(code)
		if err != nil {
			return err
		}
		if int(bucket) >= len(c.buckets) {
			return fmt.Errorf("%w: bucket %d of class %q; want one below %d", ErrInvalid, bucket, code, len(c.buckets))
		}
		for _, q := range quotas {
			if q.FromFirst > q.FromLast || q.ToFirst > q.ToLast || int(max(q.FromLast, q.ToLast)) >= len(r.pattern.Stops) {
				return fmt.Errorf("%w: quota %+v; want first <= last < %d", ErrInvalid, q, len(r.pattern.Stops))
			}
		}
		c.buckets[bucket].Quotas = slices.Clone(quotas) // states that were published keep the old ones
		return nil
	})
}
