package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// tape is a feed as it was published: states and deltas of some runs, each stream in its order.
type tape struct {
	runs   []rail.RunID
	states []event.RunState
	deltas []event.DeltaBatch // at sequence index + 1
}

func newTape(rng *rand.Rand, runs, changes int) *tape {
	t := &tape{}
	revisions := make([]uint64, runs)
	for i := range runs {
		t.runs = append(t.runs, rail.RunID{Date: rail.NewDate(2026, 11, 24), Trip: rail.TripID(fmt.Sprint("G", i))})
		revisions[i] = 1
		t.tell(i, 1, true)
	}
	for range changes {
		i := rng.IntN(runs)
		revisions[i]++
		t.tell(i, revisions[i], rng.IntN(4) == 0)
	}
	return t
}

// tell publishes a change of a run: a state and its restated delta, or a delta.
func (t *tape) tell(i int, revision uint64, restated bool) {
	d := event.RunDelta{Run: t.runs[i], Version: rail.Version{Epoch: 1, Revision: revision}, Restated: restated}
	if restated {
		t.states = append(t.states, event.RunState{Run: t.runs[i], Pattern: "p", Version: d.Version, Classes: []inventory.Class{
			{Class: "O", Buckets: []inventory.Bucket{{Capacity: full, Spans: []inventory.Span{{From: 0, To: 3, Count: 50}}}}},
		}})
	}
	t.deltas = append(t.deltas, event.DeltaBatch{Deltas: []event.RunDelta{d}})
}

// player is a replica that hears a tape, each stream at its own pace.
type player struct {
	*Replica
	tape           *tape
	states, deltas int
}

func (p *player) step(rng *rand.Rand) {
	if rng.IntN(3) == 0 && p.states < len(p.tape.states) {
		s := p.tape.states[p.states]
		p.State(s.Run.Partition(), &s)
		p.states++
	} else if p.deltas < len(p.tape.deltas) {
		b := p.tape.deltas[p.deltas]
		p.deltas++
		p.Deltas(b.Deltas[0].Run.Partition(), &b, uint64(p.deltas))
	}
}

func (t *tape) play(born time.Time, clock func() time.Time) *player {
	p := &player{Replica: New(Options{Clock: clock, Jitter: func() float64 { return 0 }}), tape: t}
	p.Network(&timetable.Network{Timezone: "UTC", SaleDays: 15, Stations: []timetable.Station{{Code: "A"}, {Code: "B"}, {Code: "C"}, {Code: "D"}}})
	p.Pattern(pattern("p"))
	for ; p.states < len(t.runs); p.states++ {
		s := t.states[p.states]
		p.State(s.Run.Partition(), &s)
	}
	p.Loaded(0, map[string]time.Time{feed.DeltaStream: born})
	return p
}

func (p *player) beat(at time.Time) {
	h := event.Heartbeat{Time: at}
	for i := range rail.Partition(rail.Partitions) {
		h.Marks = append(h.Marks, event.Mark{Partition: i, Place: event.Place{Sequence: uint64(p.deltas)}})
	}
	_ = p.Heartbeat(&h) // of the stream that is played
	for i := range rail.Partition(rail.Partitions) {
		p.Tick(i, uint64(p.deltas))
	}
}

// digest tells that all runs are at their first version, as they are at that point of the tape.
func (p *player) digest(all *tape) {
	of := map[rail.Partition]*event.Digest{}
	for _, id := range all.runs {
		if of[id.Partition()] == nil {
			of[id.Partition()] = &event.Digest{Date: id.Date}
		}
		of[id.Partition()].Add(id, rail.Version{Epoch: 1, Revision: 1})
	}
	for part, d := range of {
		p.Deltas(part, &event.DeltaBatch{Digests: []event.Digest{*d}}, uint64(p.deltas))
	}
}

// A replica that has reached the position of another shows no run at a lower Version, whatever overtook what, but for those that it knows to be behind; and one
// that has heard everything has reached it.
func TestPosition(t *testing.T) {
	reached, not := 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 9))
		now := noon
		clock := func() time.Time { return now }
		all := newTape(rng, 1+rng.IntN(20), 60)
		a, b := all.play(noon, clock), all.play(noon, clock)
		for range 200 {
			if now = now.Add(time.Millisecond); rng.IntN(20) == 0 {
				a.beat(now)
				b.beat(now)
			}
			for range rng.IntN(3) {
				a.step(rng)
			}
			if a.deltas == len(all.runs) {
				a.digest(all)
			}
			for range rng.IntN(3) {
				b.step(rng)
			}
			runs := make([]*Run, 0, len(all.runs))
			for _, id := range all.runs {
				runs = append(runs, a.Run(id))
			}
			p, err := ParsePosition(a.Position(runs).String())
			if err != nil {
				t.Fatal(err)
			}
			if !b.Reached(p) {
				not++
				continue
			}
			for _, r := range runs {
				if b.Run(r.ID).Health() == Behind {
					continue // it says so
				}
				reached++
				if mine := b.Run(r.ID).version(); r.version().Above(mine) {
					t.Fatalf("seed %d: %s at %s here and at %s there, which is not reached", seed, r.ID, r.version(), mine)
				}
			}
		}
		for b.states < len(all.states) || b.deltas < len(all.deltas) {
			b.step(rng)
		}
		b.beat(now)
		last := a.Position([]*Run{a.Run(all.runs[0])})
		if !b.Reached(&last) {
			t.Fatalf("seed %d: everything was heard, and the position is not reached", seed)
		}
	}
	if reached < 1000 || not < 1000 {
		t.Errorf("reached %d times, not reached %d times: nothing was tried", reached, not)
	}
}

// A position of a younger stream is not reached by a replica of the older; the other way round it is once the replica proves its age.
func TestPositionOfAnotherStream(t *testing.T) {
	clock := func() time.Time { return noon }
	all := newTape(rand.New(rand.NewPCG(1, 1)), 3, 10)
	old, young := all.play(noon, clock), all.play(noon.Add(time.Hour), clock)
	ofOld, ofYoung := old.Position(nil), young.Position(nil)
	old.beat(noon)
	if old.Reached(&ofYoung) || young.Reached(&ofOld) {
		t.Error("reached without proof")
	}
	young.beat(noon)
	if !young.Reached(&ofOld) || old.Reached(&ofYoung) {
		t.Error("a younger stream was filled with everything")
	}
}

// A position stays short: what was loaded counts as ahead only until a digest is equal.
func TestPositionIsShort(t *testing.T) {
	all := newTape(rand.New(rand.NewPCG(1, 1)), 40, 0)
	p := all.play(noon, func() time.Time { return noon })
	runs := make([]*Run, 0, 40)
	for _, id := range all.runs {
		runs = append(runs, p.Run(id))
	}
	if n := len(p.Position(runs).ahead); n != 40 {
		t.Errorf("%d runs ahead when nothing is known of deltas", n)
	}
	p.digest(all)
	if at := p.Position(runs); len(at.ahead) != 0 || len(at.String()) > 100 {
		t.Errorf("after equal digests: %d runs ahead, %d bytes", len(at.ahead), len(at.String()))
	}
}

// Any text is a position or ErrPosition, and a position's text is read as it was.
func FuzzParsePosition(f *testing.F) {
	p := Position{born: noon.UnixMilli(), ahead: []aheadRun{{rail.RunID{Date: rail.NewDate(2026, 11, 24), Trip: "G1"}, rail.Version{Epoch: 1, Revision: 2}}}}
	p.marks[3] = 1 << 40
	for _, text := range []string{p.String(), "", "AQ", "!", p.String()[:20]} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil {
			if !errors.Is(err, ErrPosition) {
				t.Error(err)
			}
			return
		}
		again, err := ParsePosition(p.String())
		if err != nil || again.String() != p.String() {
			t.Errorf("%q: %+v and then %+v, %v", text, p, again, err)
		}
	})
}
