package node

import (
	"math"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/latency"
)

// Rates follow what is counted, and costs add up to the CPU time that was used.
func TestMeter(t *testing.T) {
	var stats answer.Stats
	var used time.Duration
	var searches latency.Histogram
	var failed uint64
	m := newMeter(func() answer.Stats { return stats }, func() (latency.Snapshot, uint64) { return searches.Snapshot(), failed })
	m.cpu = func() time.Duration { return used }
	if requests, hits, cores := m.rates(); requests != 0 || hits != 0 || cores != 0 {
		t.Error("rates of nothing")
	}
	if c := m.costs(); c.Fixed != 0 || c.Hit != 0 || c.Look != 0 || c.Render != 0 {
		t.Errorf("costs of nothing: %+v", c)
	}
	if p99, errors := m.searches(); p99 != 0 || errors != 0 {
		t.Errorf("searches of nothing: %s, %g", p99, errors)
	}
	searches.Record(time.Minute) // long before
	now := time.Unix(1_800_000_000, 0)
	m.measure(now)
	second := func(requests, looks, renders uint64) (cores float64) {
		stats.TTL += requests - looks - renders
		stats.Looked += looks
		stats.Rendered += renders
		stats.Rendering += time.Duration(renders) * 40 * time.Microsecond
		stats.Looking += time.Duration(looks+renders) * time.Microsecond
		used += 50*time.Millisecond + time.Duration(requests)*20*time.Microsecond + time.Duration(looks+renders)*time.Microsecond + time.Duration(renders)*40*time.Microsecond
		searches.Record(time.Millisecond)
		failed += 3
		now = now.Add(time.Second)
		return m.measure(now)
	}
	if cores := second(0, 0, 0); math.Abs(cores-0.05) > 1e-9 {
		t.Errorf("%g cores without requests", cores)
	}
	for range 60 {
		second(10_000, 4000, 1000)
	}
	requests, hits, cores := m.rates()
	if math.Abs(requests-10_000) > 10 || math.Abs(hits-0.9) > 1e-3 || math.Abs(cores-0.295) > 1e-3 {
		t.Errorf("%g requests/s, hit ratio %g, %g cores", requests, hits, cores)
	}
	if p99, errors := m.searches(); p99 < time.Millisecond || p99 > 1100*time.Microsecond || errors != 3 || len(m.seconds) != searchesOver+1 {
		t.Errorf("p99 %s, %g errors/s of %d seconds", p99, errors, len(m.seconds))
	}
	c := m.costs()
	near := func(got, want time.Duration) bool { return math.Abs(float64(got-want)) < 0.02*float64(want) }
	if c.Render != 40*time.Microsecond || c.Look != time.Microsecond || !near(c.Hit, 20*time.Microsecond) || math.Abs(c.Fixed-0.05) > 0.003 {
		t.Errorf("%+v", c)
	}
	if m.measure(now); math.IsNaN(m.cores) || math.IsInf(m.cores, 0) {
		t.Error("a clock that stands still")
	}
}
