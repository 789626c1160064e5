package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// The end-to-end oracle: a booking backend that sells real seats, a node that hears of it over a real NATS server, and in the end every OD and class of
// every run over HTTP against the seat maps, counted the naive way.

const (
	oracleTrips = 30
	oracleDates = 10
	oracleActs  = 100_000
)

// fewPlaces makes trains small, so that they sell out and every bound is met.
func fewPlaces() formation.Rules {
	class := func(code rail.Class, kind string, places int) formation.Class {
		return formation.Class{Class: code, Accommodation: kind, Places: places, PerKm: 10, Minimum: 100}
	}
	return formation.Rules{Categories: []formation.Category{{Match: []string{"*"}, Name: "small", SpeedKmh: 100, Classes: []formation.Class{
		class("O", "seat", 40), class("M", "seat", 12), class("9", "seat", 4), class("4", "berth", 8), class("WZ", "standing", 10)}}}}
}

// smallRailway has trips of 2 to 14 stops, some of them closed in one direction.
func smallRailway(from rail.Date) *timetable.Schedule {
	r := rand.New(rand.NewPCG(1, 0))
	s := &timetable.Schedule{Network: timetable.Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 15}}
	for i := range 20 {
		name := fmt.Sprintf("S%02d", i)
		s.Network.Stations = append(s.Network.Stations, timetable.Station{Code: rail.StationCode(name), Names: timetable.Names{Name: name}})
	}
	rules := fewPlaces()
	for i := range oracleTrips {
		p := &timetable.Pattern{Train: fmt.Sprint("G", i), Category: "G"}
		var km []float64
		for k, at := range r.Perm(20)[:2+i%13] {
			m := rail.Minutes(700 + 40*k)
			p.Stops = append(p.Stops, timetable.Stop{Station: s.Network.Stations[at].Code, Arrive: m, Depart: m, NoBoarding: k > 0 && r.IntN(8) == 0, NoAlighting: k > 0 && r.IntN(8) == 0})
			km = append(km, float64(50*k))
		}
		p.Stops[len(p.Stops)-1].NoAlighting = false
		p.Classes = rules.For("G").Offers(km)
		p.ID = p.ContentID()
		trip := timetable.Trip{ID: rail.TripID(p.Train), Pattern: p}
		for d := range rail.Date(oracleDates) {
			trip.Dates = append(trip.Dates, from+d)
		}
		s.Trips = append(s.Trips, trip)
	}
	return s
}

// world is everything that meets over NATS.
type world struct {
	t        *testing.T
	ctx      context.Context
	server   *testkit.Host
	schedule *timetable.Schedule
	first    rail.Date
	rand     *rand.Rand

	book     *booking.Book
	stopBook context.CancelFunc
	tickets  []booking.Sale
	stopped  map[rail.RunID]bool

	node     *node.Node
	stopNode func()
	between  func(feed.Sink) feed.Sink
}

func newWorld(t *testing.T, between func(feed.Sink) feed.Sink) *world {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	first := rail.DateOf(time.Now(), time.UTC) + 2 // the sale of the first ten days is open
	w := &world{t: t, ctx: ctx, server: testkit.Broker(t), schedule: smallRailway(first), first: first, rand: rand.New(rand.NewPCG(2, 0)), between: between}
	w.startBooking(1)
	w.startNode()
	return w
}

// startBooking starts a backend with all seats free. The former one, if there is one, is stopped and its history is over.
func (w *world) startBooking(epoch uint64) {
	w.t.Helper()
	if w.stopBook != nil {
		w.stopBook()
	}
	ctx, cancel := context.WithCancel(w.ctx)
	w.stopBook, w.tickets, w.stopped = cancel, nil, map[rail.RunID]bool{}
	w.book = booking.NewBook(booking.Config{Epoch: epoch}, w.schedule, fewPlaces())
	publisher, err := feed.NewPublisher(ctx, testkit.Conn(w.t, w.server), w.book, feed.PublisherOptions{StateEvery: 50, DigestEvery: 300 * time.Millisecond})
	w.must(err)
	w.must(publisher.Network(ctx, &w.schedule.Network))
	w.must(publisher.Patterns(ctx, w.schedule.Patterns()))
	for d := range rail.Date(oracleDates) {
		w.book.Open(w.first + d)
	}
	for _, id := range w.book.Runs() {
		if s, _ := w.book.State(id); s.Suspended {
			w.stopped[id] = true
		}
	}
	go func() { _ = publisher.Serve(ctx) }()
	go func() { _ = booking.Relay(ctx, w.book.Outbox(), publisher) }()
}

func (w *world) startNode() {
	w.t.Helper()
	settings := config.DefaultNode()
	settings.HTTP.Address, settings.Admin.Address = "127.0.0.1:0", ""
	n, err := node.New(settings, node.Options{InProcess: w.server, Between: w.between})
	w.must(err)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	w.node, w.stopNode = n, func() {
		cancel()
		w.must(<-done)
	}
	testkit.Eventually(w.t, "a node that is ready", func() bool { return n.Follower().Replica() != nil })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// act does n random things that a booking system does. Most succeed; a refusal changes nothing.
func (w *world) act(n int) {
	runs := w.book.Runs()
	for range n {
		id := runs[w.rand.IntN(len(runs))]
		switch dice := w.rand.IntN(1000); {
		case dice < 700:
			w.sell(id)
		case dice < 970 && len(w.tickets) > 0:
			i := w.rand.IntN(len(w.tickets))
			w.must(w.book.Refund(w.tickets[i]))
			w.tickets[i] = w.tickets[len(w.tickets)-1]
			w.tickets = w.tickets[:len(w.tickets)-1]
		case dice < 980:
			w.must(w.book.Release(id, "O", 1))
		case dice < 990 && !w.stopped[id]:
			w.must(w.book.Suspend(id, "wind"))
			w.stopped[id] = true
		case dice < 995 && w.stopped[id]:
			w.must(w.book.Resume(id))
			delete(w.stopped, id)
		default:
			w.quota(id)
		}
	}
}

func (w *world) sell(id rail.RunID) {
	s, _ := w.book.State(id)
	stops := w.stopsOf(id)
	from := rail.StopIndex(w.rand.IntN(stops - 1))
	to := from + 1 + rail.StopIndex(w.rand.IntN(stops-1-int(from)))
	if t, err := w.book.Sell(id, s.Classes[w.rand.IntN(len(s.Classes))].Class, from, to); err == nil {
		w.tickets = append(w.tickets, t)
	}
}

func (w *world) stopsOf(id rail.RunID) int { return len(w.patternOf(id).Stops) }

func (w *world) patternOf(id rail.RunID) *timetable.Pattern {
	for i := range w.schedule.Trips {
		if w.schedule.Trips[i].ID == id.Trip {
			return w.schedule.Trips[i].Pattern
		}
	}
	return nil
}

// quota changes which ODs a bucket may be sold for.
func (w *world) quota(id rail.RunID) {
	last := rail.StopIndex(w.stopsOf(id) - 1)
	var quotas []inventory.Quota
	if w.rand.IntN(3) > 0 {
		quotas = []inventory.Quota{{FromLast: rail.StopIndex(w.rand.IntN(int(last))), ToFirst: 1 + rail.StopIndex(w.rand.IntN(int(last))), ToLast: last}}
	}
	w.must(w.book.SetQuota(id, "M", 0, quotas))
}

// od is what /v1/runs says of a class on an OD.
type runBody struct {
	Version struct{ Epoch, Revision uint64 }
	Status  string
	Behind  bool
	ODs     []struct {
		From, To rail.StopIndex
		Classes  []struct {
			Class     rail.Class
			State     string
			Remaining rail.SeatCount
		}
	}
}

// slow is how long a node may take that has to load again while things get lost on its way: a reload waits 15 s for what is lacking, and there may be two, one after the other.
const slow = 4 * testkit.Patience

// verify waits until the node has heard everything, and then compares every OD and class of every run.
func (w *world) verify() {
	w.t.Helper()
	testkit.Eventually(w.t, "the outbox to be empty", func() bool { return w.book.Outbox().Len() == 0 })
	numbers := 0
	for _, id := range w.book.Runs() {
		var body runBody
		var run *replica.Run
		state, _ := w.book.State(id)
		testkit.Within(w.t, slow, fmt.Sprintf("%s at %s", id, state.Version), func() bool {
			held := w.node.Follower().Replica() // another may be swapped in at any moment, and lack what bad delivery lost
			body, run = w.fetch(id), held.Run(id)
			return held == w.node.Follower().Replica() && run != nil && body.Version.Epoch == state.Version.Epoch && body.Version.Revision == state.Version.Revision && !body.Behind
		})
		numbers += w.compare(id, run.Sheet().Counts, state.Suspended, &body)
	}
	if s := w.node.Follower().Replica().Stats(); s.Received != s.Applied+s.Duplicate+s.Held+s.Broken || s.Quarantined > 0 {
		w.t.Errorf("R5 does not hold, or a run is quarantined: %+v", s)
	} else {
		w.t.Logf("%d runs, %d numbers equal; %+v", len(w.book.Runs()), numbers, s)
	}
}

func (w *world) fetch(id rail.RunID) (body runBody) {
	w.t.Helper()
	response, err := http.Get("http://" + w.node.Address() + "/v1/runs/" + id.String())
	w.must(err)
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		w.must(json.NewDecoder(response.Body).Decode(&body))
	}
	return body
}

// compare holds what the node says against the seat maps; where a state hides the number, against the replica's own.
func (w *world) compare(id rail.RunID, counts *inventory.Table, suspended bool, body *runBody) (numbers int) {
	w.t.Helper()
	for _, od := range body.ODs {
		held := counts.Counts(nil, od.From, od.To)
		for i, c := range od.Classes {
			want := w.book.Remaining(id, c.Class, od.From, od.To)
			numbers++
			if held[i] != want || !suspended && c.Remaining != want || suspended && c.State != "SUSPENDED" {
				w.t.Fatalf("%s %s [%d,%d): the node holds %d and says %d, %s; the seat map has %d, suspended %t", id, c.Class, od.From, od.To, held[i], c.Remaining, c.State, want, suspended)
			}
		}
	}
	return numbers
}

// 100,000 sales, refunds, releases, suspensions and quota changes on 300 runs, delivered well.
func TestOracle(t *testing.T) {
	w := newWorld(t, nil)
	for range 10 {
		w.act(oracleActs / 10)
		w.verify()
	}
}

// The same with everything going wrong: delivery loses, doubles and reorders, the node is killed, streams are deleted, the server comes back with an
// older copy of its files, the backend begins a new history.
func TestOracleUnderFaults(t *testing.T) {
	w := newWorld(t, testkit.Disturb(7))
	older := filepath.Join(t.TempDir(), "older")
	faults := []struct {
		name string
		do   func()
	}{
		{"bad delivery alone", func() {}},
		{"node killed and started", func() {
			w.stopNode()
			w.act(oracleActs / 20)
			w.startNode()
		}},
		{"delta stream deleted", func() { w.deleteStream("YUPIAO_DELTA") }},
		{"state stream deleted", func() { w.deleteStream("YUPIAO_STATE") }},
		{"server restarted", func() {
			w.server.Stop()
			w.must(os.CopyFS(older, os.DirFS(w.server.Dir)))
			w.act(oracleActs / 20)
			w.server.Start()
		}},
		{"streams rolled back to an older copy", func() {
			w.server.Stop()
			w.server.Dir = older
			w.server.Start()
		}},
		{"backend restarted with a new epoch", func() { w.startBooking(2) }},
		{"node killed and started again", func() {
			w.stopNode()
			w.startNode()
		}},
	}
	for _, fault := range faults {
		w.act(oracleActs / 20)
		t.Log(fault.name)
		fault.do()
		w.act(oracleActs / 20)
		w.verify()
	}
	w.stopNode()
}

func (w *world) deleteStream(name string) {
	w.t.Helper()
	_, err := testkit.Plain(w.t, w.server).Request("$JS.API.STREAM.DELETE."+name, nil, testkit.Patience)
	w.must(err)
}
