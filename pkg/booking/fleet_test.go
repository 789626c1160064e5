package booking

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/crowd"
	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// testFleet is so many trips that run every day between 40 cities of two stations each, with 2 to 16 stops.
func testFleet(trips int) *timetable.Schedule {
	const cities = 40
	s := testSchedule()
	for i := range 2 * cities {
		s.Network.Stations = append(s.Network.Stations, timetable.Station{
			Code: rail.StationCode(fmt.Sprintf("S%d", i)), City: rail.CityCode(fmt.Sprintf("C%d", i/2)),
		})
	}
	var dates []rail.Date
	for day := range rail.Date(s.Network.SaleDays) {
		dates = append(dates, today+day)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range trips {
		p := testPattern(fmt.Sprintf("G%d", i), 2+rng.IntN(15))
		for k, station := range rng.Perm(2 * cities)[:len(p.Stops)] {
			p.Stops[k].Station = rail.StationCode(fmt.Sprintf("S%d", station))
		}
		s.Trips = append(s.Trips, timetable.Trip{ID: rail.TripID(p.Train), Pattern: p, Dates: dates})
	}
	return s
}

// market sells a Book's tickets to a crowd.
type market struct {
	*Book
	sold map[string]Sale
}

func people(b *Book, s *timetable.Schedule, rules formation.Rules, seed uint64) *crowd.Crowd {
	return crowd.New(&market{Book: b, sold: map[string]Sale{}}, crowd.Options{Schedule: s, Rules: rules, Seed: seed, Clock: b.cfg.Clock})
}

func (m *market) Buy(o crowd.Order) (ticket string, err error) {
	return ticket, m.alone(func(tx *Tx) error {
		s, err := tx.Sell(o.Run, o.Class, o.From, o.To, Party{Size: o.Passengers})
		if err == nil {
			ticket = strconv.Itoa(len(m.sold)) + s.Run.String()
			m.sold[ticket] = s
		}
		return err
	})
}

func (m *market) Return(ticket string) error { return m.Refund(m.sold[ticket]) }

func openFleet(trips int, rules formation.Rules) (*Book, *timetable.Schedule) {
	s := testFleet(trips)
	b := NewBook(Config{Epoch: 7, Clock: func() time.Time { return noon }}, s, rules)
	for day := range rail.Date(s.Network.SaleDays) {
		b.Open(today + day)
	}
	return b, s
}

// Opening follows from the ids alone, in about the shares that are meant.
func TestOpeningShares(t *testing.T) {
	b, _ := openFleet(1000, testRules())
	var runs, suspended, restricted, waitlists, classes float64
	for _, id := range b.Runs() {
		s, _ := b.State(id)
		runs++
		if s.Suspended {
			suspended++
		}
		for _, c := range s.Classes {
			if classes++; c.Waitlist {
				waitlists++
			}
			if len(c.Buckets) > 1 {
				restricted++
			}
		}
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"suspended", suspended / runs, suspendedPercent},
		{"restricted", restricted / runs, originPercent + longPercent},
		{"waitlist", waitlists / classes, waitlistPercent * 2 / 3}, // not for standing
	} {
		if got := 100 * c.got; got < 0.7*c.want || got > 1.3*c.want {
			t.Errorf("%s: %.1f %%, want about %.1f %%", c.name, got, c.want)
		}
	}
}

// The same seed does the same; refunds have their share, and the next days sell more than the later ones.
func TestBuyers(t *testing.T) {
	const steps = 20000
	life := func() (changes int, b *Book) {
		b, s := openFleet(200, testRules())
		y := people(b, s, testRules(), 42)
		for range steps {
			if y.Step() {
				changes++
			}
		}
		return changes, b
	}
	n, b := life()
	again, other := life()
	if n != again || !reflect.DeepEqual(versions(b), versions(other)) {
		t.Errorf("%d changes, %d with the same seed", n, again)
	}
	var sold, refunded, restated int
	days := map[rail.Date]int{}
	opened := len(b.Runs())
	for _, c := range b.Outbox().Take(b.Outbox().Len()) {
		switch {
		case c.Delta.Restated:
			restated++
		case c.Delta.Adjusts[0].By > 0:
			refunded++
		default:
			sold++
			days[c.Delta.Run.Date]++
		}
	}
	if got := sold + refunded + restated - opened; got != n {
		t.Errorf("the outbox holds %d changes, Step said %d", got, n)
	}
	if share := float64(refunded) / float64(sold); share < 0.08 || share > 0.2 || sold < steps/4 {
		t.Errorf("%d sold, %d refunded; want about an eighth", sold, refunded)
	}
	if days[today+1] < 3*days[today+13] {
		t.Errorf("sold %d for tomorrow, %d for the last day but one; want three times as many", days[today+1], days[today+13])
	}
}

// Who boards today on a train that left yesterday buys a place of yesterday's run.
func TestBuyersBoardOvernight(t *testing.T) {
	trip := testTrip(t, 3, opensPlain)
	for i := range trip.Pattern.Stops {
		stop := &trip.Pattern.Stops[i]
		stop.Arrive, stop.Depart = stop.Arrive+rail.Day, stop.Depart+rail.Day
	}
	s := testSchedule(trip)
	s.Network.SaleDays = 1
	s.Trips[0].Dates = []rail.Date{today - 1}
	b := NewBook(Config{Clock: func() time.Time { return noon }}, s, testRules())
	b.Open(today - 1)
	y := people(b, s, testRules(), 1)
	for range 100 {
		if y.Step() {
			return
		}
	}
	t.Error("nobody boarded")
}

func TestBuyersOfNothing(t *testing.T) {
	bare := testPattern("G1", 3)
	bare.Classes = nil
	for name, s := range map[string]*timetable.Schedule{
		"no trips":   testSchedule(),
		"no classes": testSchedule(timetable.Trip{ID: "G1", Pattern: bare, Dates: []rail.Date{today}}),
	} {
		b := NewBook(Config{Clock: func() time.Time { return noon }}, s, formation.Rules{})
		b.Open(today)
		y := people(b, s, formation.Rules{}, 1)
		for range 20000 {
			if y.Step() {
				t.Fatalf("%s: something was sold", name)
			}
		}
	}
}

// bigRules are trains of 1,200 places.
func bigRules() formation.Rules {
	r := testRules()
	for i, places := range []int{200, 900, 100} {
		r.Categories[0].Classes[i].Places = places
	}
	return r
}

func BenchmarkSell(b *testing.B) {
	for _, stops := range []int{10, 40, 70} {
		b.Run(fmt.Sprintf("stops=%d", stops), func(b *testing.B) {
			trip := testTrip(b, stops, opensPlain)
			book := NewBook(Config{Clock: func() time.Time { return noon }}, testSchedule(trip), bigRules())
			book.Open(today)
			id, rng := runOf(trip), rand.New(rand.NewPCG(1, 1))
			var tickets []Sale
			sold := 0.0
			for b.Loop() { // a sale, and a refund once the train is nearly full
				from := rail.StopIndex(rng.IntN(stops - 1))
				t, err := book.Sell(id, "O", from, from+1+rail.StopIndex(rng.IntN(stops-1-int(from))))
				if err == nil {
					tickets, sold = append(tickets, t), sold+1
				}
				if len(tickets) > 1500 {
					i := rng.IntN(len(tickets))
					_ = book.Refund(tickets[i])
					tickets[i] = tickets[len(tickets)-1]
					tickets = tickets[:len(tickets)-1]
				}
				discard(book)
			}
			if b.ReportMetric(sold/float64(b.N), "sold/op"); sold == 0 {
				b.Fatal("nothing was sold")
			}
		})
	}
}

func discard(b *Book) { b.Outbox().Ack(len(b.Outbox().Take(1 << 20))) }

func BenchmarkState(b *testing.B) {
	for _, trains := range []int{1, 200} {
		b.Run(fmt.Sprintf("trains=%d", trains), func(b *testing.B) {
			book, s := openFleet(trains, bigRules())
			y := people(book, s, bigRules(), 1)
			for range 1000 * trains {
				y.Step()
			}
			runs, i := book.Runs(), 0
			for b.Loop() {
				_, _ = book.State(runs[i%len(runs)])
				i++
			}
		})
	}
}

// BenchmarkStep is a whole country: 4,458 trains for 15 days, opened and then bought from.
func BenchmarkStep(b *testing.B) {
	start := time.Now()
	book, s := openFleet(4458, bigRules())
	opening := time.Since(start)
	y := people(book, s, bigRules(), 1)
	discard(book)
	changes := 0
	for b.Loop() {
		if y.Step() {
			changes++
		}
		if book.Outbox().Len() > 1000 {
			discard(book)
		}
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	runtime.KeepAlive(y)
	b.ReportMetric(float64(changes)/float64(b.N), "changes/op")
	b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB")
	b.ReportMetric(opening.Seconds(), "s-to-open")
}

func versions(b *Book) map[rail.RunID]rail.Version {
	out := map[rail.RunID]rail.Version{}
	for _, id := range b.Runs() {
		state, _ := b.State(id)
		out[id] = state.Version
	}
	return out
}
