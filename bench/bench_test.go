// Package bench measures the whole way: from a timetable to a loaded node, and from a commit to an answer. What one package does alone is measured
// beside it.
package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/booking"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/gtfs"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/sample"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// railway is a booking backend whose runs have all been published.
type railway struct {
	server *testkit.Host
	book   *booking.Book
	runs   int
}

// open publishes every run of a schedule for some days and relays what is sold from then on.
func open(b *testing.B, s *timetable.Schedule, first rail.Date, days int) *railway {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	r := &railway{server: testkit.Broker(b), book: booking.NewBook(booking.Config{Epoch: 1}, s, formation.Default())}
	publisher, err := feed.NewPublisher(ctx, testkit.Conn(b, r.server), r.book, feed.PublisherOptions{})
	must(b, err)
	must(b, publisher.Network(ctx, &s.Network))
	var patterns []*timetable.Pattern
	for _, t := range s.Trips {
		patterns = append(patterns, t.Pattern)
	}
	must(b, publisher.Patterns(ctx, patterns))
	for d := range rail.Date(days) {
		r.runs += r.book.Open(first + d)
	}
	go func() { _ = publisher.Serve(ctx) }()
	go func() { _ = booking.Relay(ctx, r.book.Outbox(), publisher) }()
	testkit.Eventually(b, "everything is published", func() bool { return r.book.Outbox().Len() == 0 })
	return r
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// follow loads a replica and returns it with the function that ends it.
func follow(b *testing.B, r *railway) (*replica.Follower, func()) {
	b.Helper()
	conn, err := feed.Connect(feed.Options{InProcess: r.server})
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	f := replica.NewFollower(conn, replica.Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.Run(ctx)
	}()
	<-f.Ready()
	return f, func() {
		cancel()
		<-done
		conn.Close()
	}
}

func today() rail.Date { return rail.DateOf(time.Now(), time.UTC) + 1 }

// schedules are the sample network for some days, and the real timetable where it is to be had.
func schedules(b *testing.B, each func(b *testing.B, s *timetable.Schedule, first rail.Date, days int)) {
	for _, days := range []int{1, 5, 15} {
		b.Run(fmt.Sprintf("sample/days=%d", days), func(b *testing.B) {
			s, err := sample.Schedule(today(), days, formation.Default())
			must(b, err)
			each(b, s, today(), days)
		})
	}
	b.Run("real/days=15", func(b *testing.B) {
		dir := os.Getenv("YUPIAO_TESTDATA")
		if dir == "" {
			b.Skip("needs a real timetable: set YUPIAO_TESTDATA to the folder that holds cn-hsr-gtfs/gtfs.zip")
		}
		first := rail.NewDate(2026, time.November, 24) // within the feed
		s, _, err := gtfs.Read(filepath.Join(dir, "cn-hsr-gtfs", "gtfs.zip"), gtfs.Options{Rules: formation.Default(), From: first, Days: 15})
		must(b, err)
		for _, t := range s.Trips { // a node holds no dates that are long over
			for i := range t.Dates {
				t.Dates[i] += today() - first
			}
		}
		each(b, s, today(), 15)
	})
}

// BenchmarkLoad is the time from nothing to a replica that may answer (R6).
func BenchmarkLoad(b *testing.B) {
	schedules(b, func(b *testing.B, s *timetable.Schedule, first rail.Date, days int) {
		r := open(b, s, first, days)
		for b.Loop() {
			f, end := follow(b, r)
			if got := f.Replica().Stats().Runs; got == 0 {
				b.Fatal("nothing was loaded")
			}
			end()
		}
		b.ReportMetric(float64(r.runs)*float64(b.N)/b.Elapsed().Seconds(), "runs/s")
		b.ReportMetric(float64(r.runs), "runs")
	})
}

// BenchmarkVisible is the time from a commit in the booking system to the changed number in the replica, one sale at a time.
func BenchmarkVisible(b *testing.B) {
	s, err := sample.Schedule(today(), 2, formation.Default())
	must(b, err)
	s.Network.SaleDays = 15 // open by the clock, whatever the hour
	r := open(b, s, today(), 2)
	f, end := follow(b, r)
	defer end()
	run := sellable(b, r)
	stops := f.Replica().Run(run).Sheet().Pattern.Stops
	last := rail.StopIndex(len(stops) - 1)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		ticket, err := r.book.Sell(run, "O", 0, last)
		must(b, err)
		awaitVersion(f.Replica().Run(run), ticket.Version)
		took = append(took, time.Since(start))
		b.StopTimer()
		must(b, r.book.Refund(ticket))
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// sellable is a run with second-class places that can be sold today.
func sellable(b *testing.B, r *railway) rail.RunID {
	b.Helper()
	for _, id := range r.book.Runs() {
		state, _ := r.book.State(id)
		last := rail.StopIndex(0)
		for _, span := range state.Classes[0].Buckets[0].Spans {
			last = max(last, span.To)
		}
		if t, err := r.book.Sell(id, "O", 0, last); err == nil {
			must(b, r.book.Refund(t))
			return id
		}
	}
	b.Fatal("no run can be sold")
	return rail.RunID{}
}

// awaitVersion spins: a timer would be coarser than what is measured.
func awaitVersion(run *replica.Run, v rail.Version) {
	for v.Above(run.Sheet().Version()) {
	}
}
