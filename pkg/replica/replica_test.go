package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// rig is a replica without a feed: a test hands it events and looks at what it shows.
type rig struct {
	t       *testing.T
	replica *Replica
	now     time.Time
	faults  []Fault
	run     rail.RunID
	part    rail.Partition
	seq     uint64
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newRig(t *testing.T) *rig {
	g := &rig{t: t, now: noon, run: rail.RunID{Date: rail.NewDate(2026, 11, 24), Trip: "G1"}}
	g.part = g.run.Partition()
	g.replica = New(Options{
		Clock: func() time.Time { return g.now }, Jitter: func() float64 { return 0 }, OnFault: func(f Fault) { g.faults = append(g.faults, f) },
	})
	g.replica.Network(&timetable.Network{Timezone: "UTC", SaleDays: 15, Stations: []timetable.Station{{Code: "A"}, {Code: "B"}, {Code: "C"}, {Code: "D"}}})
	g.replica.Pattern(pattern("p"))
	return g
}

func pattern(id rail.PatternID) *timetable.Pattern {
	p := &timetable.Pattern{ID: id, Train: "G1", Category: "G", Classes: []timetable.ClassOffer{{Class: "O"}, {Class: "M"}}}
	for i, code := range []rail.StationCode{"A", "B", "C", "D"} {
		at := rail.Minutes(600 + 60*i)
		p.Stops = append(p.Stops, timetable.Stop{Station: code, Arrive: at, Depart: at})
	}
	return p
}

func (g *rig) ready() *rig {
	g.replica.Loaded(g.seq, map[string]time.Time{"DELTA": noon})
	return g
}

const full = 100

// state is a RunState with so many second-class places free from end to end.
func (g *rig) state(v rail.Version, free rail.SeatCount) *event.RunState {
	return &event.RunState{Run: g.run, Pattern: "p", Version: v, Classes: []inventory.Class{
		{Class: "O", Buckets: []inventory.Bucket{{Capacity: full, Spans: []inventory.Span{{From: 0, To: 3, Count: free}}}}},
	}}
}

func (g *rig) take(s *event.RunState) { g.replica.State(g.part, s) }

// sale is a delta that sells n places from end to end.
func (g *rig) sale(v rail.Version, n rail.SeatCount) event.RunDelta {
	return event.RunDelta{Run: g.run, Version: v, Adjusts: []inventory.Adjust{{Class: "O", From: 0, To: 3, By: -n}}}
}

func (g *rig) deltas(d ...event.RunDelta) {
	g.seq++
	g.replica.Deltas(g.part, &event.DeltaBatch{Deltas: d, Publisher: "booking"}, g.seq)
}

func (g *rig) remaining() rail.SeatCount {
	g.t.Helper()
	run := g.replica.Run(g.run)
	if run == nil {
		return -1
	}
	return run.Sheet().Counts.Counts(nil, 0, 3)[0]
}

// expect holds the run and the statistics against what a table row says.
func (g *rig) expect(v rail.Version, h Health, remaining rail.SeatCount, want Stats) {
	g.t.Helper()
	run := g.replica.Run(g.run)
	if run == nil {
		g.t.Fatal("the run is not shown")
	}
	if got := run.Sheet().Version(); got != v || run.Health() != h || g.remaining() != remaining {
		g.t.Errorf("got version %s, %s, %d left; want %s, %s, %d", got, run.Health(), g.remaining(), v, h, remaining)
	}
	got := g.replica.Stats()
	got.Received, got.Applied, got.Runs = got.Received-2, got.Applied-2, 0 // network and pattern
	if got != want {
		g.t.Errorf("stats %+v\nwant  %+v", got, want)
	}
	g.balanced()
}

// balanced is R5, and that the digests kept up to date are those summed up anew (R10).
func (g *rig) balanced() {
	g.t.Helper()
	for _, w := range g.replica.writers {
		anew := map[rail.Date]*event.Digest{}
		for id, e := range w.entries {
			if e.run.Sheet() == nil {
				continue
			}
			if anew[id.Date] == nil {
				anew[id.Date] = &event.Digest{Date: id.Date}
			}
			anew[id.Date].Add(id, e.run.version())
		}
		if !reflect.DeepEqual(anew, w.digests) {
			g.t.Errorf("digests are %v; want %v", w.digests, anew)
		}
	}
	if s := g.replica.Stats(); s.Received != s.Applied+s.Duplicate+s.Held+s.Broken {
		g.t.Errorf("R5 does not hold: %+v", s)
	}
}

func v(epoch, revision uint64) rail.Version { return rail.Version{Epoch: epoch, Revision: revision} }

// R1, R2, R3, R4, R5: what each order of events does to a run and to the counters.
func TestRules(t *testing.T) {
	type step = func(g *rig)
	state := func(ver rail.Version, free rail.SeatCount) step { return func(g *rig) { g.take(g.state(ver, free)) } }
	sale := func(ver rail.Version, n rail.SeatCount) step { return func(g *rig) { g.deltas(g.sale(ver, n)) } }
	restated := func(ver rail.Version) step {
		return func(g *rig) { g.deltas(event.RunDelta{Run: g.run, Version: ver, Restated: true}) }
	}
	for _, tt := range []struct {
		name    string
		steps   []step
		version rail.Version
		health  Health
		left    rail.SeatCount
		want    Stats
	}{
		{"R1 a later state is taken", []step{state(v(1, 1), 100), state(v(1, 5), 90)}, v(1, 5), Live, 90, Stats{Received: 2, Applied: 2}},
		{"R1 an equal state is dropped", []step{state(v(1, 5), 100), state(v(1, 5), 90)}, v(1, 5), Live, 100, Stats{Received: 2, Applied: 1, Duplicate: 1}},
		{"R1 an earlier state is dropped", []step{state(v(1, 5), 100), state(v(1, 4), 90)}, v(1, 5), Live, 100, Stats{Received: 2, Applied: 1, Duplicate: 1}},
		{"R1 a higher epoch wins whatever the revision", []step{state(v(1, 50), 100), state(v(2, 1), 70)}, v(2, 1), Live, 70, Stats{Received: 2, Applied: 2}},
		{"R1 a lower epoch loses whatever the revision", []step{state(v(2, 1), 100), state(v(1, 50), 70)}, v(2, 1), Live, 100, Stats{Received: 2, Applied: 1, Duplicate: 1}},
		{"R2 the next delta is applied", []step{state(v(1, 1), 100), sale(v(1, 2), 3)}, v(1, 2), Live, 97, Stats{Received: 2, Applied: 2}},
		{"R2 the same delta twice counts once", []step{state(v(1, 1), 100), sale(v(1, 2), 3), sale(v(1, 2), 3)}, v(1, 2), Live, 97, Stats{Received: 3, Applied: 2, Duplicate: 1}},
		{"R2 an older delta is dropped", []step{state(v(1, 9), 100), sale(v(1, 2), 3)}, v(1, 9), Live, 100, Stats{Received: 2, Applied: 1, Duplicate: 1}},
		{"R2 a gap keeps it aside", []step{state(v(1, 1), 100), sale(v(1, 3), 3)}, v(1, 1), Behind, 100, Stats{Received: 2, Applied: 1, Held: 1, Gaps: 1, Behind: 1}},
		{"R2 kept aside once", []step{state(v(1, 1), 100), sale(v(1, 3), 3), sale(v(1, 3), 3)}, v(1, 1), Behind, 100, Stats{Received: 3, Applied: 1, Held: 1, Duplicate: 1, Gaps: 1, Behind: 1}},
		{"R2 of another epoch waits for its state", []step{state(v(1, 1), 100), sale(v(2, 2), 3)}, v(1, 1), Behind, 100, Stats{Received: 2, Applied: 1, Held: 1, Gaps: 1, Behind: 1}},
		{"R2 of an older epoch is dropped", []step{state(v(2, 1), 100), sale(v(1, 2), 3)}, v(2, 1), Live, 100, Stats{Received: 2, Applied: 1, Duplicate: 1}},
		{"R3 the missing delta lets the others in", []step{state(v(1, 1), 100), sale(v(1, 4), 4), sale(v(1, 3), 3), sale(v(1, 2), 2)}, v(1, 4), Live, 91, Stats{Received: 4, Applied: 4, Gaps: 1, Repaired: 1}},
		{"R3 a state mends it and what follows is applied", []step{state(v(1, 1), 100), sale(v(1, 3), 3), sale(v(1, 4), 4), state(v(1, 3), 90)}, v(1, 4), Live, 86, Stats{Received: 4, Applied: 3, Duplicate: 1, Gaps: 1, Repaired: 1}},
		{"R3 a state that is not enough leaves it behind", []step{state(v(1, 1), 100), sale(v(1, 9), 3), state(v(1, 3), 90)}, v(1, 3), Behind, 90, Stats{Received: 3, Applied: 2, Held: 1, Gaps: 1, Behind: 1}},
		{"R2 a restated delta waits for its state", []step{state(v(1, 1), 100), restated(v(1, 2))}, v(1, 1), Behind, 100, Stats{Received: 2, Applied: 1, Held: 1, Gaps: 1, Behind: 1}},
		{"R2 a restated delta after its state is old news", []step{state(v(1, 1), 100), state(v(1, 2), 80), restated(v(1, 2)), sale(v(1, 3), 1)}, v(1, 3), Live, 79, Stats{Received: 4, Applied: 3, Duplicate: 1}},
		{"R3 a run first heard of by a delta", []step{sale(v(1, 2), 3), state(v(1, 1), 100)}, v(1, 2), Live, 97, Stats{Received: 2, Applied: 2, Gaps: 1, Repaired: 1}},
		{"R4 a negative count quarantines", []step{state(v(1, 1), 2), sale(v(1, 2), 3)}, v(1, 1), Quarantined, 2, Stats{Received: 2, Applied: 1, Broken: 1, Gaps: 1, Quarantined: 1}},
		{"R4 later deltas are kept aside", []step{state(v(1, 1), 2), sale(v(1, 2), 3), sale(v(1, 3), 1)}, v(1, 1), Quarantined, 2, Stats{Received: 3, Applied: 1, Broken: 1, Held: 1, Gaps: 1, Quarantined: 1}},
		{"R4 a good state ends it", []step{state(v(1, 1), 2), sale(v(1, 2), 3), sale(v(1, 3), 1), state(v(1, 2), 50)}, v(1, 3), Live, 49, Stats{Received: 4, Applied: 3, Broken: 1, Gaps: 1, Repaired: 1}},
		{"R4 a refund above capacity quarantines", []step{state(v(1, 1), full), sale(v(1, 2), -1)}, v(1, 1), Quarantined, full, Stats{Received: 2, Applied: 1, Broken: 1, Gaps: 1, Quarantined: 1}},
		{"R4 a bad state quarantines", []step{state(v(1, 1), 50), state(v(1, 2), full+1)}, v(1, 1), Quarantined, 50, Stats{Received: 2, Applied: 1, Broken: 1, Gaps: 1, Quarantined: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			for _, s := range tt.steps {
				s(g)
				g.balanced()
			}
			g.expect(tt.version, tt.health, tt.left, tt.want)
		})
	}
}

// R4: [a,b) inside [c,d) never has fewer places than [c,d).
func TestMonotony(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 1), 10))
	g.deltas(event.RunDelta{Run: g.run, Version: v(1, 2), Adjusts: []inventory.Adjust{{Class: "O", From: 0, To: 1, By: -1}}})
	g.expect(v(1, 1), Quarantined, 10, Stats{Received: 2, Applied: 1, Broken: 1, Gaps: 1, Quarantined: 1})
	if len(g.faults) != 1 || !errors.Is(g.faults[0].Err, inventory.ErrBreach) {
		t.Errorf("faults %v", g.faults)
	}
}

// R3: a run is never forgotten to be behind, however much had to be let go of.
func TestHeldIsBounded(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 1), 100))
	for i := range uint64(3 * maxHeld) {
		g.deltas(g.sale(v(1, 3+i), 0))
		g.balanced()
	}
	if held := g.replica.Stats().Held; held > maxHeld {
		t.Errorf("%d held", held)
	}
	last := uint64(2 + 3*maxHeld)
	g.take(g.state(v(1, 10), 40))
	if h := g.replica.Run(g.run).Health(); h != Behind {
		t.Errorf("%s, but %d was heard", h, last)
	}
	g.take(g.state(v(1, last-1), 40))
	g.take(g.state(v(1, last), 40))
	if run := g.replica.Run(g.run); run.Health() != Live || run.Sheet().Version() != v(1, last) {
		t.Errorf("%s at %s", run.Health(), run.Sheet().Version())
	}
	g.balanced()
}

// R8: readers see whole deltas, Versions that only rise, and, if Changes says so, counts and Version of one moment.
func TestReaders(t *testing.T) {
	g := newRig(t)
	classes := g.state(v(1, 1), full).Classes
	classes = append(classes, inventory.Class{Class: "M", Buckets: classes[0].Buckets})
	state := func(ver rail.Version) *event.RunState {
		return &event.RunState{Run: g.run, Pattern: "p", Version: ver, Classes: classes}
	}
	g.take(state(v(1, 1)))
	run, done := g.replica.Run(g.run), make(chan struct{})
	go func() {
		defer close(done)
		for epoch := uint64(1); epoch < 100; epoch++ {
			g.take(state(v(epoch, 1)))
			for i := uint64(2); i < 200; i++ { // even revisions sell a place of both classes, odd ones give it back
				by := rail.SeatCount(1 - 2*int((i+1)%2))
				g.deltas(event.RunDelta{Run: g.run, Version: v(epoch, i), Adjusts: []inventory.Adjust{{Class: "O", To: 3, By: by}, {Class: "M", To: 3, By: by}}})
			}
		}
	}()
	var last rail.Version
	var buffer [2]rail.SeatCount
	for running, still := true, 0; running || still == 0; {
		select {
		case <-done:
			running = false
		default:
		}
		changes := run.Changes()
		sheet := run.Sheet()
		version := sheet.Version()
		counts := sheet.Counts.Counts(buffer[:0], 0, 3)
		if counts[0] != counts[1] {
			t.Fatalf("half a delta: %v", counts)
		}
		if last.Above(version) {
			t.Fatalf("version went back from %s to %s", last, version)
		}
		last = version
		if changes%2 == 0 && run.Changes() == changes {
			still++
			if sold := version.Revision%2 == 0; sold != (counts[0] == full-1) {
				t.Fatalf("at %s there are %v", version, counts)
			}
		}
	}
}

// R2, R5: whatever the order, once everything has come the run is where the events lead, and every event is counted once.
func TestRandomOrder(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		g := newRig(t)
		left := rail.SeatCount(full)
		states, deltas := []*event.RunState{g.state(v(1, 1), left)}, []event.RunDelta{}
		for i := uint64(2); i < 40; i++ {
			if r.IntN(8) == 0 {
				left = rail.SeatCount(r.IntN(full))
				states = append(states, g.state(v(1, i), left))
				deltas = append(deltas, event.RunDelta{Run: g.run, Version: v(1, i), Restated: true})
				continue
			}
			n := min(rail.SeatCount(r.IntN(3)), left)
			left -= n
			deltas = append(deltas, g.sale(v(1, i), n))
		}
		deltas = append(deltas, deltas[:r.IntN(len(deltas))]...)
		r.Shuffle(len(deltas), func(i, j int) { deltas[i], deltas[j] = deltas[j], deltas[i] })
		for len(states)+len(deltas) > 0 {
			if len(deltas) == 0 || len(states) > 0 && r.IntN(10) == 0 {
				g.take(states[0])
				states = states[1:]
			} else {
				g.deltas(deltas[0])
				deltas = deltas[1:]
			}
			g.balanced()
		}
		if run := g.replica.Run(g.run); run.Sheet().Version() != v(1, 39) || run.Health() != Live || g.remaining() != left || g.replica.Stats().Held != 0 {
			t.Fatalf("seed %d: %s, %s, %d left; want %d; %+v", seed, run.Sheet().Version(), run.Health(), g.remaining(), left, g.replica.Stats())
		}
	}
}

// E1 at the replica's door: events that could not be read are counted and reported with their place.
func TestBroken(t *testing.T) {
	g := newRig(t)
	g.replica.Broken(3, 2, feed.Position{Subject: "yupiao.v1.delta.3", Sequence: 9}, event.ErrBroken)
	if s := g.replica.Stats(); s.Broken != 2 || len(g.faults) != 1 || g.faults[0].Where.Sequence != 9 {
		t.Errorf("%+v %v", s, g.faults)
	}
	g.balanced()
	other := pattern("p")
	other.Train = "G2"
	g.replica.Pattern(other)
	g.replica.Pattern(pattern("p"))
	if s := g.replica.Stats(); s.Broken != 3 || s.Duplicate != 1 {
		t.Errorf("a pattern id with other content: %+v", s)
	}
	g.balanced()
}

func BenchmarkApply(b *testing.B) {
	for _, runs := range []int{1, 10000} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			r := New(Options{})
			r.Pattern(pattern("p"))
			deltas := make([]event.RunDelta, runs)
			for i := range deltas {
				run := rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + rail.Date(i/maxAlike), Trip: rail.TripID(fmt.Sprint("G", i))}
				g := &rig{run: run}
				s := g.state(v(1, 1), full)
				r.State(0, s)
				deltas[i] = event.RunDelta{Run: run, Version: v(1, 1)}
			}
			adjusts := [2][]inventory.Adjust{inventory.Sell("O", 0, 0, 3, 1, 2), {{Class: "O", From: 0, To: 3, By: 1}, {Class: "O", From: 0, To: 1, By: -1}, {Class: "O", From: 2, To: 3, By: -1}}}
			batch := &event.DeltaBatch{Deltas: make([]event.RunDelta, 1)}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d := &deltas[i%runs]
				d.Version.Revision++
				d.Adjusts = adjusts[d.Version.Revision%2]
				batch.Deltas[0] = *d
				r.Deltas(0, batch, uint64(i))
			}
			if s := r.Stats(); s.Held+s.Broken+s.Duplicate > 0 {
				b.Fatalf("%+v", s)
			}
		})
	}
}
