//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// asker is a crowd that asks a real server for /0, /1, ...
func asker(t *testing.T, answer http.HandlerFunc) *crowd {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &crowd{
		server: syscall.SockaddrInet4{Port: n, Addr: [4]byte{127, 0, 0, 1}}, connections: 20, patience: time.Minute,
		write: func(dst []byte, n int) ([]byte, bool) {
			return fmt.Appendf(dst, "GET /%d HTTP/1.1\r\nHost: crowd\r\n\r\n", n), n%10 == 6
		},
	}
}

// Each request is counted once, as what became of it, whether connections are kept or not.
func TestCrowdCounts(t *testing.T) {
	for _, reconnect := range []bool{false, true} {
		var came atomic.Int64
		c := asker(t, func(w http.ResponseWriter, r *http.Request) {
			came.Add(1)
			n, err := strconv.Atoi(r.URL.Path[1:])
			if err != nil {
				t.Errorf("asked for %s", r.URL)
			}
			body := strings.Repeat("x", n*300) // up to 180 kB: in several pieces
			what := [10]int{503, 503, 503, 429, 404, 200, 200, 200, 200, 200}[n%10]
			if n%10 == 0 || n%10 == 1 || n%10 == 3 {
				w.Header().Set("Retry-After", "1")
			}
			if n%10 == 5 {
				w.Header().Set("Connection", "close")
			}
			if what != http.StatusOK {
				w.WriteHeader(what)
				return
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write([]byte(body))
		})
		c.reconnect, c.window = reconnect, 100*time.Millisecond
		windows := 0
		c.told = func(w tally) { windows += w.due }
		got, err := c.run(context.Background(), leg{1000, 300 * time.Millisecond}, leg{3000, 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if came.Load() != 600 {
			t.Errorf("reconnect %v: %d came", reconnect, came.Load())
		}
		if got.due != 600 || got.ok != 300 || got.made != 60 || got.refused != 120 || got.limited != 60 || got.failed() != 120 || got.errors["refused without Retry-After"] != 60 || got.errors["status 404"] != 60 {
			t.Errorf("reconnect %v: %+v", reconnect, got)
		}
		if len(got.took) != got.ok || len(got.refusedIn) != got.refused {
			t.Errorf("reconnect %v: %d times of %d answers, %d of %d refusals", reconnect, len(got.took), got.ok, len(got.refusedIn), got.refused)
		}
		if rest := c.tally.due; windows+rest != 600 {
			t.Errorf("reconnect %v: the windows have %d requests and %d", reconnect, windows, rest)
		}
	}
}

// Who gets no answer, or not all of one, has an error; and who waits too long.
func TestCrowdSeesFailures(t *testing.T) {
	c := asker(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/0" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Length", "10")
		_, _ = w.Write([]byte("half")) // and the connection is closed
	})
	c.patience = 2 * time.Second // in which a busy machine answers one of nine
	got, err := c.run(context.Background(), leg{100, 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got.due != 10 || got.failed() != 10 || got.errors["closed before the answer"] == 0 || got.errors["no answer in time"] == 0 {
		t.Errorf("%+v", got)
	}
}

// A plan has each request due in its leg, evenly.
func TestPlan(t *testing.T) {
	p := newPlan([]leg{{10, time.Second}, {100, 100 * time.Millisecond}})
	if p.count != 20 {
		t.Fatalf("%d requests", p.count)
	}
	for n, want := range map[int]time.Duration{0: 0, 5: 500 * time.Millisecond, 9: 900 * time.Millisecond, 10: time.Second, 15: 1050 * time.Millisecond} {
		if got := newPlan(p.legs).due(n); got != want {
			t.Errorf("request %d is due at %v, want %v", n, got, want)
		}
	}
}
