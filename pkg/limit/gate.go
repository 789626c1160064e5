package limit

import (
	"container/list"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Gate lets in as much work at once as there are processors for, has a little more wait for its turn, and refuses the rest early, while a refusal still helps whoever asks. Safe for
// concurrent use.
//
// Who is let in lets everybody go first who can run already. The Go scheduler runs goroutines in the order in which they became ready, and knows nothing of what is cheap: without
// that, pieces of work stand before hundreds of answers that take a tenth of their time, and before whatever operators ask. So answers that are kept, refusals and operators have
// the processors first, and work has what they leave. Where they leave little, as the time tells in which all others went, work waits for as long again, so that it gets no more
// than a small share. No limit has to be found, and neighbours on the same machine change none.
//
// A queue is good for a burst, in which everybody may wait up to the whole wait. One that has stood for a quarter of that is no burst: until there has been room for one of four who
// come for as long as a whole wait, a few wait, so that whoever is answered is answered soon, and the others are told at once, which costs least. (That a queue is to be judged by how
// long it stands, not by its length, is of CoDel: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10/5, 2012.) Only time in which people come counts: when a machine stands
// still, with all who would ask, that makes no crowd.
type Gate struct {
	o    GateOptions
	wait atomic.Int64

	mu      sync.Mutex // guards what follows
	in      int
	lines   [priorities]list.List // of *waiter, the first that came in front
	crowded bool                  // the queue is no burst
	cameAt  time.Time             // when somebody came last
	stood   time.Duration         // how long there has been no room
	eased   time.Duration         // how long there has been room often enough
	room    float64               // share of those who came lately for whom there was room
	shed    uint64
}

// GateOptions tune a Gate; zero values take the defaults.
type GateOptions struct {
	// Wait is how long work may wait for its turn; 0: all is let in. See Follow.
	Wait time.Duration
	// Most is how much is let in at once. Default one for each processor: more would not be done sooner.
	Most int
}

// Priority of work: what is let in first.
type Priority uint8

const (
	// Known is work of those who have an answer already and ask for what is new: most of it is cheap, and whoever watches does so because he was answered before.
	Known Priority = iota
	// New is all other work.
	New
	priorities
)

// waiter is who waits for a turn. It gets one verdict.
type waiter struct {
	verdict chan bool
	line    *list.List
	place   *list.Element // nil once there is a verdict; guarded by the gate's mu
}

const (
	stands = 4                     // a queue that has stood for that part of the wait is no burst
	few    = 4                     // wait for each who is in while it is crowded: they make up for who comes by chance at once, and wait some milliseconds
	calm   = 0.25                  // share of those who come for whom there is room when it is crowded no more: with more to do than can be done there is hardly ever any
	some   = 64                    // who come tell how often there is room
	blink  = 10 * time.Millisecond // between two who come counts at most
	long   = 2 * time.Millisecond  // for all others to go takes no longer where processors are left: some pieces of work, or a hundred answers that are kept
)

// NewGate makes a gate.
func NewGate(o GateOptions) *Gate {
	if o.Most <= 0 {
		o.Most = runtime.GOMAXPROCS(0)
	}
	g := &Gate{o: o}
	g.Follow(o.Wait)
	return g
}

// Follow takes another wait, for those who come from now on.
func (g *Gate) Follow(wait time.Duration) { g.wait.Store(int64(wait)) }

// Pass is a piece of work that was let in. The zero one is nobody's.
type Pass struct{ gate *Gate }

// Enter lets a piece of work in, which must Leave; perhaps after a wait. False: it is refused.
func (g *Gate) Enter(p Priority) (Pass, bool) {
	wait := time.Duration(g.wait.Load())
	if wait <= 0 {
		return Pass{}, true
	}
	w, ok := g.ask(p, time.Now(), wait)
	if w != nil {
		ok = g.await(w, wait)
	}
	if !ok {
		return Pass{}, false
	}
	yield()
	return Pass{g}, true
}

// yield lets everybody go first who can run already, and where that takes long, those that come meanwhile, too.
func yield() {
	began := time.Now()
	runtime.Gosched()
	if took := time.Since(began); took > long {
		<-time.After(took)
	}
}

// ask lets a piece of work in, or refuses it, or puts it in line.
func (g *Gate) ask(p Priority, now time.Time, wait time.Duration) (*waiter, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.notice(g.in < g.o.Most && g.ahead(New) == 0, now, wait) {
		g.in++
		return nil, true
	}
	if g.crowded && g.ahead(p) >= few*g.o.Most {
		g.shed++
		return nil, false
	}
	w := &waiter{verdict: make(chan bool, 1), line: &g.lines[p]}
	w.place = w.line.PushBack(w)
	return w, false
}

// notice takes note of whether there is room for somebody who comes, and says so. The caller holds mu.
func (g *Gate) notice(room bool, now time.Time, wait time.Duration) bool {
	since := now.Sub(g.cameAt)
	g.cameAt = now
	g.room -= g.room / some
	if room {
		g.room += 1.0 / some
	}
	g.stood = lasting(g.stood, !room && since <= wait, since)
	g.eased = lasting(g.eased, g.room > calm, since)
	switch {
	case g.stood > wait/stands:
		g.crowded, g.eased = true, 0
	case g.eased > wait || since > wait: // nobody who waited then waits now
		g.crowded = false
	}
	return room
}

// lasting is how long something has been so, which was so for a time until somebody came last.
func lasting(before time.Duration, still bool, since time.Duration) time.Duration {
	if !still {
		return 0
	}
	return before + min(since, blink)
}

// ahead is how many wait who have their turn before one that comes now. The caller holds mu.
func (g *Gate) ahead(p Priority) (n int) {
	for i := range p + 1 {
		n += g.lines[i].Len()
	}
	return n
}

// await waits for the verdict, or ends the wait.
func (g *Gate) await(w *waiter, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case ok := <-w.verdict:
		return ok
	case <-timer.C:
	}
	g.mu.Lock()
	if w.place != nil {
		g.shed++
		w.decide(false)
	}
	g.mu.Unlock()
	return <-w.verdict
}

// decide gives a verdict. The caller holds the gate's mu.
func (w *waiter) decide(verdict bool) {
	w.line.Remove(w.place)
	w.place = nil
	w.verdict <- verdict
}

// Leave says that the work is done. Once only; a Pass of nobody's may leave as often as it likes.
func (p Pass) Leave() {
	g := p.gate
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.lines {
		if first := g.lines[i].Front(); first != nil {
			first.Value.(*waiter).decide(true)
			return // who has his turn now
		}
	}
	g.in--
}

// GateStats tell of a gate.
type GateStats struct {
	// Limit is how much may be in at once; In how much is, and Waiting how much waits for its turn.
	Limit, In, Waiting int
	// Shed is how much was refused since the start.
	Shed uint64
}

// Stats is a snapshot.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GateStats{Limit: g.o.Most, In: g.in, Waiting: g.ahead(New), Shed: g.shed}
}
