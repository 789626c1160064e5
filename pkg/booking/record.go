package booking

import (
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Record is a run as it is stored. What is sold is not in it: that is stored sale by sale. Of a run that was changed by adjusts alone, Pattern and what
// follows are empty: stored already.
type Record struct {
	Run       rail.RunID
	Version   rail.Version
	Pattern   rail.PatternID
	Suspended bool
	Reason    string
	OpensAt   time.Time
	Classes   []ClassRecord
}

// ClassRecord is a class of a run as it is stored.
type ClassRecord struct {
	Class      rail.Class     `json:"class"`
	Waitlist   bool           `json:"waitlist,omitempty"`
	FirstCoach int            `json:"first_coach,omitempty"`
	Coaches    int            `json:"coaches,omitempty"`
	Held       []Held         `json:"held,omitempty"`
	Buckets    []BucketRecord `json:"buckets"`
}

// BucketRecord is a bucket of a class as it is stored. Numbers are nil where places are not assigned.
type BucketRecord struct {
	Kind     inventory.Kind    `json:"kind,omitempty"`
	Capacity rail.SeatCount    `json:"capacity"`
	Quotas   []inventory.Quota `json:"quotas,omitempty"`
	Numbers  []piece           `json:"numbers,omitempty"`
}

// Held is places that go on sale later.
type Held struct {
	// First is the number of the first of them within the class.
	First  int            `json:"first"`
	Places rail.SeatCount `json:"places"`
	Until  time.Time      `json:"until"`
}

func (r *run) record() Record {
	rec := Record{
		Run: r.id, Version: r.version, Pattern: r.pattern.ID, Suspended: r.suspended, Reason: r.reason, OpensAt: r.opensAt,
		Classes: make([]ClassRecord, 0, len(r.classes)),
	}
	for i := range r.classes {
		c := &r.classes[i]
		out := ClassRecord{Class: c.code, Waitlist: c.waitlist, FirstCoach: c.firstCoach, Coaches: c.coaches, Held: c.held}
		for k := range c.buckets {
			b := &c.buckets[k]
			out.Buckets = append(out.Buckets, BucketRecord{Kind: b.Kind, Capacity: b.Capacity, Quotas: b.Quotas, Numbers: b.numbers})
		}
		rec.Classes = append(rec.Classes, out)
	}
	return rec
}

// Restore opens a run as it was stored, without what was sold of it (see Claim). The pattern must be the record's. An error means that the record
// contradicts itself. It is for a Book that nobody uses yet, and no change of the run.
func (b *Book) Restore(rec Record, pattern *timetable.Pattern) error {
	if pattern == nil || len(rec.Classes) != len(pattern.Classes) {
		return fmt.Errorf("restore %s: %w: pattern %s with %d classes", rec.Run, ErrInvalid, rec.Pattern, len(rec.Classes))
	}
	r := &run{
		id: rec.Run, pattern: pattern, loc: b.loc, opensAt: rec.OpensAt, version: rec.Version, suspended: rec.Suspended, reason: rec.Reason,
		claims: map[uint64]claim{},
	}
	for i, c := range rec.Classes {
		offer := pattern.Classes[i]
		if offer.Class != c.Class || len(c.Buckets) == 0 {
			return fmt.Errorf("restore %s: %w: class %q with %d buckets", rec.Run, ErrInvalid, c.Class, len(c.Buckets))
		}
		r.classes = append(r.classes, c.class(len(pattern.Stops), offer.Accommodation))
	}
	b.insert([]*run{r})
	return nil
}

func (c *ClassRecord) class(stops int, a rail.Accommodation) class {
	out := class{code: c.Class, waitlist: c.Waitlist, held: c.Held, layout: layoutOf(c.Class, a), firstCoach: c.FirstCoach, coaches: c.Coaches}
	for _, b := range c.Buckets {
		made := bucket{Bucket: inventory.Bucket{Kind: b.Kind, Capacity: b.Capacity, Quotas: b.Quotas}}
		if b.Kind == inventory.Pool {
			made.stock = newPool(stops, b.Capacity)
		} else {
			made.stock, made.numbers = newSeatMap(stops, b.Capacity), append(numbers{}, b.Numbers...)
		}
		out.buckets = append(out.buckets, made)
	}
	return out
}

// Claim takes the places of a stored sale of a restored run. It is no change of the run. An error means that places are sold twice, or do not exist.
func (b *Book) Claim(s Sale) error {
	r, err := b.find(s.Run)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	number, c, err := r.class(s.Class)
	if err != nil {
		return fmt.Errorf("claim of %s: %w", s.Run, err)
	}
	if err := r.checkStops(s.From, s.To); err != nil {
		return fmt.Errorf("claim of %s: %w", s.Run, err)
	}
	for _, seat := range s.Seats {
		if !seat.Unseated && !c.isFree(seat, s.From, s.To) {
			return fmt.Errorf("claim of %s: %w: class %q place %d of bucket %d is not free from stop %d to %d", s.Run, ErrSale, s.Class, seat.Place, seat.Bucket, s.From, s.To)
		}
		c.occupy(claim{from: s.From, to: s.To, seats: []Seat{seat}})
	}
	r.claims[s.Version.Revision] = claim{class: uint8(number), from: s.From, to: s.To, seats: s.Seats}
	return nil
}

// isFree reports whether a seat exists and is free from a stop to a later one.
func (c *class) isFree(seat Seat, from, to rail.StopIndex) bool {
	if int(seat.Bucket) >= len(c.buckets) {
		return false
	}
	b := &c.buckets[seat.Bucket]
	if m, assigned := b.stock.(*seatMap); assigned {
		if rail.SeatCount(seat.Place) >= m.places {
			return false
		}
		m.touch()
		_, free := m.around(seat.Place, from, to)
		return free
	}
	return b.stock.remaining(from, to) > 0
}
