package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
)

// stage is what all turns share: the railway, the feed, and a folder that goes with it.
type stage struct {
	settings           *settings
	dir, self, yupiaod string
	path               string // of the answer
	nats               string // URL
	railway            *railway
	broker             *process
	conn               *feed.Conn
	end                context.CancelCauseFunc
	say                func(format string, args ...any)
}

// openStage brings everything up that does not belong to a design. Close must be called, after an error too.
func openStage(ctx context.Context, end context.CancelCauseFunc, s *settings, progress io.Writer) (*stage, error) {
	begin := time.Now()
	out := &stage{settings: s, end: end, say: func(format string, args ...any) {
		fmt.Fprintf(progress, "%7.1fs  "+format+"\n", slices.Insert(args, 0, any(time.Since(begin).Seconds()))...)
	}}
	for _, step := range []func(context.Context) error{out.prepare, out.pin, out.open, out.publish} {
		if err := step(ctx); err != nil {
			return out, err
		}
	}
	return out, nil
}

// close stops what still runs and removes the folder.
func (s *stage) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.broker.stop()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a leftover in the system's temporary folder does no harm
	}
}

// fail ends everything with an error.
func (s *stage) fail(err error) { s.end(err) }

// prepare makes the folder and the programs.
func (s *stage) prepare(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "yupiao-peers-"); err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { // proxies may work as somebody else
		return err
	}
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if !slices.ContainsFunc(s.settings.designs, func(d design) bool { return strings.HasPrefix(d.name, nameOurs) }) {
		return nil
	}
	s.say("building yupiaod")
	s.yupiaod, err = nodeProgram(ctx, s.settings.yupiaod, s.dir)
	return err
}

// pin keeps this program off the servers' core.
func (s *stage) pin(context.Context) error {
	out, err := exec.Command("taskset", "-a", "-c", "-p", strconv.Itoa(int(s.settings.load)), strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pin to core %d: %w: %s", s.settings.load, err, out)
	}
	runtime.GOMAXPROCS(1)
	return nil
}

// open makes the railway and starts NATS.
func (s *stage) open(ctx context.Context) (err error) {
	if s.railway, err = newRailway(s.settings.others, time.Now()); err != nil {
		return err
	}
	s.path = path(s.railway.date)
	address, err := freeEndpoint()
	if err != nil {
		return err
	}
	s.nats = "nats://" + string(address)
	if s.broker, err = start(s.dir, s.settings.load, "nats", s.self, roleCommand, roleNATS, string(address), filepath.Join(s.dir, "streams")); err != nil {
		return err
	}
	return s.broker.await(ctx, func(context.Context) (err error) {
		s.conn, err = feed.Connect(feed.Options{URL: s.nats, Name: "peers"})
		return err
	})
}

// deltaAge is how long the feed keeps deltas: a fresh node reads all of them, and one starts in every round. By default they are kept for half an hour.
const deltaAge = 2 * time.Minute

// publish publishes the whole railway, and from then on every change.
func (s *stage) publish(ctx context.Context) error {
	p, err := feed.NewPublisher(ctx, s.conn, s.railway, feed.PublisherOptions{Limits: feed.Limits{DeltaAge: deltaAge}, HealEvery: 10 * time.Minute})
	if err != nil {
		return err
	}
	err = errors.Join(p.Network(ctx, &s.railway.network), p.Patterns(ctx, s.railway.patterns))
	if err == nil {
		err = p.Publish(ctx, s.railway.openings())
	}
	if err != nil {
		return err
	}
	s.say("published %d runs, %d of them in the answer", len(s.railway.all), len(s.railway.hot))
	for _, duty := range []func(context.Context) error{p.Serve, s.railway.follow(toFeed(p)).run} {
		go func() {
			if err := duty(ctx); err != nil && ctx.Err() == nil {
				s.fail(err)
			}
		}()
	}
	return nil
}

// serve starts a program of a design, on the servers' core.
func (s *stage) serve(name, program string, args ...string) (*process, error) {
	return start(s.dir, s.settings.servers, name, slices.Concat([]string{program}, args)...)
}

// role starts a role of this program as a part of a design.
func (s *stage) role(name, role string, args ...string) (*process, error) {
	return s.serve(name, s.self, slices.Concat([]string{roleCommand, role}, args)...)
}

// trade lets changes happen until stop is called, which returns when everybody has heard of all of them.
func (s *stage) trade(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.railway.trade(ctx, s.settings.changes); err != nil {
			s.fail(err)
		}
	}()
	return func() {
		cancel()
		<-ended
		settling, done := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
		defer done()
		if err := poll(settling, func() error {
			if !s.railway.settled() {
				return errors.New("changes were not delivered")
			}
			return nil
		}); err != nil {
			s.fail(err)
		}
	}
}
