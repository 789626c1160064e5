//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/rail"
)

// roll measures what those who ask feel when a date comes on sale, and when one is over. The first is a day's worth of states; the second happens by the clock,
// so that the node is one whose clock can be moved.
func (b *run) roll(ctx context.Context) error {
	if err := b.node.Stop(); err != nil {
		return err
	}
	n, err := b.startMovable(b.country.url)
	if err != nil {
		return err
	}
	if err := n.awaitReady(ctx); err != nil {
		return err
	}
	c := b.country
	if b.result.Roll.Quiet, err = b.during(ctx, n, func(context.Context) error { return nil }); err != nil {
		return err
	}
	b.result.Roll.In, err = b.during(ctx, n, func(ctx context.Context) error { return b.rollIn(ctx, n, c.first+country.SaleDays) })
	if err != nil {
		return err
	}
	b.result.Roll.Out, err = b.during(ctx, n, func(ctx context.Context) error { return b.rollOut(ctx, n) })
	return err
}

// during asks while something is done, and a second before and after.
func (b *run) during(ctx context.Context, n *node, do func(context.Context) error) (l Latency, err error) {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	who := newPeople(b.country, b.seed, 99)
	who.dates = who.dates[5:] // those that are on sale all the time
	var p pace
	var group errgroup.Group
	group.Go(func() error { return p.keep(asking, n.http, who) })
	if err = rest(ctx, time.Second); err == nil {
		at := time.Now()
		err = do(ctx)
		l.Seconds = time.Since(at).Seconds()
	}
	if err == nil {
		err = rest(ctx, time.Second)
	}
	stop()
	if asked := group.Wait(); err == nil {
		err = asked
	}
	l.Queries, l.P50, l.P99, l.Worst = len(p.took), quantile(p.took, 0.5), quantile(p.took, 0.99), quantile(p.took, 1)
	return l, err
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// rollIn publishes a date and waits until the node has it.
func (b *run) rollIn(ctx context.Context, n *node, date rail.Date) error {
	before, err := process.MetricsAt(ctx, n.admin)
	if err != nil {
		return err
	}
	runs, err := b.country.openDate(ctx, date)
	if err != nil {
		return err
	}
	err = n.awaitRuns(ctx, before["yupiao_runs"]+float64(runs))
	b.say("%s came on sale: %d runs", date, runs)
	return err
}

// rollOut moves the clocks to the moment at which the first date is over, and waits until the node has let it go.
func (b *run) rollOut(ctx context.Context, n *node) error {
	c := b.country
	before, err := process.MetricsAt(ctx, n.admin)
	if err != nil {
		return err
	}
	over, runs := rail.Day, 0 // not before the next day
	for i := range c.schedule.Trips {
		if t := &c.schedule.Trips[i]; t.Dates[0] == c.first {
			over = max(over, t.Pattern.Arrival())
			runs++
		}
	}
	const after = 61 // minutes: a node keeps a date for an hour after its last arrival
	ahead := time.Until(c.first.At(over+after, c.location))
	c.traffic.setAhead(ahead)
	if err := n.move(ahead); err != nil {
		return err
	}
	err = n.awaitRuns(ctx, before["yupiao_runs"]-float64(runs))
	b.say("%s was let go: %d runs", c.first, runs)
	return err
}

// awaitRuns waits until the node has so many runs.
func (n *node) awaitRuns(ctx context.Context, want float64) error {
	return process.Await(ctx, patience, 20*time.Millisecond, fmt.Sprintf("the node has %.0f runs", want), func(ctx context.Context) bool {
		m, err := process.MetricsAt(ctx, n.admin)
		return err == nil && m["yupiao_runs"] == want
	})
}
