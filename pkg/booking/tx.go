package booking

import (
	"fmt"
	"slices"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Tx is changes that become known together: it keeps every run that it changes locked until its Commit, so that nobody sees, publishes or sells on
// what may yet fail to be stored (B9). A request that is refused leaves the others of the Tx as they are (B8). A Tx is not safe for concurrent use. Of
// several at the same time each may change one run only, since they would wait for each other.
type Tx struct {
	book    *Book
	locked  map[rail.RunID]*run
	order   []*run
	changes []Change
}

// Begin starts a Tx. It must be ended by Commit or, if the changes could not be stored, by Abandon.
func (b *Book) Begin() *Tx {
	return &Tx{book: b, locked: map[rail.RunID]*run{}}
}

// Changes are the changes so far, without the time and the number that the Commit gives them.
func (tx *Tx) Changes() []Change { return tx.changes }

// Records are the runs that are changed, as they now are, in the order in which they were first asked for. A run that was changed by adjusts alone has only its
// version in its Record.
func (tx *Tx) Records() []Record {
	restated, changed := map[rail.RunID]bool{}, map[rail.RunID]bool{}
	for i := range tx.changes {
		id := tx.changes[i].Delta.Run
		changed[id] = true
		restated[id] = restated[id] || tx.changes[i].State != nil
	}
	out := make([]Record, 0, len(changed))
	for _, r := range tx.order {
		switch {
		case restated[r.id]:
			out = append(out, r.record())
		case changed[r.id]:
			out = append(out, Record{Run: r.id, Version: r.version})
		}
	}
	return out
}

// Stamp gives the changes their numbers and their time. From now on until the Commit, Outbox.Complete claims nothing behind that time: somebody may see in
// a database what the outbox does not have yet (B6).
func (tx *Tx) Stamp() {
	tx.book.outbox.stamp(tx.changes)
}

// Commit makes the changes known: they are in the outbox, and the runs are unlocked.
func (tx *Tx) Commit() {
	tx.book.outbox.add(tx.changes)
	tx.release()
}

// Abandon ends a Tx whose changes were not stored, or of which nobody knows. The Book is of no use then, and says so to whoever asks: it must be filled anew
// from what is stored.
func (tx *Tx) Abandon() {
	tx.book.dead.Store(true)
	tx.release()
}

func (tx *Tx) release() {
	for _, r := range tx.order {
		r.mu.Unlock()
	}
	tx.locked, tx.order, tx.changes = nil, nil, nil
}

// run is a run that is locked for the Tx. The error wraps ErrUnknownRun.
func (tx *Tx) run(id rail.RunID) (*run, error) {
	if r := tx.locked[id]; r != nil {
		return r, nil
	}
	r, err := tx.book.find(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	tx.hold(r)
	return r, nil
}

func (tx *Tx) hold(r *run) {
	tx.locked[r.id] = r
	tx.order = append(tx.order, r)
}

// change ends a change that is a sum of adjusts.
func (tx *Tx) change(r *run, adjusts []inventory.Adjust) {
	adjusts = slices.DeleteFunc(adjusts, func(a inventory.Adjust) bool { return a.By == 0 })
	r.version.Revision++
	tx.changes = append(tx.changes, Change{Delta: event.RunDelta{Run: r.id, Version: r.version, Adjusts: adjusts}})
}

// restate ends a change that is told by the whole state.
func (tx *Tx) restate(r *run) {
	r.version.Revision++
	state := r.state()
	tx.changes = append(tx.changes, Change{Delta: event.RunDelta{Run: r.id, Version: r.version, Restated: true}, State: &state})
}

// Open opens the runs of a service date that are not open yet, at revision 1 and with one restated change each, and returns their number.
func (tx *Tx) Open(date rail.Date) (runs int) {
	for _, r := range tx.book.openings(date) {
		r.mu.Lock() // nobody else knows the run yet; its opening is its first change
		tx.hold(r)
		tx.restate(r)
		runs++
	}
	tx.book.insert(tx.order)
	return runs
}

// Sell sells places for a party from a stop to a later one. The error wraps the reason: ErrUnknownRun, ErrInvalid, ErrNotOffered, ErrSuspended,
// ErrDeparted, ErrNotOnSale, ErrRestricted or ErrSoldOut.
func (tx *Tx) Sell(id rail.RunID, code rail.Class, from, to rail.StopIndex, party Party) (Sale, error) {
	r, err := tx.run(id)
	if err != nil {
		return Sale{}, fmt.Errorf("sell: %w", err)
	}
	sale, err := tx.sell(r, code, from, to, party)
	if err != nil {
		return Sale{}, fmt.Errorf("sell %s class %q: %w", id, code, err)
	}
	return sale, nil
}

// sell looks at the reasons to refuse in the order in which the errors are declared.
func (tx *Tx) sell(r *run, code rail.Class, from, to rail.StopIndex, party Party) (Sale, error) {
	number, c, err := r.offered(code, from, to, party)
	if err != nil {
		return Sale{}, err
	}
	if err := r.checkSale(from, tx.book.cfg.Clock()); err != nil {
		return Sale{}, err
	}
	cuts, err := c.take(from, to, party)
	if err != nil {
		return Sale{}, err
	}
	tx.change(r, adjustsOf(code, cuts, from, to))
	sold := claim{class: uint8(number), from: from, to: to}
	for _, cut := range cuts {
		sold.seats = append(sold.seats, cut.seat)
	}
	r.claims[r.version.Revision] = sold
	return r.sale(r.version.Revision, sold), nil
}

// Offer is the pattern of a run and what a class costs for an OD, for one passenger in minor units. The error wraps ErrUnknownRun, ErrInvalid or ErrNotOffered.
func (tx *Tx) Offer(id rail.RunID, code rail.Class, from, to rail.StopIndex) (pattern *timetable.Pattern, fare rail.Money, err error) {
	r, err := tx.run(id)
	if err != nil {
		return nil, 0, err
	}
	number, _, err := r.offered(code, from, to, Party{Size: 1})
	if err != nil {
		return nil, 0, fmt.Errorf("%s class %q: %w", id, code, err)
	}
	fare, _, _ = r.pattern.Fare(number, from, to)
	return r.pattern, fare, nil
}

// Refund takes a sale back before its train leaves the from stop, also while the sale of the run is suspended or closed. The error wraps ErrUnknownRun,
// ErrSale or ErrDeparted.
func (tx *Tx) Refund(s Sale) error {
	r, err := tx.run(s.Run)
	if err != nil {
		return fmt.Errorf("refund: %w", err)
	}
	if departs := r.departure(s.From); !tx.book.cfg.Clock().Before(departs) {
		return fmt.Errorf("refund %s: %w: from stop %d at %s", s.Run, ErrDeparted, s.From, stamp(departs))
	}
	return tx.Return(s)
}

// Return takes a sale back whenever it is: a claim that was never paid for. The error wraps ErrUnknownRun or ErrSale.
func (tx *Tx) Return(s Sale) error {
	r, err := tx.run(s.Run)
	if err != nil {
		return fmt.Errorf("return: %w", err)
	}
	sold, known := r.claims[s.Version.Revision]
	if !known || !r.sale(s.Version.Revision, sold).same(s) {
		return fmt.Errorf("return of %s: %w: number %s; want one that was sold and not given back, unchanged", s.Run, ErrSale, s.Version)
	}
	delete(r.claims, s.Version.Revision)
	tx.change(r, r.giveBack(sold))
	return nil
}

// Labels are the seats of a sale of this Tx as travellers find them, none for places that are not assigned, and whether all of them are as wished.
func (tx *Tx) Labels(s Sale, wish Wish) (labels []Label, met bool) {
	r := tx.locked[s.Run]
	if r == nil {
		return nil, false
	}
	number, c, err := r.class(s.Class)
	if err != nil {
		return nil, false
	}
	return c.labels(number, s.Seats), c.wishMet(wish, s.Seats)
}
