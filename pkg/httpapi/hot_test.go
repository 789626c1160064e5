package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/lane"
	"github.com/yupiao/yupiao/pkg/offer"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// door is a server on a real address, with the lane or without it.
type door struct {
	net.Listener
	server *Server
	end    func() error
}

// open serves the small railway. Each door has a cache of its own.
func open(tb testing.TB, fast bool, changes ...func(*Options)) *door {
	tb.Helper()
	clock := func() time.Time { return testkit.Morning }
	ctx, cancel := context.WithCancel(context.Background())
	keys, err := offer.ParseKeys([]string{"k1:00112233445566778899aabbccddeeff"})
	if err != nil {
		tb.Fatal(err)
	}
	answers := keep(tb, nil)
	o := Options{Source: &testkit.Fixed{R: testkit.Railway(clock)}, Clock: clock, Answers: answers, Settings: Settings{OfferKeys: keys, PositionWait: time.Millisecond}}
	for _, change := range changes {
		change(&o)
	}
	s, err := New(ctx, o)
	if err != nil {
		tb.Fatal(err)
	}
	d := &door{server: s}
	if d.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	if fast {
		d.Listener = lane.Listen(d.Listener, lane.Options{Path: HotPath, Handler: s, KeyHeader: o.Settings.KeyHeader})
	}
	server := &http.Server{Handler: s, MaxHeaderBytes: 16 << 10, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(d.Listener) }()
	d.end = func() error {
		cancel()
		err := server.Close()
		if l, ok := d.Listener.(*lane.Listener); ok {
			err = errors.Join(err, l.Drain(context.Background()))
		}
		return err
	}
	return d
}

// say sends bytes in pieces, says that no more will come, and gives what comes back.
func (d *door) say(t *testing.T, pieces ...[]byte) string {
	t.Helper()
	c, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, piece := range pieces {
		_, _ = c.Write(piece) // an answer may have ended the connection already
	}
	_ = c.(*net.TCPConn).CloseWrite() // as above
	_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
	all, _ := io.ReadAll(c) // a connection may be reset after its last answer
	return date.ReplaceAllString(string(all), "Date: now")
}

var date = regexp.MustCompile(`Date: [^\r]*`)

const hotLine = "GET " + pair + " HTTP/1.1\r\nHost: a\r\n"

// oddRequests are what clients send, and what nobody should.
var oddRequests = []string{
	hotLine + "\r\n",
	hotLine + "Connection: close\r\n\r\n",
	hotLine + "Connection: keep-alive\r\n\r\n",
	hotLine + "\r\n" + hotLine + "\r\n" + "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + hotLine + "\r\n",
	hotLine + "If-None-Match: *\r\n\r\n",
	hotLine + "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
	hotLine + "Traceparent: a\r\ntraceparent: b\r\n\r\n",
	hotLine + "If-None-Match: \"x\", W/\"y\"\r\nIf-None-Match: *\r\n\r\n",
	hotLine + "Range: bytes=0-9\r\nIf-Modified-Since: Tue, 01 Dec 2026 00:00:00 GMT\r\n\r\n",
	hotLine + "Cache-Control: max-age=3\r\n\r\n" + hotLine + "Cache-Control: no-cache\r\nPragma: no-cache\r\n\r\n",
	hotLine + "Yupiao-Position: nonsense\r\n\r\n",
	hotLine + "Accept-Encoding: gzip\r\n\r\n",
	hotLine + "Accept-Encoding: br;q=1, *;q=0\r\nOrigin: http://b\r\n\r\n",
	hotLine + "Content-Length: 3\r\n\r\nabc" + hotLine + "\r\n",
	hotLine + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + hotLine + "\r\n",
	hotLine + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	hotLine + "Expect: 100-continue\r\n\r\n",
	hotLine + "Host: b\r\n\r\n",
	hotLine + "X: " + strings.Repeat("x", 5000) + "\r\n\r\n",
	hotLine + "X: " + strings.Repeat("x", 40000) + "\r\n\r\n",
	hotLine + "X : y\r\n\r\n",
	hotLine + " folded\r\n\r\n",
	hotLine + "X: a\x00b\r\n\r\n",
	hotLine,
	strings.ReplaceAll(hotLine, "\r\n", "\n") + "\n",
	"HEAD " + pair + " HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST " + pair + " HTTP/1.1\r\nHost: a\r\n\r\n",
	"get " + pair + " HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET " + pair + " HTTP/1.0\r\n\r\n",
	"GET " + pair + " HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" + hotLine + "\r\n",
	"GET " + pair + " HTTP/2.0\r\nHost: a\r\n\r\n",
	"GET " + pair + "\r\n\r\n",
	"GET http://b" + pair + " HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET //v1/availability?from=BJP HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=%E5%8C%97%E4%BA%AC%E5%8D%97&to=SHH&date=2026-12-01&lang=zh HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=北京南&to=SHH&date=2026-12-01 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=BJP&from=SHH&date=2026-12-01 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=BJP;to=SHH&date=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=BJP&to=SHH&date=2026-12-01&offers=true HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=BJP&to=SHH&date=2026-12-01#x HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=BJP&to=BJP&date=2026-12-01&max_age=0 HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability? HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /v1/availability?from=BJP&to=nowhere&date=2026-12-01 HTTP/1.1\r\nHost: a b\r\n\r\n",
	"\r\n\r\n" + hotLine + "\r\n",
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

// H6: whatever is sent, and however it is cut, the lane and gin give the same bytes.
func TestLaneIsGin(t *testing.T) {
	fast, plain := open(t, true), open(t, false)
	for i, request := range oddRequests {
		whole := []byte(request)
		for _, cut := range []int{0, 3, len(whole) / 2, len(whole) - 1} {
			want, got := plain.say(t, whole[:cut], whole[cut:]), fast.say(t, whole[:cut], whole[cut:])
			if strings.Contains(request, "offers=true") {
				want, got = tokened.ReplaceAllString(want, "tok"), tokened.ReplaceAllString(got, "tok")
			}
			if got != want {
				t.Errorf("request %d cut at %d: %.200q\nin the lane:\n%.1000s\nby gin:\n%.1000s", i, cut, request, got, want)
			}
		}
	}
	if err := errors.Join(fast.end(), plain.end()); err != nil {
		t.Error(err)
	}
}

// tokened is an offer token, of which each is another.
var tokened = regexp.MustCompile(`k1\.[A-Za-z0-9_.-]+|Content-Length: [0-9]+|Etag: "[0-9a-f]+"`)

// H6, with requests that nobody thought of.
func FuzzLaneIsGin(f *testing.F) {
	for _, request := range oddRequests {
		f.Add([]byte(request), uint16(len(request)/2))
	}
	f.Fuzz(func(t *testing.T, whole []byte, cut uint16) {
		if bytes.Contains(whole, []byte("offers")) || bytes.Count(whole, []byte("availability")) > 3 {
			return // tokens differ each time, and pages that are asked for often are compressed at some moment
		}
		fast, plain := open(t, true), open(t, false)
		at := min(int(cut), len(whole))
		if want, got := plain.say(t, whole[:at], whole[at:]), fast.say(t, whole[:at], whole[at:]); got != want {
			t.Errorf("%q cut at %d\nin the lane:\n%.1000s\nby gin:\n%.1000s", whole, at, got, want)
		}
		if err := errors.Join(fast.end(), plain.end()); err != nil {
			t.Error(err)
		}
	})
}

// H6 for compressed forms, which come when a page is asked for often, and the tags of both.
func TestLaneCompresses(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} {
		var texts []string
		for _, fast := range []bool{true, false} {
			d := open(t, fast)
			ask := func(headers string) (text string) {
				testkit.Eventually(t, "a compressed answer", func() bool {
					text = d.say(t, []byte(hotLine+"Accept-Encoding: "+coding+"\r\n"+headers+"\r\n"))
					return headers != "" || strings.Contains(text, "Content-Encoding: "+coding)
				})
				return text
			}
			first := ask("")
			r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(first)), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close() // it is in memory
			again := ask("If-None-Match: " + r.Header.Get("Etag") + "\r\n")
			if !strings.HasPrefix(again, "HTTP/1.1 304 Not Modified\r\n") {
				t.Errorf("got %q", again)
			}
			texts = append(texts, first+again)
			if err := d.end(); err != nil {
				t.Error(err)
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: in the lane %.500q, by gin %.500q", coding, texts[0], texts[1])
		}
	}
}

// A stream begins on a connection that the lane has served, and ends with the server.
func TestStreamAfterLane(t *testing.T) {
	d := open(t, true)
	got := d.say(t, []byte(hotLine+"\r\n"+"GET /v1/stream?from=BJP&to=SHH&date=2026-12-01 HTTP/1.1\r\nHost: a\r\n\r\n"))
	for _, want := range []string{"application/json", "text/event-stream", "event: answer"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %.3000q", want, got)
		}
	}
	if err := d.end(); err != nil {
		t.Error(err)
	}
}

// L3 with its handler: a hit in the lane allocates nothing, and neither does 304.
func TestHotAllocatesNothing(t *testing.T) {
	g := newRig(t, nil)
	_, query, _ := strings.Cut(pair, "?")
	out := make([]byte, 0, 1<<16)
	request := &lane.Request{Query: query, Date: "now", AcceptEncoding: "gzip", CacheControl: "max-age=5"}
	hit := func() {
		var ok bool
		if out, ok = g.Hot(out[:0], request); !ok {
			t.Fatal("not answered")
		}
	}
	testkit.Eventually(t, "a kept page in its compressed form", func() bool { hit(); return bytes.Contains(out, []byte("Content-Encoding")) })
	for _, tag := range []string{"", "*"} {
		request.IfNoneMatch = tag
		if n := testing.AllocsPerRun(100, hit); n != 0 {
			t.Errorf("%v allocations with If-None-Match %q", n, tag)
		}
	}
}

// BenchmarkHot is a hit in process, by the number of trains in the answer, beside a look at whether it is still true.
func BenchmarkHot(b *testing.B) {
	for _, trains := range []int{1, 5, 17, 60} {
		b.Run(fmt.Sprintf("runs=%d", trains), func(b *testing.B) {
			clock := func() time.Time { return testkit.Morning }
			busy := testkit.NewBusy(clock, 15, trains)
			s, err := New(b.Context(), Options{Source: &testkit.Fixed{R: busy.Replica}, Clock: clock, Answers: keep(b, nil)})
			if err != nil {
				b.Fatal(err)
			}
			q := &lane.Request{Query: "from=BJP&to=SHH&date=" + busy.Runs[0].Date.String(), Date: "now"}
			out := make([]byte, 0, 1<<17)
			b.ReportAllocs()
			for b.Loop() {
				var ok bool
				if out, ok = s.Hot(out[:0], q); !ok {
					b.Fatal("not answered")
				}
			}
			b.ReportMetric(float64(len(out)), "bytes")
		})
	}
}

// A share of requests is logged, whichever way they are answered: what was asked, what came of it, and how long it took. Without a share nothing is.
func TestAccessLog(t *testing.T) {
	for _, share := range []float64{0, 1} {
		log := &testkit.Log{}
		d := open(t, true, func(o *Options) {
			o.Log, o.Settings.AccessLog = slog.New(slog.NewJSONHandler(log, nil)), share
		})
		d.say(t, []byte(hotLine+"\r\n"+"GET /v1/runs/nothing HTTP/1.1\r\nHost: a\r\n\r\n"))
		testkit.Eventually(t, "a log of both", func() bool { return share == 0 || strings.Count(log.String(), `"msg":"request"`) == 2 })
		for _, want := range []string{`"path":"/v1/availability","query":"from=BJP`, `"outcome":"ok","status":200,"bytes":`, `"path":"/v1/runs/nothing"`, `"outcome":"bad_request","status":400`, `"client":"127.0.0.1"`} {
			if strings.Contains(log.String(), want) != (share == 1) {
				t.Errorf("share %g: %s in\n%s", share, want, log.String())
			}
		}
		_ = d.end() // what it could say is of no interest here
	}
}
