// Package reservation turns sales of the Book into orders that are reserved, paid, cancelled and refunded, and stores each change before anybody hears of it.
//
//	requests -> Desk: one batch after the other -> booking.Tx -> Store.Commit -> answers, and the Outbox
//
// Invariants (cited by the tests as D1...):
//
//	D1 An order changes its state only along the arrows of the state machine below.
//	D2 The order, the run's new version and the outbox rows of a batch are stored in one transaction, or none is.
//	D3 Nothing is answered or published before it is stored. What could not be stored, or may not have been, is answered as ErrUnavailable, and the Desk
//	   ends: whoever goes on begins with what is stored.
//	D4 A key stands for one request: the same request again gives the same order, another one is refused.
//	D5 The places of an order are its own while it is RESERVED or PAID, and in no other state.
//	D6 Money that comes in for an order that is not RESERVED, or after its deadline, goes back, and the order says so.
//	D7 Of two Desks on one database, the later leads. The earlier stores nothing any more (Store.Commit gives ErrFenced).
//
//	RESERVED --pay--> PAID --refund--> REFUNDED
//	    |-- cancel --> CANCELLED
//	    '-- deadline -> EXPIRED
package reservation

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/rail"
)

// Errors of a Desk, beside those of a sale (booking).
var (
	// ErrUnknown: there is no such order or payment.
	ErrUnknown = errors.New("unknown reservation")
	// ErrState: the order is in a state in which this cannot be done (D1).
	ErrState = errors.New("wrong state")
	// ErrKeyReused: the key stands for another request (D4).
	ErrKeyReused = errors.New("idempotency key reused")
	// ErrPayment: what the provider says does not fit the payment.
	ErrPayment = errors.New("contradictory payment")
	// ErrUnavailable: the request was not carried out, or may not have been. Ask again with the same key (D3).
	ErrUnavailable = errors.New("unavailable")
	// ErrFenced: another backend leads (D7).
	ErrFenced = errors.New("another backend leads")
)

// State of an order.
type State string

// The states.
const (
	Reserved  State = "RESERVED"
	Paid      State = "PAID"
	Cancelled State = "CANCELLED"
	Expired   State = "EXPIRED"
	Refunded  State = "REFUNDED"
)

// arrows are the state machine (D1).
var arrows = map[State][]State{Reserved: {Paid, Cancelled, Expired}, Paid: {Refunded}}

// Holds reports whether an order in this state has its places (D5).
func (s State) Holds() bool { return s == Reserved || s == Paid }

// Request is a wish to reserve.
type Request struct {
	// Key names the request: 1 to MaxKey printable ASCII characters (D4).
	Key        string
	Run        rail.RunID
	Class      rail.Class
	From, To   rail.StopIndex
	Passengers int
	Wish       booking.Wish
}

// MaxKey is the greatest length of a key.
const MaxKey = 64

// fingerprint is equal for equal requests only.
func (q *Request) fingerprint() string {
	return fmt.Sprintf("%s %q %d %d %d %s", q.Run, q.Class, q.From, q.To, q.Passengers, q.Wish)
}

// Order is a reservation and all that became of it. It is stored as it is, so that its JSON names are a format.
type Order struct {
	ID          string `json:"id"`
	Key         string `json:"key"`
	Fingerprint string `json:"fingerprint"`
	State       State  `json:"state"`

	Sale    booking.Sale    `json:"sale"`
	Journey Journey         `json:"journey"`
	Labels  []booking.Label `json:"labels,omitempty"`
	Wish    booking.Wish    `json:"wish,omitempty"`
	WishMet bool            `json:"wish_met,omitempty"`

	// Fare of all passengers, in minor units of Currency.
	Fare     rail.Money `json:"fare"`
	Currency string     `json:"currency"`
	Created  time.Time  `json:"created"`
	Deadline time.Time  `json:"deadline"`
	// Payments in the order in which they were started.
	Payments []Payment `json:"payments,omitempty"`
	Refund   *Refund   `json:"refund,omitempty"`
}

// Journey is what a traveller sees of the train, as it was when the order was made.
type Journey struct {
	Train  string           `json:"train"`
	From   rail.StationCode `json:"from"`
	To     rail.StationCode `json:"to"`
	Depart time.Time        `json:"depart"`
	Arrive time.Time        `json:"arrive"`
}

// PaymentState is how far a payment is.
type PaymentState string

// The states of a payment.
const (
	Pending   PaymentState = "PENDING"
	Succeeded PaymentState = "SUCCEEDED"
	Failed    PaymentState = "FAILED"
	RefundDue PaymentState = "REFUND_DUE"
	GivenBack PaymentState = "REFUNDED"
)

// Payment is one attempt to pay an order.
type Payment struct {
	ID    string       `json:"id"`
	State PaymentState `json:"state"`
	// Amount that is paid, and what of it is to go back or has gone.
	Amount rail.Money `json:"amount"`
	Back   rail.Money `json:"back,omitempty"`
	// Note says why it failed or went back.
	Note string `json:"note,omitempty"`
}

// Refund is what the traveller got back of a paid order.
type Refund struct {
	Amount rail.Money `json:"amount"`
	Fee    rail.Money `json:"fee"`
	Reason string     `json:"reason"`
}

// Passengers of the order.
func (o *Order) Passengers() int { return len(o.Sale.Seats) }

// Last is the payment that was started last; nil if none was.
func (o *Order) Last() *Payment {
	if len(o.Payments) == 0 {
		return nil
	}
	return &o.Payments[len(o.Payments)-1]
}

// OwesRefund reports whether money is to go back.
func (o *Order) OwesRefund() bool {
	return slices.ContainsFunc(o.Payments, func(p Payment) bool { return p.State == RefundDue })
}

// clone is a copy that shares nothing that changes.
func (o *Order) clone() *Order {
	c := *o
	c.Sale.Seats, c.Labels, c.Payments = slices.Clone(o.Sale.Seats), slices.Clone(o.Labels), slices.Clone(o.Payments)
	if o.Refund != nil {
		refund := *o.Refund
		c.Refund = &refund
	}
	return &c
}

// become moves an order along an arrow (D1).
func (o *Order) become(next State) error {
	if !slices.Contains(arrows[o.State], next) {
		return fmt.Errorf("%w: reservation is %s; cannot become %s", ErrState, o.State, next)
	}
	o.State = next
	return nil
}

// payment finds a payment of the order.
func (o *Order) payment(id string) (*Payment, error) {
	for i := range o.Payments {
		if o.Payments[i].ID == id {
			return &o.Payments[i], nil
		}
	}
	return nil, fmt.Errorf("%w: payment %q", ErrUnknown, id)
}

var lower = base32.StdEncoding.WithPadding(base32.NoPadding)

// newID is a name that nobody can guess: who knows it may see and cancel the order.
func newID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return "r_" + strings.ToLower(lower.EncodeToString(b[:]))
}

// paymentID names the n-th payment of an order; orderOf is the reverse.
func paymentID(order string, n int) string {
	return fmt.Sprintf("p_%s_%d", strings.TrimPrefix(order, "r_"), n)
}

// orderOf is the order that a payment is of; empty if the name is not that of a payment.
func orderOf(payment string) string {
	rest, ok := strings.CutPrefix(payment, "p_")
	order, _, numbered := strings.Cut(rest, "_")
	if !ok || !numbered {
		return ""
	}
	return "r_" + order
}

// Fee is a rule: who gives a paid ticket back at least so long before departure pays so many percent of the fare.
type Fee struct {
	Before  time.Duration `mapstructure:"before"`
	Percent int           `mapstructure:"percent"`
}

// DefaultFees are those of China's railways: nothing 8 days before departure, then 5, 10 and 20 percent (the refund rules that 12306.cn shows to travellers).
func DefaultFees() []Fee {
	return []Fee{{Before: 8 * 24 * time.Hour}, {Before: 48 * time.Hour, Percent: 5}, {Before: 24 * time.Hour, Percent: 10}, {Percent: 20}}
}

// feeOf is what a refund costs, rounded to the nearest minor unit. Rules are in falling order of Before; where none fits, the whole fare is lost.
func feeOf(rules []Fee, fare rail.Money, left time.Duration) rail.Money {
	for _, rule := range rules {
		if left >= rule.Before {
			return rail.Money((int64(fare)*int64(rule.Percent) + 50) / 100)
		}
	}
	return fare
}
