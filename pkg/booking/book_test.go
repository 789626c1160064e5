package booking

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/formation"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

var (
	today = rail.NewDate(2026, 11, 23)
	noon  = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC) // in Shanghai
)

// watch is a clock that a test sets.
type watch struct{ now time.Time }

func (w *watch) read() time.Time { return w.now }

func testRules() formation.Rules {
	return formation.Rules{Categories: []formation.Category{{Match: []string{"*"}, Classes: []formation.Class{
		{Class: "M", Places: 8}, {Class: "O", Places: 20}, {Class: "WZ", Places: 5},
	}}}}
}

// testPattern leaves its first stop at 13:00 and calls every ten minutes.
func testPattern(train string, stops int) *timetable.Pattern {
	p := &timetable.Pattern{Train: train, Category: "G", Classes: []timetable.ClassOffer{{Class: "M"}, {Class: "O"}, {Class: "WZ", Accommodation: rail.Standing}}}
	for i := range stops {
		at := 13*60 + 10*rail.Minutes(i)
		p.Stops = append(p.Stops, timetable.Stop{Station: rail.StationCode(fmt.Sprintf("S%d", i)), Arrive: at, Depart: at})
	}
	p.ID = p.ContentID()
	return p
}

func testSchedule(trips ...timetable.Trip) *timetable.Schedule {
	return &timetable.Schedule{Network: timetable.Network{Timezone: "Asia/Shanghai", SaleDays: 15}, Trips: trips}
}

// testTrip is a trip on three days whose opening is wanted by a test, among many ids.
func testTrip(t testing.TB, stops int, wanted func(timetable.Trip) bool) timetable.Trip {
	t.Helper()
	for i := range 10000 {
		trip := timetable.Trip{ID: rail.TripID(fmt.Sprintf("G%d", i)), Pattern: testPattern("G1", stops), Dates: []rail.Date{today, today + 1, today + 14}}
		if wanted(trip) {
			return trip
		}
	}
	t.Fatal("no trip is opened as wanted")
	return timetable.Trip{}
}

func runOf(trip timetable.Trip) rail.RunID { return rail.RunID{Date: today, Trip: trip.ID} }

func opensPlain(trip timetable.Trip) bool {
	return openingQuotas(&trip) == nil && !opensSuspended(trip)
}

func opensRestricted(trip timetable.Trip) bool {
	return openingQuotas(&trip) != nil && !opensSuspended(trip)
}

func opensSuspended(trip timetable.Trip) bool {
	return percentile("suspended", runOf(trip).String()) < suspendedPercent
}

// openBook is a Book at noon with one run of a trip, open from stop to stop.
func openBook(t *testing.T, trip timetable.Trip) (*Book, rail.RunID, *watch) {
	t.Helper()
	w := &watch{noon}
	b := NewBook(Config{Epoch: 7, Clock: w.read}, testSchedule(trip), testRules())
	if n := b.Open(today); n != 1 {
		t.Fatalf("opened %d runs, want 1", n)
	}
	return b, runOf(trip), w
}

// B5: an opening is revision 1, told by its state.
func TestOpen(t *testing.T) {
	trip := testTrip(t, 5, opensRestricted)
	b, id, _ := openBook(t, trip)
	if again, other := b.Open(today), b.Open(today+2); again != 0 || other != 0 {
		t.Errorf("opened again %d, on a day without the trip %d; want 0", again, other)
	}
	changes := b.Outbox().Take(10)
	state, _ := b.State(id)
	if len(changes) != 1 || !changes[0].Delta.Restated || !reflect.DeepEqual(*changes[0].State, state) {
		t.Fatalf("changes %+v, want one with the state %+v", changes, state)
	}
	if v := (rail.Version{Epoch: 7, Revision: 1}); state.Version != v || changes[0].Delta.Version != v {
		t.Errorf("version %s and %s, want %s", state.Version, changes[0].Delta.Version, v)
	}
	whole := func(n rail.SeatCount) []inventory.Span { return []inventory.Span{{From: 0, To: 4, Count: n}} }
	want := []inventory.Bucket{{Capacity: 16, Spans: whole(16)}, {Capacity: 4, Spans: whole(4), Quotas: openingQuotas(&trip)}}
	if got := state.Classes[1].Buckets; !reflect.DeepEqual(got, want) {
		t.Errorf("buckets %+v, want %+v", got, want)
	}
	if again := b.Open(today); again != 0 || len(b.Runs()) != 1 {
		t.Errorf("opened again: %d runs, now %v", again, b.Runs())
	}
	if !b.CloseBefore(today+1) || len(b.Runs()) != 0 {
		t.Errorf("runs %v after the day was closed", b.Runs())
	}
}

// Of trips with the same id the first counts.
func TestOpenTwins(t *testing.T) {
	first, second := testTrip(t, 2, opensPlain), testTrip(t, 3, opensPlain)
	second.ID = first.ID
	b := NewBook(Config{Clock: (&watch{noon}).read}, testSchedule(first, second), testRules())
	if n, runs := b.Open(today), b.Runs(); n != 1 || len(runs) != 1 {
		t.Fatalf("opened %d runs %v, want one", n, runs)
	}
	if s, _ := b.State(runOf(first)); s.Pattern != first.Pattern.ID {
		t.Errorf("pattern %s, want the first's, %s", s.Pattern, first.Pattern.ID)
	}
}

// The last sale day opens later today, at its origin's own time.
func TestSaleOpens(t *testing.T) {
	b, _, w := openBook(t, testTrip(t, 2, opensPlain))
	b.Open(today + 14)
	id := b.Runs()[1]
	state, _ := b.State(id)
	if d := rail.DateOf(state.SaleOpensAt, b.loc); d != today {
		t.Fatalf("the sale of %s opens on %s, want %s", id, d, today)
	}
	for _, c := range []struct {
		after time.Duration
		want  error
	}{{-1, ErrNotOnSale}, {0, nil}} {
		w.now = state.SaleOpensAt.Add(c.after)
		if _, err := b.Sell(id, "O", 0, 1); !errors.Is(err, c.want) {
			t.Errorf("%s after the opening: %v, want %v", c.after, err, c.want)
		}
	}
}

// B8: what is refused changes nothing.
func TestRefusals(t *testing.T) {
	trip := testTrip(t, 5, opensPlain)
	trip.Pattern.Stops[1].NoBoarding, trip.Pattern.Stops[2].NoAlighting = true, true
	trip.Pattern.Classes[0].Fares = []rail.Money{100, 200, 300, timetable.NoFare, 100, 200, 300, 100, 200, 100}
	b, id, w := openBook(t, trip)
	only := []inventory.Quota{{FromFirst: 0, FromLast: 0, ToFirst: 4, ToLast: 4}}
	if err := b.SetQuota(id, "O", 0, only); err != nil {
		t.Fatal(err)
	}
	only[0].ToFirst = 3 // the Book keeps its own copy
	for range 5 {
		if _, err := b.Sell(id, "WZ", 0, 4); err != nil {
			t.Fatal(err)
		}
	}
	suspended := func(sell func() error) func() error {
		return func() error {
			r, _ := b.find(id)
			r.suspended = true
			defer func() { r.suspended = false }()
			return sell()
		}
	}
	sell := func(class rail.Class, from, to rail.StopIndex) func() error {
		return func() error { _, err := b.Sell(id, class, from, to); return err }
	}
	noRun := rail.RunID{Date: today + 1, Trip: id.Trip}
	for _, c := range []struct {
		name string
		now  time.Duration // after noon
		act  func() error
		want error
	}{
		{"unknown trip", 0, func() error { return b.Suspend(rail.RunID{Date: today, Trip: "X"}, "") }, ErrUnknownRun},
		{"day not open", 0, func() error { _, err := b.Sell(noRun, "O", 0, 4); return err }, ErrUnknownRun},
		{"stops turned", 0, sell("M", 3, 3), ErrInvalid},
		{"stops beyond", 0, sell("M", 0, 5), ErrInvalid},
		{"unknown class", 0, sell("X", 0, 4), ErrNotOffered},
		{"no boarding", 0, sell("M", 1, 3), ErrNotOffered},
		{"no alighting", 0, sell("M", 0, 2), ErrNotOffered},
		{"no fare", 0, sell("M", 0, 4), ErrNotOffered},
		{"suspended", 0, suspended(sell("M", 0, 3)), ErrSuspended},
		{"closed", 57 * time.Minute, sell("M", 0, 3), ErrNotOnSale},
		{"departed", 60 * time.Minute, sell("M", 0, 3), ErrDeparted},
		{"restricted", 0, sell("O", 0, 3), ErrRestricted},
		{"standing sold out", 0, sell("WZ", 2, 3), ErrSoldOut},
		{"release of nothing", 0, func() error { return b.Release(id, "O", 0) }, ErrInvalid},
		{"release of too much", 0, func() error { return b.Release(id, "O", rail.MaxCount-19) }, ErrInvalid},
		{"release of no class", 0, func() error { return b.Release(id, "X", 1) }, ErrNotOffered},
		{"resume while on sale", 0, func() error { return b.Resume(id) }, ErrInvalid},
		{"quota of no bucket", 0, func() error { return b.SetQuota(id, "O", 1, nil) }, ErrInvalid},
		{"quota turned", 0, func() error { return b.SetQuota(id, "O", 0, []inventory.Quota{{FromFirst: 2, FromLast: 1}}) }, ErrInvalid},
		{"quota beyond", 0, func() error { return b.SetQuota(id, "O", 0, []inventory.Quota{{ToLast: 5}}) }, ErrInvalid},
		{"foreign ticket", 0, func() error { return b.Refund(Sale{Run: id, Class: "O", To: 4}) }, ErrSale},
	} {
		before, _ := b.State(id)
		w.now = noon.Add(c.now)
		if err := c.act(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if after, _ := b.State(id); !reflect.DeepEqual(after, before) || b.Outbox().Len() != 7 {
			t.Errorf("%s: state %+v with %d changes, want %+v with 7", c.name, after, b.Outbox().Len(), before)
		}
	}
}

// B7: of two sales that share a place, neither stands for the other, nor both for one; each is refunded once, until its train leaves.
func TestSales(t *testing.T) {
	b, id, w := openBook(t, testTrip(t, 5, opensPlain))
	first, _ := b.Sell(id, "O", 0, 2)
	second, err := b.Sell(id, "O", 2, 4)
	if err != nil || first.Seats[0] != second.Seats[0] {
		t.Fatalf("seats %v and %v, error %v; want the same", first.Seats, second.Seats, err)
	}
	both, later, other, nobody := first, first, first, first
	both.To, later.Version, other.Class, nobody.Seats = 4, second.Version, "M", nil
	for _, c := range []struct {
		name   string
		ticket Sale
		at     time.Duration
		want   error
	}{
		{"both as one", both, 0, ErrSale},
		{"the other's number", later, 0, ErrSale},
		{"another class", other, 0, ErrSale},
		{"without its seat", nobody, 0, ErrSale},
		{"departed", first, time.Hour, ErrDeparted},
		{"good, after the sale closed", first, 59 * time.Minute, nil},
		{"twice", first, 0, ErrSale},
		{"good, from a later stop", second, 79 * time.Minute, nil},
	} {
		w.now = noon.Add(c.at)
		if err := b.Refund(c.ticket); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if n := b.Remaining(id, "O", 0, 4); n != 20 {
		t.Errorf("%d places left, want all 20", n)
	}
}

// B2: who may buy a restricted place gets one, as long as there is one; others never do.
func TestRestrictedFirst(t *testing.T) {
	b, id, _ := openBook(t, testTrip(t, 5, opensRestricted))
	var buckets []uint8
	for range 5 {
		ticket, err := b.Sell(id, "O", 0, 4)
		if err != nil {
			t.Fatal(err)
		}
		buckets = append(buckets, ticket.Seats[0].Bucket)
	}
	other, err := b.Sell(id, "O", 2, 3)
	if want := []uint8{1, 1, 1, 1, 0}; !reflect.DeepEqual(buckets, want) || err != nil || other.Seats[0].Bucket != 0 {
		t.Errorf("buckets %v and %d (%v), want %v and 0", buckets, other.Seats[0].Bucket, err, want)
	}
}
