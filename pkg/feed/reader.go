package feed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Sink takes what a Reader reads. All calls for one partition come from one goroutine, in the order of each stream; calls for different
// partitions run side by side. Network and Pattern come from a goroutine of their own, Heartbeat from another.
type Sink interface {
	Network(n *timetable.Network)
	Pattern(p *timetable.Pattern)
	// State and Deltas lend what they hand over: it is the sink's until the call returns, then its memory is used again. Clone what is kept.
	State(p rail.Partition, s *event.RunState)
	Deltas(p rail.Partition, b *event.DeltaBatch, sequence uint64)
	// Versions is the publisher's answer to Reader.AskVersions.
	Versions(p rail.Partition, date rail.Date, v *event.Versions)
	// Broken is told of events that could not be understood: how many, where, and why.
	Broken(p rail.Partition, events int, where Position, err error)
	// Tick comes a few times a second, for what time alone does. Every delta up to sequence `through` that belongs to the partition was handed over before.
	Tick(p rail.Partition, through uint64)
	// Heartbeat returns an error if it shows that the stream that was read is not the publisher's (R9).
	Heartbeat(h *event.Heartbeat) error
	// Loaded says that every last state and all deltas up to each sequence `end` have been handed over (R6), and when each stream
	// was created.
	Loaded(end uint64, created map[string]time.Time)
}

// Position is a place in the feed, for a log.
type Position struct {
	Subject  string
	Sequence uint64
}

// Progress of loading. Safe for concurrent use with the Reader.
type Progress struct {
	// States read so far and expected in all. Expected is 0 until the stream was seen.
	States, Expected uint64
	// Deltas says that the states are read and the deltas are being caught up.
	Deltas bool
	// Started is when the Reader started.
	Started time.Time
}

const (
	lanesBuffer  = 4096 // messages between the stream and a lane: a burst of one pull
	tickInterval = 100 * time.Millisecond
	lookInterval = 2 * time.Second
)

// Reader reads the feed into one Sink, once. A new attempt needs a new Reader and a new Sink.
type Reader struct {
	conn  *Conn
	sink  Sink
	lanes []chan item

	states   atomic.Uint64
	expected atomic.Uint64
	catching atomic.Bool
	started  time.Time

	lastDelta, lastState atomic.Uint64 // stream sequences handed over
	suspect              chan error    // what shows that the stream diverged
}

// item is a unit of work of a lane: a message to decode, or a call to make in its turn.
type item struct {
	partition rail.Partition
	kind      itemKind
	data      []byte
	format    event.Format
	position  Position
	run       rail.RunID // of a state, by its subject
	call      func()
}

type itemKind uint8

const (
	kindState itemKind = iota
	kindDeltas
	kindCall
)

// NewReader makes a reader with one lane for each processor.
func NewReader(conn *Conn, sink Sink) *Reader {
	r := &Reader{conn: conn, sink: sink, started: time.Now(), suspect: make(chan error, 1)}
	for range min(max(runtime.GOMAXPROCS(0), 1), rail.Partitions) {
		r.lanes = append(r.lanes, make(chan item, lanesBuffer))
	}
	return r
}

// Progress is how far loading has come.
func (r *Reader) Progress() Progress {
	return Progress{States: r.states.Load(), Expected: r.expected.Load(), Deltas: r.catching.Load(), Started: r.started}
}

// Run reads until ctx ends (nil) or it cannot go on: ErrDiverged and ErrStream say why; after any error the sink's content is still
// true as of its last heartbeat, but will not advance.
func (r *Reader) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, lane := range r.lanes {
		group.Go(func() error { return r.work(ctx, lane) })
	}
	group.Go(func() error { return every(ctx, tickInterval, r.tick) })
	group.Go(func() error { return r.read(ctx, group) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-r.suspect:
			return err
		}
	})
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// read loads in the order that R6 wants, and goes on with each stream once it is loaded.
func (r *Reader) read(ctx context.Context, group *errgroup.Group) error {
	streams := make(map[string]sight, 3)
	for _, cfg := range (Limits{}).orDefault().configs() {
		stream, err := r.conn.checkStream(ctx, cfg)
		if err != nil {
			return err
		}
		streams[cfg.Name] = sightOf(stream.CachedInfo())
	}
	r.expected.Store(streams[streamState].messages)
	sub, err := r.conn.nc.Subscribe(subjectHeartbeat, r.heartbeat)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subjectHeartbeat, err)
	}
	context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })

	if err := r.follow(ctx, group, streamReference, streams, r.reference); err != nil {
		return err
	}
	if err := r.follow(ctx, group, streamState, streams, r.state); err != nil {
		return err
	}
	if err := r.barrier(ctx); err != nil {
		return err
	}
	r.catching.Store(true)
	if err := r.follow(ctx, group, streamDelta, streams, r.delta); err != nil {
		return err
	}
	if err := r.barrier(ctx); err != nil {
		return err
	}
	created := make(map[string]time.Time, len(streams))
	for name, s := range streams {
		created[name] = s.created
	}
	r.sink.Loaded(streams[streamDelta].last, created)
	group.Go(func() error {
		return every(ctx, lookInterval, func(ctx context.Context) error { return r.lookAt(ctx, streams) })
	})
	return nil
}

// follow hands over a stream's messages up to the end that was seen, returns, and goes on in the group.
func (r *Reader) follow(ctx context.Context, group *errgroup.Group, name string, streams map[string]sight, take taker) error {
	consumer, err := r.conn.js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(10000), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	context.AfterFunc(ctx, messages.Stop)
	loaded := make(chan struct{})
	reached := sync.OnceFunc(func() { close(loaded) })
	if info := consumer.CachedInfo(); streams[name].messages == 0 || info != nil && info.NumPending == 0 {
		reached()
	}
	group.Go(func() error {
		err := pump(ctx, messages, streams[name].last, take, reached)
		return errors.Join(ctx.Err(), fmt.Errorf("read %s: %w", name, err))
	})
	select {
	case <-loaded:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// taker takes one message of a stream with its sequence.
type taker func(ctx context.Context, m jetstream.Msg, sequence uint64) error

// pump hands messages over until that fails, and returns why. It tells when the end is reached; the last message itself may have expired meanwhile.
func pump(ctx context.Context, messages jetstream.MessagesContext, end uint64, take taker, reached func()) error {
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if err := take(ctx, msg, meta.Sequence.Stream); err != nil {
			return err
		}
		if meta.Sequence.Stream >= end || meta.NumPending == 0 {
			reached()
		}
	}
}

func msgFormat(m jetstream.Msg) event.Format {
	if h := m.Headers(); h != nil {
		return event.FormatOf(h.Get(headerContentType))
	}
	return event.Protobuf
}

func (r *Reader) reference(_ context.Context, m jetstream.Msg, sequence uint64) error {
	where, format := Position{m.Subject(), sequence}, msgFormat(m)
	if m.Subject() == subjectNetwork {
		network, err := event.DecodeNetwork(m.Data(), format)
		if err != nil {
			r.sink.Broken(0, 1, where, err)
			return nil
		}
		r.sink.Network(network)
		return nil
	}
	pattern, err := event.DecodePattern(m.Data(), format)
	if err == nil && subjectPattern+string(pattern.ID) != m.Subject() {
		err = fmt.Errorf("%w: pattern: id %s does not belong on subject %s", event.ErrBroken, pattern.ID, m.Subject())
	}
	if err != nil {
		r.sink.Broken(0, 1, where, err)
		return nil
	}
	r.sink.Pattern(pattern)
	return nil
}

func (r *Reader) state(ctx context.Context, m jetstream.Msg, sequence uint64) error {
	r.states.Add(1)
	r.lastState.Store(sequence)
	return r.handOverState(ctx, m.Subject(), m.Data(), msgFormat(m), sequence)
}

// handOverState puts a state into its run's lane. An empty message is the server's marker of an expired one.
func (r *Reader) handOverState(ctx context.Context, subject string, data []byte, format event.Format, sequence uint64) error {
	if len(data) == 0 {
		return nil
	}
	where := Position{subject, sequence}
	run, err := runOfSubject(subject)
	if err != nil {
		r.sink.Broken(0, 1, where, fmt.Errorf("%w: subject: %w", event.ErrBroken, err))
		return nil
	}
	return r.enqueue(ctx, item{partition: run.Partition(), kind: kindState, data: data, format: format, position: where, run: run})
}

func (r *Reader) delta(ctx context.Context, m jetstream.Msg, sequence uint64) error {
	where := Position{m.Subject(), sequence}
	defer r.lastDelta.Store(sequence) // not before it is in its lane: a tick behind it vouches for it
	p, err := partitionOfSubject(m.Subject())
	if err != nil {
		r.sink.Broken(0, 1, where, err)
		return nil
	}
	return r.enqueue(ctx, item{partition: p, kind: kindDeltas, data: m.Data(), format: msgFormat(m), position: where})
}

func (r *Reader) heartbeat(m *nats.Msg) {
	h, err := event.DecodeHeartbeat(m.Data, formatOf(m))
	if err != nil {
		r.sink.Broken(0, 1, Position{Subject: m.Subject}, err)
		return
	}
	if err := r.sink.Heartbeat(h); err != nil {
		r.diverged(err)
	}
}

func (r *Reader) diverged(err error) {
	select {
	case r.suspect <- fmt.Errorf("%w: %w", ErrDiverged, err):
	default: // one is enough
	}
}

// lookAt looks at the streams: an ordered consumer goes on in silence when its stream was recreated or rolled back, and deltas that expired before
// they were read leave a hole that is cheaper to load over than to mend run by run.
func (r *Reader) lookAt(ctx context.Context, streams map[string]sight) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	read := map[string]uint64{streamDelta: r.lastDelta.Load(), streamState: r.lastState.Load()}
	for name, before := range streams {
		now, err := r.conn.look(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("%w: %s was deleted", ErrDiverged, name)
		}
		if err != nil {
			return nil // out of reach; heartbeats stop as well, and the age tells
		}
		before.last = max(before.last, read[name])
		if now.diverged(before) {
			return fmt.Errorf("%w: %s was created at %s with last sequence %d; before it was %s and %d", ErrDiverged, name, now.created, now.last, before.created, before.last)
		}
		if name == streamDelta && now.messages > 0 && now.first > before.last+1 {
			return fmt.Errorf("%w: deltas %d to %d expired unread", ErrDiverged, before.last+1, now.first-1)
		}
	}
	return nil
}
