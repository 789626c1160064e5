package view_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

// watched is what somebody holds who was shown everything.
type watched struct {
	*view.Watch
	scratch view.Scratch
	offers  map[int]view.Offer
	shows   int // since the last look
}

func watch(q *view.Query) *watched { return &watched{Watch: view.NewWatch(q)} }

func (w *watched) look(r *replica.Replica, now time.Time) {
	w.shows = 0
	w.Look(&w.scratch, r, now, func() { w.offers = map[int]view.Offer{} }, func(i int, o *view.Offer) {
		w.shows++
		if delete(w.offers, i); o != nil {
			kept := *o
			kept.Classes = slices.Clone(o.Classes)
			w.offers[i] = kept
		}
	})
}

// answer puts together what was shown.
func (w *watched) answer() (all []view.Offer) {
	for _, i := range w.Order() {
		all = append(all, w.offers[int(i)])
	}
	return all
}

// V2, V3: whatever happens, what a Watch has shown is what Look gives at that moment, and the Watch knows whether it is.
func TestWatchIsLook(t *testing.T) {
	for name, change := range map[string]func(*view.Query){
		"all": func(*view.Query) {}, "by fare": func(q *view.Query) { q.Sort = view.ByFare }, "by arrival": func(q *view.Query) { q.Sort = view.ByArrival },
		"available": func(q *view.Query) { q.Seats = 1 }, "a party": func(q *view.Query) { q.Seats, q.Classes = 13, []rail.Class{"O"} },
		"of a station": func(q *view.Query) { q.From = timetable.Place{Station: "JGK"} },
	} {
		t.Run(name, func(t *testing.T) {
			q := query("JNK", "SHH")
			change(q)
			for seed := range uint64(20) {
				r, now := railway(), testkit.Morning.Add(-6*time.Hour)
				w, happen := watch(q), newChanges(seed, r)
				for step := range 60 {
					if step%7 == 6 {
						now = now.Add(time.Duration(happen.IntN(40)) * time.Minute)
					}
					current := w.Current(r, now)
					before := w.answer()
					w.look(r, now)
					want := view.Look(r, q, now)
					if got := w.answer(); !equal(got, want.Offers) || w.Behind() != want.Behind {
						t.Fatalf("seed %d, step %d: the watch holds\n%+v, behind %t\nwant\n%+v, behind %t", seed, step, got, w.Behind(), want.Offers, want.Behind)
					}
					if current && (w.shows > 0 || !equal(before, want.Offers)) || !w.Current(r, now) {
						t.Fatalf("seed %d, step %d: said to be current %t", seed, step, current)
					}
					for range happen.IntN(3) {
						happen.next()
					}
				}
			}
		})
	}
}

func equal(a, b []view.Offer) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }

// changes are events of all kinds, at random.
type changes struct {
	*rand.Rand
	r        *replica.Replica
	revision map[string]uint64
	come     int
}

func newChanges(seed uint64, r *replica.Replica) *changes {
	return &changes{Rand: rand.New(rand.NewPCG(seed, 1)), r: r, revision: map[string]uint64{}}
}

func (c *changes) next() {
	train := []string{"G1", "G3", "G5", "G7", "G9", "G11"}[c.IntN(6)]
	run := rail.RunID{Date: testkit.Tuesday, Trip: rail.TripID(train)}
	if c.revision[train] == 0 {
		c.revision[train] = 1
	}
	switch c.IntN(10) {
	case 0: // another state: sold out, suspended, or with fewer places
		c.revision[train]++
		c.open(train, run, rail.SeatCount(c.IntN(2)*20), c.IntN(3) == 0)
	case 1: // a run that nobody knew
		c.come++
		train = fmt.Sprintf("G%d", 100+c.come)
		c.revision[train] = 1
		c.open(train, rail.RunID{Date: testkit.Tuesday, Trip: rail.TripID(train)}, 5, false)
	case 2: // a gap
		c.revision[train] += 2
		sell(c.r, c.revision[train], run)
	default:
		c.revision[train]++
		sell(c.r, c.revision[train], run)
	}
}

func (c *changes) open(train string, run rail.RunID, free rail.SeatCount, suspended bool) {
	p := testkit.Pattern(train, rail.Minutes(400+10*len(train)+len(c.revision)))
	p.ID = p.ContentID()
	c.r.Pattern(p)
	class := inventory.Class{Class: "O", Buckets: []inventory.Bucket{{Capacity: testkit.Full, Spans: []inventory.Span{{To: 2, Count: free}}}}}
	c.r.State(run.Partition(), &event.RunState{Run: run, Version: rail.Version{Epoch: 1, Revision: c.revision[train]}, Pattern: p.ID, Suspended: suspended, Reason: "台风", Classes: []inventory.Class{class}})
}

// A look after the first reads what has changed, and nothing else.
func TestWatchReadsWhatChanged(t *testing.T) {
	r, w := railway(), watch(query("BJP", "SHH"))
	for _, step := range []struct {
		name  string
		do    func()
		shows int
	}{
		{"the first", func() {}, 6},
		{"nothing", func() {}, 0},
		{"a sale", func() { sell(r, 2, rail.RunID{Date: testkit.Tuesday, Trip: "G1"}) }, 1},
		{"a train of another line", func() { sell(r, 2, rail.RunID{Date: testkit.Tuesday - 1, Trip: "K13"}) }, 0},
	} {
		step.do()
		if w.look(r, testkit.Morning); w.shows != step.shows {
			t.Errorf("after %s: %d runs were read; want %d", step.name, w.shows, step.shows)
		}
	}
}

// V2: what a Watch holds while two classes are sold in turn is of one moment.
func TestWatchIsOfOneMoment(t *testing.T) {
	r, q := railway(), query("BJP", "SHH")
	q.Depart = view.Window{First: 420, Last: 421}
	g1 := rail.RunID{Date: testkit.Tuesday, Trip: "G1"}
	done := inTurns(r, g1)
	w := watch(q)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		w.look(r, testkit.Morning)
		if c := w.answer()[0].Classes; !w.Behind() && c[0].Remaining+c[1].Remaining != 100 {
			t.Fatalf("half a change: %d and %d", c[0].Remaining, c[1].Remaining)
		}
	}
	if w.look(r, testkit.Morning); w.Behind() || w.answer()[0].Version.Revision != 4999 {
		t.Errorf("at the end: %+v, behind %t", w.answer()[0], w.Behind())
	}
}

func BenchmarkWatch(b *testing.B) {
	for _, trains := range []int{1, 17, 129} {
		b.Run(fmt.Sprintf("runs=%d", trains), func(b *testing.B) {
			busy := testkit.NewBusy(func() time.Time { return testkit.Morning }, 1, trains)
			w := view.NewWatch(busy.Search(0))
			var s view.Scratch
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				busy.Change(i % trains)
				w.Look(&s, busy.Replica, testkit.Morning, func() {}, func(int, *view.Offer) {})
			}
		})
	}
}
