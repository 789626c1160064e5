package reservation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Options of a Desk; zero values take the defaults.
type Options struct {
	Book  *booking.Book
	Store Store
	// Provider of payments; nil where none are made.
	Provider payment.Provider
	// Bookmark, if set, is a place in the feed behind everything that the outbox has let go; empty if nothing is known of it.
	Bookmark func() string
	// Term that the Desk leads in, and Lease how long it keeps the lead without a commit. Default 3 s.
	Term  Term
	Lease time.Duration
	// Hold is how long an order may stay unpaid. Default 10 min.
	Hold time.Duration
	// Fees of refunds. Default: DefaultFees.
	Fees []Fee
	// Currency of the fares.
	Currency string
	Location *time.Location
	// Clock is the time; default time.Now.
	Clock func() time.Time
}

func (o Options) orDefault() Options {
	if o.Lease <= 0 {
		o.Lease = 3 * time.Second
	}
	if o.Hold <= 0 {
		o.Hold = 10 * time.Minute
	}
	if o.Fees == nil {
		o.Fees = DefaultFees()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Bookmark == nil {
		o.Bookmark = func() string { return "" }
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	return o
}

const (
	// maxBatch requests are stored together at most: what 1 ms of disk brings at 100,000 requests/s is more than a disk that slow can be asked for.
	maxBatch = 256
	// houseInterval is how often a Desk looks for orders to expire and refunds to make, and renews its lead.
	houseInterval = 200 * time.Millisecond
	// houseLimit is how many orders one look takes.
	houseLimit = 200
)

// Desk carries out requests one batch after the other: all that came while the last batch was being stored make the next. So one transaction, with its wait
// for the disk, is shared by as many as there are, and nobody has to lock anybody out. All methods but Run are safe for concurrent use.
type Desk struct {
	Options
	requests chan *request
	ended    chan struct{}

	// Of Run alone: when the lead was renewed last, and what had left the outbox then.
	kept  time.Time
	acked int64
}

// request is one thing to do within a batch.
type request struct {
	// ids and keys of orders to look up before.
	ids, keys []string
	// do changes what it wants to, or refuses and changes nothing (B8).
	do     func(*batch) error
	answer chan error
}

// New makes a Desk. Run it.
func New(o Options) *Desk {
	return &Desk{Options: o.orDefault(), requests: make(chan *request, maxBatch), ended: make(chan struct{})}
}

// Run carries out requests until ctx ends (nil) or storing fails (the error, D3). It can be run once.
func (d *Desk) Run(ctx context.Context) error {
	defer close(d.ended)
	house := time.NewTicker(houseInterval)
	defer house.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case first := <-d.requests:
			err = d.carryOut(d.gather(first))
		case <-house.C:
			err = d.keepHouse(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// gather takes what else is waiting.
func (d *Desk) gather(first *request) []*request {
	all := []*request{first}
	for len(all) < maxBatch {
		select {
		case next := <-d.requests:
			all = append(all, next)
		default:
			return all
		}
	}
	return all
}

// storeTimeout bounds a batch: a database that takes longer is away.
const storeTimeout = 10 * time.Second

// carryOut does requests as one batch. An error means that the Desk must end (D3).
func (d *Desk) carryOut(requests []*request) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout) // whoever asked may go; what is begun is ended
	defer cancel()
	b, err := d.open(ctx, requests)
	if err != nil {
		return d.giveUp(b, requests, err)
	}
	refusals := make([]error, len(requests))
	for i, r := range requests {
		refusals[i] = r.do(b)
	}
	if err := b.store(ctx); err != nil {
		return d.giveUp(b, requests, err)
	}
	for i, r := range requests {
		r.answer <- refusals[i]
	}
	return nil
}

func (d *Desk) giveUp(b *batch, requests []*request, err error) error {
	if b != nil {
		b.tx.Abandon()
	}
	for _, r := range requests {
		r.answer <- fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// submit has a request carried out. After an error of ctx it may have been.
func (d *Desk) submit(ctx context.Context, r *request) error {
	r.answer = make(chan error, 1)
	select {
	case d.requests <- r:
	case <-d.ended:
		return ErrUnavailable
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.answer:
		return err
	case <-d.ended:
		select {
		case err := <-r.answer: // the last thing it did
			return err
		default:
			return ErrUnavailable
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask has a request carried out and returns what do made. Who goes away before the answer gets nothing of it: the Desk may be at it still.
func ask[T any](ctx context.Context, d *Desk, r *request, do func(*batch) (T, error)) (T, error) {
	var made, nothing T
	r.do = func(b *batch) (err error) {
		made, err = do(b)
		return err
	}
	if err := d.submit(ctx, r); err != nil {
		return nothing, err
	}
	return made, nil
}

// Reserve reserves places. Fresh is false if the same request was carried out before (D4). The error wraps one of a sale's, ErrKeyReused or ErrUnavailable.
func (d *Desk) Reserve(ctx context.Context, q Request) (o *Order, fresh bool, err error) {
	if err := q.check(); err != nil {
		return nil, false, err
	}
	type reserved struct {
		order *Order
		fresh bool
	}
	r, err := ask(ctx, d, &request{keys: []string{q.Key}}, func(b *batch) (reserved, error) {
		if old := b.keys[q.Key]; old != nil {
			if old.Fingerprint != q.fingerprint() {
				return reserved{}, fmt.Errorf("%w: %q was sent with another request", ErrKeyReused, q.Key)
			}
			return reserved{order: old.clone()}, nil
		}
		made, err := b.reserve(&q)
		if err != nil {
			return reserved{}, err
		}
		return reserved{made.clone(), true}, nil
	})
	return r.order, r.fresh, err
}

func (q *Request) check() error {
	if n := len(q.Key); n < 1 || n > MaxKey {
		return fmt.Errorf("%w: key of %d characters; want 1 to %d", booking.ErrInvalid, n, MaxKey)
	}
	for _, c := range []byte(q.Key) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("%w: key %q; want printable ASCII without blanks", booking.ErrInvalid, q.Key)
		}
	}
	return nil
}

// Order looks an order up. The error wraps ErrUnknown, or is the store's.
func (d *Desk) Order(ctx context.Context, id string) (*Order, error) {
	found, err := d.Store.Find(ctx, []string{id}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %.40q", ErrUnknown, id)
	}
	return found[0], nil
}

// change does something with one order.
func (d *Desk) change(ctx context.Context, id string, do func(*batch, *Order) error) (*Order, error) {
	return ask(ctx, d, &request{ids: []string{id}}, func(b *batch) (*Order, error) {
		o := b.orders[id]
		if o == nil {
			return nil, fmt.Errorf("%w: %.40q", ErrUnknown, id)
		}
		next := o.clone()
		if err := do(b, next); err != nil {
			return nil, err
		}
		b.put(next)
		return next.clone(), nil
	})
}

// Cancel gives an order's places back: a RESERVED one is CANCELLED, a PAID one REFUNDED, less a fee. The error wraps ErrUnknown, ErrState,
// booking.ErrDeparted or ErrUnavailable.
func (d *Desk) Cancel(ctx context.Context, id string) (*Order, error) {
	return d.change(ctx, id, func(b *batch, o *Order) error {
		if o.State == Paid {
			return b.refund(o)
		}
		return b.giveUp(o, Cancelled)
	})
}

// Pay starts a payment of a RESERVED order with the provider. The error wraps ErrUnknown, ErrState, payment.ErrBehaviour or ErrUnavailable.
func (d *Desk) Pay(ctx context.Context, id, behaviour string) (*Order, error) {
	if !payment.Knows(behaviour) {
		return nil, fmt.Errorf("%w %.40q; want one of %q", payment.ErrBehaviour, behaviour, payment.Behaviours)
	}
	o, err := d.change(ctx, id, func(b *batch, o *Order) error {
		if p := o.Last(); o.State != Reserved || !b.now.Before(o.Deadline) {
			return fmt.Errorf("%w: reservation is %s, deadline %s; want RESERVED in time", ErrState, o.State, o.Deadline.Format(time.RFC3339))
		} else if p != nil && p.State == Pending {
			return fmt.Errorf("%w: payment %s is under way", ErrState, p.ID)
		}
		o.Payments = append(o.Payments, Payment{ID: paymentID(o.ID, len(o.Payments)+1), State: Pending, Amount: o.Fare})
		return nil
	})
	if err != nil {
		return nil, err
	}
	p := o.Last()
	intent := payment.Intent{ID: p.ID, Amount: p.Amount, Currency: o.Currency, Deadline: o.Deadline, Behaviour: behaviour}
	if err := d.Provider.Start(ctx, intent); err != nil { // stored first: money must never come in for a payment that nobody knows
		return d.PaymentResult(ctx, payment.Result{Payment: p.ID, Outcome: payment.Failed, Amount: p.Amount, Currency: o.Currency})
	}
	return o, nil
}

// PaymentResult takes what a provider says, as often as it says it. The error wraps ErrUnknown, ErrPayment or ErrUnavailable.
func (d *Desk) PaymentResult(ctx context.Context, r payment.Result) (*Order, error) {
	return d.change(ctx, orderOf(r.Payment), func(b *batch, o *Order) error { return b.settle(o, r) })
}

// Do carries out a change of the railway's own: a suspension, a release.
func (d *Desk) Do(ctx context.Context, change func(*booking.Tx) error) error {
	return d.submit(ctx, &request{do: func(b *batch) error { return change(b.tx) }})
}

// Open opens the runs of a service date and returns their number. Their patterns are stored with them.
func (d *Desk) Open(ctx context.Context, date rail.Date, patterns []*timetable.Pattern) (runs int, err error) {
	return ask(ctx, d, &request{}, func(b *batch) (int, error) {
		runs := b.tx.Open(date)
		if runs > 0 {
			b.stored.Patterns = patterns
		}
		return runs, nil
	})
}

// Begin stores the epoch of the history, which is the Book's.
func (d *Desk) Begin(ctx context.Context, epoch uint64) error {
	return d.submit(ctx, &request{do: func(b *batch) error {
		b.stored.Epoch = epoch
		return nil
	}})
}

// CloseBefore lets the runs of earlier service dates go.
func (d *Desk) CloseBefore(ctx context.Context, date rail.Date) error {
	return d.submit(ctx, &request{do: func(b *batch) error {
		if d.Book.CloseBefore(date) {
			b.stored.ClosedBefore = date
		}
		return nil
	}})
}

// Raise begins a new history: every run is told again under a higher epoch.
func (d *Desk) Raise(ctx context.Context, epoch uint64) error {
	return d.submit(ctx, &request{do: func(b *batch) error {
		for _, id := range d.Book.Runs() {
			if err := b.tx.Raise(id, epoch); err != nil {
				return err
			}
		}
		b.stored.Epoch = epoch
		return nil
	}})
}

// Reform changes the number of assigned places of a class of a run. It returns the orders with a seat that moved or that is left unseated.
func (d *Desk) Reform(ctx context.Context, run rail.RunID, class rail.Class, places rail.SeatCount) ([]*Order, error) {
	return ask(ctx, d, &request{}, func(b *batch) (touched []*Order, err error) {
		orders, err := d.Store.OfRun(b.ctx, run)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		byRevision := make(map[uint64]*Order, len(orders))
		for _, o := range orders {
			if newer := b.orders[o.ID]; newer != nil {
				o = newer
			}
			byRevision[o.Sale.Version.Revision] = o
		}
		for id := range b.changed { // made in this very batch
			o := b.orders[id]
			byRevision[o.Sale.Version.Revision] = o
		}
		moved, err := b.tx.Reform(run, class, places)
		if err != nil {
			return nil, err
		}
		for _, sale := range moved {
			o := byRevision[sale.Version.Revision]
			if o == nil || o.Sale.Run != run {
				continue // its order is not among those that hold places
			}
			next := o.clone()
			next.Sale.Seats = sale.Seats
			next.Labels, next.WishMet = b.tx.Labels(next.Sale, next.Wish)
			b.put(next)
			touched = append(touched, next.clone())
		}
		return touched, nil
	})
}

// keepHouse expires orders, asks for refunds, and renews the lead.
func (d *Desk) keepHouse(ctx context.Context) error {
	overdue, err := d.Store.Overdue(ctx, d.Clock(), houseLimit)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	owing, err := d.Store.Owing(ctx, houseLimit)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	requests := []*request{{do: func(b *batch) error {
		b.renew = b.now.Sub(d.kept) > d.Lease/3 || d.Book.Outbox().Acked() > d.acked
		return nil
	}}}
	for _, id := range overdue {
		requests = append(requests, &request{ids: []string{id}, do: func(b *batch) error { return b.expire(id) }})
	}
	for _, o := range owing {
		if d.giveBack(ctx, o) {
			requests = append(requests, &request{ids: []string{o.ID}, do: func(b *batch) error { return b.gaveBack(o) }})
		}
	}
	for _, r := range requests {
		r.answer = make(chan error, 1)
	}
	return d.carryOut(requests)
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// giveBack asks the provider for the refunds that an order owes, and reports whether it took all. It is asked again otherwise.
func (d *Desk) giveBack(ctx context.Context, o *Order) bool {
	if d.Provider == nil {
		return false
	}
	var failed error
	for _, p := range o.Payments {
		if p.State == RefundDue {
			failed = errors.Join(failed, d.Provider.Refund(ctx, p.ID, p.Back, o.Currency))
		}
	}
	return failed == nil
}
