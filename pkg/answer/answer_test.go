package answer

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/render"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/view"
)

// rig is a cache over the small railway, on a clock that a test moves.
type rig struct {
	t       testing.TB
	cache   *Cache
	replica *replica.Replica
	policy  atomic.Pointer[policy.Policy]
	now     time.Time
	sold    uint64
}

func newRig(t testing.TB, memory int64) *rig {
	t.Helper()
	g := &rig{t: t, now: testkit.Morning}
	g.replica = testkit.Railway(func() time.Time { return g.now })
	g.policy.Store(policy.Exact())
	c, err := New(Options{Memory: memory, Policy: g.policy.Load})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	g.cache = c
	return g
}

func (g *rig) request(key string) Request {
	q := &view.Query{From: timetable.Place{City: "BJP"}, To: timetable.Place{City: "SHH"}, Date: testkit.Tuesday}
	return Request{Key: key, Query: q, Index: g.replica.Index(), Until: g.now.Add(18 * time.Hour)}
}

// keepIn asks for a key until it is kept.
func (g *rig) keepIn(key string) Served {
	g.ask(key, Demand{})
	s := g.ask(key, Demand{})
	g.settle()
	return s
}

// ask asks as a node does.
func (g *rig) ask(key string, d Demand) Served {
	e := g.cache.Find(key, g.replica.Index(), g.now)
	if e == nil {
		e = g.cache.Join(g.request(key), g.now)
	}
	return e.Serve(g.replica, g.now, d)
}

// settle waits until ristretto has taken what it was given.
func (g *rig) settle() { g.cache.kept.Wait() }

func (g *rig) ttl(d time.Duration) {
	p := *policy.Exact()
	p.Defaults.TTL.Fixed = d
	g.policy.Store(&p)
}

// sell sells a place of G1.
func (g *rig) sell() {
	g.sold++
	run := rail.RunID{Date: testkit.Tuesday, Trip: "G1"}
	d := event.RunDelta{Run: run, Version: rail.Version{Epoch: 1, Revision: 1 + g.sold}, Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: -1}}}
	g.replica.Deltas(run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{d}}, g.sold)
}

func (g *rig) truth() []byte {
	r := g.request("")
	return render.Printer{Index: g.replica.Index()}.Answer(nil, r.Query, view.Look(g.replica, r.Query, g.now))
}

// E1: with a TTL of 0 every answer is that of the moment.
func TestExact(t *testing.T) {
	g := newRig(t, 1<<20)
	for i := range 50 {
		if got := g.ask("k", Demand{}); !bytes.Equal(got.Body, g.truth()) || got.Tag != render.Tag(got.Body) || got.TTL != 0 {
			t.Fatalf("sale %d: %s", i, got.Body)
		}
		g.settle()
		g.now = g.now.Add(time.Duration(i) * time.Second)
		if i%3 == 0 {
			g.sell()
		}
	}
	if s := g.cache.Stats(); s.TTL != 0 || s.Rendered < 16 || s.Rendered > 20 || s.Looked < 30 {
		t.Errorf("%+v", s)
	}
}

// E1: within the TTL an answer stays what it was, and says how old it is; after it, it is looked at.
func TestTTL(t *testing.T) {
	g := newRig(t, 1<<20)
	g.ttl(time.Second)
	first := g.keepIn("k")
	g.sell()
	g.now = g.now.Add(999 * time.Millisecond)
	if s := g.ask("k", Demand{}); !bytes.Equal(s.Body, first.Body) || s.TTL != time.Second || s.Age != 999*time.Millisecond || !s.Proved {
		t.Errorf("within: %v %v", s.TTL, s.Age)
	}
	if s := g.ask("k", Demand{Look: true}); bytes.Equal(s.Body, first.Body) {
		t.Error("a look was demanded (E7)")
	}
	g.sell()
	g.now = g.now.Add(time.Millisecond)
	if s := g.ask("k", Demand{}); bytes.Equal(s.Body, g.truth()) {
		t.Error("the demanded look starts a TTL too")
	}
	g.now = g.now.Add(time.Second)
	if s := g.ask("k", Demand{}); !bytes.Equal(s.Body, g.truth()) || s.TTL != 0 {
		t.Error("after it")
	}
	g.sell()
	g.ttl(0)
	if s := g.ask("k", Demand{}); !bytes.Equal(s.Body, g.truth()) {
		t.Error("another policy holds at once")
	}
	g.ttl(time.Hour)
	g.ask("k", Demand{})
	g.sell()
	g.now = g.now.Add(-time.Minute)
	if s := g.ask("k", Demand{}); !bytes.Equal(s.Body, g.truth()) {
		t.Error("a clock that was put back makes no answer last")
	}
}

// E1: no TTL goes beyond a moment at which the clock alone changes the answer: G7 opens at 08:30, G1 leaves at 07:00 and its sale closes 5 minutes before.
func TestTTLEndsWithTheClock(t *testing.T) {
	g := newRig(t, 1<<20)
	g.ttl(10 * time.Hour)
	g.keepIn("k")
	for _, minute := range []int{54, 55, 56, 60, 61, 149, 150, 151} {
		g.now = testkit.Morning.Add(time.Duration(minute) * time.Minute)
		if s := g.ask("k", Demand{}); !bytes.Equal(s.Body, g.truth()) {
			t.Errorf("minute %d: %s", minute, s.Body)
		}
	}
	if s := g.cache.Stats(); s.TTL == 0 {
		t.Error("nothing was served without a look")
	}
}

// E7: max-age is held against the age that the answer has, and an answer under a TTL is looked at before it is refused.
func TestMaxAge(t *testing.T) {
	g := newRig(t, 1<<20)
	g.ttl(time.Minute)
	g.keepIn("k")
	g.now = g.now.Add(5 * time.Second) // nothing proves a younger age than 5 s
	for age, refused := range map[int]bool{4: true, 5: false, 60: false} {
		if s := g.ask("k", Demand{MaxAge: age, Limited: true}); s.TooOld != refused {
			t.Errorf("max-age %d: too old %t", age, s.TooOld)
		}
	}
	beat(g.replica, g.now)
	if s := g.ask("k", Demand{MaxAge: 4, Limited: true}); s.TooOld || s.Age != 0 {
		t.Errorf("after a heartbeat: %+v", s.Age)
	}
	r := g.request("own")
	r.MaxAge, r.Limited = 3, true
	e := g.cache.Join(r, g.now)
	g.now = g.now.Add(4 * time.Second)
	if s := e.Serve(g.replica, g.now, Demand{MaxAge: 10, Limited: true}); !s.TooOld {
		t.Error("the request's own limit is the stricter one")
	}
}

func beat(r *replica.Replica, at time.Time) {
	h := event.Heartbeat{Time: at}
	for p := range rail.Partition(rail.Partitions) {
		h.Marks = append(h.Marks, event.Mark{Partition: p})
	}
	_ = r.Heartbeat(&h) // of nobody's stream, which contradicts nothing
}

// E2: many who ask at once for what has changed share one rendering.
func TestTogether(t *testing.T) {
	g := newRig(t, 1<<20)
	g.keepIn("k")
	for round := range 50 {
		g.sell()
		before := g.cache.Stats().Rendered
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() { g.ask("k", Demand{}) })
		}
		all.Wait()
		if n := g.cache.Stats().Rendered - before; n != 1 {
			t.Errorf("round %d: rendered %d times", round, n)
		}
	}
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() { g.ask(fmt.Sprint("new", i%4), Demand{}) })
	}
	all.Wait()
	g.cache.mu.Lock()
	defer g.cache.mu.Unlock()
	if len(g.cache.making) != 0 {
		t.Errorf("%d are still being made", len(g.cache.making))
	}
}

// E1 under concurrency: readers with TTL 0 beside a writer never get an answer older than what was true when they asked.
func TestExactWhileItChanges(t *testing.T) {
	g := newRig(t, 1<<20)
	var done atomic.Bool
	var sold atomic.Uint64 // places of G1 sold for certain
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !done.Load() {
				least := sold.Load()
				s := g.ask("k", Demand{})
				most := sold.Load() + 1
				if left, ok := remaining(s.Body); !ok || 100-left < least || 100-left > most {
					t.Errorf("%d left after between %d and %d sales", left, least, most)
					return
				}
			}
		})
	}
	for range 90 {
		for range 200 {
			g.ask("other", Demand{})
		}
		g.sell()
		sold.Add(1)
	}
	done.Store(true)
	all.Wait()
}

func remaining(body []byte) (uint64, bool) {
	_, rest, found := strings.Cut(string(body), `"class":"O"`)
	_, rest, _ = strings.Cut(rest, `"remaining":`)
	var n uint64
	_, err := fmt.Sscanf(rest, "%d", &n)
	return n, found && err == nil
}

// E3: an entry under the same hash is not the answer to another key.
func TestWholeKey(t *testing.T) {
	g := newRig(t, 1<<20)
	g.keepIn("k")
	e := g.cache.Find("k", g.replica.Index(), g.now)
	e.request.Key = "collides"
	if g.cache.Find("k", g.replica.Index(), g.now) != nil {
		t.Error("found by its hash alone")
	}
}

// An entry ends with the day in which its request was read, and with the timetable.
func TestEntriesEnd(t *testing.T) {
	g := newRig(t, 1<<20)
	g.keepIn("k")
	if g.cache.Find("k", g.replica.Index(), g.now) == nil {
		t.Fatal("not kept")
	}
	if g.cache.Find("k", g.replica.Index(), g.now.Add(18*time.Hour)) != nil || g.cache.Find("k", timetable.NewIndex(testkit.Network(), nil), g.now) != nil {
		t.Error("kept beyond the day, or the timetable")
	}
}

const floodMemory = 4 << 20

// flood asks for n keys that nobody asks for again, and for one of 200 hot ones beside each tenth. It gives the hit ratio of the hot ones.
func (g *rig) flood(n int) float64 {
	const hot = 200
	one := func(i int) { g.ask(fmt.Sprint("hot", i%hot), Demand{}) }
	for i := range 20 * hot {
		one(i)
		if i%hot == 0 {
			g.settle() // ristretto drops what comes faster than it can take
		}
	}
	g.settle()
	hits, asked := 0, 0
	for i := range n {
		if g.ask(fmt.Sprint("flood", i), Demand{}); i%10 != 0 {
			continue
		}
		before := g.cache.Stats().Rendered
		one(i / 10)
		asked++
		if g.cache.Stats().Rendered == before {
			hits++
		}
		if s := g.cache.Stats(); s.Bytes > floodMemory {
			g.t.Fatalf("%d bytes kept of %d", s.Bytes, floodMemory)
		}
	}
	return float64(hits) / float64(asked)
}

// E1: an answer ends with the replica that it was read from.
func TestAnotherReplica(t *testing.T) {
	g := newRig(t, 1<<20)
	g.ttl(time.Hour)
	g.keepIn("k")
	e := g.cache.Find("k", g.replica.Index(), g.now)
	g.replica = testkit.Railway(func() time.Time { return g.now })
	g.sell()
	if s := e.Serve(g.replica, g.now, Demand{}); !bytes.Equal(s.Body, g.truth()) {
		t.Error("served from a replica that was swapped out")
	}
}

// E6: a hit allocates nothing, within a TTL and with a look.
func TestHitsAllocateNothing(t *testing.T) {
	g := newRig(t, 1<<20)
	for _, ttl := range []time.Duration{0, time.Hour} {
		g.ttl(ttl)
		g.keepIn("k")
		g.ask("k", Demand{})
		if n := testing.AllocsPerRun(100, func() { g.ask("k", Demand{}) }); n != 0 {
			t.Errorf("ttl %s: %v allocations", ttl, n)
		}
	}
}

// A page is compressed from the third request on, once, and gives the same bytes back.
func TestCodings(t *testing.T) {
	g := newRig(t, 1<<20)
	s := g.ask("k", Demand{})
	for _, coding := range []Coding{Gzip, Zstd} {
		s.asked.Store(0)
		for i := range 4 {
			form := s.In(coding)
			body, got := form.Body, form.Coding
			if plain := i < oftenAsked-1; plain != (got == Plain) {
				t.Errorf("request %d came in %s", i, got)
			} else if !plain && !bytes.Equal(decode(t, coding, body), s.Body) {
				t.Errorf("%s: other bytes", coding)
			}
		}
	}
	small := newPage([]byte("{}"), "", false)
	for range 5 {
		if got := small.In(Gzip).Coding; got != Plain {
			t.Error("a small page was compressed")
		}
	}
}

func decode(t *testing.T, c Coding, body []byte) []byte {
	var in io.Reader
	var err error
	if in, err = gzip.NewReader(bytes.NewReader(body)); c == Zstd {
		in, err = zstd.NewReader(bytes.NewReader(body))
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is served without a look is held against the truth: none is wrong while nothing changes, all are after a sale.
func TestTruth(t *testing.T) {
	g := newRig(t, 1<<20)
	g.ttl(time.Minute)
	g.keepIn("k")
	ask := func(n int) (sum TruthCell) {
		for range n * truthEvery {
			g.ask("k", Demand{})
		}
		for _, c := range g.cache.Stats().Truth {
			sum.Checked, sum.Wrong, sum.Off = sum.Checked+c.Checked, sum.Wrong+c.Wrong, sum.Off+c.Off
		}
		return sum
	}
	if s := ask(10); s.Checked != 10 || s.Wrong != 0 {
		t.Errorf("nothing has changed: %+v", s)
	}
	g.sell()
	g.sell()
	g.now = g.now.Add(3 * time.Second)
	if s := ask(5); s.Checked != 15 || s.Wrong != 5 || s.Off != 10 {
		t.Errorf("two places were sold: %+v", s)
	}
	if c := g.cache.Stats().Truth[5]; c.Since != 5*time.Second || c.Checked != 5 {
		t.Errorf("by time since the look: %+v", c)
	}
}

// The rules see how often a key is asked for and changes.
func TestRates(t *testing.T) {
	g := newRig(t, 1<<20)
	busy, lively := 50.0, 0.5
	p := *policy.Exact()
	p.Rules = []policy.Rule{
		{Name: "busy", When: policy.When{AskedAbove: &busy, ChangedAbove: &lively}, Change: policy.Change{TTL: &policy.TTL{Fixed: 100 * time.Millisecond}}},
		{Name: "trains", When: policy.When{Types: []string{"K"}}, Change: policy.Change{TTL: &policy.TTL{Fixed: time.Hour}}},
	}
	g.policy.Store(&p)
	g.keepIn("k")
	for second := range 30 {
		for range 100 {
			g.ask("k", Demand{})
			g.now = g.now.Add(10 * time.Millisecond)
		}
		if second%4 == 0 {
			g.sell()
		}
	}
	if n := g.cache.Stats().TTL; n != 0 {
		t.Errorf("one change in four seconds is not above %v: %d served without a look", lively, n)
	}
	for range 30 {
		for range 100 {
			g.ask("k", Demand{})
			g.now = g.now.Add(10 * time.Millisecond)
		}
		g.sell()
	}
	if n := g.cache.Stats().TTL; n < 1000 {
		t.Errorf("a busy, lively key: %d served without a look", n)
	}
}

func BenchmarkServe(b *testing.B) {
	for _, ttl := range []time.Duration{0, time.Hour} {
		b.Run(fmt.Sprint("ttl=", ttl), func(b *testing.B) {
			g := newRig(b, 1<<20)
			g.ttl(ttl)
			g.keepIn("k")
			b.ReportAllocs()
			for b.Loop() {
				g.ask("k", Demand{})
			}
		})
	}
}

// BenchmarkRenew is a request whose answer has changed: look, render and keep. One of its trains has changed, or each of them. A node's heap is never as small as a test's, in which
// the collector would run every few hundred renderings.
func BenchmarkRenew(b *testing.B) {
	heap := make([]byte, 128<<20)
	defer runtime.KeepAlive(heap)
	for _, trains := range []int{1, 17, 129} {
		busy := testkit.NewBusy(func() time.Time { return testkit.Morning }, 1, trains)
		for name, changes := range map[string]int{"one": 1, "each": trains} {
			b.Run(fmt.Sprintf("runs=%d/changed=%s", trains, name), func(b *testing.B) {
				c, err := New(Options{Memory: 1 << 20})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				e := c.Join(Request{Key: "k", Query: busy.Search(0), Index: busy.Index(), Until: testkit.Morning.Add(time.Hour)}, testkit.Morning)
				var s Served
				var took time.Duration
				for b.Loop() {
					for i := range changes {
						busy.Change(i)
					}
					started := time.Now() // to stop the benchmark's timer would stop the world
					s = e.Serve(busy.Replica, testkit.Morning, Demand{})
					took += time.Since(started)
				}
				b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/render")
				b.ReportMetric(float64(len(s.Body)), "bytes")
			})
		}
	}
}
