// Package load is a crowd that asks: a load generator for a query node, with an open loop, and a report of what it saw.
//
//	plan (when) + traffic (what) -> gate -> connections -> recorder -> Report
//	                                        watchers    ->
//
// Travellers do not wait for each other. So a request is due at a time that is fixed beforehand, whatever became of those before it; if no connection is
// free then, it waits, and its wait is part of its latency. A generator that asks again only when it was answered would ask less while the server stalls,
// and leave out the very requests that a crowd would have suffered from.
//
// Invariants (cited by the tests as L1...):
//
//	L1 When requests are due, and for what, depends on the options and the seed alone, never on answers.
//	L2 A request's latency runs from when it was due to the last byte of its answer, or to when it was given up.
//	L3 Every request that was due has exactly one outcome.
//	L4 Nothing is sent to an address that is not this machine's own (loopback), nor is a name looked up a second time after it was checked.
//	L5 At most Connections requests are under way and at most Queue wait; of more, the one that has waited longest is given up. None is waited for longer than
//	   Timeout.
//	L6 How late the generator itself was, a request being due and a connection free for it, is measured and reported.
package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/rail"
)

// ErrOption marks an option that cannot be used. The text names it as the command line does, its value, and what would be right.
var ErrOption = errors.New("invalid option")

// Options of a run. Start from Defaults.
type Options struct {
	// Server is the query node: "http://127.0.0.1:8080". Its host must be in 127.0.0.0/8, ::1, or localhost (L4).
	Server string
	// Rate is how many requests are due a second, 1 to 1,000,000; For is how long, 100 ms to 24 h.
	Rate float64
	For  time.Duration
	// Connections are kept open, 1 to 10,000.
	Connections int
	// Queue is how many requests may wait for one of them, 1 to 10,000,000 (L5).
	Queue int
	// Timeout is how long a request is waited for from when it was due, 10 ms to 5 min; and how long a watcher hears nothing before it connects again.
	Timeout time.Duration
	// Demand is what is asked for; it must have a pair. Dates are the days of boarding, the nearest first, 1 to 400.
	Demand *demand.Demand
	Dates  []rail.Date
	// Shift is how often other pairs become the wanted ones: the ranks are rotated by a random amount. 0: never; else at least 100 ms.
	Shift time.Duration
	// Rush is a sale's opening; the zero value is none.
	Rush Rush
	// Conditional is the share of requests, 0 to 1, that carry If-None-Match with the last tag that was seen of their answer; Gzip is the share that accept gzip.
	Conditional, Gzip float64
	// Watchers is how many /v1/stream connections are held open all the while, 0 to 20,000.
	Watchers int
	// Seed of what is asked for.
	Seed uint64
	// Progress, if set, is told of each second when it is over, from one goroutine.
	Progress func(Progress)

	// Tests stand in for the network, the clock and the processor.
	dial  func(ctx context.Context) (net.Conn, error)
	sleep sleeper
	used  func() processors
}

// Rush is the opening of a sale: from At on, the rate is Factor times as high For a time, and what comes on top asks for the last boarding date.
type Rush struct {
	At, For time.Duration
	Factor  float64 // 1 to 1,000
}

// Defaults are the options of the command line, without Server, Demand and Dates.
func Defaults() Options {
	return Options{Rate: 1000, For: 30 * time.Second, Connections: 256, Queue: 100_000, Timeout: 10 * time.Second, Seed: 1}
}

// share is whether a number is from 0 to 1; NaN is not.
func share(x float64) bool { return x >= 0 && x <= 1 }

// check says what is wrong with the options.
func (o *Options) check() error {
	peak := o.Rate * max(o.Rush.Factor, 1)
	for _, c := range []struct {
		ok    bool
		name  string
		value any
		want  string
	}{
		{o.Rate >= 1 && o.Rate <= 1e6, "rate", o.Rate, "1 to 1000000 requests a second"},
		{o.For >= 100*time.Millisecond && o.For <= 24*time.Hour, "for", o.For, "100ms to 24h"},
		{o.Connections >= 1 && o.Connections <= 10_000, "connections", o.Connections, "1 to 10000"},
		{o.Queue >= 1 && o.Queue <= 10_000_000, "queue", o.Queue, "1 to 10000000"},
		{o.Timeout >= 10*time.Millisecond && o.Timeout <= 5*time.Minute, "timeout", o.Timeout, "10ms to 5m"},
		{o.Shift == 0 || o.Shift >= 100*time.Millisecond, "shift", o.Shift, "0s for never, or 100ms and more"},
		{o.Rush == Rush{} || o.Rush.At >= 0 && o.Rush.At < o.For, "rush-at", o.Rush.At, "a time before the end of --for"},
		{o.Rush == Rush{} || o.Rush.For > 0, "rush-for", o.Rush.For, "more than 0s"},
		{o.Rush == Rush{} || o.Rush.Factor >= 1 && o.Rush.Factor <= 1000, "rush-factor", o.Rush.Factor, "1 to 1000"},
		{!(peak > 1e6), "rush-factor", o.Rush.Factor, "no more than 1000000 requests a second in the rush"},
		{share(o.Conditional), "conditional", o.Conditional, "a share, 0 to 1"},
		{share(o.Gzip), "gzip", o.Gzip, "a share, 0 to 1"},
		{o.Watchers >= 0 && o.Watchers <= 20_000, "watchers", o.Watchers, "0 to 20000"},
	} {
		if !c.ok {
			return fmt.Errorf("%w: %s is %v; want %s", ErrOption, c.name, c.value, c.want)
		}
	}
	if o.Demand == nil || o.Demand.Len() == 0 {
		return fmt.Errorf("%w: no pair of places to ask for", ErrOption)
	}
	if len(o.Dates) == 0 || len(o.Dates) > 400 {
		return fmt.Errorf("%w: %d dates to ask for; want 1 to 400", ErrOption, len(o.Dates))
	}
	return nil
}

// run is one run. What is not atomic is written before its goroutines start.
type run struct {
	*Options
	host     string
	begin    time.Time
	plan     plan
	requests *requests
	gate     gate
	recorder *recorder
	clients  []*client
	watchers *watchers
	cut      atomic.Int64 // when it was ended early, in ns since begin; math.MaxInt64 if it was not
}

// grace is how long the answers that are under way when a run is ended early are still waited for.
const grace = time.Second

// now is the time since the beginning.
func (r *run) now() time.Duration { return time.Since(r.begin) }

// Run asks as the options say, and reports. If ctx ends, so does the run, and the report is of what there was until then. The error is for options that
// cannot be used (it wraps ErrOption) and for a server that cannot be reached at the start.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t, err := resolve(ctx, o.Server, net.DefaultResolver)
	if err != nil {
		return nil, err
	}
	if o.dial == nil {
		o.dial = t.dial
	}
	if o.used == nil {
		o.used = processorTime
	}
	if o.sleep == nil {
		if o.sleep, err = newSleeper(); err != nil {
			return nil, err
		}
	}
	defer o.sleep.close()
	r := newRun(&o, t.host)
	return r.run(ctx)
}

func newRun(o *Options, host string) *run {
	r := &run{Options: o, host: host, plan: plan{rate: o.Rate, length: o.For, rush: o.Rush}, recorder: newRecorder()}
	r.requests = newRequests(o, host)
	r.gate = gate{run: r, token: make(chan struct{}, 1), traffic: newTraffic(o)}
	for range o.Connections {
		r.clients = append(r.clients, newClient(r))
	}
	r.watchers = newWatchers(r)
	r.cut.Store(math.MaxInt64)
	return r
}

func (r *run) run(ctx context.Context) (*Report, error) {
	defer func() {
		for _, c := range r.clients {
			c.drop()
		}
	}()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := r.watchers.start(watching)
	before := r.used()
	r.begin = time.Now()
	r.ask(ctx)
	after, until := r.used(), r.now()
	stop()
	watched()
	return r.report(until, processors{after.used - before.used, max(after.waited-before.waited, 0)}), nil
}

// connect opens all connections, so that no request pays for it.
func (r *run) connect(ctx context.Context) error {
	opening, ctx := errgroup.WithContext(ctx)
	opening.SetLimit(64)
	for _, c := range r.clients {
		opening.Go(func() error { return c.open(ctx, time.Now().Add(r.Timeout)) })
	}
	if err := opening.Wait(); err != nil {
		return fmt.Errorf("connect to %s: %w", r.Server, err)
	}
	return nil
}

// ask lets all connections ask until there is no more to ask for.
func (r *run) ask(ctx context.Context) {
	cut := make(chan struct{})
	inTime := context.AfterFunc(ctx, func() {
		defer close(cut)
		r.cutOff()
	})
	ticking, stop := context.WithCancel(context.Background())
	var loops, ticks sync.WaitGroup
	ticks.Go(func() { r.tick(ticking) })
	r.gate.token <- struct{}{}
	for _, c := range r.clients {
		loops.Go(func() { c.loop(ctx) })
	}
	loops.Wait()
	if !inTime() {
		<-cut // how long requests were due is known from then on
	}
	stop()
	ticks.Wait()
	r.gate.close()
}

// cutOff ends the run early.
func (r *run) cutOff() {
	r.cut.Store(int64(r.now()))
	for _, c := range r.clients {
		c.hurry()
	}
	r.sleep.wake()
}

// length is how long requests were due.
func (r *run) length() time.Duration { return min(r.For, time.Duration(r.cut.Load())) }

// tick looks at every second when it is over.
func (r *run) tick(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for second := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for ; second < int(r.now()/time.Second); second++ { // a ticker leaves out what nobody had time for
			p := r.recorder.tick(second, &r.plan)
			if r.Progress != nil {
				r.Progress(p)
			}
		}
	}
}
