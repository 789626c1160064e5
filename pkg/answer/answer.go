// Package answer keeps rendered answers for as long as the operator's rules say, and finds out whether one is still true. It is the only package that knows
// ristretto, which bounds the memory and is never asked to be right: it may drop what it is given and forget what it has.
//
// Invariants (cited by the tests as E1...):
//
//	E1 An answer is served without a look for at most the TTL of its rule since it was last seen to be true, and never beyond a moment at which the clock
//	   alone changes it. Otherwise it is served only if nothing it was made of has changed since. So with a TTL of 0 every answer is exact.
//	E2 A key is rendered by one goroutine at a time; the others wait for it.
//	E3 An entry is found by its whole key, never by a hash alone.
//	E4 Only answers are kept, no problems, and what ristretto does not keep is answered all the same.
//	E5 Memory is bounded in bytes; keys that are asked once do not drive out those that are asked often; what cannot be served any more goes.
//	E6 A hit allocates nothing.
//	E7 An answer under a demand is as new as the demand, or there is none.
package answer

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/yupiao/yupiao/pkg/policy"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
	"github.com/yupiao/yupiao/pkg/trial"
	"github.com/yupiao/yupiao/pkg/view"
)

// Request is a seat search as it was asked.
type Request struct {
	// Key is the whole request; equal keys are equal requests. Queries that differ only in the way they are written are kept apart: those who ask often
	// write always alike.
	Key   string
	Query *view.Query
	Lang  rail.Lang
	// Index is the timetable in which Query was read, and Until the next midnight there: then it is read anew.
	Index *timetable.Index
	Until time.Time
	// MaxAge in whole seconds is demanded by the request itself, if Limited.
	MaxAge  int
	Limited bool
}

// Options of a Cache.
type Options struct {
	// Memory for answers, in bytes; at least 1 MiB. Default 256 MiB.
	Memory int64
	// Policy in force; it may be another each time. Default policy.Exact.
	Policy func() *policy.Policy
	// Auto is the present TTL of a rule whose TTL is auto, and where to count what came of it. Default: the least TTL, counted nowhere.
	Auto func(rule *policy.Rule) (time.Duration, *Score)
	// Replica, if set, is that of the moment: then a sample of the requests and of the changes of their answers is recorded, by Tend, for package trial. Sample tunes it; its
	// Clock and Total are the cache's.
	Replica func() *replica.Replica
	Sample  trial.Options
	// Clock is the time at which the sample is taken; default time.Now.
	Clock func() time.Time
}

// Cache keeps answers. Safe for concurrent use.
type Cache struct {
	options Options
	kept    *ristretto.Cache[uint64, *Entry]
	seed    maphash.Seed
	// asked is keys that were asked for: one that is asked once is not offered to ristretto at all, and a flood of such keys passes it by.
	asked    doorkeeper
	truth    Truth
	counts   counts
	work     work
	recorder *trial.Recorder // nil if nothing is recorded

	mu     sync.Mutex        // guards making
	making map[string]*Entry // entries whose first answer is under way
}

// counts of answers by what they cost.
type counts struct{ ttl, looked, rendered, waited atomic.Uint64 }

func (c *counts) sum() uint64 {
	return c.ttl.Load() + c.looked.Load() + c.rendered.Load() + c.waited.Load()
}

// typicalEntry is the size of an answer of a few trains, by which ristretto's counters are sized: twenty for each entry, twice what it advises, against floods.
const typicalEntry = 4 << 10

// New makes a cache. Close it.
func New(o Options) (*Cache, error) {
	if o.Memory <= 0 {
		o.Memory = 256 << 20
	}
	if o.Memory < 1<<20 {
		return nil, fmt.Errorf("answers: memory is %d bytes; want at least %d", o.Memory, 1<<20)
	}
	if o.Policy == nil {
		exact := policy.Exact()
		o.Policy = func() *policy.Policy { return exact }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Auto == nil {
		o.Auto = func(r *policy.Rule) (time.Duration, *Score) { return r.Auto.Min, nil }
	}
	kept, err := ristretto.NewCache(&ristretto.Config[uint64, *Entry]{NumCounters: 20 * o.Memory / typicalEntry, MaxCost: o.Memory, BufferItems: 64, Metrics: true})
	if err != nil {
		return nil, fmt.Errorf("answers: %w", err)
	}
	c := &Cache{options: o, kept: kept, seed: maphash.MakeSeed(), asked: make(doorkeeper, 1+o.Memory/typicalEntry), making: map[string]*Entry{}}
	if o.Replica != nil {
		o.Sample.Clock, o.Sample.Total = o.Clock, c.counts.sum
		c.recorder = trial.NewRecorder(o.Sample)
	}
	return c, nil
}

// Resize bounds the memory by another number of bytes, at least 1 MiB. What is too much goes as new answers come; the counters by which ristretto chooses stay
// as many as they were.
func (c *Cache) Resize(memory int64) { c.kept.UpdateMaxCost(max(memory, 1<<20)) }

// Close lets go of everything. No other call may be under way.
func (c *Cache) Close() { c.kept.Close() }

// Policy in force.
func (c *Cache) Policy() *policy.Policy { return c.options.Policy() }

// Find finds the entry of a key that was joined before; nil if there is none, or it was read in another timetable or on another day.
func (c *Cache) Find(key string, index *timetable.Index, now time.Time) *Entry {
	e, ok := c.kept.Get(maphash.String(c.seed, key))
	if !ok || e.request.Key != key || !e.request.current(index, now) {
		return nil
	}
	return e
}

func (q *Request) current(index *timetable.Index, now time.Time) bool {
	return q.Index == index && now.Before(q.Until)
}

// Join finds or makes the entry of a request. Those who ask for the same at the same time get the same (E2).
func (c *Cache) Join(r Request, now time.Time) *Entry {
	if e := c.Find(r.Key, r.Index, now); e != nil {
		return e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.making[r.Key]; e != nil && e.request.current(r.Index, now) {
		return e
	}
	e := newEntry(c, r)
	c.making[r.Key] = e
	return e
}

// keep offers an entry that has an answer now to ristretto, if its key was asked for before; it may refuse it (E4). Of a key that it holds already the value
// is replaced at once.
func (c *Cache) keep(e *Entry, cost int64) {
	if c.asked.knows(e.hash) {
		c.kept.Set(e.hash, e, cost)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.making[e.request.Key] == e {
		delete(c.making, e.request.Key)
	}
}

// doorkeeper remembers the hashes of some of the last keys, in sets of a cache line each.
type doorkeeper [][8]atomic.Uint64

// knows reports whether a key came before, and remembers it in place of any other of its set.
func (d doorkeeper) knows(hash uint64) bool {
	set := &d[hash%uint64(len(d))]
	for i := range set {
		if set[i].Load() == hash {
			return true
		}
	}
	set[rand.Uint32()%uint32(len(set))].Store(hash)
	return false
}

// Stats of a cache since it was made.
type Stats struct {
	// TTL counts answers served without a look, Looked those found unchanged, Rendered those made, Waited those that somebody else made meanwhile.
	TTL, Looked, Rendered, Waited uint64
	// Entries and Bytes are what is kept, Evicted and Refused what had no room.
	Entries, Bytes, Evicted, Refused uint64
	// Rendering is the time that rendering has taken, and Looking an estimate of that for looks.
	Rendering, Looking time.Duration
	// Truth is what a sample of the answers served without a look was worth.
	Truth TruthStats
}

// Requests is the sum of all answers.
func (s *Stats) Requests() uint64 { return s.TTL + s.Looked + s.Rendered + s.Waited }

// HitRatio is the share of answers that were not rendered for their caller; 0 before the first.
func (s *Stats) HitRatio() float64 {
	all := s.Requests()
	if all == 0 {
		return 0
	}
	return float64(all-s.Rendered) / float64(all)
}

// Stats is a snapshot; what is counted meanwhile may be in some numbers and not in others.
func (c *Cache) Stats() Stats {
	m := c.kept.Metrics
	return Stats{
		TTL: c.counts.ttl.Load(), Looked: c.counts.looked.Load(), Rendered: c.counts.rendered.Load(), Waited: c.counts.waited.Load(),
		Entries: m.KeysAdded() - m.KeysEvicted(), Bytes: m.CostAdded() - m.CostEvicted(), Evicted: m.KeysEvicted(), Refused: m.SetsRejected() + m.SetsDropped(),
		Rendering: time.Duration(c.work.rendering.Load()), Looking: time.Duration(c.work.looking.Load()) * lookSample, Truth: c.truth.stats(),
	}
}
