package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// through has the line's publisher go on by way of a link.
func (l *line) through(link feed.Link) {
	l.t.Helper()
	var err error
	l.publisher, err = feed.NewPublisher(l.t.Context(), link, l.ledger, feed.PublisherOptions{})
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

// P6: a stream that was rolled back shows by the next acknowledgement, though its partition is as it was, and nobody has looked at the stream since.
func TestAcknowledgementTellsOfARollback(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	older := l.server.Dir + ".older"
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	l.server.Stop()
	l.must(os.CopyFS(older, os.DirFS(l.server.Dir)))
	l.server.Start()
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 1)}))
	if l.publisher.Bookmark()[feed.DeltaStream].Owed {
		t.Fatal("everything is to be published again before anything was lost")
	}
	l.server.Stop()
	l.must(os.RemoveAll(l.server.Dir))
	l.must(os.CopyFS(l.server.Dir, os.DirFS(older)))
	l.server.Start()
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.elsewhere(), 1)}))
	if !l.publisher.Bookmark()[feed.DeltaStream].Owed {
		t.Error("nothing is to be published again")
	}
}

// P6: a stream that was deleted is filled again once, though every partition finds for itself that it fell back.
func TestDeletedStreamIsOneDebt(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{HealEvery: time.Hour})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	l.serve()
	l.must(l.js.DeleteStream(t.Context(), "YUPIAO_DELTA"))
	testkit.Eventually(t, "everything to be published again", func() bool {
		return l.publisher.Stats().Republished > 0 && !l.publisher.Bookmark()[feed.DeltaStream].Owed
	})
	if n := l.publisher.Stats().Republished; n != 1 {
		t.Errorf("everything was published again %d times", n)
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
	return func(context.Context) error {
		<-l.confess
		return errors.New("no answer")
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
