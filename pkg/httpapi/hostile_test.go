package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/lane"
	"github.com/yupiao/yupiao/pkg/limit"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// fortress is a server as a node has it, with little patience.
type fortress struct {
	*door
	connections *limit.Listener
	before      int // goroutines, without any connection
}

// soon is its patience: long enough for a machine that is busy to answer, and short for a test.
const soon = 300 * time.Millisecond

func fortify(t *testing.T, fast bool, bounds limit.Connections, patience time.Duration) *fortress {
	t.Helper()
	clock := func() time.Time { return testkit.Morning }
	ctx, cancel := context.WithCancel(context.Background())
	s, err := New(ctx, Options{Source: &testkit.Fixed{R: testkit.Railway(clock)}, Clock: clock, Answers: keep(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fortress{door: &door{server: s}, connections: limit.Listen(inner, bounds, limit.ListenerOptions{Client: s.Client, Exempt: s.Trusted, Refusal: Refusal()})}
	f.Listener = f.connections
	if fast {
		f.Listener = lane.Listen(f.connections, lane.Options{Path: HotPath, Handler: s, Header: patience, Write: patience})
	}
	server := &http.Server{Handler: s, MaxHeaderBytes: 16 << 10, ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: time.Minute}
	go func() { _ = server.Serve(f.Listener) }()
	t.Cleanup(func() {
		cancel()
		err := server.Close()
		if l, ok := f.Listener.(*lane.Listener); ok {
			err = errors.Join(err, l.Drain(context.Background()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	f.answers(t, "at first")
	testkit.Eventually(t, "no connection", func() bool { return f.connections.Stats().Open == 0 })
	f.before = runtime.NumGoroutine()
	return f
}

func (f *fortress) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testkit.Patience)) // an open connection takes one
	return c.(*net.TCPConn)
}

// answers holds that others are answered, in the lane and by gin.
func (f *fortress) answers(t *testing.T, when string) {
	t.Helper()
	c := f.dial(t)
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for _, request := range []string{hotLine + "\r\n", "GET /v1/stations?q=bei HTTP/1.1\r\nHost: a\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"} {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err = io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", when, r.StatusCode, err)
		}
		_ = r.Body.Close() // read
	}
}

// recovers holds that all that was held by those who were hostile is free again.
func (f *fortress) recovers(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, "no connection and no goroutine of one", func() bool {
		return f.connections.Stats().Open == 0 && runtime.NumGoroutine() <= f.before+2
	})
	f.answers(t, "afterwards")
}

// each runs a test in the lane and by net/http alone.
func each(t *testing.T, bounds limit.Connections, patience time.Duration, test func(t *testing.T, f *fortress)) {
	for name, fast := range map[string]bool{"in the lane": true, "by gin": false} {
		t.Run(name, func(t *testing.T) { test(t, fortify(t, fast, bounds, patience)) })
	}
}

const hostile = 200

// Requests that never end, whole bytes at a time, are cut off, and cost a goroutine or two each until then.
func TestSlowLoris(t *testing.T) {
	each(t, limit.Connections{}, soon, func(t *testing.T, f *fortress) {
		var conns []*net.TCPConn
		for i := range hostile {
			c := f.dial(t)
			conns = append(conns, c)
			beginnings := []string{"", "G", hotLine, "GET /v1/stations?q=bei HTTP/1.1\r\nHost: a\r\n", hotLine + "\r\n" + hotLine}
			_, _ = io.WriteString(c, beginnings[i%len(beginnings)]) // a cut is what is waited for
		}
		f.answers(t, "meanwhile")
		if n := runtime.NumGoroutine() - f.before; n > 3*hostile {
			t.Errorf("%d goroutines for %d connections", n, hostile)
		}
		ended := make(chan struct{})
		for _, c := range conns {
			go func() {
				defer func() { ended <- struct{}{} }()
				go func() {
					for range time.Tick(soon / 10) { // on and on, so that the connection is never idle
						if _, err := io.WriteString(c, "x"); err != nil {
							return
						}
					}
				}()
				_, _ = io.Copy(io.Discard, c) // until it is cut
				_ = c.Close()
			}()
		}
		for range conns {
			<-ended
		}
		f.recovers(t)
	})
}

// Who asks on and on and reads nothing is cut off, and what waits for him meanwhile is bounded.
func TestSlowReaders(t *testing.T) {
	each(t, limit.Connections{}, soon, func(t *testing.T, f *fortress) {
		many := strings.Repeat(hotLine+"\r\n", 500)
		for range 20 {
			c := f.dial(t)
			_ = c.SetReadBuffer(4 << 10) // what the kernel takes is no matter of ours
			go func() {
				for err := error(nil); err == nil; {
					_, err = io.WriteString(c, many)
				}
			}()
		}
		f.answers(t, "meanwhile")
		testkit.Eventually(t, "that they are cut off", func() bool { return f.connections.Stats().Open == 0 })
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapInuse > 512<<20 {
			t.Errorf("%d MB of heap", m.HeapInuse>>20)
		}
		f.recovers(t)
	})
}

// A head beyond the limit is refused once, however long it goes on.
func TestHugeHeaders(t *testing.T) {
	each(t, limit.Connections{}, soon, func(t *testing.T, f *fortress) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ended := make(chan string)
		for range hostile / 10 {
			c := f.dial(t)
			go func() {
				go func() {
					_, err := io.WriteString(c, hotLine)
					for range 10 << 10 { // 10 MB
						if err != nil {
							break
						}
						_, err = io.WriteString(c, "X: "+strings.Repeat("x", 1<<10)+"\r\n")
					}
				}()
				first, _ := bufio.NewReader(c).ReadString('\n') // a reset may be faster than the answer
				ended <- first
				_ = c.Close()
			}()
		}
		f.answers(t, "meanwhile")
		for range hostile / 10 {
			if first := <-ended; first != "" && !strings.HasPrefix(first, "HTTP/1.1 431 ") {
				t.Errorf("got %q", first)
			}
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 { // 200 MB were sent
			t.Errorf("%d MB more heap", grown>>20)
		}
		f.recovers(t)
	})
}

// Connections beyond the bounds are refused in words, those within them are answered, and when they go there is room again.
func TestFloodOfConnections(t *testing.T) {
	const room = 20
	for _, bounds := range []limit.Connections{{Total: room}, {PerClient: room}} {
		each(t, bounds, testkit.Patience, func(t *testing.T, f *fortress) {
			first := f.dial(t)
			in := bufio.NewReader(first)
			answered := func() bool {
				if _, err := io.WriteString(first, hotLine+"\r\n"); err != nil {
					return false
				}
				r, err := http.ReadResponse(in, nil)
				if err != nil {
					return false
				}
				_, err = io.Copy(io.Discard, r.Body)
				return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
			}
			if !answered() {
				t.Fatal("the first is not answered")
			}
			var conns []*net.TCPConn
			for range hostile {
				conns = append(conns, f.dial(t))
			}
			for _, c := range conns[room-1:] {
				if all, err := io.ReadAll(c); err != nil || !bytes.Equal(all, Refusal()) {
					t.Fatalf("got %q, %v", all, err)
				}
			}
			if s := f.connections.Stats(); s.Open != room || s.RefusedTotal+s.RefusedPerClient != hostile-room+1 {
				t.Errorf("%+v", s)
			}
			if n := runtime.NumGoroutine() - f.before; n > 3*room {
				t.Errorf("%d goroutines for %d connections", n, room)
			}
			if !answered() {
				t.Error("the first is not answered meanwhile")
			}
			for _, c := range append(conns, first) {
				_ = c.Close()
			}
			f.recovers(t)
		})
	}
}

// What a connection too many is told is an answer as HTTP has it, and ends the connection.
func TestRefusal(t *testing.T) {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(Refusal())), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Body.Close() != nil || r.StatusCode != http.StatusServiceUnavailable || !r.Close || r.Header.Get("Retry-After") != "1" || !bytes.Contains(body, []byte("/problems/overloaded")) {
		t.Errorf("%v %+v %s", err, r, body)
	}
}
