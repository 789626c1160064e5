package trial

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/policy"
)

// query is one key of a made-up world: an answer of some numbers, of which any may change, and a stamp that also moves without the bytes.
type query struct {
	hash     uint64
	days     int
	stamp    uint64
	seats    []int32
	openings []time.Time
	asked    []slot // each request, newest last
	changed  []slot

	// The naive cache's entry.
	known   bool
	entry   bool
	checked slot
	seen    uint64
	bytes   []int32
}

func (q *query) Stamp() uint64 { return q.stamp }

func (q *query) Look() Truth {
	t := Truth{Openings: q.openings, Seats: make([]Seat, 0, len(q.seats)), Digest: 1}
	for i, left := range q.seats {
		t.Seats = append(t.Seats, Seat{Cell: uint64(i*7919) % 13, Left: left})
		t.Digest = mix(t.Digest<<1 ^ uint64(uint32(left)))
	}
	return t
}

func (q *query) Facts() policy.Facts { return policy.Facts{Days: q.days, Types: []string{"G"}} }

// change moves the stamp, and the bytes if they shall.
func (q *query) change(r *rand.Rand, at slot, bytes bool) {
	q.stamp += 2
	q.changed = append(q.changed, at)
	if bytes {
		i := r.IntN(len(q.seats))
		q.seats[i] += int32(1 + r.IntN(3))
	}
}

// opened reports whether the sale opened between two slots: then the clock alone has changed the answer.
func (q *query) opened(after, upTo slot) bool {
	return slices.ContainsFunc(q.openings, func(o time.Time) bool {
		at := slot(o.Sub(epoch) / tick)
		return at > after && at <= upTo
	})
}

// world drives queries, the recorder and naive caches, slot by slot.
type world struct {
	r       *rand.Rand
	now     time.Time
	rec     *Recorder
	queries []*query
	naive   []*naive
	total   uint64 // requests
}

var epoch = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

func newWorld(seed uint64, keys int, o Options) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 1)), now: epoch}
	o.Clock, o.Total = func() time.Time { return w.now }, func() uint64 { return w.total }
	w.rec = NewRecorder(o)
	for i := range keys {
		w.queries = append(w.queries, &query{hash: w.r.Uint64(), days: i % 15, seats: make([]int32, 6)})
	}
	return w
}

// ask is a request, as the node would tell of it.
func (w *world) ask(q *query, at slot) {
	w.total++
	if rate := recent(q.asked, at); rate > w.rec.HotRate() {
		w.rec.Hot(q.hash)
	}
	if w.rec.Sampled(q.hash) {
		w.rec.Asked(q.hash, w.now, func() Probe { return q })
	}
	for _, n := range w.naive {
		n.ask(q, at)
	}
	q.asked = append(q.asked, at)
}

// poll is what Run does every 20 ms.
func (w *world) poll() {
	w.rec.polling.Lock()
	w.rec.poll()
	w.rec.polling.Unlock()
}

// recent is how many of the events lie in the 10 s before a slot, per second of those 10 s.
func recent(events []slot, at slot) float64 {
	i, _ := slices.BinarySearch(events, at-1000)
	j, _ := slices.BinarySearch(events, at)
	return float64(j-i) / 10
}

// firstPoll is the slot in which keys that are asked in slot 0 are polled first.
const firstPoll slot = 2

// naive is a cache that keeps bytes for each query and takes the requests one by one. It is the oracle of Simulate.
type naive struct {
	policy            *policy.Policy
	from              slot // what came before does not count
	entries           map[*query]*query
	total             int
	ttl, stamp, wrong int
	renders           int
	byRule            map[int]int
	off               []int
}

func newNaive(p *policy.Policy) *naive {
	return &naive{policy: p, entries: map[*query]*query{}, byRule: map[int]int{}}
}

func (n *naive) ask(q *query, at slot) {
	e := n.entries[q]
	if e == nil {
		e = &query{}
		n.entries[q] = e
	}
	rule, effects := n.policy.Match(n.facts(q, at))
	counts := at >= n.from
	count := func(c *int) {
		if counts {
			*c++
		}
	}
	count(&n.total)
	if counts {
		n.byRule[rule]++
	}
	switch {
	case e.entry && time.Duration(at-e.checked)*10*time.Millisecond < effects.TTL.Fixed:
		count(&n.ttl)
		if !slices.Equal(e.bytes, q.seats) {
			count(&n.wrong)
			n.compare(e.bytes, q.seats, counts)
		}
	case e.entry && e.seen == q.stamp && !q.opened(e.checked, at):
		count(&n.stamp)
		e.checked = at
	default:
		count(&n.renders)
		e.known, e.entry, e.checked, e.seen, e.bytes = true, e.known, at, q.stamp, slices.Clone(q.seats) // the first time it is not kept
	}
}

func (n *naive) compare(was, is []int32, counts bool) {
	for i := range was {
		if was[i] != is[i] && counts {
			n.off = append(n.off, int(math.Abs(float64(was[i]-is[i]))))
		}
	}
}

func (n *naive) facts(q *query, at slot) *policy.Facts {
	f := q.Facts()
	rate := func(events []slot, since slot) float64 {
		return recent(events, at) * 10 / (float64(min(max(at-since, 100), 1000)) / 100)
	}
	f.Asked = rate(q.asked, 0)
	i, _ := slices.BinarySearch(q.changed, firstPoll+1)
	f.Changed = rate(q.changed[i:], min(firstPoll, at))
	now := epoch.Add(time.Duration(at) * 10 * time.Millisecond)
	for _, o := range q.openings {
		if d := o.Sub(now); d > 0 {
			f.OpensIn = d
		} else {
			f.OpenedAgo = max(-d, 1)
		}
	}
	return &f
}

func (n *naive) hitRatio() float64 { return float64(n.ttl+n.stamp) / float64(n.total) }

func (n *naive) p99() int {
	if len(n.off) == 0 {
		return 0
	}
	slices.Sort(n.off)
	return n.off[int(math.Ceil(0.99*float64(len(n.off))))-1]
}

func (n *naive) mean() float64 {
	sum := 0
	for _, o := range n.off {
		sum += o
	}
	return ratio(float64(sum), float64(len(n.off)))
}
