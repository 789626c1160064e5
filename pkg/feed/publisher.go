package feed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Authority is the booking system as a publisher asks it.
type Authority interface {
	// State is a run as it is now, at its present version; false for a run that it does not know. Safe for concurrent use.
	State(run rail.RunID) (event.RunState, bool)
}

// Change is one committed change of a run. State is set where Delta.Restated is, and tells that version.
type Change struct {
	Delta event.RunDelta
	State *event.RunState
}

// Rest is how long a relay that has caught up waits for more to publish, by how many changes it has published last. At 5,000 changes/s each message of the shorter rest
// would carry one change: 16 partitions share ten. A message costs every node some 14 us, a change in it less than one (bench/README.md).
func Rest(published int) time.Duration {
	if published < manyChanges {
		return 2 * time.Millisecond
	}
	return 5 * time.Millisecond
}

// manyChanges in a round of the shorter rest are 4,000/s, and in one of the longer 1,600/s: between these, the rest stays as it is.
const manyChanges = 8

// PublisherOptions tune a Publisher; zero values take the defaults.
type PublisherOptions struct {
	// Name says who publishes; it must be unique. Default: random.
	Name string
	// Limits of the streams.
	Limits Limits
	// StateEvery is how many deltas of a run may go by without a RunState. Default 200: at 5,000 changes/s that is 25 states/s.
	StateEvery int
	// HeartbeatEvery, default 250 ms, and DigestEvery, default 10 s.
	HeartbeatEvery, DigestEvery time.Duration
	// KeepAfterArrival is how long a run's state outlives the last arrival of its service date, which nodes keep whole until then. Default, and at least, 24 h, so that no run of today is missing.
	KeepAfterArrival time.Duration
	// HealEvery is how long one round of publishing every run's state again takes: slowly, for what nobody noticed. Default a third of the deltas' life, so
	// that it also covers the deltas of a publisher before this one (P2).
	HealEvery time.Duration
	// Bookmark of the publisher before this one, so that a stream that was lost in between is noticed (P6). Nil for the first of a history.
	Bookmark Bookmark
	// BatchSize is the most deltas in a message. Default 500.
	BatchSize int
	// Clock is the time; default time.Now.
	Clock func() time.Time
}

func (o PublisherOptions) orDefault() PublisherOptions {
	o.Limits = o.Limits.orDefault()
	if o.Name == "" {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		o.Name = hex.EncodeToString(b[:])
	}
	o.StateEvery = orDefault(o.StateEvery, 200)
	o.HeartbeatEvery = orDefault(o.HeartbeatEvery, 250*time.Millisecond)
	o.DigestEvery = orDefault(o.DigestEvery, 10*time.Second)
	o.HealEvery = orDefault(o.HealEvery, o.Limits.DeltaAge/3)
	o.KeepAfterArrival = max(o.KeepAfterArrival, 24*time.Hour)
	o.BatchSize = orDefault(o.BatchSize, 500)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// Publisher keeps P1 to P6 for a booking backend. All methods are safe for concurrent use, but the changes of one run must come in order.
type Publisher struct {
	link      Link
	authority Authority
	opts      PublisherOptions
	writers   [rail.Partitions]*partitionWriter

	complete atomic.Int64 // UnixNano up to which everything committed was acknowledged (P5); 0: nothing said yet
	covered  atomic.Int64 // UnixNano up to which every delta that was published is told by a state, too (P2)
	fenced   atomic.Bool
	owed     atomic.Int64                     // above 0: a stream is not the one it was: nothing is proved until everything was published again (P6)
	sights   atomic.Pointer[map[string]Sight] // the last of each stream
	wrote    atomic.Int64                     // messages of the reference stream that were acknowledged
	highest  map[string]*atomic.Uint64        // sequence of each stream that was acknowledged, since it fell back last

	seen    map[string]Sight // by stream, of lookAtStreams alone
	foreign int64            // likewise: others of the last look
	healing []rail.RunID     // of heal alone: what is left of the round,
	perCall float64          // how many runs a call heals on average,
	toHeal  float64          // and how many are due

	mu        sync.Mutex // guards what follows
	network   *timetable.Network
	location  *time.Location
	patterns  map[rail.PatternID]*timetable.Pattern
	longest   rail.Minutes // arrival of a pattern
	uncovered map[rail.RunID]uncovered
	inherited time.Time // up to when the states of the publisher before this one tell its deltas; zero: all runs' states were published since

	sending sync.Mutex                                // guards sent, and the order in which states are sent
	sent    map[rail.Date]map[rail.RunID]rail.Version // of the newest state that was sent

	flights flights // messages that were sent, and of which it is not known whether they arrived

	history atomic.Uint64 // how often everything was published again, by this publisher and those before it
	stats   publisherStats
}

// uncovered are a run's deltas since its last RunState.
type uncovered struct {
	count  int
	oldest time.Time // none was sent before
	newest rail.Version
}

// NewPublisher creates the streams where they are missing and takes charge of all partitions (P3).
func NewPublisher(ctx context.Context, link Link, authority Authority, opts PublisherOptions) (*Publisher, error) {
	p := &Publisher{
		link: link, authority: authority, opts: opts.orDefault(), patterns: map[rail.PatternID]*timetable.Pattern{},
		uncovered: map[rail.RunID]uncovered{}, sent: map[rail.Date]map[rail.RunID]rail.Version{}, seen: map[string]Sight{}, highest: map[string]*atomic.Uint64{},
	}
	if err := link.Ensure(ctx, p.opts.Limits); err != nil {
		return nil, err
	}
	for i := range p.writers {
		p.writers[i] = &partitionWriter{publisher: p, partition: rail.Partition(i), turn: newTurn(), published: map[rail.Date]*publishedDay{}}
		p.writers[i].end.Store(new(event.Place))
	}
	for _, name := range streams {
		p.highest[name] = new(atomic.Uint64)
		if b, some := opts.Bookmark[name]; some {
			p.seen[name] = Sight{Created: b.Created, Last: b.Last}
			p.highest[name].Store(b.Last)
		}
	}
	before := opts.Bookmark[streamDelta]
	if p.inherited = before.Covered; p.inherited.IsZero() {
		p.inherited = time.Now().Add(-p.opts.Limits.DeltaAge / 2) // what P2 promises
	}
	p.due()
	raise(&p.history, before.History)
	if err := p.eachWriter(func(w *partitionWriter) error { return w.learn(ctx) }); err != nil {
		return nil, err
	}
	// Whoever published everything again since the bookmark may not have known all: one that was deposed does not.
	if before.Owed || p.history.Load() > before.History {
		p.owed.Add(1)
	}
	if err := p.noteStreams(ctx, event.Place{Sequence: before.Last, Sum: before.Sum}); err != nil {
		return nil, err
	}
	p.foreign = p.others()
	claiming, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	return p, p.eachWriter(func(w *partitionWriter) error { return w.claim(claiming) })
}

// raise raises a number that only rises.
func raise(n *atomic.Uint64, to uint64) {
	for old := n.Load(); to > old && !n.CompareAndSwap(old, to); old = n.Load() {
	}
}

func (p *Publisher) eachWriter(do func(*partitionWriter) error) error {
	var group errgroup.Group
	for _, w := range p.writers {
		group.Go(func() error { return do(w) })
	}
	return group.Wait()
}

// Resume tells which versions went through the delta stream before this publisher took charge, so that it answers for them. It must come before Publish.
func (p *Publisher) Resume(published []event.RunVersion) {
	for _, r := range published {
		w := p.writers[r.Run.Partition()]
		w.mu.Lock()
		w.know(r.Run, r.Version)
		w.mu.Unlock()
	}
}

// Name is the publisher's name as it stands in its messages.
func (p *Publisher) Name() string { return p.opts.Name }

// Network publishes the network. It must come before the first Publish.
func (p *Publisher) Network(ctx context.Context, n *timetable.Network) error {
	loc, err := time.LoadLocation(n.Timezone)
	if err != nil {
		return fmt.Errorf("network timezone: %w", err)
	}
	if err := n.Validate(); err != nil {
		return err
	}
	data, err := event.EncodeNetwork(n, event.Protobuf)
	if err != nil {
		return err
	}
	if err := publishEach(ctx, p.send, []message{{subject: subjectNetwork, data: data}}, p.noteReference); err != nil {
		return err
	}
	p.mu.Lock()
	p.network, p.location = n, loc
	p.mu.Unlock()
	return nil
}

// Patterns publishes patterns. Each must come before the first state that refers to it.
func (p *Publisher) Patterns(ctx context.Context, patterns []*timetable.Pattern) error {
	messages := make([]message, 0, len(patterns))
	for _, pattern := range patterns {
		if err := pattern.Validate(); err != nil {
			return err
		}
		data, err := event.EncodePattern(pattern, event.Protobuf)
		if err != nil {
			return err
		}
		messages = append(messages, message{subject: subjectPattern + string(pattern.ID), data: data})
	}
	if err := publishEach(ctx, p.send, messages, p.noteReference); err != nil {
		return err
	}
	p.mu.Lock()
	for _, pattern := range patterns {
		p.patterns[pattern.ID] = pattern
		p.longest = max(p.longest, pattern.Arrival())
	}
	p.mu.Unlock()
	return nil
}

// Publish sends committed changes: their RunStates first, then their deltas, in order (P1, P4). It returns when all are acknowledged, and retries
// until then, or until ctx ends or no state had an answer for 10 s. After an error the caller sends the same changes again: replicas drop what they know. ErrFenced is final. The opening
// of a run that is long over is left out whole, since its state would expire at once.
func (p *Publisher) Publish(ctx context.Context, changes []Change) error {
	if p.fenced.Load() {
		return ErrFenced
	}
	var states []*event.RunState
	var deltas [rail.Partitions][]event.RunDelta
	for i := range changes {
		c := &changes[i]
		if c.State != nil {
			if ttl, err := p.expiry(c.State); err != nil {
				return err
			} else if ttl < shortest {
				continue
			}
			states = append(states, c.State)
		}
		part := c.Delta.Run.Partition()
		deltas[part] = append(deltas[part], c.Delta)
	}
	if err := p.states(ctx, latest(states), time.Time{}); err != nil {
		return err
	}
	return p.eachWriter(func(w *partitionWriter) error { return w.deltas(ctx, deltas[w.partition]) })
}

// shortest is the shortest life of a message that the server takes.
const shortest = time.Second

// latest keeps the last state of each run: a stream that keeps one message a subject has no use for the others.
func latest(states []*event.RunState) []*event.RunState {
	last := make(map[rail.RunID]int, len(states))
	for i, s := range states {
		if k, ok := last[s.Run]; !ok || s.Version.Above(states[k].Version) {
			last[s.Run] = i
		}
	}
	out := make([]*event.RunState, 0, len(last))
	for _, i := range slices.Sorted(maps.Values(last)) {
		out = append(out, states[i])
	}
	return out
}

// Complete says that every change committed up to t was acknowledged by Publish (P5). An earlier t than before is ignored.
func (p *Publisher) Complete(t time.Time) {
	for now := t.UnixNano(); ; {
		old := p.complete.Load()
		if now <= old || p.complete.CompareAndSwap(old, now) {
			return
		}
	}
}

// states publishes RunStates with an expiry after arrival. Those of present runs tell all that was committed up to a time; zero: not known.
func (p *Publisher) states(ctx context.Context, states []*event.RunState, present time.Time) error {
	messages := make([]message, 0, len(states))
	for _, s := range states {
		ttl, err := p.expiry(s)
		if err != nil {
			return err
		}
		if ttl < shortest {
			p.release(s.Run)
			continue
		}
		data, err := event.EncodeState(s, event.Protobuf)
		if err != nil {
			return err
		}
		messages = append(messages, message{subject: stateSubject(s.Run), data: data, ttl: ttl, run: s.Run, version: s.Version})
	}
	return publishEach(ctx, p.sendState, messages, func(m *message, refused error) {
		if refused != nil {
			p.release(m.run)
			p.stats.refused.Add(1)
			return
		}
		p.cover(m.run, m.version, present)
		p.stats.states.Add(1)
	})
}

func (p *Publisher) expiry(s *event.RunState) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.patterns[s.Pattern] == nil || p.location == nil {
		return 0, fmt.Errorf("state of %s: pattern %s and the network must be published first", s.Run, s.Pattern)
	}
	last := s.Run.Date.At(p.longest, p.location)
	return last.Add(p.opts.KeepAfterArrival).Sub(p.opts.Clock()).Truncate(time.Second), nil
}

func (p *Publisher) noteReference(_ *message, refused error) {
	if refused == nil {
		p.wrote.Add(1)
	}
}

func (p *Publisher) send(m *message) (Ack, error) {
	stream := streamReference
	if strings.HasPrefix(m.subject, subjectState) {
		stream = streamState
	}
	landed := p.flights.begin()
	before := p.highest[stream].Load()
	ack, err := p.link.Send(m.outgoing())
	if err != nil {
		landed()
		return nil, err
	}
	return func(ctx context.Context) (uint64, error) {
		defer landed()
		sequence, err := ack(ctx)
		if err == nil {
			p.acknowledged(stream, sequence, before)
		}
		return sequence, err
	}, nil
}

// acknowledged notes the sequence of a message. One that is not above what was the highest of its stream before it was sent shows that the stream fell back, though maybe not where the message went:
// readers who were ahead pass it by, and may not take a mark of it for a proof; those who start now lack what was there (P6). Once that is noticed, the highest is this one: or else each message would
// show it again, until the stream is as long as it ever was, and nothing be proved all the while.
func (p *Publisher) acknowledged(stream string, sequence, before uint64) {
	highest := p.highest[stream]
	if sequence <= before {
		p.owed.Add(1) // before the mark rises
		highest.CompareAndSwap(before, sequence)
	}
	raise(highest, sequence)
}

// sendState sends a state unless a newer one was sent: the stream keeps the last that comes, and a late retry must not put an older one in its place, whose deltas may be gone (P2).
func (p *Publisher) sendState(m *message) (Ack, error) {
	p.sending.Lock()
	defer p.sending.Unlock()
	day := p.sent[m.run.Date]
	if day == nil {
		day = map[rail.RunID]rail.Version{}
		p.sent[m.run.Date] = day
	}
	if day[m.run].Above(m.version) {
		return nil, errSuperseded
	}
	day[m.run] = m.version
	return p.send(m)
}

// forget lets go of what was sent of days that are over.
func (p *Publisher) forget(before rail.Date) {
	p.sending.Lock()
	maps.DeleteFunc(p.sent, func(date rail.Date, _ map[rail.RunID]rail.Version) bool { return date < before })
	p.sending.Unlock()
}

// Stats of a publisher since it started.
type Stats struct {
	// Deltas, Batches and States were acknowledged; Digests were sent.
	Deltas, Batches, States, Digests uint64
	// Retries of a publish that had no answer or a wrong one.
	Retries uint64
	// Repairs that nodes asked for.
	Repairs uint64
	// Outcomes of offers that were sent.
	Outcomes uint64
	// Refused counts states that the servers will never take, being too large, say. Nodes lack what they tell, and say so when a digest differs (R10).
	Refused uint64
	// Republished counts the times that everything was published again since a stream was not the one it was (P6).
	Republished uint64
}

type publisherStats struct {
	deltas, batches, states, digests, retries, repairs, outcomes, refused, republished atomic.Uint64
}

// Stats is a snapshot.
func (p *Publisher) Stats() Stats {
	s := &p.stats
	return Stats{
		Deltas: s.deltas.Load(), Batches: s.batches.Load(), States: s.states.Load(), Digests: s.digests.Load(),
		Retries: s.retries.Load(), Repairs: s.repairs.Load(), Outcomes: s.outcomes.Load(), Refused: s.refused.Load(), Republished: s.republished.Load(),
	}
}
