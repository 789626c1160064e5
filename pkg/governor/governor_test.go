package governor

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// steady steps once a second with the same reading, and gives the last TTL.
func steady(g *Governor, seconds int, r Reading) (ttl time.Duration, why string) {
	for range seconds {
		if r.At = g.at.Add(time.Second); g.at.IsZero() {
			r.At = epoch
		}
		ttl, why = g.Step(r)
	}
	return ttl, why
}

// U1: what cannot be met ends at a bound, and says so.
func TestBounds(t *testing.T) {
	cpu := policy.Auto{CPU: 0.6, Min: 50 * time.Millisecond, Max: 3 * time.Second}
	accuracy := policy.Auto{Accuracy: 0.95, Min: 50 * time.Millisecond, Max: 3 * time.Second}
	for _, tt := range []struct {
		name string
		auto policy.Auto
		r    Reading
		want time.Duration
		why  string
	}{
		{"busy", cpu, Reading{CPU: 1}, 3 * time.Second, "cpu 100% above 60%: ttl stays 3s, its maximum"},
		{"idle", cpu, Reading{CPU: 0}, 50 * time.Millisecond, "below 60%: ttl stays 50ms, its minimum"},
		{"right", cpu, Reading{CPU: 0.56}, 50 * time.Millisecond, "cpu 56% near 60%: ttl stays 50ms"},
		{"all wrong", accuracy, Reading{Served: 1000, Wrong: 1000}, 50 * time.Millisecond, "accuracy 0% below 95%: ttl stays 50ms, its minimum"},
		{"all right", accuracy, Reading{Served: 1000}, 3 * time.Second, "above 95%: ttl stays 3s, its maximum"},
		{"nobody asks", accuracy, Reading{}, 50 * time.Millisecond, "too few answers to tell the accuracy, target 95%: ttl stays 50ms"},
		{"no target", policy.Auto{Max: time.Second}, Reading{CPU: 1, Served: 5}, 0, "no target: ttl stays 0s"},
		{"both ends the same", policy.Auto{CPU: 0.5, Min: time.Second, Max: time.Second}, Reading{CPU: 1}, time.Second, "its maximum"},
		{"upside down", policy.Auto{CPU: 0.5, Min: time.Second, Max: time.Millisecond}, Reading{CPU: 1}, time.Second, "its maximum"},
		{"tiny", policy.Auto{CPU: 0.5, Max: 100 * time.Microsecond}, Reading{CPU: 1}, 100 * time.Microsecond, "its maximum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := New(tt.auto)
			if ttl, why := steady(g, 60, tt.r); ttl != tt.want || !strings.Contains(why, tt.why) || ttl != g.TTL() {
				t.Errorf("%s, %q; want %s, %q", ttl, why, tt.want, tt.why)
			}
		})
	}
}

// From 0, and back to it.
func TestLeavesZero(t *testing.T) {
	g := New(policy.Auto{CPU: 0.6, Max: time.Minute})
	if ttl, _ := steady(g, 15, Reading{CPU: 1}); ttl < time.Second {
		t.Error(ttl)
	}
	if ttl, _ := steady(g, 30, Reading{CPU: 0.1}); ttl != 0 {
		t.Error(ttl)
	}
	g = New(policy.Auto{Accuracy: 0.9, Max: time.Minute})
	if ttl, _ := steady(g, 40, Reading{Served: 1000}); ttl < time.Second {
		t.Error(ttl)
	}
}

// U5.
func TestSlew(t *testing.T) {
	g, last := New(policy.Auto{CPU: 0.6, Max: time.Hour}), time.Duration(0)
	for range 100 {
		ttl, _ := steady(g, 1, Reading{CPU: 1})
		if ttl-last > 1200*time.Millisecond { // two digits of 60 s
			t.Fatalf("%s -> %s", last, ttl)
		}
		last = ttl
	}
	if last < 40*time.Second {
		t.Error(last)
	}
}

// U4: nonsense between good readings changes nothing, then or later.
func TestNonsense(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, a := range []policy.Auto{{CPU: 0.6, Max: time.Minute}, {Accuracy: 0.95, Max: time.Minute}} {
		clean, dirty := New(a), New(a)
		r := rand.New(rand.NewPCG(1, 1))
		for i := range 200 {
			good := Reading{At: epoch.Add(time.Duration(i) * time.Second), CPU: 0.5 + 0.3*r.Float64(), Served: 1000, Wrong: 100 * r.Float64()}
			want, _ := clean.Step(good)
			got, why := dirty.Step(good)
			if want != got {
				t.Fatalf("step %d: %s, want %s: %s", i, got, want, why)
			}
			for _, bad := range []Reading{
				{CPU: nan, Served: nan, Wrong: nan}, {CPU: inf, Served: inf, Wrong: inf}, {CPU: -1, Served: -1, Wrong: -1}, {CPU: 1e300, Served: 1e300, Wrong: 1e300},
				{CPU: 50, Served: 10, Wrong: 11}, {CPU: -inf, Served: 10, Wrong: nan},
			} {
				bad.At = good.At.Add(time.Millisecond)
				if ttl, why := dirty.Step(bad); ttl != want || !strings.HasSuffix(why, ": ttl stays "+want.String()) {
					t.Fatalf("%+v: %s %q", bad, ttl, why)
				}
			}
			for _, at := range []time.Time{good.At, good.At.Add(-time.Hour), {}} {
				late := good
				if late.At = at; dirty.nonsense(&late) == "" {
					t.Fatalf("took %v after %v", at, good.At)
				}
			}
		}
	}
}

// Long gaps between steps, and very short ones, count as what they are.
func TestIrregularSteps(t *testing.T) {
	g := New(policy.Auto{CPU: 0.6, Max: time.Minute})
	for i := range 100 {
		g.Step(Reading{At: epoch.Add(time.Duration(i) * time.Millisecond), CPU: 1})
	}
	if g.TTL() > 3*time.Millisecond {
		t.Errorf("%s after 100 ms", g.TTL())
	}
	before := g.TTL()
	if ttl, _ := g.Step(Reading{At: epoch.Add(24 * time.Hour), CPU: 1}); ttl < before || ttl > time.Second {
		t.Errorf("%s after a day", ttl)
	}
}

// The last 32 moves are there, each from where the one before ended.
func TestMoves(t *testing.T) {
	g := New(policy.Auto{CPU: 0.6, Max: time.Minute})
	steady(g, 60, Reading{CPU: 1})
	all := g.Moves()
	if len(all) != 32 || all[31].To != g.TTL() || all[31].At.IsZero() {
		t.Fatalf("%d moves: %+v", len(all), all)
	}
	for i, m := range all {
		if i > 0 && m.From != all[i-1].To || m.Why != "cpu 100% above 60%: ttl "+m.From.String()+" -> "+m.To.String() {
			t.Errorf("%d: %+v", i, m)
		}
	}
}

func TestRound(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0: 0, 99: 99, 123 * time.Millisecond: 120 * time.Millisecond, 1996 * time.Millisecond: 2 * time.Second, 61 * time.Second: 61 * time.Second, 99_600 * time.Millisecond: 100 * time.Second,
	} {
		if got := round(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestConcurrent(t *testing.T) {
	g := New(policy.Auto{CPU: 0.6, Max: time.Minute})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				g.Step(Reading{At: epoch.Add(time.Duration(i) * time.Second), CPU: 1})
				_ = g.Moves()
			}
		})
	}
	wg.Wait()
	if g.TTL() != time.Minute {
		t.Error(g.TTL())
	}
}
