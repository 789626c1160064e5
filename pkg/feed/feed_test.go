package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// deltas reads the delta stream back: every delta of the run, in the order of the stream. Each message says which one it comes after (P3).
func (l *line) deltas() (out []event.RunDelta) {
	sums := map[string]uint64{}
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
		if before, some := sums[m.Subject]; some && batch.After != before {
			l.t.Errorf("message %d says that it comes after %x; that one is %x", seq, batch.After, before)
		}
		sums[m.Subject] = event.Sum(m.Data)
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

// P3: whoever took charge fences off the one before, which publishes nothing any more, whatever it is asked for, and says so.
func TestFencedOff(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	former := l.publisher
	l.through(testkit.Conn(t, l.server))
	sale := []feed.Change{l.ledger.Sell(l.run, 1)}
	for range 2 {
		if err := former.Publish(t.Context(), sale); !errors.Is(err, feed.ErrFenced) {
			t.Errorf("publish: %v", err)
		}
	}
	if _, err := former.Republish(t.Context(), 0); !errors.Is(err, feed.ErrFenced) {
		t.Errorf("republish: %v", err)
	}
	l.must(l.publisher.Publish(t.Context(), sale))
	stream, err := l.js.Stream(t.Context(), feed.DeltaStream)
	l.must(err)
	if last := stream.CachedInfo().State.LastSeq; last != 2*rail.Partitions+2 { // both took charge, and each has published one change
		t.Errorf("%d messages", last)
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
	last, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq)
	l.must(err)
	i := slices.IndexFunc(h.Marks, func(m event.Mark) bool { return m.Partition == l.run.Partition() })
	if want := (event.Place{Sequence: last.Sequence, Sum: event.Sum(last.Data)}); h.Marks[i].Place != want {
		t.Errorf("the run's partition is marked %+v; its last message is %+v", h.Marks[i].Place, want)
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

// P2: what somebody else writes in the place of the network or of a pattern does not stay there, and what was not written over is not published again.
func TestReferenceIsWrittenOver(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	var looks atomic.Int64
	l.through(&brittle{Link: testkit.Conn(t, l.server), before: func(stream string) {
		if stream == "YUPIAO_REFERENCE" {
			looks.Add(1)
		}
	}})
	l.serve()
	stream, err := l.js.Stream(t.Context(), "YUPIAO_REFERENCE")
	l.must(err)
	last := stream.CachedInfo().State.LastSeq
	for _, subject := range []string{"yupiao.v1.network", "yupiao.v1.pattern." + string(l.pattern.ID)} {
		good, err := stream.GetLastMsgForSubject(t.Context(), subject)
		l.must(err)
		_, err = l.js.Publish(t.Context(), subject, []byte("nonsense"))
		l.must(err)
		testkit.Eventually(t, subject+" is as it was", func() bool {
			m, err := stream.GetLastMsgForSubject(t.Context(), subject)
			l.must(err)
			return bytes.Equal(m.Data, good.Data)
		})
		seen := looks.Load()
		testkit.Eventually(t, "some more looks", func() bool { return looks.Load() >= seen+2 })
		info, err := stream.Info(t.Context())
		l.must(err)
		if last += 3; info.State.LastSeq != last { // theirs, the network, the pattern
			t.Errorf("the stream's last message is %d; want %d", info.State.LastSeq, last)
		}
	}
}

// late loses the first state that it is given, and says so when it is told to.
type late struct {
	feed.Link
	states        atomic.Int64
	lost, confess chan struct{}
}

func (l *late) Send(m feed.Outgoing) (feed.Ack, error) {
	if !strings.Contains(m.Subject, ".state.") || l.states.Add(1) > 1 {
		return l.Link.Send(m)
	}
	close(l.lost)
	return func(context.Context) (uint64, error) {
		<-l.confess
		return 0, errors.New("no answer")
	}, nil
}

// P2: a state that has to be sent again does not take the place of a newer one that was sent meanwhile.
func TestLateRetry(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	link := &late{Link: testkit.Conn(t, l.server), lost: make(chan struct{}), confess: make(chan struct{})}
	l.through(link)
	first := l.ledger.Open(l.run, 1)
	slow := make(chan error, 1)
	go func() { slow <- l.publisher.Publish(t.Context(), []feed.Change{first}) }()
	<-link.lost
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Suspend(l.run, true)}))
	close(link.confess)
	select {
	case err := <-slow:
		l.must(err)
	case <-time.After(testkit.Patience):
		t.Fatal("the first state was not given up")
	}
	version, _ := l.ledger.Sold(l.run)
	if s, _ := l.state(); s.Version != version {
		t.Errorf("the state is of %s; the run is at %s", s.Version, version)
	}
}
