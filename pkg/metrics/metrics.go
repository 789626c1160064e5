// Package metrics turns the statistics of a node into Prometheus metrics, on a registry of its own. It is the only package that knows Prometheus.
package metrics

import (
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/yupiao/yupiao/pkg/accuracy"
	"github.com/yupiao/yupiao/pkg/answer"
	"github.com/yupiao/yupiao/pkg/httpapi"
	"github.com/yupiao/yupiao/pkg/latency"
	"github.com/yupiao/yupiao/pkg/replica"
)

// Source is what a node knows of its replica.
type Source interface {
	// Replica to answer from; nil before the first is ready.
	Replica() *replica.Replica
	// Degraded says why the replica is known not to advance; empty if it does.
	Degraded() string
	// Reloads counts how often a replica was loaded again.
	Reloads() uint64
}

// metric is one number of a replica.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*replica.Stats) uint64
}

// collector reads all numbers at the moment of a scrape.
type collector struct {
	source  Source
	clock   func() time.Time
	metrics []metric
	age     *prometheus.Desc
	ready   *prometheus.Desc
	degrade *prometheus.Desc
	reloads *prometheus.Desc
	lag     *prometheus.Desc
}

// Options of a Handler; all are needed. The functions are called at each scrape.
type Options struct {
	Source   Source
	Accuracy *accuracy.Record
	Answers  func() answer.Stats
	// Settings tells the version of the shared settings in force, and whether settings that somebody wrote are refused.
	Settings func() (version uint64, refused bool)
	// Traffic tells of the requests, by route and outcome; Ages how old the data were when seat searches were answered; Streams of the open streams.
	Traffic func() []httpapi.Traffic
	Ages    func() latency.Snapshot
	Streams func() (open int, events uint64)
	// Draining: the node is being drained. Holds are the runs that operators hold.
	Draining func() bool
	Holds    func() *replica.HoldTable
	Limits   Limits
	// Program is the version of the program.
	Program string
	Clock   func() time.Time
}

// Handler serves a node's metrics.
func Handler(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newGo(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(o.Source, o.Clock), newOffers(o.Accuracy), newAnswers(o.Answers))
	registry.MustRegister(newSettings(o.Settings)...)
	registry.MustRegister(newLimits(o.Limits)...)
	registry.MustRegister(newTraffic(&o))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// newGo is the runtime's metrics, with what the usual ones lack: the heap that the last garbage collection has left, and the processor time that the collector takes of all
// that is not idle. The runtime counts time on the clock, so that these are to be compared with each other alone.
func newGo() prometheus.Collector {
	return collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/(cpu/classes/(gc/total|idle|total):cpu-seconds|gc/heap/live:bytes)$`)}))
}

func newSettings(settings func() (version uint64, refused bool)) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "yupiao_settings_refused", Help: "1 while the settings file or the shared settings cannot be used and earlier ones are in force; the log says why."},
			func() float64 { _, refused := settings(); return flag(refused) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "yupiao_settings_version", Help: "Version of the settings shared by all nodes that is in force here; 0 for none."},
			func() float64 { version, _ := settings(); return float64(version) }),
	}
}

func newCollector(source Source, clock func() time.Time) *collector {
	counter := func(name, help string, read func(*replica.Stats) uint64) metric {
		return metric{prometheus.NewDesc("yupiao_"+name, help, nil, nil), prometheus.CounterValue, read}
	}
	gauge := func(name, help string, read func(*replica.Stats) uint64) metric {
		return metric{prometheus.NewDesc("yupiao_"+name, help, nil, nil), prometheus.GaugeValue, read}
	}
	single := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("yupiao_"+name, help, nil, nil) }
	return &collector{
		source: source, clock: clock,
		age:     single("age_seconds", "How old the data may be; absent if nothing proves an age."),
		ready:   single("ready", "1 once the first replica is loaded."),
		degrade: single("degraded", "1 while the replica is known not to advance."),
		lag:     single("feed_lag_messages", "Messages of the delta stream that the node has before it, as far as the last heartbeat tells."),
		reloads: single("reloads_total", "Replicas loaded again since the node started."),
		metrics: []metric{
			counter("events_received_total", "Events of the feed. Received = applied + duplicate + held + broken.", func(s *replica.Stats) uint64 { return s.Received }),
			counter("events_applied_total", "Events that changed the replica.", func(s *replica.Stats) uint64 { return s.Applied }),
			counter("events_duplicate_total", "Events that told nothing new.", func(s *replica.Stats) uint64 { return s.Duplicate }),
			counter("events_broken_total", "Events that could not be understood or contradicted the replica.", func(s *replica.Stats) uint64 { return s.Broken }),
			counter("events_refused_total", "Broken events for which the node had no room (feed.max_runs, feed.max_memory_mib), or of a date on which no train can be.", func(s *replica.Stats) uint64 { return s.Refused }),
			gauge("events_held", "Events kept aside behind a gap.", func(s *replica.Stats) uint64 { return s.Held }),
			counter("gaps_total", "Times a run fell behind.", func(s *replica.Stats) uint64 { return s.Gaps }),
			counter("repairs_total", "Times a run came back.", func(s *replica.Stats) uint64 { return s.Repaired }),
			counter("digests_total", "Digests compared.", func(s *replica.Stats) uint64 { return s.Digests }),
			counter("digests_differing_total", "Digests that differed from the replica at the same point.", func(s *replica.Stats) uint64 { return s.Differing }),
			gauge("runs", "Runs that can be shown.", func(s *replica.Stats) uint64 { return s.Runs }),
			gauge("runs_behind", "Runs known to lack a change.", func(s *replica.Stats) uint64 { return s.Behind }),
			gauge("runs_quarantined", "Runs whose numbers are not shown.", func(s *replica.Stats) uint64 { return s.Quarantined }),
			gauge("dates_lacking", "Dates, by partition, of which runs are missing since the node had no room for them.", func(s *replica.Stats) uint64 { return s.Lacking }),
			gauge("runs_unseen", "Runs of which only deltas have come.", func(s *replica.Stats) uint64 { return s.Unseen }),
		},
	}
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
	for _, d := range []*prometheus.Desc{c.age, c.ready, c.degrade, c.reloads, c.lag} {
		out <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	out <- prometheus.MustNewConstMetric(c.reloads, prometheus.CounterValue, float64(c.source.Reloads()))
	gauge(c.degrade, flag(c.source.Degraded() != ""))
	r := c.source.Replica()
	gauge(c.ready, flag(r != nil))
	if r == nil {
		return
	}
	if age, ok := r.Age(c.clock()); ok {
		gauge(c.age, age.Seconds())
	}
	gauge(c.lag, float64(r.Lag()))
	stats := r.Stats()
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.read(&stats)))
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
