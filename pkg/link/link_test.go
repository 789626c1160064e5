package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// far is what lies behind a link: it hands its connections out.
type far struct {
	net.Listener
	conns chan *net.TCPConn
}

func listen(t *testing.T) *far {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &far{l, make(chan *net.TCPConn, 16)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.conns <- c.(*net.TCPConn)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return f
}

// open opens a link and a connection through it, and gives both its ends.
func open(t *testing.T) (l *Link, near, there *net.TCPConn, f *far) {
	t.Helper()
	f = listen(t)
	l, err := Listen("127.0.0.1:0", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	near = dial(t, l)
	there = <-f.conns
	t.Cleanup(func() { _ = there.Close() })
	return l, near, there, f
}

func dial(t *testing.T, l *Link) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testkit.Patience))
	return c.(*net.TCPConn)
}

// says writes at one end and reads at the other.
func says(t *testing.T, from, to *net.TCPConn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("%q %v; want %q", got, err, text)
	}
}

// silent: nothing is heard for a while.
func silent(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	defer func() { _ = c.SetReadDeadline(time.Now().Add(testkit.Patience)) }()
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %d bytes, %v", n, err)
	}
}

// isReset: the connection is over, and not in order.
func isReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v; want a reset", err)
	}
}

// isRefused: a new connection is reset, now or before it was known to be there.
func isRefused(t *testing.T, l *Link) {
	t.Helper()
	c, err := net.Dial("tcp", l.Address())
	if err == nil {
		isReset(t, c.(*net.TCPConn))
		_ = c.Close()
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

// K1: much, both ways at once, in weather that changes all the while; both ends are heard.
func TestWhole(t *testing.T) {
	l, near, there, _ := open(t)
	const size = 4 << 20
	data := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(data)
	var all sync.WaitGroup
	for _, c := range []*net.TCPConn{near, there} {
		all.Go(func() {
			if _, err := c.Write(data); err != nil {
				t.Error(err)
			}
			_ = c.CloseWrite()
		})
		all.Go(func() {
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes arrived as they were sent: %t; %v", len(got), bytes.Equal(got, data), err)
			}
		})
	}
	arrived := make(chan struct{})
	go func() {
		all.Wait()
		close(arrived)
	}()
	weathers := []Weather{{}, {Way: Stalled}, {Latency: 3 * time.Millisecond, Jitter: 3 * time.Millisecond}, {Way: Stalled, Latency: time.Millisecond}}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		l.Set(weathers[i%len(weathers)])
		select {
		case <-arrived:
			testkit.Eventually(t, "the connection to be forgotten", func() bool { return l.Open() == 0 })
			return
		case <-ticker.C:
		}
	}
}

// A latency is never shorter than it was said to be.
func TestLatency(t *testing.T) {
	l, near, there, _ := open(t)
	l.Set(Weather{Latency: 60 * time.Millisecond, Jitter: 20 * time.Millisecond})
	at := time.Now()
	says(t, near, there, "there")
	says(t, there, near, "and back")
	if took := time.Since(at); took < 80*time.Millisecond {
		t.Errorf("there and back in %s; want twice 40 ms at least", took)
	}
}

// K2: what is on the way is bounded, and arrives later.
func TestStall(t *testing.T) {
	l, near, there, _ := open(t)
	l.Set(Weather{Way: Stalled})
	_ = near.SetWriteBuffer(16 << 10)
	sent := 0
	for {
		_ = near.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := near.Write(make([]byte, 64<<10))
		if sent += n; err != nil {
			break
		}
		if sent > 64<<20 {
			t.Fatal("a stall takes whatever it is given")
		}
	}
	silent(t, there)
	l.Set(Weather{})
	if _, err := io.ReadFull(there, make([]byte, sent)); err != nil {
		t.Error(err)
	}
}

// K3
func TestHalfOpen(t *testing.T) {
	l, near, there, f := open(t)
	says(t, near, there, "before")
	l.Set(Weather{Way: HalfOpen})
	fresh := dial(t, l) // it is accepted
	for _, c := range []*net.TCPConn{near, fresh} {
		if _, err := c.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		silent(t, c)
	}
	_ = there.Close() // nobody hears of it
	silent(t, near)
	if len(f.conns) > 0 {
		t.Error("a half-open link has reached its target")
	}
	l.Set(Weather{})
	isReset(t, near)
	isReset(t, fresh)
	near = dial(t, l)
	there = <-f.conns
	defer func() { _ = there.Close() }()
	says(t, near, there, "again")
}

// K4
func TestCut(t *testing.T) {
	l, near, there, f := open(t)
	l.Set(Weather{Way: Cut})
	isReset(t, near)
	isReset(t, there)
	isRefused(t, l)
	if len(f.conns) > 0 {
		t.Error("a cut link has reached its target")
	}
	l.Set(Weather{})
	near = dial(t, l)
	there = <-f.conns
	defer func() { _ = there.Close() }()
	says(t, near, there, "again")
}

// A side that ends in order is heard to end in order, and one that is reset to be reset.
func TestEnds(t *testing.T) {
	_, near, there, _ := open(t)
	_ = near.CloseWrite()
	if _, err := there.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v; want an end", err)
	}
	says(t, there, near, "the other way still goes")
	_, near, there, _ = open(t)
	abort(there)
	isReset(t, near)
}

// A target that is not there is a connection that is not there.
func TestNoTarget(t *testing.T) {
	f := listen(t)
	l, err := Listen("127.0.0.1:0", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	isRefused(t, l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// K5, with a connection in each weather.
func TestClose(t *testing.T) {
	for _, way := range []Way{Open, Stalled, HalfOpen, Cut} {
		l, near, there, _ := open(t)
		l.Set(Weather{Way: way})
		if way != Cut {
			_, _ = near.Write([]byte("on the way")) // it is reset if that fails
		}
		if err := l.Close(); err != nil || l.Open() != 0 {
			t.Errorf("%s: %v, %d connections", way, err, l.Open())
		}
		for _, c := range []*net.TCPConn{near, there} {
			if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: %v; want a reset", way, err)
			}
		}
	}
}

func TestWayString(t *testing.T) {
	for way, want := range map[Way]string{Open: "open", Stalled: "stalled", HalfOpen: "half-open", Cut: "cut", Cut + 1: "unknown", -1: "unknown"} {
		if way.String() != want {
			t.Errorf("%q; want %q", way, want)
		}
	}
}
