package backend_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/bookapi"
	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/reservation"
	"github.com/yupiao/yupiao/pkg/store"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// The tests of this package kill processes. What they kill is the test program itself, started again with a part to play.
const (
	partVariable    = "YUPIAO_TEST_PART"
	folderVariable  = "YUPIAO_TEST_FOLDER"
	addressVariable = "YUPIAO_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	parts := map[string]func(context.Context) error{"bookingd": playBackend, "nats": playBroker}
	play := parts[os.Getenv(partVariable)]
	if play == nil {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := play(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the end of the process
	}
	os.Exit(0)
}

func playBackend(ctx context.Context) error {
	settings, err := config.LoadBooking("")
	if err = errors.Join(err, fillDisk()); err != nil {
		return err
	}
	settings.Formations = smallRules()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := backend.New(ctx, settings, backend.Options{Schedule: schedule(), Log: log})
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

func playBroker(ctx context.Context) error {
	s, err := broker.Start(broker.Options{Dir: os.Getenv(folderVariable), Address: os.Getenv(addressVariable)})
	if err != nil {
		return err
	}
	if s.Replaced {
		return errors.New("the address is taken")
	}
	<-ctx.Done()
	s.Stop()
	return nil
}

// process is one that a test kills.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

func start(t *testing.T, part string, environment ...string) *process {
	t.Helper()
	p := &process{done: make(chan struct{}), log: filepath.Join(t.TempDir(), part)}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this very program
	p.cmd.Env = append(append(os.Environ(), partVariable+"="+part), environment...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // it was killed
		_ = out.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("%s said:\n%s", part, text[max(0, len(text)-3000):])
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // SIGKILL; it may be dead
	<-p.done
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // only its number was wanted
	return l.Addr().String()
}

const token = "a token for tests"

// schedule is three trips of five stops on one day, far enough ahead to be on sale all day long.
func schedule() *timetable.Schedule {
	s := &timetable.Schedule{Network: timetable.Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15}}
	for i := range 5 {
		name := fmt.Sprintf("S%02d", i)
		s.Network.Stations = append(s.Network.Stations, timetable.Station{Code: rail.StationCode(name), Names: timetable.Names{Name: name}})
	}
	rules := smallRules()
	for i := range 3 {
		p := &timetable.Pattern{Train: fmt.Sprint("G", i), Category: "G"}
		for k := range 5 {
			at := rail.Minutes(600 + 60*k + i)
			p.Stops = append(p.Stops, timetable.Stop{Station: s.Network.Stations[k].Code, Arrive: at, Depart: at})
		}
		p.Classes = rules.For("G").Offers([]float64{0, 100, 200, 300, 400})
		p.ID = p.ContentID()
		s.Trips = append(s.Trips, timetable.Trip{ID: rail.TripID(p.Train), Pattern: p, Dates: []rail.Date{day()}})
	}
	return s
}

func day() rail.Date { return rail.DateOf(time.Now().Add(12*time.Hour), time.UTC) + 5 } // does not change within a test run at UTC midnight

func smallRules() formation.Rules {
	class := func(code rail.Class, kind string, places int) formation.Class {
		return formation.Class{Class: code, Accommodation: kind, Places: places, PerKm: 10, Minimum: 100}
	}
	return formation.Rules{Categories: []formation.Category{{Match: []string{"*"}, Name: "small", SpeedKmh: 100, Classes: []formation.Class{
		class("O", "seat", 60), class("9", "seat", 6), class("WZ", "standing", 10)}}}}
}

var classes = []rail.Class{"O", "9", "WZ"}

// settings of a backend for a test.
func settings(database, feed string) config.Booking {
	s := config.DefaultBooking()
	s.Name, s.Database, s.HTTP.Address, s.Admin.Token = "test", database, "127.0.0.1:0", token
	s.Feed.URL, s.Feed.DigestEvery, s.Formations = feed, 300*time.Millisecond, smallRules()
	return s
}

// startBackend starts a backend as a process of its own.
func startBackend(t *testing.T, s config.Booking) *process {
	t.Helper()
	return start(t, "bookingd", "YUPIAO_NAME="+s.Name, "YUPIAO_DATABASE="+s.Database, "YUPIAO_HTTP_ADDRESS="+s.HTTP.Address, "YUPIAO_FEED_URL="+s.Feed.URL,
		"YUPIAO_FEED_DIGEST_EVERY="+s.Feed.DigestEvery.String(), "YUPIAO_LEASE="+s.Lease.String(), "YUPIAO_RESERVATION_HOLD="+s.Reservation.Hold.String(),
		"YUPIAO_ADMIN_TOKEN="+token, "YUPIAO_LOG_FORMAT=text")
}

func startBroker(t *testing.T, folder, address string) *process {
	t.Helper()
	return start(t, "nats", folderVariable+"="+folder, addressVariable+"="+address)
}

// running is a backend within the test.
type running struct {
	*backend.Backend
	stop func()
}

func run(t *testing.T, s config.Booking, o backend.Options) *running {
	t.Helper()
	if o.Schedule == nil {
		o.Schedule = schedule()
	}
	b, err := backend.New(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	r := &running{Backend: b, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})}
	t.Cleanup(r.stop)
	return r
}

func (r *running) leads(t *testing.T) *running {
	t.Helper()
	testkit.Eventually(t, "the lead", func() bool { return r.Status().Leading })
	resumeAll(t, client(r.Address()))
	return r
}

// resumeAll lets runs that are opened suspended be sold.
func resumeAll(t *testing.T, c *crowd.Client) {
	t.Helper()
	for _, id := range runs() {
		_ = c.Resume(id) // refused if it is not suspended
	}
}

func runs() (all []rail.RunID) {
	for i := range 3 {
		all = append(all, rail.RunID{Date: day(), Trip: rail.TripID(fmt.Sprint("G", i))})
	}
	return all
}

func client(address string) *crowd.Client {
	return crowd.NewClient(context.Background(), "http://"+address, token)
}

func status(c *crowd.Client) (s bookapi.Status, err error) {
	_, err = c.Call(http.MethodGet, "/admin/v1/status", nil, &s, "Authorization", "Bearer "+token)
	return s, err
}

// published waits until a backend leads and everything it has committed is published.
func published(t *testing.T, c *crowd.Client) {
	t.Helper()
	testkit.Eventually(t, "everything to be published", func() bool {
		s, err := status(c)
		return err == nil && s.Leading && s.Publishing && s.Outbox == 0
	})
}

// query is a query node within the test.
func query(t *testing.T, s config.Node, o node.Options) *node.Node {
	t.Helper()
	s.HTTP.Address, s.Admin.Address = "127.0.0.1:0", ""
	n, err := node.New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Run(t, n.Run)
	return n
}

// spot is an OD of a class of a run.
type spot struct {
	run      rail.RunID
	class    rail.Class
	from, to rail.StopIndex
}

// truth is every number of a database, counted seat by seat from its rows alone, with the version of each run. Places that are sold twice are an error.
type truth struct {
	counts   map[spot]rail.SeatCount
	versions map[rail.RunID]rail.Version
}

func truthOf(t *testing.T, address string) truth {
	t.Helper()
	image := look(t, address, func(d *store.Database) (*reservation.Image, error) { return d.Load(t.Context()) })
	out := truth{map[spot]rail.SeatCount{}, map[rail.RunID]rail.Version{}}
	if len(image.Records) != 3 {
		t.Fatalf("the database holds %d runs", len(image.Records))
	}
	for i := range image.Records {
		record := &image.Records[i]
		out.versions[record.Run] = record.Version
		for k := range record.Classes {
			c := &record.Classes[k]
			for b := range c.Buckets {
				out.count(t, record.Run, c, uint8(b), image.Sales)
			}
		}
	}
	return out
}

// look looks into a database as somebody else.
func look[T any](t *testing.T, address string, at func(*store.Database) (T, error)) T {
	t.Helper()
	d, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }() // it was only read
	seen, err := at(d)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

const segments = 4

// count adds what is left of one bucket.
func (tr *truth) count(t *testing.T, run rail.RunID, c *booking.ClassRecord, number uint8, sales []booking.Sale) {
	t.Helper()
	b := &c.Buckets[number]
	pool := b.Kind == inventory.Pool
	places := make([][segments]int, b.Capacity)
	var standing [segments]rail.SeatCount
	for _, s := range sales {
		if s.Run != run || s.Class != c.Class {
			continue
		}
		for _, seat := range s.Seats {
			if seat.Bucket != number || seat.Unseated {
				continue
			}
			for segment := s.From; segment < s.To; segment++ {
				if standing[segment]++; !pool {
					places[seat.Place][segment]++
				}
				if !pool && places[seat.Place][segment] > 1 || pool && standing[segment] > b.Capacity {
					t.Fatalf("B1: %s class %s bucket %d place %d is sold twice on segment %d", run, c.Class, number, seat.Place, segment)
				}
			}
		}
	}
	for from := range rail.StopIndex(segments) {
		for to := from + 1; to <= segments; to++ {
			n := rail.SeatCount(0)
			if pool {
				n = b.Capacity - slices.Max(standing[from:to])
			} else {
				for _, place := range places {
					if slices.Max(place[from:to]) == 0 {
						n++
					}
				}
			}
			bucket := inventory.Bucket{Quotas: b.Quotas}
			if !bucket.Allows(from, to) {
				n = 0
			}
			tr.counts[spot{run, c.Class, from, to}] += n
		}
	}
}

// shown is every number that a replica shows of runs that it says are live.
func shown(r *replica.Replica) truth {
	out := truth{map[spot]rail.SeatCount{}, map[rail.RunID]rail.Version{}}
	for _, id := range runs() {
		run := r.Run(id)
		if run == nil || run.Health() != replica.Live {
			continue
		}
		sheet := run.Sheet()
		out.versions[id] = sheet.Version()
		for from := range rail.StopIndex(segments) {
			for to := from + 1; to <= segments; to++ {
				for i, n := range sheet.Counts.Counts(nil, from, to) {
					out.counts[spot{id, sheet.Counts.Class(i), from, to}] = n
				}
			}
		}
	}
	return out
}

func (tr truth) equal(other truth) bool {
	return maps.Equal(tr.counts, other.counts) && maps.Equal(tr.versions, other.versions)
}

// converges waits until a node shows every number of a database, and says that it is live.
func converges(t *testing.T, n *node.Node, address string) {
	t.Helper()
	testkit.Eventually(t, "every count of the node to be the database's", func() bool {
		r := n.Follower().Replica()
		return r != nil && shown(r).equal(truthOf(t, address)) // read anew each time: orders expire meanwhile
	})
	if s := n.Follower().Replica().Stats(); s.Received != s.Applied+s.Duplicate+s.Held+s.Broken {
		t.Errorf("R5 does not hold: %+v", s)
	}
}

// ordersOf reads orders as they are stored.
func ordersOf(t *testing.T, address string, ids []string) map[string]*reservation.Order {
	t.Helper()
	found := look(t, address, func(d *store.Database) ([]*reservation.Order, error) { return d.Find(t.Context(), ids, nil) })
	out := map[string]*reservation.Order{}
	for _, o := range found {
		out[o.ID] = o
	}
	return out
}
