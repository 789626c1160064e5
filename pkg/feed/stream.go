package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/rail"
)

// sight is what a look at a stream showed. The zero sight is a stream that is not there.
type sight struct {
	created     time.Time
	first, last uint64 // sequences
	messages    uint64
}

// diverged reports whether the stream that was seen before is gone: recreated, or rolled back to an older copy.
func (s sight) diverged(before sight) bool {
	return !before.created.IsZero() && (!s.created.Equal(before.created) || s.last < before.last)
}

// look looks at a stream. jetstream.ErrStreamNotFound is wrapped if it is not there.
func (c *Conn) look(ctx context.Context, name string) (sight, error) {
	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		return sight{}, fmt.Errorf("look at %s: %w", name, err)
	}
	return sightOf(stream.CachedInfo()), nil
}

func sightOf(info *jetstream.StreamInfo) sight {
	return sight{created: info.Created, first: info.State.FirstSeq, last: info.State.LastSeq, messages: info.State.Msgs}
}

// message is one to be published on its own subject.
type message struct {
	subject string
	data    []byte
	ttl     time.Duration // 0: for ever
	run     rail.RunID    // of a state
}

// inFlight is the most messages that publishEach leaves unacknowledged: enough to fill the way to the server and back.
const inFlight = 1000

// publishEach publishes messages of different subjects side by side and tells acked of each. It retries what had no answer until ctx ends.
func (c *Conn) publishEach(ctx context.Context, messages []message, acked func(*message)) error {
	for wait := 20 * time.Millisecond; len(messages) > 0; wait = min(2*wait, time.Second) {
		var failed []message
		for rest := messages; len(rest) > 0; {
			n := min(len(rest), inFlight)
			again, err := c.publishSome(ctx, rest[:n], acked)
			if err != nil {
				return err
			}
			failed, rest = append(failed, again...), rest[n:]
		}
		if messages = failed; len(messages) > 0 {
			if err := pause(ctx, wait); err != nil {
				return fmt.Errorf("publish %s: %w", messages[0].subject, err)
			}
		}
	}
	return nil
}

// publishSome sends and waits for the acknowledgements; it returns what had none.
func (c *Conn) publishSome(ctx context.Context, messages []message, acked func(*message)) (failed []message, err error) {
	futures := make([]jetstream.PubAckFuture, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		var opts []jetstream.PublishOpt
		if m.ttl > 0 {
			opts = append(opts, jetstream.WithMsgTTL(m.ttl))
		}
		future, err := c.js.PublishMsgAsync(&nats.Msg{Subject: m.subject, Data: m.data}, opts...)
		if errors.Is(err, nats.ErrMaxPayload) {
			return nil, fmt.Errorf("publish %s: %d bytes: %w", m.subject, len(m.data), err)
		}
		futures = append(futures, future) // nil where the client could not even send
	}
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for i, future := range futures {
		ok, err := settle(patience, future)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, fmt.Errorf("publish %s: %w", messages[i].subject, err)
		}
		if !ok {
			failed = append(failed, messages[i])
		} else if acked != nil {
			acked(&messages[i])
		}
	}
	return failed, nil
}

// settle waits for an acknowledgement. An error is final; otherwise ok says whether it came.
func settle(ctx context.Context, future jetstream.PubAckFuture) (ok bool, err error) {
	if future == nil {
		return false, nil
	}
	select {
	case <-future.Ok():
		return true, nil
	case err := <-future.Err():
		var api *jetstream.APIError
		if errors.As(err, &api) && api.Code == 400 {
			return false, err // the server will never take it
		}
	case <-ctx.Done():
	}
	return false, nil
}
