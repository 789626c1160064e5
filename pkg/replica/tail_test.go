package replica

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
)

// sum stands for that of the message with a sequence.
func sum(sequence uint64) uint64 { return sequence << 32 }

// R7: what a tail says of a mark is what a list of all that was read says, as far as it remembers.
func TestTail(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	var tail tail
	var all []uint64
	if reached, lost := tail.has(event.Place{Sequence: 7}); reached || lost {
		t.Error("nothing was read, and a mark is reached")
	}
	tail.finish(7)
	if reached, _ := tail.has(event.Place{Sequence: 7}); !reached {
		t.Error("all was read, of which nothing is there any more, and the mark is not reached")
	}
	for sequence := uint64(10); len(all) < 5*tailKept; sequence += 1 + r.Uint64N(16) {
		tail.add(event.Place{Sequence: sequence, Sum: sum(sequence)})
		tail.add(event.Place{Sequence: sequence - r.Uint64N(3), Sum: 9}) // what comes twice changes nothing
		all = append(all, sequence)
		mark := sequence + 3 - r.Uint64N(4*tailKept)
		if mark > sequence+3 {
			continue // below 0
		}
		says := []uint64{0, sum(mark), 8}[r.IntN(3)] // nothing, what it is, and another one
		reached, lost := tail.has(event.Place{Sequence: mark, Sum: says})
		was := slices.Contains(all, mark) && says != 8
		switch oldest := tail.read[0].Sequence; {
		case mark > sequence && (reached || lost):
			t.Fatalf("%d after %d: %t, %t", mark, sequence, reached, lost)
		case mark < oldest && !reached:
			t.Fatalf("%d is forgotten, and not believed", mark)
		case mark >= oldest && mark <= sequence && (reached != was || lost == was):
			t.Fatalf("%d: %t, %t; read: %t", mark, reached, lost, was)
		}
		if len(tail.read) > 2*tailKept {
			t.Fatalf("%d are kept", len(tail.read))
		}
	}
}

// R7, R9: a mark is proved by the very message, not by another one of a higher number; if those around it were read, and not this one, or another one in its place, the stream is another. A stranger's message proves nothing.
func TestMarksOfMessages(t *testing.T) {
	g := newRig(t).ready()
	batch := func(publisher string, sequence uint64) {
		g.replica.Deltas(g.part, &event.DeltaBatch{Publisher: publisher}, sequence)
	}
	batch("booking", 10)
	_ = g.heartbeat("booking", noon, 10)
	_ = g.heartbeat("booking", noon.Add(time.Second), 12)
	batch("", 12) // nonsense in the place of what was lost
	g.replica.Tick(g.part, 14)
	if at, _ := g.replica.AsOf(); !at.Equal(noon) {
		t.Errorf("as of %s, though message 12 was not read", at)
	}
	batch("booking", 15)
	if err := g.heartbeat("booking", noon.Add(2*time.Second), 15); err != nil {
		t.Errorf("a mark of what was read: %v", err)
	}
	if err := newRig(t).ready().heartbeat("booking", noon, 0); err != nil {
		t.Errorf("a mark of nothing: %v", err)
	}
	g = newRig(t).ready()
	batch("booking", 10)
	batch("booking", 14)
	if err := g.heartbeat("booking", noon, 12); err == nil {
		t.Error("a mark of what was not there was taken")
	}
	g = newRig(t).ready()
	g.replica.Deltas(g.part, &event.DeltaBatch{Publisher: "booking", Sum: 5}, 10)
	for sum, other := range map[uint64]bool{0: false, 5: false, 6: true} {
		h := event.Heartbeat{Time: noon, Publisher: "booking", Marks: []event.Mark{{Partition: g.part, Place: event.Place{Sequence: 10, Sum: sum}}}}
		if err := g.replica.Heartbeat(&h); (err != nil) != other {
			t.Errorf("a mark of message 10 with the sum %d: %v", sum, err)
		}
	}
}

// R9: a heartbeat of a history of which nothing was read shows that the stream fell back, whoever sends it.
func TestHistoryOfAnother(t *testing.T) {
	g := newRig(t)
	g.replica.Deltas(g.part, &event.DeltaBatch{Publisher: "first", History: 3}, 1)
	g.ready()
	for history, refused := range map[uint64]bool{0: false, 3: false, 4: true} {
		if err := g.replica.Heartbeat(&event.Heartbeat{Time: noon, Publisher: "second", History: history}); (err != nil) != refused {
			t.Errorf("history %d: %v", history, err)
		}
	}
	g.replica.Deltas(g.part, &event.DeltaBatch{Publisher: "second", History: 4}, 2)
	if err := g.replica.Heartbeat(&event.Heartbeat{Time: noon, Publisher: "second"}); err == nil {
		t.Error("a batch of a higher history by another publisher was passed over")
	}
}

// R11: a run whose state in the stream is nonsense is behind, known or not, and a good one is asked for; it may be of the held Version.
func TestSpoiled(t *testing.T) {
	g := newRig(t)
	g.replica.Spoiled(g.part, g.run, feed.Position{}, event.ErrBroken)
	g.ready()
	if day := g.replica.Day(g.run.Date); day == nil || day.Complete() || g.replica.Stats().Unseen != 1 {
		t.Errorf("a run of which there is only nonsense is not missed: %+v", g.replica.Stats())
	}
	if kinds := g.tick(time.Second); !slices.Equal(kinds, []repairKind{askState}) {
		t.Errorf("asked for %v", kinds)
	}
	g.take(g.state(v(1, 5), 100))
	if !g.replica.Day(g.run.Date).Complete() || g.replica.Run(g.run).Health() != Live {
		t.Errorf("a good state does not mend it: %s", g.replica.Run(g.run).Health())
	}
	g.replica.Spoiled(g.part, g.run, feed.Position{}, event.ErrBroken)
	if g.replica.Run(g.run).Health() != Behind || g.remaining() != 100 {
		t.Errorf("%s with %d", g.replica.Run(g.run).Health(), g.remaining())
	}
	g.take(g.state(v(1, 5), 100))
	if g.replica.Run(g.run).Health() != Live {
		t.Error("a good state of the same version does not mend it")
	}
	g.balanced()
}

// R8, R9: a replica takes the place of another when it proves its age and no run goes back; after a while, all the same. The first one waits for its proof only a moment.
func TestBetter(t *testing.T) {
	load := func(version uint64, proved bool) *Replica {
		g := newRig(t)
		if version > 0 {
			g.take(g.state(v(1, version), 100))
		}
		if g.ready(); proved {
			_ = g.heartbeat("booking", noon, 0)
			for p := range g.replica.freshness.partition {
				_ = g.replica.Heartbeat(&event.Heartbeat{Time: noon, Publisher: "booking", Marks: []event.Mark{{Partition: rail.Partition(p)}}})
			}
		}
		return g.replica
	}
	for _, tt := range []struct {
		name            string
		before, replica *Replica
		ready           time.Duration
		want            bool
	}{
		{"the first, proved", nil, load(1, true), 0, true},
		{"the first, not proved", nil, load(1, false), firstProof - 1, false},
		{"the first, not proved for a while", nil, load(1, false), firstProof, true},
		{"as good", load(2, true), load(2, true), 0, true},
		{"not proved", load(2, true), load(2, false), catchingUp, false},
		{"neither proved", load(2, false), load(2, false), 0, true},
		{"an older version", load(2, true), load(1, true), catchingUp - 1, false},
		{"an older version for long", load(2, true), load(1, true), catchingUp, true},
		{"a run less", load(2, true), load(0, true), 0, false},
		{"a run more", load(0, true), load(1, true), 0, true},
	} {
		if got := better(tt.replica, tt.before, tt.ready); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
