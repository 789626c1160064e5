// Package limit keeps a node standing when more is wanted of it than it can do: by client, by the work that is under way, and by connection.
//
//	Listener  connections:       so many in all, and of one client
//	Buckets   requests:          so many a second of one client
//	Gate      what is no hit:    so much at once as is good; the rest waits for a moment, or is told to come again
//
// Invariants (cited by the tests as O1...):
//
//	O1 Memory is fixed: no number of clients, and nothing that they do, makes it grow beyond what the settings say.
//	O2 To no client is less let through than by a bucket of its own. It is more only when its bucket was forgotten, which is counted, and then by at most a burst each time.
//	O3 A bucket is forgotten only for want of room, and then the fullest of those beside it: that of whoever asks least.
//	O4 No more work than the gate's limit is under way, it begins when all have gone that could run already, and nobody waits longer than told. What comes first is what somebody has
//	   waited for before: conditional requests and those with a position.
//	O5 No more connections than the bounds are open; each that is closed makes room for another. Of new ones a few are accepted before others have their turn, and where a queue of
//	   them stands, those that have waited longest are told so.
package limit

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Rate is how often a client may ask.
type Rate struct {
	// PerSecond is how many requests a second, and Burst how many at once after a pause, at least 1. PerSecond of 0: as often as it likes.
	PerSecond float64
	Burst     int
	// IPv6Prefix is how many bits of an IPv6 address tell clients apart; 0 is 64: what a household or a server is given.
	IPv6Prefix int
	// Clients are as many as are remembered at once; 0 is 131072. That they are more costs the limit's precision (O2), not memory.
	Clients int
}

func (r Rate) orDefault() Rate {
	if r.Burst <= 0 {
		r.Burst = 1
	}
	if r.IPv6Prefix <= 0 {
		r.IPv6Prefix = 64
	}
	if r.Clients <= 0 {
		r.Clients = 131072
	}
	return r
}

// Wait is how long a client with an empty bucket waits for its next request.
func (r Rate) Wait() time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / r.PerSecond)
}

// Client is one, as Buckets know it: a hash that nobody outside can foretell.
type Client uint64

// Buckets are the clients' token buckets, in a table of fixed size. Safe for concurrent use.
//
// A bucket is one number: the moment at which it will be full again if nobody asks (the theoretical arrival time of the generic cell rate algorithm, ITU-T I.371). One that is full
// already says the same as none, so that it may be overwritten at no loss; of a set in which none is full the fullest goes. So the bucket of a greedy client, which is empty, stays
// while other addresses come and go: one that asks once has spent one token, and is the next to be forgotten. To have it forgotten, an attacker must empty all the other buckets of
// its set, and since he cannot know which those are, about all of the table: Clients x Burst requests within the time in which a bucket fills, 13 million with the default of 131,072
// clients and a burst of 100, for one more burst.
//
// The table takes 128 bytes for 7 clients: 2.4 MB by default.
type Buckets struct {
	addresses, names maphash.Seed
	table            atomic.Pointer[table]
	forgotten        atomic.Uint64 // with the tables before
}

// table is the sets, and the rate in force.
type table struct {
	rate        Rate
	each, depth int64 // the time for one token, and for a whole bucket
	sets        []set
}

// set is two cache lines of buckets.
type set struct {
	mu   sync.Mutex // guards what follows
	who  [7]Client
	full [7]int64 // when the bucket is full again, in nanoseconds of Unix time
	lost uint64   // buckets that were forgotten before they were full; counted here, since one number for all would be fought over
}

// NewBuckets makes full buckets for all.
func NewBuckets(r Rate) *Buckets {
	b := &Buckets{addresses: maphash.MakeSeed(), names: maphash.MakeSeed()}
	b.Follow(r)
	return b
}

// Follow takes another rate. Buckets keep what they hold, as far as it fits, unless the number of clients is another: then all are full.
func (b *Buckets) Follow(r Rate) {
	r = r.orDefault()
	t, before := &table{rate: r}, b.table.Load()
	if r.PerSecond > 0 {
		t.each = int64(r.Wait())
		t.depth = t.each * int64(r.Burst)
		if before != nil && before.sets != nil && before.rate.Clients == r.Clients {
			t.sets = before.sets
		} else {
			t.sets = make([]set, (r.Clients+len(set{}.who)-1)/len(set{}.who))
		}
	}
	if before != nil && (t.sets == nil || before.sets == nil || &t.sets[0] != &before.sets[0]) {
		b.forgotten.Add(before.lost())
	}
	b.table.Store(t)
}

// On reports whether there is a limit at all.
func (b *Buckets) On() bool { return b.table.Load().each > 0 }

// Address is the client at an address.
func (b *Buckets) Address(a netip.Addr) Client {
	whole := b.Whole(a).As16()
	return Client(maphash.Bytes(b.addresses, whole[:]))
}

// Whole is an address without the bits that its holder chooses.
func (b *Buckets) Whole(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is4() || !a.IsValid() {
		return a
	}
	p, err := a.Prefix(b.table.Load().rate.IPv6Prefix)
	if err != nil { // validated
		return a
	}
	return p.Addr()
}

// Named is the client with a name, such as a key that somebody has checked.
func (b *Buckets) Named(name string) Client { return Client(maphash.String(b.names, name)) }

// Take takes a token of a client's bucket. False if there is none.
func (b *Buckets) Take(c Client, now time.Time) bool {
	t := b.table.Load()
	if t.each == 0 {
		return true
	}
	return t.set(c).take(c, now.UnixNano(), t.each, t.depth)
}

// Return gives back a token that was taken for nothing.
func (b *Buckets) Return(c Client) {
	if t := b.table.Load(); t.each > 0 {
		t.set(c).give(c, t.each)
	}
}

func (t *table) set(c Client) *set {
	n, _ := bits.Mul64(uint64(c), uint64(len(t.sets)))
	return &t.sets[n]
}

func (s *set) take(c Client, now, each, depth int64) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(c)
	full := min(max(s.full[i], now), now+depth) // a clock that was put back, or a smaller burst, leaves an empty bucket
	if s.who[i] != c {
		if full > now {
			s.lost++
		}
		s.who[i], full = c, now
	}
	if ok = full+each <= now+depth; ok {
		full += each
	}
	s.full[i] = full
	return ok
}

// find finds a client's bucket, or else the fullest (O3).
func (s *set) find(c Client) (i int) {
	for k, who := range s.who {
		if who == c {
			return k
		}
		if s.full[k] < s.full[i] {
			i = k
		}
	}
	return i
}

func (s *set) give(c Client, each int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(c); s.who[i] == c {
		s.full[i] -= each
	}
}

// Lost is how many buckets were forgotten before they were full (O3), since the start.
func (b *Buckets) Lost() uint64 { return b.forgotten.Load() + b.table.Load().lost() }

func (t *table) lost() (sum uint64) {
	for i := range t.sets {
		s := &t.sets[i]
		s.mu.Lock()
		sum += s.lost
		s.mu.Unlock()
	}
	return sum
}
