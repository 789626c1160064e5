//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/link"
	"github.com/yupiao/yupiao/pkg/rail"
)

// fault is something that goes wrong for a while.
type fault struct {
	code rune
	name string
	hold time.Duration
	// do begins it, lift ends it; either may be nil.
	do, lift func(ctx context.Context) error
	// over says that what was to come of it has come; nil: nothing in particular.
	over func(ctx context.Context) bool
}

// mishap is a fault that was.
type mishap struct {
	Code, Name string
	// At is when it began, in seconds from the beginning; Held how long it was.
	At, Held float64
	// Noticed is after how long something was not well, or a node said so; NaN if never. Recovered is how long after its end all was well; NaN if not within the patience.
	Noticed, Recovered float64
	// Asked and Answered are queries meanwhile.
	Asked, Answered uint64
	Failed          string
}

// lookEvery is how often it is looked whether all is well.
const lookEvery = 250 * time.Millisecond

// patience is how long a recovery may take.
const patience = time.Minute

// faults that are to happen, in the order in which they come, again and again.
func (w *watch) faults() []fault {
	all := w.everyFault()
	for i := range all {
		all[i].code = 'A' + rune(i)
	}
	return slices.DeleteFunc(all, func(f fault) bool { return w.kinds != "" && !strings.ContainsRune(w.kinds, f.code) })
}

func (w *watch) everyFault() []fault {
	a, b := w.nodes[0], w.nodes[1]
	reloads := w.since("yupiao_reloads_total")
	broken := w.since("yupiao_events_broken_total")
	took := func() func(context.Context) bool {
		acked := w.record.figures().acked
		return func(context.Context) bool { return w.record.figures().acked > acked }
	}
	var published func(context.Context) bool
	again := func(context.Context) bool { return published(nil) } //nolint:staticcheck // it asks nobody
	return []fault{
		{name: "node b killed and started again", hold: 2 * time.Second, do: kill(b), lift: start(b)},
		{name: "node a halted (SIGSTOP)", hold: 5 * time.Second, do: signals(a, syscall.SIGSTOP), lift: signals(a, syscall.SIGCONT)},
		{
			name: "publisher killed and started again", hold: 2 * time.Second, do: func(context.Context) error { return w.endPublisher(true) },
			lift: func(context.Context) error { published = took(); return w.startPublisher() }, over: again,
		},
		{name: "all connections to NATS cut", hold: 3 * time.Second, do: w.cut(link.Cut), lift: w.cut(link.Open)},
		{
			name: "delta stream deleted", do: func(ctx context.Context) error { reloads.mark(ctx); return w.vandal.drop(ctx, "YUPIAO_DELTA") },
			over: reloads.risen(1),
		},
		{
			name: "garbage on the feed", do: func(ctx context.Context) error { broken.mark(ctx); return w.garbage(ctx) }, over: broken.risen(3),
		},
		{name: "node b's link 1.5 s slower each way", hold: 10 * time.Second, do: weather(b, link.Weather{Latency: 1500 * time.Millisecond}), lift: weather(b, link.Weather{})},
		{name: "states lost, node b killed and started again", hold: 2 * time.Second, do: w.loseStates(b), lift: start(b)},
		{name: "state stream deleted", do: func(ctx context.Context) error { reloads.mark(ctx); return w.vandal.drop(ctx, "YUPIAO_STATE") }, over: reloads.risen(1)},
		{
			name: "NATS killed and started again", hold: 2 * time.Second, do: func(context.Context) error { return errors.Join(w.endBroker(true), w.snapshot()) },
			lift: func(context.Context) error { published = took(); return w.startBroker() }, over: again,
		},
		{
			name: "NATS rolled back by a minute", hold: 2 * time.Second, do: func(ctx context.Context) error {
				reloads.mark(ctx)
				return errors.Join(w.endBroker(false), w.rollBack())
			},
			lift: func(context.Context) error { return w.startBroker() }, over: reloads.risen(1),
		},
		{name: "node b halted (SIGSTOP)", hold: 8 * time.Second, do: signals(b, syscall.SIGSTOP), lift: signals(b, syscall.SIGCONT)},
	}
}

func kill(n *node) func(context.Context) error {
	return func(context.Context) error { return n.end(true) }
}

func start(n *node) func(context.Context) error {
	return func(context.Context) error { return n.start() }
}

func signals(n *node, s syscall.Signal) func(context.Context) error {
	return func(context.Context) error { return n.signal(s) }
}

func weather(n *node, to link.Weather) func(context.Context) error {
	return func(context.Context) error { n.link.Set(to); return nil }
}

// cut cuts the links of all, or opens them.
func (w *watch) cut(to link.Way) func(context.Context) error {
	return func(context.Context) error {
		for _, l := range []*link.Link{w.link, w.nodes[0].link, w.nodes[1].link} {
			l.Set(link.Weather{Way: to})
		}
		return nil
	}
}

// garbage publishes what nobody can read: in a partition, on a run's subject, and half of a message.
func (w *watch) garbage(ctx context.Context) error {
	nonsense := make([]byte, 300)
	for i := range nonsense {
		nonsense[i] = byte(w.rng.IntN(256))
	}
	run := w.anyRun()
	return errors.Join(w.vandal.say(ctx, "yupiao.v1.delta.3", nonsense), w.vandal.say(ctx, "yupiao.v1.delta.4", []byte{0x0a, 0x7f, 1}),
		w.vandal.say(ctx, "yupiao.v1.state."+run.String(), nonsense))
}

func (w *watch) anyRun() rail.RunID {
	for {
		t := &w.record.schedule.Trips[w.rng.IntN(len(w.record.schedule.Trips))]
		run := rail.RunID{Date: w.record.today() + 1 + rail.Date(w.rng.IntN(12)), Trip: t.ID}
		if _, ok := w.record.book.State(run); ok {
			return run
		}
	}
}

// loseStates takes the states of a hundred runs out of the stream, and kills the node, which has to load without them.
func (w *watch) loseStates(n *node) func(context.Context) error {
	return func(ctx context.Context) error {
		for range 100 {
			if err := w.vandal.purge(ctx, "YUPIAO_STATE", "yupiao.v1.state."+w.anyRun().String()); err != nil {
				return err
			}
		}
		return n.end(true)
	}
}

// snapshot copies NATS' files while it does not run.
func (w *watch) snapshot() error {
	old := filepath.Join(w.dir, "old")
	return errors.Join(os.RemoveAll(old), process.Tool(context.Background(), "cp", "-r", filepath.Join(w.dir, "nats"), old))
}

// rollBack puts the copy in the place of the files.
func (w *watch) rollBack() error {
	files, old := filepath.Join(w.dir, "nats"), filepath.Join(w.dir, "old")
	if _, err := os.Stat(old); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(files), os.Rename(old, files))
}

// counter is a number of each node's metrics.
type counter struct {
	*watch
	name   string
	before map[string]float64
}

func (w *watch) since(name string) *counter { return &counter{watch: w, name: name} }

// mark notes the present numbers.
func (c *counter) mark(ctx context.Context) {
	c.before = map[string]float64{}
	for _, n := range c.nodes {
		if m, err := n.metrics(ctx); err == nil {
			c.before[n.name] = m[c.name]
		}
	}
}

// risen: on each node by so much.
func (c *counter) risen(by float64) func(context.Context) bool {
	return func(ctx context.Context) bool {
		for _, n := range c.nodes {
			if m, err := n.metrics(ctx); err != nil || m[c.name] < c.before[n.name]+by {
				return false
			}
		}
		return true
	}
}

// suffer lets a fault happen and waits until all is well again.
func (w *watch) suffer(ctx context.Context, f *fault) (e mishap) {
	e = mishap{Code: string(f.code), Name: f.name, At: w.at(), Noticed: math.NaN(), Recovered: math.NaN()}
	asked, answered := w.load.totals()
	began := time.Now()
	step := func(do func(context.Context) error) {
		if do == nil {
			return
		}
		if err := do(ctx); err != nil && ctx.Err() == nil {
			e.Failed = err.Error()
		}
	}
	step(f.do)
	for time.Since(began) < f.hold && ctx.Err() == nil {
		w.notice(ctx, &e, began)
		_ = process.Sleep(ctx, lookEvery) // the loop looks at ctx
	}
	step(f.lift)
	lifted := time.Now()
	e.Held = lifted.Sub(began).Seconds()
	for time.Since(lifted) < patience && ctx.Err() == nil {
		if well := w.notice(ctx, &e, began); well && ctx.Err() == nil && (f.over == nil || f.over(ctx)) {
			e.Recovered = time.Since(lifted).Seconds()
			break
		}
		_ = process.Sleep(ctx, lookEvery) // the loop looks at ctx
	}
	nowAsked, nowAnswered := w.load.totals()
	e.Asked, e.Answered = nowAsked-asked, nowAnswered-answered
	return e
}

// notice looks whether all is well.
func (w *watch) notice(ctx context.Context, e *mishap, began time.Time) (well bool) {
	why := w.stage.trouble(ctx)
	if why != "" && math.IsNaN(e.Noticed) && ctx.Err() == nil {
		e.Noticed = time.Since(began).Seconds()
	}
	return why == ""
}

// reload changes settings: in the file of each node, or for the whole fleet, in turns.
func (w *watch) reload(ctx context.Context, number int) error {
	ttl := []time.Duration{100, 50, 150}[number%3] * time.Millisecond
	if number%2 == 0 {
		for _, n := range w.nodes {
			n.ttl = ttl
			if err := n.writeSettings(); err != nil {
				return err
			}
		}
		return nil
	}
	return w.share(ctx, fmt.Sprintf("rules:\n  - name: rush\n    when: {asked_above: 200, changed_above: 10}\n    ttl: %s\n", ttl))
}
