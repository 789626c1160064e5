// Package demo is a whole railway in one process: a NATS server, the reference booking backend with its buyers, and a query node.
//
//	broker.Server <- feed.Publisher <- booking.Relay <- booking.Book <- booking.Buyers
//	      \_ node.Node -> http://127.0.0.1:8080
//
// The three meet only over NATS, as they would on three machines.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/gtfs"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/sample"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// ErrOption marks an option that cannot be used.
var ErrOption = errors.New("invalid option")

// Options of a demo.
type Options struct {
	// GTFS is a feed to run instead of the sample network; a zip file or a folder. Lenient skips its broken lines.
	GTFS    string
	Lenient bool
	// From is the first service date on sale; the zero Date means today. Days are on sale, 1 to 60.
	From rail.Date
	Days int
	// HTTP, Admin and NATS are addresses to listen on. A taken NATS port is replaced by a free one.
	HTTP, Admin, NATS string
	// SalesPerSecond is how many acts the buyers do; 0 for none.
	SalesPerSecond float64
	// Seed of the buyers.
	Seed uint64
	// Data keeps the streams; empty: a folder that is deleted at the end.
	Data string
	// Formations of the trains.
	Formations formation.Rules
	// Out is where it is said what is where; Log is for everything else.
	Out io.Writer
	Log *slog.Logger
	// Ready, if set, is told the query node's address once it answers.
	Ready func(address string)
}

// Run runs a demo until ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Days < 1 || o.Days > 60 {
		return fmt.Errorf("%w: days is %d; want 1 to 60", ErrOption, o.Days)
	}
	if o.SalesPerSecond < 0 || o.SalesPerSecond > 100_000 {
		return fmt.Errorf("%w: sales-per-second is %g; want 0 to 100000", ErrOption, o.SalesPerSecond)
	}
	d := &demo{Options: o, start: time.Now()}
	defer d.close()
	for _, step := range []func(context.Context) error{d.loadSchedule, d.startBroker, d.startBooking, d.startNode} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return d.live(ctx)
}

type demo struct {
	Options
	start     time.Time
	schedule  *timetable.Schedule
	location  *time.Location
	server    *broker.Server
	conn      *feed.Conn
	publisher *feed.Publisher
	book      *booking.Book
	node      *node.Node
	temporary string
}

func (d *demo) close() {
	if d.conn != nil {
		d.conn.Close()
	}
	if d.server != nil {
		d.server.Stop()
	}
	if d.temporary != "" {
		_ = os.RemoveAll(d.temporary) // a leftover in the system's temporary folder does no harm
	}
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.Out, "%6.1fs  "+format+"\n", append([]any{time.Since(d.start).Seconds()}, args...)...)
}

// ahead is how many days beyond those on sale the schedule covers, so that a demo that is left alone goes on selling.
const ahead = 30

func (d *demo) loadSchedule(context.Context) (err error) {
	d.location, err = time.LoadLocation("Asia/Shanghai")
	if err != nil {
		return fmt.Errorf("time zone data: %w", err)
	}
	from := d.firstDate()
	if d.GTFS == "" {
		d.schedule, err = sample.Schedule(from, d.Days+ahead, d.Formations)
	} else {
		err = d.readGTFS(from)
	}
	if err != nil {
		return err
	}
	d.schedule.Network.SaleDays = d.Days
	if d.location, err = time.LoadLocation(d.schedule.Network.Timezone); err != nil {
		return fmt.Errorf("time zone of the timetable: %w", err)
	}
	if today := rail.DateOf(time.Now(), d.location); d.From != 0 && d.From < today {
		return fmt.Errorf("%w: from-date is %s; want %s or later: trains of the past cannot be sold", ErrOption, d.From, today)
	}
	d.say("timetable: %d stations, %d cities, %d trips", len(d.schedule.Network.Stations), len(d.schedule.Network.Cities), len(d.schedule.Trips))
	return nil
}

func (d *demo) firstDate() rail.Date {
	if d.From != 0 {
		return d.From
	}
	return rail.DateOf(time.Now(), d.location)
}

func (d *demo) readGTFS(from rail.Date) error {
	d.say("reading %s", d.GTFS)
	schedule, report, err := gtfs.Read(d.GTFS, gtfs.Options{Rules: d.Formations, From: from, Days: d.Days + ahead, Lenient: d.Lenient})
	if err != nil {
		return fmt.Errorf("%s: %w", d.GTFS, err)
	}
	for _, p := range report.Problems {
		d.Log.Warn("skipped", "problem", p.Error())
	}
	d.schedule = schedule
	return nil
}

func (d *demo) startBroker(context.Context) (err error) {
	dir := d.Data
	if dir == "" {
		if d.temporary, err = os.MkdirTemp("", "yupiao-demo-"); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		dir = d.temporary
	}
	if d.server, err = broker.Start(broker.Options{Dir: dir, Address: d.NATS}); err != nil {
		return err
	}
	if d.server.Replaced {
		d.say("%s is taken: NATS listens on another port", d.NATS)
	}
	d.conn, err = feed.Connect(feed.Options{InProcess: d.server, Name: "booking"})
	return err
}

// startBooking opens every run on sale and publishes it.
func (d *demo) startBooking(ctx context.Context) (err error) {
	// Places are kept in memory, so each start begins its history anew: the epoch is the time, which only grows.
	d.book = booking.NewBook(booking.Config{Epoch: uint64(time.Now().UnixMilli())}, d.schedule, d.Formations)
	if d.publisher, err = feed.NewPublisher(ctx, d.conn, d.book, feed.PublisherOptions{}); err != nil {
		return err
	}
	if err := d.publisher.Network(ctx, &d.schedule.Network); err != nil {
		return err
	}
	if err := d.publisher.Patterns(ctx, patternsOf(d.schedule)); err != nil {
		return err
	}
	runs, first := 0, d.firstDate()
	for date := first - overnight; date < first+rail.Date(d.Days); date++ {
		runs += d.book.Open(date)
	}
	d.say("booking: %d runs opened, %s to %s", runs, first, first+rail.Date(d.Days)-1)
	return nil
}

// overnight is how many service dates before the first may still run on it.
const overnight = 3

func patternsOf(s *timetable.Schedule) []*timetable.Pattern {
	seen := make(map[rail.PatternID]bool, len(s.Trips))
	out := make([]*timetable.Pattern, 0, len(s.Trips))
	for _, t := range s.Trips {
		if !seen[t.Pattern.ID] {
			seen[t.Pattern.ID] = true
			out = append(out, t.Pattern)
		}
	}
	return slices.Clip(out)
}

func (d *demo) startNode(context.Context) (err error) {
	settings := config.DefaultNode()
	settings.HTTP.Address, settings.Admin.Address, settings.Feed.Name, settings.Streams.MaxPerClient = d.HTTP, d.Admin, "demo", 1000
	if err := settings.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrOption, err)
	}
	d.node, err = node.New(settings, node.Options{InProcess: d.server, Log: d.Log})
	return err
}

// live runs all parts until ctx ends or one of them cannot go on.
func (d *demo) live(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.publisher.Serve(ctx) })
	group.Go(func() error { return booking.Relay(ctx, d.book.Outbox(), d.publisher) })
	group.Go(func() error { return d.node.Run(ctx) })
	group.Go(func() error { return d.announce(ctx) })
	group.Go(func() error { return d.roll(ctx) })
	return group.Wait()
}

// announce says what is where as soon as it answers, and then lets the buyers in.
func (d *demo) announce(ctx context.Context) error {
	if !poll(ctx, func() bool { return d.book.Outbox().Len() == 0 }) {
		return nil
	}
	published := time.Now()
	known := func() bool {
		r := d.node.Follower().Replica()
		if r == nil {
			return false
		}
		asOf, proved := r.AsOf()
		return proved && asOf.After(published)
	}
	if !poll(ctx, known) {
		return nil
	}
	d.say("ready: %d runs", d.node.Follower().Replica().Stats().Runs)
	d.directions()
	if d.Ready != nil {
		d.Ready(d.node.Address())
	}
	return d.trade(ctx)
}

func poll(ctx context.Context, holds func() bool) bool {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// directions say where everything is, and what to try, for the pair of places with the most trains.
func (d *demo) directions() {
	base := "http://" + d.node.Address()
	from, to := busiest(d.schedule)
	date := d.firstDate() + min(1, rail.Date(d.Days)-1)
	fmt.Fprintf(d.Out, `
  page      %s/
  API       %s/openapi.yaml
  metrics   http://%s/metrics
  NATS      %s  (subjects yupiao.v1.>, contract at %s/asyncapi.yaml)
  sales     %g a second

Try:
  curl '%s/v1/availability?from=%s&to=%s&date=%s'
  curl '%s/v1/stations?q=bei'
  curl -N '%s/v1/stream?from=%s&to=%s&date=%s'

`, base, base, d.node.AdminAddress(), d.server.URL(), base, d.SalesPerSecond, base, from, to, date, base, base, from, to, date)
}

// busiest is the pair of stations between the ends of the most trips.
func busiest(s *timetable.Schedule) (from, to rail.StationCode) {
	type pair struct{ from, to rail.StationCode }
	counts, best := map[pair]int{}, pair{}
	for _, t := range s.Trips {
		stops := t.Pattern.Stops
		p := pair{stops[0].Station, stops[len(stops)-1].Station}
		counts[p]++
		if n := counts[p]; n > counts[best] || n == counts[best] && p.from+p.to < best.from+best.to {
			best = p
		}
	}
	return best.from, best.to
}

// trade lets the buyers act at their pace.
func (d *demo) trade(ctx context.Context) error {
	if d.SalesPerSecond == 0 {
		return nil
	}
	buyers := booking.NewBuyers(d.book, d.schedule, d.Seed)
	const beat = 20 * time.Millisecond
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for owed := 0.0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for owed += d.SalesPerSecond * beat.Seconds(); owed >= 1; owed-- {
			buyers.Step()
		}
	}
}

// roll opens the next day of sale and closes those that are long over, once the date has changed.
func (d *demo) roll(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	last := d.firstDate() + rail.Date(d.Days) - 1
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		today := rail.DateOf(time.Now(), d.location)
		for ; last < today+rail.Date(d.Days)-1; last++ {
			d.Log.Info("a day of sale opens", "date", (last + 1).String(), "runs", d.book.Open(last+1))
		}
		d.book.Close(today - overnight - 1)
	}
}
