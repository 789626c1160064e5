package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/payment"
	"github.com/yupiao/yupiao/pkg/reservation"
)

// Booking is the settings of the reference booking backend; configs/bookingd.yaml says what each key means.
type Booking struct {
	// Name of this backend among those of the database.
	Name     string `mapstructure:"name"`
	Database string `mapstructure:"database"`
	// Lease is how long the lead is kept by a backend that is not heard of.
	Lease       time.Duration `mapstructure:"lease"`
	HTTP        BookingHTTP   `mapstructure:"http"`
	Admin       BookingAdmin  `mapstructure:"admin"`
	Feed        BookingFeed   `mapstructure:"feed"`
	Timetable   Timetable     `mapstructure:"timetable"`
	Sale        Sale          `mapstructure:"sale"`
	Reservation Reservation   `mapstructure:"reservation"`
	Payment     Payment       `mapstructure:"payment"`
	Offers      Offers        `mapstructure:"offers"`
	Log         Log           `mapstructure:"log"`
	// Formations of the trains: classes, places and fares by category.
	Formations formation.Rules `mapstructure:"formations"`
}

// BookingHTTP is the listener of the booking API.
type BookingHTTP struct {
	Address        string        `mapstructure:"address"`
	AllowedOrigins []string      `mapstructure:"allowed_origins"`
	Drain          time.Duration `mapstructure:"drain"`
}

// BookingAdmin is who may do what the railway's own people do.
type BookingAdmin struct {
	Token     string `mapstructure:"token"`
	TokenFile string `mapstructure:"token_file"`
}

// BookingFeed is where events go to.
type BookingFeed struct {
	URL          string        `mapstructure:"url"`
	User         string        `mapstructure:"user"`
	Password     string        `mapstructure:"password"` // only from the environment, or from a file of its own
	PasswordFile string        `mapstructure:"password_file"`
	Credentials  string        `mapstructure:"credentials"`
	Domain       string        `mapstructure:"domain"`
	TLS          TLS           `mapstructure:"tls"`
	Replicas     int           `mapstructure:"replicas"`
	DeltaAge     time.Duration `mapstructure:"delta_age"`
	DigestEvery  time.Duration `mapstructure:"digest_every"`
}

// Timetable is what trains there are.
type Timetable struct {
	GTFS    string `mapstructure:"gtfs"`
	Lenient bool   `mapstructure:"lenient"`
}

// Sale is when what goes on sale.
type Sale struct {
	Days     int             `mapstructure:"days"`
	HeldBack []booking.Stage `mapstructure:"held_back"`
}

// Reservation is how orders are held and given back.
type Reservation struct {
	Hold time.Duration     `mapstructure:"hold"`
	Fees []reservation.Fee `mapstructure:"fees"`
}

// Payment is how payments are made.
type Payment struct {
	WebhookSecrets     Secrets `mapstructure:"webhook_secrets"`
	WebhookSecretsFile string  `mapstructure:"webhook_secrets_file"`
}

// DefaultBooking is the settings of a booking backend that nobody has changed.
func DefaultBooking() Booking {
	return Booking{
		Database: "sqlite:bookings.db", Lease: 3 * time.Second,
		HTTP:        BookingHTTP{Address: "127.0.0.1:8082", AllowedOrigins: []string{}, Drain: 10 * time.Second},
		Feed:        BookingFeed{URL: "nats://127.0.0.1:4222", Replicas: 1, DeltaAge: 30 * time.Minute, DigestEvery: 10 * time.Second},
		Sale:        Sale{Days: 15, HeldBack: []booking.Stage{}},
		Reservation: Reservation{Hold: 10 * time.Minute, Fees: reservation.DefaultFees()},
		Payment:     Payment{WebhookSecrets: Secrets{}},
		Offers:      Offers{Keys: Secrets{}},
		Log:         Log{Level: "info", Format: "json"},
		Formations:  formation.Default(),
	}
}

// LoadBooking reads a booking backend's settings from a file; an empty path means defaults and environment alone.
func LoadBooking(path string) (Booking, error) {
	b := DefaultBooking()
	t, err := load(path, os.Environ(), &b)
	if err != nil {
		return Booking{}, err
	}
	return b, t.mark(b.Validate())
}

// Validate reports the settings that cannot be used.
func (b *Booking) Validate() error {
	return errors.Join(
		within("lease", b.Lease, 100*time.Millisecond, time.Minute),
		address("http.address", b.HTTP.Address, false), within("http.drain", b.HTTP.Drain, 0, 10*time.Minute), origins(b.HTTP.AllowedOrigins), token(b.Admin.Token),
		within("feed.replicas", b.Feed.Replicas, 1, 5), within("feed.delta_age", b.Feed.DeltaAge, time.Minute, 24*time.Hour),
		within("feed.digest_every", b.Feed.DigestEvery, 100*time.Millisecond, time.Hour),
		login("feed.", b.Feed.User, b.Feed.Password, b.Feed.Credentials), domain(b.Feed.Domain), b.Feed.TLS.validate(),
		within("sale.days", b.Sale.Days, 1, 60), stages(b.Sale.HeldBack),
		within("reservation.hold", b.Reservation.Hold, time.Second, 24*time.Hour), fees(b.Reservation.Fees), secrets(b.Payment.WebhookSecrets), b.Offers.keys(),
		b.Log.Validate(),
		formations(b.Formations),
	)
}

func origins(all []string) error {
	for i, origin := range all {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin { // as browsers write it
			return invalid(fmt.Sprintf("http.allowed_origins[%d]", i), fmt.Sprintf("%q", origin), "scheme://host:port in lower case")
		}
	}
	return nil
}

const shortestToken = 16

func token(text string) error {
	if n := len(text); n > 0 && n < shortestToken {
		return invalid("admin.token", fmt.Sprintf("a text of %d characters", n), fmt.Sprintf("at least %d", shortestToken)) // never the token itself
	}
	return nil
}

func stages(all []booking.Stage) error {
	percent := 0
	for i, s := range all {
		key := fmt.Sprintf("sale.held_back[%d]", i)
		if percent += s.Percent; s.Percent < 1 || percent > 90 {
			return invalid(key+".percent", s.Percent, "1 to 90, all stages together")
		}
		if err := within(key+".days_before", s.DaysBefore, 0, 60); err != nil {
			return err
		}
	}
	return nil
}

func fees(all []reservation.Fee) error {
	for i, f := range all {
		key := fmt.Sprintf("reservation.fees[%d]", i)
		if err := errors.Join(within(key+".percent", f.Percent, 0, 100), within(key+".before", f.Before, 0, 365*24*time.Hour)); err != nil {
			return err
		}
		if i > 0 && f.Before >= all[i-1].Before {
			return invalid(key+".before", f.Before, fmt.Sprintf("less than %s, the one before", all[i-1].Before))
		}
	}
	return nil
}

func secrets(all []string) error {
	if _, err := payment.ParseSecrets(all); err != nil {
		return &fault{webhookSecrets, fmt.Sprintf("%s: %v", webhookSecrets, err)}
	}
	return nil
}

func formations(rules formation.Rules) error {
	if err := rules.Validate(); err != nil {
		return &fault{"formations", fmt.Sprintf("formations: %v", err)}
	}
	return nil
}
