package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/lane"
	"github.com/yupiao/yupiao/pkg/limit"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// occupied is a gate in which somebody works, and nobody else fits until leave.
func occupied(t *testing.T, s *Server, wait time.Duration) (leave func()) {
	t.Helper()
	s.gate = limit.NewGate(limit.GateOptions{Wait: wait, Most: 1})
	pass, ok := s.gate.Enter(limit.New)
	if !ok {
		t.Fatal("an empty gate lets nobody in")
	}
	return pass.Leave
}

// H8: with all turns taken, hits are answered in the lane, health and readiness by gin; all else is refused, and answered again when there is room.
func TestOverloaded(t *testing.T) {
	g := newRig(t, nil)
	_, query, _ := strings.Cut(pair, "?")
	q := &lane.Request{Query: query, Date: "now", From: netip.MustParseAddr("192.0.2.1")}
	ask := func(query string) string {
		q.Query = query
		out, ok := g.Hot(nil, q)
		if !ok {
			return "gin's"
		}
		first, _, _ := strings.Cut(string(out), "\r\n")
		return first
	}
	testkit.Eventually(t, "a kept page", func() bool { ask(query); return g.answers.Stats().Entries > 0 })
	leave := occupied(t, g.Server, time.Millisecond)
	refused := "HTTP/1.1 503 Service Unavailable"
	if got := ask(query); got != "HTTP/1.1 200 OK" {
		t.Errorf("a hit: %s", got)
	}
	if got := ask(query + "&lang=en"); got != refused {
		t.Errorf("a render: %s", got)
	}
	targets := []string{pair + "&lang=en", "/v1/stations?q=bei", "/v1/runs/20261201.G11", "/v1/accuracy", "/v1/stream?from=BJP&to=SHH&date=2026-12-01", "/openapi.yaml"}
	for _, target := range targets {
		if w := g.get(target); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "/problems/overloaded") {
			t.Errorf("%s: %d %v %s", target, w.Code, w.Header(), w.Body)
		}
	}
	for _, target := range []string{"/healthz", "/readyz"} {
		if w := g.get(target); w.Code != http.StatusOK {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	count := uint64(0)
	for _, r := range g.Traffic() {
		if r.Outcome == "shed" {
			count += r.Took.Count
		}
	}
	if s, _ := g.Limits(); count != uint64(len(targets)+1) || s.Shed != count || s.In != 1 || s.Limit != 1 {
		t.Errorf("%d are counted as shed, %+v", count, s)
	}
	leave()
	if got := ask(query + "&lang=en"); got != "HTTP/1.1 200 OK" {
		t.Errorf("with room: %s", got)
	}
	if got := ask("from=nowhere"); got != "gin's" {
		t.Errorf("a bad one: %s", got)
	}
	for _, target := range targets[:4] {
		if w := g.get(target); w.Code != http.StatusOK {
			t.Errorf("%s with room: %d", target, w.Code)
		}
	}
	if s, _ := g.Limits(); s.In != 0 || s.Waiting != 0 {
		t.Errorf("a turn was not given back: %+v", s)
	}
}

// H6 under overload: what is refused is refused with the same bytes.
func TestLaneIsGinOverloaded(t *testing.T) {
	var texts []string
	for _, fast := range []bool{true, false} {
		d := open(t, fast)
		leave := occupied(t, d.server, time.Millisecond)
		texts = append(texts, d.say(t, []byte(hotLine+"\r\n"+hotLine+"If-None-Match: *\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"+hotLine+"\r\n")))
		leave()
		if err := d.end(); err != nil {
			t.Error(err)
		}
	}
	if texts[0] != texts[1] || strings.Count(texts[0], "503 Service Unavailable") != 3 || strings.Count(texts[0], "200 OK") != 1 {
		t.Errorf("in the lane\n%s\nby gin\n%s", texts[0], texts[1])
	}
}

// stuck is a client that takes nothing until it is freed.
type stuck struct {
	*httptest.ResponseRecorder
	writing, freed chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	close(s.writing)
	<-s.freed
	return len(b), errors.New("gone")
}

// H8: who reads slowly or waits for a position holds no turn.
func TestSlowHoldNoTurn(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Settings.PositionWait = time.Hour })
	g.gate = limit.NewGate(limit.GateOptions{Wait: testkit.Patience, Most: 1})
	s := &stuck{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		g.ServeHTTP(s, httptest.NewRequest(http.MethodGet, "/v1/runs/20261201.G11", nil))
		close(ended)
	}()
	<-s.writing
	if w := g.get("/v1/stations?q=bei"); w.Code != http.StatusOK {
		t.Errorf("beside a slow reader: %d", w.Code)
	}
	close(s.freed)
	<-ended
	ahead := newRig(t, nil)
	ahead.sell(2)
	r := httptest.NewRequest(http.MethodGet, pair, nil)
	ctx, cancel := context.WithCancel(t.Context())
	waits := &watched{Context: ctx, waits: make(chan struct{})}
	r = r.WithContext(waits)
	r.Header.Set(headerPosition, ahead.get(pair).Header().Get(headerPosition))
	ended = make(chan struct{})
	go func() {
		g.ServeHTTP(httptest.NewRecorder(), r)
		close(ended)
	}()
	<-waits.waits
	if w := g.get("/v1/stations?q=bei"); w.Code != http.StatusOK {
		t.Errorf("beside one that waits for a position: %d", w.Code)
	}
	cancel()
	<-ended
	if stats, _ := g.Limits(); stats.In != 0 {
		t.Errorf("%+v", stats)
	}
}

// watched is a context that tells when somebody waits for it.
type watched struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func (w *watched) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}

// H7: balancers are heard by the first bytes that they send, and nobody else is.
func TestAlways(t *testing.T) {
	for head, want := range map[string]bool{
		"GET /readyz HTTP/1.1\r\nHost: a": true, "GET /healthz HTTP/1.1": true, "HEAD /readyz HTTP/1.0": true,
		"GET /readyz": false, "GET /readyzz HTTP/1.1": false, "POST /readyz HTTP/1.1": false, "GET /v1/availability?from=BJP&to=/readyz ": false, "": false, " /readyz ": false,
	} {
		if Always([]byte(head)) != want {
			t.Errorf("%q: %v", head, !want)
		}
	}
}
