package limit

import (
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Connections bounds a Listener; 0: no bound.
type Connections struct {
	// Total and PerClient are those open at once.
	Total, PerClient int
	// Wait is as a Gate's: where more new connections have waited to be accepted than are at once, for a quarter of that time, those that have waited longest are refused. Linux alone
	// tells how many wait.
	Wait time.Duration
}

// ListenerOptions of a Listener.
type ListenerOptions struct {
	// Client tells clients apart by their addresses; default each address.
	Client func(netip.Addr) netip.Addr
	// Exempt, if set, are those who are neither counted nor refused: the operator's own proxies, which bring many clients and whose probes must get through.
	Exempt func(netip.Addr) bool
	// Always, if set, reports of the first bytes of a connection that has waited too long whether it is let in all the same: balancers must know who is there.
	Always func(head []byte) bool
	// Refusal is what a connection too many is told before it is closed.
	Refusal []byte
}

// Listener accepts so many connections at once, in all and of one client, and closes the others (O5). Safe for concurrent use.
//
// Of those that come it takes a few, and lets everybody go who can run, before it takes more: to accept is cheap beside what then comes on a connection, and whoever only accepts has
// hundreds of new ones wait where they cannot be refused any more.
type Listener struct {
	net.Listener
	o ListenerOptions

	mu     sync.Mutex // guards what follows
	bounds Connections
	open   int
	turn   turn
	of     map[netip.Addr]int // has as many keys as connections at most
	counts ConnectionStats
}

// Listen puts bounds on a listener.
func Listen(l net.Listener, bounds Connections, o ListenerOptions) *Listener {
	if o.Client == nil {
		o.Client = func(a netip.Addr) netip.Addr { return a }
	}
	if o.Exempt == nil {
		o.Exempt = func(netip.Addr) bool { return false }
	}
	return &Listener{Listener: l, o: o, bounds: bounds, of: map[netip.Addr]int{}}
}

// Follow takes other bounds. Connections that are open stay.
func (l *Listener) Follow(bounds Connections) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bounds = bounds
}

// Accept waits for a connection within the bounds.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		l.pause()
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(c.RemoteAddr())
		if l.o.Exempt(from) {
			return c, nil
		}
		client := l.o.Client(from)
		if l.admit(client, c) {
			return &conn{Conn: c, listener: l, client: client}, nil
		}
		hear(c)
		_, _ = c.Write(l.o.Refusal) // it fits in what the kernel keeps for a new connection: it neither waits, nor matters
		_ = c.Close()
	}
}

// turn is what the listener may take before others have theirs.
type turn struct {
	taken  int           // in it
	excess int           // are refused
	began  time.Time     // the turn
	stood  time.Duration // how long more have waited to be accepted than a turn takes
}

// turnSize is how many connections are accepted in a turn: as much work as a piece or two of what has to be made.
const turnSize = 32

// pause ends a turn.
func (l *Listener) pause() {
	l.mu.Lock()
	over := l.turn.taken >= turnSize && l.turn.excess == 0 && l.bounds.Wait > 0
	l.mu.Unlock()
	if !over {
		return
	}
	runtime.Gosched()
	waiting, now := backlog(l.Listener), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn.begin(waiting, now, l.bounds.Wait)
}

// begin begins a turn while so many wait. As at a Gate, a turn that took long for want of people counts for little.
func (t *turn) begin(waiting int, now time.Time, wait time.Duration) {
	t.stood = lasting(t.stood, waiting > turnSize, now.Sub(t.began))
	t.taken, t.began = 0, now
	if t.stood > wait/stands {
		t.excess = waiting - turnSize
	}
}

func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func (l *Listener) admit(client netip.Addr, c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.turn.excess > 0 && !(l.o.Always != nil && l.o.Always(peek(c))):
		l.turn.excess--
		l.counts.RefusedWaiting++
		return false
	case l.bounds.Total > 0 && l.open >= l.bounds.Total:
		l.counts.RefusedTotal++
		return false
	case l.bounds.PerClient > 0 && l.of[client] >= l.bounds.PerClient:
		l.counts.RefusedPerClient++
		return false
	}
	l.turn.taken++
	l.open++
	l.of[client]++
	return true
}

func (l *Listener) leave(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.of[client]--; l.of[client] == 0 {
		delete(l.of, client)
	}
}

// ConnectionStats tell of a listener.
type ConnectionStats struct {
	// Open are the connections at this moment, but for those that are exempt.
	Open int
	// RefusedTotal, RefusedPerClient and RefusedWaiting are those that were closed since the start, by the bound that they broke.
	RefusedTotal, RefusedPerClient, RefusedWaiting uint64
}

// Stats is a snapshot.
func (l *Listener) Stats() ConnectionStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.counts
	s.Open = l.open
	return s
}

// conn makes room when it is closed.
type conn struct {
	net.Conn
	listener *Listener
	client   netip.Addr
	once     sync.Once
}

// Close closes it, and counts it out the first time.
func (c *conn) Close() error {
	c.once.Do(func() { c.listener.leave(c.client) })
	return c.Conn.Close()
}

// CloseWrite is net/http's way to let a client read the last response.
func (c *conn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return nil
}
