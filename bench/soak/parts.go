//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/rpc"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	nodes "github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Parts that this program plays in processes of their own.
const (
	brokerPart    = "broker"
	publisherPart = "publisher"
	nodePart      = "node"
)

// untilLeft ends with ctx, or when nobody holds the process's standard input any more; it is told each line of it.
func untilLeft(ctx context.Context, told func(line string)) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			told(lines.Text())
		}
	}()
	return ctx
}

// playBroker is a NATS server: broker DIR ADDRESS.
func playBroker(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("want broker DIR ADDRESS")
	}
	s, err := broker.Start(broker.Options{Dir: args[0], Address: args[1]})
	if err != nil {
		return err
	}
	defer s.Stop()
	if s.Replaced {
		return fmt.Errorf("%s is taken", args[1])
	}
	fmt.Println(s.URL())
	<-untilLeft(ctx, func(string) {}).Done()
	return nil
}

// playNode is a query node: node SETTINGS. It reads from its standard input how far its clock is ahead.
func playNode(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("want node SETTINGS")
	}
	var n *nodes.Node
	var ahead atomic.Int64
	ahead.Store(-1) // until it is told
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	live, err := config.OpenLive(args[0], config.LiveOptions{
		OnTrouble: func(err error) { log.Error("settings refused", "error", err) }, OnChange: func(s *config.Node) { n.Follow(s) },
	})
	if err != nil {
		return err
	}
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	hello := make(chan struct{})
	ctx = untilLeft(ctx, func(line string) {
		if by, err := time.ParseDuration(line); err == nil {
			if ahead.Swap(int64(by)) < 0 {
				close(hello)
			}
		}
	})
	select {
	case <-hello: // no moment on the wrong clock
	case <-ctx.Done():
		return nil
	}
	if n, err = nodes.New(*live.Current(), nodes.Options{Clock: clock, Log: log, Refused: live.Trouble}); err != nil {
		return err
	}
	fmt.Println(n.Address(), n.AdminAddress())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.Run(ctx) })
	group.Go(func() error { return live.Run(ctx) })
	return group.Wait()
}

// remote is the record, seen from a publisher's process. It is a feed.Authority. Whoever asks for one run after the other, as for publishing everything again, is given many at once: a call of
// another process takes longer than all else.
type remote struct {
	client *rpc.Client
	order  []rail.TripID
	places map[rail.TripID]int

	mu      sync.Mutex // guards what follows
	decoder event.Decoder
	last    rail.RunID
	ahead   map[rail.RunID]Found // of the runs after the last, none of them asked for yet
	since   time.Time            // when they were fetched
}

// Of what is fetched ahead: how much, and for how long it is good.
const (
	aheadRuns = 256
	aheadLife = 500 * time.Millisecond
)

func newRemote(client *rpc.Client, s *timetable.Schedule) *remote {
	r := &remote{client: client, places: map[rail.TripID]int{}}
	for i := range s.Trips {
		r.order = append(r.order, s.Trips[i].ID)
	}
	slices.Sort(r.order)
	for i, id := range r.order {
		r.places[id] = i
	}
	return r
}

func (r *remote) State(run rail.RunID) (event.RunState, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, some := r.ahead[run]; some && time.Since(r.since) < aheadLife {
		delete(r.ahead, run)
		r.last = run
		return r.decoded(f)
	}
	want := []rail.RunID{run}
	if next := r.places[run.Trip] - r.places[r.last.Trip]; run.Date == r.last.Date && next > 0 && next <= 4 { // some trips do not run each day
		for _, id := range r.order[r.places[run.Trip]+1 : min(r.places[run.Trip]+aheadRuns, len(r.order))] {
			want = append(want, rail.RunID{Date: run.Date, Trip: id})
		}
	}
	r.last, r.since, r.ahead = run, time.Now(), map[rail.RunID]Found{}
	var found []Found
	if err := r.client.Call("Record.States", want, &found); err != nil || len(found) != len(want) {
		return event.RunState{}, false
	}
	for i := range want[1:] {
		r.ahead[want[i+1]] = found[i+1]
	}
	return r.decoded(found[0])
}

func (r *remote) decoded(f Found) (event.RunState, bool) {
	if len(f) == 0 {
		return event.RunState{}, false
	}
	s, err := r.decoder.State(f, event.Protobuf)
	if err != nil {
		return event.RunState{}, false
	}
	return *s.Clone(), true // it is lent
}

// timetableOf is the country's, with enough dates for all that roll.
func timetableOf(seed uint64, scale float64, first rail.Date, days int) (*timetable.Schedule, error) {
	c, err := country.New(country.Options{Seed: seed, Scale: scale})
	if err != nil {
		return nil, err
	}
	s := c.Schedule(first, days)
	s.Network.SaleDays = country.SaleDays
	return s, nil
}

// playPublisher is a publisher: it fetches what was committed and publishes it.
func playPublisher(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(publisherPart, flag.ContinueOnError)
	socket, url := flags.String("record", "", "socket of the record"), flags.String("feed", "", "URL of NATS")
	seed, scale := flags.Uint64("seed", 1, ""), flags.Float64("scale", 1, "")
	first, days := flags.String("first", "", ""), flags.Int("days", 15, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	from, err := rail.ParseDate(*first)
	if err != nil {
		return err
	}
	s, err := timetableOf(*seed, *scale, from, *days)
	if err != nil {
		return err
	}
	client, err := rpc.Dial("unix", *socket)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // the record may be gone
	conn, err := feed.Connect(feed.Options{URL: *url, Name: "publisher"})
	if err != nil {
		return err
	}
	defer conn.Close()
	return relay(untilLeft(ctx, func(string) {}), client, conn, s)
}

// relayBatch is how many changes are fetched at once.
const relayBatch = 4000

// relay publishes the outbox in order until ctx ends.
func relay(ctx context.Context, client *rpc.Client, conn *feed.Conn, s *timetable.Schedule) error {
	var t Term
	if err := client.Call("Record.Begin", struct{}{}, &t); err != nil {
		return err
	}
	var ahead atomic.Int64
	ahead.Store(int64(t.Ahead))
	publisher, err := feed.NewPublisher(ctx, conn, newRemote(client, s), feed.PublisherOptions{
		Name: fmt.Sprintf("soak/%d", t.Number), Bookmark: t.Bookmark, Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		return err
	}
	publisher.Resume(t.Published)
	t.Published = nil
	if err := errors.Join(publisher.Network(ctx, &s.Network), publisher.Patterns(ctx, s.Patterns())); err != nil {
		return err
	}
	fmt.Println(publisher.Name())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return publisher.Serve(ctx) })
	group.Go(func() error {
		for published := 0; ctx.Err() == nil; {
			b := Batch{}
			if err := client.Call("Record.Take", Progress{Term: t.Number, Published: relayBatch}, &b); err != nil {
				return gone(err)
			}
			ahead.Store(int64(b.Ahead))
			if err := publishAll(ctx, publisher, b.Changes); err != nil {
				return err
			}
			publisher.Complete(b.Complete)
			if len(b.Changes) > 0 {
				if err := client.Call("Record.Done", Progress{t.Number, len(b.Changes), publisher.Bookmark()}, new(struct{})); err != nil {
					return gone(err)
				}
			}
			if published += len(b.Changes); !b.All {
				continue
			}
			select {
			case <-ctx.Done():
			case <-time.After(feed.Rest(published)):
			}
			published = 0
		}
		return nil
	})
	if err := group.Wait(); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// gone is no error if the record has left, which ends everything.
func gone(err error) error {
	if errors.Is(err, rpc.ErrShutdown) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// publishAll publishes changes, again and again until they are, or until another publisher has come.
func publishAll(ctx context.Context, p *feed.Publisher, changes []feed.Change) error {
	for len(changes) > 0 {
		err := p.Publish(ctx, changes)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case errors.Is(err, feed.ErrFenced):
			return err
		}
		fmt.Fprintln(os.Stderr, "publisher:", err)
	}
	return nil
}
