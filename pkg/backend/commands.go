package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/gtfs"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/sample"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Serve is the program: a backend with the timetable of its settings, until ctx ends. On a signal it reads the settings again for what Follow takes.
func Serve(ctx context.Context, settings config.Booking, hup <-chan os.Signal, again func() (config.Booking, error)) error {
	log := settings.Log.Logger(os.Stderr, settings.Log.SlogLevel())
	schedule, err := ReadTimetable(settings, 0, log)
	if err != nil {
		return err
	}
	b, err := New(ctx, settings, Options{Schedule: schedule, Log: log})
	if err != nil {
		return err
	}
	log.Info("listening", "http", b.Address(), "feed", feed.Redacted(settings.Feed.URL), "trips", len(schedule.Trips))
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				b.reload(again)
			}
		}
	}()
	return b.Run(ctx)
}

func (b *Backend) reload(again func() (config.Booking, error)) {
	settings, err := again()
	if err == nil {
		err = b.Follow(&settings)
	}
	if err != nil {
		b.options.Log.Error("secrets refused, the last good ones stay in force", "error", err)
		return
	}
	b.options.Log.Info("secrets read again", "offer_keys", fmt.Sprint(*b.keys.Load()), "webhook_secrets", len(*b.secrets.Load()))
}

// ahead is how many days beyond those on sale a timetable is read for, so that a backend that is left alone goes on selling.
const ahead = 30

// ReadTimetable reads the GTFS feed of the settings, or makes the sample network, from a date on (0: today), with the runs of the days before that are still
// under way.
func ReadTimetable(settings config.Booking, from rail.Date, log *slog.Logger) (*timetable.Schedule, error) {
	if from == 0 {
		from = rail.DateOf(time.Now(), time.UTC) - 1 // no later than today anywhere
	}
	days := settings.Sale.Days + ahead
	if settings.Timetable.GTFS == "" {
		schedule, err := sample.Schedule(from-overnight, days+overnight, settings.Formations)
		if err != nil {
			return nil, err
		}
		schedule.Network.SaleDays = settings.Sale.Days
		return schedule, nil
	}
	schedule, report, err := gtfs.Read(settings.Timetable.GTFS, gtfs.Options{
		Rules: settings.Formations, From: from - overnight, Days: days + overnight, Lenient: settings.Timetable.Lenient,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settings.Timetable.GTFS, err)
	}
	for _, p := range report.Problems {
		log.Warn("skipped", "problem", p.Error())
	}
	schedule.Network.SaleDays = settings.Sale.Days
	return schedule, nil
}

// Resync asks the running backend of the settings to publish every run again.
func Resync(ctx context.Context, settings config.Booking, date string, out io.Writer) error {
	address := "http://" + settings.HTTP.Address + "/admin/v1/resync?" + url.Values{"date": {date}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+settings.Admin.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no backend answers: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	var answer struct {
		Runs   int    `json:"runs"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s answers %s: %w", settings.HTTP.Address, response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", settings.HTTP.Address, answer.Title, answer.Detail)
	}
	_, err = fmt.Fprintf(out, "%d runs were published again\n", answer.Runs)
	return err
}

// RestoreEpoch begins a new history in a database that was restored from an older copy: every run is told again under a higher epoch when a backend next
// starts, and nodes drop what they had heard since the copy was made. No backend may run on the database meanwhile.
func RestoreEpoch(ctx context.Context, settings config.Booking, out io.Writer) error {
	database, err := store.Open(ctx, settings.Database)
	if err != nil {
		return err
	}
	defer func() { _ = database.Close() }() // everything that counts is committed
	term, err := database.Lead(ctx, "restore-epoch-"+random(), time.Now().Add(time.Minute))
	if err != nil {
		return fmt.Errorf("stop the backend first: %w", err)
	}
	image, err := database.Load(ctx)
	if err != nil {
		return err
	}
	epoch := max(image.Epoch+1, uint64(time.Now().UnixMilli()))
	schedule := &timetable.Schedule{Network: timetable.Network{Timezone: "UTC"}}
	book := booking.NewBook(booking.Config{Epoch: epoch}, schedule, settings.Formations)
	if err := restore(book, image); err != nil {
		return err
	}
	desk := reservation.New(reservation.Options{Book: book, Store: database, Term: term, Lease: time.Minute})
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- desk.Run(working) }()
	err = desk.Raise(ctx, epoch)
	stop()
	if err := firstOf(err, <-ended, database.Resign(ctx, term)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "epoch %d -> %d: %d runs will be published anew when a backend starts\n", image.Epoch, epoch, len(image.Records))
	return err
}

func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
