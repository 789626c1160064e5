//go:build linux

package main

import (
	"context"
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/yupiao/yupiao/bench/process"
)

// sample is everything at one moment. What is not known is NaN.
type sample struct {
	at        float64 // seconds from the beginning of what is measured; negative in the warm-up
	changes   float64 // published a second, since the sample before
	committed float64 // likewise
	outbox    float64
	visible   [2]float64 // milliseconds from a commit to a node's number: median of the latest, by node
	queries   float64    // answered a second
	p50, p99  float64    // milliseconds
	nodes     [2]vitals
	publisher float64 // MiB resident
	broker    float64
	driver    float64
	processor float64 // of all processes, in processors
}

// vitals of a node.
type vitals struct {
	life                                               int // how often it was started
	uptime                                             float64
	resident, heap, live, goroutines, files, age, runs float64 // memory in MiB
	degraded                                           float64 // 1 while it says so, or does not answer
	streams                                            float64
}

// vitalsOf reads a node's metrics.
func vitalsOf(m process.Metrics) vitals {
	number := func(name string, of float64) float64 {
		if v, known := m[name]; known {
			return v / of
		}
		return math.NaN()
	}
	const mib = 1 << 20
	v := vitals{
		resident: number("process_resident_memory_bytes", mib), heap: number("go_memstats_heap_inuse_bytes", mib), live: number("go_gc_heap_live_bytes", mib),
		goroutines: number("go_goroutines", 1), files: number("process_open_fds", 1), age: number("yupiao_age_seconds", 1), runs: number("yupiao_runs", 1),
		streams: number("yupiao_streams_open", 1),
	}
	if sick(m) != "" {
		v.degraded = 1
	}
	return v
}

// silent are the vitals of a node that does not answer.
func silent() vitals {
	n := math.NaN()
	return vitals{resident: n, heap: n, live: n, goroutines: n, files: n, age: n, runs: n, streams: n, degraded: 1}
}

// sampleEvery is how often a sample is taken.
const sampleEvery = 5 * time.Second

// sample takes samples until ctx ends.
func (w *watch) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	before, at := w.record.figures(), time.Now()
	_, answered := w.load.totals()
	used := w.used()
	lives, pids := [2]int{}, [2]int{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, f := time.Now(), w.record.figures()
		_, answers := w.load.totals()
		seconds := now.Sub(at).Seconds()
		s := sample{
			at: w.at(), changes: float64(f.acked-before.acked) / seconds, committed: float64(f.committed-before.committed) / seconds, outbox: float64(f.outbox),
			queries: float64(answers-answered) / seconds, visible: w.visible.lately(),
		}
		s.p50, s.p99 = w.load.lately()
		for i, n := range w.nodes {
			started, pid := n.life()
			if pid != pids[i] {
				lives[i], pids[i] = lives[i]+1, pid
			}
			s.nodes[i] = silent()
			if m, err := n.metrics(ctx); err == nil {
				s.nodes[i] = vitalsOf(m)
			}
			s.nodes[i].resident = residentOf(pid) // whether it answers or not
			s.nodes[i].life, s.nodes[i].uptime = lives[i], now.Sub(started).Seconds()
		}
		usedNow := w.used()
		s.publisher, s.broker, s.driver = residentOf(w.publisherPID()), residentOf(w.brokerPID()), residentOf(selfPID)
		s.processor = usedNow.since(used) / seconds
		before, at, answered, used = f, now, answers, usedNow
		w.mu.Lock()
		w.samples = append(w.samples, s)
		w.mu.Unlock()
	}
}

// after are the samples of what is measured, without the warm-up.
func after(all []sample) []sample {
	return slices.DeleteFunc(slices.Clone(all), func(s sample) bool { return s.at < 0 })
}

// series is one number of all samples.
func series(all []sample, of func(*sample) float64) (at, values []float64) {
	for i := range all {
		if v := of(&all[i]); !math.IsNaN(v) {
			at, values = append(at, all[i].at), append(values, v)
		}
	}
	return at, values
}

// slope is that of the line through points of which any two have it at the median (Theil and Sen): some wild points do not move it. 0 with fewer than two.
func slope(x, y []float64) float64 {
	var all []float64
	step := max(len(x)/600, 1) // a third of a million pairs are enough
	for i := 0; i < len(x); i += step {
		for k := i + step; k < len(x); k += step {
			if x[k] > x[i] {
				all = append(all, (y[k]-y[i])/(x[k]-x[i]))
			}
		}
	}
	if len(all) == 0 {
		return 0
	}
	return median(all)
}

// growth is by how much of its median a number grows in an hour; shorter runs are not stretched to one: it is then what it grew in them.
func growth(at, values []float64) float64 {
	if len(at) < 4 {
		return 0
	}
	length := at[len(at)-1] - at[0]
	if length > 1800 {
		length = 3600
	}
	return slope(at, values) * length / max(math.Abs(median(values)), 1e-9)
}

// median of numbers; NaN of none.
func median(all []float64) float64 { return quantile(all, 0.5) }

func highest(all []float64) float64 { return quantile(all, 1) }

// quantile of numbers that are known; NaN of none.
func quantile(all []float64, q float64) float64 {
	sorted := slices.DeleteFunc(slices.Sorted(slices.Values(all)), math.IsNaN)
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(int(float64(len(sorted))*q), len(sorted)-1)]
}

// columns of the file of samples.
var columns = []struct {
	name string
	of   func(*sample) float64
}{
	{"seconds", func(s *sample) float64 { return s.at }},
	{"committed", func(s *sample) float64 { return s.committed }},
	{"published", func(s *sample) float64 { return s.changes }},
	{"outbox", func(s *sample) float64 { return s.outbox }},
	{"visible_a_ms", func(s *sample) float64 { return s.visible[0] }},
	{"visible_b_ms", func(s *sample) float64 { return s.visible[1] }},
	{"queries", func(s *sample) float64 { return s.queries }},
	{"p50_ms", func(s *sample) float64 { return s.p50 }},
	{"p99_ms", func(s *sample) float64 { return s.p99 }},
	{"a_rss_mib", func(s *sample) float64 { return s.nodes[0].resident }},
	{"a_heap_mib", func(s *sample) float64 { return s.nodes[0].heap }},
	{"a_live_mib", func(s *sample) float64 { return s.nodes[0].live }},
	{"a_goroutines", func(s *sample) float64 { return s.nodes[0].goroutines }},
	{"a_files", func(s *sample) float64 { return s.nodes[0].files }},
	{"a_age", func(s *sample) float64 { return s.nodes[0].age }},
	{"a_runs", func(s *sample) float64 { return s.nodes[0].runs }},
	{"a_streams", func(s *sample) float64 { return s.nodes[0].streams }},
	{"a_degraded", func(s *sample) float64 { return s.nodes[0].degraded }},
	{"b_life", func(s *sample) float64 { return float64(s.nodes[1].life) }},
	{"b_uptime", func(s *sample) float64 { return s.nodes[1].uptime }},
	{"b_rss_mib", func(s *sample) float64 { return s.nodes[1].resident }},
	{"b_live_mib", func(s *sample) float64 { return s.nodes[1].live }},
	{"b_goroutines", func(s *sample) float64 { return s.nodes[1].goroutines }},
	{"b_files", func(s *sample) float64 { return s.nodes[1].files }},
	{"b_age", func(s *sample) float64 { return s.nodes[1].age }},
	{"b_degraded", func(s *sample) float64 { return s.nodes[1].degraded }},
	{"publisher_mib", func(s *sample) float64 { return s.publisher }},
	{"nats_mib", func(s *sample) float64 { return s.broker }},
	{"driver_mib", func(s *sample) float64 { return s.driver }},
	{"processors", func(s *sample) float64 { return s.processor }},
}

// writeCSV writes samples, three digits of each number.
func writeCSV(w io.Writer, all []sample) error {
	out := csv.NewWriter(w)
	var row []string
	for _, c := range columns {
		row = append(row, c.name)
	}
	_ = out.Write(row) // Error tells
	for i := range all {
		row = row[:0]
		for k, c := range columns {
			v, digits := c.of(&all[i]), 3
			if k == 0 || math.Abs(v) >= 100 {
				digits = len(strconv.Itoa(int(math.Abs(v))))
			}
			text := strconv.FormatFloat(v, 'g', max(digits, 3), 64)
			if math.IsNaN(v) {
				text = ""
			}
			row = append(row, text)
		}
		_ = out.Write(row)
	}
	out.Flush()
	return out.Error()
}
