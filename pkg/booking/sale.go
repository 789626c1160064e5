package booking

import (
	"fmt"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Sell sells one place, in a Tx of its own (see Tx.Sell).
func (b *Book) Sell(id rail.RunID, code rail.Class, from, to rail.StopIndex) (s Sale, err error) {
	return s, b.alone(func(tx *Tx) error {
		s, err = tx.Sell(id, code, from, to, Party{Size: 1})
		return err
	})
}

// Refund takes a sale back, in a Tx of its own (see Tx.Refund).
func (b *Book) Refund(s Sale) error { return b.alone(func(tx *Tx) error { return tx.Refund(s) }) }

// Release puts more places on sale, in a Tx of its own (see Tx.Release).
func (b *Book) Release(id rail.RunID, code rail.Class, places rail.SeatCount) error {
	return b.alone(func(tx *Tx) error { return tx.Release(id, code, places) })
}

// Suspend stops a sale, in a Tx of its own (see Tx.Suspend).
func (b *Book) Suspend(id rail.RunID, reason string) error {
	return b.alone(func(tx *Tx) error { return tx.Suspend(id, reason) })
}

// Resume ends a suspension, in a Tx of its own (see Tx.Resume).
func (b *Book) Resume(id rail.RunID) error {
	return b.alone(func(tx *Tx) error { return tx.Resume(id) })
}

// SetQuota restricts a bucket, in a Tx of its own (see Tx.SetQuota).
func (b *Book) SetQuota(id rail.RunID, code rail.Class, bucket uint8, quotas []inventory.Quota) error {
	return b.alone(func(tx *Tx) error { return tx.SetQuota(id, code, bucket, quotas) })
}

// alone does one thing in a Tx that is committed at once: for a Book that is stored nowhere.
func (b *Book) alone(do func(*Tx) error) error {
	tx := b.Begin()
	defer tx.Commit() // of what was not refused: nothing, after an error (B8)
	return do(tx)
}

// restating makes a change of a run that is told by its whole state, or none if change refuses.
func (tx *Tx) restating(verb string, id rail.RunID, change func(*run) error) error {
	r, err := tx.run(id)
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if err := change(r); err != nil {
		return fmt.Errorf("%s %s: %w", verb, id, err)
	}
	tx.restate(r)
	return nil
}

// Release puts more places of a class on sale, at least 1, free from end to end: a coach that was added, say. They join the class's first bucket. A class
// has at most rail.MaxCount. The error wraps ErrUnknownRun, ErrNotOffered or ErrInvalid.
func (tx *Tx) Release(id rail.RunID, code rail.Class, places rail.SeatCount) error {
	return tx.restating("release", id, func(r *run) error {
		_, c, err := r.class(code)
		if err != nil {
			return err
		}
		if most := rail.MaxCount - c.capacity(); places < 1 || places > most {
			return refuse(ErrInvalid, "%d places of class %q; want 1 to %d", places, code, most)
		}
		c.add(c.end(), places)
		return nil
	})
}

// end is behind the highest number that a place of the class has or was held back with.
func (c *class) end() (end int) {
	for i := range c.buckets {
		end = max(end, c.buckets[i].numbers.end())
	}
	for _, h := range c.held {
		end = max(end, h.First+int(h.Places))
	}
	return end
}

// add puts places on sale in the first bucket.
func (c *class) add(first int, places rail.SeatCount) {
	b := &c.buckets[0]
	b.Capacity += places
	b.stock.add(places)
	if b.numbers != nil {
		b.numbers = append(slices.Clone(b.numbers), piece{First: first, Count: places})
	}
}

// ReleaseHeld puts on sale what was held back until now, and returns the number of places. No places are no change.
func (tx *Tx) ReleaseHeld(id rail.RunID, now time.Time) (places rail.SeatCount, err error) {
	r, err := tx.run(id)
	if err != nil {
		return 0, err
	}
	for i := range r.classes {
		c := &r.classes[i]
		var later []Held
		for _, h := range c.held {
			if now.Before(h.Until) {
				later = append(later, h)
				continue
			}
			c.add(h.First, h.Places)
			places += h.Places
		}
		c.held = later
	}
	if places > 0 {
		tx.restate(r)
	}
	return places, nil
}

// Suspend stops the sale of a run; the reason is told to travellers. On a suspended run it changes the reason. The error wraps ErrUnknownRun.
func (tx *Tx) Suspend(id rail.RunID, reason string) error {
	return tx.restating("suspend", id, func(r *run) error {
		r.suspended, r.reason = true, reason
		return nil
	})
}

// Resume ends a suspension. The error wraps ErrUnknownRun, or ErrInvalid if the run is not suspended.
func (tx *Tx) Resume(id rail.RunID) error {
	return tx.restating("resume", id, func(r *run) error {
		if !r.suspended {
			return refuse(ErrInvalid, "not suspended")
		}
		r.suspended, r.reason = false, ""
		return nil
	})
}

// SetQuota says for which ODs a bucket of a class may be sold from now on; none for all. What was sold stays. The error wraps ErrUnknownRun,
// ErrNotOffered or ErrInvalid.
func (tx *Tx) SetQuota(id rail.RunID, code rail.Class, bucket uint8, quotas []inventory.Quota) error {
	return tx.restating("set quota", id, func(r *run) error {
		_, c, err := r.class(code)
		if err != nil {
			return err
		}
		if int(bucket) >= len(c.buckets) {
			return refuse(ErrInvalid, "bucket %d of class %q; want one below %d", bucket, code, len(c.buckets))
		}
		for _, q := range quotas {
			if q.FromFirst > q.FromLast || q.ToFirst > q.ToLast || int(max(q.FromLast, q.ToLast)) >= len(r.pattern.Stops) {
				return refuse(ErrInvalid, "quota %+v; want first <= last < %d", q, len(r.pattern.Stops))
			}
		}
		c.buckets[bucket].Quotas = slices.Clone(quotas) // states that were published keep the old ones
		return nil
	})
}

// Reform changes how many assigned places a class has: the train comes with another formation. The class's buckets give way from the last to the first.
// Sold seats are kept where the new formation has them; those that it does not have move to a place that is free on their way, or are left unseated. It
// returns the sales with a seat that moved or was left unseated, as they now are. The error wraps ErrUnknownRun, ErrNotOffered or ErrInvalid.
func (tx *Tx) Reform(id rail.RunID, code rail.Class, places rail.SeatCount) (moved []Sale, err error) {
	return moved, tx.restating("change formation of", id, func(r *run) error {
		number, c, err := r.class(code)
		if err != nil {
			return err
		}
		if c.buckets[0].numbers == nil || places < 0 || places > rail.MaxCount {
			return refuse(ErrInvalid, "%d places of class %q; want 0 to %d assigned ones", places, code, rail.MaxCount)
		}
		c.resize(len(r.pattern.Stops), places)
		moved = r.reseat(number)
		return nil
	})
}

// resize makes the buckets anew, with all places free. Nothing is held back any more.
func (c *class) resize(stops int, places rail.SeatCount) {
	c.held = nil
	if more := places - c.capacity(); more > 0 {
		c.add(c.end(), more)
	}
	for i := range c.buckets {
		b := &c.buckets[i]
		b.Capacity = min(b.Capacity, places)
		places -= b.Capacity
		b.numbers, b.stock = b.numbers.cut(b.Capacity), newSeatMap(stops, b.Capacity)
		if b.numbers == nil {
			b.numbers = numbers{}
		}
	}
}

// reseat puts the claims of a class on its empty buckets: first all that fit where they were, then the others where there is room.
func (r *run) reseat(number int) (moved []Sale) {
	c := &r.classes[number]
	revisions := make([]uint64, 0, len(r.claims))
	for revision, claim := range r.claims {
		if int(claim.class) == number {
			revisions = append(revisions, revision)
		}
	}
	slices.Sort(revisions)
	homeless := map[uint64]bool{}
	for _, revision := range revisions {
		sold := r.claims[revision]
		sold.seats = slices.Clone(sold.seats)
		for i := range sold.seats {
			if s := &sold.seats[i]; !s.Unseated {
				s.Unseated = s.Place >= uint16(c.buckets[s.Bucket].Capacity)
			}
			homeless[revision] = homeless[revision] || sold.seats[i].Unseated
		}
		c.occupy(sold)
		r.claims[revision] = sold
	}
	for _, revision := range revisions {
		if homeless[revision] {
			c.resettle(r.claims[revision])
			moved = append(moved, r.sale(revision, r.claims[revision]))
		}
	}
	return moved
}

// occupy marks the seats of a claim as sold.
func (c *class) occupy(sold claim) {
	for _, s := range sold.seats {
		if !s.Unseated {
			c.buckets[s.Bucket].stock.take(s.Place, sold.from, sold.to)
		}
	}
}

// resettle finds other places for unseated ones, whatever the quotas say: they were sold.
func (c *class) resettle(sold claim) {
	for i := range sold.seats {
		for k := range c.buckets {
			if !sold.seats[i].Unseated {
				break
			}
			if place, _, ok := c.buckets[k].stock.sell(sold.from, sold.to); ok {
				sold.seats[i] = Seat{Bucket: uint8(k), Place: place}
			}
		}
	}
}

// Raise begins a new history of every run, with the whole state told: for a Book that was filled from an older copy of what is stored.
func (tx *Tx) Raise(id rail.RunID, epoch uint64) error {
	return tx.restating("raise epoch of", id, func(r *run) error {
		if epoch <= r.version.Epoch {
			return refuse(ErrInvalid, "epoch %d; want one above %d", epoch, r.version.Epoch)
		}
		r.version.Epoch = epoch
		return nil
	})
}
