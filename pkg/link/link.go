// Package link is a TCP connection's way between two processes, on which one can make bad weather: a proxy that passes, delays, holds, swallows or cuts.
//
// Invariants (cited by the tests as K1...):
//
//	K1 Whatever latency and stalls there were, the bytes of a connection arrive whole and in order, or the connection is reset. There is never a hole.
//	K2 In a stall nothing passes and nothing is lost: a sender is held back once a bounded number of bytes is on the way.
//	K3 Half-open, each side can connect and write, and hears neither byte nor end of the other. What was open then is reset when the weather changes: its bytes are gone.
//	K4 Cut, every connection is reset, and so is every new one.
//	K5 A link that is closed leaves no connection and no goroutine.
package link

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Way is what becomes of bytes.
type Way int

// The ways.
const (
	Open     Way = iota // they pass
	Stalled             // they wait
	HalfOpen            // they are taken and go nowhere
	Cut                 // there is no connection
)

// String is a word.
func (w Way) String() string {
	if w < Open || w > Cut {
		return "unknown"
	}
	return [...]string{"open", "stalled", "half-open", "cut"}[w]
}

// Weather is how a link is. The zero value is good weather.
type Weather struct {
	Way Way
	// Latency each way, give or take a random part of Jitter. What was sent first arrives first all the same.
	Latency, Jitter time.Duration
}

const (
	// chunkSize times queueLength is how many bytes a connection holds each way, 1 MiB: at a latency of 200 ms, 5 MB/s pass.
	chunkSize, queueLength = 16 << 10, 64
	// dialWithin is how long the target may take to accept.
	dialWithin = 5 * time.Second
)

// Link listens and passes connections on to a target. All methods are safe for concurrent use.
type Link struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex // guards what follows; Set alone writes the weather
	weather Weather
	changed chan struct{} // closed when the weather is another
	pairs   map[*pair]struct{}
	closed  bool
}

// Listen opens a link to a target in good weather. Address is its own; "127.0.0.1:0" for any port.
func Listen(address, target string) (*Link, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", target, err)
	}
	l := &Link{target: target, listener: listener, changed: make(chan struct{}), pairs: map[*pair]struct{}{}}
	l.running.Go(l.accept)
	return l, nil
}

// Address is where the link listens.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Open is how many connections there are now.
func (l *Link) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pairs)
}

// Set changes the weather. It holds for what is on the way too, but that a latency counts from when a byte was sent.
func (l *Link) Set(w Weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := l.weather.Way == HalfOpen && w.Way != HalfOpen // K3
	l.weather = w
	if w.Way == Cut || lost {
		l.resetAll()
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// Close ends all connections and waits until nothing runs any more (K5).
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.resetAll()
	l.mu.Unlock()
	err := l.listener.Close()
	l.running.Wait()
	return err
}

// now is the weather, and what is closed when that is over.
func (l *Link) now() (Weather, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weather, l.changed
}

// resetAll resets all connections. The caller holds mu.
func (l *Link) resetAll() {
	for p := range l.pairs {
		p.reset()
	}
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.running.Go(func() { l.carry(&pair{client: conn.(*net.TCPConn), over: make(chan struct{})}) })
	}
}

// carry passes a connection on until it ends.
func (l *Link) carry(p *pair) {
	if !l.enter(p) {
		p.reset()
		return
	}
	defer l.leave(p)
	defer p.reset()
	if !l.dial(p) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pass(p, p.client, p.server) })
	l.pass(p, p.server, p.client)
	both.Wait()
	p.end()
}

// enter notes a new connection; false if there may be none (K4).
func (l *Link) enter(p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.weather.Way == Cut {
		return false
	}
	l.pairs[p] = struct{}{}
	return true
}

func (l *Link) leave(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

// dial connects to the target; false if the connection has none. A half-open one never gets there: what its client writes is swallowed until it is reset (K3).
func (l *Link) dial(p *pair) bool {
	if w, _ := l.now(); w.Way == HalfOpen {
		swallow(p.client)
		<-p.over
		return false
	}
	conn, err := net.DialTimeout("tcp", l.target, dialWithin)
	if err != nil {
		return false
	}
	return p.reaches(conn.(*net.TCPConn))
}

// swallow reads until the connection ends.
func swallow(from *net.TCPConn) {
	for buffer := make([]byte, chunkSize); ; {
		if _, err := from.Read(buffer); err != nil {
			return
		}
	}
}

// chunk is bytes on the way, or the end of what a side has to say.
type chunk struct {
	bytes []byte
	due   time.Time
	end   error // io.EOF in order, another error after a reset
}

// pass passes what one side says to the other, until it has no more to say or the connection ends.
func (l *Link) pass(p *pair, from, to *net.TCPConn) {
	queue := make(chan chunk, queueLength)
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { l.read(p, from, queue) })
	for {
		select {
		case c := <-queue:
			if !l.deliver(p, c, to) {
				return
			}
		case <-p.over:
			return
		}
	}
}

// read queues what a side says, with the time at which it is due (K1: none before what was said before it).
func (l *Link) read(p *pair, from *net.TCPConn, queue chan<- chunk) {
	for last := (time.Time{}); ; {
		buffer := make([]byte, chunkSize)
		n, err := from.Read(buffer)
		w, _ := l.now()
		if due := time.Now().Add(w.latency()); due.After(last) {
			last = due
		}
		select {
		case queue <- chunk{buffer[:n], last, err}:
		case <-p.over:
			return
		}
		if err != nil {
			return
		}
	}
}

func (w Weather) latency() time.Duration {
	if w.Jitter <= 0 {
		return max(w.Latency, 0)
	}
	return max(w.Latency-w.Jitter+rand.N(2*w.Jitter), 0)
}

// deliver delivers a chunk when it is due and the weather lets it pass; false if nothing more is to come.
func (l *Link) deliver(p *pair, c chunk, to *net.TCPConn) bool {
	wait := time.NewTimer(time.Until(c.due))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-p.over:
		return false
	}
	for {
		w, changed := l.now()
		if w.Way != Stalled {
			return l.write(p, w, c, to)
		}
		select {
		case <-changed:
		case <-p.over:
			return false
		}
	}
}

// write passes a chunk, or loses it; false if nothing more is to come.
func (l *Link) write(p *pair, w Weather, c chunk, to *net.TCPConn) bool {
	if w.Way == HalfOpen {
		if c.end != nil {
			<-p.over // an end that nobody hears of
		}
		return c.end == nil
	}
	if len(c.bytes) > 0 {
		if _, err := to.Write(c.bytes); err != nil {
			p.reset()
			return false
		}
	}
	switch {
	case c.end == nil:
		return true
	case errors.Is(c.end, io.EOF):
		_ = to.CloseWrite() // it may have gone
	default:
		p.reset()
	}
	return false
}

// pair is the two halves of a connection.
type pair struct {
	client *net.TCPConn
	over   chan struct{} // closed when it is reset

	mu     sync.Mutex // guards what follows
	server *net.TCPConn
	ended  bool
}

// reaches takes the half to the target; false if the connection has ended by now.
func (p *pair) reaches(server *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server = server; p.ended {
		abort(server)
	}
	return !p.ended
}

// reset ends both halves at once, without regard to what is on the way.
func (p *pair) reset() { p.close(abort) }

// end closes both halves after both have said all.
func (p *pair) end() { p.close(func(c *net.TCPConn) { _ = c.Close() }) }

func (p *pair) close(half func(*net.TCPConn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	close(p.over)
	half(p.client)
	if p.server != nil {
		half(p.server)
	}
}

// abort closes a connection so that its peer is told that it is reset.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0) // it is gone anyhow
	_ = c.Close()
}
