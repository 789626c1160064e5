//go:build linux

package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
)

// rates of changes a second: what a peak is planned for, a burst, and more than any railway has.
var rates = []int{5_000, 20_000, 100_000}

// sampled is how many changes a second are watched.
const sampled = 500

// change measures how soon a change is visible, at each rate. A replica in this process stands for the node's: it is the same code on the same feed, and its
// versions can be seen without a request.
func (b *run) change(ctx context.Context) error {
	conn, err := feed.Connect(feed.Options{URL: b.country.url, Name: "watcher"})
	if err != nil {
		return err
	}
	defer conn.Close()
	f := replica.NewFollower(conn, replica.Options{})
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.Run(ctx) })
	group.Go(func() error {
		defer cancel()
		select {
		case <-f.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
		return b.changes(ctx, f)
	})
	return group.Wait()
}

func (b *run) changes(ctx context.Context, f *replica.Follower) error {
	before, err := process.MetricsAt(ctx, b.node.admin)
	if err != nil {
		return err
	}
	for _, rate := range rates {
		v, err := b.visible(ctx, f, rate)
		if err != nil {
			return err
		}
		at := time.Now()
		if err := b.node.awaitFresh(ctx); err != nil {
			return err
		}
		v.CatchUp = time.Since(at).Seconds()
		b.result.Visible = append(b.result.Visible, v)
		b.say("%d changes/s wanted, %.0f reached: visible after p50 %.2f, p99 %.2f, p99.9 %.2f ms; the node was %.1f s old", rate, v.Reached, v.P50, v.P99, v.P999, v.Age)
	}
	after, err := process.MetricsAt(ctx, b.node.admin)
	if err != nil {
		return err
	}
	t := &b.result.Traffic
	t.Seconds = b.phase().Seconds() * float64(len(rates))
	t.GC = gcOf(before, after)
	t.Quarantined, t.Gaps = int(after["yupiao_runs_quarantined"]), int(after["yupiao_gaps_total"])
	t.Resident, t.Peak, err = process.Memory(b.node.PID())
	return err
}

// visible measures one rate.
func (b *run) visible(ctx context.Context, f *replica.Follower, rate int) (v Visible, err error) {
	t, w := b.country.traffic, newWatcher(f)
	changes, err := t.prepare(int(b.phase().Seconds() * float64(rate)))
	if err != nil {
		return v, err
	}
	began, published := time.Now(), t.published()
	watching, enough := context.WithCancel(ctx)
	defer enough()
	group := errgroup.Group{}
	group.Go(func() error { w.watch(watching); return nil })
	t.commit(ctx, changes, rate, max(rate/sampled, 1), w.await)
	reached := float64(t.published()-published) / time.Since(began).Seconds()
	m, err := process.MetricsAt(ctx, b.node.admin)
	w.last.Store(true) // it ends when it has seen all, or in a while
	give := time.AfterFunc(30*time.Second, enough)
	defer give.Stop()
	_ = group.Wait() // it never fails
	slices.Sort(w.took)
	return Visible{
		Wanted: rate, Reached: reached, Samples: len(w.took), Unseen: w.open(), Age: m["yupiao_age_seconds"],
		P50: w.at(0.5), P99: w.at(0.99), P999: w.at(0.999),
	}, err
}

// watcher waits for changes to become visible. Those of a partition do so in order.
type watcher struct {
	follower *replica.Follower
	waiting  chan sold
	last     atomic.Bool
	queues   [rail.Partitions][]sold
	took     []time.Duration
}

func newWatcher(f *replica.Follower) *watcher {
	return &watcher{follower: f, waiting: make(chan sold, 1<<16)}
}

// await adds a change to those that are watched, unless there are too many.
func (w *watcher) await(s sold) {
	select {
	case w.waiting <- s:
	default:
	}
}

// watch looks ten thousand times a second: a loop without rest would take one of the processors that are measured.
func (w *watcher) watch(ctx context.Context) {
	const every = 100 * time.Microsecond
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		last := w.last.Load()
		w.take()
		w.see(time.Now())
		if last && w.open() == 0 {
			return
		}
	}
}

func (w *watcher) take() {
	for {
		select {
		case s := <-w.waiting:
			p := s.run.Partition()
			w.queues[p] = append(w.queues[p], s)
		default:
			return
		}
	}
}

func (w *watcher) see(now time.Time) {
	for p, queue := range w.queues {
		for len(queue) > 0 {
			r := w.follower.Replica().Run(queue[0].run)
			if r == nil || r.Sheet() == nil || queue[0].version.Above(r.Sheet().Version()) {
				break
			}
			w.took = append(w.took, now.Sub(queue[0].at))
			queue = queue[1:]
		}
		w.queues[p] = queue
	}
}

// open is how many are not visible yet.
func (w *watcher) open() (n int) {
	for _, q := range w.queues {
		n += len(q)
	}
	return n
}

// at is a quantile in milliseconds.
func (w *watcher) at(q float64) float64 { return quantile(w.took, q) }

// quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(int(float64(len(sorted))*q), len(sorted)-1)].Microseconds()) / 1e3
}
