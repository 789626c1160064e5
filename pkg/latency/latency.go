// Package latency counts how long things took, on the way of every request: a histogram that any number of goroutines fill without a lock.
//
// Its buckets are those of a Prometheus native histogram of schema 3: eight to each power of two, the upper bound of one 2^(1/8) times that of the one before, so that a quantile is
// at most 9 % too high. See https://prometheus.io/docs/specs/native_histograms/.
package latency

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// Schema of the buckets: 2^Schema of them to each power of two.
	Schema = 3
	// First is the number of the lowest bucket: bucket n holds what is above 2^((n-1)/8) s and at most 2^(n/8) s. What is less than a microsecond is counted there.
	First = -160
	// Last is the number of the highest; what is more than two minutes is counted there.
	Last = 56

	perOctave = 1 << Schema
	buckets   = Last - First + 1
)

// bounds within an octave, as math.Frexp has it: the bucket of a fraction is that of the first bound not below it.
var bounds = func() (b [perOctave]float64) {
	for i := range b {
		b[i] = math.Exp2(float64(i)/perOctave - 1)
	}
	return b
}()

// Histogram counts durations. The zero Histogram is empty. Safe for concurrent use.
type Histogram struct {
	counts [buckets]atomic.Uint64
	nanos  atomic.Int64
}

// Record counts a duration.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(d)-First].Add(1)
	h.nanos.Add(int64(max(d, 0)))
}

// bucket is the number of the one that holds a duration.
func bucket(d time.Duration) int {
	if d <= 0 {
		return First
	}
	fraction, exponent := math.Frexp(d.Seconds())
	i := 0
	for step := perOctave / 2; step > 0; step /= 2 { // the number of bounds below the fraction
		if bounds[i+step-1] < fraction {
			i += step
		}
	}
	if bounds[i] < fraction {
		i++
	}
	return min(max(i+(exponent-1)*perOctave, First), Last)
}

// Bound is the upper bound of a bucket.
func Bound(bucket int) time.Duration {
	return time.Duration(math.Exp2(float64(bucket)/perOctave) * float64(time.Second))
}

// Snapshot is a histogram at a moment, or what came between two.
type Snapshot struct {
	counts [buckets]uint64
	// Count is how many durations there were, and Sum how long all of them.
	Count uint64
	Sum   time.Duration
}

// Snapshot of what was recorded. What is recorded meanwhile may be in it or not.
func (h *Histogram) Snapshot() (s Snapshot) {
	for i := range h.counts {
		s.counts[i] = h.counts[i].Load()
		s.Count += s.counts[i]
	}
	s.Sum = time.Duration(h.nanos.Load())
	return s
}

// Add puts another snapshot's durations to these.
func (s *Snapshot) Add(o *Snapshot) {
	for i := range s.counts {
		s.counts[i] += o.counts[i]
	}
	s.Count += o.Count
	s.Sum += o.Sum
}

// Since is what came after an earlier snapshot of the same histogram.
func (s *Snapshot) Since(before *Snapshot) (d Snapshot) {
	for i := range s.counts {
		d.counts[i] = s.counts[i] - before.counts[i]
	}
	d.Count, d.Sum = s.Count-before.Count, s.Sum-before.Sum
	return d
}

// Quantile is the upper bound of the bucket that holds a quantile, 0 to 1; 0 if there is nothing.
func (s *Snapshot) Quantile(q float64) time.Duration {
	if s.Count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(s.Count)))
	for i, sum := 0, uint64(0); i < buckets; i++ {
		if sum += s.counts[i]; sum >= max(rank, 1) {
			return Bound(First + i)
		}
	}
	return Bound(Last)
}

// Each goes through the buckets that hold something, the lowest first.
func (s *Snapshot) Each(do func(bucket int, count uint64)) {
	for i, n := range s.counts {
		if n > 0 {
			do(First+i, n)
		}
	}
}
