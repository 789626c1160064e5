package feed_test

import (
	"context"
	"errors"
	"fmt"
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

// recorder is a sink that keeps what it is given.
type recorder struct {
	beats  atomic.Int64
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
func (r *recorder) Heartbeat(*event.Heartbeat) error    { r.beats.Add(1); return nil }
func (r *recorder) Loaded(uint64, map[string]time.Time) { r.note(func() { r.loaded = true }) }

// until waits for what was given to it.
func (r *recorder) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	testkit.Eventually(t, what, func() (so bool) {
		r.note(func() { so = holds() })
		return so
	})
}

func (r *recorder) untilLoaded(t *testing.T) {
	t.Helper()
	r.until(t, "all to be loaded", func() bool { return r.loaded })
}

// diverges waits for the end of a reader that has to load again.
func (l *line) diverges(ended <-chan error) {
	l.t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, feed.ErrDiverged) {
			l.t.Error(err)
		}
	case <-time.After(testkit.Patience):
		l.t.Error("the reader goes on")
	}
}

// read runs a reader until the test ends; the error that ended it before is in the channel.
func (l *line) read(sink feed.Sink) <-chan error { return l.readBy(testkit.Conn(l.t, l.server), sink) }

func (l *line) readBy(link feed.Link, sink feed.Sink) <-chan error {
	ctx, cancel := context.WithCancel(l.t.Context())
	ended, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		ended <- feed.NewReader(link, sink).Run(ctx)
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
	r.untilLoaded(t)
	l.must(l.plain.Publish("yupiao.v1.heartbeat", []byte("\xff")))
	r.until(t, "the heartbeat", func() bool { return len(r.broken) == 10 })
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

// R9: a batch that comes after another message than the one that was read ends the reader, before the sink hears of it. One that does not say so, or comes after nobody's nonsense, is as good as any;
// and what lay in the stream before the reader began would be there at the next attempt as well.
func TestAnotherPast(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{})
	version, last := uint64(0), []byte(nil)
	store := func(data []byte) {
		t.Helper()
		_, err := l.js.Publish(t.Context(), fmt.Sprint("yupiao.v1.delta.", l.run.Partition()), data)
		l.must(err)
		last = data
	}
	batch := func(after uint64) {
		t.Helper()
		version++
		data, err := event.EncodeDeltas(&event.DeltaBatch{After: after, Deltas: []event.RunDelta{{Run: l.run, Version: rail.Version{Revision: version}}}}, event.Protobuf)
		l.must(err)
		store(data)
	}
	const wrong = 12345
	batch(wrong)
	r := new(recorder)
	ended := l.read(r)
	came := func(want int) {
		t.Helper()
		r.until(t, "the deltas", func() bool { return r.loaded && r.deltas == want })
	}
	came(1)
	batch(event.Sum(last))
	batch(0)
	store([]byte("nonsense"))
	batch(event.Sum(last))
	came(4)
	batch(wrong)
	if l.diverges(ended); r.deltas != 4 {
		t.Errorf("%d deltas", r.deltas)
	}
}

// hurried is a link that does something before a stream is read.
type hurried struct {
	feed.Link
	before func(stream string)
}

func (h *hurried) Read(ctx context.Context, stream string) (feed.Messages, error) {
	h.before(stream)
	return h.Link.Read(ctx, stream)
}

// R6, R9: what changes in the streams while they are loaded ends the reader, before it says that all was read: that everything was published again, or that a stream was made anew, and may be shorter
// for ever than what is waited for.
func TestFallsWhileItLoads(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		change func(*line)
	}{
		"published again": {"YUPIAO_DELTA", func(l *line) {
			data, err := event.EncodeDeltas(&event.DeltaBatch{Publisher: "another", Batch: 1, History: 1}, event.Protobuf)
			l.must(err)
			_, err = l.js.Publish(t.Context(), "yupiao.v1.delta.3", data)
			l.must(err)
		}},
		"made anew": {"YUPIAO_STATE", func(l *line) {
			stream, err := l.js.Stream(t.Context(), "YUPIAO_STATE")
			l.must(err)
			l.must(l.js.DeleteStream(t.Context(), "YUPIAO_STATE"))
			_, err = l.js.CreateStream(t.Context(), stream.CachedInfo().Config)
			l.must(err)
		}},
		"nothing": {"YUPIAO_DELTA", func(*line) {}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, feed.PublisherOptions{})
			l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
			r := new(recorder)
			ended := l.readBy(&hurried{testkit.Conn(t, l.server), func(stream string) {
				if stream == c.stream {
					c.change(l)
				}
			}}, r)
			if name == "nothing" {
				r.untilLoaded(t)
				return
			}
			if l.diverges(ended); name == "published again" && r.loaded {
				t.Error("it said that all was read")
			}
		})
	}
}

// behind is a link to a state stream that has lost its last message.
type behind struct {
	feed.Link
	whole atomic.Bool
}

func (b *behind) less(stream string, s feed.Sight, err error) (feed.Sight, error) {
	if stream == "YUPIAO_STATE" && !b.whole.Load() {
		s.Last--
	}
	return s, err
}

func (b *behind) Check(ctx context.Context, stream string) (feed.Sight, error) {
	s, err := b.Link.Check(ctx, stream)
	return b.less(stream, s, err)
}

func (b *behind) Look(ctx context.Context, stream string) (feed.Sight, error) {
	s, err := b.Link.Look(ctx, stream)
	return b.less(stream, s, err)
}

func (b *behind) Read(ctx context.Context, stream string) (feed.Messages, error) {
	if stream != "YUPIAO_STATE" {
		return b.Link.Read(ctx, stream)
	}
	return lost{stop: make(chan struct{})}, nil
}

// lost is a stream whose messages are all gone.
type lost struct {
	feed.Messages
	stop chan struct{}
}

func (l lost) Empty() bool                 { return true }
func (l lost) Next() (feed.Message, error) { <-l.stop; return feed.Message{}, errors.New("stopped") }
func (l lost) Stop()                       { close(l.stop) }

// P6: to a node that sees less of the state stream than the publisher has seen of it, heartbeats prove nothing, until it sees as much.
func TestStatesFellBackUnnoticed(t *testing.T) {
	l := newLine(t, feed.PublisherOptions{HeartbeatEvery: 10 * time.Millisecond})
	l.must(l.publisher.Publish(t.Context(), []feed.Change{l.ledger.Open(l.run, 1)}))
	l.publisher.Complete(time.Now())
	l.serve()
	heard := make(chan *nats.Msg, 1000)
	_, err := l.plain.ChanSubscribe("yupiao.v1.heartbeat", heard)
	l.must(err)
	some := func() {
		for range 20 {
			<-heard
		}
	}
	for m := range heard { // of when it had seen the state
		if h, err := event.DecodeHeartbeat(m.Data, event.Protobuf); err == nil && h.Last["YUPIAO_STATE"] > 0 {
			break
		}
	}
	link, r := &behind{Link: testkit.Conn(t, l.server)}, new(recorder)
	l.readBy(link, r)
	r.untilLoaded(t)
	some()
	if n := r.beats.Load(); n != 0 {
		t.Errorf("%d heartbeats were taken for proofs", n)
	}
	link.whole.Store(true)
	testkit.Eventually(t, "heartbeats", func() bool { return r.beats.Load() > 0 })
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
