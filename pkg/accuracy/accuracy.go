// Package accuracy counts what came of the offers that travellers handed back: how often the number on a screen was still true, by how old it was
// and under which TTL it was served. A node hears of the outcomes of the whole fleet, so all nodes count the same, each since its start.
package accuracy

import (
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/offer"
)

// bucket is a range of durations up to and with a bound.
type bucket struct {
	most  time.Duration
	label string
}

// forever is the bound of a last bucket.
const forever = time.Duration(1<<63 - 1)

// The buckets, by rising bound. Ages: a heartbeat comes every 250 ms, answers older than 2 s are degraded. TTLs: 0 is an exact answer.
var (
	ages = [...]bucket{{100 * time.Millisecond, "100ms"}, {time.Second, "1s"}, {5 * time.Second, "5s"}, {30 * time.Second, "30s"}, {forever, "more"}}
	ttls = [...]bucket{{0, "0"}, {time.Second, "1s"}, {5 * time.Second, "5s"}, {time.Minute, "60s"}, {forever, "more"}}
)

// in is the number of the bucket that holds d.
func in(buckets []bucket, d time.Duration) int {
	for i := range buckets {
		if d <= buckets[i].most {
			return i
		}
	}
	return len(buckets) - 1
}

// Record counts outcomes: a fixed number of counters, whatever comes. The zero Record is ready to use. Safe for concurrent use; it must not
// be copied.
type Record struct {
	counts [len(offer.Results)][len(ages)][len(ttls)]atomic.Uint64
	broken atomic.Uint64
}

// Add counts an outcome. One of no known result is counted as broken.
func (r *Record) Add(o offer.Outcome) {
	if o.Result < offer.Held || o.Result > offer.Refused {
		r.Broken()
		return
	}
	r.counts[o.Result-offer.Held][in(ages[:], o.Offer.Age)][in(ttls[:], o.Offer.TTL)].Add(1)
}

// Broken counts a message of an outcome that could not be understood.
func (r *Record) Broken() { r.broken.Add(1) }

// Snapshot is a Record at a moment. Outcomes that are counted meanwhile may be in some cells and not yet in others.
type Snapshot struct {
	// Cells are all combinations of result, age and TTL, with those of count 0, always in the same order.
	Cells []Cell
	// Broken counts outcomes that could not be understood; they are in no cell.
	Broken uint64
}

// Cell is the outcomes of one kind.
type Cell struct {
	Result offer.Result
	// Age is the range of the data's age when they were shown, by its upper bound, inclusive: 100ms, 1s, 5s, 30s or more.
	Age string
	// TTL is the range of the TTL they were served under, by its upper bound, inclusive: 0 (exact), 1s, 5s, 60s or more.
	TTL string
	// Count of outcomes since the Record was made.
	Count uint64
}

// Snapshot reads the counters.
func (r *Record) Snapshot() Snapshot {
	s := Snapshot{Cells: make([]Cell, 0, len(offer.Results)*len(ages)*len(ttls)), Broken: r.broken.Load()}
	for i, result := range offer.Results {
		for j, age := range ages {
			for k, ttl := range ttls {
				s.Cells = append(s.Cells, Cell{Result: result, Age: age.label, TTL: ttl.label, Count: r.counts[i][j][k].Load()})
			}
		}
	}
	return s
}

// Total is the number of outcomes of a result.
func (s Snapshot) Total(result offer.Result) (n uint64) {
	for _, c := range s.Cells {
		if c.Result == result {
			n += c.Count
		}
	}
	return n
}

// Share is held / (held + sold out), from 0 to 1: how many of the numbers that somebody relied on were true. Refused ones are left out, since a
// rule or the clock says nothing about a number. known is false, and the share 0, before the first outcome.
func (s Snapshot) Share() (share float64, known bool) {
	held, gone := s.Total(offer.Held), s.Total(offer.SoldOut)
	if held+gone == 0 {
		return 0, false
	}
	return float64(held) / float64(held+gone), true
}
