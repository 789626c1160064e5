package feed

import (
	"context"
	"sync"
)

// flights counts the messages that are on their way, so that one can wait for those that were sent before. Safe for concurrent use.
type flights struct {
	mu  sync.Mutex // guards what follows
	now *flight
}

// flight are the messages that were sent between two times.
type flight struct {
	waiting int
	landed  chan struct{} // closed when none waits any more; nil while more may join
}

// begin counts a message, until end is called.
func (f *flights) begin() (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil {
		f.now = &flight{}
	}
	mine := f.now
	mine.waiting++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if mine.waiting--; mine.waiting == 0 && mine.landed != nil {
			close(mine.landed)
		}
	}
}

// land waits until no message is on its way any more that was before the call, unless ctx ends first.
func (f *flights) land(ctx context.Context) error {
	f.mu.Lock()
	before := f.now
	f.now = nil
	if before == nil || before.waiting == 0 {
		f.mu.Unlock()
		return nil
	}
	before.landed = make(chan struct{})
	f.mu.Unlock()
	select {
	case <-before.landed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
