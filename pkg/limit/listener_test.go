package limit

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// O5: a connection too many is told so and closed; one that closes makes room.
func TestConnections(t *testing.T) {
	for name, bounds := range map[string]Connections{"in all": {Total: 3}, "of one client": {PerClient: 3}} {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := Listen(inner, bounds, ListenerOptions{Refusal: []byte("full")})
		accepted := make(chan net.Conn, 10)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- c
			}
		}()
		dial := func() net.Conn {
			c, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
			return c
		}
		var open, theirs []net.Conn
		for range 3 {
			theirs = append(theirs, dial())
			open = append(open, <-accepted)
		}
		if text, err := io.ReadAll(dial()); err != nil || string(text) != "full" {
			t.Errorf("%s: the fourth got %q, %v", name, text, err)
		}
		_ = open[0].Close()
		_ = open[0].Close() // which makes room once
		theirs = append(theirs, dial())
		open = append(open, <-accepted)
		if text, _ := io.ReadAll(dial()); string(text) != "full" {
			t.Errorf("%s: closing one made room for two", name)
		}
		want := ConnectionStats{Open: 3, RefusedTotal: 2}
		if bounds.Total == 0 {
			want = ConnectionStats{Open: 3, RefusedPerClient: 2}
		}
		if s := l.Stats(); s != want {
			t.Errorf("%s: %+v", name, s)
		}
		l.Follow(Connections{})
		theirs = append(theirs, dial())
		open = append(open, <-accepted)
		for _, c := range append(open, theirs...) {
			_ = c.Close()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, more := <-accepted; more || l.Stats().Open != 0 || len(l.of) != 0 {
			t.Errorf("%s: %+v %v", name, l.Stats(), l.of)
		}
	}
}

// Those who are exempt are neither counted nor refused.
func TestExempt(t *testing.T) {
	inner := &scripted{conns: make(chan net.Conn, 10)}
	l := Listen(inner, Connections{Total: 1}, ListenerOptions{Exempt: func(a netip.Addr) bool { return a == address(7) }})
	for _, n := range []int{7, 1, 2, 7, 3} {
		inner.conns <- &peer{from: address(n)}
	}
	close(inner.conns)
	var got []netip.Addr
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		got = append(got, addressOf(c.RemoteAddr()))
	}
	if len(got) != 3 || got[0] != address(7) || got[1] != address(1) || got[2] != address(7) || l.Stats() != (ConnectionStats{Open: 1, RefusedTotal: 2}) {
		t.Errorf("%v %+v", got, l.Stats())
	}
}

// O5, held to sets of who is open.
func TestConnectionsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bounds := Connections{Total: rapid.IntRange(0, 6).Draw(t, "total"), PerClient: rapid.IntRange(0, 3).Draw(t, "per client")}
		inner := &scripted{conns: make(chan net.Conn, 2)}
		l := Listen(inner, bounds, ListenerOptions{})
		open, of := []net.Conn{}, map[netip.Addr]int{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if n := len(open); n > 0 && rapid.Bool().Draw(t, "close") {
				i := rapid.IntRange(0, n-1).Draw(t, "which")
				_ = open[i].Close()
				of[addressOf(open[i].RemoteAddr())]--
				open = append(open[:i], open[i+1:]...)
				continue
			}
			from := address(rapid.IntRange(0, 3).Draw(t, "client"))
			p := &peer{from: from}
			fits := (bounds.Total == 0 || len(open) < bounds.Total) && (bounds.PerClient == 0 || of[from] < bounds.PerClient)
			inner.conns <- p
			if !fits {
				inner.conns <- nil
			}
			c, err := l.Accept()
			if (err == nil) != fits || p.closed == fits {
				t.Fatalf("accepted %t, closed %t; fits %t", err == nil, p.closed, fits)
			}
			if fits {
				open = append(open, c)
				of[from]++
			}
			if l.Stats().Open != len(open) {
				t.Fatalf("%d are open; it says %d", len(open), l.Stats().Open)
			}
		}
	})
}

// scripted is a listener whose connections a test hands out; nil is an error.
type scripted struct {
	net.Listener
	conns chan net.Conn
}

func (s *scripted) Accept() (net.Conn, error) {
	if c := <-s.conns; c != nil {
		return c, nil
	}
	return nil, errors.New("no more")
}

// peer is a connection that takes everything.
type peer struct {
	net.Conn
	from   netip.Addr
	closed bool
}

func (p *peer) RemoteAddr() net.Addr        { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.from, 1)) }
func (p *peer) Write(b []byte) (int, error) { return len(b), nil }
func (p *peer) Close() error                { p.closed = true; return nil }

// A turn takes a few, and refuses what has waited longest where more have waited for too long.
func TestTurn(t *testing.T) {
	const wait = 400 * time.Millisecond
	now := time.Now()
	turn := turn{began: now}
	begin := func(after time.Duration, waiting, want int) {
		t.Helper()
		now = now.Add(after)
		turn.taken, turn.excess = 7, 0
		if turn.begin(waiting, now, wait); turn.excess != want || turn.taken != 0 {
			t.Errorf("%d wait: %+v; want %d", waiting, turn, want)
		}
	}
	for range wait / stands / blink { // a burst
		begin(blink, 1000, 0)
	}
	begin(1, 1000, 1000-turnSize) // which stands
	begin(blink, turnSize+1, 1)
	begin(blink, turnSize, 0) // and is over
	for range wait / stands / blink {
		begin(time.Hour, 1000, 0) // bursts that have nothing to do with each other
	}
}

// O5: with a queue that stands, those that have waited longest are told so, but for those that must be heard.
func TestStandingConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inner.Close() }()
	const excess = 10
	dial := func(text string) net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(testkit.Patience))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	probe := dial("ready?")
	var all []net.Conn
	for range turnSize + excess - 1 {
		all = append(all, dial("GET / HTTP/1.1"))
	}
	defer func() {
		for _, c := range append(all, probe) {
			_ = c.Close()
		}
	}()
	if backlog(inner) == 0 {
		t.Skip("this system does not tell how many wait")
	}
	l := Listen(inner, Connections{Wait: time.Nanosecond}, ListenerOptions{Refusal: []byte("full"), Always: func(head []byte) bool { return string(head) == "ready?" }})
	l.turn.taken = turnSize
	for i := range turnSize {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		want := probe
		if i > 0 {
			want = all[excess+i-1]
		}
		if c.RemoteAddr().String() != want.LocalAddr().String() {
			t.Fatalf("the %d-th is another", i)
		}
		_ = c.Close()
	}
	for _, c := range all[:excess] {
		if text, err := io.ReadAll(c); err != nil || string(text) != "full" {
			t.Errorf("got %q, %v", text, err)
		}
	}
	if s := l.Stats(); s != (ConnectionStats{RefusedWaiting: excess}) {
		t.Errorf("%+v", s)
	}
}
