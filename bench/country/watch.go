//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/load"
	"github.com/yupiao/yupiao/pkg/rail"
)

// What is asked and watched, while watchRate changes/s arrive: so many open streams at full scale, and queries alike at so many a second.
const (
	watchers  = 10_000
	watchRate = 5000
	askRate   = 4000
	slice     = 1500 * time.Millisecond
)

// Watched is what queries cost without and with open streams, in microseconds of the node's processors, and what the streams themselves take of a processor.
type Watched struct {
	Watchers int       `json:"watchers"`
	Alone    []float64 `json:"alone"`
	Beside   []float64 `json:"beside"`
	Streams  float64   `json:"streams"`
	Heard    *load.Watching
}

// watch measures what queries cost without and beside open streams, and how far behind these are.
func (b *run) watch(ctx context.Context) error {
	w := &b.result.Watched
	w.Watchers = max(int(watchers*b.scale), 10)
	pairs := 2 * b.rounds
	length := time.Duration(2*pairs+1)*slice + settling
	changes, err := b.country.traffic.prepare(int((3*length + time.Minute).Seconds() * watchRate))
	if err != nil {
		return err
	}
	selling, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		b.country.traffic.commit(selling, changes, watchRate, len(changes), func(sold) {})
		return nil
	})
	defer func() {
		stop()
		_ = group.Wait() // it never fails
	}()
	var idle, watched []float64
	if w.Alone, idle, err = b.beside(ctx, pairs); err != nil {
		return err
	}
	open := make(chan struct{})
	var listening errgroup.Group
	listening.Go(func() (err error) {
		w.Heard, err = b.listen(ctx, length, w.Watchers, open)
		return err
	})
	select {
	case <-open:
		w.Beside, watched, err = b.beside(ctx, pairs)
	case <-time.After(time.Minute):
		err = errors.New("the streams could not be opened within a minute")
	}
	if err = errors.Join(err, listening.Wait()); err != nil {
		return err
	}
	w.Streams = median(watched) - median(idle)
	b.say("processors without queries %.2f, beside streams %.2f; costs %.1f, beside %.1f", idle, watched, w.Alone, w.Beside)
	b.say("%s", w)
	return nil
}

// settling is how long streams have been open before it is measured: to open one costs more than to keep it for a while.
const settling = 10 * time.Second

// listen holds streams open. opened is closed when they have settled.
func (b *run) listen(ctx context.Context, length time.Duration, watchers int, opened chan struct{}) (*load.Watching, error) {
	o := load.Defaults()
	o.Server, o.Rate, o.For, o.Connections, o.Demand, o.Watchers, o.Seed = b.node.http, 1, length+settling, 1, b.country.book.Demand(), watchers, b.seed
	for d := range rail.Date(country.SaleDays) {
		o.Dates = append(o.Dates, b.country.first+d)
	}
	o.Progress = func(p load.Progress) {
		if p.Elapsed == settling {
			close(opened)
		}
	}
	report, err := load.Run(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	return report.Watching, nil
}

// beside measures in turns what the node uses without queries and with them. A query's cost is what it uses above the mean of before and after.
func (b *run) beside(ctx context.Context, pairs int) (costs, idle []float64, err error) {
	who := newPeople(b.country, b.seed, 0)
	who.ranks, who.dates = who.demand.Near(alikeRides, alikePairs), who.dates[:alikeDays]
	before, err := b.used(ctx, 0, who)
	if err != nil {
		return nil, nil, err
	}
	for range pairs {
		with, err := b.used(ctx, askRate, who)
		if err != nil {
			return nil, nil, err
		}
		after, err := b.used(ctx, 0, who)
		if err != nil {
			return nil, nil, err
		}
		costs, idle = append(costs, (with-(before+after)/2)/askRate*1e6), append(idle, before)
		before = after
	}
	return costs, idle, nil
}

// used is how many processors the node uses while it is asked at a rate.
func (b *run) used(ctx context.Context, rate int, who *people) (float64, error) {
	before, err := process.CPU(b.node.PID())
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := b.steady(ctx, rate, who); err != nil {
		return 0, err
	}
	after, err := process.CPU(b.node.PID())
	return (after - before).Seconds() / time.Since(began).Seconds(), err
}

// steady asks at a rate for a slice of time, over a few connections.
func (b *run) steady(ctx context.Context, rate int, who *people) error {
	until := time.Now().Add(slice)
	if rate == 0 {
		select {
		case <-time.After(slice):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	var group errgroup.Group
	for i := range askers {
		who := *who
		who.rng = rand.New(rand.NewPCG(b.seed, uint64(i)))
		group.Go(func() error {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for asked, began := 0, time.Now(); time.Now().Before(until); <-tick.C {
				for due := int(time.Since(began).Seconds() * float64(rate) / askers); asked < due; asked++ {
					if _, err := process.Get(ctx, b.node.http+who.query()); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// String is the table's line.
func (w Watched) String() string {
	if w.Heard == nil {
		return "not measured"
	}
	alone, beside := median(w.Alone), median(w.Beside)
	return fmt.Sprintf("a query costs %.1f us alone, %.1f us beside %d streams: %.2f; these take %.2f processors; status events were behind p50 %.1f, p99 %.1f, at most %.1f ms; %d lost or begun anew, %d silent",
		alone, beside, w.Watchers, beside/alone, w.Streams, w.Heard.Behind.P50, w.Heard.Behind.P99, w.Heard.Behind.Max, w.Heard.Lost+w.Heard.Reconnects, w.Heard.Silent)
}
