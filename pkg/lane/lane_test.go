package lane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/testkit"
)

// echo answers a query with itself, in the lane and by net/http; a query of "miss" is net/http's.
type echo struct {
	inLane, byServer atomic.Int64
	times            int // how often; 10 if not said
}

func (e *echo) body(query string) string { return strings.Repeat(query, cmp.Or(e.times, 10)) }

func (e *echo) Hot(dst []byte, r *Request) ([]byte, bool) {
	if r.Query == "miss" {
		return dst, false
	}
	e.inLane.Add(1)
	body := e.body(r.Query)
	closing := ""
	if r.Last {
		closing = "\r\nConnection: close"
	}
	return fmt.Appendf(dst, "HTTP/1.1 200 OK%s\r\nContent-Length: %d\r\nContent-Type: text/plain\r\nDate: %s\r\n\r\n%s", closing, len(body), r.Date, body), true
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.byServer.Add(1)
	body := e.body(r.URL.RawQuery)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = io.WriteString(w, body)
}

// server is a lane before net/http.
type server struct {
	*Listener
	echo echo
	http http.Server
}

func serve(t testing.TB, o Options) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	o.Path, o.Handler = "/v1/availability", &s.echo
	s.Listener, s.http.Handler = Listen(l, o), &s.echo
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.Listener) }()
	t.Cleanup(func() {
		if err := errors.Join(s.http.Close(), s.Drain(context.Background())); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

// say sends texts one after the other and gives what comes back until the other side ends.
func (s *server) say(t testing.TB, texts ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, text := range texts {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func body(query string) string { return "\r\n\r\n" + strings.Repeat(query, 10) }

// L2: hot requests, and one of net/http's in the middle: all are answered once, in order, however they are cut into packets.
func TestHandOver(t *testing.T) {
	s := serve(t, Options{})
	all := line("one", "Host: a") + line("two", "Host: a") + "GET /other?three HTTP/1.1\r\nHost: a\r\n\r\n" + line("four", "Host: a") + line("miss", "Host: a")
	for cut := range len(all) {
		before := s.echo.inLane.Load()
		got := s.say(t, all[:cut], all[cut:])
		for _, query := range []string{"one", "two", "three", "four", "miss"} {
			at := strings.Index(got, body(query))
			if at < 0 || strings.Count(got, body(query)) != 1 {
				t.Fatalf("cut at %d: %q is not answered once, or not in its turn:\n%s", cut, query, got)
			}
			got = got[at+len(body(query)):]
		}
		if n := s.echo.inLane.Load() - before; n != 2 {
			t.Fatalf("cut at %d: %d were answered in the lane; want the first two", cut, n)
		}
	}
}

// L2: a head that is too long for the lane is net/http's, from its first byte on.
func TestLongHead(t *testing.T) {
	s := serve(t, Options{})
	if got := s.say(t, line("one", "Host: a"), line("two", "Host: a", "Cookie: "+strings.Repeat("c", 2*inSize))); !strings.Contains(got, body("one")) || !strings.HasSuffix(got, body("two")) {
		t.Errorf("got %.300q", got)
	}
	if s.echo.byServer.Load() != 1 {
		t.Error("the long one was not net/http's")
	}
}

// Many pipelined requests are answered in order, beyond what one write takes.
func TestPipeline(t *testing.T) {
	s := serve(t, Options{})
	s.echo.times = 1000 // 8,000 bytes
	const requests = 500
	var all strings.Builder
	for i := range requests {
		all.WriteString(line(fmt.Sprintf("%08d", i), "Host: a"))
	}
	parts := strings.Split(s.say(t, all.String()), "\r\n\r\n")
	if len(parts) != requests+1 {
		t.Fatalf("%d answers", len(parts)-1)
	}
	for i, part := range parts[1:] { // what comes first is a head
		if want := s.echo.body(fmt.Sprintf("%08d", i)); !strings.HasPrefix(part, want) {
			t.Fatalf("answer %d is %.50q", i, part)
		}
	}
}

// L3.
func TestNoAllocation(t *testing.T) {
	l := &Listener{want: want, o: Options{Handler: constant{}}}
	c := &conn{lane: l, in: new([inSize]byte)}
	in := line("from=BJP&to=SHH", "Host: a:80", "Accept: */*", "Accept-Encoding: gzip")
	out := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(1000, func() {
		c.start, c.end = 0, copy(c.in[:], in)
		if got, v := c.answer(out[:0]); v != hot || len(got) == 0 {
			t.Fatal(v)
		}
	}); n > 0.01 { // the date of a new second
		t.Errorf("%v allocations", n)
	}
}

type constant struct{}

func (constant) Hot(dst []byte, r *Request) ([]byte, bool) { return append(dst, r.Date...), true }

// L4: connections that keep silent, or do not come to an end, are closed.
func TestPatience(t *testing.T) {
	s := serve(t, Options{Idle: 50 * time.Millisecond, Header: 50 * time.Millisecond})
	for name, text := range map[string]string{"silent": "", "half a head": prefix, "idle": line("one", "Host: a"), "half a second head": line("one", "Host: a") + prefix} {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
	}
	testkit.Eventually(t, "an empty lane", func() bool { return s.Connections() == 0 })
}

// L5: clients that ask on and on lose nothing when the lane is drained, and are told to go.
func TestDrain(t *testing.T) {
	s := serve(t, Options{})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var asking sync.WaitGroup
	var answers atomic.Int64
	for range 8 {
		asking.Go(func() {
			for {
				r, err := client.Get("http://" + s.Addr().String() + "/v1/availability?x")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
				answers.Add(1)
				if err != nil || r.Close {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	testkit.Eventually(t, "answers", func() bool { return answers.Load() > 100 })
	s.Last(true)
	asking.Wait()
	if err := s.Drain(t.Context()); err != nil || s.Connections() != 0 {
		t.Errorf("%v; %d are left", err, s.Connections())
	}
}

// L5: a connection without a request ends with the drain, and one that is slow to take its answer with the caller's patience.
func TestDrainIdle(t *testing.T) {
	s := serve(t, Options{})
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	testkit.Eventually(t, "a connection", func() bool { return s.Connections() == 1 })
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkAnswer is what a browser's request costs the lane itself, without its connection and its Handler's answer.
func BenchmarkAnswer(b *testing.B) {
	l := &Listener{want: expected{prefix: prefix}, o: Options{Handler: constant{}}}
	c := &conn{lane: l, in: new([inSize]byte)}
	in := line("from=BJP&to=SHH&date=2026-12-01", "Host: tickets.example", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd",
		"Accept-Language: zh-CN,zh;q=0.9", "Connection: keep-alive", `If-None-Match: "6e0fb6b96e779771"`, "X-Forwarded-For: 192.0.2.1", "Referer: https://tickets.example/")
	out := make([]byte, 0, 1000)
	b.ReportAllocs()
	for b.Loop() {
		c.start, c.end = 0, copy(c.in[:], in)
		if _, v := c.answer(out[:0]); v != hot {
			b.Fatal(v)
		}
	}
}
