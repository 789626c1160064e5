package accuracy

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/offer"
)

func outcome(result offer.Result, age, ttl time.Duration) offer.Outcome {
	return offer.Outcome{Offer: offer.Offer{Age: age, TTL: ttl}, Result: result}
}

// Every outcome is in one cell, by bounds that are inclusive.
func TestCells(t *testing.T) {
	for _, tt := range []struct {
		age, ttl     time.Duration
		inAge, inTTL string
	}{
		{0, 0, "100ms", "0"}, {100 * time.Millisecond, 1, "100ms", "1s"}, {101 * time.Millisecond, time.Second, "1s", "1s"},
		{time.Second, time.Second + 1, "1s", "5s"}, {5 * time.Second, 5 * time.Second, "5s", "5s"}, {5*time.Second + 1, 6 * time.Second, "30s", "60s"},
		{30 * time.Second, time.Minute, "30s", "60s"}, {31 * time.Second, time.Minute + 1, "more", "more"}, {math.MaxInt64, math.MaxInt64, "more", "more"},
		{-1, -1, "100ms", "0"},
	} {
		for _, result := range offer.Results {
			var r Record
			r.Add(outcome(result, tt.age, tt.ttl))
			s := r.Snapshot()
			for _, c := range s.Cells {
				want := uint64(0)
				if c.Result == result && c.Age == tt.inAge && c.TTL == tt.inTTL {
					want = 1
				}
				if c.Count != want {
					t.Errorf("%s, age %s, TTL %s: %+v", result, tt.age, tt.ttl, c)
				}
			}
			if len(s.Cells) != 75 || s.Total(result) != 1 || s.Broken != 0 {
				t.Errorf("%d cells, total %d, broken %d", len(s.Cells), s.Total(result), s.Broken)
			}
		}
	}
}

// The share is of those that the number was right or wrong for.
func TestShare(t *testing.T) {
	for name, tt := range map[string]struct {
		held, gone, refused int
		share               float64
		known               bool
	}{
		"nothing": {}, "refused alone": {refused: 5}, "all held": {held: 3, refused: 1, share: 1, known: true},
		"none held": {gone: 2, known: true}, "some": {held: 3, gone: 1, refused: 96, share: 0.75, known: true},
	} {
		var r Record
		for result, n := range map[offer.Result]int{offer.Held: tt.held, offer.SoldOut: tt.gone, offer.Refused: tt.refused} {
			for i := range n {
				r.Add(outcome(result, time.Duration(i)*10*time.Second, 0))
			}
		}
		s := r.Snapshot()
		if share, known := s.Share(); share != tt.share || known != tt.known {
			t.Errorf("%s: %v, %t", name, share, known)
		}
	}
}

// What is no result is in no cell, and nothing is lost between goroutines.
func TestCounts(t *testing.T) {
	var r Record
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				r.Add(outcome(offer.Held, 0, 0))
				r.Add(outcome(0, 0, 0))
				r.Add(outcome(offer.Refused+1, 0, 0))
			}
		})
	}
	group.Wait()
	if s := r.Snapshot(); s.Total(offer.Held) != 8000 || s.Broken != 16000 || s.Total(offer.SoldOut)+s.Total(offer.Refused) != 0 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkAdd(b *testing.B) {
	var r Record
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Add(outcome(offer.Held, time.Second, time.Second))
		}
	})
}
