package booking

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// What stands at a place, where it is, and in which coach of the class.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		class       rail.Class
		a           rail.Accommodation
		number      int
		coach       int
		label, kind string
	}{
		{"O", rail.Seat, 0, 0, "1A", "window"}, {"O", rail.Seat, 1, 0, "1B", "middle"}, {"O", rail.Seat, 2, 0, "1C", "aisle"}, {"O", rail.Seat, 89, 0, "18F", "window"},
		{"O", rail.Seat, 90, 1, "1A", "window"}, {"M", rail.Seat, 6, 0, "2D", "aisle"}, {"9", rail.Seat, 4, 0, "2C", "aisle"}, {"1", rail.Seat, 7, 0, "8", "aisle"},
		{"3", rail.Berth, 4, 0, "02M", "middle"}, {"3", rail.Berth, 66, 1, "01L", "lower"}, {"4", rail.Berth, 3, 0, "02U", "upper"},
		{"X", rail.Berth, 1, 0, "01U", "upper"}, {"Y", rail.Seat, 4, 0, "1F", "window"},
	} {
		l := layoutOf(c.class, c.a)
		if l.coach(c.number) != c.coach || l.label(c.number) != c.label || l.kind(c.number) != c.kind {
			t.Errorf("class %s place %d is %s (%s) of coach %d; want %+v", c.class, c.number, l.label(c.number), l.kind(c.number), l.coach(c.number), c)
		}
	}
}

// B2: a party gets the group that a look at every group gives: one coach before two, then closest, then what leaves the least over.
func TestPartyAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const stops = 4
		c := class{code: "9", layout: layout{perCoach: 5, letters: "ACF"}, buckets: []bucket{newWindows(stops, 0, 11, nil)}}
		m := c.buckets[0].stock.(*seatMap)
		for range rapid.IntRange(0, 25).Draw(t, "sold") {
			from, to := drawOD(t, stops)
			m.sell(from, to)
		}
		from, to := drawOD(t, stops)
		n := rapid.IntRange(1, 4).Draw(t, "party")
		free := m.free(from, to)
		best, found := nearness{}, false
		choose(free, n, func(group []candidate) {
			near := nearness{coaches: int(group[n-1].place)/5 - int(group[0].place)/5, spread: int(group[n-1].place - group[0].place)}
			for _, f := range group {
				near.over += int(f.over)
			}
			if !found || near.compare(best) < 0 {
				best, found = near, true
			}
		})
		over := map[uint16]int{}
		for _, f := range free {
			over[f.place] = int(f.over)
		}
		cuts, err := c.take(from, to, Party{Size: n, Wish: SameCoach})
		if found != (err == nil) || err != nil && !errors.Is(err, ErrSoldOut) {
			t.Fatalf("%d free for %d: %v", len(free), n, err)
		}
		if err != nil {
			return
		}
		var places []int
		got := nearness{}
		for _, cut := range cuts {
			places = append(places, int(cut.seat.Place))
			got.over += over[cut.seat.Place]
		}
		slices.Sort(places)
		got.coaches, got.spread = places[n-1]/5-places[0]/5, places[n-1]-places[0]
		if got.compare(best) != 0 {
			t.Fatalf("places %v are %+v; the best are %+v of %v", places, got, best, free)
		}
	})
}

// choose visits every group of n in order.
func choose(all []candidate, n int, visit func([]candidate)) {
	var group []candidate
	var next func(int)
	next = func(i int) {
		if len(group) == n {
			visit(group)
			return
		}
		for ; i < len(all); i++ {
			group = append(group, all[i])
			next(i + 1)
			group = group[:len(group)-1]
		}
	}
	next(0)
}

// A wish is met while it can be, and then a seat is sold all the same.
func TestWishes(t *testing.T) {
	b, id, _ := openBook(t, testTrip(t, 5, opensPlain)) // 20 places of class O: rows of A B C D F
	sell := func(n int, w Wish) ([]string, bool) {
		tx := b.Begin()
		defer tx.Commit()
		s, err := tx.Sell(id, "O", 0, 4, Party{Size: n, Wish: w})
		if err != nil {
			t.Fatal(err)
		}
		labels, met := tx.Labels(s, w)
		var seats []string
		for _, l := range labels {
			seats = append(seats, l.Seat)
		}
		return seats, met
	}
	for _, c := range []struct {
		n    int
		wish Wish
		want []string
		met  bool
	}{
		{1, Window, []string{"1A"}, true}, {1, Aisle, []string{"1C"}, true}, {2, Window, []string{"1F", "2A"}, true}, {3, NoWish, []string{"2B", "2C", "2D"}, true},
		{2, LowerBerth, []string{"2F", "3A"}, false}, {5, SameCoach, []string{"3B", "3C", "3D", "3F", "4A"}, true}, {1, Window, []string{"4F"}, true}, {1, Window, []string{"1B"}, false},
	} {
		if got, met := sell(c.n, c.wish); !slices.Equal(got, c.want) || met != c.met {
			t.Errorf("%d with wish %q got %v, met %t; want %v, %t", c.n, c.wish, got, met, c.want, c.met)
		}
	}
	if _, err := b.Begin().Sell(id, "O", 0, 4, Party{Size: 10}); !errors.Is(err, ErrInvalid) {
		t.Errorf("ten passengers: %v", err)
	}
}

// B8: a party that is too large gets nothing, not a part; one that only two buckets together can seat gets both.
func TestPartyWholeOrNot(t *testing.T) {
	b, id, _ := openBook(t, testTrip(t, 5, opensRestricted)) // 16 open places, 4 restricted ones
	left := 20
	for _, n := range []int{9, 9, 3, 2, 1} {
		tx := b.Begin()
		s, err := tx.Sell(id, "O", 0, 4, Party{Size: n})
		tx.Commit()
		if fits := n <= left; fits != (err == nil) || fits && len(s.Seats) != n {
			t.Fatalf("%d of %d: %d seats, %v", n, left, len(s.Seats), err)
		}
		if err == nil {
			left -= n
		}
		if got := b.Remaining(id, "O", 0, 4); int(got) != left {
			t.Fatalf("%d left, want %d", got, left)
		}
	}
}

// B9: nobody sees what a Tx does before its Commit, nor ever what it did before it was abandoned.
func TestUnseenBeforeCommit(t *testing.T) {
	b, id, _ := openBook(t, testTrip(t, 5, opensPlain))
	for _, stored := range []bool{true, false} {
		discard(b)
		tx := b.Begin()
		if _, err := tx.Sell(id, "O", 0, 4, Party{Size: 2}); err != nil {
			t.Fatal(err)
		}
		tx.Stamp()
		seen := make(chan rail.Version)
		go func() {
			state, _ := b.State(id)
			seen <- state.Version
		}()
		if n := b.Outbox().Len(); n != 0 {
			t.Fatalf("%d changes in the outbox before the commit", n)
		}
		if !b.Outbox().Complete().Before(tx.Changes()[0].At) {
			t.Fatal("B6: complete to the time of a change that is being stored")
		}
		select {
		case v := <-seen:
			t.Fatalf("seen at %s before the commit", v)
		default:
		}
		want := rail.Version{}
		if stored {
			tx.Commit()
			want = rail.Version{Epoch: 7, Revision: 2}
		} else {
			tx.Abandon()
		}
		if v := <-seen; v != want {
			t.Errorf("stored %t: then seen at %s, want %s", stored, v, want)
		}
	}
	if _, err := b.Sell(id, "O", 0, 4); !errors.Is(err, ErrUnknownRun) {
		t.Errorf("a Book of no use sells: %v", err)
	}
}

// B10: a Book that is filled from records and sales sells, refunds and tells the same as the one that they were taken of.
func TestRestore(t *testing.T) {
	trip := testTrip(t, 7, opensRestricted)
	b, id, w := openBook(t, trip)
	rng := rand.New(rand.NewPCG(3, 3))
	var sales []Sale
	for range 300 {
		sales = randomAct(t, b, id, rng, 7, sales)
	}
	r, err := b.find(id)
	if err != nil {
		t.Fatal(err)
	}
	twin := NewBook(Config{Epoch: 7, Clock: w.read}, testSchedule(trip), testRules())
	if err := twin.Restore(r.record(), trip.Pattern); err != nil {
		t.Fatal(err)
	}
	for revision, c := range r.claims {
		if err := twin.Claim(r.sale(revision, c)); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := b.State(id)
	if got, _ := twin.State(id); !reflect.DeepEqual(got, want) {
		t.Fatalf("restored as\n%+v\nwas\n%+v", got, want)
	}
	if err := twin.Claim(sales[0]); len(sales) > 0 && !errors.Is(err, ErrSale) && r.claims[sales[0].Version.Revision].class != 2 {
		t.Errorf("B1: the same places claimed twice: %v", err)
	}
	if twin.Open(today) != 0 {
		t.Error("a restored run was opened again")
	}
	for _, s := range sales {
		if _, sold := r.claims[s.Version.Revision]; !sold {
			continue
		}
		if err, again := b.Refund(s), twin.Refund(s); (err == nil) != (again == nil) {
			t.Fatalf("refund of %+v: %v, and restored %v", s, err, again)
		}
	}
	want, _ = b.State(id)
	if got, _ := twin.State(id); len(want.Classes) != len(got.Classes) || !reflect.DeepEqual(ledgerOf(&got), ledgerOf(&want)) {
		t.Fatalf("after all refunds\n%+v\nwant\n%+v", got, want)
	}
}

// Places that are held back go on sale stage by stage, with labels that nobody else has.
func TestHeldBack(t *testing.T) {
	w := &watch{noon}
	trip := testTrip(t, 5, opensPlain)
	date := today + 14
	b := NewBook(Config{Epoch: 7, Clock: w.read, HeldBack: []Stage{{Percent: 20, DaysBefore: 3}, {Percent: 10, DaysBefore: 1}, {Percent: 50, DaysBefore: 30}}}, testSchedule(trip), testRules())
	b.Open(date)
	id := rail.RunID{Date: date, Trip: trip.ID}
	at := func(days int) time.Time { return (date - rail.Date(days)).At(8*60, b.loc) }
	for _, c := range []struct {
		now  time.Time
		due  int
		want rail.SeatCount
	}{{noon, 0, 14}, {at(3).Add(-1), 0, 14}, {at(3), 1, 18}, {at(1), 1, 20}, {at(0), 0, 20}} {
		w.now = c.now
		due := b.Due(c.now)
		if len(due) != c.due {
			t.Fatalf("at %s due: %v", c.now, due)
		}
		for _, run := range due {
			tx := b.Begin()
			if _, err := tx.ReleaseHeld(run, c.now); err != nil {
				t.Fatal(err)
			}
			tx.Commit()
		}
		if got := b.Remaining(id, "O", 0, 4); got != c.want {
			t.Errorf("at %s %d places, want %d", c.now, got, c.want)
		}
	}
	if err := b.Release(id, "O", 2); err != nil {
		t.Fatal(err)
	}
	seen := map[Label]bool{}
	w.now = date.At(8*60, b.loc)
	for range 22 {
		tx := b.Begin()
		s, err := tx.Sell(id, "O", 0, 4, Party{Size: 1})
		if err != nil {
			t.Fatal(err)
		}
		labels, _ := tx.Labels(s, NoWish)
		tx.Commit()
		if len(labels) != 1 || seen[labels[0]] {
			t.Errorf("labels %+v, again", labels)
		}
		seen[labels[0]] = true
	}
}

// Another formation: what fits stays, what does not moves where there is room, the rest is listed and its claim is kept; the counts add up, and a refund of
// an unseated claim gives nothing back that is not there.
func TestReform(t *testing.T) {
	b, id, _ := openBook(t, testTrip(t, 5, opensRestricted)) // 16 open places, 4 restricted ones
	var f follower
	var sales []Sale
	for range 20 {
		s, err := b.Sell(id, "O", 0, 4)
		if err != nil {
			t.Fatal(err)
		}
		sales = append(sales, s)
	}
	for _, s := range sales[:6] {
		if err := b.Refund(s); err != nil { // the four restricted places and the first two open ones
			t.Fatal(err)
		}
	}
	tx := b.Begin()
	moved, err := tx.Reform(id, "O", 12)
	tx.Commit()
	if err != nil {
		t.Fatal(err)
	}
	unseated := 0
	for _, s := range moved {
		for _, seat := range s.Seats {
			if seat.Unseated {
				unseated++
			}
		}
	}
	if len(moved) != 4 || unseated != 2 { // 14 sold on 12 places
		t.Errorf("%d sales moved, %d unseated: %+v", len(moved), unseated, moved)
	}
	if _, err := b.Sell(id, "O", 0, 4); !errors.Is(err, ErrSoldOut) {
		t.Errorf("sold beyond the formation: %v", err)
	}
	byRevision := map[uint64]Sale{}
	for _, s := range append(sales[6:], moved...) {
		byRevision[s.Version.Revision] = s
	}
	for _, s := range byRevision {
		if err := b.Refund(s); err != nil {
			t.Errorf("refund of %+v: %v", s, err)
		}
	}
	if got := b.Remaining(id, "O", 0, 4); got != 12 {
		t.Errorf("%d places after all refunds, want 12", got)
	}
	for _, places := range []rail.SeatCount{30, 0, 20} {
		tx := b.Begin()
		if _, err := tx.Reform(id, "O", places); err != nil {
			t.Fatal(err)
		}
		tx.Commit()
		if got := b.Remaining(id, "O", 0, 4); got != places {
			t.Errorf("%d places, want %d", got, places)
		}
	}
	for _, c := range b.Outbox().Take(1000) {
		f.apply(t, 5, c)
	}
	f.check(t, b, id, 5)
	if _, err := b.Begin().Reform(id, "WZ", 3); !errors.Is(err, ErrInvalid) {
		t.Errorf("places to stand have no formation: %v", err)
	}
}

// A new history goes on behind the old one, and sales of the old one are refunded in it.
func TestRaise(t *testing.T) {
	b, id, _ := openBook(t, testTrip(t, 5, opensPlain))
	s, err := b.Sell(id, "O", 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	tx := b.Begin()
	if err := tx.Raise(id, 8); err != nil {
		t.Fatal(err)
	}
	if err := tx.Raise(id, 8); !errors.Is(err, ErrInvalid) {
		t.Errorf("raised to the same: %v", err)
	}
	records := tx.Records()
	tx.Commit()
	if len(records) != 1 || records[0].Version != (rail.Version{Epoch: 8, Revision: 3}) || records[0].Pattern == "" {
		t.Errorf("records %+v", records)
	}
	if err := b.Refund(s); err != nil {
		t.Error(err)
	}
	changes := b.Outbox().Take(10)
	if last := changes[len(changes)-1]; last.Delta.Version != (rail.Version{Epoch: 8, Revision: 4}) || changes[2].State == nil {
		t.Errorf("changes %+v", changes)
	}
}

// Changes that were stored and not acknowledged come first after a restart, and new ones are numbered behind them.
func TestRefill(t *testing.T) {
	b := NewBook(Config{Clock: func() time.Time { return noon }}, testSchedule(testTrip(t, 3, opensPlain)), testRules())
	stored := []Change{{Seq: 41, At: noon.Add(-2), Delta: event.RunDelta{Adjusts: []inventory.Adjust{{Class: "O"}}}}, {Seq: 42, At: noon.Add(-1)}}
	b.Refill(stored, 7)
	b.Open(today)
	got := b.Outbox().Take(9)
	if len(got) != 3 || !reflect.DeepEqual(got[:2], stored) || got[2].Seq != 43 || !got[2].At.After(stored[1].At) {
		t.Fatalf("took %+v", got)
	}
	if claim := b.Outbox().Complete(); !claim.Before(stored[0].At) {
		t.Errorf("complete to %s", claim)
	}
	if b.Outbox().Ack(2); b.Outbox().Acked() != 42 {
		t.Errorf("acknowledged up to %d", b.Outbox().Acked())
	}
}
