//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/load"
	"github.com/yupiao/yupiao/pkg/rail"
)

// What is asked and watched, while watchRate changes/s arrive: so many open streams at full scale, and queries at so many a second.
const (
	watchers  = 10_000
	watchRate = 5000
	askRate   = 300
	settling  = 5 * time.Second // before it is measured: to open a stream costs more than to keep it for a while
)

// Watched is what queries cost without and with open streams, in microseconds of the node's processors, and what the streams themselves take of a processor.
type Watched struct {
	Watchers int     `json:"watchers"`
	Alone    float64 `json:"alone"`
	Beside   float64 `json:"beside"`
	Streams  float64 `json:"streams"`
	Heard    *load.Watching
}

// watch measures what queries cost beside open streams, and how far behind these are. A query's cost is what the node uses at one rate of them above another.
func (b *run) watch(ctx context.Context) error {
	w := &b.result.Watched
	w.Watchers = max(int(watchers*b.scale), 10)
	changes, err := b.country.traffic.prepare(int(6 * (b.phase() + settling).Seconds() * watchRate))
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
	idle, _, err := b.under(ctx, 1, 0)
	if err != nil {
		return err
	}
	asked, _, err := b.under(ctx, askRate, 0)
	if err != nil {
		return err
	}
	watched, _, err := b.under(ctx, 1, w.Watchers)
	if err != nil {
		return err
	}
	both, heard, err := b.under(ctx, askRate, w.Watchers)
	if err != nil {
		return err
	}
	w.Alone, w.Beside, w.Streams, w.Heard = (asked-idle)/(askRate-1)*1e6, (both-watched)/(askRate-1)*1e6, watched-idle, heard
	b.say("processors: %.3f idle, %.3f asked, %.3f watched, %.3f both", idle, asked, watched, both)
	b.say("a query costs %.1f us alone, %.1f us beside %d streams, which take %.2f processors", w.Alone, w.Beside, w.Watchers, w.Streams)
	return nil
}

// under is how many processors the node uses under a load, and what its watchers heard.
func (b *run) under(ctx context.Context, rate float64, watchers int) (processors float64, heard *load.Watching, err error) {
	o := load.Defaults()
	o.Server, o.Rate, o.For, o.Connections, o.Demand, o.Watchers, o.Seed = b.node.http, rate, b.phase(), 16, b.country.book.Demand(), watchers, b.seed
	for d := range rail.Date(country.SaleDays) {
		o.Dates = append(o.Dates, b.country.first+d)
	}
	var before time.Duration
	var began time.Time
	var unread error
	o.For += settling
	o.Progress = func(p load.Progress) {
		if p.Elapsed == settling {
			before, unread = b.node.cpu()
			began = time.Now()
		}
	}
	report, err := load.Run(ctx, o)
	if err = errors.Join(err, unread); err != nil {
		return 0, nil, fmt.Errorf("ask and watch: %w", err)
	}
	after, err := b.node.cpu()
	return (after - before).Seconds() / time.Since(began).Seconds(), report.Watching, err
}

// String is the table's line.
func (w Watched) String() string {
	if w.Heard == nil {
		return "not measured"
	}
	if w.Beside <= 0 { // no processor was left for more queries
		return fmt.Sprintf("%d streams take %.2f processors, all that there are; status events were behind p50 %.1f, p99 %.1f, at most %.1f ms; %d lost or begun anew, %d silent",
			w.Watchers, w.Streams, w.Heard.Behind.P50, w.Heard.Behind.P99, w.Heard.Behind.Max, w.Heard.Lost+w.Heard.Reconnects, w.Heard.Silent)
	}
	return fmt.Sprintf("a query costs %.1f us alone, %.1f us beside %d streams: %.2f; these take %.2f processors; status events were behind p50 %.1f, p99 %.1f, at most %.1f ms; %d lost or begun anew, %d silent",
		w.Alone, w.Beside, w.Watchers, w.Beside/w.Alone, w.Streams, w.Heard.Behind.P50, w.Heard.Behind.P99, w.Heard.Behind.Max, w.Heard.Lost+w.Heard.Reconnects, w.Heard.Silent)
}
