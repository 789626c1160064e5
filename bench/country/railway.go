//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/sample"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// railway is a schedule with its book and its publisher, on a broker of its own.
type railway struct {
	schedule  *timetable.Schedule
	book      *country.Book
	publisher *feed.Publisher
	url       string
	first     rail.Date
	location  *time.Location
	traffic   *traffic
}

// publishBatch is how many runs are published at once.
const publishBatch = 5000

// open publishes the country and, to compare with, the sample network.
func (b *run) open(ctx context.Context) error {
	location, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		return err
	}
	first := rail.DateOf(time.Now(), location)
	at := time.Now()
	s, err := b.schedule(first)
	if err != nil {
		return err
	}
	b.result.Shape = country.Measure(s, first)
	b.say("timetable in %.1f s: %s", time.Since(at).Seconds(), b.result.Shape)
	if b.country, err = b.railway(ctx, "country", s, first, location); err != nil {
		return err
	}
	at = time.Now()
	runs, err := b.country.openDates(ctx, country.SaleDays, b.say)
	if err != nil {
		return err
	}
	b.result.Publish = Publish{Runs: runs, Seconds: time.Since(at).Seconds()}
	small, err := sample.Schedule(first, country.SaleDays, formation.Default())
	if err != nil {
		return err
	}
	if b.sample, err = b.railway(ctx, "sample", small, first, location); err != nil {
		return err
	}
	b.result.SampleRuns, err = b.sample.openDates(ctx, country.SaleDays, func(string, ...any) {})
	return err
}

// railway starts a broker and a publisher, and publishes the timetable.
func (b *run) railway(ctx context.Context, name string, s *timetable.Schedule, first rail.Date, location *time.Location) (*railway, error) {
	r := &railway{schedule: s, first: first, location: location}
	r.book = country.NewBook(country.BookOptions{Seed: b.seed, Schedule: s, Today: first, Epoch: 1})
	var err error
	if r.url, err = b.startBroker(name); err != nil {
		return nil, err
	}
	conn, err := feed.Connect(feed.Options{URL: r.url, Name: name})
	if err != nil {
		return nil, err
	}
	b.ending = append(b.ending, func() error { conn.Close(); return nil })
	if r.publisher, err = feed.NewPublisher(ctx, conn, r.book, feed.PublisherOptions{}); err != nil {
		return nil, err
	}
	if err := r.publisher.Network(ctx, &s.Network); err != nil {
		return nil, err
	}
	if err := r.publisher.Patterns(ctx, s.Patterns()); err != nil {
		return nil, err
	}
	r.traffic = &traffic{railway: r}
	b.background(ctx, r.publisher.Serve)
	b.background(ctx, r.traffic.relay)
	return r, nil
}

// background does something until the bench ends.
func (b *run) background(ctx context.Context, do func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	b.ending = append(b.ending, func() error {
		cancel()
		return <-done
	})
}

// openDates publishes the runs of so many dates.
func (r *railway) openDates(ctx context.Context, days int, say func(string, ...any)) (runs int, err error) {
	for d := r.first; d < r.first+rail.Date(days); d++ {
		at := time.Now()
		n, err := r.openDate(ctx, d)
		if err != nil {
			return runs, err
		}
		runs += n
		say("published %s: %d runs, %.0f/s; %d in all", d, n, float64(n)/time.Since(at).Seconds(), runs)
	}
	return runs, nil
}

// openDate opens a date and publishes its runs, a batch after the other.
func (r *railway) openDate(ctx context.Context, d rail.Date) (runs int, err error) {
	r.traffic.mu.Lock() // nothing of the date is sold before it was told of
	defer r.traffic.mu.Unlock()
	r.book.Open(d)
	batch := make([]feed.Change, 0, publishBatch)
	flush := func() error {
		runs += len(batch)
		err := r.publisher.Publish(ctx, batch)
		batch = batch[:0]
		return err
	}
	for c := range r.book.States(d) {
		if batch = append(batch, c); len(batch) == publishBatch {
			if err := flush(); err != nil {
				return runs, err
			}
		}
	}
	return runs, flush()
}

// traffic is people who buy at a rate, and the relay that publishes what they have bought.
type traffic struct {
	railway *railway

	mu    sync.Mutex // guards what follows and the book's acts
	queue []committed
	ahead time.Duration // how far the railway's clock is ahead
	acked uint64
}

// committed is a change with the moment of its commit.
type committed struct {
	feed.Change
	at time.Time
}

// How the relay works: as a booking backend's, which sends so many at once, and rests for more (feed.Rest).
const (
	relayBatch = 8000
	// maxQueue: a backend that falls behind sells no more until the queue is shorter; the rate reached tells.
	maxQueue = 100_000
)

// sold is a change that somebody waits to see.
type sold struct {
	run     rail.RunID
	version rail.Version
	at      time.Time
}

// prepare lets so many acts happen in the book. They are committed later, by commit, so that the book's work does not take the processors from what is measured.
func (t *traffic) prepare(acts int) ([]feed.Change, error) {
	all := make([]feed.Change, 0, acts)
	t.mu.Lock()
	defer t.mu.Unlock()
	for range acts {
		c, ok := t.railway.book.Act()
		if !ok {
			return nil, fmt.Errorf("all is sold out after %d changes", len(all))
		}
		all = append(all, c)
	}
	return all, nil
}

// commit commits changes in order at a rate until all are, and tells of every so many-th.
func (t *traffic) commit(ctx context.Context, changes []feed.Change, rate int, every int, tell func(sold)) {
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	began := time.Now()
	for done := 0; done < len(changes); {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		due := min(int(time.Since(began).Seconds()*float64(rate)), len(changes))
		t.mu.Lock()
		for ; done < due && len(t.queue) < maxQueue; done++ {
			c, at := changes[done], time.Now()
			t.queue = append(t.queue, committed{c, at})
			if done%every == 0 {
				tell(sold{c.Delta.Run, c.Delta.Version, at})
			}
		}
		t.mu.Unlock()
	}
}

// relay publishes the queue in order until ctx ends, and says up to when that is all.
func (t *traffic) relay(ctx context.Context) error {
	for published := 0; ctx.Err() == nil; {
		batch, complete, all := t.take()
		if len(batch) > 0 {
			err := t.railway.publisher.Publish(ctx, batch)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
		}
		t.railway.publisher.Complete(complete)
		t.mu.Lock()
		t.acked += uint64(len(batch))
		t.mu.Unlock()
		if published += len(batch); !all {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(feed.Rest(published)):
		}
		published = 0
	}
	return nil
}

// take is the next changes of the queue, up to when all are published with them, and whether that empties the queue.
func (t *traffic) take() (batch []feed.Change, complete time.Time, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.queue), relayBatch)
	for _, c := range t.queue[:n] {
		batch = append(batch, c.Change)
	}
	t.queue = slices.Delete(t.queue, 0, n)
	complete = time.Now()
	if all = len(t.queue) == 0; !all {
		complete = t.queue[0].at.Add(-1)
	}
	return batch, complete.Add(t.ahead), all
}

// published is how many changes were acknowledged.
func (t *traffic) published() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.acked
}

// setAhead moves the railway's clock.
func (t *traffic) setAhead(by time.Duration) {
	t.mu.Lock()
	t.ahead = by
	t.mu.Unlock()
}
