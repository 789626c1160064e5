// Package sim is a railway in which everything goes wrong: the real publisher, relay, reader and replicas over a model of the NATS servers, under virtual time, by a plan that follows from a
// seed. It must run within a bubble of testing/synctest. The same plan gives the same run, but for the order of timers that are due in the very same instant: bubbles leave that to chance.
//
//	truth (booking.Book) -> booking.Relay -> feed.Publisher -> link -> server -> link -> feed.Reader -> replica.Follower, and check after every step
//
// What is checked (cited by the tests as S1...):
//
//	S1 A run that is shown as live, on a node that proves an age and does not say that it is degraded, is as it was in the booking system at some moment between AsOf and now.
//	S2 Numbers that are shown, whether live or behind, were true once, all together, at the version that they are said to be of.
//	S3 The version of a run on a node never goes back, as long as its process lives.
//	S4 No run is missing that was opened before AsOf, unless the day says that it is not complete.
//	S5 Received = applied + duplicate + held + broken, on every replica (R5).
//	S6 When the faults are over, all nodes hold the truth and prove it, within a bounded time.
//
// Not covered: a message that was cut and still makes sense; a second loss on the servers within the seconds in which the first is made up for; a state stream alone that fell back and has become
// longer than it was when the publisher who saw it is replaced. Digests find those.
package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

const (
	// look is the longest time between two checks.
	look = 100 * time.Millisecond
	// apart is no multiple of anything.
	apart = 137_731 * time.Nanosecond
	// settling is how long all nodes may take to hold the truth when the faults are over: two rounds of digests, the longest wait of a repair, and a reload.
	settling = 60 * time.Second
	// excuse is how long a node may take to find out what was lost unseen (R10): a digest every two seconds, and the longest wait of a repair.
	excuse = 30 * time.Second
)

// Result is what came of a plan.
type Result struct {
	// Broken is the rule that was broken, with how; empty if none was.
	Broken string
	// Steps are how often everything was checked, Acts how many happened, by kind.
	Steps int
	Acts  [kinds]int
	// Settled is how long it took to converge.
	Settled time.Duration
	// Log is what happened, if it was asked for.
	Log []string
}

// world is one run of a plan.
type world struct {
	plan    *Plan
	server  *server
	truth   *truth
	network timetable.Network
	backend *backend
	rivals  []*backend
	terms   int
	members []*member
	undo    []undo
	copies  []map[string]*stream // of the streams, one a second, the newest last
	copied  time.Time
	counts  []rail.SeatCount // for the check
	lost    time.Time        // when a stream fell back last
	excused time.Time        // until when something may be wrong that nobody can know

	began  time.Time
	result Result
	talks  bool

	mu        sync.Mutex // guards what follows
	published []event.RunVersion
	bookmark  feed.Bookmark
}

type undo struct {
	at time.Time
	do func()
}

// clock is the booking system's time.
func (w *world) clock() time.Time { return time.Now() }

func (w *world) say(format string, args ...any) {
	if !w.talks {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.Log = append(w.result.Log, fmt.Sprintf("%9.3fs  ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// Run runs a plan. It must be called within a bubble; talks says whether to keep a log.
func Run(p *Plan, talks bool) *Result {
	w := begin(p, talks)
	for i := range p.Acts {
		if w.wait(p.Acts[i].After); w.result.Broken != "" {
			break
		}
		w.do(&p.Acts[i])
	}
	w.settle()
	w.end()
	return &w.result
}

// begin starts everybody, and gives them time to be there.
func begin(p *Plan, talks bool) *world {
	w := &world{plan: p, server: newServer(), network: *testkit.Network(), began: time.Now(), talks: talks}
	w.truth = newTruth(w.clock)
	first := rail.DateOf(time.Now(), time.UTC) + 1
	w.truth.book.Open(first)
	w.truth.note(w.truth.book.Runs()...)
	w.startBackend()
	for i := range p.Nodes {
		w.members = append(w.members, w.newMember(i, p.Skews[i]))
	}
	<-time.After(apart) // so that nothing is looked at in the very moment in which a ticker of those who are simulated ticks
	w.wait(3 * time.Second)
	return w
}

func (w *world) end() {
	for _, m := range w.members {
		m.stop()
	}
	for _, b := range append(w.rivals, w.backend) {
		b.crash()
	}
	<-time.After(3 * patience) // what is still on its way ends
}

// wait lets time pass, and checks on the way.
func (w *world) wait(d time.Duration) {
	for end := time.Now().Add(d); w.result.Broken == ""; {
		next := time.Now().Add(look)
		if end.Before(next) {
			next = end
		}
		if len(w.undo) > 0 && w.undo[0].at.Before(next) {
			next = w.undo[0].at
		}
		<-time.After(time.Until(next))
		synctest.Wait()
		w.check()
		for len(w.undo) > 0 && !w.undo[0].at.After(time.Now()) {
			w.undo[0].do()
			w.undo = w.undo[1:]
		}
		if w.backend.fenced.Load() { // it is elected again
			w.say("%s was fenced off", w.backend.name)
			w.backend.crash()
			w.startBackend()
		}
		if time.Since(w.copied) >= time.Second {
			w.copies, w.copied = append(w.copies, w.server.copies()), time.Now()
		}
		if !time.Now().Before(end) {
			return
		}
	}
}

// after does something later.
func (w *world) after(d time.Duration, do func()) {
	w.undo = append(w.undo, undo{time.Now().Add(d), do})
	slices.SortStableFunc(w.undo, func(a, b undo) int { return a.at.Compare(b.at) })
}

// settle ends all faults, and waits until all nodes hold the truth (S6).
func (w *world) settle() {
	for len(w.undo) > 0 && w.result.Broken == "" {
		w.wait(time.Until(w.undo[0].at))
	}
	began := time.Now()
	for w.result.Broken == "" {
		why := w.apart()
		if why == "" {
			w.result.Settled = time.Since(began)
			return
		}
		if time.Since(began) > settling {
			w.broken("S6: not within %s: %s", settling, why)
		}
		w.wait(look)
	}
}

func (w *world) broken(format string, args ...any) {
	if w.result.Broken == "" {
		w.result.Broken = fmt.Sprintf(format, args...)
		w.say("BROKEN %s", w.result.Broken)
	}
}

// apart says what keeps a node from holding the truth; empty if nothing does.
func (w *world) apart() string {
	for _, m := range w.members {
		r := m.follower.Replica()
		if r == nil || m.follower.Degraded() != "" {
			return m.name + " is not ready: " + m.follower.Degraded()
		}
		if r.Index() == nil {
			return m.name + " has no timetable"
		}
		if at, proved := r.AsOf(); !proved || time.Since(at) > time.Second-min(m.skew, 0) { // a node whose clock is behind claims no more
			return fmt.Sprintf("%s proves %v, %s ago", m.name, proved, time.Since(at))
		}
		for _, id := range w.truth.ids {
			run, want := r.Run(id), w.truth.last(id)
			switch {
			case run == nil:
				return fmt.Sprintf("%s lacks %s", m.name, id)
			case run.Sheet().Version() != want.version || run.Health() != 0:
				return fmt.Sprintf("%s has %s at %s, %s; want %s", m.name, id, run.Sheet().Version(), run.Health(), want.version)
			case r.Day(id.Date) == nil || !r.Day(id.Date).Complete():
				return fmt.Sprintf("%s says that %s is not complete", m.name, id.Date)
			}
		}
	}
	return ""
}

// Minimal is a smaller plan that breaks the same rule: acts are left away as long as that does not change it. run runs a plan.
func Minimal(p *Plan, run func(*Plan) *Result) *Plan {
	rule := func(p *Plan) string { text, _, _ := strings.Cut(run(p).Broken, ":"); return text }
	want := rule(p)
	for size := len(p.Acts) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(p.Acts); {
			if q := p.without(from, from+size); rule(q) == want {
				p = q
			} else {
				from += size
			}
		}
	}
	return p
}
