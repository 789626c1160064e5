package governor

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

var (
	seeds   = flag.Int("seeds", 1, "plants of each kind")
	verbose = flag.Bool("steps", false, "print every step of the plant")
)

// plant is a node's cache under Zipf demand, request by request. It is driven in virtual time.
type plant struct {
	r       *rand.Rand
	now     float64         // seconds
	demand  [1 << 16]uint16 // keys, each as often as it is asked
	keys    []entry
	changes float64 // of the first key, per second; the n-th changes less by the root of n
	noise   float64 // of the CPU's measure
}

// entry is of a key; the truth has changed since it was checked, or not.
type entry struct {
	share          float64 // of the first key's changes
	kept           bool
	checked, asked float64
	stale          bool
}

// What work costs, in seconds of two processors; and what goes on without requests.
const (
	hitCost, lookCost, renderCost = 5e-6 / 2, 2e-6 / 2, 400e-6 / 2
	fixedCost                     = 0.02
)

func newPlant(seed uint64, keys int) *plant {
	p := &plant{r: rand.New(rand.NewPCG(seed, 2)), keys: make([]entry, keys), noise: 0.05}
	sums := make([]float64, keys)
	for i := range keys {
		p.keys[i].share = 1 / math.Sqrt(float64(i+1))
		sums[i] = math.Pow(float64(i+1), -1.06)
		if i > 0 {
			sums[i] += sums[i-1]
		}
	}
	for i, key := 0, 0; i < len(p.demand); i++ {
		for sums[key]*float64(len(p.demand)) < float64(i)*sums[keys-1] {
			key++
		}
		p.demand[i] = uint16(key)
	}
	return p
}

// second is what happens in a second at a rate of requests under a TTL.
func (p *plant) second(rate float64, ttl time.Duration) (cpu, served, wrong float64) {
	n := int(rate + math.Sqrt(rate)*p.r.NormFloat64())
	looks, renders := 0, 0
	for i := range max(n, 0) {
		at := p.now + float64(i)/float64(n)
		e := &p.keys[p.demand[p.r.Uint32()>>16]]
		e.stale = e.stale || p.r.Float64() < -math.Expm1(-(at-e.asked)*p.changes*e.share)
		e.asked = at
		served++
		if e.kept && at-e.checked < ttl.Seconds() {
			if e.stale {
				wrong++
			}
			continue
		}
		looks++
		if !e.kept || e.stale {
			renders++
		}
		e.kept, e.checked, e.stale = true, at, false
	}
	p.now++
	return fixedCost + hitCost*served + lookCost*float64(looks) + renderCost*float64(renders), served, wrong
}

// phase is a stretch of even load.
type phase struct {
	seconds int
	rate    float64
	changes float64
}

// trace is what came of a phase.
type trace struct {
	values []float64 // true CPU, or share of wrong answers, by second
	ttls   []time.Duration
}

func (p *plant) run(t *testing.T, g *Governor, phases []phase) (out []trace) {
	for n, f := range phases {
		var tr trace
		p.changes = f.changes
		for s := range f.seconds {
			cpu, served, wrong := p.second(f.rate, g.TTL())
			measured := min(max(cpu*(1+p.noise*p.r.NormFloat64()), 0), 1)
			r := Reading{At: epoch.Add(time.Duration(p.now * float64(time.Second))), CPU: measured, Served: served, Wrong: wrong}
			ttl, why := g.Step(r)
			if *verbose {
				t.Logf("%d %3d cpu %.3f wrong %.4f  %s", n, s, cpu, wrong/max(served, 1), why)
			}
			tr.ttls = append(tr.ttls, ttl)
			if g.auto.CPU > 0 {
				tr.values = append(tr.values, min(cpu, 1))
			} else {
				tr.values = append(tr.values, wrong/max(served, 1))
			}
		}
		out = append(out, tr)
	}
	return out
}

var epoch = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// held checks U2 and U3 over windows of 30 s (the wrong answers of a fixed TTL vary by 20 % over 10 s) from 15 s after the phase's begin.
func held(t *testing.T, name string, tr trace, target float64, a policy.Auto) {
	t.Helper()
	const settle, window = 15, 30
	for from := settle; from+window <= len(tr.values); from += window {
		sum := 0.0
		for _, v := range tr.values[from : from+window] {
			sum += v
		}
		mean, ttls := sum/window, tr.ttls[from-1:from+window]
		low, high := mean < target*0.8 && slices.Min(ttls) > a.Min, mean > target*1.2 && slices.Max(ttls) < a.Max
		if low || high {
			t.Errorf("%s: %.4f in seconds %d to %d, target %.4f, TTL %v", name, mean, from, from+window, target, ttls)
		}
	}
	if n, most := turns(tr.ttls[settle:]), 1+(len(tr.ttls)-settle)/15; n > most {
		t.Errorf("%s: %d changes of direction in %d s: %v", name, n, len(tr.ttls)-settle, tr.ttls[settle:])
	}
}

func turns(ttls []time.Duration) (n int) {
	last := 0
	for i := 1; i < len(ttls); i++ {
		d := 0
		if ttls[i] > ttls[i-1] {
			d = 1
		} else if ttls[i] < ttls[i-1] {
			d = -1
		}
		if d != 0 && last != 0 && d != last {
			n++
		}
		if d != 0 {
			last = d
		}
	}
	return n
}

// U2, U3: a rush to ten times the demand, and its end.
func TestHoldsCPU(t *testing.T) {
	for seed := range uint64(*seeds) {
		for _, target := range []policy.Share{0.4, 0.6, 0.75} {
			t.Run(fmt.Sprintf("seed=%d/target=%s", seed, target), func(t *testing.T) {
				a := policy.Auto{CPU: target, Max: 30 * time.Second}
				p := newPlant(seed, 5000)
				out := p.run(t, New(a), []phase{{90, 5000, 200}, {90, 50_000, 200}, {120, 5000, 200}})
				for i, name := range []string{"before", "rush", "after"} {
					held(t, name, out[i], float64(target), a)
				}
			})
		}
	}
}

// U2, U3: with changes that grow with the demand.
func TestHoldsAccuracy(t *testing.T) {
	for seed := range uint64(*seeds) {
		for _, target := range []float64{0.8, 0.95, 0.99} {
			t.Run(fmt.Sprintf("seed=%d/target=%g", seed, target), func(t *testing.T) {
				a := policy.Auto{Accuracy: target, Max: 30 * time.Second}
				p := newPlant(seed, 5000)
				out := p.run(t, New(a), []phase{{75, 5000, 4}, {75, 50_000, 20}, {105, 5000, 4}})
				for i, name := range []string{"before", "rush", "after"} {
					held(t, name, out[i], 1-target, a)
				}
			})
		}
	}
}
