package node

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/latency"
	"github.com/yupiao/yupiao/pkg/trial"
)

// meter knows what the node does in a second, and what that costs.
type meter struct {
	stats  func() answer.Stats
	search func() (took latency.Snapshot, errors uint64)
	cpu    func() time.Duration

	mu   sync.Mutex // guards what follows
	at   time.Time
	used time.Duration
	last answer.Stats
	// Per second, over the last ones; cores is the CPU time.
	requests, renders, looks, cores float64
	// least is the least CPU time of a second: what the node uses without any request. It grows slowly, lest one quiet second counts for ever.
	least float64
	// seconds are the last ones' searches, the oldest first.
	seconds []searched
}

// searched is what was counted of seat searches until a moment.
type searched struct {
	at     time.Time
	took   latency.Snapshot
	errors uint64
}

func newMeter(stats func() answer.Stats, search func() (latency.Snapshot, uint64)) *meter {
	return &meter{stats: stats, search: search, cpu: processTime, least: math.Inf(1)}
}

// processTime is the user and system time of this process.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	meterEvery = time.Second
	// meterOver is the time constant of the rates.
	meterOver = 5 * time.Second
	// searchesOver is over how many seconds latency and errors are told.
	searchesOver = 10
	// leastGrows is by how much the least grows in a second: to the double in a quarter of an hour.
	leastGrows = 1.00077
)

// run measures until ctx ends, and tells each time which share of all processors was used.
func (m *meter) run(ctx context.Context, tell func(now time.Time, share float64)) error {
	ticker := time.NewTicker(meterEvery)
	defer ticker.Stop()
	m.measure(time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			tell(now, min(max(m.measure(now)/float64(runtime.GOMAXPROCS(0)), 0), 1))
		}
	}
}

// measure takes the counters, and returns the cores used since the last time.
func (m *meter) measure(now time.Time) (cores float64) {
	used, stats := m.cpu(), m.stats()
	took, failed := m.search()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seconds = append(m.seconds, searched{now, took, failed}); len(m.seconds) > searchesOver+1 {
		m.seconds = slices.Delete(m.seconds, 0, 1)
	}
	before := m.last
	seconds, first := now.Sub(m.at).Seconds(), m.at.IsZero()
	cores = (used - m.used).Seconds() / seconds
	m.at, m.used, m.last = now, used, stats
	if first || seconds <= 0 {
		return 0
	}
	part := min(seconds/meterOver.Seconds(), 1)
	follow := func(rate *float64, v float64) { *rate += part * (v - *rate) }
	follow(&m.requests, float64(stats.Requests()-before.Requests())/seconds)
	follow(&m.renders, float64(stats.Rendered-before.Rendered)/seconds)
	follow(&m.looks, float64(stats.Requests()-stats.TTL-before.Requests()+before.TTL)/seconds)
	follow(&m.cores, cores)
	m.least = min(m.least*leastGrows, cores)
	return cores
}

// rates are the seat searches per second, the share of them that was not rendered, and the cores used.
func (m *meter) rates() (requests, hitRatio, cores float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests > 0 {
		hitRatio = max(1-m.renders/m.requests, 0)
	}
	return m.requests, hitRatio, m.cores
}

// searches are the 99th percentile of the time in which seat searches were answered, and errors of ours per second, over the last ten seconds.
func (m *meter) searches() (p99 time.Duration, errors float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seconds) < 2 {
		return 0, 0
	}
	first, last := &m.seconds[0], &m.seconds[len(m.seconds)-1]
	since := last.took.Since(&first.took)
	return since.Quantile(0.99), float64(last.errors-first.errors) / last.at.Sub(first.at).Seconds()
}

// costs are what was measured: a look and a render by the clock, over the node's life; what a request costs beside them is what is left of the CPU time of the last seconds.
func (m *meter) costs() trial.Costs {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := trial.Costs{Fixed: m.least}
	if math.IsInf(c.Fixed, 1) {
		c.Fixed = 0
	}
	if m.last.Rendered > 0 {
		c.Render = m.last.Rendering / time.Duration(m.last.Rendered)
	}
	if looks := m.last.Requests() - m.last.TTL; looks > 0 {
		c.Look = m.last.Looking / time.Duration(looks)
	}
	if m.requests > 1 {
		rest := m.cores - c.Fixed - m.looks*c.Look.Seconds() - m.renders*c.Render.Seconds()
		c.Hit = time.Duration(max(rest/m.requests, 0) * float64(time.Second))
	}
	return c
}
