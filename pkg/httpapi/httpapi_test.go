package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/api"
	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/testkit"
)

var update = flag.Bool("update", false, "write the golden files anew")

// rig is a server over a small railway whose clock stands still.
type rig struct {
	*Server
	t       *testing.T
	source  *testkit.Fixed
	now     time.Time
	openapi *testkit.Contract
	policy  *policy.Policy
}

// keep makes a small cache; without a policy every answer is exact.
func keep(tb testing.TB, p func() *policy.Policy) *answer.Cache {
	tb.Helper()
	c, err := answer.New(answer.Options{Memory: 1 << 20, Policy: p})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	g := &rig{t: t, now: testkit.Morning, openapi: testkit.NewContract(t, api.OpenAPI), policy: policy.Exact()}
	clock := func() time.Time { return g.now }
	g.source = &testkit.Fixed{R: testkit.Railway(clock)}
	o := Options{Source: g.source, Clock: clock, Answers: keep(t, func() *policy.Policy { return g.policy }), Documents: map[string][]byte{"/openapi.yaml": []byte("openapi: 3.1.0")}}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s, err := New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	g.Server = s
	return g
}

// get asks and holds the answer to the OpenAPI document.
func (g *rig) get(target string, headers ...string) *httptest.ResponseRecorder {
	g.t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	g.openapi.Check(g.t, r, w.Code, w.Header(), w.Body.Bytes())
	return w
}

const pair = "/v1/availability?from=BJP&to=SHH&date=2026-12-01"

// Golden: whole answers, byte for byte.
func TestGolden(t *testing.T) {
	g := newRig(t, nil)
	for name, target := range map[string]string{
		"pair": pair, "pair.zh": pair + "&lang=zh", "pair.ko": pair + "&lang=ko", "filtered": pair + "&available=true&classes=O&sort=fare&types=G&depart=07:00-12:00",
		"stations": "/v1/stations?q=bei&lang=en", "run": "/v1/runs/20261201.G11?lang=en", "empty": "/v1/availability?from=SHH&to=BJP&date=2026-12-01",
		"station": "/v1/availability?from=JGK&to=AOH&date=2026-12-01&scope=station&seats=9", "ready": "/readyz",
	} {
		w := g.get(target)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		path := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(path, w.Body.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Body.String(); got != string(want) {
			t.Errorf("%s:\n%s\n%s", name, got, want)
		}
	}
}

// H1: every bad input gets a problem that names the parameter and what would be right.
func TestProblems(t *testing.T) {
	g := newRig(t, nil)
	with := func(name, value string) string {
		q := url.Values{"from": {"BJP"}, "to": {"SHH"}, "date": {"2026-12-01"}}
		q.Set(name, value)
		return "/v1/availability?" + q.Encode()
	}
	for _, tt := range []struct {
		target string
		status int
		kind   string
		about  string
		detail string
	}{
		{"/v1/availability", 400, "missing-parameter", "from", "from=BJP"},
		{"/v1/availability?from=BJP&to=SHH", 400, "missing-parameter", "date", "date=2026-12-01"},
		{with("from", ""), 400, "missing-parameter", "from", ""},
		{pair + "&from=SHH", 400, "repeated-parameter", "from", "once"},
		{pair + "&form=x", 400, "unknown-parameter", "form", "known here: from, to"},
		{with("from", "Atlantis"), 400, "unknown-place", "from", "/v1/stations"},
		{with("from", "\xff"), 400, "invalid-parameter", "from", "UTF-8"},
		{with("from", strings.Repeat("x", 200)), 400, "invalid-parameter", "from", "at most 128 bytes"},
		{with("to", "VNP"), 400, "same-place", "to", "scope=station"},
		{with("date", "tomorrow"), 400, "invalid-parameter", "date", "2026-12-01"},
		{with("date", "2026-02-30"), 400, "invalid-parameter", "date", ""},
		{with("date", "2026-11-30"), 400, "date-outside-sale", "date", "2026-12-01 to 2026-12-01"},
		{with("date", "9999-12-31"), 400, "date-outside-sale", "date", ""},
		{with("depart", "12:00-06:00"), 400, "invalid-parameter", "depart", "06:00-12:00"},
		{with("arrive", "6-12"), 400, "invalid-parameter", "arrive", ""},
		{with("depart", "00:00-24:01"), 400, "invalid-parameter", "depart", ""},
		{with("classes", "O,,M"), 400, "invalid-parameter", "classes", "commas"},
		{with("classes", "OOO"), 400, "invalid-parameter", "classes", "codes"},
		{with("types", strings.Repeat("G,", 40)), 400, "invalid-parameter", "types", "1 to 32"},
		{with("available", "yes"), 400, "invalid-parameter", "available", "true, false"},
		{with("seats", "0"), 400, "invalid-parameter", "seats", "1 to 9"},
		{with("seats", "ten"), 400, "invalid-parameter", "seats", ""},
		{with("sort", "price"), 400, "invalid-parameter", "sort", "departure, arrival, duration, fare"},
		{with("scope", "country"), 400, "invalid-parameter", "scope", "city, station"},
		{with("lang", "fr"), 400, "invalid-parameter", "lang", "zh, en, ko"},
		{"/v1/availability?from=%zz", 400, "invalid-parameter", "", "percent"},
		{"/v1/availability?from=" + strings.Repeat("x", 3000), 400, "invalid-parameter", "", "2048"},
		{"/v1/stations", 400, "missing-parameter", "q", ""},
		{"/v1/stations?q=a&limit=0", 400, "invalid-parameter", "limit", "1 to 50"},
		{"/v1/runs/G1", 400, "invalid-parameter", "run", "YYYYMMDD.trip"},
		{"/v1/runs/20261201.G99", 404, "not-found", "run", ""},
		{"/v1/runs/20261201.G1?x=1", 400, "unknown-parameter", "x", ""},
		{with("offers", "yes"), 400, "invalid-parameter", "offers", "true, false"},
		{pair + "&offers=true&offers=true", 400, "repeated-parameter", "offers", "once"},
		{strings.Replace(pair, "availability", "stream", 1) + "&offers=true", 400, "unknown-parameter", "offers", "known here"},
		{"/v1/stream?from=BJP", 400, "missing-parameter", "to", ""},
		{"/v2", 404, "not-found", "", "/openapi.yaml"},
	} {
		w := g.get(tt.target)
		var p struct{ Type, Detail, Parameter string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s: %v in %s", tt.target, err, w.Body)
		}
		if w.Code != tt.status || p.Type != "/problems/"+tt.kind || p.Parameter != tt.about || !strings.Contains(p.Detail, tt.detail) || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.80s: %d %+v; want %+v", tt.target, w.Code, p, tt)
		}
	}
}

// H1: an unknown or ambiguous place comes with what may have been meant.
func TestCandidates(t *testing.T) {
	g := newRig(t, nil)
	w := g.get("/v1/availability?from=beijin&to=SHH&date=2026-12-01")
	var p struct{ Candidates []candidate }
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || len(p.Candidates) == 0 || p.Candidates[0] != (candidate{Code: "BJP", Name: "北京", City: true}) {
		t.Errorf("%v %s", err, w.Body)
	}
}

func TestMethods(t *testing.T) {
	g := newRig(t, nil)
	for method, want := range map[string]int{http.MethodPost: 405, http.MethodDelete: 405, http.MethodHead: 200} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(method, pair, nil))
		if w.Code != want {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

// H2: each answer says how old it may be, and whether it is known to be live.
func TestFreshnessHeaders(t *testing.T) {
	g := newRig(t, nil)
	g.policy.Defaults.RefuseAfter = time.Minute
	expect := func(what, state, age string) {
		t.Helper()
		w := g.get(pair)
		if h := w.Header(); w.Code != 200 || h.Get("Yupiao-State") != state || h.Get("Age") != age || h.Get("Yupiao-As-Of") != "2026-11-30T22:00:00.000Z" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %v", what, w.Code, h)
		}
	}
	expect("fresh", "live", "0")
	g.now = g.now.Add(2 * time.Second)
	expect("two seconds", "live", "2")
	g.now = g.now.Add(time.Millisecond)
	expect("more", "degraded", "2")
	g.now = testkit.Morning
	g.source.Why = "reloading"
	expect("known not to advance", "degraded", "0")
	g.source.Why = ""
	g.sell(3)
	expect("a run is behind", "degraded", "0")
	if w := g.get(pair); !strings.Contains(w.Body.String(), `"behind":true,"reason":"an update of this train is missing`) {
		t.Errorf("the run does not say so: %s", w.Body)
	}
	g.now = g.now.Add(time.Minute + time.Second)
	if w := g.get(pair); w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "too-old") {
		t.Errorf("too old: %d %s", w.Code, w.Body)
	}
}

// sell sells a place of G1 at a revision.
func (g *rig) sell(revision uint64) {
	run := rail.RunID{Date: testkit.Tuesday, Trip: "G1"}
	g.source.R.Deltas(run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{{Run: run, Version: rail.Version{Epoch: 1, Revision: revision}, Adjusts: inventory.Sell("O", 0, 0, 2, 0, 2)}}}, revision)
}

// H2: nothing is answered before the replica is ready, but health is.
func TestNotReady(t *testing.T) {
	g := newRig(t, nil)
	g.source.R = nil
	for target, want := range map[string]int{pair: 503, "/v1/stations?q=a": 503, "/v1/runs/20261201.G1": 503, "/v1/stream?from=a": 503, "/readyz": 503, "/healthz": 200} {
		if w := g.get(target); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// H3.
func TestTags(t *testing.T) {
	g := newRig(t, nil)
	first := g.get(pair)
	tag := first.Header().Get("ETag")
	for _, header := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		if w := g.get(pair, "If-None-Match", header); w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag || w.Header().Get("Yupiao-State") != "live" {
			t.Errorf("%s: %d with %d bytes, %v", header, w.Code, w.Body.Len(), w.Header())
		}
	}
	g.sell(2)
	w := g.get(pair, "If-None-Match", tag)
	if w.Code != 200 || w.Header().Get("ETag") == tag || !strings.Contains(w.Body.String(), `"remaining":99`) {
		t.Errorf("after a sale: %d %s", w.Code, w.Header().Get("ETag"))
	}
}

// A bug of ours is a logged 500, not a dead connection.
func TestPanicIsAProblem(t *testing.T) {
	g := newRig(t, nil)
	g.source.R = replica.New(replica.Options{}) // not ready: no index
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, pair, nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "/problems/internal") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// events reads a stream.
type events struct {
	t    *testing.T
	scan *bufio.Scanner
	stop context.CancelFunc
}

func (g *rig) open(server *httptest.Server, target string, headers ...string) *events {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	g.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+target, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = w.Body.Close() })
	if w.StatusCode != 200 {
		g.t.Fatalf("%s: %d", target, w.StatusCode)
	}
	scan := bufio.NewScanner(w.Body)
	scan.Buffer(nil, 1<<20)
	return &events{g.t, scan, cancel}
}

// next is the next event that is not a status; comments count as events called ":".
func (e *events) next() (name, id, data string) {
	e.t.Helper()
	for e.scan.Scan() {
		line := e.scan.Text()
		switch {
		case line == ": beat":
		case strings.HasPrefix(line, ":"):
			return ":", "", line
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "id: "):
			id = line[len("id: "):]
		case strings.HasPrefix(line, "data: "):
			data = line[len("data: "):]
		case line == "" && name != "" && name != "status":
			return name, id, data
		case line == "":
			name = ""
		}
	}
	e.t.Fatalf("the stream ended: %v", e.scan.Err())
	return "", "", ""
}

// mirror applies a stream's events, as a client would.
type mirror struct {
	Runs  map[string]json.RawMessage
	Order []string
}

func (m *mirror) take(t *testing.T, name, data string) {
	t.Helper()
	var e struct {
		Runs  []json.RawMessage
		Gone  []string
		Order []string
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		t.Fatal(err)
	}
	if name == "answer" {
		*m = mirror{Runs: map[string]json.RawMessage{}}
	}
	for _, raw := range e.Runs {
		var run struct {
			Run      string
			From, To struct{ Stop int }
		}
		if err := json.Unmarshal(raw, &run); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("%s/%d-%d", run.Run, run.From.Stop, run.To.Stop)
		m.Runs[key] = raw
		if name == "answer" {
			m.Order = append(m.Order, key)
		}
	}
	for _, key := range e.Gone {
		delete(m.Runs, key)
	}
	if e.Order != nil {
		m.Order = e.Order
	}
}

// H4: a client that applies every event holds the answer whose tag is the last event's id, through sales, filters and the clock.
func TestStream(t *testing.T) {
	g := newRig(t, nil)
	server := httptest.NewServer(g)
	defer server.Close()
	const target = "from=BJP&to=SHH&date=2026-12-01&available=true"
	e := g.open(server, "/v1/stream?"+target)
	var m mirror
	name, id, data := e.next()
	if name != "answer" {
		t.Fatalf("first came %s", name)
	}
	for revision := uint64(2); ; revision++ {
		m.take(t, name, data)
		w := g.get("/v1/availability?" + target)
		if tag := strings.Trim(w.Header().Get("ETag"), `"`); tag != id {
			t.Fatalf("%s has id %s, the answer %s", name, id, tag)
		}
		var whole mirror
		whole.take(t, "answer", w.Body.String())
		if !reflect.DeepEqual(m, whole) {
			t.Fatalf("the client holds %v\nthe answer is %v", m, whole)
		}
		if revision > 101 {
			break
		}
		for ; revision%25 != 0; revision++ { // coalesced
			g.sell(revision)
		}
		g.sell(revision)
		name, id, data = e.next()
	}
	if len(m.Order) != 3 {
		t.Errorf("G1 is sold out and should be gone: %v", m.Order)
	}
	again := g.open(server, "/v1/stream?"+target, "Last-Event-ID", id)
	if name, _, data := again.next(); name != ":" {
		t.Errorf("resumed with %s %s", name, data)
	}
	other := g.open(server, "/v1/stream?"+target, "Last-Event-ID", "0000")
	if name, _, _ := other.next(); name != "answer" {
		t.Errorf("after another answer came %s", name)
	}
	g.hub.mu.Lock()
	if n := len(g.hub.topics); n != 1 {
		t.Errorf("%d topics for one query", n)
	}
	g.hub.mu.Unlock()
	for _, s := range []*events{e, again, other} {
		s.stop()
	}
	testkit.Eventually(t, "streams and topics to end", func() bool {
		g.hub.mu.Lock()
		defer g.hub.mu.Unlock()
		return g.hub.streams == 0 && len(g.hub.topics) == 0 && len(g.hub.clients) == 0
	})
}

// H4: a subscriber that takes nothing is lost after its backlog, and nobody waits for it.
func TestSlowSubscriber(t *testing.T) {
	g := newRig(t, nil)
	first, last := saleDates(g.source.R, g.now)
	q, lang, _, _ := parseQuery("from=BJP&to=SHH&date=2026-12-01", g.source.R.Index(), first, last)
	topic := g.hub.join(q, lang)
	defer g.hub.part(topic)
	slow, _, _ := topic.subscribe()
	topic.mu.Lock()
	for range 2 * backlog {
		topic.broadcast([]byte("x"))
	}
	topic.mu.Unlock()
	select {
	case <-slow.lost:
	default:
		t.Error("not told that it is lost")
	}
	if len(slow.events) > backlog {
		t.Errorf("%d events kept", len(slow.events))
	}
}

// H4: the number of streams is bounded, for a client and in all; the server's end tells clients to start anew.
func TestStreamLimitsAndEnd(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	source := &testkit.Fixed{R: testkit.Railway(func() time.Time { return testkit.Morning })}
	s, err := New(ctx, Options{Source: source, Clock: func() time.Time { return testkit.Morning }, Answers: keep(t, nil), Settings: Settings{MaxStreamsPerClient: 2}})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{Server: s, t: t}
	server := httptest.NewServer(s)
	defer server.Close()
	target := "/v1/stream?from=BJP&to=SHH&date=2026-12-01"
	e := g.open(server, target)
	g.open(server, target)
	w, err := http.Get(server.URL + target)
	if err != nil || w.StatusCode != 429 || w.Header.Get("Retry-After") == "" {
		t.Errorf("the third stream: %v %v", w, err)
	}
	_ = w.Body.Close()
	e.next()
	end()
	if name, _, _ := e.next(); name != "restart" {
		t.Errorf("at the end came %s", name)
	}
}

// H1: no query string makes the server panic or answer what the contract does not know.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"from=BJP&to=SHH&date=2026-12-01", "from=city:%E5%8C%97%E4%BA%AC&to=jgk&date=2026-12-01&seats=9&depart=00:00-24:00", "from=&to=;&date=%", "q=bei&limit=5", "lang=zh&types=G,,"} {
		f.Add(q)
	}
	source := &testkit.Fixed{R: testkit.Railway(func() time.Time { return testkit.Morning })}
	s, err := New(context.Background(), Options{Source: source, Clock: func() time.Time { return testkit.Morning }, Answers: keep(f, nil)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/v1/availability", "/v1/stations", "/v1/runs/20261201.G1"} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.URL = &url.URL{Path: path, RawQuery: query}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 400 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}

func BenchmarkAvailability(b *testing.B) {
	source := &testkit.Fixed{R: testkit.Railway(func() time.Time { return testkit.Morning })}
	s, err := New(context.Background(), Options{Source: source, Clock: func() time.Time { return testkit.Morning }, Answers: keep(b, nil)})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, pair, nil)
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
}
