package limit

import (
	"cmp"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// machine is a computer of some processors, in virtual time, which all work shares alike. Each piece more costs the others a little beside its share: caches, locks, collections.
type machine struct {
	processors, waste float64 // waste is the share of all speed that each piece beyond the processors costs

	mu    sync.Mutex // guards what follows
	jobs  []job      // by their ends
	spent float64    // what each job that has been there always has got, in seconds of a processor
	at    time.Time  // of spent
	alarm *time.Timer
}

// job ends when each has got so much.
type job struct {
	end  float64
	done chan struct{}
}

// work does a piece that takes so long alone.
func (m *machine) work(alone time.Duration) {
	m.mu.Lock()
	m.advance()
	j := job{m.spent + alone.Seconds(), make(chan struct{})}
	at, _ := slices.BinarySearchFunc(m.jobs, j, func(a, b job) int { return cmp.Compare(a.end, b.end) })
	m.jobs = slices.Insert(m.jobs, at, j)
	m.plan()
	m.mu.Unlock()
	<-j.done
}

// speed is each job's.
func (m *machine) speed() float64 {
	n := float64(len(m.jobs))
	return min(1, m.processors/n) / (1 + m.waste*max(0, n-m.processors))
}

func (m *machine) advance() {
	now := time.Now()
	if len(m.jobs) > 0 {
		m.spent += now.Sub(m.at).Seconds() * m.speed()
	}
	m.at = now
	for len(m.jobs) > 0 && m.jobs[0].end <= m.spent+1e-9 {
		close(m.jobs[0].done)
		m.jobs = m.jobs[1:]
	}
}

// plan has the next job end in its time.
func (m *machine) plan() {
	if m.alarm != nil {
		m.alarm.Stop()
	}
	if len(m.jobs) == 0 {
		return
	}
	left := (m.jobs[0].end - m.spent) / m.speed()
	m.alarm = time.AfterFunc(time.Duration(left*float64(time.Second))+1, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.advance()
		m.plan()
	})
}

// patience is how long a client waits; an answer after it helps nobody, but was worked for.
const patience = time.Second

// crowd asks so often a second, whatever becomes of it, for a time. It returns what was answered in time, what was refused, and the longest wait for a refusal.
func crowd(g *Gate, m *machine, perSecond int, over, alone time.Duration) (good, shed int, latest time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	random := rand.New(rand.NewPCG(1, 2))
	for began := time.Now(); time.Since(began) < over; {
		all.Go(func() {
			asked := time.Now()
			turn, ok := g.Enter(New)
			waited := time.Since(asked)
			if ok {
				m.work(alone)
				turn.Leave()
			}
			mu.Lock()
			defer mu.Unlock()
			switch took := time.Since(asked); {
			case !ok:
				shed++
				latest = max(latest, waited)
			case took <= patience:
				good++
			}
		})
		pass(time.Duration(random.ExpFloat64() * float64(time.Second) / float64(perSecond)))
	}
	all.Wait()
	return good, shed, latest
}

func newMachine() *machine { return &machine{processors: 4, waste: 0.005} }

// A gate holds a machine near its best at five times what it can do, where the same machine without one answers nobody in time; and when the crowd is gone, nobody is refused any more.
func TestFiveTimesTooMuch(t *testing.T) {
	const alone, over = 10 * time.Millisecond, 10 * time.Second // 400 a second
	options := GateOptions{Wait: 200 * time.Millisecond, Most: 4}
	run := func(g *Gate, perSecond int) (goodput float64, shed int, latest time.Duration) {
		synctest.Test(t, func(*testing.T) {
			good, refused, wait := crowd(g, newMachine(), perSecond, over, alone)
			goodput, shed, latest = float64(good)/over.Seconds(), refused, wait
		})
		return goodput, shed, latest
	}
	peak := 0.0
	for _, perSecond := range []int{300, 350, 380, 400, 450} { // the best of it, with a gate or without
		for _, o := range []GateOptions{{}, options} {
			goodput, _, _ := run(NewGate(o), perSecond)
			peak = max(peak, goodput)
		}
	}
	naive, _, _ := run(NewGate(GateOptions{}), 2000)
	g := NewGate(options)
	gated, shed, latest := run(g, 2000)
	t.Logf("peak %.0f/s; at 2,000/s without a gate %.0f/s, with it %.0f/s, %d refused", peak, naive, gated, shed)
	if gated < 0.9*peak || naive > 0.5*peak {
		t.Errorf("goodput %.0f/s of %.0f/s; without a gate %.0f/s", gated, peak, naive)
	}
	if latest > options.Wait+time.Millisecond {
		t.Errorf("refused after %v", latest)
	}
	if s := g.Stats(); s.In != 0 || s.Waiting != 0 || s.Shed != uint64(shed) {
		t.Errorf("%+v after %d were refused", s, shed)
	}
	if _, shed, _ = run(g, 100); shed > 0 {
		t.Errorf("%d refused after the crowd", shed)
	}
}

// O4: held to a list of who waits, whatever happens. In a burst the first that came is the first in, those that are known before the new.
func TestTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 3).Draw(t, "limit")
		people := rapid.IntRange(1, 12).Draw(t, "people")
		known := rapid.SliceOfN(rapid.Bool(), people, people).Draw(t, "known")
		g := NewGate(GateOptions{Wait: time.Hour, Most: limit})
		turns := make([]*waiter, people)
		var want [priorities][]int
		for i := range people {
			p := New
			if known[i] {
				p = Known
			}
			w, ok := g.ask(p, time.Now(), time.Hour)
			if room := i < limit; ok != room || (w == nil) != room {
				t.Fatalf("%d of %d: let in %v, in line %v", i, limit, ok, w != nil)
			}
			if turns[i] = w; !ok {
				want[p] = append(want[p], i)
			}
		}
		for _, i := range append(want[Known], want[New]...) {
			if g.in > limit {
				t.Fatalf("%d in at once", g.in)
			}
			(Pass{g}).Leave()
			select {
			case ok := <-turns[i].verdict:
				if !ok {
					t.Fatalf("%d was refused", i)
				}
			default:
				t.Fatalf("%d did not get the turn", i)
			}
		}
		if s := g.Stats(); s.Waiting != 0 || s.Shed != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

// O4: a wait ends with a refusal. In a queue that has stood a few wait, with places for those who are known, and all others are refused at once, until there is room again.
func TestCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wait = time.Second
		g := NewGate(GateOptions{Wait: wait, Most: 1})
		turn, _ := g.Enter(New)
		var refused, let atomic.Int64
		var latest atomic.Int64
		ask := func(p Priority) {
			go func() {
				asked := time.Now()
				turn, ok := g.Enter(p)
				if !ok {
					latest.Store(int64(time.Since(asked)))
					refused.Add(1)
					return
				}
				let.Add(1)
				turn.Leave()
			}()
			synctest.Wait()
		}
		told := func(what string, wantRefused, wantLet int64) {
			t.Helper()
			synctest.Wait()
			if r, l := refused.Swap(0), let.Swap(0); r != wantRefused || l != wantLet {
				t.Fatalf("%s: %d refused and %d let in; want %d and %d", what, r, l, wantRefused, wantLet)
			}
		}
		for range 3 * few {
			ask(New)
		}
		pass(wait / 2)
		ask(New)
		told("a burst, and the machine stands still", 0, 0)
		const line = int(wait / stands / blink)
		for range line - 1 {
			pass(blink)
			ask(New)
		}
		told("a queue", 0, 0)
		pass(blink)
		ask(New)
		told("crowded", 1, 0)
		for range few + 2 {
			ask(Known)
		}
		told("crowded, known", 2, 0)
		pass(wait)
		told("after the wait", int64(3*few+line+few), 0)
		if took := time.Duration(latest.Load()); took != wait {
			t.Fatalf("refused after %v", took)
		}
		for range few + 1 {
			ask(New)
		}
		told("a few", 1, 0)
		turn.Leave()
		told("their turns", 0, few)
		for range some + int(wait/blink) {
			pass(blink)
			turn, _ = g.Enter(New)
			turn.Leave()
		}
		turn, _ = g.Enter(New)
		for range 3 * few {
			ask(New)
		}
		told("a burst again", 0, 0)
		turn.Leave()
		told("all of it", 0, 3*few)
		turn, _ = g.Enter(New)
		for range line + 2 {
			pass(blink)
			ask(New)
		}
		pass(2 * wait)
		told("crowded again, and then nobody came", int64(line+2), 0)
		for range 3 * few {
			ask(New)
		}
		told("a burst after that", 0, 0)
		turn.Leave()
		told("all of that", 0, 3*few)
	})
}

// Who is let in lets those go first who can run already.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	g := NewGate(GateOptions{Wait: time.Second})
	const rounds, others = 100, 20
	last := 0
	for range rounds {
		var ran atomic.Int64
		var all sync.WaitGroup
		for range others {
			all.Go(func() { ran.Add(1) })
		}
		turn, _ := g.Enter(New)
		if ran.Load() == others {
			last++
		}
		turn.Leave()
		all.Wait()
	}
	if last < rounds/4 { // the scheduler looks out of turn now and then, and others use this machine; without it, work would be first each time
		t.Errorf("work was last in %d of %d rounds", last, rounds)
	}
}

// A gate that is off lets all in at once, and neither counts nor waits.
func TestGateOff(t *testing.T) {
	g := NewGate(GateOptions{})
	for range 1000 {
		if turn, ok := g.Enter(New); !ok || turn != (Pass{}) {
			t.Fatal("not off")
		}
	}
	(Pass{}).Leave()
	if s := g.Stats(); s.In != 0 || s.Limit == 0 {
		t.Errorf("%+v", s)
	}
}

// BenchmarkGate is the way in and out of a gate with room.
func BenchmarkGate(b *testing.B) {
	g := NewGate(GateOptions{Wait: time.Second})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if turn, ok := g.Enter(New); ok {
				turn.Leave()
			}
		}
	})
}
