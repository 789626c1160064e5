package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// overTCP is a run against a real server, over the kernel's network and by its clock, for half a second. What it takes is not looked at.
func overTCP(t *testing.T, o Options, handler http.HandlerFunc) *Report {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	o.Server, o.Rate, o.For = server.URL, 1000, 500*time.Millisecond
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if sum := tallied(report); report.Due != 500 || sum != report.Due {
		t.Errorf("L3: %d were due, %d have an outcome; want 500", report.Due, sum)
	}
	return report
}

func count(r *Report, outcome Outcome) uint64 {
	for _, c := range r.Outcomes {
		if c.Outcome == outcome {
			return c.Latency.Count
		}
	}
	return 0
}

// Every tenth request comes to each end, however it is transferred.
func TestOutcomes(t *testing.T) {
	var served atomic.Int64
	report := overTCP(t, options(t), func(w http.ResponseWriter, r *http.Request) {
		switch served.Add(1) % 10 {
		case 0:
			w.WriteHeader(http.StatusNotModified)
		case 1:
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.WriteHeader(http.StatusTeapot)
		case 4:
			hijack(t, w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal")
		case 5:
			hijack(t, w, "what?\r\n")
		case 6: // chunked
			fmt.Fprint(w, "1234")
			_ = http.NewResponseController(w).Flush() // the client finds what is missing
			fmt.Fprint(w, "5678")
		case 7:
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, "12345678")
		default:
			fmt.Fprint(w, "12345678")
		}
		if r.Host == "" || r.Method != http.MethodGet || r.URL.Path != "/v1/availability" || !strings.HasPrefix(r.URL.Query().Get("date"), "2026-12-0") {
			t.Errorf("%s %s of %q", r.Method, r.URL, r.Host)
		}
	})
	for outcome, want := range map[Outcome]uint64{OK: 200, NotModified: 50, TooMany: 50, Unavailable: 50, Other: 50, Failed: 100, Unsent: 0} {
		if got := count(report, outcome); got != want {
			t.Errorf("%d requests came to %s; want %d", got, outcome, want)
		}
	}
	want := map[string]uint64{"status 418": 50, "malformed answer": 50, "connection closed before the end of the answer": 50}
	if fmt.Sprint(report.Problems) != fmt.Sprint(want) || report.Bytes != 200*8+50*3 || report.Age.Count != 0 {
		t.Errorf("%v, %d bytes, %d ages; want %v, 1750, 0", report.Problems, report.Bytes, report.Age.Count, want)
	}
}

func hijack(t *testing.T, w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(conn, text) // a client that has left is not there to be tested
	_ = conn.Close()
}

// A server that is gone leaves errors, not a hanging run.
func TestServerGone(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") })}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // it ends in the middle: that is the test
	o := options(t)
	o.Server, o.Rate, o.For = "http://"+listener.Addr().String(), 500, 1200*time.Millisecond
	o.Progress = func(Progress) { _ = server.Close() }
	report, err := Run(t.Context(), o)
	serving.Wait()
	if err != nil || count(report, OK) < 1 || count(report, Failed) < 1 || tallied(report) != 600 || report.Problems["no connection"] < 1 {
		t.Errorf("%v: %+v %v", err, report.Outcomes, report.Problems)
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "connect to http://127.0.0.1") {
		t.Errorf("a server that is not there: %v", err)
	}
}

// The last tag of a key goes with a share of its requests, and no other's.
func TestConditional(t *testing.T) {
	o := options(t)
	o.Conditional, o.Gzip = 1, 0.5
	var served, asked, gzip atomic.Int64
	report := overTCP(t, o, func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Query().Get("from") + r.URL.Query().Get("to") + r.URL.Query().Get("date")
		n := served.Add(1)
		gzip.Add(int64(len(r.Header.Values("Accept-Encoding"))))
		if tag := r.Header.Get("If-None-Match"); tag != "" {
			asked.Add(1)
			if !strings.HasPrefix(tag, `W/"`+key+" ") {
				t.Errorf("%s with the tag %s", key, tag)
			}
			if n%2 == 0 {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		w.Header().Set("ETag", fmt.Sprintf(`W/"%s %d"`, key, n))
		w.Header().Set("Age", "2")
	})
	if n := asked.Load(); n < 1 || n >= 500 || gzip.Load() < 200 || gzip.Load() > 300 {
		t.Errorf("%d of %d requests were conditional, %d accepted gzip; want most and half of them", n, served.Load(), gzip.Load())
	}
	if age := report.Age; age.Count != count(report, OK) || age.P50 < 2000 || age.Max > 2002 {
		t.Errorf("ages by the header Age: %+v", age.Distribution)
	}
}

// Watchers over a real connection: events in pieces, more than a buffer long.
func TestWatchersOverTCP(t *testing.T) {
	o := options(t)
	o.Watchers = 20
	var open, sent atomic.Int64
	all := make(chan struct{})
	report := overTCP(t, o, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/stream" {
			<-all // so that the run does not end before
			return
		}
		open.Add(1)
		defer open.Add(-1)
		if r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("asked for %s", r.Header)
		}
		control := http.NewResponseController(w)
		for i := range 3 {
			fmt.Fprintf(w, ": beat\nevent: status\nid: %d\ndata: {\"as_of\":\"%s\"", i, time.Now().UTC().Format(time.RFC3339Nano))
			_ = control.Flush() // as above
			fmt.Fprintf(w, "%s}\n\n", strings.Repeat(" ", 100*i))
			_ = control.Flush()
		}
		if sent.Add(3) == 60 {
			close(all)
		}
		<-r.Context().Done()
	})
	if w := report.Watching; w.Events["status"] < 1 || w.Events["status"] > 60 || w.Streams != 20 || w.Behind.Count != w.Events["status"] || w.Lost != 0 || w.Unproved != 0 || open.Load() != 0 {
		t.Errorf("%d events sent, %d streams open: %+v", sent.Load(), open.Load(), w)
	}
}

// Asking costs the load side little: this client beside net/http's, against a server that costs nothing either.
func BenchmarkAsk(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // the benchmark is over
	go echo(listener)
	o := Defaults()
	o.Demand, o.Dates, o.Server, o.Connections = wanted(b), options(b).Dates, "http://"+listener.Addr().String(), 1
	b.Run("client=load", func(b *testing.B) {
		t, err := resolve(b.Context(), o.Server, net.DefaultResolver)
		if err != nil {
			b.Fatal(err)
		}
		o.dial = t.dial
		r := newRun(&o, t.host)
		r.begin = time.Now()
		defer r.clients[0].drop()
		for b.Loop() {
			if res := r.clients[0].ask(shot{due: r.now()}); res.outcome != OK {
				b.Fatal(res)
			}
		}
	})
	b.Run("client=net/http", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
		defer client.CloseIdleConnections()
		for b.Loop() {
			response, err := client.Get(o.Server + "/v1/availability?from=A&to=B&date=2026-12-01")
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body) // a short one is found by the next request
			_ = response.Body.Close()
		}
	})
}

// echo answers whatever is asked with 4 KB.
func echo(listener net.Listener) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 4096\r\nETag: \"x\"\r\nYupiao-As-Of: 2026-12-01T12:00:00.000Z\r\n\r\n" + strings.Repeat("x", 4096))
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }() // nothing is left to be said
			in := bufio.NewReader(conn)
			for {
				text, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(text) <= 2 {
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}
		}()
	}
}
