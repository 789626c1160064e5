package reservation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/rail"
)

// batch is what a Desk is about to store: the orders that its requests look at, as they are after those before.
type batch struct {
	desk    *Desk
	ctx     context.Context //nolint:containedctx // lives as long as one call of carryOut
	now     time.Time
	tx      *booking.Tx
	orders  map[string]*Order
	keys    map[string]*Order
	changed map[string]bool
	stored  Batch
	renew   bool
}

// open looks up the orders that the requests are about.
func (d *Desk) open(ctx context.Context, requests []*request) (*batch, error) {
	b := &batch{
		desk: d, ctx: ctx, now: d.Clock(), tx: d.Book.Begin(),
		orders: map[string]*Order{}, keys: map[string]*Order{}, changed: map[string]bool{},
	}
	var ids, keys []string
	for _, r := range requests {
		ids, keys = append(ids, r.ids...), append(keys, r.keys...)
	}
	if len(ids)+len(keys) == 0 {
		return b, nil
	}
	found, err := d.Store.Find(ctx, ids, keys)
	for _, o := range found {
		b.orders[o.ID], b.keys[o.Key] = o, o
	}
	return b, err
}

// put notes an order as it now is.
func (b *batch) put(o *Order) {
	b.orders[o.ID], b.keys[o.Key], b.changed[o.ID] = o, o, true
}

// store commits what has changed, first to the store, then to the Book (D3).
func (b *batch) store(ctx context.Context) error {
	s, outbox := &b.stored, b.desk.Book.Outbox()
	b.tx.Stamp()
	s.Changes, s.Records, s.Acked = b.tx.Changes(), b.tx.Records(), outbox.Acked()
	s.Bookmark = b.desk.Bookmark() // after Acked: it must lie behind
	for id := range b.changed {
		s.Orders = append(s.Orders, b.orders[id])
	}
	if len(s.Changes)+len(s.Orders) > 0 || b.renew || s.ClosedBefore != 0 || s.Epoch != 0 {
		s.Term, s.Until = b.desk.Term, b.now.Add(b.desk.Lease)
		if err := b.desk.Store.Commit(ctx, s); err != nil {
			return err
		}
		b.desk.kept, b.desk.acked = b.now, s.Acked
	}
	b.tx.Commit()
	return nil
}

func (b *batch) reserve(q *Request) (*Order, error) {
	pattern, fare, err := b.tx.Offer(q.Run, q.Class, q.From, q.To)
	if err != nil {
		return nil, err
	}
	sale, err := b.tx.Sell(q.Run, q.Class, q.From, q.To, booking.Party{Size: q.Passengers, Wish: q.Wish})
	if err != nil {
		return nil, err
	}
	from, to := pattern.Stops[q.From], pattern.Stops[q.To]
	o := &Order{
		ID: newID(), Key: q.Key, Fingerprint: q.fingerprint(), State: Reserved, Sale: sale, Wish: q.Wish,
		Journey: Journey{
			Train: pattern.TrainAt(q.From), From: from.Station, To: to.Station,
			Depart: b.at(q.Run.Date, from.Depart), Arrive: b.at(q.Run.Date, to.Arrive),
		},
		Fare: fare * rail.Money(q.Passengers), Currency: b.desk.Currency, Created: b.now.Round(0).UTC(), Deadline: b.now.Add(b.desk.Hold).Round(0).UTC(),
	}
	o.Labels, o.WishMet = b.tx.Labels(sale, q.Wish)
	b.put(o)
	return o, nil
}

func (b *batch) at(date rail.Date, m rail.Minutes) time.Time { return date.At(m, b.desk.Location) }

// giveUp ends an unpaid order. A run that is let go has no places to give back.
func (b *batch) giveUp(o *Order, next State) error {
	if err := o.become(next); err != nil {
		return err
	}
	return b.free(o)
}

func (b *batch) free(o *Order) error {
	if err := b.tx.Return(o.Sale); !errors.Is(err, booking.ErrUnknownRun) {
		return err
	}
	return nil
}

// expire ends an order whose deadline is past. One that was paid or cancelled since is left alone.
func (b *batch) expire(id string) error {
	o := b.orders[id]
	if o == nil || o.State != Reserved {
		return nil
	}
	next := o.clone()
	if err := b.giveUp(next, Expired); err != nil {
		return err
	}
	b.put(next)
	return nil
}

// refund ends a paid order: the fare goes back, less the fee.
func (b *batch) refund(o *Order) error {
	left := o.Journey.Depart.Sub(b.now)
	if left <= 0 {
		return fmt.Errorf("%w: the train left at %s", booking.ErrDeparted, o.Journey.Depart.Format(time.RFC3339))
	}
	fee := feeOf(b.desk.Fees, o.Fare, left)
	if err := b.free(o); err != nil {
		return err
	}
	if err := o.become(Refunded); err != nil {
		return err
	}
	o.Refund = &Refund{Amount: o.Fare - fee, Fee: fee, Reason: "given back by the traveller"}
	for i := range o.Payments {
		if p := &o.Payments[i]; p.State == Succeeded {
			p.State, p.Back, p.Note = RefundDue, o.Fare-fee, "ticket given back"
		}
	}
	return nil
}

// settle takes a provider's result. What it says again changes nothing.
func (b *batch) settle(o *Order, r payment.Result) error {
	p, err := o.payment(r.Payment)
	if err != nil {
		return err
	}
	if r.Amount != p.Amount || r.Currency != o.Currency {
		return fmt.Errorf("%w: %s is of %d %s; want %d %s", ErrPayment, p.ID, r.Amount, r.Currency, p.Amount, o.Currency)
	}
	switch {
	case r.Outcome == payment.Failed && p.State == Pending:
		p.State, p.Note = Failed, "refused by the provider"
		return nil
	case r.Outcome == payment.Failed, r.Outcome == payment.Succeeded && p.State != Pending && p.State != Failed:
		return nil
	case r.Outcome != payment.Succeeded:
		return fmt.Errorf("%w: outcome %.20q; want %s or %s", ErrPayment, r.Outcome, payment.Succeeded, payment.Failed)
	}
	if o.State == Reserved && !b.now.Before(o.Deadline) {
		if err := b.giveUp(o, Expired); err != nil {
			return err
		}
	}
	if o.State != Reserved {
		p.State, p.Back, p.Note = RefundDue, p.Amount, lateNote(o.State) // D6
		return nil
	}
	p.State, p.Note = Succeeded, ""
	return o.become(Paid)
}

func lateNote(s State) string {
	switch s {
	case Expired:
		return "paid after the deadline: the money goes back"
	case Paid:
		return "paid twice: the money goes back"
	default:
		return "paid after the reservation was " + string(s) + ": the money goes back"
	}
}

// gaveBack notes that the provider has taken the refunds of an order.
func (b *batch) gaveBack(seen *Order) error {
	next := b.orders[seen.ID].clone()
	for _, done := range seen.Payments {
		if p, err := next.payment(done.ID); err == nil && done.State == RefundDue {
			p.State = GivenBack
		}
	}
	b.put(next)
	return nil
}
