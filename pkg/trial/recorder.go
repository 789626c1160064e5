package trial

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrIdle is that of a sample without requests.
var ErrIdle = errors.New("nothing to try a rule set on: this node was asked nothing in the recorded time; ask a node that serves travellers, or wait until it does")

// Options of a Recorder; zero values take the defaults.
type Options struct {
	// Clock is the time; default time.Now.
	Clock func() time.Time
	// Total is the number of all requests so far, sampled or not. Without it the requests are reckoned from the sampling rate.
	Total func() uint64
	// Window is how far back a sample reaches; default 2 minutes.
	Window time.Duration
	// Keys is the most queries that are recorded because of their hash; default 512.
	Keys int
	// HotKeys is the most that are recorded because they are asked often; default 128, at most 256.
	HotKeys int
	// HotRate is the least number of requests/s of a hot key; default 1. While there are more such keys than HotKeys, the bound is above it.
	HotRate float64
	// Memory bounds the record in bytes, apart from what comes in a second; default 32 MiB.
	Memory int
	// Looks is the most answers that are looked at in a second, one of many trains counting as several; default 1000. At 20 us each they are 2 % of a core.
	Looks int
}

func (o Options) orDefault() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Total == nil {
		o.Total = func() uint64 { return 0 }
	}
	if !(o.HotRate > 0) {
		o.HotRate = 1
	}
	if o.Window <= 0 {
		o.Window = 2 * time.Minute
	}
	o.Keys, o.HotKeys = orElse(o.Keys, 512), min(orElse(o.HotKeys, 128), hotWays*hotBuckets/2)
	o.Memory, o.Looks = orElse(o.Memory, 32<<20), orElse(o.Looks, 1000)
	return o
}

func orElse(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

const (
	// Poll is how often Run reads the stamps.
	Poll = 20 * time.Millisecond
	// shards of keys, each with a mutex.
	shards = 16
	// The hot keys are a table of buckets of so many ways, half full at most: 32 bytes, half a cache line, are read for a key that is not hot.
	hotWays, hotBuckets = 4, 128
)

// Recorder keeps a sample of the queries and their answers' changes (X5, X6). All its methods are safe for concurrent use; Run must be running.
//
// The caller tells of those requests that are sampled:
//
//	if rate > recorder.HotRate() {
//		recorder.Hot(hash)
//	}
//	if recorder.Sampled(hash) {
//		recorder.Asked(hash, now, probe)
//	}
type Recorder struct {
	o         Options
	start     time.Time
	threshold atomic.Uint64 // keys up to and with this mixed hash are sampled
	hotRate   atomic.Uint64 // bits of a float64
	hot       [hotWays * hotBuckets]atomic.Uint64
	shards    [shards]shard

	// polling guards what polls find: the records' truth, and the fields below. It is locked before mu, and mu before a shard's.
	polling sync.Mutex
	swept   slot
	budget  int
	turn    int
	polled  []*record
	unseen  uint64
	totals  queue[total]
	keep    slot // how far back a sample reaches at present

	// mu guards which keys are recorded.
	mu      sync.Mutex
	members []*record
	cold    int // members that are not hot
	hots    int // entries of the hot table
	crowded bool
	orphans map[uint64]bool // of the hot table, as the last sweep found them
	floor   uint64          // keys up to and with this mixed hash were sampled in all of the window
	raised  slot
}

type shard struct {
	mu   sync.Mutex
	keys map[uint64]*record // guarded by mu
	_    [48]byte           // a cache line for each
}

// total is the number of all requests before a slot, and of the changes that were looked at late.
type total struct {
	at        slot
	n, unseen uint64
}

// NewRecorder is an empty recorder.
func NewRecorder(o Options) *Recorder {
	o = o.orDefault()
	r := &Recorder{o: o, start: o.Clock(), floor: math.MaxUint64, budget: o.Looks}
	r.keep = r.window()
	r.threshold.Store(math.MaxUint64)
	r.hotRate.Store(math.Float64bits(o.HotRate))
	for i := range r.shards {
		r.shards[i].keys = map[uint64]*record{}
	}
	r.totals.push(total{n: r.o.Total()})
	return r
}

func (r *Recorder) window() slot { return max(slot(r.o.Window/tick), second) }

// slot is the one of a time, 0 for a time before the start.
func (r *Recorder) slot(t time.Time) slot { return max(slot(t.Sub(r.start)/tick), 0) }

// mix makes all bits of a hash count (the finalizer of splitmix64). It maps no two hashes to one.
func mix(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// Sampled reports whether the requests of a key are recorded: then each must be told by Asked.
func (r *Recorder) Sampled(hash uint64) bool {
	h := mix(hash)
	return h <= r.threshold.Load() || r.isHot(h)
}

func (r *Recorder) isHot(h uint64) bool {
	ways := r.ways(h)
	return ways[0].Load() == h || ways[1].Load() == h || ways[2].Load() == h || ways[3].Load() == h
}

func (r *Recorder) ways(h uint64) []atomic.Uint64 {
	at := h % hotBuckets * hotWays
	return r.hot[at : at+hotWays : at+hotWays]
}

// HotRate is from how many requests/s on a key is hot at present. The caller tells every such key by Hot.
func (r *Recorder) HotRate() float64 { return math.Float64frombits(r.hotRate.Load()) }

// Hot says that a key is asked more often than HotRate: from now on it is sampled, until it cools. It may be called for every request of the key, and is then as cheap
// as Sampled. If there are too many hot keys it does nothing, and HotRate rises.
func (r *Recorder) Hot(hash uint64) {
	h := mix(hash)
	if h == 0 || r.isHot(h) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hots >= r.o.HotKeys {
		r.crowded = true
		return
	}
	if !r.isHot(h) && r.place(h) {
		r.hots++
		r.heat(h)
	}
}

// place puts a key into the hot table, if its bucket has room.
func (r *Recorder) place(h uint64) bool {
	ways := r.ways(h)
	for i := range ways {
		if ways[i].CompareAndSwap(0, h) {
			return true
		}
	}
	return false
}

// heat lets the requests of a key that is recorded already count in the hot stratum, from the next slot on.
func (r *Recorder) heat(h uint64) {
	s := r.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[h]; k != nil {
		k.hot = r.slot(r.o.Clock()) + 1
		r.cold--
	}
}

func (r *Recorder) shard(h uint64) *shard { return &r.shards[h%shards] }

// Asked records a request of a sampled key. At the first one probe is called, on the caller's goroutine; it must only make the Probe, not look.
func (r *Recorder) Asked(hash uint64, at time.Time, probe func() Probe) {
	h, now := mix(hash), r.slot(at)
	s := r.shard(h)
	s.mu.Lock()
	k := s.keys[h]
	if k != nil {
		k.arrive(now)
	}
	s.mu.Unlock()
	if k == nil {
		r.admit(h, now, probe)
	}
}

// admit begins the record of a key.
func (r *Recorder) admit(h uint64, now slot, probe func() Probe) {
	p := probe()
	if p == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	hot := r.isHot(h)
	if !hot && h > r.threshold.Load() {
		return // it went down meanwhile
	}
	if r.insert(h, now, p, hot) && !hot {
		if r.cold++; r.cold > r.o.Keys {
			r.lower(r.o.Keys)
		}
	}
}

// insert reports whether the key is new. A hot one was asked before: its first request only warms (X3).
func (r *Recorder) insert(h uint64, now slot, p Probe, hot bool) bool {
	s := r.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[h]; k != nil {
		k.arrive(now)
		return false
	}
	k := &record{hash: h, probe: p, since: now, hot: never, fresh: !hot}
	if hot {
		k.hot = now + 1
	}
	k.arrive(now)
	s.keys[h] = k
	r.members = append(r.members, k)
	return true
}

// lower keeps so many of the keys that are not hot, those of the smallest hashes. r.mu is held.
func (r *Recorder) lower(keep int) {
	cold := make([]uint64, 0, r.cold)
	for _, k := range r.members {
		if k.hot == never {
			cold = append(cold, k.hash)
		}
	}
	if len(cold) <= keep {
		return
	}
	slices.Sort(cold)
	threshold := cold[keep] - 1
	r.threshold.Store(threshold)
	r.floor = min(r.floor, threshold)
	r.remove(func(k *record) bool { return k.hot == never && k.hash > threshold })
}

// remove ends the records of some keys. r.mu is held.
func (r *Recorder) remove(which func(*record) bool) {
	r.members = slices.DeleteFunc(r.members, func(k *record) bool {
		if !which(k) {
			return false
		}
		s := r.shard(k.hash)
		s.mu.Lock()
		delete(s.keys, k.hash)
		s.mu.Unlock()
		if k.hot == never {
			r.cold--
		}
		return true
	})
}

// Run reads the stamps of the recorded keys every 20 ms until ctx ends.
func (r *Recorder) Run(ctx context.Context) {
	t := time.NewTicker(Poll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			r.polling.Lock()
			r.poll()
			r.polling.Unlock()
		}
	}
}

// poll reads the stamps once. r.polling is held.
func (r *Recorder) poll() {
	now := r.slot(r.o.Clock())
	r.line()
	for i, k := range r.polled {
		if i%polledAtOnce == 0 {
			runtime.Gosched()
		}
		if k.poll(k.probe, now, r.at, &r.budget) {
			r.unseen++
		}
	}
	if r.turn++; now >= r.swept+second {
		r.sweep(now)
		r.swept, r.budget = now, r.o.Looks
	}
}

// polledAtOnce takes some 20 us: nobody waits for all of a poll.
const polledAtOnce = 64

// line puts the keys in the order in which they are polled: those of the hot stratum first, since most answers are theirs; the others by turns, so that a budget that
// runs out is not always the same keys'.
func (r *Recorder) line() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.polled) // behind the end of a shorter line, records that were removed would be kept, with all that their probes know
	r.polled = r.polled[:0]
	for _, k := range r.members {
		if k.hot != never {
			r.polled = append(r.polled, k)
		}
	}
	for i := range r.members {
		if k := r.members[(i+r.turn)%len(r.members)]; k.hot == never {
			r.polled = append(r.polled, k)
		}
	}
}

func (r *Recorder) at(s slot) time.Time { return r.start.Add(time.Duration(s) * tick) }

// Snapshot is a sample of the time up to now. It returns ErrIdle if nothing was asked in it.
func (r *Recorder) Snapshot() (*Sample, error) {
	r.polling.Lock()
	defer r.polling.Unlock()
	r.poll()
	s := &Sample{start: r.start, end: r.slot(r.o.Clock()) + 1}
	from := r.begin(s.end)
	s.begin, s.Requests, s.Unseen = from.at, r.o.Total()-from.n, r.unseen-from.unseen
	s.Begin, s.End = r.at(s.begin), r.at(s.end)
	r.copyKeys(s)
	if s.weigh(); s.Recorded == 0 {
		return nil, ErrIdle
	}
	return s, nil
}

// begin is the oldest moment within the window at which requests were counted.
func (r *Recorder) begin(end slot) total {
	all := r.totals.all()
	i, _ := slices.BinarySearchFunc(all, end-r.keep, func(t total, s slot) int { return cmp.Compare(t.at, s) })
	return all[min(i, len(all)-1)]
}

// copyKeys copies the records that are complete.
func (r *Recorder) copyKeys(s *Sample) {
	r.mu.Lock()
	members, floor := slices.Clone(r.members), r.floor
	r.mu.Unlock()
	s.Rate = (float64(floor) + 1) / (1 << 64)
	for _, k := range members {
		c := r.copy(k)
		c.cold = k.hash <= floor
		if !c.cold && c.hot == never {
			continue
		}
		s.Keys++
		if c.hot != never {
			s.HotKeys++
		}
		s.keys = append(s.keys, c)
	}
}

func (r *Recorder) copy(k *record) key {
	c := key{facts: k.probe.Facts(), openings: slices.Clone(k.opening), probed: k.from, digest: k.before, changes: spread(k.changes.all())}
	s := r.shard(k.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.arrivals, c.hot, c.fresh = slices.Clone(k.arrivals.all()), k.hot, k.fresh
	if c.since = k.since; k.hash <= r.threshold.Load() {
		c.since = 0 // it was asked nothing before
	}
	return c
}
