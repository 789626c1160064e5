package trial

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

var seeds = flag.Int("seeds", 4, "worlds of skewed demand")

func fixed(d time.Duration) *policy.TTL { return &policy.TTL{Fixed: d} }

func all(d time.Duration) *policy.Policy {
	return &policy.Policy{Defaults: policy.Effects{TTL: policy.TTL{Fixed: d}}}
}

func ruled(rules ...policy.Rule) *policy.Policy { return &policy.Policy{Rules: rules} }

func rule(name string, w policy.When, ttl time.Duration) policy.Rule {
	return policy.Rule{Name: name, When: w, Change: policy.Change{TTL: fixed(ttl)}}
}

// X1, X2, X4: on a full record the simulation is exactly the naive cache, request by request.
func TestExactOnFullTrace(t *testing.T) {
	five, half := 5.0, 0.5
	policies := []*policy.Policy{
		all(0), all(100 * time.Millisecond), all(time.Second), all(7 * time.Second),
		ruled(rule("near", policy.When{Days: []int{0, 3}}, 0), rule("hot", policy.When{AskedAbove: &five}, 300*time.Millisecond),
			rule("calm", policy.When{ChangedBelow: &half, Types: []string{"G", "D"}}, 2*time.Second), rule("sleeper", policy.When{Types: []string{"K"}}, time.Hour)),
		ruled(rule("opening", policy.When{OpensWithin: 3 * time.Second, OpenedWithin: 2 * time.Second}, 0), rule("", policy.When{}, time.Second)),
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(seed, 40, Options{Looks: 1 << 30, HotRate: math.Inf(1)})
			for _, p := range policies {
				w.naive = append(w.naive, newNaive(p))
			}
			for i, q := range w.queries {
				if i%4 == 0 {
					q.openings = []time.Time{epoch.Add(time.Duration(10+i/2) * time.Second)}
				}
			}
			w.randomTrace(3000)
			s, err := w.rec.Snapshot()
			if err != nil || s.Rate != 1 || s.Requests != s.Recorded || s.Keys != 40 {
				t.Fatalf("%v: rate %g, %d of %d requests, %d keys", err, s.Rate, s.Recorded, s.Requests, s.Keys)
			}
			for i, p := range policies {
				agree(t, i, Simulate(s, p, Costs{}), w.naive[i])
			}
		})
	}
}

// randomTrace asks and changes at random, some keys far more than others, no key changing twice between two polls. A sale that opens changes the answer by the clock alone.
func (w *world) randomTrace(slots slot) {
	for at := range slots {
		w.now = epoch.Add(time.Duration(at) * 10 * time.Millisecond)
		if at%2 == 0 {
			for i, q := range w.queries {
				if q.opened(at-1, at) {
					q.changed = append(q.changed, at)
				} else if at > firstPoll && w.r.Float64() < 0.2/float64(1+i%20) {
					q.change(w.r, at, w.r.Float64() < 0.5)
				}
			}
			w.poll()
		}
		for i, q := range w.queries {
			for at == 0 && len(q.asked) == 0 || w.r.Float64() < 0.6/float64(1+i/4) {
				w.ask(q, at)
			}
		}
	}
}

func agree(t *testing.T, i int, got Result, want *naive) {
	t.Helper()
	same := func(name string, a, b float64) {
		if math.Abs(a-b) > 1e-9*max(1, math.Abs(b)) {
			t.Errorf("policy %d: %s %.6f, want %.6f", i, name, a, b)
		}
	}
	same("ttl hits", got.TTLHits*got.Seconds, float64(want.ttl))
	same("stamp hits", got.StampHits*got.Seconds, float64(want.stamp))
	same("renders", got.Renders*got.Seconds, float64(want.renders))
	same("wrong", got.Wrong*float64(want.total), float64(want.wrong))
	same("off", got.Off.Mean, want.mean())
	same("p99", float64(got.Off.P99), float64(want.p99()))
	for n, r := range got.ByRule {
		if n == len(got.ByRule)-1 {
			n = policy.None
		}
		same("share of "+r.Rule, r.Share*float64(want.total), float64(want.byRule[n]))
	}
	if got.TTLHits > 0 && want.wrong == 0 {
		t.Errorf("policy %d: the trace has no wrong answer", i)
	}
}

// X2: 512 sampled keys of 20,000, asked after Zipf, give the hit ratio of the whole trace within 3 points, and what is wrong within 1 and a tenth of it.
func TestSampleOfSkewedDemand(t *testing.T) {
	five := 5.0
	policies := map[string]*policy.Policy{
		"exact": all(0), "1s for all": all(time.Second), "20s for all": all(20 * time.Second),
		"hot 500ms": ruled(rule("hot", policy.When{AskedAbove: &five}, 500*time.Millisecond)),
	}
	names := []string{"exact", "1s for all", "20s for all", "hot 500ms"}
	for seed := range uint64(*seeds) {
		window := []time.Duration{2 * time.Minute, 20 * time.Second}[seed%2] // longer and shorter than the trace
		t.Run(fmt.Sprintf("seed=%d/window=%s", seed, window), func(t *testing.T) {
			const slots = 4000
			w := newWorld(seed, 20_000, Options{Window: window})
			for _, name := range names {
				n := newNaive(policies[name])
				n.from = slots - slot(window/tick)
				w.naive = append(w.naive, n)
			}
			w.zipfTrace(slots, 2000, 1.06)
			s, err := w.rec.Snapshot()
			if err != nil || s.Keys > 512+128 || s.Rate > 0.1 {
				t.Fatalf("%v: %d keys at a rate of %g", err, s.Keys, s.Rate)
			}
			for i, name := range names {
				got, want := Simulate(s, policies[name], Costs{}), w.naive[i]
				wrong := float64(want.wrong) / float64(want.total)
				t.Logf("%-12s hit ratio %.4f of %.4f, wrong %.4f of %.4f, off %.2f of %.2f; %d keys, rate %.3f", name, got.HitRatio, want.hitRatio(), got.Wrong, wrong,
					got.Off.Mean, want.mean(), s.Keys, s.Rate)
				if math.Abs(got.HitRatio-want.hitRatio()) > 0.03 {
					t.Errorf("%s: hit ratio %.4f, in the whole trace %.4f", name, got.HitRatio, want.hitRatio())
				}
				if math.Abs(got.Wrong-wrong) > 0.01+0.1*wrong {
					t.Errorf("%s: wrong %.4f, in the whole trace %.4f", name, got.Wrong, wrong)
				}
			}
		})
	}
}

// X1, X2: where many requests and changes fall into one slot, in any order, the hit ratio is right to 3 points.
func TestManyInASlot(t *testing.T) {
	for _, tt := range []struct{ asks, changes float64 }{{1000, 300}, {1000, 30}, {100, 300}, {5000, 1000}, {20, 20}} {
		w := newWorld(1, 1, Options{Looks: 1 << 30})
		n := newNaive(all(0))
		w.naive = append(w.naive, n)
		for at := range slot(1000) {
			w.now = epoch.Add(time.Duration(at) * 10 * time.Millisecond)
			if at%2 == 0 {
				w.poll()
			}
			for range poisson(w.r, (tt.asks+tt.changes)/100) {
				if w.r.Float64()*(tt.asks+tt.changes) < tt.asks {
					w.ask(w.queries[0], at)
				} else {
					w.queries[0].change(w.r, at, true)
				}
			}
		}
		s, err := w.rec.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if got := Simulate(s, all(0), Costs{}).HitRatio; math.Abs(got-n.hitRatio()) > 0.03 {
			t.Errorf("%+v: hit ratio %.3f, want %.3f", tt, got, n.hitRatio())
		}
	}
}

// zipfTrace asks the n-th query n^-s as often as the first. What is asked more changes more, as the root of it: the first some 4 times/s.
func (w *world) zipfTrace(slots slot, rate, s float64) {
	asks, changes := newDraw(len(w.queries), s), newDraw(len(w.queries), s/2)
	for at := range slots {
		w.now = epoch.Add(time.Duration(at) * 10 * time.Millisecond)
		for range poisson(w.r, 4*changes.first()/100) {
			w.queries[changes.pick(w.r)].change(w.r, at, w.r.Float64() < 0.5)
		}
		if at%2 == 0 {
			w.poll()
		}
		for range poisson(w.r, rate/100) {
			w.ask(w.queries[asks.pick(w.r)], at)
		}
	}
}

// draw picks numbers by a power law.
type draw []float64

func newDraw(n int, s float64) draw {
	d, sum := make(draw, n), 0.0
	for i := range d {
		sum += math.Pow(float64(i+1), -s)
		d[i] = sum
	}
	return d
}

// first is how many are picked for one that picks the first.
func (d draw) first() float64 { return d[len(d)-1] }

func (d draw) pick(r *rand.Rand) int {
	i, _ := slices.BinarySearch(d, r.Float64()*d[len(d)-1])
	return min(i, len(d)-1)
}

func poisson(r *rand.Rand, mean float64) (n int) {
	for p := r.Float64(); p > math.Exp(-mean); p *= r.Float64() {
		n++
	}
	return n
}
