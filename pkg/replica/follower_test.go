package replica_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// line is a publisher and a follower on one real server.
type line struct {
	t         *testing.T
	ctx       context.Context
	server    *testkit.Host
	ledger    *testkit.Ledger
	gate      *testkit.Gate // before it
	publisher *feed.Publisher
	follower  *replica.Follower
	retire    context.CancelFunc // of the publisher's duties; it can still publish
	stop      context.CancelFunc // of the follower
	runs      []rail.RunID
	limits    replica.Limits

	mu     sync.Mutex // guards faults
	faults []replica.Fault
}

func newLine(t *testing.T, runs int) *line { return newLineOn(t, testkit.Broker(t), runs) }

func newLineOn(t *testing.T, server *testkit.Host, runs int) *line {
	p := testkit.Pattern("G1", 600)
	l := &line{t: t, server: server, ledger: testkit.NewLedger(p)}
	l.gate = testkit.NewGate(l.ledger)
	ctx, cancel := context.WithCancel(context.Background())
	l.ctx = ctx
	t.Cleanup(cancel)
	l.publish(p, feed.PublisherOptions{DigestEvery: 200 * time.Millisecond})
	var opening []feed.Change
	for i := range runs {
		l.runs = append(l.runs, rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: rail.TripID(fmt.Sprint("G", i))})
		opening = append(opening, l.ledger.Open(l.runs[i], 1))
	}
	l.send(opening...)
	return l
}

// publish starts a publisher with its standing duties.
func (l *line) publish(p *timetable.Pattern, o feed.PublisherOptions) {
	l.t.Helper()
	publisher, err := feed.NewPublisher(l.ctx, testkit.Conn(l.t, l.server), l.gate, o)
	if err == nil {
		err = errors.Join(publisher.Network(l.ctx, testkit.Network()), publisher.Patterns(l.ctx, []*timetable.Pattern{p}))
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.publisher = publisher
	l.serve()
}

// serve lets the publisher do its standing duties.
func (l *line) serve() {
	ctx, retire := context.WithCancel(l.ctx)
	publisher := l.publisher
	l.retire = retire
	go func() { _ = publisher.Serve(ctx) }()
}

func (l *line) send(changes ...feed.Change) {
	l.t.Helper()
	now := time.Now()
	if err := l.publisher.Publish(l.ctx, changes); err != nil {
		l.t.Fatal(err)
	}
	l.publisher.Complete(now)
}

func (l *line) follow(between func(feed.Sink) feed.Sink) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.stop = cancel
	l.follower = replica.NewFollower(testkit.Conn(l.t, l.server), replica.Options{Between: between, Limits: l.limits, OnFault: func(f replica.Fault) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.faults = append(l.faults, f)
	}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.follower.Run(ctx)
	}()
	l.t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-l.follower.Ready():
	case <-time.After(testkit.Patience):
		l.t.Fatalf("not ready: %+v, %v", l.follower.Progress(), l.said())
	}
}

func (l *line) said() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		all = append(all, fmt.Sprintf("%s %s %s %d: %v", f.Kind, f.Run, f.Where.Subject, f.Where.Sequence, f.Err))
	}
	return all
}

// exact reports whether the follower shows the truth of every run and says that it is live.
func (l *line) exact() bool {
	r := l.follower.Replica()
	for _, id := range l.runs {
		version, sold := l.ledger.Sold(id)
		run := r.Run(id)
		if run == nil || run.Health() != replica.Live || run.Sheet().Version() != version || run.Sheet().Counts.Counts(nil, 0, 2)[0] != testkit.Full-sold {
			return false
		}
	}
	return true
}

func (l *line) converges() {
	l.t.Helper()
	testkit.Eventually(l.t, "every run exact and live", l.exact)
	l.balanced()
}

// balanced is R5.
func (l *line) balanced() {
	l.t.Helper()
	if s := l.follower.Replica().Stats(); s.Received != s.Applied+s.Duplicate+s.Held+s.Broken {
		l.t.Errorf("R5 does not hold: %+v", s)
	}
}

// trade makes random changes.
func (l *line) trade(r *rand.Rand, n int) {
	l.t.Helper()
	var changes []feed.Change
	for range n {
		run := l.runs[r.IntN(len(l.runs))]
		_, sold := l.ledger.Sold(run)
		switch by := rail.SeatCount(r.IntN(7) - 3); {
		case r.IntN(50) == 0:
			changes = append(changes, l.ledger.Suspend(run, r.IntN(2) == 0))
		case sold+by >= 0 && sold+by <= testkit.Full:
			changes = append(changes, l.ledger.Sell(run, by))
		}
		if len(changes) > 20 {
			l.send(changes...)
			changes = nil
		}
	}
	l.send(changes...)
}

// R6: everything that was published before is there when the follower is ready.
func TestReadyMeansComplete(t *testing.T) {
	l := newLine(t, 500)
	l.trade(rand.New(rand.NewPCG(1, 1)), 5000)
	l.follow(nil)
	if !l.exact() {
		t.Error("ready, but not exact")
	}
	l.balanced()
}

// R7: AsOf follows the publisher, and stands still with it.
func TestAgeFollowsThePublisher(t *testing.T) {
	l := newLine(t, 10)
	l.follow(nil)
	for range 3 {
		l.proves()
	}
	// P5: a change that is committed but not yet handed over holds the time back.
	committed := l.ledger.Sell(l.runs[0], 1)
	before, _ := l.follower.Replica().AsOf()
	testkit.Eventually(t, "age grows", func() bool {
		age, _ := l.follower.Replica().Age(time.Now())
		return age > time.Second
	})
	if after, _ := l.follower.Replica().AsOf(); after.After(before.Add(time.Second)) {
		t.Errorf("AsOf went on from %s to %s", before, after)
	}
	l.send(committed)
	l.converges()
}

// R2, R3, R10: whatever delivery does, in the end every run is exact. Losses at the end are found by digests alone.
func TestBadDelivery(t *testing.T) {
	l := newLine(t, 50)
	r := rand.New(rand.NewPCG(2, 2))
	l.follow(testkit.Disturb(3))
	for range 20 {
		l.trade(r, 200)
	}
	l.converges()
	if s := l.follower.Replica().Stats(); s.Gaps == 0 || s.Repaired == 0 || s.Duplicate == 0 || s.Differing == 0 {
		t.Errorf("nothing went wrong, so nothing was shown: %+v", s)
	}
}

// R9: a stream that is deleted and made anew is noticed, everything is published again, and a shadow is loaded and swapped in.
func TestStreamRecreated(t *testing.T) {
	for _, stream := range []string{"YUPIAO_DELTA", "YUPIAO_STATE", "YUPIAO_REFERENCE"} {
		t.Run(stream, func(t *testing.T) {
			l := newLine(t, 50)
			r := rand.New(rand.NewPCG(4, 4))
			l.trade(r, 500)
			l.follow(nil)
			before := l.follower.Replica()
			if _, err := testkit.Plain(t, l.server).Request("$JS.API.STREAM.DELETE."+stream, nil, testkit.Patience); err != nil {
				t.Fatal(err)
			}
			testkit.Eventually(t, "a reload", func() bool {
				if l.follower.Replica() == before && len(l.follower.Replica().Dates()) == 0 {
					t.Fatal("the old replica no longer answers")
				}
				return l.follower.Reloads() > 0
			})
			if runs := l.follower.Replica().Stats().Runs; runs != 50 {
				t.Errorf("a shadow of %d runs was swapped in: the streams were still being filled", runs)
			}
			l.trade(r, 500)
			l.converges()
			if l.publisher.Stats().Republished == 0 {
				t.Error("P6: nothing was published again")
			}
		})
	}
}

// loaded tells of every replica that has been loaded whole.
type loaded struct {
	feed.Sink
	loads *atomic.Int64
}

func (s loaded) Loaded(end uint64, created map[string]time.Time) {
	s.Sink.Loaded(end, created)
	s.loads.Add(1)
}

// R9: a shadow that was read from streams made anew is loaded, but empty. It answers no query before a heartbeat proves that it is whole.
func TestShadowWaitsForProof(t *testing.T) {
	l := newLine(t, 50)
	var loads atomic.Int64
	l.follow(func(s feed.Sink) feed.Sink { return loaded{s, &loads} })
	l.proves()
	l.retire()
	p := testkit.Plain(t, l.server)
	for _, stream := range []string{"YUPIAO_STATE", "YUPIAO_DELTA"} {
		if _, err := p.Request("$JS.API.STREAM.DELETE."+stream, nil, testkit.Patience); err != nil {
			t.Fatal(err)
		}
	}
	l.publish(testkit.Pattern("G1", 600), feed.PublisherOptions{}) // makes the streams; nothing is complete yet, so nothing is proved
	stranger := event.Heartbeat{Time: time.Now(), Publisher: "a stranger", Created: l.births()}
	data, err := event.EncodeHeartbeat(&stranger, event.Protobuf)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the shadow to be loaded", func() bool {
		if err := p.Publish("yupiao.v1.heartbeat", data); err != nil {
			t.Fatal(err)
		}
		return loads.Load() > 1
	})
	opening := make([]feed.Change, 0, len(l.runs))
	for _, run := range l.runs {
		opening = append(opening, l.ledger.Open(run, 2))
	}
	if err := l.publisher.Publish(l.ctx, opening); err != nil {
		t.Fatal(err)
	}
	if l.follower.Reloads() != 0 {
		t.Error("the shadow was swapped in before it was proved")
	}
	l.publisher.Complete(time.Now())
	testkit.Eventually(t, "the shadow to be swapped in", func() bool { return l.follower.Reloads() > 0 })
	l.converges()
}

// births are when the streams were made that there are.
func (l *line) births() map[string]time.Time {
	l.t.Helper()
	out := map[string]time.Time{}
	for _, name := range []string{"YUPIAO_REFERENCE", "YUPIAO_STATE", feed.DeltaStream} {
		sight, err := testkit.Conn(l.t, l.server).Look(l.ctx, name)
		if err != nil {
			l.t.Fatal(err)
		}
		out[name] = sight.Created
	}
	return out
}

// R9: a stream that fell back is loaded once, when all is there again, and not before: in vain, and in the way of those who fill it.
func TestShadowWaitsForTheStream(t *testing.T) {
	l := newLine(t, 50)
	var loads atomic.Int64
	l.follow(func(s feed.Sink) feed.Sink { return loaded{s, &loads} })
	l.converges()
	l.proves()
	l.gate.Shut()
	if _, err := testkit.Plain(t, l.server).Request("$JS.API.STREAM.DELETE.YUPIAO_STATE", nil, testkit.Patience); err != nil {
		t.Fatal(err)
	}
	<-l.gate.Asked // whoever fills it again waits
	testkit.Eventually(t, "the node to notice", func() bool { return l.follower.Degraded() != "" })
	end := l.publisher.Stats().Digests + 10
	testkit.Eventually(t, "some rounds of digests", func() bool { return l.publisher.Stats().Digests >= end })
	l.gate.Release()
	testkit.Eventually(t, "a reload", func() bool { return l.follower.Reloads() > 0 })
	l.converges()
	if n := loads.Load(); n != 2 {
		t.Errorf("it was loaded %d times; want twice, at first and when all was there again", n)
	}
}

// R9: a server that comes back with an older copy of its files.
func TestStreamRolledBack(t *testing.T) {
	l := newLine(t, 50)
	r := rand.New(rand.NewPCG(5, 5))
	l.trade(r, 300)
	l.follow(nil)
	l.converges()
	older := filepath.Join(t.TempDir(), "older")
	l.server.Stop()
	copyTree(t, l.server.Dir, older)
	l.server.Start()
	l.trade(r, 300)
	l.converges()
	l.server.Stop()
	l.server.Dir = older
	l.server.Start()
	l.trade(r, 300)
	l.converges()
	t.Cleanup(func() { t.Logf("%+v %v reloads %d", l.publisher.Stats(), l.said(), l.follower.Reloads()) })
	testkit.Eventually(t, "the rollback to be noticed", func() bool {
		return l.follower.Reloads() > 0 && strings.Contains(strings.Join(l.said(), "\n"), "diverged")
	})
	l.converges()
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A follower that is killed and one that starts anew see the same; a publisher that starts anew with a higher epoch is believed.
func TestRestarts(t *testing.T) {
	l := newLine(t, 50)
	r := rand.New(rand.NewPCG(6, 6))
	l.follow(nil)
	for epoch := uint64(2); epoch < 5; epoch++ {
		l.trade(r, 200)
		l.stop()
		l.trade(r, 200)
		l.follow(nil)
		l.converges()
		l.publish(testkit.Pattern("G1", 600), feed.PublisherOptions{}) // fences the former one off
		var opening []feed.Change
		for _, run := range l.runs {
			opening = append(opening, l.ledger.Open(run, epoch))
		}
		l.send(opening...)
		l.converges()
	}
}

// P3: of two publishers the later is in charge; the earlier is told so, its changes go nowhere and its heartbeats prove nothing.
func TestFencing(t *testing.T) {
	l := newLine(t, 10)
	l.follow(nil)
	old := l.publisher
	l.publish(testkit.Pattern("G1", 600), feed.PublisherOptions{DigestEvery: time.Hour})
	lost := l.ledger.Sell(l.runs[0], 5)
	if err := old.Publish(l.ctx, []feed.Change{lost}); !errors.Is(err, feed.ErrFenced) {
		t.Fatalf("the fenced publisher got %v", err)
	}
	if err := old.Publish(l.ctx, nil); !errors.Is(err, feed.ErrFenced) {
		t.Errorf("and then %v", err)
	}
	if got, _ := l.ledger.Sold(l.runs[0]); l.follower.Replica().Run(l.runs[0]).Sheet().Version() == got {
		t.Error("the fenced publisher's change was taken")
	}
	l.send(lost)
	l.converges()
}
