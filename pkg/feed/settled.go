package feed

import (
	"context"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
)

// askAgain is how long Settled waits after a look at the streams for the next.
const askAgain = 500 * time.Millisecond

// Settled waits until a heartbeat tells of the streams as they are: its publisher has seen what fell back, and what was lost is there again (P6). Whoever reads them before reads in vain, and is in the way of those who
// fill them. An error is ctx's, or says that the link does not carry heartbeats.
func Settled(ctx context.Context, link Link) error {
	heard := make(chan *event.Heartbeat, 1)
	stop, err := link.Subscribe(subjectHeartbeat, func(m Message) {
		if h, err := event.DecodeHeartbeat(m.Data, m.Format); err == nil {
			select {
			case heard <- h:
			default: // one waits; it may be old, and tell of less than there is, but the next one comes
			}
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case h := <-heard:
			if tellsOf(ctx, link, h) {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := pause(ctx, askAgain); err != nil {
			return err
		}
	}
}

// tellsOf reports whether a heartbeat's streams are those that there are.
func tellsOf(ctx context.Context, link Link, h *event.Heartbeat) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, name := range streams {
		last := h.Last[name]
		if name == streamDelta {
			for _, m := range h.Marks {
				last = max(last, m.Sequence)
			}
		}
		now, err := link.Look(ctx, name)
		if err != nil || now.diverged(Sight{Created: h.Created[name], Last: last}) {
			return false
		}
	}
	return true
}
