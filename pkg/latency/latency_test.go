package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// Every duration lies in the bucket whose bounds hold it.
func TestBucket(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		d := time.Duration(math.Exp(rng.Float64()*20 + 6.9)) // 1 us to 8 min
		n, seconds := bucket(d), d.Seconds()
		low, high := math.Exp2(float64(n-1)/8), math.Exp2(float64(n)/8)
		if !(seconds > low || n == First) || !(seconds <= high || n == Last) {
			t.Fatalf("%s (%g s) is in bucket %d: above %g and at most %g", d, seconds, n, low, high)
		}
	}
	for exponent := -20; exponent <= 7; exponent++ { // the bounds themselves belong below
		if d := time.Duration(math.Exp2(float64(exponent)) * 1e9); d.Seconds() == math.Exp2(float64(exponent)) && bucket(d) != min(max(8*exponent, First), Last) {
			t.Errorf("%s: bucket %d; want %d", d, bucket(d), 8*exponent)
		}
	}
	for d, want := range map[time.Duration]int{-time.Second: First, 0: First, 1: First, time.Hour: Last} {
		if got := bucket(d); got != want {
			t.Errorf("%s: bucket %d; want %d", d, got, want)
		}
	}
}

// A quantile is that of the sorted durations, and at most an eighth of an octave too high; a difference holds what came between.
func TestQuantile(t *testing.T) {
	var h Histogram
	h.Record(time.Minute) // before
	before := h.Snapshot()
	rng := rand.New(rand.NewPCG(2, 2))
	var all []time.Duration
	var sum time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(rng.Float64()*10+8)) + 1000
		h.Record(d)
		all, sum = append(all, d), sum+d
	}
	slices.Sort(all)
	now := h.Snapshot()
	s := now.Since(&before)
	if s.Count != 10_000 || s.Sum != sum {
		t.Errorf("%d in %s; want 10000 in %s", s.Count, s.Sum, sum)
	}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(int(math.Ceil(q*10_000))-1, 0)]
		if got := s.Quantile(q); got < exact-1 || float64(got) > float64(exact)*1.0906+1 {
			t.Errorf("%g: %s; the exact one is %s", q, got, exact)
		}
	}
	total := uint64(0)
	s.Each(func(_ int, n uint64) { total += n })
	if total != s.Count {
		t.Errorf("the buckets hold %d", total)
	}
	if (&Snapshot{}).Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}

// Nothing is lost among many who record.
func TestConcurrent(t *testing.T) {
	var h Histogram
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 10_000 {
				h.Record(time.Duration(i) * time.Microsecond)
			}
		})
	}
	all.Wait()
	if s := h.Snapshot(); s.Count != 80_000 {
		t.Errorf("%d counted", s.Count)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Record(time.Duration(i&0xffff) * time.Microsecond)
	}
}
