package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/backend"
	"github.com/yupiao/yupiao/pkg/config"
	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/node"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/sample"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// counter is a booking backend with its API and a query node, as three processes would have them, on a day of the sample network.
type counter struct {
	schedule *timetable.Schedule
	client   *crowd.Client
	node     *node.Node
	first    rail.Date
}

func newCounter(b *testing.B, database string) *counter {
	b.Helper()
	first := rail.DateOf(time.Now(), time.UTC) + 5
	settings := config.DefaultBooking()
	settings.Name, settings.Database, settings.HTTP.Address, settings.Sale.Days = "bench", database, "127.0.0.1:0", 1
	s, err := sample.Schedule(first, 1, settings.Formations)
	must(b, err)
	s.Network.SaleDays = 15 // open by the clock
	server := testkit.Broker(b)
	be, err := backend.New(b.Context(), settings, backend.Options{Schedule: s, From: first, InProcess: server})
	must(b, err)
	c := &counter{schedule: s, client: crowd.NewClient(context.Background(), "http://"+be.Address(), ""), first: first}
	testkit.Run(b, be.Run)
	testkit.Eventually(b, "everything is published", func() bool {
		_, idle := be.Idle()
		return idle
	})
	ns := config.DefaultNode()
	ns.HTTP.Address, ns.Admin.Address = "127.0.0.1:0", ""
	c.node, err = node.New(ns, node.Options{InProcess: server})
	must(b, err)
	testkit.Run(b, c.node.Run)
	<-c.node.Follower().Ready()
	return c
}

// booked is what an answer tells of an order that was just stored.
type booked struct {
	Run     string
	Created time.Time
	Version rail.Version
}

// reserve books a random place; refusals are tried again elsewhere.
func (c *counter) reserve(rng *mathrand.Rand) (r booked) {
	for {
		trip := &c.schedule.Trips[rng.IntN(len(c.schedule.Trips))]
		from := rng.IntN(len(trip.Pattern.Stops) - 1)
		body := map[string]any{
			"run": rail.RunID{Date: c.first, Trip: trip.ID}.String(), "class": trip.Pattern.Classes[0].Class, "from": from,
			"to": from + 1 + rng.IntN(len(trip.Pattern.Stops)-1-from), "passengers": 1,
		}
		if _, err := c.client.Call(http.MethodPost, "/v1/reservations", body, &r, "Idempotency-Key", rand.Text()); err == nil {
			return r
		}
	}
}

func databases(b *testing.B, each func(b *testing.B, database string)) {
	b.Run("sqlite", func(b *testing.B) { each(b, testkit.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { each(b, testkit.Postgres(b)) })
}

// BenchmarkReservations is orders that are durably stored and answered over HTTP, by so many clients at once that each waits for its answer. Clients, backend,
// NATS and a query node share the machine.
func BenchmarkReservations(b *testing.B) {
	databases(b, func(b *testing.B, database string) {
		c := newCounter(b, database)
		for _, clients := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var all sync.WaitGroup
				b.ResetTimer()
				for i := range clients {
					all.Go(func() {
						rng := mathrand.New(mathrand.NewPCG(uint64(i), 1))
						for left.Add(-1) >= 0 {
							c.reserve(rng)
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
			})
		}
	})
}

// BenchmarkBookedVisible is how long after an order was carried out, and after it was answered, a query node shows it, at a constant rate of orders. The first
// includes the wait for the disk.
func BenchmarkBookedVisible(b *testing.B) {
	databases(b, func(b *testing.B, database string) {
		c := newCounter(b, database)
		for _, rate := range []int{500, 1300} {
			b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
				w := watchFor(c)
				ticker := time.NewTicker(10 * time.Millisecond)
				defer ticker.Stop()
				var all sync.WaitGroup
				began, sent := time.Now(), 0
				for sent < b.N {
					<-ticker.C
					for due := min(b.N, int(time.Since(began).Seconds()*float64(rate))); sent < due; sent++ {
						seed := uint64(sent)
						all.Go(func() {
							r := c.reserve(mathrand.New(mathrand.NewPCG(seed, 2)))
							w.orders <- waiting{booked: r, answered: time.Now()}
						})
					}
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
				w.report(b)
			})
		}
	})
}

type waiting struct {
	booked
	answered time.Time
}

// watcher waits for orders to show up in a node.
type watcher struct {
	orders          chan waiting
	done            chan struct{}
	stored, replied []time.Duration
}

func watchFor(c *counter) *watcher {
	w := &watcher{orders: make(chan waiting, 10_000), done: make(chan struct{})}
	go w.run(c)
	return w
}

func (w *watcher) run(c *counter) {
	defer close(w.done)
	ticker := time.NewTicker(200 * time.Microsecond)
	defer ticker.Stop()
	var open []waiting
	for ended := false; !ended || len(open) > 0; {
		<-ticker.C
		for more := true; more; {
			select {
			case o, ok := <-w.orders:
				if ended = !ok; ok {
					open = append(open, o)
				}
				more = ok
			default:
				more = false
			}
		}
		now := time.Now()
		open = slices.DeleteFunc(open, func(o waiting) bool {
			id, err := rail.ParseRunID(o.Run)
			if err != nil || o.Version.Above(c.node.Follower().Replica().Run(id).Sheet().Version()) {
				return err != nil
			}
			w.stored, w.replied = append(w.stored, now.Sub(o.Created)), append(w.replied, now.Sub(o.answered))
			return true
		})
	}
}

func (w *watcher) report(b *testing.B) {
	close(w.orders)
	<-w.done
	for name, all := range map[string][]time.Duration{"carried-out": w.stored, "answered": w.replied} {
		slices.Sort(all)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(all[min(len(all)*p/100, len(all)-1)].Microseconds())/1000, fmt.Sprintf("p%d-ms-%s", p, name))
		}
	}
}

// UnmarshalJSON reads a version as the API writes it.
func (r *booked) UnmarshalJSON(data []byte) error {
	var v struct {
		Run     string
		Created time.Time
		Version struct{ Epoch, Revision uint64 }
	}
	err := json.Unmarshal(data, &v)
	*r = booked{v.Run, v.Created, rail.Version(v.Version)}
	return err
}
