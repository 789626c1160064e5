//go:build linux

package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/load"
	"github.com/yupiao/yupiao/pkg/rail"
)

// crowd asks over the balancer, a leg of a minute after the other: with each, the dates are those on sale, and all watchers come anew.
type crowd struct {
	stage *stage

	mu                    sync.Mutex // guards what follows
	asked, answered       uint64
	p50, p99              []float64 // of each second, in milliseconds, since the last sample
	legs                  []*load.Report
	due, good             uint64
	outcomes              map[string]uint64
	problems              map[string]uint64
	streams, lost, events uint64
	failed                string
}

// leg is how long.
const leg = time.Minute

// run asks until ctx ends.
func (c *crowd) run(ctx context.Context, until time.Time) {
	for number := uint64(0); ctx.Err() == nil; number++ {
		length := min(leg, c.stage.day, time.Until(until))
		if length < time.Second {
			return
		}
		o := load.Defaults()
		o.Server, o.Rate, o.For, o.Connections, o.Timeout, o.Queue = c.stage.balancer, c.stage.queries, length, 64, 5*time.Second, 10_000
		o.Demand, o.Conditional, o.Gzip, o.Watchers, o.Seed = c.stage.record.book.Demand(), 0.3, 0.1, c.stage.watchers, c.stage.seed+number
		today := c.stage.record.today()
		for d := range rail.Date(country.SaleDays - 2) { // those that are on sale after a roll, too
			o.Dates = append(o.Dates, today+1+d)
		}
		o.Progress = c.second
		report, err := load.Run(ctx, o)
		c.mu.Lock()
		if err != nil && ctx.Err() == nil {
			c.failed = err.Error()
		} else if err == nil {
			c.take(report)
		}
		c.mu.Unlock()
		if err != nil {
			_ = process.Sleep(ctx, time.Second) // the loop looks at ctx
		}
	}
}

func (c *crowd) second(p load.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked += p.Asked
	c.answered += p.Answers
	if p.Answers > 0 {
		c.p50, c.p99 = append(c.p50, p.P50.Seconds()*1e3), append(c.p99, p.P99.Seconds()*1e3)
	}
}

// take adds a leg that is over. The caller holds mu.
func (c *crowd) take(r *load.Report) {
	r.Series = nil // they were told second by second
	c.legs = append(c.legs, r)
	c.due += r.Due
	for _, class := range r.Outcomes {
		c.outcomes[class.Outcome.String()] += class.Latency.Count
		if class.Outcome == load.OK || class.Outcome == load.NotModified {
			c.good += class.Latency.Count
		}
	}
	for what, n := range r.Problems {
		c.problems[what] += n
	}
	if w := r.Watching; w != nil {
		c.streams += w.Streams
		c.lost += w.Lost + w.Reconnects
		for _, n := range w.Events {
			c.events += n
		}
	}
}

// totals are the queries that were due and answered.
func (c *crowd) totals() (asked, answered uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked, c.answered
}

// lately are the median of the seconds' medians and the highest p99 of a second since the last call; NaN without an answer.
func (c *crowd) lately() (p50, p99 float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p50, p99 = median(c.p50), highest(c.p99)
	c.p50, c.p99 = nil, nil
	return p50, p99
}

// quantile of the latencies of all legs, in milliseconds.
func (c *crowd) quantile(q float64) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	type bucket struct {
		value float64
		count uint64
	}
	var all []bucket
	total := uint64(0)
	for _, r := range c.legs {
		before := uint64(0)
		for _, p := range r.Latency.Percentiles {
			all = append(all, bucket{float64(p.Value), p.Count - before})
			total += p.Count - before
			before = p.Count
		}
	}
	slices.SortFunc(all, func(a, b bucket) int {
		if a.value < b.value {
			return -1
		}
		return 1
	})
	seen := uint64(0)
	for _, b := range all {
		if seen += b.count; float64(seen) >= q*float64(total) {
			return b.value
		}
	}
	return 0
}
