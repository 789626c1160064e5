package booking

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// spot is one bucket's OD.
type spot struct {
	class    rail.Class
	bucket   uint8
	from, to rail.StopIndex
}

// ledger is the naive sum of what a run's changes say: windows by their ends, a pool segment by segment.
type ledger map[spot]rail.SeatCount

func (l ledger) add(kind inventory.Kind, s spot, n rail.SeatCount) {
	if kind == inventory.Pool && s.to-s.from > 1 {
		for at := s.from; at < s.to; at++ {
			l.add(kind, spot{s.class, s.bucket, at, at + 1}, n)
		}
		return
	}
	if l[s] += n; l[s] == 0 {
		delete(l, s)
	}
}

func ledgerOf(s *event.RunState) ledger {
	l := ledger{}
	for _, c := range s.Classes {
		for i, b := range c.Buckets {
			for _, span := range b.Spans {
				l.add(b.Kind, spot{c.Class, uint8(i), span.From, span.To}, span.Count)
			}
		}
	}
	return l
}

// follower rebuilds a run from its changes alone.
type follower struct {
	version rail.Version
	ledger  ledger
	table   *inventory.Table
	writer  inventory.Writer
}

func (f *follower) apply(t *testing.T, stops int, c Change) {
	t.Helper()
	first := rail.Version{Epoch: 7, Revision: 1}
	if !c.Delta.Version.Follows(f.version) && (!f.version.IsZero() || c.Delta.Version != first) { // B5
		t.Fatalf("%s: version %s after %s", c.Delta.Run, c.Delta.Version, f.version)
	}
	var err error
	if f.version = c.Delta.Version; c.State != nil {
		f.ledger = ledgerOf(c.State)
		f.table, err = inventory.NewTable(stops, c.State.Classes)
	} else {
		err = f.writer.Apply(f.table, c.Delta.Adjusts)
	}
	if err != nil || (c.State != nil) != c.Delta.Restated || c.State != nil && c.State.Version != c.Delta.Version {
		t.Fatalf("%s at %s: restated %t, state %v: %v", c.Delta.Run, c.Delta.Version, c.Delta.Restated, c.State, err)
	}
	for _, a := range c.Delta.Adjusts {
		kind := inventory.Windows
		if a.Class == "WZ" {
			kind = inventory.Pool
		}
		f.ledger.add(kind, spot{a.Class, a.Bucket, a.From, a.To}, a.By)
	}
}

// check holds what was rebuilt against the Book (B3, B4).
func (f *follower) check(t *testing.T, b *Book, id rail.RunID, stops int) {
	t.Helper()
	state, _ := b.State(id)
	if want := ledgerOf(&state); state.Version != f.version || !reflect.DeepEqual(f.ledger, want) {
		t.Fatalf("%s at %s: changes add up to %v at %s, want %v", id, state.Version, f.ledger, f.version, want)
	}
	for from := range rail.StopIndex(stops) {
		for to := from + 1; int(to) < stops; to++ {
			for i, n := range f.table.Counts(nil, from, to) {
				if want := b.Remaining(id, state.Classes[i].Class, from, to); n != want {
					t.Fatalf("%s class %s [%d, %d): %d by windows, %d places are free", id, state.Classes[i].Class, from, to, n, want)
				}
			}
		}
	}
}

// B3, B4, B5: random acts of all kinds on runs of many lengths.
func TestChangesAddUp(t *testing.T) {
	for _, stops := range []int{2, 3, 7, 20, 65, 70} {
		for seed, wanted := range []func(timetable.Trip) bool{opensPlain, opensRestricted} {
			t.Run(fmt.Sprintf("stops=%d/seed=%d", stops, seed), func(t *testing.T) {
				b, id, _ := openBook(t, testTrip(t, stops, wanted))
				rng := rand.New(rand.NewPCG(uint64(seed), uint64(stops)))
				var f follower
				var tickets []Sale
				for act := range 400 {
					tickets = randomAct(t, b, id, rng, stops, tickets)
					for _, c := range b.Outbox().Take(10) {
						f.apply(t, stops, c)
					}
					if act%100 == 99 {
						f.check(t, b, id, stops)
					}
				}
			})
		}
	}
}

// randomAct does something to a run; refusals are fine here.
func randomAct(t *testing.T, b *Book, id rail.RunID, rng *rand.Rand, stops int, tickets []Sale) []Sale {
	t.Helper()
	class := []rail.Class{"M", "O", "WZ"}[rng.IntN(3)]
	from := rail.StopIndex(rng.IntN(stops - 1))
	to := from + 1 + rail.StopIndex(rng.IntN(stops-1-int(from)))
	switch n := rng.IntN(100); {
	case n == 0:
		_ = b.Release(id, class, 1)
	case n == 1:
		_ = b.Suspend(id, "test")
	case n < 4:
		_ = b.Resume(id)
	case n == 4:
		_ = b.SetQuota(id, class, 0, []inventory.Quota{{FromLast: from, ToFirst: to, ToLast: rail.StopIndex(stops - 1)}})
	case n == 5:
		_ = b.SetQuota(id, class, 0, nil)
	case n < 35 && len(tickets) > 0:
		last := len(tickets) - 1
		i := rng.IntN(len(tickets))
		tickets[i], tickets[last] = tickets[last], tickets[i]
		if err := b.Refund(tickets[last]); err != nil {
			t.Fatal(err)
		}
		return tickets[:last]
	default:
		if ticket, err := b.Sell(id, class, from, to); err == nil {
			return append(tickets, ticket)
		}
	}
	return tickets
}

// B1 to B6 while several people buy and one publisher takes, loses and acknowledges.
func TestConcurrentBuyers(t *testing.T) {
	schedule := testFleet(30)
	b := NewBook(Config{Epoch: 7, Clock: func() time.Time { return noon }}, schedule, testRules())
	for day := range rail.Date(3) {
		b.Open(today + day)
	}
	var buyers sync.WaitGroup
	for seed := range uint64(4) {
		y := people(b, schedule, testRules(), seed)
		buyers.Go(func() {
			for range 2000 {
				y.Step()
			}
		})
	}
	done := make(chan struct{})
	go func() { buyers.Wait(); close(done) }()
	followers := publish(t, b, done)
	for _, id := range b.Runs() {
		followers[id].check(t, b, id, stopsOf(b, id))
	}
}

// publish follows the outbox until the buyers are done and it is empty. Every third batch is lost and taken again.
func publish(t *testing.T, b *Book, done <-chan struct{}) map[rail.RunID]*follower {
	t.Helper()
	followers := map[rail.RunID]*follower{}
	for round := 0; ; round++ {
		changes := b.Outbox().Take(64)
		if len(changes) == 0 {
			select {
			case <-b.Outbox().Ready():
			case <-done:
				if b.Outbox().Len() == 0 {
					return followers
				}
			}
			continue
		}
		if round%3 == 0 {
			b.Outbox().Return()
			continue
		}
		for _, c := range changes {
			if followers[c.Delta.Run] == nil {
				followers[c.Delta.Run] = &follower{}
			}
			followers[c.Delta.Run].apply(t, stopsOf(b, c.Delta.Run), c)
		}
		b.Outbox().Ack(len(changes))
		if claim := b.Outbox().Complete(); claim.Before(changes[len(changes)-1].At.Add(-1)) { // others of the same moment may be outstanding
			t.Errorf("complete to %s, but all before %s is acknowledged", claim, changes[len(changes)-1].At)
		}
	}
}

func stopsOf(b *Book, id rail.RunID) int {
	return len(b.schedule.Trips[b.numbers[id.Trip]].Pattern.Stops)
}
