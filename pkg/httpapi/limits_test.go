package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/yupiao/yupiao/pkg/lane"
	"github.com/yupiao/yupiao/pkg/limit"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// rate is one that a test with a clock that stands does not outlast.
func rate(burst int) func(*Options) {
	return func(o *Options) { o.Settings.Rate = limit.Rate{PerSecond: 0.1, Burst: burst} }
}

// H7: who asks too often is told so, by every path but those that balancers ask; he may again when he has waited as told.
func TestTooOften(t *testing.T) {
	g := newRig(t, rate(2))
	for _, target := range []string{pair, "/v1/stations?q=bei"} {
		if w := g.get(target); w.Code != http.StatusOK {
			t.Fatalf("%s: %d", target, w.Code)
		}
	}
	for _, target := range []string{pair, pair + "&from=SHH", "/v1/stations?q=bei", "/v1/runs/20261201.G11", "/v1/accuracy", "/v1/stream?from=BJP&to=SHH&date=2026-12-01", "/openapi.yaml"} {
		w := g.get(target)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "10" || !strings.Contains(w.Body.String(), "you may ask 0.1 times a second, and 2 times at once") {
			t.Errorf("%s: %d %v %s", target, w.Code, w.Header(), w.Body)
		}
	}
	for _, target := range []string{"/healthz", "/readyz"} {
		for range 5 {
			if w := g.get(target); w.Code != http.StatusOK {
				t.Errorf("%s: %d", target, w.Code)
			}
		}
	}
	g.now = g.now.Add(10 * time.Second)
	if w := g.get(pair); w.Code != http.StatusOK {
		t.Errorf("after the wait: %d", w.Code)
	}
	if w := g.get(pair); w.Code != http.StatusTooManyRequests {
		t.Errorf("after one more: %d", w.Code)
	}
	g.Follow(Settings{})
	if w := g.get(pair); w.Code != http.StatusOK {
		t.Errorf("without a limit: %d", w.Code)
	}
	count := uint64(0)
	for _, r := range g.Traffic() {
		if r.Outcome == "limited" {
			count += r.Took.Count
		}
	}
	if count != 8 {
		t.Errorf("%d are counted as limited; want 8", count)
	}
}

// H6 and H7: in the lane as by gin, whatever is asked, and no request costs two tokens where it changes hands.
func TestLaneIsGinUnderLimits(t *testing.T) {
	const healthz = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
	bad := strings.Replace(hotLine, "to=SHH", "to=nowhere", 1) + "\r\n"
	behindProxies := func(o *Options) {
		o.Settings.TrustedProxies, o.Settings.KeyHeader = []string{"127.0.0.0/8", "10.0.0.1"}, "X-Key"
	}
	forwarded := func(headers string) string { return strings.Repeat(hotLine+headers+"\r\n\r\n", 2) }
	for name, c := range map[string]struct {
		burst   int
		change  func(*Options)
		request string
	}{
		"none":                        {1, nil, hotLine + "\r\n"},
		"one too many":                {1, nil, strings.Repeat(hotLine+"\r\n", 2)},
		"many too many":               {2, nil, strings.Repeat(hotLine+"\r\n", 30)},
		"by gin after the lane":       {1, nil, strings.Repeat(hotLine+"\r\n", 2) + healthz + hotLine + "\r\n" + healthz},
		"a bad one costs one":         {2, nil, bad + hotLine + "\r\n" + bad},
		"a tag":                       {1, nil, strings.Repeat(hotLine+"If-None-Match: *\r\n\r\n", 2)},
		"the last one":                {1, nil, hotLine + "\r\n" + hotLine + "Connection: close\r\n\r\n"},
		"head":                        {1, nil, strings.Repeat(strings.Replace(hotLine, "GET", "HEAD", 1)+"\r\n", 2)},
		"a proxy's word, unasked":     {1, nil, forwarded("X-Forwarded-For: 1.1.1.1") + forwarded("X-Forwarded-For: 2.2.2.2")},
		"a key, unasked":              {1, func(o *Options) { o.Settings.KeyHeader = "X-Key" }, forwarded("X-Key: a") + forwarded("X-Key: b")},
		"a proxy's word":              {1, behindProxies, forwarded("X-Forwarded-For: 1.1.1.1") + forwarded("X-Forwarded-For: 2.2.2.2, 1.1.1.2, 10.0.0.1") + forwarded("x-real-ip: ::1")},
		"a proxy's word twice":        {1, behindProxies, forwarded("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2")},
		"a proxy's nonsense":          {1, behindProxies, forwarded("X-Forwarded-For: me") + forwarded("X-Forwarded-For: , 10.0.0.1")},
		"a proxy's key":               {1, behindProxies, forwarded("X-Key: a\r\nX-Forwarded-For: 1.1.1.1") + forwarded("X-Key: b\r\nX-Forwarded-For: 1.1.1.1")},
		"several addresses, one /64":  {1, behindProxies, forwarded("X-Forwarded-For: 2001:db8::1") + forwarded("X-Forwarded-For: 2001:db8::2")},
		"the proxy itself is limited": {1, behindProxies, strings.Repeat(hotLine+"\r\n", 3)},
	} {
		var texts []string
		for _, fast := range []bool{true, false} {
			changes := []func(*Options){rate(c.burst)}
			if c.change != nil {
				changes = append(changes, c.change)
			}
			d := open(t, fast, changes...)
			texts = append(texts, d.say(t, []byte(c.request)))
			if err := d.end(); err != nil {
				t.Error(err)
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("%s:\nin the lane\n%.2000s\nby gin\n%.2000s", name, texts[0], texts[1])
		}
		if refused := strings.Count(texts[0], "HTTP/1.1 429 Too Many Requests"); (refused == 0) != (name == "none") {
			t.Errorf("%s: %d refused of\n%s", name, refused, texts[0])
		}
	}
}

// H6 for a client that is refused on a connection that is about to end.
func TestLimitedWhileDraining(t *testing.T) {
	var texts []string
	for _, fast := range []bool{true, false} {
		d := open(t, fast, rate(1))
		d.say(t, []byte(hotLine+"\r\n"))
		if l, ok := d.Listener.(*lane.Listener); ok {
			l.Last(true)
		}
		d.server.Drain()
		texts = append(texts, d.say(t, []byte(hotLine+"\r\n")))
		if err := d.end(); err != nil {
			t.Error(err)
		}
	}
	if texts[0] != texts[1] || !strings.Contains(texts[0], "429") || !strings.Contains(texts[0], "Connection: close") {
		t.Errorf("in the lane\n%s\nby gin\n%s", texts[0], texts[1])
	}
}

// H7, beside L3: to be refused costs no allocation in the lane, nor does the limit one who is not.
func TestLimitAllocatesNothing(t *testing.T) {
	for burst, want := range map[int]string{1: "429", 1_000_000: "200"} {
		g := newRig(t, rate(burst))
		_, query, _ := strings.Cut(pair, "?")
		q := &lane.Request{Query: query, Date: "now", From: netip.MustParseAddr("192.0.2.1")}
		out := make([]byte, 0, 1<<16)
		testkit.Eventually(t, "a kept page", func() bool { out, _ = g.Hot(out[:0], q); return g.answers.Stats().Entries > 0 || burst == 1 })
		if n := testing.AllocsPerRun(100, func() { out, _ = g.Hot(out[:0], q) }); n != 0 || !strings.HasPrefix(string(out), "HTTP/1.1 "+want) {
			t.Errorf("burst %d: %v allocations for %.20s", burst, n, out)
		}
	}
}

// The client is who gin says that it is, with headers that anybody may write.
func FuzzClientIsGins(f *testing.F) {
	for _, list := range []string{"", "1.2.3.4", "1.2.3.4, 10.0.0.7", "me, 10.0.0.7", ",10.0.0.7", "10.0.0.7", "::1", "::ffff:1.2.3.4", "fe80::1%eth0", " 1.2.3.4 ,", "01.2.3.4", "10.0.0.7,10.0.0.8"} {
		f.Add("10.0.0.1:1234", list, "5.6.7.8")
		f.Add("192.0.2.1:1", list, list)
	}
	ctx := f.Context()
	s, err := New(ctx, Options{Source: &testkit.Fixed{R: testkit.Railway(time.Now)}, Answers: keep(f, nil), Settings: Settings{TrustedProxies: []string{"10.0.0.0/8", "2001:db8::1"}}})
	if err != nil {
		f.Fatal(err)
	}
	var seen atomic.Pointer[string]
	s.engine.GET("/who", func(c *gin.Context) { ip := c.ClientIP(); seen.Store(&ip) })
	f.Fuzz(func(t *testing.T, remote, forwarded, realIP string) {
		if p, err := netip.ParseAddrPort(remote); err != nil || p.Addr().Zone() != "" {
			return // net/http writes it
		}
		r := httptest.NewRequest(http.MethodGet, "/who", nil)
		r.RemoteAddr = remote
		r.Header["X-Forwarded-For"], r.Header["X-Real-Ip"] = []string{forwarded}, []string{realIP}
		s.ServeHTTP(httptest.NewRecorder(), r)
		gins, err := netip.ParseAddr(*seen.Load())
		if ours := s.address(r); err != nil || ours != gins.Unmap() {
			t.Errorf("%q, %q, %q: %v; gin says %q", remote, forwarded, realIP, ours, *seen.Load())
		}
	})
}

func TestBadProxies(t *testing.T) {
	for _, text := range []string{"", "here", "1.2.3.4/33"} {
		if _, err := New(t.Context(), Options{Answers: keep(t, nil), Settings: Settings{TrustedProxies: []string{text}}}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("http.trusted_proxies: %q", text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if all, err := parseProxies([]string{"::1", "10.0.0.0/8"}); err != nil || len(all) != 2 {
		t.Error(all, err)
	}
}
