package feed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// through has the line's publisher go on by way of a link.
func (l *line) through(link feed.Link) { l.throughWith(link, feed.PublisherOptions{}) }

func (l *line) throughWith(link feed.Link, o feed.PublisherOptions) {
	l.t.Helper()
	var err error
	l.publisher, err = feed.NewPublisher(l.t.Context(), link, l.ledger, o)
	l.must(err)
	l.must(l.publisher.Network(l.t.Context(), testkit.Network()))
	l.must(l.publisher.Patterns(l.t.Context(), []*timetable.Pattern{l.pattern}))
}

// elsewhere is a run of another partition.
func (l *line) elsewhere() rail.RunID {
	other := l.run
	for i := 2; other.Partition() == l.run.Partition(); i++ {
		other.Trip = rail.TripID(fmt.Sprint("G", i))
	}
	return other
}

// lossy loses the acknowledgement of the first message that it is given, and stores the second one, of another partition, after it and before anybody knows.
type lossy struct {
	feed.Link
	on             atomic.Bool
	puts           atomic.Int64
	stored, passed chan struct{}
}

func (l *lossy) Put(ctx context.Context, stream string, m feed.Outgoing, last uint64) (sequence uint64, err error) {
	if !l.on.Load() {
		return l.Link.Put(ctx, stream, m, last)
	}
	switch l.puts.Add(1) {
	case 1:
		_, err = l.Link.Put(ctx, stream, m, last)
		close(l.stored)
		<-l.passed
		return 0, errors.Join(err, errors.New("no answer"))
	case 2:
		<-l.stored
		defer close(l.passed)
	}
	return l.Link.Put(ctx, stream, m, last)
}

// P6: a message whose acknowledgement was lost, while other partitions went on, is no sign of a stream that fell back: everything would be published again for nothing.
func TestLostAcknowledgement(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	link := &lossy{Link: testkit.Conn(t, l.server), stored: make(chan struct{}), passed: make(chan struct{})}
	l.through(link)
	link.on.Store(true)
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Open(l.elsewhere(), 1)}))
	if l.publisher.Stats().Retries == 0 {
		t.Error("nothing was lost")
	}
	if l.publisher.Bookmark()[feed.DeltaStream].Owed {
		t.Error("everything is to be published again")
	}
}

// P6: a stream that was rolled back shows by the next acknowledgement, be it of a change in a partition that is as it was, or of a state; nobody has looked at the stream since.
func TestAcknowledgementTellsOfARollback(t *testing.T) {
	for name, next := range map[string]func(*line) error{
		"a change": func(l *line) error {
			return l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.elsewhere(), 1)})
		},
		"a state": func(l *line) error { _, err := l.publisher.Republish(t.Context(), 0); return err },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, feed.PublisherOptions{})
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Open(l.elsewhere(), 1)}))
			l.keep(".older")
			for range 3 {
				l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 1), l.ledger.Suspend(l.run, true)}))
			}
			if l.publisher.Bookmark()[feed.DeltaStream].Owed {
				t.Fatal("everything is to be published again before anything was lost")
			}
			l.restore(".older", "")
			l.must(next(l))
			if !l.publisher.Bookmark()[feed.DeltaStream].Owed {
				t.Error("nothing is to be published again")
			}
		})
	}
}

// keep stops the server while what it has stored is copied.
func (l *line) keep(name string) {
	l.t.Helper()
	l.server.Stop()
	l.must(os.CopyFS(l.server.Dir+name, os.DirFS(l.server.Dir)))
	l.server.Start()
}

// restore gives the server a copy in place of what it has stored; of one stream alone, if any is named.
func (l *line) restore(name, stream string) {
	l.t.Helper()
	part := ""
	if stream != "" {
		part = filepath.Join("jetstream", "$G", "streams", stream)
	}
	l.server.Stop()
	l.must(os.RemoveAll(filepath.Join(l.server.Dir, part)))
	l.must(os.CopyFS(filepath.Join(l.server.Dir, part), os.DirFS(filepath.Join(l.server.Dir+name, part))))
	l.server.Start()
}

// P6: a stream that is another past of itself, in which it was longer than it is now, is noticed by the next change, or when it is looked at.
func TestAnotherPastThatIsLonger(t *testing.T) {
	for name, next := range map[string]func(*line){
		"a change": func(l *line) { l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 0)})) },
		"a look":   func(l *line) { l.serve() },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, feed.PublisherOptions{HealEvery: time.Hour, DigestEvery: time.Hour})
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
			l.keep(".short")
			for range 200 {
				l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 0)}))
			}
			l.keep(".long")
			l.restore(".short", "")
			mark := func() feed.StreamMark { return l.publisher.Bookmark()[feed.DeltaStream] }
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- l.publisher.Serve(ctx) }()
			testkit.Eventually(t, "everything to be published again", func() bool { return mark().History == 1 && !mark().Owed })
			cancel()
			l.must(<-served)
			l.restore(".long", feed.DeltaStream)
			next(l)
			testkit.Eventually(t, "everything to be owed again, or published", func() bool { return mark().History == 2 || mark().Owed })
		})
	}
}

// republished waits until everything was published again, and nothing is owed.
func (l *line) republished() {
	l.t.Helper()
	testkit.Eventually(l.t, "everything to be published again", func() bool {
		return l.publisher.Stats().Republished > 0 && !l.publisher.Bookmark()[feed.DeltaStream].Owed
	})
}

// P6: a stream that was deleted is filled again once, though every partition finds for itself that it fell back.
func TestDeletedStreamIsOneDebt(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{HealEvery: time.Hour})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	l.serve()
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_DELTA"))
	l.republished()
	if n := l.publisher.Stats().Republished; n != 1 {
		t.Errorf("everything was published again %d times", n)
	}
}

// tardy is a link on which a state that is sent while a stream is not there takes its time, and arrives when the stream has been made anew: as soon as everything is being published again, if that does not wait for it.
type tardy struct {
	feed.Link
	on, held           atomic.Bool
	sent               chan struct{}
	made, republishing context.Context
	make, republish    func()
}

func (l *tardy) Ensure(ctx context.Context, limits feed.Limits) error {
	err := l.Link.Ensure(ctx, limits)
	l.make()
	return err
}

func (l *tardy) Send(m feed.Outgoing) (feed.Ack, error) {
	switch {
	case !l.on.Load():
	case m.Subject == "yupiao.v1.network":
		l.republish()
	case l.held.CompareAndSwap(false, true):
		close(l.sent)
		return func(ctx context.Context) (uint64, error) {
			<-l.made.Done()
			select {
			case <-l.republishing.Done():
			case <-time.After(200 * time.Millisecond):
			}
			ack, err := l.Link.Send(m)
			if err != nil {
				return 0, err
			}
			return ack(ctx)
		}, nil
	}
	return l.Link.Send(m)
}

// P6: a state that was on its way when its stream fell back, and arrives in the one that there is now, is no reason to publish everything again once more.
func TestStateOnItsWay(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{HealEvery: time.Hour})
	link := &tardy{Link: testkit.Conn(t, l.server), sent: make(chan struct{}), make: func() {}}
	l.through(link)
	link.made, link.make = context.WithCancel(t.Context())
	link.republishing, link.republish = context.WithCancel(t.Context())
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Open(l.elsewhere(), 1)}))
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
	link.on.Store(true)
	published := make(chan error, 1)
	go func() { published <- l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Suspend(l.run, true)}) }()
	<-link.sent
	l.serve()
	l.must(<-published)
	l.republished()
	if n := l.publisher.Stats().Republished; n != 1 {
		t.Errorf("everything was published again %d times", n)
	}
}

// R10: a list of versions tells of a message of the stream that there is, not of the longer one that was there before: a node would wait for it, and lack what it lacks, until the new one is as long.
func TestListsAreOfTheStreamThatThereIs(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{HealEvery: time.Hour})
	changes := []feed.Change{l.ledger.Open(l.run, 1)}
	for range 200 {
		l.must(l.publisher.Publish(t.Context(), changes))
		changes = []feed.Change{l.ledger.Sell(l.run, 0)}
	}
	l.serve()
	l.must(l.js.DeleteStream(t.Context(), feed.DeltaStream))
	l.republished()
	data, err := event.EncodeVersionsRequest(event.VersionsRequest{Partition: l.run.Partition(), Date: l.run.Date})
	l.must(err)
	reply, err := l.plain.Request("yupiao.v1.versions", data, testkit.Patience)
	l.must(err)
	list, err := event.DecodeVersions(reply.Data, event.Protobuf)
	l.must(err)
	stream, err := l.js.Stream(t.Context(), feed.DeltaStream)
	l.must(err)
	if last := stream.CachedInfo().State.LastSeq; list.Through == 0 || list.Through > last {
		t.Errorf("a list as of message %d; the last one is %d", list.Through, last)
	}
}

// brittle is a link that does something once, before somebody looks at a stream.
type brittle struct {
	feed.Link
	before func(stream string)
}

func (b *brittle) Look(ctx context.Context, stream string) (feed.Sight, error) {
	b.before(stream)
	return b.Link.Look(ctx, stream)
}

// P6: a stream that is deleted once more, when all was published again and before anybody has looked, is filled once more.
func TestStreamDeletedTwice(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	link := &brittle{Link: testkit.Conn(t, l.server), before: func(string) {}}
	l.through(link)
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	twice := false
	link.before = func(stream string) {
		if stream == "YUPIAO_STATE" && l.publisher.Stats().Republished == 1 && !twice {
			twice = true
			if err := l.js.DeleteStream(t.Context(), stream); err != nil {
				t.Error(err)
			}
		}
	}
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
	l.serve()
	testkit.Eventually(t, "everything to be published again twice", func() bool {
		return l.publisher.Stats().Republished == 2 && !l.publisher.Bookmark()[feed.DeltaStream].Owed
	})
	if s, _ := l.state(); s == nil {
		t.Error("the state is not there")
	}
}

// P6: a publisher that goes on with another's bookmark notices that the stream was lost in between, and publishes everything again before its first heartbeat.
func TestBookmark(t *testing.T) {
	rollBack := func(l *line, _ feed.Bookmark) {
		l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE")) // the copy is older than the state, too
		l.restore(".older", "")
	}
	for name, lose := range map[string]func(*line, feed.Bookmark){
		"kept":        func(*line, feed.Bookmark) {},
		"recreated":   func(l *line, _ feed.Bookmark) { l.must(l.js.DeleteStream(t.Context(), "YUPIAO_DELTA")) },
		"rolled back": rollBack,
		"rolled back and longer again": func(l *line, b feed.Bookmark) {
			rollBack(l, b)
			for range 2 { // each takes charge, and is gone before it could tell
				_, err := feed.NewPublisher(t.Context(), testkit.Conn(t, l.server), l.ledger, feed.PublisherOptions{Bookmark: b})
				l.must(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, feed.PublisherOptions{})
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
			l.keep(".older")
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 1)}))
			bookmark := l.publisher.Bookmark()
			lose(l, bookmark)
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

// dawn is an authority to which train Z2 is of another pattern.
type dawn struct {
	*testkit.Ledger
	pattern rail.PatternID
}

func (d dawn) State(run rail.RunID) (event.RunState, bool) {
	s, known := d.Ledger.State(run)
	if run.Trip == "Z2" {
		s.Pattern = d.pattern
	}
	return s, known
}

// P6: a train that left its origin yesterday is on its way, and on sale at its later stops: its state, too, comes back after its stream was lost, however many digests have left its day out. So does
// that of one which arrived yesterday at dawn: nodes keep the date whole as long as any of its trains is on its way.
func TestYesterdaysRunsAreFilledAgain(t *testing.T) {
	overnight := testkit.Pattern("Z1", rail.Day-10)
	early := testkit.Pattern("Z2", 1)
	ledger := testkit.NewLedger(overnight)
	l := newLineOf(t, feed.PublisherOptions{DigestEvery: 10 * time.Millisecond, HealEvery: time.Hour}, ledger, dawn{ledger, early.ID})
	l.must(l.publisher.Patterns(t.Context(), []*timetable.Pattern{overnight, early}))
	location, err := time.LoadLocation(testkit.Network().Timezone)
	l.must(err)
	l.run = rail.RunID{Date: rail.DateOf(time.Now(), location) - 1, Trip: "Z1"}
	today := rail.RunID{Date: l.run.Date + 1, Trip: "Z1"}
	arrived := rail.RunID{Date: l.run.Date, Trip: "Z2"}
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Open(today, 1), l.ledger.Open(arrived, 1)}))
	l.serve()
	testkit.Eventually(t, "digests", func() bool { return l.publisher.Stats().Digests >= 20 })
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
	testkit.Eventually(t, "everything to be published again", func() bool { return l.publisher.Bookmark()[feed.DeltaStream].History > 0 })
	for _, run := range []rail.RunID{l.run, arrived} {
		if l.run = run; first(l.state()) == nil {
			t.Errorf("the state of %s has not come back", run)
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

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

// P6: a stream that vanished is filled again with every run, changed since or not. There is no heartbeat meanwhile; later ones tell of the new
// stream, and later batches that everything was published again.
func TestStreamIsFilledAgain(t *testing.T) {
	authority := testkit.NewGate(testkit.NewLedger(testkit.Pattern("G1", 600)))
	const round = 10 * time.Millisecond
	l := newLineOf(t, feed.PublisherOptions{HeartbeatEvery: round, DigestEvery: round, HealEvery: time.Hour}, authority.Ledger, authority)
	heard := make(chan *nats.Msg, 1000)
	_, err := l.plain.ChanSubscribe("yupiao.v1.heartbeat", heard)
	l.must(err)
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	l.publisher.Complete(time.Now())
	l.serve()
	<-heard
	authority.Shut()
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
	<-authority.Asked
	l.digests(2) // a heartbeat that was on its way has arrived
	for len(heard) > 0 {
		<-heard
	}
	if l.digests(20); len(heard) > 0 {
		t.Errorf("%d heartbeats before everything was published again", len(heard))
	}
	authority.Release()
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
