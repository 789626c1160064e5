package main

import (
	"context"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
)

// outlet takes committed changes, in order, to one of those who follow them.
type outlet struct {
	railway *railway
	// deliver is given what was committed since the call before, perhaps nothing, and a moment up to which that is everything.
	deliver func(ctx context.Context, batch []commit, until time.Time) error
	ready   chan struct{}

	// Guarded by railway.mu:
	queue []commit
	busy  bool // with what was taken
}

// follow makes an outlet for all changes from now on. It delivers while run runs, and is told nothing more after leave.
func (r *railway) follow(deliver func(context.Context, []commit, time.Time) error) *outlet {
	o := &outlet{railway: r, deliver: deliver, ready: make(chan struct{}, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outlets = append(r.outlets, o)
	return o
}

func (o *outlet) leave() {
	o.railway.mu.Lock()
	defer o.railway.mu.Unlock()
	o.railway.outlets = slices.DeleteFunc(o.railway.outlets, func(other *outlet) bool { return other == o })
}

// add is called with railway.mu held.
func (o *outlet) add(c commit) {
	o.queue = append(o.queue, c)
	select {
	case o.ready <- struct{}{}:
	default: // a signal that was not received yet stands for this one too
	}
}

// run delivers until ctx ends (nil) or a delivery fails. It rests as the reference backend's relay does.
func (o *outlet) run(ctx context.Context) error {
	idle := time.NewTicker(100 * time.Millisecond) // so that the time goes on when nothing is sold
	defer idle.Stop()
	for delivered := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-idle.C:
		case <-o.ready:
			pause(ctx, feed.Rest(delivered))
		}
		batch, until := o.take()
		delivered = len(batch)
		err := o.deliver(ctx, batch, until)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		o.railway.mu.Lock()
		o.busy = false
		o.railway.mu.Unlock()
	}
}

func (o *outlet) take() (batch []commit, until time.Time) {
	o.railway.mu.Lock()
	defer o.railway.mu.Unlock()
	batch, o.queue, o.busy = o.queue, nil, true
	return batch, time.Now().Round(0)
}

// settled reports whether every outlet has delivered everything.
func (r *railway) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.outlets, func(o *outlet) bool { return len(o.queue) > 0 || o.busy })
}

// committed is how many changes there were.
func (r *railway) committed() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commits
}

// toFeed delivers to query nodes.
func toFeed(p *feed.Publisher) func(context.Context, []commit, time.Time) error {
	return func(ctx context.Context, batch []commit, until time.Time) error {
		changes := make([]feed.Change, 0, len(batch))
		for i := range batch {
			changes = append(changes, batch[i].Change)
		}
		if err := p.Publish(ctx, changes); err != nil {
			return err
		}
		p.Complete(until)
		return nil
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
