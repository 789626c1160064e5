package feed

import (
	"context"
	"fmt"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/offer"
)

// Outcome publishes what came of an offer. It is sent and forgotten: nothing waits for an answer, nodes that do not listen now never hear of it, and
// no rule of the feed needs it. The error says that it cannot be written, or that the connection is closed; a caller may pass over it. Safe for
// concurrent use, and from a publisher that is fenced off as well.
func (p *Publisher) Outcome(o offer.Outcome) error {
	data, err := event.EncodeOutcome(&o, event.Protobuf)
	if err != nil {
		return err
	}
	if err := p.link.Tell(subjectOutcome, data); err != nil {
		return fmt.Errorf("publish outcome: %w", err)
	}
	p.stats.outcomes.Add(1)
	return nil
}

// Outcomes hands over every outcome that any publisher sends, until ctx ends (nil). Calls of take and broken come one at a time from a goroutine of
// the subscription; broken is told where a message came and what is wrong with it, and the next one goes on. A lost connection loses what
// was sent meanwhile. The error says that the subscription failed.
func Outcomes(ctx context.Context, conn *Conn, take func(offer.Outcome), broken func(where Position, err error)) error {
	stop, err := conn.Subscribe(subjectOutcome, func(m Message) {
		o, err := event.DecodeOutcome(m.Data, m.Format)
		if err != nil {
			broken(Position{Subject: m.Subject}, err)
			return
		}
		take(*o)
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	stop()
	return nil
}
