package feed

import (
	"cmp"
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

// publishEach publishes messages of different subjects side by side and tells done of each: nil that it was acknowledged, or why the server will never take it, which holds up no other. It retries
// what had no answer until ctx ends or nothing had one for a while.
func publishEach(ctx context.Context, send sender, messages []message, done func(*message, error)) error {
	progress := time.Now()
	var refused error
	for wait := 20 * time.Millisecond; len(messages) > 0; wait = min(2*wait, time.Second) {
		before := len(messages)
		var failed []message
		for rest := messages; len(rest) > 0; {
			n := min(len(rest), inFlight)
			again, no, err := publishSome(ctx, send, rest[:n], done)
			if err != nil {
				return err
			}
			failed, rest = append(failed, again...), rest[n:]
			refused = cmp.Or(refused, no)
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
	return refused
}

// refusal reports whether an error says that a message will never be taken.
func refusal(err error) bool { return errors.Is(err, ErrTooLarge) || errors.Is(err, ErrRejected) }

// publishSome sends and waits for the acknowledgements; it returns what had none, and the first refusal.
func publishSome(ctx context.Context, send sender, messages []message, done func(*message, error)) (failed []message, refused, err error) {
	acks := make([]Ack, len(messages))
	for i := range messages {
		acks[i], err = send(&messages[i])
		switch {
		case refusal(err), errors.Is(err, errSuperseded):
			acks[i] = failing(err)
		case err != nil:
			acks[i] = failing(errUnsent)
		}
	}
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for i, ack := range acks {
		m := &messages[i]
		switch _, err := ack(patience); { // of each, though ctx may have ended: whoever waits for what is on its way has to know
		case errors.Is(err, errSuperseded):
		case refusal(err):
			refused = cmp.Or(refused, fmt.Errorf("publish %s: %w", m.subject, err))
			done(m, err)
		case err != nil:
			failed = append(failed, *m)
		default:
			done(m, nil)
		}
	}
	if len(failed) > 0 && ctx.Err() != nil {
		return nil, nil, fmt.Errorf("publish %s: %w", failed[0].subject, ctx.Err())
	}
	return failed, refused, nil
}
