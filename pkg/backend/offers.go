package backend

import (
	"errors"
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/reservation"
)

// offerAge is for how long after it was shown an offer counts. An older one is no promise: the reservation goes on, and nothing is told of it.
const offerAge = 10 * time.Minute

// offers judges the offer tokens that travellers hand back, and publishes what became of them.
type offers struct{ backend *Backend }

// Check is bookapi.Offers.
func (o *offers) Check(token string, q *reservation.Request) error {
	shown, err := o.backend.keys.Load().Verify(token, o.backend.options.Clock(), offerAge)
	switch {
	case errors.Is(err, offer.ErrExpired):
		return nil
	case err != nil:
		return err
	case shown.Run != q.Run || shown.Class != q.Class || shown.From != q.From || shown.To != q.To:
		return fmt.Errorf("it is of run %s, class %s, stops %d to %d; want that of the request", shown.Run, shown.Class, shown.From, shown.To)
	}
	return nil
}

// Fared is bookapi.Offers.
func (o *offers) Fared(token string, refusal error) {
	now := o.backend.options.Clock()
	shown, err := o.backend.keys.Load().Verify(token, now, offerAge)
	s := o.backend.current.Load()
	if err != nil || s == nil {
		return
	}
	publisher := s.publisher.Load()
	if publisher == nil {
		return // NATS is away: accuracy is a sample
	}
	outcome := offer.Outcome{Offer: shown, Result: offer.Held, At: now}
	switch {
	case errors.Is(refusal, booking.ErrSoldOut):
		outcome.Result = offer.SoldOut
	case refusal != nil:
		outcome.Result = offer.Refused
	}
	if err := publisher.Outcome(outcome); err != nil {
		o.backend.options.Log.Debug("outcome not published", "error", err)
	}
}
