package sim

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
)

// Streams of the feed, as the contract names them.
const (
	reference = "YUPIAO_REFERENCE"
	state     = "YUPIAO_STATE"
	delta     = feed.DeltaStream
)

// server is a model of the NATS servers: what JetStream keeps and forgets, and who has subscribed. Each call is whole at once; what goes wrong on the way to it is the links' affair.
type server struct {
	mu      sync.Mutex // guards what follows
	streams map[string]*stream
	subs    map[string][]*subscription
	changed chan struct{} // closed at the next change of a stream
}

func newServer() *server {
	return &server{streams: map[string]*stream{}, subs: map[string][]*subscription{}, changed: make(chan struct{})}
}

// stored is a message of a stream.
type stored struct {
	subject  string
	data     []byte
	format   event.Format
	sequence uint64
	at       time.Time
	expires  time.Time // zero: never by itself
}

// message is what those get who ask for it.
func (m *stored) message() feed.Message {
	return feed.Message{Subject: m.subject, Data: m.data, Format: m.format, At: m.at, Sequence: m.sequence}
}

// stream keeps messages in order. Its zero value with a birth is an empty one.
type stream struct {
	created  time.Time
	last     uint64
	messages []stored
	maxAge   time.Duration
	lastOnly bool      // one message a subject
	soonest  time.Time // nothing is over before; zero: nothing ever is
}

func (s *stream) clone() *stream {
	c := *s
	c.messages = slices.Clone(s.messages)
	return &c
}

// expire lets go of what is over.
func (s *stream) expire(now time.Time) {
	if s.soonest.IsZero() || now.Before(s.soonest) {
		return
	}
	s.messages = slices.DeleteFunc(s.messages, func(m stored) bool { return !m.expires.IsZero() && !now.Before(m.expires) })
	s.soonest = time.Time{}
	for i := range s.messages {
		s.ends(s.messages[i].expires)
	}
}

// ends notes when a message is over; zero: never.
func (s *stream) ends(at time.Time) {
	if !at.IsZero() && (s.soonest.IsZero() || at.Before(s.soonest)) {
		s.soonest = at
	}
}

func (s *stream) first() uint64 {
	if len(s.messages) == 0 {
		return s.last + 1
	}
	return s.messages[0].sequence
}

// forget loses a message.
func (s *stream) forget(sequence uint64) {
	s.messages = slices.DeleteFunc(s.messages, func(m stored) bool { return m.sequence == sequence })
}

// on is the last message on a subject; nil if there is none.
func (s *stream) on(subject string) *stored {
	for i := len(s.messages) - 1; i >= 0; i-- {
		if s.messages[i].subject == subject {
			return &s.messages[i]
		}
	}
	return nil
}

// after is the first message with a sequence above one, and how many follow it.
func (s *stream) after(sequence uint64) (m *stored, pending int) {
	i, _ := slices.BinarySearchFunc(s.messages, sequence+1, func(m stored, want uint64) int {
		switch {
		case m.sequence < want:
			return -1
		case m.sequence > want:
			return 1
		}
		return 0
	})
	if i == len(s.messages) {
		return nil, 0
	}
	return &s.messages[i], len(s.messages) - i - 1
}

func (s *stream) add(m stored, ttl time.Duration) uint64 {
	if s.lastOnly {
		s.messages = slices.DeleteFunc(s.messages, func(old stored) bool { return old.subject == m.subject })
	}
	s.last++
	m.sequence, m.at = s.last, time.Now()
	if s.maxAge > 0 && (ttl == 0 || s.maxAge < ttl) {
		ttl = s.maxAge
	}
	if ttl > 0 {
		m.expires = m.at.Add(ttl)
		s.ends(m.expires)
	}
	s.messages = append(s.messages, m)
	return m.sequence
}

// streamOf is the stream that takes a subject.
func streamOf(subject string) string {
	switch {
	case strings.HasPrefix(subject, "yupiao.v1.state."):
		return state
	case strings.HasPrefix(subject, "yupiao.v1.delta."):
		return delta
	}
	return reference
}

// ensure makes the streams that are not there.
func (s *server) ensure(l feed.Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{reference, state, delta} {
		if s.streams[name] == nil {
			fresh := &stream{created: time.Now(), lastOnly: name != delta}
			if name == delta {
				fresh.maxAge = l.DeltaAge
			}
			s.streams[name] = fresh
			s.tell()
		}
	}
}

// tell wakes those who wait for a change. The caller holds mu.
func (s *server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// with does something with a stream as it is now; false if there is none of that name.
func (s *server) with(name string, do func(*stream)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	if st == nil {
		return false
	}
	st.expire(time.Now())
	do(st)
	return true
}

// add adds a message; 0 if there is no stream for it, or the last one on its subject is of another sequence than expected (nil: whatever it is).
func (s *server) add(m stored, ttl time.Duration, expected *uint64) (sequence uint64, exists bool) {
	exists = s.with(streamOf(m.subject), func(st *stream) {
		last := uint64(0)
		if before := st.on(m.subject); before != nil {
			last = before.sequence
		}
		if expected == nil || *expected == last {
			sequence = st.add(m, ttl)
			s.tell()
		}
	})
	return sequence, exists
}

// copies are of all streams, for a later restore.
func (s *server) copies() map[string]*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]*stream{}
	for name, st := range s.streams {
		out[name] = st.clone()
	}
	return out
}

// restore puts back what a stream was.
func (s *server) restore(name string, old *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[name] = old.clone()
	s.tell()
}

// remove deletes a stream.
func (s *server) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, name)
	s.tell()
}

// subscription is one client's interest in a subject.
type subscription struct {
	link *link
	take func(feed.Message)
	mail chan feed.Message
}

func (s *server) subscribe(subject string, sub *subscription) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs[subject] = append(s.subs[subject], sub)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.subs[subject] = slices.DeleteFunc(s.subs[subject], func(o *subscription) bool { return o == sub })
		close(sub.mail)
	})
}

// publish hands a message to all who have subscribed, as their links let it through.
func (s *server) publish(m feed.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs[m.Subject] {
		sub.link.deliver(sub, m)
	}
}
