// Package demo is a whole railway in one process: a NATS server, the reference booking backend on SQLite, people who buy over its API, and a query node.
//
//	crowd.Crowd -> http://127.0.0.1:8082 -> backend.Backend -> broker.Server -> node.Node -> http://127.0.0.1:8080
//
// They meet only over HTTP and NATS, as they would on three machines.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
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
	// HTTP, Admin, Booking and NATS are addresses to listen on. A taken NATS port is replaced by a free one.
	HTTP, Admin, Booking, NATS string
	// SalesPerSecond is how many acts people do; 0 for none.
	SalesPerSecond float64
	// Seed of what they do.
	Seed uint64
	// Data keeps the streams and the orders; empty: a folder that is deleted at the end.
	Data string
	// Settings of the booking backend.
	Settings config.Booking
	// Out is where it is said what is where; Log is for everything else.
	Out io.Writer
	Log *slog.Logger
	// Ready, if set, is told the query node's address once it answers.
	Ready func(address string)
}

// mostSales a second are more than the backend does on a laptop.
const mostSales = 10_000

// Run runs a demo until ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Days < 1 || o.Days > 60 {
		return fmt.Errorf("%w: days is %d; want 1 to 60", ErrOption, o.Days)
	}
	if !(o.SalesPerSecond >= 0 && o.SalesPerSecond <= mostSales) { // written so that NaN fails
		return fmt.Errorf("%w: sales-per-second is %g; want 0 to %d", ErrOption, o.SalesPerSecond, mostSales)
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
	server    *broker.Server
	backend   *backend.Backend
	token     string // of the backend's admin calls
	node      *node.Node
	folder    string
	temporary bool
}

func (d *demo) close() {
	if d.server != nil {
		d.server.Stop()
	}
	if d.temporary {
		_ = os.RemoveAll(d.folder) // a leftover in the system's temporary folder does no harm
	}
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.Out, "%6.1fs  "+format+"\n", append([]any{time.Since(d.start).Seconds()}, args...)...)
}

func (d *demo) loadSchedule(context.Context) (err error) {
	d.Settings.Sale.Days = d.Days
	if d.GTFS != "" {
		d.Settings.Timetable.GTFS, d.Settings.Timetable.Lenient = d.GTFS, d.Lenient
		d.say("reading %s", d.GTFS)
	}
	if d.schedule, err = backend.ReadTimetable(d.Settings, d.From, d.Log); err != nil {
		return err
	}
	location, err := time.LoadLocation(d.schedule.Network.Timezone)
	if err != nil {
		return fmt.Errorf("time zone of the timetable: %w", err)
	}
	today := rail.DateOf(time.Now(), location)
	if d.From == 0 {
		d.From = today
	}
	if d.From < today {
		return fmt.Errorf("%w: from-date is %s; want %s or later: trains of the past cannot be sold", ErrOption, d.From, today)
	}
	d.say("timetable: %d stations, %d cities, %d trips", len(d.schedule.Network.Stations), len(d.schedule.Network.Cities), len(d.schedule.Trips))
	return nil
}

func (d *demo) startBroker(context.Context) (err error) {
	if d.folder = d.Data; d.folder == "" {
		if d.folder, err = os.MkdirTemp("", "yupiao-demo-"); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		d.temporary = true
	}
	if d.server, err = broker.Start(broker.Options{Dir: d.folder, Address: d.NATS}); err != nil {
		return err
	}
	if d.server.Replaced {
		d.say("%s is taken: NATS listens on another port", d.NATS)
	}
	return nil
}

// startBooking opens the backend on a database in the data folder: what was sold before is sold still.
func (d *demo) startBooking(ctx context.Context) (err error) {
	s := &d.Settings
	s.Name, s.Database, s.HTTP.Address = "demo", "sqlite:"+filepath.Join(d.folder, "bookings.db"), d.Booking
	s.HTTP.AllowedOrigins = origins(d.HTTP)
	d.token = rand.Text()
	s.Admin.Token = d.token
	s.Offers.Keys = config.Secrets{"demo:" + hex.EncodeToString([]byte(rand.Text()))} // the node has the same
	if err := s.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrOption, err)
	}
	d.backend, err = backend.New(ctx, *s, backend.Options{Schedule: d.schedule, From: d.From, InProcess: d.server, Log: d.Log})
	return err
}

// origins of the page, by address and by name. A port that is chosen at the start is not known yet: then the tests book without a page.
func origins(address string) []string {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return nil
	}
	return []string{"http://" + address, "http://localhost:" + port}
}

func (d *demo) startNode(context.Context) (err error) {
	settings := config.DefaultNode()
	settings.Offers = d.Settings.Offers
	settings.Page.Booking = "http://" + d.backend.Address()
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
	group.Go(func() error { return d.backend.Run(ctx) })
	group.Go(func() error { return d.node.Run(ctx) })
	group.Go(func() error { return d.announce(ctx) })
	return group.Wait()
}

// announce says what is where as soon as it answers, and then lets people in.
func (d *demo) announce(ctx context.Context) error {
	var published time.Time
	if !poll(ctx, func() (idle bool) {
		published, idle = d.backend.Idle()
		return idle
	}) {
		return nil
	}
	known := func() bool {
		r := d.node.Follower().Replica()
		if r == nil {
			return false
		}
		asOf, proved := r.AsOf()
		return proved && !asOf.Before(published)
	}
	if !poll(ctx, known) {
		return nil
	}
	d.say("ready: %d runs", d.node.Follower().Replica().Stats().Runs)
	d.directions()
	if d.Ready != nil {
		d.Ready(d.node.Address())
	}
	client := crowd.NewClient(ctx, "http://"+d.backend.Address(), d.token)
	return crowd.Trade(ctx, client, crowd.Options{Schedule: d.schedule, Rules: d.Settings.Formations, Seed: d.Seed}, d.SalesPerSecond)
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
	from, to := d.schedule.Busiest()
	date := d.From + min(1, rail.Date(d.Days)-1)
	fmt.Fprintf(d.Out, `
  page      %s/
  API       %s/openapi.yaml
  booking   http://%s/openapi.yaml
  metrics   http://%s/metrics
  NATS      %s  (subjects yupiao.v1.>, contract at %s/asyncapi.yaml)
  sales     %g a second; orders are kept in %s

Try:
  curl '%s/v1/availability?from=%s&to=%s&date=%s'
  curl '%s/v1/stations?q=bei'
  curl -N '%s/v1/stream?from=%s&to=%s&date=%s'

`, base, base, d.backend.Address(), d.node.AdminAddress(), d.server.URL(), base, d.SalesPerSecond, d.folder, base, from, to, date, base, base, from, to, date)
}
