package metrics

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/yupiao/yupiao/pkg/latency"
)

// one is a collector of one metric.
type one struct{ prometheus.Metric }

func (o one) Describe(out chan<- *prometheus.Desc) { out <- o.Desc() }
func (o one) Collect(out chan<- prometheus.Metric) { out <- o.Metric }

// What was recorded is in the text's classic buckets, and in the native ones, with which the library can be read back.
func TestHistogram(t *testing.T) {
	var h latency.Histogram
	all := []time.Duration{50 * time.Microsecond, 70 * time.Microsecond, 71 * time.Microsecond, 90 * time.Microsecond, time.Millisecond, time.Second, 15 * time.Second, time.Minute}
	for _, d := range all {
		h.Record(d)
	}
	s := h.Snapshot()
	desc := prometheus.NewDesc("took_seconds", "Time.", []string{"route"}, nil)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(one{newHistogram(desc, &s, label("route", "run"))})
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := expfmt.MetricFamilyToText(&text, families[0]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`took_seconds_bucket{route="run",le="6.103515625e-05"} 1`, `le="0.0001220703125"} 4`, `le="1"} 6`, `le="16"} 7`, `le="+Inf"} 8`, `took_seconds_count{route="run"} 8`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in\n%s", want, text.String())
		}
	}
	got := families[0].GetMetric()[0].GetHistogram()
	native := map[float64]int64{} // by upper bound
	bucket, count, k, total := int32(0), int64(0), 0, int64(0)
	for _, span := range got.GetPositiveSpan() {
		bucket += span.GetOffset()
		for range span.GetLength() {
			count += got.GetPositiveDelta()[k]
			native[math.Exp2(float64(bucket)/8)] += count
			total += count
			k, bucket = k+1, bucket+1
		}
	}
	if got.GetSchema() != 3 || total != int64(len(all)) || k != len(got.GetPositiveDelta()) || math.Abs(got.GetSampleSum()-s.Sum.Seconds()) > 1e-9 {
		t.Errorf("%d in native buckets: %+v", total, got)
	}
	for _, d := range all {
		up := math.Exp2(math.Ceil(math.Log2(d.Seconds())*8) / 8)
		if native[up]--; native[up] < 0 {
			t.Errorf("%s is not in its native bucket", d)
		}
	}
	var none latency.Histogram
	s = none.Snapshot()
	var empty dto.Metric
	if err := newHistogram(desc, &s).Write(&empty); err != nil || len(empty.GetHistogram().GetPositiveSpan()) != 1 || empty.GetHistogram().GetSampleCount() != 0 {
		t.Errorf("of nothing: %v", &empty)
	}
}
