package feed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

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
	// Spoiled is told of a RunState that could not be understood: it is in the place of a good one, which the stream has no more.
	Spoiled(p rail.Partition, run rail.RunID, where Position, err error)
	// Gone is told that no RunState of a run will ever come: the booking system does not know it, or it is over.
	Gone(p rail.Partition, run rail.RunID)
	// Tick comes a few times a second, for what time alone does. Every delta up to sequence `through` that belongs to the partition was handed over before.
	Tick(p rail.Partition, through uint64)
	// Heartbeat returns an error if it shows that the stream that was read is not the publisher's (R9), or one that wraps event.ErrBroken if it cannot be.
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
	lanesBuffer  = 1024 // messages between the stream and a lane: a tenth of a pull
	tickInterval = 100 * time.Millisecond
	lookInterval = 2 * time.Second
)

// Reader reads the feed into one Sink, once. A new attempt needs a new Reader and a new Sink.
type Reader struct {
	link  Link
	sink  Sink
	lanes []chan item

	states   atomic.Uint64
	expected atomic.Uint64
	catching atomic.Bool
	started  time.Time

	lastDelta atomic.Uint64                  // sequence handed over
	known     map[string]*atomic.Uint64      // how far each stream is known to have come
	suspect   chan error                     // what shows that the stream diverged
	waiting   *semaphore.Weighted            // the bytes of what is in lanes
	end       uint64                         // of the delta stream when it was seen first; not changed once anything is read
	loaded    atomic.Bool                    // all up to there was read
	sums      [rail.Partitions]uint64        // of the last message of each that was read, each its lane's; 0: none was
	histories [rail.Partitions]atomic.Uint64 // of the last batch of each that was read
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
func NewReader(link Link, sink Sink) *Reader {
	r := &Reader{link: link, sink: sink, started: time.Now(), suspect: make(chan error, 1), waiting: semaphore.NewWeighted(maxWaiting), known: map[string]*atomic.Uint64{}}
	for _, name := range streams {
		r.known[name] = new(atomic.Uint64)
	}
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
	seen, err := r.check(ctx)
	if err != nil {
		return err
	}
	before, err := r.lastHistory(ctx)
	if err != nil {
		return err
	}
	stop, err := r.link.Subscribe(subjectHeartbeat, r.heartbeat)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, stop)
	group.Go(func() error { // from now on: a stream that is made anew while it is read never comes to the end that was seen
		return every(ctx, lookInterval, func(ctx context.Context) error { return r.lookAt(ctx, seen) })
	})
	if err := r.load(ctx, group, seen); err != nil {
		return err
	}
	if err := r.sameHistory(before); err != nil {
		return err
	}
	r.loaded.Store(true)
	created := make(map[string]time.Time, len(seen))
	for name, s := range seen {
		created[name] = s.Created
	}
	r.sink.Loaded(r.end, created)
	return r.sameHistory(before) // from here on, the sink sees it rise
}

// check sees how each stream is before it is read.
func (r *Reader) check(ctx context.Context) (seen map[string]Sight, err error) {
	seen = make(map[string]Sight, len(streams))
	for _, name := range streams {
		if seen[name], err = r.link.Check(ctx, name); err != nil {
			return nil, err
		}
		raise(r.known[name], seen[name].Last)
	}
	r.expected.Store(seen[streamState].Messages)
	r.end = seen[streamDelta].Last
	return seen, nil
}

// load hands over all that is there: the reference data, all states, and then the deltas.
func (r *Reader) load(ctx context.Context, group *errgroup.Group, seen map[string]Sight) error {
	if err := r.follow(ctx, group, streamReference, seen, r.reference); err != nil {
		return err
	}
	if err := r.follow(ctx, group, streamState, seen, r.state); err != nil {
		return err
	}
	if err := r.barrier(ctx); err != nil {
		return err
	}
	r.catching.Store(true)
	if err := r.follow(ctx, group, streamDelta, seen, r.delta); err != nil {
		return err
	}
	return r.barrier(ctx)
}

// lastHistory is how often everything had been published again, as the last batches say.
func (r *Reader) lastHistory(ctx context.Context) (history uint64, err error) {
	ends, err := r.link.Ends(ctx, streamDelta, subjectDelta+"*")
	if err != nil {
		return 0, fmt.Errorf("read the ends of %s: %w", streamDelta, err)
	}
	for i := range ends {
		if batch, _, err := new(event.Decoder).Deltas(ends[i].Data, ends[i].Format); err == nil { // another is nobody's
			history = max(history, batch.History)
		}
	}
	return history, nil
}

// sameHistory fails if everything was published again since reading began: a state may have passed by, if states were read before a fall and deltas after it.
func (r *Reader) sameHistory(before uint64) error {
	for p := range r.histories {
		if now := r.histories[p].Load(); now > before {
			return fmt.Errorf("%w: everything was published again while it was read: %d times, before %d", ErrDiverged, now, before)
		}
	}
	return nil
}

// follow hands over a stream's messages up to the end that was seen, returns, and goes on in the group.
func (r *Reader) follow(ctx context.Context, group *errgroup.Group, name string, seen map[string]Sight, take taker) error {
	messages, err := r.link.Read(ctx, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	context.AfterFunc(ctx, messages.Stop)
	loaded := make(chan struct{})
	reached := sync.OnceFunc(func() { close(loaded) })
	if seen[name].Messages == 0 || messages.Empty() {
		reached()
	}
	group.Go(func() error {
		known := r.known[name]
		note := func(ctx context.Context, m *Message) error {
			raise(known, m.Sequence)
			return take(ctx, m)
		}
		err := pump(ctx, messages, seen[name].Last, note, reached)
		return errors.Join(ctx.Err(), fmt.Errorf("read %s: %w", name, err))
	})
	select {
	case <-loaded:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// taker takes one message of a stream.
type taker func(ctx context.Context, m *Message) error

// pump hands messages over until that fails, and returns why. It tells when the end is reached; the last message itself may have expired meanwhile.
func pump(ctx context.Context, messages Messages, end uint64, take taker, reached func()) error {
	for {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		if err := take(ctx, &m); err != nil {
			return err
		}
		if m.Sequence >= end || m.Pending == 0 {
			reached()
		}
	}
}

func (r *Reader) reference(_ context.Context, m *Message) error {
	where := Position{m.Subject, m.Sequence}
	if m.Subject == subjectNetwork {
		network, err := event.DecodeNetwork(m.Data, m.Format)
		if err != nil {
			r.sink.Broken(0, 1, where, err)
			return nil
		}
		r.sink.Network(network)
		return nil
	}
	pattern, err := event.DecodePattern(m.Data, m.Format)
	if err == nil && subjectPattern+string(pattern.ID) != m.Subject {
		err = fmt.Errorf("%w: pattern: id %s does not belong on subject %s", event.ErrBroken, pattern.ID, m.Subject)
	}
	if err != nil {
		r.sink.Broken(0, 1, where, err)
		return nil
	}
	r.sink.Pattern(pattern)
	return nil
}

func (r *Reader) state(ctx context.Context, m *Message) error {
	r.states.Add(1)
	return r.handOverState(ctx, m)
}

// handOverState puts a state into its run's lane. An empty message is the server's marker of an expired one.
func (r *Reader) handOverState(ctx context.Context, m *Message) error {
	if len(m.Data) == 0 {
		return nil
	}
	where := Position{m.Subject, m.Sequence}
	run, err := runOfSubject(m.Subject)
	if err != nil {
		r.sink.Broken(0, 1, where, fmt.Errorf("%w: subject: %w", event.ErrBroken, err))
		return nil
	}
	return r.enqueue(ctx, item{partition: run.Partition(), kind: kindState, data: m.Data, format: m.Format, position: where, run: run})
}

func (r *Reader) delta(ctx context.Context, m *Message) error {
	where := Position{m.Subject, m.Sequence}
	defer r.lastDelta.Store(m.Sequence) // not before it is in its lane: a tick behind it vouches for it
	p, err := partitionOfSubject(m.Subject)
	if err != nil {
		r.sink.Broken(0, 1, where, err)
		return nil
	}
	return r.enqueue(ctx, item{partition: p, kind: kindDeltas, data: m.Data, format: m.Format, position: where})
}

func (r *Reader) heartbeat(m Message) {
	h, err := event.DecodeHeartbeat(m.Data, m.Format)
	if err != nil {
		r.sink.Broken(0, 1, Position{Subject: m.Subject}, err)
		return
	}
	for name, last := range h.Last {
		if known := r.known[name]; known != nil && known.Load() < last {
			return // the stream fell back, which the publisher has not seen yet; or we shall know of its end by the next look: who starts now may lack states whose deltas have expired (P6)
		}
	}
	switch err := r.sink.Heartbeat(h); {
	case errors.Is(err, event.ErrBroken):
		r.sink.Broken(0, 1, Position{Subject: m.Subject}, err)
	case err != nil:
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
func (r *Reader) lookAt(ctx context.Context, seen map[string]Sight) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	read := r.lastDelta.Load()
	for _, name := range streams {
		before := Sight{Created: seen[name].Created, Last: r.known[name].Load()}
		now, err := r.link.Look(ctx, name)
		if errors.Is(err, ErrNoStream) {
			return fmt.Errorf("%w: %s was deleted", ErrDiverged, name)
		}
		if err != nil {
			return nil // out of reach; heartbeats stop as well, and the age tells
		}
		raise(r.known[name], now.Last)
		if now.diverged(before) {
			return fmt.Errorf("%w: %s was created at %s with last sequence %d; before it was %s and %d", ErrDiverged, name, now.Created, now.Last, before.Created, before.Last)
		}
		if name == streamDelta && now.Messages > 0 && now.First > max(read, r.end)+1 {
			return fmt.Errorf("%w: deltas %d to %d expired unread", ErrDiverged, max(read, r.end)+1, now.First-1)
		}
	}
	return nil
}
