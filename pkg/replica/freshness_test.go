package replica

import (
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// R6: not ready before Loaded, and without an age before a heartbeat.
func TestReadiness(t *testing.T) {
	g := newRig(t)
	select {
	case <-g.replica.Ready():
		t.Fatal("ready too early")
	default:
	}
	_ = g.heartbeat("booking", noon, 0)
	if _, ok := g.replica.AsOf(); ok || g.replica.Index() != nil {
		t.Error("an age or an index before it is ready")
	}
	g.ready()
	<-g.replica.Ready()
	if at, ok := g.replica.AsOf(); !ok || !at.Equal(noon) {
		t.Errorf("as of %s, %t", at, ok)
	}
}

func (g *rig) heartbeat(publisher string, at time.Time, mark uint64) error {
	h := &event.Heartbeat{Time: at, Publisher: publisher, Created: map[string]time.Time{"DELTA": noon}}
	for p := range rail.Partition(rail.Partitions) {
		m := event.Mark{Partition: p}
		if p == g.part {
			m.Sequence = mark
		}
		h.Marks = append(h.Marks, m)
	}
	return g.replica.Heartbeat(h)
}

// R7: AsOf is the time of the newest heartbeat whose marks have been reached, and silence ages.
func TestAsOf(t *testing.T) {
	g := newRig(t)
	g.take(g.state(v(1, 1), 100))
	g.ready()
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	asOf := func(want time.Time) {
		t.Helper()
		if got, ok := g.replica.AsOf(); !ok || !got.Equal(want) {
			t.Errorf("as of %s, %t; want %s", got, ok, want)
		}
	}
	beat := func(s int, mark uint64) {
		g.now = at(s)
		_ = g.heartbeat("booking", g.now, mark)
	}
	beat(1, 0)
	asOf(at(1))
	beat(2, 1) // ahead of what has come
	beat(3, 2)
	asOf(at(1))
	g.deltas(g.sale(v(1, 2), 1)) // sequence 1
	asOf(at(2))
	g.deltas(g.sale(v(1, 3), 1))
	asOf(at(3))
	if age, _ := g.replica.Age(at(13)); age != 10*time.Second {
		t.Errorf("silence for ten seconds gives an age of %s", age)
	}
	_ = g.heartbeat("booking", at(6), 2)
	asOf(at(3)) // nothing is known of what is still to come
	if age, _ := g.replica.Age(at(5)); age != 2*time.Second {
		t.Errorf("a publisher whose clock is fast makes the data %s old; the proof is two seconds old", age)
	}
}

// R7: heartbeats of one who is not in charge prove nothing.
func TestForeignHeartbeat(t *testing.T) {
	g := newRig(t).ready()
	g.deltas()
	_ = g.heartbeat("booking", noon, 1)
	g.replica.Deltas(g.part, &event.DeltaBatch{Publisher: "other"}, 2)
	_ = g.heartbeat("booking", noon.Add(time.Hour), 1)
	if at, _ := g.replica.AsOf(); !at.Equal(noon) {
		t.Errorf("a fenced publisher's heartbeat moved AsOf to %s", at)
	}
	_ = g.heartbeat("other", noon.Add(time.Minute), 2)
	if p := &g.replica.freshness.partition[g.part]; true {
		if b, _, _ := p.asOf(); !b.at.Equal(noon.Add(time.Minute)) {
			t.Errorf("the new publisher's heartbeat gives %s", b.at)
		}
	}
}

// R7: lag keeps a bounded number of heartbeats and still proves the newest that is reached.
func TestHeartbeatsAreBounded(t *testing.T) {
	g := newRig(t)
	g.ready()
	for i := range 2000 {
		g.now = noon.Add(time.Duration(i) * time.Second)
		_ = g.heartbeat("booking", noon.Add(time.Duration(i)*time.Second), uint64(i))
	}
	pending := *g.replica.freshness.partition[g.part].pending.Load()
	if len(pending) > maxPending {
		t.Errorf("%d kept", len(pending))
	}
	g.seq = 1999
	g.deltas()
	if at, _ := g.replica.AsOf(); !at.Equal(noon.Add(1999 * time.Second)) {
		t.Errorf("as of %s", at)
	}
}

// R9: a mark that goes back, or one of another stream, shows that the stream is not the one that was read.
func TestDivergenceIsNoticed(t *testing.T) {
	g := newRig(t).ready()
	if err := g.heartbeat("booking", noon, 7); err != nil {
		t.Fatal(err)
	}
	if err := g.heartbeat("booking", noon, 6); err == nil {
		t.Error("a mark that went back was taken")
	}
	h := &event.Heartbeat{Time: noon, Created: map[string]time.Time{"DELTA": noon.Add(time.Second)}}
	if err := g.replica.Heartbeat(h); err == nil {
		t.Error("a heartbeat of another stream was taken")
	}
	g = newRig(t)
	again := func(history uint64) {
		g.seq++
		g.replica.Deltas(g.part, &event.DeltaBatch{Publisher: "booking", History: history}, g.seq)
	}
	again(0)
	again(1) // while loading, both are read whole
	g.ready()
	if err := g.heartbeat("booking", noon, g.seq); err != nil {
		t.Errorf("refused after a load that saw everything: %v", err)
	}
	again(2)
	if err := g.heartbeat("booking", noon, g.seq); err == nil {
		t.Error("a publisher that has published everything again was believed")
	}
}
