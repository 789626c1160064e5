//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/bench/process"
)

// load measures from the start of the process to the moment at which it may answer, and what memory it then has. The node of the last round stays.
func (b *run) load(ctx context.Context) (err error) {
	l := &b.result.Load
	for range b.rounds {
		if b.node != nil {
			if err := b.node.Stop(); err != nil {
				return err
			}
		}
		if b.node, err = b.startNode(b.country.url); err != nil {
			return err
		}
		if err := b.node.awaitReady(ctx); err != nil {
			return err
		}
		took := time.Since(b.node.started).Seconds()
		resident, peak, err := process.Memory(b.node.PID())
		if err != nil {
			return err
		}
		l.Seconds, l.Resident, l.Peak = append(l.Seconds, took), append(l.Resident, resident), append(l.Peak, peak)
		b.say("ready after %.2f s, %s resident, at most %s", took, bytes(resident), bytes(peak))
	}
	m, err := process.MetricsAt(ctx, b.node.admin)
	if err != nil {
		return err
	}
	if l.Runs = int(m["yupiao_runs"]); l.Runs != b.result.Publish.Runs {
		return fmt.Errorf("the node has %d runs; want %d", l.Runs, b.result.Publish.Runs)
	}
	l.GC = gcOf(nil, m)
	if b.profiles != "" {
		return b.profile(ctx)
	}
	return nil
}

// profile takes profiles of a node of their own: of its processor while it loads and then while it is asked, and of its heap between the two.
func (b *run) profile(ctx context.Context) error {
	n, err := b.startNode(b.country.url)
	if err != nil {
		return err
	}
	defer func() { _ = n.Stop() }() // it has told all it had to
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	seconds := max(int(median(b.result.Load.Seconds)), 1)
	if err := b.profiled(ctx, n, "load", seconds, n.awaitReady); err != nil {
		return err
	}
	if err := n.save(ctx, "/debug/pprof/heap?gc=1", filepath.Join(b.profiles, "loaded.heap.pprof")); err != nil {
		return err
	}
	b.say("profiles in %s", b.profiles)
	return b.profiled(ctx, n, "ask", seconds, func(ctx context.Context) error {
		_, err := b.cost(ctx, n, b.country, byDemand, time.Duration(seconds)*time.Second, 0)
		return err
	})
}

// profiled saves a profile of the node's processor for so many seconds while something is done.
func (b *run) profiled(ctx context.Context, n *node, name string, seconds int, do func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return n.save(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), filepath.Join(b.profiles, name+".cpu.pprof"))
	})
	group.Go(func() error { return do(ctx) })
	return group.Wait()
}

func (n *node) save(ctx context.Context, path, file string) error {
	data, err := process.Get(ctx, n.admin+path)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// patience is how long the bench waits for a node.
const patience = 10 * time.Minute

// awaitReady asks until the node says that it may answer.
func (n *node) awaitReady(ctx context.Context) error {
	return process.Await(ctx, patience, 5*time.Millisecond, "the node is ready", func(ctx context.Context) bool {
		_, err := process.Get(ctx, n.http+"/readyz")
		return err == nil
	})
}

// awaitFresh waits until the node has taken all changes.
func (n *node) awaitFresh(ctx context.Context) error {
	const fresh = 1 // second
	return process.Await(ctx, patience, 50*time.Millisecond, "the node has taken all changes", func(ctx context.Context) bool {
		m, err := process.MetricsAt(ctx, n.admin)
		age, proved := m["yupiao_age_seconds"]
		return err == nil && proved && age < fresh
	})
}

// gcOf is what the garbage collector did between two looks, the first of which may be the process's start. Pauses are always since then: the collector of the
// metrics sums no others up.
func gcOf(before, after process.Metrics) GC {
	grown := func(name string) float64 { return after[name] - before[name] }
	g := GC{
		Collections: int(grown("go_gc_duration_seconds_count")),
		PauseMedian: 1e3 * after[`go_gc_duration_seconds{quantile="0.5"}`], PauseMax: 1e3 * after[`go_gc_duration_seconds{quantile="1"}`],
	}
	const cpu = "go_cpu_classes_%s_cpu_seconds_total"
	if busy := grown(fmt.Sprintf(cpu, "total")) - grown(fmt.Sprintf(cpu, "idle")); busy > 0 {
		g.Share = grown(fmt.Sprintf(cpu, "gc_total")) / busy
	}
	return g
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
