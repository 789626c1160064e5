package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
)

// backend is one process of the booking system that is, or was, in charge: the real relay and publisher over its own link. Its books are those of the truth, as the database has them.
type backend struct {
	world *world
	link  *link
	name  string

	life   context.Context // ends with cancel
	cancel context.CancelFunc
	resign context.CancelFunc // ends the relay
	done   sync.WaitGroup
	// deposed: another one has taken charge, and this one does not know yet. It goes on publishing what it has, but commits nothing, and marks nothing as published.
	deposed atomic.Bool
	// fenced: it has ended, since another one was faster.
	fenced atomic.Bool
	// dies: it crashes after the next publish, before that is marked.
	dies atomic.Bool

	renewed time.Time // of the relay alone: when the bookmark was stored last

	mu        sync.Mutex // guards what follows
	publisher *feed.Publisher
}

// startBackend puts another process in charge, as of what the database has: what was not marked as published is published again.
func (w *world) startBackend() {
	w.terms++
	b := &backend{world: w, name: fmt.Sprintf("booking/%d", w.terms)}
	b.link = w.newLink(b.name)
	b.life, b.cancel = context.WithCancel(context.Background())
	relaying, resign := context.WithCancel(b.life)
	b.resign = resign
	w.truth.outbox.Return()
	w.backend = b
	b.done.Go(func() { b.run(b.life, relaying) })
}

func (b *backend) run(ctx, relaying context.Context) {
	for ctx.Err() == nil {
		p, err := b.takeCharge(ctx)
		if err != nil {
			_ = sleep(ctx, 100*time.Millisecond) // it tries again, as long as it lives
			continue
		}
		b.mu.Lock()
		b.publisher = p
		b.mu.Unlock()
		duties, relaying := errgroup.WithContext(relaying)
		duties.Go(func() error { return p.Serve(ctx) }) // it ends when it is fenced off
		duties.Go(func() error { return booking.Relay(relaying, b.world.truth.outbox, b) })
		b.fenced.Store(duties.Wait() != nil)
		return
	}
}

func (b *backend) takeCharge(ctx context.Context) (*feed.Publisher, error) {
	w := b.world
	p, err := feed.NewPublisher(ctx, b.link, w.truth.book, feed.PublisherOptions{
		Name: b.name, Limits: feed.Limits{DeltaAge: w.plan.DeltaAge}, StateEvery: 5, HealEvery: w.plan.HealEvery, DigestEvery: 2 * time.Second, Clock: w.clock, BatchSize: 3, Bookmark: w.bookmark,
	})
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	p.Resume(w.published)
	w.mu.Unlock()
	patterns := w.truth.book.Patterns()
	return p, errors.Join(p.Network(ctx, &w.network), p.Patterns(ctx, patterns))
}

// depose lets another one take charge: this one goes on with what it is publishing, and knows of nothing new.
func (b *backend) depose() {
	b.deposed.Store(true)
	b.resign()
}

// Publish is part of booking.Publisher: the real one's, and what a crash or a rival does to it.
func (b *backend) Publish(_ context.Context, changes []feed.Change) error {
	err := b.publisher.Publish(b.life, changes)
	b.world.say("%s: publish %d changes from %s %s on: %v", b.name, len(changes), changes[0].Delta.Run, changes[0].Delta.Version, err)
	if b.deposed.Load() || err == nil && b.dies.Load() {
		<-b.life.Done() // whatever came of it, it is not marked
		return b.life.Err()
	}
	if err == nil {
		b.world.acknowledged(changes, b.publisher.Bookmark())
	}
	return err
}

// Complete is part of booking.Publisher. Whoever has been deposed does not claim anything: it commits no more, but the other one does.
func (b *backend) Complete(t time.Time) {
	if !b.deposed.Load() {
		b.publisher.Complete(t)
		b.renew()
	}
}

// renew stores the bookmark again, as the booking system does with its lease.
func (b *backend) renew() {
	if time.Since(b.renewed) < time.Second {
		return
	}
	b.renewed = time.Now()
	b.world.acknowledged(nil, b.publisher.Bookmark())
}

// acknowledged notes in the database what was published.
func (w *world) acknowledged(changes []feed.Change, bookmark feed.Bookmark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range changes {
		w.published = append(w.published, event.RunVersion{Run: changes[i].Delta.Run, Version: changes[i].Delta.Version})
	}
	w.bookmark = bookmark
}

// crash ends the process at once, and waits for that.
func (b *backend) crash() {
	b.link.closed.Store(true)
	b.cancel()
	b.done.Wait()
}
