//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"github.com/yupiao/yupiao/bench/process"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/demand"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
)

// The node has one processor, and the crowd another.
const (
	nodeCore      = 0
	generatorCore = 1
)

// pin lets the calling thread, or the process of an id, run on one processor alone.
func pin(core int) {
	mask := [16]uint64{1 << core}
	_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask))) // without it the figures are worse, and no others
}

// stage is what is measured: a broker, a railway on it, and a node.
type stage struct {
	dir, http, admin string
	node             *process.Child
	demand           []string // queries for pairs of places, the most wanted first, up to the date
	dates            []rail.Date
	opens            time.Time // when the sale of the last date opens
	ending           []func() error
}

// book is a country whose last date is not on sale yet.
type book struct {
	*country.Book
	last  rail.Date
	opens time.Time
}

// State is the authority's word.
func (b *book) State(id rail.RunID) (event.RunState, bool) {
	s, ok := b.Book.State(id)
	if ok && id.Date == b.last {
		s.SaleOpensAt = b.opens
	}
	return s, ok
}

const saleDays = 5

// newStage publishes a railway and starts a node on it.
func newStage(ctx context.Context, o options, say func(string, ...any)) (s *stage, err error) {
	s = &stage{opens: time.Now().Add(o.opensIn).Truncate(time.Second)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "yupiao-overload-"); err != nil {
		return s, err
	}
	program := o.program
	if program == "" {
		program = filepath.Join(s.dir, "yupiaod")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/yupiao/yupiao/cmd/yupiaod").CombinedOutput(); err != nil {
			return s, fmt.Errorf("build yupiaod: %w: %s", err, out)
		}
	}
	at := time.Now()
	feedURL, runs, err := s.publish(ctx, o)
	if err != nil {
		return s, err
	}
	say("%d runs published in %.1f s", runs, time.Since(at).Seconds())
	at = time.Now()
	if err = s.start(program, feedURL, o.settings); err != nil {
		return s, err
	}
	err = process.Await(ctx, time.Minute, 20*time.Millisecond, "the node is ready", func(context.Context) bool { _, err := get(s.http + "/readyz"); return err == nil })
	if err == nil {
		say("node ready after %.1f s", time.Since(at).Seconds())
	}
	return s, err
}

func (s *stage) publish(ctx context.Context, o options) (address string, runs int, err error) {
	b, err := broker.Start(broker.Options{Dir: filepath.Join(s.dir, "broker"), Address: "127.0.0.1:0"})
	if err != nil {
		return "", 0, err
	}
	s.ending = append(s.ending, func() error { b.Stop(); return nil })
	location, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		return "", 0, err
	}
	made, err := country.New(country.Options{Seed: o.seed, Scale: o.scale})
	if err != nil {
		return "", 0, err
	}
	first := rail.DateOf(time.Now(), location) + 1 // no train of it leaves while it is measured
	t := made.Schedule(first, saleDays)
	authority := &book{country.NewBook(country.BookOptions{Seed: o.seed, Schedule: t, Today: first, Epoch: 1}), first + saleDays - 1, s.opens}
	conn, err := feed.Connect(feed.Options{URL: b.URL(), Name: "overload"})
	if err != nil {
		return "", 0, err
	}
	s.ending = append(s.ending, func() error { conn.Close(); return nil })
	p, err := feed.NewPublisher(ctx, conn, authority, feed.PublisherOptions{})
	if err != nil {
		return "", 0, err
	}
	if err := errors.Join(p.Network(ctx, &t.Network), p.Patterns(ctx, t.Patterns())); err != nil {
		return "", 0, err
	}
	for d := range rail.Date(saleDays) {
		s.dates = append(s.dates, first+d)
		authority.Open(first + d)
		var batch []feed.Change
		for c := range authority.States(first + d) {
			state, _ := authority.State(c.Delta.Run) // it is open
			c.State = &state
			batch = append(batch, c)
		}
		if err := p.Publish(ctx, batch); err != nil {
			return "", 0, err
		}
		runs += len(batch)
	}
	s.background(ctx, p.Serve)
	s.background(ctx, func(ctx context.Context) error {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return nil
			case now := <-tick.C:
				p.Complete(now)
			}
		}
	})
	wanted := authority.Demand()
	for i := range wanted.Len() {
		pair := wanted.Pair(demand.Rank(i))
		s.demand = append(s.demand, "/v1/availability?from="+url.QueryEscape(pair.From.String())+"&to="+url.QueryEscape(pair.To.String())+"&date=")
	}
	return b.URL(), runs, nil
}

// background does something until the end.
func (s *stage) background(ctx context.Context, do func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	s.ending = append(s.ending, func() error { cancel(); return <-done })
}

// start starts the node on its processor, and reads where it listens.
func (s *stage) start(program, feedURL, settings string) error {
	file := filepath.Join(s.dir, "yupiaod.yaml")
	text := fmt.Sprintf("http: {address: \"127.0.0.1:0\"}\nadmin: {address: \"127.0.0.1:0\"}\nfeed: {url: %q, name: overload}\n%s\n", feedURL, settings)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	var err error
	if s.node, err = process.Start(true, "taskset", "-c", fmt.Sprint(nodeCore), program, "--config", file); err != nil {
		return err
	}
	s.ending = append(s.ending, s.node.Stop)
	s.http, s.admin, err = s.node.Listening()
	return err
}

// close ends what was started, the last first.
func (s *stage) close() (err error) {
	for i := len(s.ending) - 1; i >= 0; i-- {
		err = errors.Join(err, s.ending[i]())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// get is the body of an answer with status 200, within ten seconds.
func get(address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return process.Get(ctx, address)
}
