package booking

import (
	"context"
	"errors"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
)

const (
	// relayBatch is the most changes handed to the publisher at once: 16 partitions x 500 deltas of a message.
	relayBatch = 8000
	// relayRetry is the wait after a publish that failed.
	relayRetry = 250 * time.Millisecond
)

// Publisher takes committed changes to the query nodes. A feed.Publisher is one.
type Publisher interface {
	Publish(ctx context.Context, changes []feed.Change) error
	Complete(t time.Time)
}

// Relay publishes what an Outbox holds, in order, until ctx ends (nil) or another publisher has taken charge (feed.ErrFenced). There must be one
// Relay for an Outbox.
func Relay(ctx context.Context, o *Outbox, p Publisher) error {
	idle := time.NewTicker(100 * time.Millisecond) // AsOf goes on when nothing is sold
	defer idle.Stop()
	for ctx.Err() == nil { // or else what is taken is nobody's
		published, err := drain(ctx, o, p)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, feed.ErrFenced):
			return err
		case err != nil:
			o.Return()
			wait(ctx, relayRetry)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.Ready():
			wait(ctx, feed.Rest(published)) // it bounds what a change waits, and batches a burst
		case <-idle.C:
		}
	}
	return nil
}

// drain publishes until the outbox gives nothing more, and says how far that reaches.
func drain(ctx context.Context, o *Outbox, p Publisher) (published int, err error) {
	for {
		changes := o.Take(relayBatch)
		if len(changes) == 0 {
			p.Complete(o.Complete())
			return published, nil
		}
		batch := make([]feed.Change, 0, len(changes))
		for _, c := range changes {
			batch = append(batch, feed.Change{Delta: c.Delta, State: c.State})
		}
		if err := p.Publish(ctx, batch); err != nil {
			return published, err
		}
		o.Ack(len(changes))
		published += len(changes)
		p.Complete(o.Complete())
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
