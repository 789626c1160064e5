package metrics

import (
	"math"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/yupiao/yupiao/pkg/latency"
)

// traffic reads what the node answered, at the moment of a scrape.
type traffic struct {
	o                                *Options
	took, age                        *prometheus.Desc
	streams, events, draining, build *prometheus.Desc
	holds                            *prometheus.Desc
}

func newTraffic(o *Options) *traffic {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("yupiao_"+name, help, labels, nil)
	}
	return &traffic{
		o: o,
		took: desc("http_request_duration_seconds", "Time from a request until its answer is there (of a stream until its first event), by what was asked for and what came of it.",
			"route", "outcome"),
		age:      desc("answer_age_seconds", "How old the data were when a seat search was answered."),
		streams:  desc("streams_open", "Open streams of live answers."),
		events:   desc("stream_events_total", "Events that went to streams."),
		draining: desc("draining", "1 while the node is drained: it answers, and says that it is not ready."),
		holds:    desc("holds", "Runs that operators hold, by what they have decided.", "act"),
		build:    desc("build_info", "1, with the versions of the program and of Go.", "version", "go"),
	}
}

// Describe is part of prometheus.Collector.
func (t *traffic) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{t.took, t.age, t.streams, t.events, t.draining, t.holds, t.build} {
		out <- d
	}
}

// Collect is part of prometheus.Collector.
func (t *traffic) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, r := range t.o.Traffic() {
		out <- newHistogram(t.took, &r.Took, label("outcome", r.Outcome), label("route", r.Route))
	}
	ages := t.o.Ages()
	out <- newHistogram(t.age, &ages)
	open, events := t.o.Streams()
	gauge(t.streams, float64(open))
	out <- prometheus.MustNewConstMetric(t.events, prometheus.CounterValue, float64(events))
	gauge(t.draining, flag(t.o.Draining()))
	suspended, pinned := t.o.Holds().Count()
	gauge(t.holds, float64(suspended), "suspend")
	gauge(t.holds, float64(pinned), "pin")
	gauge(t.build, 1, t.o.Program, runtime.Version())
}

func label(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: proto.String(name), Value: proto.String(value)}
}

// histogram is a snapshot as Prometheus reads it: with a classic bucket for each power of two seconds in text, and with all buckets, as a native histogram, in protobuf. The
// library's own makes one or the other of numbers that somebody else has counted.
type histogram struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	out    *dto.Histogram
}

// Classic buckets reach from 2^classicFirst to 2^classicLast seconds: 61 us to 16 s.
const classicFirst, classicLast = -14, 4

// newHistogram needs its labels by name.
func newHistogram(desc *prometheus.Desc, s *latency.Snapshot, labels ...*dto.LabelPair) *histogram {
	h := &dto.Histogram{
		SampleCount: proto.Uint64(s.Count), SampleSum: proto.Float64(s.Sum.Seconds()),
		Schema: proto.Int32(latency.Schema), ZeroThreshold: proto.Float64(0), ZeroCount: proto.Uint64(0),
	}
	classic := [classicLast - classicFirst + 1]uint64{}
	next, before := 0, int64(0)
	s.Each(func(bucket int, count uint64) {
		for i := range classic {
			if bucket <= (classicFirst+i)<<latency.Schema {
				classic[i] += count
			}
		}
		if last := len(h.PositiveSpan) - 1; last >= 0 && bucket == next {
			h.PositiveSpan[last].Length = proto.Uint32(h.PositiveSpan[last].GetLength() + 1)
		} else { // the offset of the first is its bucket, of the others the gap
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(int32(bucket - next)), Length: proto.Uint32(1)})
		}
		h.PositiveDelta = append(h.PositiveDelta, int64(count)-before)
		next, before = bucket+1, int64(count)
	})
	if len(h.PositiveSpan) == 0 { // an empty span says that it is a native histogram
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	for i, n := range classic {
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: proto.Float64(math.Exp2(float64(classicFirst + i))), CumulativeCount: proto.Uint64(n)})
	}
	return &histogram{desc, labels, h}
}

// Desc is part of prometheus.Metric.
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write is part of prometheus.Metric.
func (h *histogram) Write(out *dto.Metric) error {
	out.Label, out.Histogram = h.labels, h.out
	return nil
}
