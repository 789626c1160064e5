// Package lane answers one hot request on HTTP/1.1 connections before net/http sees it. At anything else the connection becomes net/http's, from the first byte on that
// was not answered:
//
//	net.Listener -> Listener -> conn -- GET path?... in the strictest form --> Handler.Hot -> bytes
//	                                 \- anything else ----> Listener.Accept -> http.Server
//
// A server that does this for one kind of request need not understand HTTP: what it is not sure to read as net/http reads it, it does not read.
//
// Invariants (cited by the tests as L1...):
//
//	L1 To every request the answer is that of net/http and the handler behind it, byte for byte: what the lane is not sure to read alike, or its Handler does not answer, it
//	   hands over.
//	L2 A connection is handed over from the first byte on that was not answered; none is lost, and none comes twice.
//	L3 A hot request allocates nothing here.
//	L4 A connection costs one goroutine and one buffer. It is closed when it says nothing for the idle time, does not end a request's head within the header time, or takes
//	   nothing for the write time.
//	L5 A request that has arrived before a drain has ended is answered.
package lane

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers hot requests. It is called by many goroutines.
type Handler interface {
	// Hot appends the response to a request. False if it is net/http's to answer; nothing of it was answered then. It must not keep the request or its texts.
	Hot(dst []byte, r *Request) (response []byte, ok bool)
}

// Options of a Listener; zero times take the defaults.
type Options struct {
	// Path of the hot request, such as /v1/availability.
	Path    string
	Handler Handler
	// KeyHeader, if set, is the header whose value is Request.Key.
	KeyHeader string
	// Idle is how long a connection may be silent between requests, default 2 min; Header how long the head of a request may take from the first byte on, and the first
	// request from the connection's start, default 5 s; Write how long a response may take, default 30 s.
	Idle, Header, Write time.Duration
}

// Listener accepts connections, answers their hot requests, and gives those that become net/http's to Accept. Safe for concurrent use.
type Listener struct {
	net.Listener
	o        Options
	want     expected
	over     chan accepted
	closed   chan struct{}
	close    sync.Once
	draining atomic.Bool // responses are the last ones
	ending   atomic.Bool // nothing is waited for any more
	date     atomic.Pointer[date]

	mu    sync.Mutex // guards what follows
	conns map[*conn]struct{}
	empty chan struct{} // closed when conns is empty, if somebody waits for that
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// Listen puts a lane before a listener.
func Listen(l net.Listener, o Options) *Listener {
	for d, standard := range map[*time.Duration]time.Duration{&o.Idle: 2 * time.Minute, &o.Header: 5 * time.Second, &o.Write: 30 * time.Second} {
		if *d <= 0 {
			*d = standard
		}
	}
	lane := &Listener{Listener: l, o: o, want: expected{"GET " + o.Path + "?", strings.ToLower(o.KeyHeader)}, over: make(chan accepted), closed: make(chan struct{}), conns: map[*conn]struct{}{}}
	go lane.accept()
	return lane
}

// accept takes connections until the listener is closed. Errors are Accept's caller's, who knows which pass.
func (l *Listener) accept() {
	for {
		nc, err := l.Listener.Accept()
		if err == nil {
			l.add(nc)
			continue
		}
		select {
		case l.over <- accepted{err: err}:
		case <-l.closed:
			return
		}
	}
}

// Accept waits for a connection that is net/http's.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.over:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close accepts nothing more. Connections in the lane go on; see Drain.
func (l *Listener) Close() (err error) {
	l.close.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

// Last makes each response from now on its connection's last.
func (l *Listener) Last(on bool) { l.draining.Store(on) }

// Drain ends the connections in the lane: those without a request at once, the others with their responses (L5). It returns when none is left, or with ctx's error.
func (l *Listener) Drain(ctx context.Context) error {
	l.Last(true)
	l.ending.Store(true)
	gone := l.left()
	l.mu.Lock()
	for c := range l.conns {
		c.hurry()
	}
	l.mu.Unlock()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// left is closed when no connection is in the lane.
func (l *Listener) left() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.empty == nil {
		l.empty = make(chan struct{})
		l.tell()
	}
	return l.empty
}

// tell wakes who waits for the last connection. The caller holds mu.
func (l *Listener) tell() {
	if l.empty != nil && len(l.conns) == 0 {
		select {
		case <-l.empty:
		default:
			close(l.empty)
		}
	}
}

// Connections is how many are in the lane.
func (l *Listener) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func (l *Listener) add(nc net.Conn) {
	c := &conn{Conn: nc, lane: l}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	go c.run()
}

func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	l.tell()
}

// date is the header Date of a second.
type date struct {
	second int64
	text   string
}

func (l *Listener) dateAt(now time.Time) string {
	d := l.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		l.date.Store(d)
	}
	return d.text
}
