package bookapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
)

// reserveBody is a request to reserve.
type reserveBody struct {
	Run        string `json:"run"`
	Class      string `json:"class"`
	From       *int   `json:"from"`
	To         *int   `json:"to"`
	Passengers *int   `json:"passengers"`
	Wish       string `json:"wish"`
	Offer      string `json:"offer"`
}

// request checks what only a person would get wrong; the rest is the Book's.
func (b *reserveBody) request(key string) (q reservation.Request, err error) {
	run, err := rail.ParseRunID(b.Run)
	if err != nil {
		return q, problemf(invalidRequest, "run", b.Run, "want the run of an answer, such as 20261201.24000000G10C")
	}
	for _, n := range []struct {
		name      string
		value     *int
		low, high int
	}{{"from", b.From, 0, rail.MaxStops - 1}, {"to", b.To, 1, rail.MaxStops - 1}, {"passengers", b.Passengers, 1, booking.MaxParty}} {
		if n.value == nil {
			return q, problemf(invalidRequest, n.name, "", "it is missing; want %d to %d", n.low, n.high)
		}
		if *n.value < n.low || *n.value > n.high {
			return q, problemf(invalidRequest, n.name, number(*n.value), "want %d to %d", n.low, n.high)
		}
	}
	if *b.From >= *b.To {
		return q, problemf(invalidRequest, "to", number(*b.To), "want a stop behind from, which is %d", *b.From)
	}
	return reservation.Request{
		Key: key, Run: run, Class: rail.Class(b.Class), From: rail.StopIndex(*b.From), To: rail.StopIndex(*b.To), Passengers: *b.Passengers,
		Wish: booking.Wish(b.Wish),
	}, nil
}

func number(n int) string {
	data, _ := json.Marshal(n) // a number always can
	return string(data)
}

func (s *Server) reserve(r *http.Request) (int, any, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		return 0, nil, problemf(invalidRequest, "Idempotency-Key", "", "the header is missing; want 1 to %d printable ASCII characters, new for each order",
			reservation.MaxKey)
	}
	var body reserveBody
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	q, err := body.request(key)
	if err != nil {
		return 0, nil, err
	}
	desk, err := s.desk()
	if err != nil {
		return 0, nil, err
	}
	offered := body.Offer != "" && s.Offers != nil
	if offered {
		if err := s.Offers.Check(body.Offer, &q); err != nil {
			return 0, nil, problemf(badOffer, "offer", body.Offer, "%s", err)
		}
	}
	o, fresh, err := desk.Reserve(r.Context(), q)
	if offered && (fresh || err != nil && !errors.Is(err, reservation.ErrUnavailable)) {
		s.Offers.Fared(body.Offer, err)
	}
	if err != nil {
		return 0, nil, err
	}
	if fresh {
		return http.StatusCreated, s.body(o), nil
	}
	return http.StatusOK, s.body(o), nil
}

func (s *Server) order(r *http.Request) (int, any, error) {
	return s.with(r, func(d *reservation.Desk, id string) (*reservation.Order, error) { return d.Order(r.Context(), id) })
}

func (s *Server) cancel(r *http.Request) (int, any, error) {
	return s.with(r, func(d *reservation.Desk, id string) (*reservation.Order, error) { return d.Cancel(r.Context(), id) })
}

func (s *Server) with(r *http.Request, do func(*reservation.Desk, string) (*reservation.Order, error)) (int, any, error) {
	desk, err := s.desk()
	if err != nil {
		return 0, nil, err
	}
	o, err := do(desk, r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.body(o), nil
}

func (s *Server) pay(r *http.Request) (int, any, error) {
	var body struct {
		Behaviour string `json:"behaviour"`
	}
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	desk, err := s.desk()
	if err != nil {
		return 0, nil, err
	}
	o, err := desk.Pay(r.Context(), r.PathValue("id"), body.Behaviour)
	if errors.Is(err, payment.ErrBehaviour) {
		return 0, nil, problemf(invalidRequest, "behaviour", body.Behaviour, "want one of %q", payment.Behaviours)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, s.body(o), nil
}

func (s *Server) webhook(r *http.Request) (int, any, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, problemf(invalidRequest, "body", "", "%s", err)
	}
	if err := s.Secrets().Verify(r.Header.Get(payment.SignatureHeader), data, s.Clock()); err != nil {
		return 0, nil, err
	}
	var result payment.Result
	if err := json.Unmarshal(data, &result); err != nil {
		return 0, nil, problemf(invalidRequest, "body", "", "%s", err)
	}
	desk, err := s.desk()
	if err != nil {
		return 0, nil, err
	}
	if _, err := desk.PaymentResult(r.Context(), result); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"payment": result.Payment}, nil
}

// orderBody is an order as travellers see it.
type orderBody struct {
	ID         string            `json:"id"`
	State      reservation.State `json:"state"`
	Run        string            `json:"run"`
	Train      string            `json:"train"`
	Class      rail.Class        `json:"class"`
	From       stopBody          `json:"from"`
	To         stopBody          `json:"to"`
	Depart     time.Time         `json:"depart"`
	Arrive     time.Time         `json:"arrive"`
	Passengers int               `json:"passengers"`
	Seats      []seatBody        `json:"seats"`
	Wish       booking.Wish      `json:"wish,omitempty"`
	WishMet    bool              `json:"wish_met"`
	Fare       moneyBody         `json:"fare"`
	Created    time.Time         `json:"created"`
	Deadline   time.Time         `json:"deadline"`
	Version    versionBody       `json:"version"`
	Payment    *paymentBody      `json:"payment,omitempty"`
	Refund     *refundBody       `json:"refund,omitempty"`
}

type stopBody struct {
	Code rail.StationCode `json:"code"`
	Name string           `json:"name"`
	Stop rail.StopIndex   `json:"stop"`
}

type seatBody struct {
	Coach int    `json:"coach"`
	Seat  string `json:"seat"`
	Kind  string `json:"kind"`
}

type moneyBody struct {
	Amount   rail.Money `json:"amount"`
	Currency string     `json:"currency"`
}

type versionBody struct {
	Epoch    uint64 `json:"epoch"`
	Revision uint64 `json:"revision"`
}

type paymentBody struct {
	ID     string                   `json:"id"`
	State  reservation.PaymentState `json:"state"`
	Amount moneyBody                `json:"amount"`
	Note   string                   `json:"note"`
}

type refundBody struct {
	Amount moneyBody `json:"amount"`
	Fee    moneyBody `json:"fee"`
	Reason string    `json:"reason"`
}

func (s *Server) body(o *reservation.Order) orderBody {
	money := func(amount rail.Money) moneyBody { return moneyBody{amount, o.Currency} }
	j := &o.Journey
	b := orderBody{
		ID: o.ID, State: o.State, Run: o.Sale.Run.String(), Train: j.Train, Class: o.Sale.Class,
		From: stopBody{j.From, s.names[j.From], o.Sale.From}, To: stopBody{j.To, s.names[j.To], o.Sale.To}, Depart: j.Depart, Arrive: j.Arrive,
		Passengers: o.Passengers(), Seats: make([]seatBody, 0, len(o.Labels)), Wish: o.Wish, WishMet: o.WishMet, Fare: money(o.Fare),
		Created: o.Created, Deadline: o.Deadline, Version: versionBody(o.Sale.Version),
	}
	for _, l := range o.Labels {
		b.Seats = append(b.Seats, seatBody(l))
	}
	if p := o.Last(); p != nil {
		b.Payment = &paymentBody{p.ID, p.State, money(p.Amount), p.Note}
	}
	if o.Refund != nil {
		b.Refund = &refundBody{money(o.Refund.Amount), money(o.Refund.Fee), o.Refund.Reason}
	}
	return b
}
