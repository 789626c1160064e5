package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/bookapi"
	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
)

// session is one term of leading: everything that is held in memory, and thrown away when it ends.
type session struct {
	backend   *Backend
	term      reservation.Term
	epoch     uint64
	book      *booking.Book
	desk      *reservation.Desk
	published []event.RunVersion // by the sessions before,
	bookmark  feed.Bookmark      // and how far they had come
	publisher atomic.Pointer[feed.Publisher]
}

// session leads until ctx ends or it cannot go on, and says why.
func (b *Backend) session(ctx context.Context, term reservation.Term) error {
	s := &session{backend: b, term: term}
	err := s.run(ctx)
	b.current.Store(nil)
	if !errors.Is(err, reservation.ErrFenced) { // or else it is another's
		resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err = errors.Join(err, b.database.Resign(resign, term))
	}
	if err == nil {
		err = errors.New("session ended")
	}
	return err
}

func (s *session) run(ctx context.Context) error {
	if err := s.fill(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.desk.Run(ctx); err != nil {
			return err
		}
		return ctx.Err()
	})
	group.Go(func() error { return s.open(ctx) })
	group.Go(func() error { return s.publish(ctx) })
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// fill begins with what is stored.
func (s *session) fill(ctx context.Context) error {
	b := s.backend
	began := time.Now()
	image, err := b.database.Load(ctx)
	if err != nil {
		return err
	}
	if s.epoch = image.Epoch; s.epoch == 0 {
		s.epoch = uint64(time.Now().UnixMilli()) // above that of any database before this one
	}
	stages := b.settings.Sale.HeldBack
	s.book = booking.NewBook(booking.Config{Epoch: s.epoch, Clock: b.options.Clock, HeldBack: stages}, b.options.Schedule, b.settings.Formations)
	if err := restore(s.book, image); err != nil {
		return err
	}
	s.published = publishedOf(image)
	if image.Bookmark != "" {
		if err := json.Unmarshal([]byte(image.Bookmark), &s.bookmark); err != nil {
			return fmt.Errorf("bookmark of the feed: %w", err)
		}
	}
	s.desk = reservation.New(reservation.Options{
		Book: s.book, Store: b.database, Provider: b.provider, Term: s.term, Lease: b.settings.Lease, Hold: b.settings.Reservation.Hold,
		Fees: b.settings.Reservation.Fees, Currency: b.options.Schedule.Network.Currency, Location: b.location, Clock: b.options.Clock,
		Bookmark: s.place,
	})
	b.options.Log.Info("leading", "term", s.term.Number, "epoch", s.epoch, "runs", len(image.Records), "sales", len(image.Sales), "outbox", len(image.Outbox),
		"seconds", time.Since(began).Seconds())
	return nil
}

// place is the publisher's bookmark as it is stored; empty while there is none.
func (s *session) place() string {
	p := s.publisher.Load()
	if p == nil {
		return ""
	}
	data, err := json.Marshal(p.Bookmark())
	if err != nil { // plain values always can
		return ""
	}
	return string(data)
}

func restore(book *booking.Book, image *reservation.Image) error {
	for i := range image.Records {
		if err := book.Restore(image.Records[i], image.Patterns[image.Records[i].Pattern]); err != nil {
			return err
		}
	}
	for _, sale := range image.Sales {
		if err := book.Claim(sale); err != nil {
			return err
		}
	}
	book.Refill(image.Outbox, image.Acked)
	return nil
}

// publishedOf is the version of each run before the first change that waits in the outbox.
func publishedOf(image *reservation.Image) []event.RunVersion {
	waiting := map[rail.RunID]rail.Version{}
	for i := range image.Outbox {
		d := &image.Outbox[i].Delta
		if _, earlier := waiting[d.Run]; !earlier {
			waiting[d.Run] = d.Version
		}
	}
	out := make([]event.RunVersion, 0, len(image.Records))
	for i := range image.Records {
		r := event.RunVersion{Run: image.Records[i].Run, Version: image.Records[i].Version}
		if first, waits := waiting[r.Run]; waits {
			r.Version = rail.Version{Epoch: first.Epoch, Revision: first.Revision - 1}
		}
		if r.Version.Revision > 0 {
			out = append(out, r)
		}
	}
	return out
}

// rollInterval is how often the clock is asked whether a day has gone, or held places are due.
const rollInterval = 10 * time.Second

// open stores the epoch of a new database, opens the dates that are on sale, lets requests in, and keeps the sale window rolling.
func (s *session) open(ctx context.Context) error {
	if err := s.desk.Begin(ctx, s.epoch); err != nil {
		return err
	}
	ticker := time.NewTicker(rollInterval)
	defer ticker.Stop()
	for {
		if err := s.roll(ctx); err != nil {
			return err
		}
		s.backend.current.Store(s)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func (s *session) roll(ctx context.Context) error {
	b := s.backend
	today := b.today()
	for _, date := range b.dates(today) {
		runs, err := s.desk.Open(ctx, date, b.patterns)
		if err != nil {
			return fmt.Errorf("open %s: %w", date, err)
		}
		if runs > 0 {
			b.options.Log.Info("a day of sale opens", "date", date.String(), "runs", runs)
		}
	}
	if err := s.desk.CloseBefore(ctx, today-overnight); err != nil {
		return err
	}
	return s.releaseHeld(ctx)
}

func (s *session) releaseHeld(ctx context.Context) error {
	now := s.backend.options.Clock()
	for _, run := range s.book.Due(now) {
		err := s.desk.Do(ctx, func(tx *booking.Tx) error {
			_, err := tx.ReleaseHeld(run, now)
			return err
		})
		if err != nil && !errors.Is(err, booking.ErrUnknownRun) { // it may be over
			return err
		}
	}
	return nil
}

// publish brings what is committed to the feed. It waits for NATS as long as it takes (K1), and ends when another publisher is in charge.
func (s *session) publish(ctx context.Context) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	publisher, err := s.takeCharge(ctx, conn)
	if err != nil {
		return err
	}
	s.publisher.Store(publisher)
	s.backend.options.Log.Info("publishing", "as", publisher.Name(), "waiting", s.book.Outbox().Len())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return publisher.Serve(ctx) })
	group.Go(func() error { return booking.Relay(ctx, s.book.Outbox(), publisher) })
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// connectWait is how long NATS is given before it is asked again.
const connectWait = time.Second

func (s *session) connect(ctx context.Context) (*feed.Conn, error) {
	b := s.backend
	o := b.settings.Feed.Options()
	o.Name, o.InProcess = b.settings.Name, b.options.InProcess
	o.OnState = func(err error) { b.options.Log.Warn("connection to the feed", "lost", err != nil, "error", err) }
	o.OnTrouble = func(err error) { b.options.Log.Warn("trouble with the feed", "error", err) }
	for {
		conn, err := feed.Connect(o)
		if err == nil {
			return conn, nil
		}
		b.options.Log.Warn("the feed is away; sales go on", "error", err)
		if sleep(ctx, connectWait); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// takeCharge makes the publisher, and publishes what the runs refer to.
func (s *session) takeCharge(ctx context.Context, conn *feed.Conn) (*feed.Publisher, error) {
	b := s.backend
	for {
		publisher, err := feed.NewPublisher(ctx, conn, s.book, feed.PublisherOptions{
			Name: fmt.Sprintf("%s/%d", b.settings.Name, s.term.Number), Clock: b.options.Clock, DigestEvery: b.settings.Feed.DigestEvery, Bookmark: s.bookmark,
			Limits: feed.Limits{DeltaAge: b.settings.Feed.DeltaAge, Replicas: b.settings.Feed.Replicas},
		})
		if err == nil {
			publisher.Resume(s.published)
			err = errors.Join(publisher.Network(ctx, &b.options.Schedule.Network), publisher.Patterns(ctx, s.book.Patterns()))
		}
		if err == nil {
			return publisher, nil
		}
		b.options.Log.Warn("the feed does not take events; sales go on", "error", err)
		if sleep(ctx, connectWait); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (s *session) describe(status *bookapi.Status) {
	outbox := s.book.Outbox()
	status.Leading, status.Why, status.Term, status.Epoch = true, "", s.term.Number, s.epoch
	status.Runs, status.Outbox = len(s.book.Runs()), outbox.Len()
	if p := s.publisher.Load(); p != nil {
		status.Publishing, status.Published, status.CompleteTo = true, p.Stats().Deltas, outbox.Complete()
	} else {
		status.Why = "NATS is away"
	}
}
