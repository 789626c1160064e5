package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
)

// weather is what is wrong with a link at the moment. The zero weather is a fine day.
type weather struct {
	cut      bool          // nothing passes
	slow     time.Duration // up to which each passage takes longer
	ackLoss  bool          // half of what is stored is not acknowledged
	coreLoss bool          // half of what is told is lost
	twice    bool          // half of what is told comes twice
}

// link is one client's way to the server. What chance decides on it follows from the seed, the client and what it is about alone, so that the order in which goroutines run changes nothing.
type link struct {
	server *server
	say    func(format string, args ...any)
	seed   uint64
	client string

	mu      sync.Mutex // guards what follows
	weather weather
	change  chan struct{} // closed at the next change of weather
	counts  map[string]uint64
	arrived map[string]time.Time // when the last message on a subject comes to the server: a connection keeps its order
	buffer  []feed.Message       // told while it was cut: nats.go keeps it, and sends it when it is connected again
	closed  atomic.Bool
}

var _ feed.Link = (*link)(nil)

func (w *world) newLink(client string) *link {
	return &link{server: w.server, say: w.say, seed: w.plan.Seed, client: client, change: make(chan struct{}), counts: map[string]uint64{}, arrived: map[string]time.Time{}}
}

// set changes the weather.
func (l *link) set(change func(*weather)) {
	l.mu.Lock()
	change(&l.weather)
	var late []feed.Message
	if !l.weather.cut {
		late, l.buffer = l.buffer, nil
	}
	close(l.change)
	l.change = make(chan struct{})
	l.mu.Unlock()
	for _, m := range late {
		l.server.publish(m)
	}
}

func (l *link) now() (weather, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weather, l.change
}

// chance is a number that looks random, from what it is about and how often that came before.
func (l *link) chance(about string) uint64 {
	l.mu.Lock()
	l.counts[about]++
	n := l.counts[about]
	l.mu.Unlock()
	return l.hash(about, n)
}

func (l *link) hash(about string, n uint64) uint64 {
	what := binary.LittleEndian.AppendUint64(make([]byte, 0, 128), l.seed)
	what = append(append(append(what, l.client...), '/'), about...)
	h := fnv.New64a()
	_, _ = h.Write(binary.LittleEndian.AppendUint64(what, n)) // never fails
	x := h.Sum64()
	x ^= x >> 31
	x *= 0x9e3779b97f4a7c15
	return x ^ x>>29
}

func (w *weather) delay(chance uint64) time.Duration {
	d := 200*time.Microsecond + time.Duration(chance%1_000_000)
	if w.slow > 0 {
		d += time.Duration(chance>>16) % w.slow
	}
	return d
}

// pass takes a passage's time; the error says that the link is cut, or was lost on the way.
func (l *link) pass(ctx context.Context, about string) error {
	w, _ := l.now()
	if !w.cut {
		if err := sleep(ctx, w.delay(l.chance(about))); err != nil {
			return err
		}
		w, _ = l.now()
	}
	if w.cut {
		<-ctx.Done() // nobody answers
		return ctx.Err()
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// patience is how long the client library itself waits for an answer about a stream, where the context would wait longer.
const patience = 5 * time.Second

// slot is when what is sent now comes to the server: after what was sent before.
func (l *link) slot(about string) time.Time {
	w, _ := l.now()
	at := time.Now().Add(w.delay(l.chance(about)))
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.arrived[about]; !at.After(last) {
		at = last.Add(1)
	}
	l.arrived[about] = at
	return at
}

// call goes to the server and back.
func (l *link) call(ctx context.Context, about string, do func() error) error {
	return l.callAt(ctx, about, l.slot(about), do)
}

func (l *link) callAt(ctx context.Context, about string, at time.Time, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := sleep(ctx, time.Until(at)); err != nil {
		return err
	}
	if w, _ := l.now(); w.cut {
		<-ctx.Done() // nobody answers
		return ctx.Err()
	}
	err := do()
	if lost := l.pass(ctx, about); lost != nil {
		return lost
	}
	return err
}

// Ensure is part of feed.Link.
func (l *link) Ensure(ctx context.Context, limits feed.Limits) error {
	return l.call(ctx, "ensure", func() error { l.server.ensure(limits); return nil })
}

// Look is part of feed.Link.
func (l *link) Look(ctx context.Context, name string) (sight feed.Sight, err error) {
	err = l.call(ctx, "look "+name, func() error {
		if !l.server.with(name, func(s *stream) {
			sight = feed.Sight{Created: s.created, First: s.first(), Last: s.last, Messages: uint64(len(s.messages))}
		}) {
			return fmt.Errorf("%w: %s", feed.ErrNoStream, name)
		}
		return nil
	})
	return sight, err
}

// Check is part of feed.Link.
func (l *link) Check(ctx context.Context, name string) (feed.Sight, error) {
	sight, err := l.Look(ctx, name)
	if err != nil {
		err = fmt.Errorf("%w: %w", feed.ErrStream, err)
	}
	return sight, err
}

// Ends is part of feed.Link.
func (l *link) Ends(ctx context.Context, name, pattern string) (all []feed.Message, err error) {
	err = l.call(ctx, "ends "+name, func() error {
		last := map[string]feed.Message{}
		exists := l.server.with(name, func(s *stream) {
			for i := range s.messages {
				if m := &s.messages[i]; strings.HasPrefix(m.subject, strings.TrimSuffix(pattern, "*")) {
					last[m.subject] = m.message()
				}
			}
		})
		if !exists {
			return feed.ErrNoStream
		}
		all = slices.Collect(maps.Values(last))
		return nil
	})
	return all, err
}

// LastOn is part of feed.Link.
func (l *link) LastOn(ctx context.Context, name, subject string) (*feed.Message, error) {
	return l.one(ctx, "last "+subject, name, func(s *stream) *stored { return s.on(subject) })
}

// At is part of feed.Link.
func (l *link) At(ctx context.Context, name string, sequence uint64) (*feed.Message, error) {
	return l.one(ctx, fmt.Sprint("at ", sequence), name, func(s *stream) *stored {
		if next, _ := s.after(sequence - 1); next != nil && next.sequence == sequence {
			return next
		}
		return nil
	})
}

// one gets a message of a stream.
func (l *link) one(ctx context.Context, about, name string, get func(*stream) *stored) (m *feed.Message, err error) {
	err = l.call(ctx, about, func() error {
		exists := l.server.with(name, func(s *stream) {
			if found := get(s); found != nil {
				message := found.message()
				m = &message
			}
		})
		switch {
		case !exists:
			return feed.ErrNoStream
		case m == nil:
			return feed.ErrNoMessage
		}
		return nil
	})
	return m, err
}

var errNoAnswer = errors.New("no answer")

// store adds a message, and may lose the acknowledgement.
func (l *link) store(ctx context.Context, m feed.Outgoing, at time.Time, expected *uint64) (sequence uint64, err error) {
	about := "store " + m.Subject
	err = l.callAt(ctx, about, at, func() error {
		var exists bool
		sequence, exists = l.server.add(stored{subject: m.Subject, data: m.Data}, m.TTL, expected)
		switch {
		case !exists:
			return feed.ErrNoStream
		case sequence == 0:
			return feed.ErrWrongLast
		}
		return nil
	})
	l.say("%s: %s: %d, %v", l.client, about, sequence, err)
	if w, _ := l.now(); err == nil && w.ackLoss && l.chance(about)%2 == 0 {
		<-ctx.Done()
		return 0, errNoAnswer
	}
	return sequence, err
}

// Put is part of feed.Link.
func (l *link) Put(ctx context.Context, _ string, m feed.Outgoing, last uint64) (uint64, error) {
	return l.store(ctx, m, l.slot(m.Subject), &last)
}

// Send is part of feed.Link.
func (l *link) Send(m feed.Outgoing) (feed.Ack, error) {
	if w, _ := l.now(); w.cut {
		return nil, errNoAnswer
	}
	type result struct {
		sequence uint64
		err      error
	}
	at, done := l.slot(m.Subject), make(chan result, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		sequence, err := l.store(ctx, m, at, nil)
		done <- result{sequence, err}
	}()
	return func(ctx context.Context) (uint64, error) {
		select {
		case r := <-done:
			return r.sequence, r.err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}, nil
}

// Subscribe is part of feed.Link.
func (l *link) Subscribe(subject string, take func(feed.Message)) (stop func(), err error) {
	sub := &subscription{link: l, take: take, mail: make(chan feed.Message, 1<<8)}
	go func() {
		for m := range sub.mail {
			w, _ := l.now()
			<-time.After(w.delay(l.chance("told " + subject)))
			take(m)
		}
	}()
	return l.server.subscribe(subject, sub), nil
}

// deliver puts what was told on a subject on its way to one who has subscribed. The server's lock is held.
func (l *link) deliver(sub *subscription, m feed.Message) {
	w, _ := l.now()
	dice := l.chance("mail " + m.Subject)
	if w.cut || l.closed.Load() || w.coreLoss && dice%2 == 0 {
		return
	}
	times := 1
	if w.twice && dice%4 < 2 {
		times = 2
	}
	for range times {
		select {
		case sub.mail <- m:
		default: // a slow consumer loses
		}
	}
}

// Tell is part of feed.Link.
func (l *link) Tell(subject string, data []byte) error {
	m := feed.Message{Subject: subject, Data: data, Format: event.Protobuf}
	l.mu.Lock()
	cut := l.weather.cut
	if cut {
		l.buffer = append(l.buffer, m)
	}
	l.mu.Unlock()
	if !cut {
		l.server.publish(m)
	}
	return nil
}

// Ask is part of feed.Link.
func (l *link) Ask(ctx context.Context, subject string, data []byte) (feed.Message, error) {
	answers := make(chan []byte, 8)
	err := l.call(ctx, "ask "+subject, func() error {
		l.server.publish(feed.Message{Subject: subject, Data: data, Format: event.Protobuf, Answer: func(data []byte) error {
			select {
			case answers <- data:
			default: // the first answer is what counts
			}
			return nil
		}})
		return nil
	})
	if err != nil {
		return feed.Message{}, err
	}
	select {
	case data := <-answers:
		return feed.Message{Subject: subject, Data: data, Format: event.Protobuf}, l.pass(ctx, "answer "+subject)
	case <-ctx.Done():
		return feed.Message{}, ctx.Err()
	}
}

// reading are the messages of a stream, as an ordered consumer gives them: it goes on at the next sequence, whatever became of the stream.
type reading struct {
	link  *link
	name  string
	next  uint64 // the sequence after the last one
	empty bool
	done  chan struct{}
	stop  func()
}

// Read is part of feed.Link.
func (l *link) Read(ctx context.Context, name string) (feed.Messages, error) {
	r := &reading{link: l, name: name, next: 1, done: make(chan struct{})}
	r.stop = sync.OnceFunc(func() { close(r.done) })
	err := l.call(ctx, "read "+name, func() error {
		if !l.server.with(name, func(s *stream) { r.empty = len(s.messages) == 0 }) {
			return feed.ErrNoStream
		}
		return nil
	})
	return r, err
}

// Empty is part of feed.Messages.
func (r *reading) Empty() bool { return r.empty }

// Stop is part of feed.Messages.
func (r *reading) Stop() { r.stop() }

var errStopped = errors.New("stopped")

// Next is part of feed.Messages.
func (r *reading) Next() (feed.Message, error) {
	for {
		w, weather := r.link.now()
		changed, m := r.look()
		if m == nil || w.cut {
			select {
			case <-changed:
			case <-weather:
			case <-r.done:
				return feed.Message{}, errStopped
			}
			continue
		}
		if w.slow > 0 || m.Pending == 0 { // what comes in a burst comes together
			select {
			case <-time.After(w.delay(r.link.hash(r.name, m.Sequence))):
			case <-r.done:
				return feed.Message{}, errStopped
			}
		}
		if w, _ := r.link.now(); w.cut {
			continue // it was lost on the way, and will be asked for again
		}
		r.next = m.Sequence + 1
		return *m, nil
	}
}

// look is the next message, nil if there is none yet, and what closes when there may be.
func (r *reading) look() (changed <-chan struct{}, m *feed.Message) {
	r.link.server.mu.Lock()
	changed = r.link.server.changed // before the look: what changes after it is not missed
	r.link.server.mu.Unlock()
	r.link.server.with(r.name, func(s *stream) {
		if next, pending := s.after(r.next - 1); next != nil {
			m = &feed.Message{Subject: next.subject, Data: next.data, Format: next.format, Sequence: next.sequence, Pending: uint64(pending)}
		}
	})
	return changed, m
}
