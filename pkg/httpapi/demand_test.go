package httpapi

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/testkit"
)

// keepPair asks until the answer is kept: the cache takes things in its own time.
func (g *rig) keepPair() {
	g.t.Helper()
	_, query, _ := strings.Cut(pair, "?")
	testkit.Eventually(g.t, "a kept answer", func() bool {
		g.get(pair)
		return g.answers.Find(query, g.source.R.Index(), g.now) != nil
	})
}

// H5: an answer is not older than its caller demands, in the header or in the query; a browser's reload demands a look and no age.
func TestMaxAge(t *testing.T) {
	g := newRig(t, nil)
	g.policy.Defaults.TTL = policy.TTL{Fixed: time.Minute}
	g.keepPair()
	g.now = g.now.Add(5 * time.Second)
	for header, want := range map[string]int{
		"max-age=4": 503, "max-age=5": 200, "Max-Age=60, no-transform": 200, "max-age=0": 200, "no-cache": 200, "max-age=-1": 200, "max-age=x": 200, "": 200, "no-store,max-age=1": 503,
	} {
		w := g.get(pair, "Cache-Control", header)
		if w.Code != want || want == 503 && (!strings.Contains(w.Body.String(), "not-fresh-enough") || w.Header().Get("Retry-After") != "1") {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
	}
	for text, want := range map[string]int{"4": 503, "5": 200, "86400": 200, "86401": 400, "-1": 400, "1.5": 400, "": 400, "x": 400} {
		if w := g.get(pair + "&max_age=" + text); w.Code != want {
			t.Errorf("max_age=%s: %d %s", text, w.Code, w.Body)
		}
	}
}

// H5: a demand ends a TTL before it makes a refusal.
func TestDemandsAreLookedAt(t *testing.T) {
	g := newRig(t, nil)
	g.policy.Defaults.TTL = policy.TTL{Fixed: time.Minute}
	g.keepPair()
	before := g.get(pair).Body.String()
	g.sell(2)
	if g.get(pair).Body.String() != before {
		t.Error("within the TTL")
	}
	for _, header := range []string{"no-cache", "max-age=0"} {
		if g.get(pair, "Cache-Control", header).Body.String() == before {
			t.Errorf("%s was served without a look", header)
		}
	}
}

// What rules say of browsers and CDNs, and of old answers, holds for each answer by itself.
func TestEffects(t *testing.T) {
	g := newRig(t, nil)
	minute, limit := time.Minute, 10*time.Second
	g.policy.Rules = []policy.Rule{{
		Name: "far", When: policy.When{From: []string{"city:BJP"}}, Change: policy.Change{ClientMaxAge: &minute, StaleWhileRevalidate: &limit, RefuseAfter: &limit, DegradedAfter: &limit},
	}}
	g.now = g.now.Add(9 * time.Second)
	if w := g.get(pair); w.Header().Get("Cache-Control") != "public, max-age=60, stale-while-revalidate=10" || w.Header().Get("Yupiao-State") != "live" {
		t.Errorf("%v", w.Header())
	}
	g.now = g.now.Add(2 * time.Second)
	if w := g.get(pair); w.Code != 503 || !strings.Contains(w.Body.String(), "too-old") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := g.get("/v1/availability?from=SHH&to=BJP&date=2026-12-01"); w.Code != 200 || w.Header().Get("Yupiao-State") != "degraded" || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("another route: %d %v", w.Code, w.Header())
	}
}

// A body is compressed for those who take it, under a weak tag that is known again.
func TestCompressed(t *testing.T) {
	g := newRig(t, nil)
	tag := g.get(pair).Header().Get("ETag")
	g.keepPair()
	for range 3 {
		bare(g, "Accept-Encoding", "gzip")
	}
	for header, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate, br, zstd": "zstd", "gzip;q=1.0, zstd;q=0": "gzip", "zstd;q=0.000": "", "br": "", "": "", "GZIP": "gzip", "gzip ; q=0": "", ";;,,": "",
	} {
		w := bare(g, "Accept-Encoding", header)
		h := w.Header()
		if h.Get("Content-Encoding") != want || h.Get("Vary") != "Accept-Encoding, Yupiao-Position" {
			t.Errorf("%q: %v", header, h)
		}
		if wantTag := map[bool]string{true: tag, false: "W/" + tag}[want == ""]; h.Get("ETag") != wantTag {
			t.Errorf("%q: tag %s; want %s", header, h.Get("ETag"), wantTag)
		}
	}
	if w := bare(g, "Accept-Encoding", "gzip", "If-None-Match", "W/"+tag); w.Code != http.StatusNotModified {
		t.Errorf("a weak tag: %d", w.Code)
	}
}

// A position that is none is a bad header; one that is not reached in time is said so.
func TestBadPositions(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Settings.PositionWait = 5 * time.Millisecond })
	for _, text := range []string{"x", "AQ", "%%%", strings.Repeat("A", 9000)} {
		if w := g.get(pair, headerPosition, text); w.Code != 400 || !strings.Contains(w.Body.String(), "invalid-header") {
			t.Errorf("%.20q: %d %s", text, w.Code, w.Body)
		}
	}
	ahead := newRig(t, nil)
	ahead.sell(2)
	w := g.get(pair, headerPosition, ahead.get(pair).Header().Get(headerPosition))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "position-not-reached") || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	g.sell(2)
	if w := g.get(pair, headerPosition, ahead.get(pair).Header().Get(headerPosition)); w.Code != 200 {
		t.Errorf("reached: %d %s", w.Code, w.Body)
	}
}

// H5: a node that has heard as much but lacks a change gives no answer to who hands back a position.
func TestPositionAndLackingChange(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Settings.PositionWait = 5 * time.Millisecond })
	text := g.get(pair).Header().Get(headerPosition)
	g.sell(3) // and never 2
	if w := g.get(pair, headerPosition, text); w.Code != 503 || !strings.Contains(w.Body.String(), "position-not-reached") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := g.get(pair); w.Code != 200 || w.Header().Get("Yupiao-State") != "degraded" {
		t.Errorf("without it: %d %v", w.Code, w.Header())
	}
}

// pace is a node that hears of sales at its own pace.
type pace struct {
	*rig
	heard int
}

// hear takes the next sale of G1 to G11.
func (p *pace) hear() {
	trains := []rail.TripID{"G1", "G3", "G9", "G11"}
	trip, revision := trains[p.heard%len(trains)], uint64(2+p.heard/len(trains))
	run := rail.RunID{Date: rail.NewDate(2026, 12, 1), Trip: trip}
	p.heard++
	by := rail.SeatCount(1 - 2*(revision%2)) // sold and given back in turn
	d := event.RunDelta{Run: run, Version: rail.Version{Epoch: 1, Revision: revision}, Adjusts: []inventory.Adjust{{Class: "O", To: 2, By: -by}}}
	p.source.R.Deltas(run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{d}}, uint64(p.heard))
}

// H5: with the position a client that asks two nodes in turn, one held back, never sees a version go back; without it, it does.
func TestPositionOverTwoNodes(t *testing.T) {
	for _, with := range []bool{true, false} {
		back := alternate(t, with, 20_000)
		if with && back > 0 || !with && back == 0 {
			t.Errorf("with positions %t: went back %d times", with, back)
		}
	}
}

// alternate asks two nodes in turn and counts the answers that are older than the one before.
func alternate(t *testing.T, with bool, requests int) (back int) {
	quick := &pace{rig: newRig(t, func(o *Options) { o.Settings.PositionWait = time.Nanosecond })}
	slow := &pace{rig: newRig(t, func(o *Options) { o.Settings.PositionWait = time.Nanosecond })}
	rng := rand.New(rand.NewPCG(1, 2))
	text, last := "", 0
	for i := range requests {
		for range rng.IntN(2) {
			quick.hear()
		}
		for slow.heard < quick.heard && rng.IntN(3) == 0 {
			slow.hear()
		}
		node := quick
		if i%2 == 1 {
			node = slow
		}
		w := ask(node.rig, text, with)
		for w.Code == http.StatusServiceUnavailable {
			slow.hear() // it comes as far, in time
			w = ask(node.rig, text, with)
		}
		text = w.Header().Get(headerPosition)
		if node.heard < last {
			back++
		}
		last = node.heard
	}
	return back
}

func ask(g *rig, position string, with bool) *httptest.ResponseRecorder {
	if !with || position == "" {
		return bare(g)
	}
	return bare(g, headerPosition, position)
}

// bare asks without holding the answer to the document: for bodies that are compressed, and for thousands of requests.
func bare(g *rig, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, pair, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// The answers that are kept are those that are rendered for each request anew.
func TestKeptAnswersAreEqual(t *testing.T) {
	g := newRig(t, nil)
	rng := rand.New(rand.NewPCG(3, 4))
	queries := []string{"", "&lang=zh", "&types=G", "&available=true", "&sort=fare", "&seats=9", "&classes=O", "&offers=true", "&max_age=100"}
	for i := range 500 {
		q := pair + queries[rng.IntN(len(queries))]
		kept := g.get(q)
		g.answers = fresh(t)
		if w := g.get(q); w.Body.String() != kept.Body.String() || w.Header().Get("ETag") != kept.Header().Get("ETag") {
			t.Fatalf("%s: %s\nkept: %s", q, w.Body, kept.Body)
		}
		if i%5 == 0 {
			g.sell(uint64(2 + i/5))
		}
	}
}

func fresh(t *testing.T) *answer.Cache { return keep(t, nil) }
