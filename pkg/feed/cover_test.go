package feed_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// covered waits until the first round is over in which a publisher covers what the one before it may have left.
func (l *line) covered() {
	l.t.Helper()
	testkit.Eventually(l.t, "the first round", func() bool {
		return time.Since(l.publisher.Bookmark()[feed.DeltaStream].Covered) < 500*time.Millisecond
	})
}

// digests waits for some more rounds of digests.
func (l *line) digests(more uint64) {
	l.t.Helper()
	end := l.publisher.Stats().Digests + more
	testkit.Eventually(l.t, "digests", func() bool { return l.publisher.Stats().Digests >= end })
	l.must(l.plain.Flush())
}

// P2: a state follows every StateEvery deltas, and long before a delta that it does not cover leaves the stream.
func TestStatesFollow(t *testing.T) {
	for name, o := range map[string]feed.PublisherOptions{"by number": {StateEvery: 5}, "by age": {Limits: feed.Limits{DeltaAge: 2 * time.Second}, DigestEvery: time.Hour, HealEvery: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, o)
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
			l.serve()
			if name == "by age" {
				l.covered()
			}
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

// picky is a link that does not send some states.
type picky struct {
	feed.Link
	refuse func(subject string) error
}

func (p *picky) Send(m feed.Outgoing) (feed.Ack, error) {
	if err := p.refuse(m.Subject); err != nil && strings.Contains(m.Subject, ".state.") {
		return nil, err
	}
	return p.Link.Send(m)
}

// P2: while deltas are about to expire of which no state tells, since none is taken, there is no heartbeat, and when states pass again everything is published again: a node that loaded meanwhile may
// have an old state for the present one.
func TestStatesThatDoNotPass(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	var shut atomic.Bool
	o := feed.PublisherOptions{Limits: feed.Limits{DeltaAge: 4 * time.Second}, HeartbeatEvery: 10 * time.Millisecond, DigestEvery: 10 * time.Millisecond, HealEvery: time.Hour}
	l.throughWith(&picky{testkit.Conn(t, l.server), func(string) error {
		if shut.Load() {
			return errors.New("not now")
		}
		return nil
	}}, o)
	heard := make(chan *nats.Msg, 10_000)
	_, err := l.plain.ChanSubscribe("yupiao.v1.heartbeat", heard)
	l.must(err)
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	l.publisher.Complete(time.Now())
	l.serve()
	l.covered()
	<-heard
	shut.Store(true)
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(l.run, 1)}))
	testkit.Eventually(t, "everything is owed", func() bool { return l.publisher.Bookmark()[feed.DeltaStream].Owed })
	l.digests(2) // a heartbeat that was on its way has arrived
	for len(heard) > 0 {
		<-heard
	}
	if l.digests(250); len(heard) > 0 { // longer than from one look to the next
		t.Errorf("%d heartbeats while a delta was about to expire", len(heard))
	}
	shut.Store(false)
	h, err := event.DecodeHeartbeat((<-heard).Data, event.Protobuf)
	l.must(err)
	if s, _ := l.state(); s.Version.Revision != 2 || h.History == 0 {
		t.Errorf("a heartbeat of history %d with a state of %s", h.History, s.Version)
	}
}

// P2: a publisher to whom the one before it has left deltas that are about to expire publishes everything again.
func TestBookmarkTellsOfLateStates(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	for age, late := range map[time.Duration]bool{time.Minute: false, 29 * time.Minute: true} {
		bookmark := l.publisher.Bookmark()
		mark := bookmark[feed.DeltaStream]
		mark.Covered = time.Now().Add(-age)
		bookmark[feed.DeltaStream] = mark
		l.throughWith(testkit.Conn(t, l.server), feed.PublisherOptions{Bookmark: bookmark, HeartbeatEvery: 10 * time.Millisecond})
		l.publisher.Complete(time.Now())
		heard, err := l.plain.SubscribeSync("yupiao.v1.heartbeat")
		l.must(err)
		l.must(l.plain.Flush())
		l.serve()
		for {
			m, err := heard.NextMsg(testkit.Patience)
			l.must(err)
			h, err := event.DecodeHeartbeat(m.Data, event.Protobuf)
			l.must(err)
			if h.Publisher != l.publisher.Name() {
				continue // of the one before
			}
			if risen := h.History > mark.History; risen != late {
				t.Errorf("deltas were covered %s ago: the first heartbeat is of history %d, after %d", age, h.History, mark.History)
			}
			break
		}
	}
}

// busy is an authority that sells a place whenever it has told how a run is.
type busy struct {
	*testkit.Ledger
	sell func(rail.RunID)
}

func (b *busy) State(run rail.RunID) (event.RunState, bool) {
	s, known := b.Ledger.State(run)
	b.sell(run)
	return s, known
}

// P2: what a state does not tell, since it was sold while that was on its way, is counted anew: or else a run that sells all the time would be late, and have a state a second.
func TestStateOfABusyRun(t *testing.T) {
	authority := &busy{Ledger: testkit.NewLedger(testkit.Pattern("G1", 600)), sell: func(rail.RunID) {}}
	l := newLineOf(t, feed.PublisherOptions{StateEvery: 3, DigestEvery: 100 * time.Millisecond, HealEvery: time.Hour}, authority.Ledger, authority)
	changes := []feed.Change{l.ledger.Open(l.run, 1)}
	for range 3 {
		changes = append(changes, l.ledger.Sell(l.run, 1))
	}
	l.must(l.publisher.Publish(t.Context(), changes))
	authority.sell = func(run rail.RunID) { l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Sell(run, 1)})) }
	l.serve()
	testkit.Eventually(t, "a state", func() bool { return l.publisher.Stats().States == 2 })
	if l.digests(30); l.publisher.Stats().States != 2 {
		t.Errorf("%d states of a run that has sold once since the second", l.publisher.Stats().States)
	}
}

// A state that the servers will never take holds up no other, and is counted.
func TestRefusedState(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	other := l.elsewhere()
	refused := other
	if l.run.Compare(other) < 0 {
		refused = l.run // the first that is sent
	}
	var on atomic.Bool
	l.throughWith(&picky{testkit.Conn(t, l.server), func(subject string) error {
		if on.Load() && strings.HasSuffix(subject, refused.String()) {
			return fmt.Errorf("%w: 2 MiB", feed.ErrTooLarge)
		}
		return nil
	}}, feed.PublisherOptions{})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1), l.ledger.Open(other, 1), l.ledger.Sell(l.run, 1), l.ledger.Sell(other, 1)}))
	on.Store(true)
	if n, err := l.publisher.Republish(t.Context(), 0); n != 2 || err != nil {
		t.Errorf("%d runs, %v", n, err)
	}
	for _, run := range []rail.RunID{l.run, other} {
		l.run = run
		if s, _ := l.state(); (s.Version.Revision == 2) == (run == refused) {
			t.Errorf("the state of %s is of %s", run, s.Version)
		}
	}
	if n := l.publisher.Stats().Refused; n != 1 {
		t.Errorf("%d states were refused", n)
	}
	l.run = refused
	if err := l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Suspend(l.run, true)}); !errors.Is(err, feed.ErrTooLarge) {
		t.Errorf("publish: %v", err)
	}
}
