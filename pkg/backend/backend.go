// Package backend puts the reference booking backend together. The program, the demo and the tests start it the same way:
//
//	bookapi -> reservation.Desk -> booking.Book, store.Database
//	                                     \_ Outbox -> booking.Relay -> feed.Publisher -> NATS
//
// Several backends may share a database: one leads, the others wait for its end (D7). A backend goes on from what is stored, and from nothing else: whenever
// something could not be stored, it forgets what it holds and begins anew from there.
//
// Invariants (cited by the tests as K1...):
//
//	K1 Sales go on while NATS is away; what is committed is published when it is back.
//	K2 A backend that is killed at any moment loses nothing that it answered, and publishes everything that it committed.
//	K3 A waiting backend leads within the lease after the leader's last commit, or at once after it resigned.
package backend

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/bookapi"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Options of a backend beside its settings; zero values take the defaults.
type Options struct {
	// Schedule is the timetable. Its first date on sale is today, or From if that is later.
	Schedule *timetable.Schedule
	From     rail.Date
	// InProcess, if set, is the NATS server to use instead of the settings' URL.
	InProcess feed.InProcess
	// Clock is the time; default time.Now.
	Clock func() time.Time
	// Log; default silent.
	Log *slog.Logger
}

// Backend is a booking backend that listens. Run it.
type Backend struct {
	settings config.Booking
	options  Options
	location *time.Location
	patterns []*timetable.Pattern
	database *store.Database
	listener net.Listener
	provider *payment.Sandbox
	api      *bookapi.Server
	current  atomic.Pointer[session]
	waiting  atomic.Pointer[string] // why it does not lead
	secrets  atomic.Pointer[payment.Secrets]
	keys     atomic.Pointer[offer.Keys]
}

// New opens the database and the listener, so that what cannot work is known at once.
func New(ctx context.Context, settings config.Booking, o Options) (*Backend, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if settings.Name == "" {
		settings.Name = "bookingd-" + random()
	}
	location, err := time.LoadLocation(o.Schedule.Network.Timezone)
	if err != nil {
		return nil, fmt.Errorf("time zone of the timetable: %w", err)
	}
	b := &Backend{settings: settings, options: o, location: location, patterns: o.Schedule.Patterns()}
	b.wait("starting")
	if err := b.open(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func (b *Backend) open(ctx context.Context) (err error) {
	if b.database, err = store.Open(ctx, b.settings.Database); err != nil {
		return err
	}
	if b.listener, err = net.Listen("tcp", b.settings.HTTP.Address); err != nil {
		return fmt.Errorf("http.address: %w", err)
	}
	own, err := payment.ParseSecrets([]string{random()})
	if err != nil {
		return err
	}
	b.secrets.Store(&own)
	if err := b.Follow(&b.settings); err != nil {
		return err
	}
	secrets := func() payment.Secrets { return *b.secrets.Load() }
	b.provider = payment.NewSandbox("http://"+b.Address()+"/v1/payments/webhook", secrets, b.options.Clock)
	options := bookapi.Options{
		Desk: b.desk, Status: b.Status, Resync: b.resync, Network: &b.options.Schedule.Network, Secrets: secrets, AdminToken: b.settings.Admin.Token,
		Origins: b.settings.HTTP.AllowedOrigins, Document: api.BookingAPI, Clock: b.options.Clock, Log: b.options.Log,
	}
	if !b.keys.Load().Empty() {
		options.Offers = &offers{b}
	}
	b.api = bookapi.New(options)
	return nil
}

// Follow takes the keys of offers and the secrets of payments from settings, whose other changes wait for a restart; whether there are keys at all does, too. They hold for the next
// request. Safe for concurrent use. The error wraps config.ErrInvalid; nothing is taken then.
func (b *Backend) Follow(settings *config.Booking) error {
	keys, err := settings.Offers.Load()
	if err != nil {
		return err
	}
	secrets, err := payment.ParseSecrets(settings.Payment.WebhookSecrets)
	if err != nil {
		return fmt.Errorf("%w: payment.webhook_secrets: %w", config.ErrInvalid, err)
	}
	b.keys.Store(&keys)
	if len(secrets) > 0 {
		b.secrets.Store(&secrets)
	}
	return nil
}

func (b *Backend) close() {
	if b.provider != nil {
		b.provider.Close()
	}
	if b.listener != nil {
		_ = b.listener.Close() // a served one is closed already
	}
	if b.database != nil {
		_ = b.database.Close() // everything that counts is committed
	}
}

// Address is where bookings are made.
func (b *Backend) Address() string { return b.listener.Addr().String() }

func (b *Backend) wait(why string) { b.waiting.Store(&why) }

func (b *Backend) desk() *reservation.Desk {
	if s := b.current.Load(); s != nil {
		return s.desk
	}
	return nil
}

// Status is how the backend is now.
func (b *Backend) Status() bookapi.Status {
	status := bookapi.Status{Name: b.settings.Name, Why: *b.waiting.Load()}
	if s := b.current.Load(); s != nil {
		s.describe(&status)
	}
	return status
}

var errNotPublishing = errors.New("not publishing: this backend does not lead, or NATS is away")

// resync publishes the present states again.
func (b *Backend) resync(ctx context.Context, date rail.Date) (int, error) {
	if s := b.current.Load(); s != nil {
		if p := s.publisher.Load(); p != nil {
			return p.Republish(ctx, date)
		}
	}
	return 0, errNotPublishing
}

// Run serves until ctx ends, then lets what is on the way end.
func (b *Backend) Run(ctx context.Context) error {
	defer b.close()
	group, ctx := errgroup.WithContext(ctx)
	drained := make(chan struct{})
	group.Go(func() error {
		defer close(drained)
		return b.serve(ctx)
	})
	group.Go(func() error {
		work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the desk outlives the last request
		defer cancel()
		go func() {
			<-drained
			cancel()
		}()
		b.lead(work)
		return nil
	})
	return group.Wait()
}

func (b *Backend) serve(ctx context.Context) error {
	server := &http.Server{
		Handler: b.api, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(b.options.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.Background(), b.settings.HTTP.Drain)
		defer cancel()
		stopped <- server.Shutdown(drain)
	}()
	if err := server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", b.listener.Addr(), err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("drain %s: %w", b.listener.Addr(), err)
	}
	return nil
}

const (
	// standbyInterval is how often a waiting backend asks whether it may lead.
	standbyInterval = 200 * time.Millisecond
	// longestRest is the longest wait after a session that failed.
	longestRest = 5 * time.Second
)

// lead leads whenever it may, until ctx ends.
func (b *Backend) lead(ctx context.Context) {
	rest := standbyInterval
	for ctx.Err() == nil {
		term, err := b.database.Lead(ctx, b.settings.Name, b.options.Clock().Add(b.settings.Lease))
		switch {
		case err == nil:
			began := time.Now()
			err = b.session(ctx, term)
			if time.Since(began) > longestRest {
				rest = standbyInterval
			}
		case errors.Is(err, store.ErrLed), store.IsBusy(err):
			rest = standbyInterval
		}
		if ctx.Err() != nil {
			return
		}
		b.wait(err.Error())
		if !errors.Is(err, store.ErrLed) {
			b.options.Log.Warn("not leading", "error", err, "again_in", rest.String())
		}
		sleep(ctx, rest)
		rest = min(2*rest, longestRest)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Idle reports whether everything committed is published, up to a time that it gives.
func (b *Backend) Idle() (upTo time.Time, idle bool) {
	s := b.current.Load()
	if s == nil || s.publisher.Load() == nil {
		return time.Time{}, false
	}
	upTo = s.book.Outbox().Complete()
	return upTo, s.book.Outbox().Len() == 0
}

// Runs lists the open runs.
func (b *Backend) Runs() []rail.RunID {
	if s := b.current.Load(); s != nil {
		return s.book.Runs()
	}
	return nil
}

// overnight is how many service dates before the first may still run on it.
const overnight = 3

func (b *Backend) today() rail.Date {
	return max(rail.DateOf(b.options.Clock(), b.location), b.options.From)
}

// dates are the service dates that are open on a day.
func (b *Backend) dates(today rail.Date) (all []rail.Date) {
	for date := today - overnight; date < today+rail.Date(b.settings.Sale.Days); date++ {
		all = append(all, date)
	}
	return slices.Clip(all)
}
