package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/yupiao/yupiao/pkg/policy"
)

// step lets time pass, with the polls in it.
func (w *world) step(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(Poll)
		w.poll()
	}
}

func (w *world) at() slot { return w.rec.slot(w.now) }

// X5: keys and memory are bounded, and what is left is the smallest hashes, each with all its requests.
func TestBounds(t *testing.T) {
	w := newWorld(1, 5000, Options{Keys: 100, HotKeys: 20, Memory: 100_000, Window: 20 * time.Second})
	for range 600 {
		for range 50 {
			w.ask(w.queries[w.r.IntN(len(w.queries))], w.at())
		}
		w.ask(w.queries[0], w.at())
		w.step(100 * time.Millisecond)
		if len(w.rec.members) > 120 || w.rec.cold > 100 || w.rec.hots > 20 {
			t.Fatalf("%d keys, %d cold, %d hot", len(w.rec.members), w.rec.cold, w.rec.hots)
		}
	}
	if size := w.rec.size(); size > 100_000 {
		t.Errorf("%d bytes", size)
	}
	s, err := w.rec.Snapshot()
	if err != nil || s.HotKeys != 1 || s.Requests < 9600 || s.Requests > 10300 || s.Rate > 0.05 || s.Rate < 0.002 {
		t.Fatalf("%v: %d hot keys, %d requests, rate %g", err, s.HotKeys, s.Requests, s.Rate)
	}
	for i := range s.keys {
		k := &s.keys[i]
		if len(k.arrivals) > 1 && k.arrivals[1].at < s.begin-rateSlots-second {
			t.Errorf("key %d: %v", i, k.arrivals)
		}
	}
}

// X5: a record that was removed is let go, and with it what its probe knows: a whole replica, if nobody asks it any more.
func TestRemovedRecordsAreLetGo(t *testing.T) {
	w := newWorld(1, 0, Options{Keys: 64})
	var probes []weak.Pointer[query]
	ask := func(i uint64) {
		q := &query{hash: 1 + i}
		probes = append(probes, weak.Make(q))
		w.ask(q, 0)
	}
	for i := range uint64(64) {
		ask(i)
	}
	w.poll()
	w.rec.mu.Lock()
	w.rec.lower(8)
	w.rec.mu.Unlock()
	w.poll()
	runtime.GC()
	if probes = slices.DeleteFunc(probes, func(p weak.Pointer[query]) bool { return p.Value() == nil }); len(probes) != 8 {
		t.Errorf("%d probes are still there", len(probes))
	}
	runtime.KeepAlive(w)
}

// X5: under a memory that keys alone cannot keep, the window goes down, and comes back.
func TestWindowGivesWay(t *testing.T) {
	w := newWorld(1, 8, Options{Keys: 64, Memory: 400_000})
	ask := func(seconds int, every time.Duration) {
		for end := w.now.Add(time.Duration(seconds) * time.Second); w.now.Before(end); w.step(every) {
			for _, q := range w.queries {
				w.ask(q, w.at())
			}
		}
	}
	ask(100, Poll)
	if w.rec.keep >= w.rec.window() || w.rec.size() > 400_000 {
		t.Errorf("keeps %d slots in %d bytes", w.rec.keep, w.rec.size())
	}
	ask(200, 2*time.Second)
	if w.rec.keep != w.rec.window() {
		t.Errorf("keeps %d slots", w.rec.keep)
	}
}

// X3, X5: keys that nobody asks leave, the sampling rate rises again, and what that lets in counts only when it was recorded for a window.
func TestRateComesBack(t *testing.T) {
	w := newWorld(1, 2000, Options{Keys: 50, Window: 10 * time.Second, HotRate: 1e9})
	for _, q := range w.queries {
		w.ask(q, w.at())
	}
	low := w.rec.threshold.Load()
	if low > math.MaxUint64/20 || w.rec.cold != 50 {
		t.Fatalf("threshold %x, %d keys", low, w.rec.cold)
	}
	rates := map[float64]bool{}
	for range 300 {
		for _, q := range w.queries[:20] {
			w.ask(q, w.at())
		}
		w.step(time.Second)
		s, err := w.rec.Snapshot()
		if err != nil {
			continue // none of the twenty is sampled yet
		}
		rates[s.Rate] = true
		if got := Simulate(s, all(0), Costs{}); math.Abs(got.Requests*got.Seconds-float64(s.Requests)) > 1e-6*float64(s.Requests) {
			t.Fatalf("%g requests of %d at rate %g", got.Requests*got.Seconds, s.Requests, s.Rate)
		}
	}
	if w.rec.floor != math.MaxUint64 || !rates[1] || len(rates) < 3 || w.rec.cold != 20 {
		t.Errorf("floor %x, rates %v, %d keys", w.rec.floor, rates, w.rec.cold)
	}
}

// Hot keys leave the stratum when they cool; too many raise the bound; one that is told and never asked is forgotten.
func TestHotKeys(t *testing.T) {
	w := newWorld(1, 40, Options{Keys: 4, HotKeys: 10, HotRate: 2})
	w.rec.Hot(12345)
	for i := range 40 * 50 {
		for n, q := range w.queries {
			if i%(1+n/4) == 0 {
				w.ask(q, w.at())
			}
		}
		w.step(Poll)
	}
	if w.rec.hots > 10 || w.rec.hots < 3 || w.rec.HotRate() < 5 || w.rec.Sampled(12345) || !w.rec.Sampled(w.queries[0].hash) {
		t.Errorf("%d hot keys, bound %g", w.rec.hots, w.rec.HotRate())
	}
	w.step(2 * time.Minute)
	if w.rec.hots != 0 || w.rec.HotRate() > 2.1 || len(w.rec.members) > 4 {
		t.Errorf("%d hot keys, bound %g, %d keys", w.rec.hots, w.rec.HotRate(), len(w.rec.members))
	}
}

// X6: looks are bounded; a change that had to wait is known to have happened, and its bytes are found later.
func TestLooksAreBounded(t *testing.T) {
	w := newWorld(1, 10, Options{Looks: 12})
	for _, q := range w.queries {
		w.ask(q, w.at())
	}
	w.step(Poll)
	for _, q := range w.queries {
		q.change(w.r, 0, true)
	}
	w.step(Poll)
	if s, _ := w.rec.Snapshot(); s.Unseen != 8 || len(s.keys[0].changes) != 1 {
		t.Errorf("%d unseen", s.Unseen)
	}
	w.step(2 * time.Second)
	s, err := w.rec.Snapshot()
	for i := range s.keys {
		c := s.keys[i].changes
		if err != nil || c[len(c)-1].digest != w.rec.members[i].probe.Look().Digest || c[0].n != 1 || len(c) == 2 && (c[1].n != 0 || len(c[1].seats) != 1) {
			t.Errorf("%v %+v", err, c)
		}
	}
}

func TestDifferences(t *testing.T) {
	from := []Seat{{1, 5}, {2, 7}, {4, 1}, {9, 0}}
	to := []Seat{{0, 3}, {1, 5}, {2, 4}, {5, 2}}
	want := []Seat{{0, 3}, {2, -3}, {4, -1}, {5, 2}}
	got := differences(from, to)
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Error(got)
		}
	}
	for _, tt := range []struct {
		from, to uint64
		want     uint32
	}{{4, 6, 1}, {4, 5, 1}, {4, 14, 5}, {9, 3, 1}, {0, math.MaxUint64, 1000}} {
		if got := advanced(tt.from, tt.to); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// One change in a slot is one render, one look at most one, and many of both nearly all looks.
func TestMixed(t *testing.T) {
	for _, tt := range []struct {
		looks   uint32
		changes int
		want    float64
	}{{1, 0, 1}, {1, 9, 1}, {9, 1, 1}, {10, 3, 2.5}, {2, 1000, 1.998}} {
		if got := mixed(tt.looks, tt.changes); math.Abs(got-tt.want) > 1e-3 {
			t.Errorf("%+v: %g", tt, got)
		}
	}
}

func TestIdle(t *testing.T) {
	r := NewRecorder(Options{Total: func() uint64 { return 3 }})
	if _, err := r.Snapshot(); !errors.Is(err, ErrIdle) || !strings.Contains(err.Error(), "asked nothing") {
		t.Error(err)
	}
	r.Asked(1, time.Now(), func() Probe { return nil })
	if _, err := r.Snapshot(); !errors.Is(err, ErrIdle) {
		t.Error(err)
	}
	if got := Simulate(&Sample{}, all(time.Second), Costs{}); got.HitRatio != 0 || got.Wrong != 0 || got.Requests != 0 {
		t.Errorf("%+v", got)
	}
}

// X6: everything at once, for the race detector; Run stops with its context.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var total atomic.Uint64
		r := NewRecorder(Options{Keys: 32, HotKeys: 8, Window: 5 * time.Second, Total: total.Load})
		ctx, cancel := context.WithCancel(t.Context())
		var running, askers sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		for n := range 4 {
			askers.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(n), 1))
				for range 3000 {
					hash := uint64(rnd.ExpFloat64() * 50)
					total.Add(1)
					if hash < 10 {
						r.Hot(hash)
					}
					if r.Sampled(hash) {
						r.Asked(hash, time.Now(), func() Probe { return &query{hash: hash, seats: make([]int32, 2)} })
					}
					<-time.After(time.Millisecond)
				}
			})
		}
		askers.Wait()
		s, err := r.Snapshot()
		cancel()
		running.Wait()
		if err != nil || s.Requests != 12000 {
			t.Errorf("%v: %d requests", err, s.Requests)
		}
	})
}

// The TTL of an auto rule is the present one, its greatest if that is not known.
func TestAutoTTL(t *testing.T) {
	w := newWorld(1, 1, Options{})
	for range 100 {
		w.ask(w.queries[0], w.at())
		w.step(100 * time.Millisecond)
		w.queries[0].change(w.r, w.at(), true)
	}
	p := ruled(policy.Rule{Name: "a", Auto: &policy.Auto{Max: 2 * time.Second}, Change: policy.Change{TTL: &policy.TTL{Auto: true}}})
	s, err := w.rec.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	atMost := Simulate(s, p, Costs{})
	s.Auto = map[string]time.Duration{"a": 0}
	exact := Simulate(s, p, Costs{Render: 10 * time.Millisecond, Look: time.Millisecond, Hit: 2 * time.Millisecond, Fixed: 0.5})
	if math.Abs(atMost.TTLHits-9.4) > 0.1 || exact.TTLHits != 0 || exact.Wrong != 0 || math.Abs(exact.CPU-0.63) > 0.002 {
		t.Errorf("%+v\n%+v", atMost, exact)
	}
}

func TestReport(t *testing.T) {
	w := newWorld(1, 10, Options{})
	w.randomTrace(1000)
	s, err := w.rec.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	report := Compare(s, all(0), ruled(rule("evil\x1b[2J", policy.When{Days: []int{0, 4}}, time.Second)), Costs{Hit: 20 * time.Microsecond, Look: time.Microsecond, Render: time.Millisecond})
	var b bytes.Buffer
	if err := report.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	for _, want := range []string{"in force", "tried", "hit ratio", "one TTL for all", "1m0s", "100.00% of the others", "10 queries", "(defaults)", "evil?[2J", "#"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	data, err := json.Marshal(report)
	var back Report
	if err != nil || json.Unmarshal(data, &back) != nil || len(back.Curve) != len(TTLs) || back.Curve[4].TTL.Fixed != time.Second || back.Tried.HitRatio != report.Tried.HitRatio ||
		!strings.Contains(string(data), `"ttl":"100ms"`) || strings.Contains(string(data), "Inf") {
		t.Errorf("%v %s", err, data)
	}
}

// X6.
func TestNoAllocation(t *testing.T) {
	r, now := steady()
	if n := testing.AllocsPerRun(1000, func() { r.Sampled(1 << 60); r.Asked(7, now, nil) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

// steady is a recorder that has key 7 and has bounded the rest.
func steady() (*Recorder, time.Time) {
	now := epoch
	r := NewRecorder(Options{Clock: func() time.Time { return now }})
	for h := range uint64(100_000) {
		if r.Sampled(h) {
			r.Asked(h, now, func() Probe { return &query{hash: h} })
		}
	}
	r.Hot(7)
	r.Asked(7, now, func() Probe { return &query{hash: 7} })
	return r, now
}

func BenchmarkSampled(b *testing.B) {
	r, _ := steady()
	b.ReportAllocs()
	h := uint64(0)
	for b.Loop() {
		r.Sampled(h)
		h++
	}
}

// BenchmarkAsked asks a hot key 1,000 times a second, with what the sweeps let go.
func BenchmarkAsked(b *testing.B) {
	r, now := steady()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		r.Asked(7, now, nil)
		if n++; n%10 == 0 {
			now = now.Add(tick)
		}
		if n%1000 == 0 {
			r.shard(mix(7)).keys[mix(7)].forget(r.slot(now) - 12_000)
		}
	}
}

// BenchmarkPoll is one of the 50 polls in a second, of 640 keys that have not changed.
func BenchmarkPoll(b *testing.B) {
	w := newWorld(1, 20_000, Options{})
	w.zipfTrace(3000, 2000, 1.06)
	b.ReportAllocs()
	for b.Loop() {
		w.poll()
	}
}

func BenchmarkSimulate(b *testing.B) {
	w := newWorld(1, 20_000, Options{})
	w.zipfTrace(3000, 2000, 1.06)
	s, err := w.rec.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Simulate(s, all(time.Second), Costs{})
	}
}
