package reservation_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// watch is a clock that a test sets.
type watch struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (w *watch) read() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watch) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// till is a provider that remembers what it was asked.
type till struct {
	mu      sync.Mutex // guards what follows
	refuse  error
	back    map[string]rail.Money
	refunds int
}

func (p *till) Start(context.Context, payment.Intent) error { return p.refuse }

func (p *till) Refund(_ context.Context, id string, amount rail.Money, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refunds++
	if p.refunds == 1 {
		return errors.New("busy: ask again")
	}
	p.back[id] = amount
	return nil
}

func (p *till) gaveBack() map[string]rail.Money {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.back)
}

// office is a Desk on a real database with one run of 40 places of class O and 5 to stand.
type office struct {
	t        *testing.T
	database *store.Database
	clock    *watch
	till     *till
	book     *booking.Book
	desk     *reservation.Desk
	stop     func() error
	run      rail.RunID
	trip     timetable.Trip
	term     reservation.Term
}

var rules = formation.Rules{Categories: []formation.Category{{Match: []string{"*"}, Classes: []formation.Class{
	{Class: "O", Places: 40}, {Class: "9", Places: 4},
}}}}

func newOffice(t *testing.T, address string) *office {
	t.Helper()
	database, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close() })
	o := &office{t: t, database: database, clock: &watch{now: time.Now()}, till: &till{back: map[string]rail.Money{}}}
	date := rail.DateOf(time.Now(), time.UTC) + 9
	o.trip = timetable.Trip{ID: "G1", Pattern: testkit.Pattern("G1", 600), Dates: []rail.Date{date}}
	o.run = rail.RunID{Date: date, Trip: "G1"}
	o.start()
	return o
}

// start goes on from what is stored, as a backend does.
func (o *office) start() {
	o.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	o.term, err = o.database.Lead(ctx, "desk", time.Now().Add(time.Minute))
	o.must(err)
	image, err := o.database.Load(ctx)
	o.must(err)
	schedule := &timetable.Schedule{Network: *testkit.Network(), Trips: []timetable.Trip{o.trip}}
	o.book = booking.NewBook(booking.Config{Epoch: 7, Clock: o.clock.read}, schedule, rules)
	for _, r := range image.Records {
		o.must(o.book.Restore(r, image.Patterns[r.Pattern]))
	}
	for _, s := range image.Sales {
		o.must(o.book.Claim(s))
	}
	o.book.Refill(image.Outbox, image.Acked)
	o.desk = reservation.New(reservation.Options{Book: o.book, Store: o.database, Provider: o.till, Term: o.term, Currency: "CNY", Clock: o.clock.read, Location: time.FixedZone("", 8*3600)})
	ended := make(chan error, 1)
	go func() { ended <- o.desk.Run(ctx) }()
	o.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	o.t.Cleanup(func() { _ = o.stop() })
	_, err = o.desk.Open(ctx, o.run.Date, schedule.Patterns())
	o.must(err)
	_ = o.desk.Do(ctx, func(tx *booking.Tx) error { return tx.Resume(o.run) }) // it may be opened suspended
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) request(key string, n int) reservation.Request {
	return reservation.Request{Key: key, Run: o.run, Class: "O", From: 0, To: 2, Passengers: n}
}

func (o *office) reserve(key string, n int) *reservation.Order {
	o.t.Helper()
	order, fresh, err := o.desk.Reserve(o.t.Context(), o.request(key, n))
	if err != nil || !fresh {
		o.t.Fatalf("reserve %s: fresh %t, %v", key, fresh, err)
	}
	return order
}

func (o *office) left() rail.SeatCount { return o.book.Remaining(o.run, "O", 0, 2) }

func (o *office) result(order *reservation.Order, outcome payment.Outcome) (*reservation.Order, error) {
	p := order.Last()
	return o.desk.PaymentResult(o.t.Context(), payment.Result{Payment: p.ID, Outcome: outcome, Amount: p.Amount, Currency: "CNY"})
}

func (o *office) pay(id string) *reservation.Order {
	o.t.Helper()
	order, err := o.desk.Pay(o.t.Context(), id, "")
	o.must(err)
	return order
}

func eachOffice(t *testing.T, test func(t *testing.T, o *office)) {
	testkit.Databases(t, func(t *testing.T, address string) { test(t, newOffice(t, address)) })
}

// D4: who goes away while the Desk is at work has an order or none, never half of one, and the same key tells which.
func TestAskersGoAway(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		var askers sync.WaitGroup
		for i := range 64 {
			askers.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					for range i % 8 {
						_, _ = o.desk.Order(t.Context(), "none") // takes a while, another each time
					}
					cancel()
				}()
				order, _, err := o.desk.Reserve(ctx, o.request(fmt.Sprint("gone-", i), 1))
				if (order == nil) != (err != nil) {
					t.Errorf("order %v with error %v; want one of them", order, err)
				}
				<-gone
			})
		}
		askers.Wait()
		held := 0
		for i := range 64 {
			_, _, err := o.desk.Reserve(t.Context(), o.request(fmt.Sprint("gone-", i), 1))
			if err == nil {
				held++
			} else if !errors.Is(err, booking.ErrSoldOut) {
				t.Error(err)
			}
		}
		if held != 40 || o.left() != 0 {
			t.Errorf("%d of 40 places held, %d left; want one for each key", held, o.left())
		}
	})
}

// The whole life of an order, and what a restart finds of it.
func TestLife(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		order := o.reserve("k1", 3)
		if order.State != reservation.Reserved || len(order.Labels) != 3 || order.Fare != 3*55300 || order.Journey.Train != "G1" || o.left() != 37 ||
			order.Deadline.Sub(order.Created) != 10*time.Minute {
			t.Fatalf("%+v with %d left", order, o.left())
		}
		order = o.pay(order.ID)
		if order.State != reservation.Reserved || order.Last().State != reservation.Pending {
			t.Fatalf("%+v", order)
		}
		order, err := o.result(order, payment.Succeeded)
		if err != nil || order.State != reservation.Paid {
			t.Fatalf("%+v, %v", order, err)
		}
		o.must(o.stop())
		o.start()
		if again, fresh, err := o.desk.Reserve(t.Context(), o.request("k1", 3)); err != nil || fresh || again.ID != order.ID || again.State != reservation.Paid || o.left() != 37 {
			t.Fatalf("D4: after a restart %+v, fresh %t, %v, %d left", again, fresh, err, o.left())
		}
		order, err = o.desk.Cancel(t.Context(), order.ID)
		if err != nil || order.State != reservation.Refunded || o.left() != 40 || order.Refund.Fee != 0 || order.Refund.Amount != 3*55300 {
			t.Fatalf("%+v, %v, %d left", order, err, o.left())
		}
		testkit.Eventually(t, "the money to go back, although the provider was busy", func() bool {
			order, err = o.desk.Order(t.Context(), order.ID)
			return err == nil && order.Last().State == reservation.GivenBack
		})
		if back := o.till.gaveBack(); len(back) != 1 || back[order.Last().ID] != 3*55300 {
			t.Errorf("gave back %v", back)
		}
		if _, err := o.desk.Cancel(t.Context(), order.ID); !errors.Is(err, reservation.ErrState) {
			t.Errorf("given back twice: %v", err)
		}
	})
}

// D1: from every state, each act either follows an arrow or is refused and changes nothing.
func TestStates(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		into := map[reservation.State]func(*reservation.Order){
			reservation.Reserved:  func(*reservation.Order) {},
			reservation.Cancelled: func(r *reservation.Order) { _, _ = o.desk.Cancel(ctx, r.ID) },
			reservation.Paid:      func(r *reservation.Order) { _, _ = o.result(o.pay(r.ID), payment.Succeeded) },
			reservation.Refunded: func(r *reservation.Order) {
				_, _ = o.result(o.pay(r.ID), payment.Succeeded)
				_, _ = o.desk.Cancel(ctx, r.ID)
			},
			reservation.Expired: func(r *reservation.Order) {
				pending := o.pay(r.ID)
				o.clock.add(time.Hour)
				_, _ = o.result(pending, payment.Succeeded)
			},
		}
		for _, state := range []reservation.State{reservation.Reserved, reservation.Paid, reservation.Cancelled, reservation.Refunded, reservation.Expired} {
			made := func(key string) *reservation.Order {
				order := o.reserve(fmt.Sprint(state, key), 1)
				into[state](order)
				order, err := o.desk.Order(ctx, order.ID)
				if err != nil || order.State != state {
					t.Fatalf("%v is not %s: %v", order, state, err)
				}
				return order
			}
			before := made("pay")
			_, err := o.desk.Pay(ctx, before.ID, "")
			if mayPay := state == reservation.Reserved; mayPay != (err == nil) || !mayPay && !errors.Is(err, reservation.ErrState) {
				t.Errorf("%s: pay: %v", state, err)
			}
			before = made("cancel")
			after, err := o.desk.Cancel(ctx, before.ID)
			want := map[reservation.State]reservation.State{reservation.Reserved: reservation.Cancelled, reservation.Paid: reservation.Refunded}[state]
			if want == "" != errors.Is(err, reservation.ErrState) || err == nil && after.State != want {
				t.Errorf("%s: cancelled to %v, %v", state, after, err)
			}
		}
	})
}

// D6: money that comes late, twice or for nothing goes back, and the order says so; what does not fit is refused.
func TestPayments(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		twice := o.pay(o.reserve("twice", 1).ID)
		for range 3 {
			if got, err := o.result(twice, payment.Succeeded); err != nil || got.State != reservation.Paid || got.Last().State != reservation.Succeeded {
				t.Errorf("told again: %+v, %v", got, err)
			}
		}
		if got, err := o.result(twice, payment.Failed); err != nil || got.State != reservation.Paid {
			t.Errorf("success, then failure: %+v, %v", got, err)
		}

		failed := o.pay(o.reserve("failed", 1).ID)
		got, err := o.result(failed, payment.Failed)
		if err != nil || got.State != reservation.Reserved || got.Last().State != reservation.Failed {
			t.Errorf("failed: %+v, %v", got, err)
		}
		second := o.pay(failed.ID)
		if _, err := o.desk.Pay(ctx, failed.ID, ""); !errors.Is(err, reservation.ErrState) {
			t.Errorf("a payment beside one that is under way: %v", err)
		}
		if got, err := o.result(second, payment.Succeeded); err != nil || got.State != reservation.Paid || len(got.Payments) != 2 {
			t.Errorf("second attempt: %+v, %v", got, err)
		}

		cancelled := o.pay(o.reserve("cancelled", 1).ID)
		if _, err := o.desk.Cancel(ctx, cancelled.ID); err != nil {
			t.Error(err)
		}
		if got, err := o.result(cancelled, payment.Succeeded); err != nil || got.State != reservation.Cancelled || got.Last().State != reservation.RefundDue || got.Last().Note == "" {
			t.Errorf("paid after cancelling: %+v, %v", got, err)
		}

		late, left := o.pay(o.reserve("late", 2).ID), o.left()
		o.clock.add(10 * time.Minute)
		if got, err := o.result(late, payment.Succeeded); err != nil || got.State != reservation.Expired || got.Last().Note != "paid after the deadline: the money goes back" || o.left() != left+2 {
			t.Errorf("late: %+v, %v, %d left", got, err, o.left())
		}
		testkit.Eventually(t, "late money to go back", func() bool { return o.till.gaveBack()[late.Last().ID] == 2*55300 })

		for name, r := range map[string]payment.Result{
			"another amount":   {Payment: twice.Last().ID, Outcome: payment.Succeeded, Amount: 1, Currency: "CNY"},
			"another currency": {Payment: twice.Last().ID, Outcome: payment.Succeeded, Amount: 55300, Currency: "USD"},
			"another outcome":  {Payment: failed.Last().ID, Outcome: "perhaps", Amount: 55300, Currency: "CNY"},
		} {
			if _, err := o.desk.PaymentResult(ctx, r); !errors.Is(err, reservation.ErrPayment) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, id := range []string{"", "p_", "p_x_1", "nonsense", twice.Last().ID + "9"} {
			if _, err := o.desk.PaymentResult(ctx, payment.Result{Payment: id}); !errors.Is(err, reservation.ErrUnknown) {
				t.Errorf("payment %q: %v", id, err)
			}
		}
		o.till.refuse = errors.New("closed")
		if got, err := o.desk.Pay(ctx, o.reserve("refused", 1).ID, ""); err != nil || got.Last().State != reservation.Failed {
			t.Errorf("a provider that refuses: %+v, %v", got, err)
		}
		if _, err := o.desk.Pay(ctx, "r_x", "bribe"); !errors.Is(err, payment.ErrBehaviour) {
			t.Errorf("behaviour: %v", err)
		}
	})
}

// Orders that nobody pays for expire by themselves, also after a restart.
func TestExpiry(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		var ids []string
		for i := range 5 {
			ids = append(ids, o.reserve(fmt.Sprint("k", i), 4).ID)
		}
		o.must(o.stop())
		o.clock.add(10 * time.Minute)
		o.start()
		testkit.Eventually(t, "all places back", func() bool { return o.left() == 40 })
		for _, id := range ids {
			if order, err := o.desk.Order(t.Context(), id); err != nil || order.State != reservation.Expired {
				t.Errorf("%+v, %v", order, err)
			}
		}
	})
}

// The fee grows as the departure comes nearer; nothing is given back afterwards.
func TestFees(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		depart := o.run.Date.At(600, time.FixedZone("", 8*3600))
		o.clock.add(depart.Add(-200 * time.Hour).Sub(o.clock.read()))
		for i, c := range []struct {
			left    time.Duration
			percent rail.Money
		}{{192 * time.Hour, 0}, {192*time.Hour - 1, 5}, {48 * time.Hour, 5}, {47 * time.Hour, 10}, {24 * time.Hour, 10}, {23 * time.Hour, 20}, {4 * time.Minute, 20}} {
			o.clock.add(depart.Add(-c.left).Sub(o.clock.read()))
			order, err := o.result(o.pay(o.reserve(fmt.Sprint(i), 2).ID), payment.Succeeded)
			o.must(err)
			if order, err = o.desk.Cancel(t.Context(), order.ID); err != nil || order.Refund.Fee != 2*55300*c.percent/100 || order.Refund.Fee+order.Refund.Amount != order.Fare {
				t.Errorf("%s before: %+v, %v; want %d percent", c.left, order.Refund, err, c.percent)
			}
		}
		last, err := o.result(o.pay(o.reserve("last", 1).ID), payment.Succeeded)
		o.must(err)
		o.clock.add(4 * time.Minute)
		if _, err := o.desk.Cancel(t.Context(), last.ID); !errors.Is(err, booking.ErrDeparted) {
			t.Errorf("given back after departure: %v", err)
		}
	})
}

// D4, B8: what is refused changes nothing; a key stands for one request, however many send it at once.
func TestRefusals(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		o.reserve("used", 1)
		for name, c := range map[string]struct {
			change func(*reservation.Request)
			want   error
		}{
			"a used key":      {func(q *reservation.Request) { q.Key = "used" }, reservation.ErrKeyReused},
			"no key":          {func(q *reservation.Request) { q.Key = "" }, booking.ErrInvalid},
			"a key of blanks": {func(q *reservation.Request) { q.Key = "a b" }, booking.ErrInvalid},
			"no such run":     {func(q *reservation.Request) { q.Run.Trip = "G9" }, booking.ErrUnknownRun},
			"no such class":   {func(q *reservation.Request) { q.Class = "3" }, booking.ErrNotOffered},
			"the wrong way":   {func(q *reservation.Request) { q.From, q.To = 2, 0 }, booking.ErrInvalid},
			"nobody":          {func(q *reservation.Request) { q.Passengers = 0 }, booking.ErrInvalid},
			"ten":             {func(q *reservation.Request) { q.Passengers = 10 }, booking.ErrInvalid},
			"a wish for more": {func(q *reservation.Request) { q.Wish = "bathtub" }, booking.ErrInvalid},
			"too many":        {func(q *reservation.Request) { q.Class = "9" }, booking.ErrSoldOut},
		} {
			q := o.request(name[:1]+"x", 5)
			c.change(&q)
			if _, _, err := o.desk.Reserve(ctx, q); !errors.Is(err, c.want) {
				t.Errorf("%s: %v; want %v", name, err, c.want)
			}
		}
		if _, err := o.desk.Cancel(ctx, "r_nobody"); !errors.Is(err, reservation.ErrUnknown) {
			t.Errorf("unknown: %v", err)
		}
		if state, _ := o.book.State(o.run); o.left() != 39 || state.Version.Revision > 3 {
			t.Errorf("B8: %d left at %s", o.left(), state.Version)
		}
		var crowd sync.WaitGroup
		var mu sync.Mutex
		ids, fresh := map[string]bool{}, 0
		for range 32 {
			crowd.Go(func() {
				order, first, err := o.desk.Reserve(ctx, o.request("same", 2))
				mu.Lock()
				defer mu.Unlock()
				if ids[order.ID] = true; err != nil {
					t.Error(err)
				}
				if first {
					fresh++
				}
			})
		}
		crowd.Wait()
		if len(ids) != 1 || fresh != 1 || o.left() != 37 {
			t.Errorf("D4: one request made %d orders, %d fresh, %d left", len(ids), fresh, o.left())
		}
	})
}

// Another formation: who loses a seat is listed, keeps the order, and can give it back.
func TestFormation(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		var ids []string
		for i := range 10 {
			ids = append(ids, o.reserve(fmt.Sprint(i), 4).ID)
		}
		touched, err := o.desk.Reform(t.Context(), o.run, "O", 38)
		o.must(err)
		if len(touched) != 1 || touched[0].ID != ids[9] || len(touched[0].Labels) != 2 || o.left() != 0 {
			t.Fatalf("touched %+v, %d left", touched, o.left())
		}
		o.must(o.stop())
		o.start()
		for _, id := range slices.Backward(ids) {
			if _, err := o.desk.Cancel(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
		if o.left() != 38 {
			t.Errorf("%d left, want 38", o.left())
		}
	})
}

// D3, D7: a Desk whose lead was taken stores nothing, answers nothing as done, and ends; its Book is of no use.
func TestFenced(t *testing.T) {
	eachOffice(t, func(t *testing.T, o *office) {
		o.reserve("before", 1)
		if _, err := o.database.Lead(t.Context(), "desk", time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := o.desk.Reserve(t.Context(), o.request("after", 1)); !errors.Is(err, reservation.ErrUnavailable) {
			t.Errorf("reserved by one that does not lead: %v", err)
		}
		if err := o.stop(); !errors.Is(err, reservation.ErrFenced) {
			t.Errorf("ended with %v", err)
		}
		if _, known := o.book.State(o.run); known {
			t.Error("its Book still answers")
		}
		if _, _, err := o.desk.Reserve(t.Context(), o.request("later", 1)); !errors.Is(err, reservation.ErrUnavailable) {
			t.Errorf("reserved after the end: %v", err)
		}
		o.start()
		if o.left() != 39 {
			t.Errorf("%d left, want 39", o.left())
		}
	})
}
