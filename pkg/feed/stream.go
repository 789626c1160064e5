package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// message is one to be published on its own subject.
type message struct {
	subject string
	data    []byte
	ttl     time.Duration // 0: for ever
	run     rail.RunID    // of a state
	version rail.Version  // likewise
}

func (m *message) outgoing() Outgoing { return Outgoing{Subject: m.subject, Data: m.data, TTL: m.ttl} }

// sender begins to send a message. errSuperseded: there is no need any more.
type sender func(*message) (Ack, error)

var (
	errUnsent     = errors.New("not sent")
	errSuperseded = errors.New("a newer one was sent")
)

func failing(err error) Ack { return func(context.Context) (uint64, error) { return 0, err } }

// inFlight is the most messages that publishEach leaves unacknowledged: enough to fill the way to the server and back.
const inFlight = 1000

// giveUp is how long it is tried to publish without any answer. A stream that has gone is made anew only where it is looked for, so that whoever publishes has to come back there.
const giveUp = 10 * time.Second

// publishEach publishes messages of different subjects side by side and tells acked of each. It retries what had no answer until ctx ends or nothing had one for a while.
func publishEach(ctx context.Context, send sender, messages []message, acked func(*message)) error {
	progress := time.Now()
	for wait := 20 * time.Millisecond; len(messages) > 0; wait = min(2*wait, time.Second) {
		before := len(messages)
		var failed []message
		for rest := messages; len(rest) > 0; {
			n := min(len(rest), inFlight)
			again, err := publishSome(ctx, send, rest[:n], acked)
			if err != nil {
				return err
			}
			failed, rest = append(failed, again...), rest[n:]
		}
		if messages = failed; len(messages) < before {
			progress = time.Now()
		}
		if len(messages) > 0 {
			if time.Since(progress) > giveUp {
				return fmt.Errorf("publish %s: no answer for %s", messages[0].subject, giveUp)
			}
			if err := pause(ctx, wait); err != nil {
				return fmt.Errorf("publish %s: %w", messages[0].subject, err)
			}
		}
	}
	return nil
}

// publishSome sends and waits for the acknowledgements; it returns what had none.
func publishSome(ctx context.Context, send sender, messages []message, acked func(*message)) (failed []message, err error) {
	acks := make([]Ack, len(messages))
	for i := range messages {
		m := &messages[i]
		acks[i], err = send(m)
		switch {
		case errors.Is(err, ErrTooLarge):
			return nil, fmt.Errorf("publish %s: %w", m.subject, err)
		case errors.Is(err, errSuperseded):
			acks[i] = failing(errSuperseded)
		case err != nil:
			acks[i] = failing(errUnsent)
		}
	}
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for i, ack := range acks {
		switch _, err := ack(patience); {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("publish %s: %w", messages[i].subject, ctx.Err())
		case errors.Is(err, ErrRejected):
			return nil, fmt.Errorf("publish %s: %w", messages[i].subject, err)
		case errors.Is(err, errSuperseded):
		case err != nil:
			failed = append(failed, messages[i])
		case acked != nil:
			acked(&messages[i])
		}
	}
	return failed, nil
}
