package feed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// line is a publisher on a real server, and a plain connection beside it.
type line struct {
	t         *testing.T
	server    *testkit.Host
	plain     *nats.Conn
	js        jetstream.JetStream
	pattern   *timetable.Pattern
	ledger    *testkit.Ledger
	publisher *feed.Publisher
	run       rail.RunID
}

func newLine(t *testing.T, o feed.PublisherOptions) *line {
	t.Helper()
	ledger := testkit.NewLedger(testkit.Pattern("G1", 600))
	return newLineOf(t, o, ledger, ledger)
}

func newLineOf(t *testing.T, o feed.PublisherOptions, ledger *testkit.Ledger, authority feed.Authority) *line {
	t.Helper()
	l := &line{t: t, server: testkit.Broker(t), pattern: testkit.Pattern("G1", 600), ledger: ledger}
	l.plain = testkit.Plain(t, l.server)
	js, err := jetstream.New(l.plain)
	l.must(err)
	l.js = js
	l.publisher, err = feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), authority, o)
	l.must(err)
	l.must(l.publisher.Network(t.Context(), testkit.Network()))
	l.must(l.publisher.Patterns(t.Context(), []*timetable.Pattern{l.pattern}))
	l.run = rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: "G1"}
	return l
}

func (l *line) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) serve() {
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.publisher.Serve(ctx)
	}()
	l.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// deltas reads the delta stream back: every delta of the run, in the order of the stream.
func (l *line) deltas() (out []event.RunDelta) {
	l.t.Helper()
	stream, err := l.js.Stream(l.t.Context(), "YUPIAO_DELTA")
	l.must(err)
	for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(l.t.Context(), seq)
		l.must(err)
		batch, faults, err := new(event.Decoder).Deltas(m.Data, event.Protobuf)
		l.must(errors.Join(append(faults, err)...))
		if batch.Publisher != l.publisher.Name() {
			l.t.Errorf("a batch of %q", batch.Publisher)
		}
		out = append(out, batch.Deltas...)
	}
	return out
}

// state reads the run's last state back.
func (l *line) state() (*event.RunState, nats.Header) {
	l.t.Helper()
	stream, err := l.js.Stream(l.t.Context(), "YUPIAO_STATE")
	l.must(err)
	m, err := stream.GetLastMsgForSubject(l.t.Context(), "yupiao.v1.state."+l.run.String())
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	l.must(err)
	s, err := new(event.Decoder).State(m.Data, event.Protobuf)
	l.must(err)
	return s, m.Header
}

// P1, P4: deltas lie in the stream in order of Revision; a restated one with the state of its Version; the state goes some time after arrival.
func TestOrder(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{BatchSize: 3})
	changes := []feed.Change{l.ledger.Open(l.run, 1)}
	for range 10 {
		changes = append(changes, l.ledger.Sell(l.run, 1))
	}
	changes = append(changes, l.ledger.Suspend(l.run, true), l.ledger.Sell(l.run, -1))
	l.must(l.publisher.Publish(t.Context(), changes))
	got := l.deltas()
	if len(got) != 13 {
		t.Fatalf("%d deltas", len(got))
	}
	for i, d := range got {
		if d.Version != (rail.Version{Epoch: 1, Revision: uint64(i + 1)}) || d.Restated != (i == 0 || i == 11) {
			t.Errorf("delta %d is %s, restated %t", i, d.Version, d.Restated)
		}
	}
	s, header := l.state()
	if s.Version.Revision != 12 || !s.Suspended {
		t.Errorf("the state is %s, suspended %t", s.Version, s.Suspended)
	}
	ttl, err := time.ParseDuration(header.Get("Nats-TTL"))
	if arrival := l.run.Date.At(l.pattern.Arrival(), time.FixedZone("", 8*3600)); err != nil || (ttl-time.Until(arrival)-24*time.Hour).Abs() > time.Minute {
		t.Errorf("the state lives %s (%v)", ttl, err)
	}
}

// P2: a publisher that goes on from another's work answers for its versions, and publishes their states again although it published none of them.
func TestResume(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Sell(l.run, 1)}))
	next, err := feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), l.ledger, feed.PublisherOptions{HealEvery: time.Second, DigestEvery: 10 * time.Millisecond})
	l.must(err)
	l.must(next.Network(t.Context(), testkit.Network()))
	l.must(next.Patterns(t.Context(), []*timetable.Pattern{l.pattern}))
	version, _ := l.ledger.Sold(l.run)
	next.Resume([]event.RunVersion{{Run: l.run, Version: version}})
	l.publisher = next
	l.serve()
	testkit.Eventually(t, "the state of what another published", func() bool {
		s, _ := l.state()
		return s.Version == version
	})
	testkit.Eventually(t, "a digest of it", func() bool { return next.Stats().Digests > 0 })
	if n, err := next.Republish(t.Context(), l.run.Date); n != 1 || err != nil {
		t.Errorf("republished %d runs, %v", n, err)
	}
	if n, err := next.Republish(t.Context(), l.run.Date+1); n != 0 || err != nil {
		t.Errorf("republished %d runs of a day without any, %v", n, err)
	}
}

// P6: a publisher that goes on with another's bookmark notices that the stream was lost in between, and publishes everything again before its first heartbeat.
func TestBookmark(t *testing.T) {
	for name, lose := range map[string]func(*line){
		"kept": func(*line) {},
		"recreated": func(l *line) {
			l.must(l.js.DeleteStream(t.Context(), "YUPIAO_DELTA"))
		},
		"rolled back": func(l *line) {
			l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE")) // the copy is older than the state, too
			l.server.Stop()
			l.must(os.RemoveAll(l.server.Dir))
			l.must(os.CopyFS(l.server.Dir, os.DirFS(l.server.Dir+".older")))
			l.server.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, feed.PublisherOptions{})
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
			l.server.Stop()
			l.must(os.CopyFS(l.server.Dir+".older", os.DirFS(l.server.Dir)))
			l.server.Start()
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 1)}))
			bookmark := l.publisher.Bookmark()
			lose(l)
			version, _ := l.ledger.Sold(l.run)
			next, err := feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), l.ledger,
				feed.PublisherOptions{Bookmark: bookmark, HealEvery: time.Hour, HeartbeatEvery: 10 * time.Millisecond})
			l.must(err)
			l.must(next.Network(t.Context(), testkit.Network()))
			l.must(next.Patterns(t.Context(), []*timetable.Pattern{l.pattern}))
			next.Resume([]event.RunVersion{{Run: l.run, Version: version}})
			next.Complete(time.Now())
			heard, err := l.plain.SubscribeSync("yupiao.v1.heartbeat")
			l.must(err)
			l.must(l.plain.Flush())
			l.publisher = next
			l.serve()
			if _, err := heard.NextMsg(testkit.Patience); err != nil {
				t.Fatal(err)
			}
			if s, _ := l.state(); (name != "kept") != (s.Version == version) {
				t.Errorf("after the first heartbeat the state is of %s; the run is at %s", s.Version, version)
			}
		})
	}
}

// P6: a stream that fell back far is as good as any when everything was published again, though it is not nearly as long as it was: heartbeats go on, while changes do.
func TestLongStreamFallsBack(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	bookmark := l.publisher.Bookmark()
	mark := bookmark[feed.DeltaStream]
	mark.Last = 1 << 40
	bookmark[feed.DeltaStream] = mark
	next, err := feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), l.ledger, feed.PublisherOptions{Bookmark: bookmark, HealEvery: time.Hour})
	l.must(err)
	l.must(next.Network(t.Context(), testkit.Network()))
	l.must(next.Patterns(t.Context(), []*timetable.Pattern{l.pattern}))
	next.Complete(time.Now())
	heard := make(chan *nats.Msg, 1000)
	_, err = l.plain.ChanSubscribe("yupiao.v1.heartbeat", heard)
	l.must(err)
	l.must(l.plain.Flush())
	l.publisher = next
	l.serve()
	testkit.Eventually(t, "a heartbeat", func() bool {
		l.must(next.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 1)}))
		return len(heard) > 0
	})
	if b := next.Bookmark()[feed.DeltaStream]; b.Owed || b.History == 0 {
		t.Errorf("the bookmark says %+v", b)
	}
}

// P6: a train that left its origin yesterday is on its way, and on sale at its later stops: its state, too, comes back after its stream was lost, however many digests have left its day out.
func TestYesterdaysRunsAreFilledAgain(t *testing.T) {
	overnight := testkit.Pattern("Z1", rail.Day-10)
	ledger := testkit.NewLedger(overnight)
	l := newLineOf(t, feed.PublisherOptions{DigestEvery: 10 * time.Millisecond, HealEvery: time.Hour}, ledger, ledger)
	l.must(l.publisher.Patterns(t.Context(), []*timetable.Pattern{overnight}))
	location, err := time.LoadLocation(testkit.Network().Timezone)
	l.must(err)
	l.run = rail.RunID{Date: rail.DateOf(time.Now(), location) - 1, Trip: "Z1"}
	today := rail.RunID{Date: l.run.Date + 1, Trip: "Z1"}
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Open(today, 1)}))
	l.serve()
	testkit.Eventually(t, "digests", func() bool { return l.publisher.Stats().Digests >= 20 })
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
	testkit.Eventually(t, "everything to be published again", func() bool { return l.publisher.Bookmark()[feed.DeltaStream].History > 0 })
	if s, _ := l.state(); s == nil {
		t.Errorf("the state of %s has not come back", l.run)
	}
}

// patient is a link that notes how long publishing everything again may take.
type patient struct {
	*feed.Conn
	bounded chan bool
}

func (p patient) Ensure(ctx context.Context, l feed.Limits) error {
	_, bounded := ctx.Deadline()
	p.bounded <- bounded
	return p.Conn.Ensure(ctx, l)
}

// P6: publishing everything again has no end but its own: with one, a country that is large, or an authority that is slow, would begin anew each time, and prove nothing for ever.
func TestRepublishTakesItsTime(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	link := patient{testkit.Conn(t, l.server), make(chan bool, 100)}
	mark := l.publisher.Bookmark()
	mark[feed.DeltaStream] = feed.StreamMark{Created: mark[feed.DeltaStream].Created, Owed: true}
	next, err := feed.NewPublisher(t.Context(), link, l.ledger, feed.PublisherOptions{Bookmark: mark})
	l.must(err)
	<-link.bounded // of the beginning
	l.publisher = next
	l.serve()
	if <-link.bounded {
		t.Error("publishing everything again is bounded by a time")
	}
}

// P2: a state follows every StateEvery deltas, and long before a delta that it does not cover leaves the stream.
func TestStatesFollow(t *testing.T) {
	for name, o := range map[string]feed.PublisherOptions{"by number": {StateEvery: 5}, "by age": {Limits: feed.Limits{DeltaAge: 2 * time.Second}, DigestEvery: time.Hour, HealEvery: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, o)
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
			l.serve()
			for range 6 {
				l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 1)}))
			}
			testkit.Eventually(t, "a state of the last version", func() bool {
				s, _ := l.state()
				return s.Version.Revision == 7
			})
		})
	}
}

// A run that is long over is left out whole: its state would expire at once, and its delta alone would be a riddle.
func TestRunThatIsOver(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	l.run.Date -= 10
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	if s, _ := l.state(); s != nil || len(l.deltas()) != 0 {
		t.Errorf("published: %v, %v", s, l.deltas())
	}
}

// A state whose pattern was not published is refused: no node could show it.
func TestPatternComesFirst(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	ledger := testkit.NewLedger(testkit.Pattern("G2", 700))
	if err := l.publisher.Publish(t.Context(), []feed.Change{ledger.Open(l.run, 1)}); err == nil || !strings.Contains(err.Error(), "must be published first") {
		t.Errorf("got %v", err)
	}
}

// P5: no heartbeat before the backend has said how far it is complete; then that time, the marks of what was acknowledged, and no time that goes back.
func TestHeartbeats(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{HeartbeatEvery: 10 * time.Millisecond})
	heard := make(chan *nats.Msg, 1000)
	_, err := l.plain.ChanSubscribe("yupiao.v1.heartbeat", heard)
	l.must(err)
	l.must(l.plain.Flush())
	l.serve()
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	stream, err := l.js.Stream(t.Context(), "YUPIAO_DELTA")
	l.must(err)
	if len(heard) > 0 {
		t.Error("a heartbeat before Complete")
	}
	at := time.Now().Truncate(time.Microsecond)
	l.publisher.Complete(at)
	l.publisher.Complete(at.Add(-time.Hour))
	m := <-heard
	h, err := event.DecodeHeartbeat(m.Data, event.Protobuf)
	l.must(err)
	if !h.Time.Equal(at) || len(h.Marks) != rail.Partitions || h.Publisher != l.publisher.Name() || !h.Created["YUPIAO_DELTA"].Equal(stream.CachedInfo().Created) {
		t.Errorf("%+v", h)
	}
	last := stream.CachedInfo().State.LastSeq
	if i := slices.IndexFunc(h.Marks, func(m event.Mark) bool { return m.Partition == l.run.Partition() }); h.Marks[i].Sequence != last {
		t.Errorf("the run's partition is marked %d; its last message is %d", h.Marks[i].Sequence, last)
	}
}

// gated is an authority that, once shut, lets nobody have a state before it is opened.
type gated struct {
	*testkit.Ledger
	shut  atomic.Bool
	asked chan struct{} // gets a value when somebody waits
	open  chan struct{} // closed to let them go on
}

func (g *gated) State(run rail.RunID) (event.RunState, bool) {
	if g.shut.Load() {
		g.asked <- struct{}{}
		<-g.open
	}
	return g.Ledger.State(run)
}

// P6: a stream that vanished is filled again with every run, changed since or not. There is no heartbeat meanwhile; later ones tell of the new
// stream, and later batches that everything was published again.
func TestStreamIsFilledAgain(t *testing.T) {
	authority := &gated{Ledger: testkit.NewLedger(testkit.Pattern("G1", 600)), asked: make(chan struct{}, 1), open: make(chan struct{})}
	const round = 10 * time.Millisecond
	l := newLineOf(t, feed.PublisherOptions{HeartbeatEvery: round, DigestEvery: round, HealEvery: time.Hour}, authority.Ledger, authority)
	heard := make(chan *nats.Msg, 1000)
	_, err := l.plain.ChanSubscribe("yupiao.v1.heartbeat", heard)
	l.must(err)
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	l.publisher.Complete(time.Now())
	l.serve()
	<-heard
	authority.shut.Store(true)
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
	<-authority.asked
	digests := func(more uint64) {
		end := l.publisher.Stats().Digests + more
		testkit.Eventually(t, "digests", func() bool { return l.publisher.Stats().Digests >= end })
		l.must(l.plain.Flush())
	}
	digests(2) // a heartbeat that was on its way has arrived
	for len(heard) > 0 {
		<-heard
	}
	if digests(20); len(heard) > 0 {
		t.Errorf("%d heartbeats before everything was published again", len(heard))
	}
	authority.shut.Store(false)
	close(authority.open)
	m := <-heard
	h, err := event.DecodeHeartbeat(m.Data, event.Protobuf)
	l.must(err)
	stream, err := l.js.Stream(t.Context(), "YUPIAO_STATE")
	l.must(err)
	if s, _ := l.state(); s == nil || !h.Created["YUPIAO_STATE"].Equal(stream.CachedInfo().Created) {
		t.Errorf("a heartbeat %+v with the state %+v", h, s)
	}
	if h.History != 1 {
		t.Errorf("a heartbeat of history %d", h.History)
	}
	l.histories(1, l.publisher.Name())
	bookmark := l.publisher.Bookmark()
	if b := bookmark[feed.DeltaStream]; b.History != 1 || b.Owed {
		t.Errorf("the bookmark says %+v", b)
	}
	next, err := feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), l.ledger, feed.PublisherOptions{Bookmark: bookmark}) // it finds the history in the stream
	l.must(err)
	l.histories(1, next.Name())
	if next.Bookmark()[feed.DeltaStream].Owed {
		t.Error("a publisher that knows the history owes something")
	}
	former := bookmark[feed.DeltaStream]
	former.History = 0 // somebody has published everything again since, who may not have known all
	bookmark[feed.DeltaStream] = former
	later, err := feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), l.ledger, feed.PublisherOptions{Bookmark: bookmark})
	l.must(err)
	if !later.Bookmark()[feed.DeltaStream].Owed {
		t.Error("a history above the bookmark's is no debt")
	}
	bookmark[feed.DeltaStream] = feed.StreamMark{Created: bookmark[feed.DeltaStream].Created, History: 5, Owed: true}
	last, err := feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), l.ledger, feed.PublisherOptions{Bookmark: bookmark})
	l.must(err)
	l.publisher = last
	l.serve()
	testkit.Eventually(t, "the debt of the one before to be paid", func() bool {
		return last.Bookmark()[feed.DeltaStream].History == 6 && !last.Bookmark()[feed.DeltaStream].Owed
	})
	l.histories(6, last.Name())
}

// histories holds the last batch of every partition to a history, and its publisher's name.
func (l *line) histories(want uint64, publisher string) {
	l.t.Helper()
	delta, err := l.js.Stream(l.t.Context(), "YUPIAO_DELTA")
	l.must(err)
	for p := range rail.Partitions {
		last, err := delta.GetLastMsgForSubject(l.t.Context(), fmt.Sprint("yupiao.v1.delta.", p))
		l.must(err)
		if batch, _, err := new(event.Decoder).Deltas(last.Data, event.Protobuf); err != nil || batch.History != want || batch.Publisher != publisher {
			l.t.Errorf("partition %d: a batch of %s with history %d, %v; want %d", p, batch.Publisher, batch.History, err, want)
		}
	}
}

// Requests of nodes: a known run is published again, an unknown one refused, nonsense not answered.
func TestRequests(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Sell(l.run, 4)}))
	l.serve()
	ask := func(run rail.RunID) error {
		data, err := event.EncodeRepairRequest(event.RepairRequest{Run: run})
		l.must(err)
		var reply *nats.Msg
		testkit.Eventually(t, "an answer", func() bool {
			reply, err = l.plain.Request("yupiao.v1.repair", data, time.Second)
			return err == nil
		})
		refusal, err := event.DecodeRepairReply(reply.Data, event.Protobuf)
		l.must(err)
		return refusal
	}
	if refusal := ask(l.run); refusal != nil {
		t.Error(refusal)
	}
	if s, _ := l.state(); s.Version.Revision != 2 {
		t.Errorf("after a repair the state is %s", s.Version)
	}
	if refusal := ask(rail.RunID{Date: l.run.Date, Trip: "G99"}); !errors.Is(refusal, event.ErrGone) || !strings.Contains(refusal.Error(), "G99 is not known") {
		t.Error(refusal)
	}
	for _, subject := range []string{"yupiao.v1.repair", "yupiao.v1.versions"} {
		if _, err := l.plain.Request(subject, []byte("\xff"), 50*time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("nonsense on %s: %v", subject, err)
		}
	}
	data, err := event.EncodeVersionsRequest(event.VersionsRequest{Partition: l.run.Partition(), Date: l.run.Date})
	l.must(err)
	reply, err := l.plain.Request("yupiao.v1.versions", data, testkit.Patience)
	l.must(err)
	list, err := event.DecodeVersions(reply.Data, event.Protobuf)
	if want := (rail.Version{Epoch: 1, Revision: 2}); err != nil || len(list.Runs) != 1 || list.Through == 0 || list.Runs[0] != (event.RunVersion{Run: l.run, Version: want, Present: want}) {
		t.Errorf("%+v %v", list, err)
	}
}

// recorder is a sink that keeps what it is given.
type recorder struct {
	mu     sync.Mutex // guards what follows
	broken []string
	states []rail.RunID
	deltas int
	loaded bool
}

func (r *recorder) note(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

func (r *recorder) Network(*timetable.Network) {}
func (r *recorder) Pattern(*timetable.Pattern) {}
func (r *recorder) State(_ rail.Partition, s *event.RunState) {
	r.note(func() { r.states = append(r.states, s.Run) })
}
func (r *recorder) Deltas(_ rail.Partition, b *event.DeltaBatch, _ uint64) {
	r.note(func() { r.deltas += len(b.Deltas) })
}
func (r *recorder) Versions(rail.Partition, rail.Date, *event.Versions) {}
func (r *recorder) Broken(_ rail.Partition, events int, where feed.Position, err error) {
	r.note(func() {
		r.broken = append(r.broken, fmt.Sprintf("%d on %s at %d: %v", events, where.Subject, where.Sequence, err))
	})
}
func (r *recorder) Spoiled(p rail.Partition, _ rail.RunID, where feed.Position, err error) {
	r.Broken(p, 1, where, err)
}
func (r *recorder) Gone(rail.Partition, rail.RunID)     {}
func (r *recorder) Tick(rail.Partition, uint64)         {}
func (r *recorder) Heartbeat(*event.Heartbeat) error    { return nil }
func (r *recorder) Loaded(uint64, map[string]time.Time) { r.note(func() { r.loaded = true }) }

// read runs a reader until the test ends; the error that ended it before is in the channel.
func (l *line) read(sink feed.Sink) <-chan error {
	ctx, cancel := context.WithCancel(l.t.Context())
	ended, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		ended <- feed.NewReader(testkit.Conn(l.t, l.server), sink).Run(ctx)
	}()
	l.t.Cleanup(func() {
		cancel()
		<-done
	})
	return ended
}

// Broken messages are set aside one by one, with their subject and sequence; the good ones around them arrive.
func TestBrokenMessages(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	send := func(subject, data, contentType string) {
		t.Helper()
		m := nats.NewMsg(subject)
		m.Data = []byte(data)
		if contentType != "" {
			m.Header.Set("Content-Type", contentType)
		}
		if _, err := l.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(subject, err)
		}
	}
	day := l.run.Date.Compact()
	send("yupiao.v1.state."+day+".B1", "\xff\xff", "")
	send("yupiao.v1.state."+day+".B2", `{"run":"`+day+`.G7","pattern":"p","version":{"revision":"1"}}`, "application/json")
	send("yupiao.v1.state.tomorrow.B3", "x", "")
	send("yupiao.v1.state."+day+".B4", `{"run":"`+day+`.B4","pattern":"p","version":{"revision":"1"}}`, "") // JSON that does not say so
	send("yupiao.v1.state."+day+".B5", "", "")                                                              // a marker of the server
	send("yupiao.v1.network", "{}", "application/json")
	send("yupiao.v1.pattern.p9", `{"id":"p8","stops":[{"station":"A"},{"station":"B"}]}`, "application/json")
	send("yupiao.v1.delta.77", "x", "")
	send("yupiao.v1.delta.3", "\xff", "")
	other := fmt.Sprint((int(l.run.Partition()) + 1) % rail.Partitions)
	send("yupiao.v1.delta."+other, `{"deltas":[{"run":"`+l.run.String()+`","version":{"revision":"2"}}]}`, "application/json")
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Sell(l.run, 1)}))
	r := &recorder{}
	l.read(r)
	testkit.Eventually(t, "the end", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.loaded
	})
	l.must(l.plain.Publish("yupiao.v1.heartbeat", []byte("\xff")))
	testkit.Eventually(t, "the heartbeat", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.broken) == 10
	})
	all := strings.Join(r.broken, "\n")
	for _, want := range []string{
		day + ".B1 at 1: broken message: decode state", day + ".B2 at 2: broken message: state: run " + day + ".G7 does not belong on subject", "tomorrow.B3 at 3: broken message: subject",
		day + ".B4 at 4", "network at 3: broken message: network: invalid timetable: timezone", "id p8 does not belong on subject yupiao.v1.pattern.p9",
		`subject "yupiao.v1.delta.77"; want yupiao.v1.delta.0 to yupiao.v1.delta.15`, "1 on yupiao.v1.delta.3", "belongs to partition " + fmt.Sprint(l.run.Partition()), "1 on yupiao.v1.heartbeat",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %q in:\n%s", want, all)
		}
	}
	if !slices.Equal(r.states, []rail.RunID{l.run}) || r.deltas != 2 {
		t.Errorf("of the good ones came %v and %d deltas", r.states, r.deltas)
	}
}

// A node refuses streams that are not as the contract says, with what is wrong, and changes nothing.
func TestUnfitStreams(t *testing.T) {
	for want, change := range map[string]func(*jetstream.StreamConfig){
		"YUPIAO_STATE: storage is Memory; want file":      func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"YUPIAO_STATE: max_msgs_per_subject is 2; want 1": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 },
		"YUPIAO_STATE: allow_direct is false; want true":  func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"YUPIAO_STATE: max_age is 1h0m0s; want none":      func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"YUPIAO_STATE: nats: API error: code=404":         nil,
	} {
		l := newLine(t, feed.PublisherOptions{})
		stream, err := l.js.Stream(t.Context(), "YUPIAO_STATE")
		l.must(err)
		l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
		cfg := stream.CachedInfo().Config
		if change != nil {
			change(&cfg)
			_, err = l.js.CreateStream(t.Context(), cfg)
			l.must(err)
		}
		if err := <-l.read(&recorder{}); !errors.Is(err, feed.ErrStream) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
		if change == nil {
			continue
		}
		stream, err = l.js.Stream(t.Context(), "YUPIAO_STATE")
		l.must(err)
		if now := stream.CachedInfo().Config; now.Storage != cfg.Storage || now.MaxMsgsPerSubject != cfg.MaxMsgsPerSubject || now.MaxAge != cfg.MaxAge {
			t.Errorf("the stream was changed to %+v", now)
		}
	}
}

func TestConnectToNobody(t *testing.T) {
	if _, err := feed.Connect(feed.Options{URL: "nats://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), `connect to NATS at "nats://127.0.0.1:1"`) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("changes=%d", n), func(b *testing.B) {
			server, pattern := testkit.Broker(b), testkit.Pattern("G1", 600)
			ledger := testkit.NewLedger(pattern)
			p, err := feed.NewPublisher(b.Context(), testkit.Conn(b, server), ledger, feed.PublisherOptions{})
			if err = errors.Join(err, p.Network(b.Context(), testkit.Network()), p.Patterns(b.Context(), []*timetable.Pattern{pattern})); err != nil {
				b.Fatal(err)
			}
			var runs []rail.RunID
			var opening []feed.Change
			for i := range 100 {
				runs = append(runs, rail.RunID{Date: rail.DateOf(time.Now(), time.UTC) + 2, Trip: rail.TripID(fmt.Sprint("G", i))})
				opening = append(opening, ledger.Open(runs[i], 1))
			}
			if err := p.Publish(b.Context(), opening); err != nil {
				b.Fatal(err)
			}
			batch := make([]feed.Change, n)
			for i := 0; b.Loop(); i++ {
				for k := range batch {
					batch[k] = ledger.Sell(runs[(i+k)%len(runs)], rail.SeatCount(1-2*(i%2)))
				}
				if err := p.Publish(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// Who may come to the servers is shown nowhere: not in what is shown of the settings, and not in an error.
func TestRedacted(t *testing.T) {
	for servers, want := range map[string]string{
		"nats://127.0.0.1:4222": "nats://127.0.0.1:4222", "a:4222, b:4222": "a:4222,b:4222", "nats://ann:0011@a:1,tls://0011@b:2": "nats://ann:***@a:1,tls://***@b:2",
		"0011@a:1": "nats://***@a:1", "://0011": "***", "nats://a:0011": "nats://a:0011", "nats://ann:00 11@a": "***",
	} {
		if got := feed.Redacted(servers); got != want {
			t.Errorf("%q is shown as %q; want %q", servers, got, want)
		}
	}
	for _, servers := range []string{"nats://ann:00112233@127.0.0.1:1", "nats://00112233@127.0.0.1:1", "nats://ann:0011 2233@a"} {
		if _, err := feed.Connect(feed.Options{URL: servers}); err == nil || strings.Contains(err.Error(), "2233") {
			t.Errorf("%q: %v", servers, err)
		}
	}
}

// Without a connection nobody is said to be there, or not to be.
func TestAskWithoutAConnection(t *testing.T) {
	host := testkit.Broker(t)
	c := testkit.Conn(t, host)
	if all, err := c.Fleet(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v %+v", err, all)
	}
	host.Stop()
	testkit.Eventually(t, "an error that says so", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := c.AskFleet(ctx, "status", nil)
		return err != nil && strings.Contains(err.Error(), "no connection to NATS")
	})
	host.Start()
	testkit.Eventually(t, "an empty fleet", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		all, err := c.Fleet(ctx)
		return err == nil && len(all) == 0
	})
}
