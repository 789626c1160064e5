package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/broker"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// brokerDir makes this program a NATS server on files in that folder, until its input ends: what a node costs is then measured without the server.
const brokerDir = "YUPIAO_BENCH_BROKER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerDir); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(dir string) error {
	s, err := broker.Start(broker.Options{Dir: dir, Address: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	fmt.Println(s.URL())
	_, err = io.Copy(io.Discard, os.Stdin)
	s.Stop()
	return err
}

// apart starts the server as a process of its own and returns its URL.
func apart(b *testing.B) string {
	b.Helper()
	self, err := os.Executable()
	must(b, err)
	server := exec.Command(self)
	server.Env, server.Stderr = append(os.Environ(), brokerDir+"="+b.TempDir()), os.Stderr
	stdin, err := server.StdinPipe()
	must(b, err)
	stdout, err := server.StdoutPipe()
	must(b, err)
	must(b, server.Start())
	b.Cleanup(func() {
		_ = stdin.Close() // the server ends
		if err := server.Wait(); err != nil {
			b.Error(err)
		}
	})
	url, err := bufio.NewReader(stdout).ReadString('\n')
	must(b, err)
	return strings.TrimSpace(url)
}

// business is what a booking system has to publish: the opening of its runs, and then sales and refunds.
type business struct {
	schedule        *timetable.Schedule
	book            *booking.Book
	opening, trades []feed.Change
	adjusts         int // of all trades
}

// line is so many trains a day that call at all of ten stations, the mean of the whole country.
func line(trains int, first rail.Date, days int) *timetable.Schedule {
	s := &timetable.Schedule{Network: timetable.Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: 2 * days}} // open by the clock
	var km []float64
	for i := range 10 {
		code := rail.StationCode(fmt.Sprint("S", i))
		s.Network.Stations = append(s.Network.Stations, timetable.Station{Code: code, Names: timetable.Names{Name: string(code)}})
		km = append(km, 100*float64(i))
	}
	classes := formation.Default().For("G").Offers(km)
	dates := make([]rail.Date, days)
	for i := range dates {
		dates[i] = first + rail.Date(i)
	}
	for n := range trains {
		p := &timetable.Pattern{Train: fmt.Sprint("G", n+1), Category: "G", Classes: classes}
		for i, station := range s.Network.Stations {
			at := rail.Minutes(360 + n + 30*i)
			p.Stops = append(p.Stops, timetable.Stop{Station: station.Code, Arrive: at, Depart: at})
		}
		p.ID = p.ContentID()
		s.Trips = append(s.Trips, timetable.Trip{ID: rail.TripID(fmt.Sprintf("24000000G%dC", n+1)), Pattern: p, Dates: dates})
	}
	return s
}

// trade opens 10,000 runs and makes so many changes: of any run, three sales to a refund, half of them in second class, from any stop to any other.
func trade(b *testing.B, changes int) *business {
	b.Helper()
	const days = 15
	s := line(10_000/days, today(), days)
	all := &business{schedule: s, book: booking.NewBook(booking.Config{Epoch: 1}, s, formation.Default())}
	for d := range rail.Date(days) {
		all.book.Open(today() + d)
	}
	all.opening = all.take()
	rng, runs := rand.New(rand.NewPCG(1, 2)), all.book.Runs()
	var sold []booking.Sale
	for all.book.Outbox().Len() < changes {
		if n := len(sold); n > 0 && rng.IntN(4) == 0 {
			i := rng.IntN(n)
			must(b, all.book.Refund(sold[i]))
			sold[i] = sold[n-1]
			sold = sold[:n-1]
			continue
		}
		class := []rail.Class{"O", "O", "O", "M", "9", "WZ"}[rng.IntN(6)]
		from := rng.IntN(9)
		to := from + 1 + rng.IntN(9-from)
		sale, err := all.book.Sell(runs[rng.IntN(len(runs))], class, rail.StopIndex(from), rail.StopIndex(to))
		if err == nil { // else it is sold out
			sold = append(sold, sale)
		}
	}
	all.trades = all.take()
	for i := range all.trades {
		all.adjusts += len(all.trades[i].Delta.Adjusts)
	}
	return all
}

func (all *business) take() (changes []feed.Change) {
	outbox := all.book.Outbox()
	for _, c := range outbox.Take(outbox.Len()) {
		changes = append(changes, feed.Change{Delta: c.Delta, State: c.State})
	}
	outbox.Ack(len(changes))
	return changes
}

// publish fills the streams of a server. No state is published after the opening, so that a node has to apply every trade.
func (all *business) publish(b *testing.B, o feed.Options) {
	b.Helper()
	conn, err := feed.Connect(o)
	must(b, err)
	defer conn.Close()
	publisher, err := feed.NewPublisher(b.Context(), conn, all.book, feed.PublisherOptions{})
	must(b, err)
	must(b, publisher.Network(b.Context(), &all.schedule.Network))
	must(b, publisher.Patterns(b.Context(), all.book.Patterns()))
	must(b, publisher.Publish(b.Context(), all.opening))
	must(b, publisher.Publish(b.Context(), all.trades))
}

// BenchmarkApplyFeed is deltas read from JetStream, decoded and applied to a replica, from the first to the end of the stream: for each second, and for each
// second of this process's CPU time, all its threads and the garbage collector together. With GOMAXPROCS=1 the process has one thread that runs Go code, and the
// server is another process.
func BenchmarkApplyFeed(b *testing.B) {
	all := trade(b, 400_000)
	b.Run("server=inside", func(b *testing.B) {
		o := feed.Options{InProcess: testkit.Broker(b)}
		all.publish(b, o)
		all.measure(b, o, "deltas/cpu-s-with-server")
	})
	b.Run("server=apart", func(b *testing.B) {
		o := feed.Options{URL: apart(b)}
		all.publish(b, o)
		b.Run("GOMAXPROCS=1", func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			all.measure(b, o, "deltas/cpu-s-without-server")
		})
	})
}

// measure loads one replica after the other.
func (all *business) measure(b *testing.B, o feed.Options, unit string) {
	var took, used time.Duration
	for b.Loop() {
		conn, err := feed.Connect(o)
		must(b, err)
		r := replica.New(replica.Options{})
		g := &gauge{Sink: r}
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- feed.NewReader(conn, g).Run(ctx) }()
		<-r.Ready()
		cancel()
		must(b, <-ended)
		conn.Close()
		if s := r.Stats(); s.Applied < uint64(len(all.trades)) || s.Held+s.Broken+s.Behind > 0 {
			b.Fatalf("not all was applied: %+v", s)
		}
		took, used = took+g.took, used+g.used
	}
	deltas := float64(len(all.trades))
	b.ReportMetric(deltas*float64(b.N)/took.Seconds(), "deltas/s")
	b.ReportMetric(deltas*float64(b.N)/used.Seconds(), unit)
	b.ReportMetric(float64(all.adjusts)/deltas, "adjusts/delta")
}

// gauge measures how long a sink is busy with deltas: from the first batch until all are handed over.
type gauge struct {
	feed.Sink
	first sync.Once
	at    time.Time
	cpu   time.Duration
	took  time.Duration
	used  time.Duration
}

func (g *gauge) Deltas(p rail.Partition, batch *event.DeltaBatch, sequence uint64) {
	g.first.Do(func() { g.at, g.cpu = time.Now(), processTime() })
	g.Sink.Deltas(p, batch, sequence)
}

func (g *gauge) Loaded(end uint64, created map[string]time.Time) {
	g.took, g.used = time.Since(g.at), processTime()-g.cpu
	g.Sink.Loaded(end, created)
}

// processTime is the user and system time of this process.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
