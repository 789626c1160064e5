// Package replica holds a node's copy of the country's inventory and keeps it true. One goroutine writes each partition; readers use no locks.
//
// The rules (cited by the tests as R1...):
//
//	R1  A RunState is taken if its Version is above the held one; otherwise it is dropped.
//	R2  A RunDelta is applied if it is of the held Epoch and the held Revision + 1; dropped if it is not above the held Version; kept aside
//	    if there is a gap before it. A restated delta carries no adjusts: it waits for its RunState as behind a gap.
//	R3  A lost event. A run of which a higher Version was heard than is held is behind: its answers say so. After a short grace the node reads the
//	    run's last RunState from the stream, asks the publisher for a fresh one if that is not enough, and then applies what was
//	    kept aside. Repairs are jittered, backed off and limited in rate.
//	    Of a run of which only deltas have come, and no state ever will, as the publisher says, nothing is lacking.
//	R4  No count is ever negative or above capacity, and [a,b) inside [c,d) never has fewer than [c,d). A change that would make it so
//	    is refused whole and quarantines the run (shown as UNKNOWN) until a good RunState comes.
//	R5  Received = Applied + Duplicate + Held + Broken, always.
//	R6  A replica is ready when it has taken every last RunState and all deltas up to the end that was seen at the start. Not before;
//	    and not if the streams were made anew, or everything was published again, since it began: what lay in one stream before and in another after does not make a whole.
//	R7  Age is proved by heartbeats: AsOf is the time of the newest heartbeat whose marks are all of messages that were read: of the very ones, by their checksums. Silence is not freshness.
//	R8  A reader never sees half of a RunDelta on one cell, nor a Version that goes back.
//	R9  A stream that was recreated or rolled back is noticed and loaded again into a shadow, as soon as a heartbeat tells of it as it is now, or half a minute later; the shadow is swapped in when it is
//	    ready and can prove its age; meanwhile the old replica answers, marked degraded. It is noticed by a look at the streams, by their births in the heartbeats, by
//	    a mark that goes back, by a batch that comes after another message than the one that was read, and by a publisher that says it has published everything again.
//	R10 A digest of the publisher's that differs at the same point is said so, and the runs that differ are repaired. A version that was heard of, and that
//	    its lists say time and again is above what the booking system has, is not believed any more.
//	R11 A run that an operator has purged, or whose last RunState in the stream cannot be understood, is behind until a RunState comes that is not older than what is held, which then takes its place.
//	R12 A publisher that has gone mad fills no memory: there are no more runs, counts, patterns and events kept aside than Options.Limits allow, and no run of a date on which
//	    none can be sold. What does not fit is set aside, counted and said; its date is not complete until a digest is equal; what was held before is as good as ever.
//	R13 A heartbeat that cannot be is set aside: one of a time that is still to come, that has gone back to another age, or of marks far beyond what was read.
package replica

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Options of a replica; zero values take the defaults.
type Options struct {
	// Clock is the time; default time.Now.
	Clock func() time.Time
	// Grace is how long a gap may last before it is repaired: events of two streams may overtake each other. Default 150 ms.
	Grace time.Duration
	// OnFault, if set, is told what went wrong with an event or a run, for a log. It is called by several goroutines and must not block.
	OnFault func(Fault)
	// Jitter returns a number in [0, 1); default random. It spreads repairs over time.
	Jitter func() float64
	// Holds are what operators have decided about runs; default none.
	Holds *Holds
	// Limits of what it holds.
	Limits Limits
	// Between, if set, stands between the feed and each replica that a Follower loads: a test loses, doubles and reorders events there.
	Between func(feed.Sink) feed.Sink
}

func (o Options) orDefault() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Grace <= 0 {
		o.Grace = 150 * time.Millisecond
	}
	if o.OnFault == nil {
		o.OnFault = func(Fault) {}
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Holds == nil {
		o.Holds = &Holds{}
	}
	if o.Between == nil {
		o.Between = func(s feed.Sink) feed.Sink { return s }
	}
	return o
}

// Fault is something that went wrong with an event or a run.
type Fault struct {
	// Kind is one of "broken", "quarantined", "full", "digest", "reload", "repair".
	Kind string
	// Run is set where one run is concerned.
	Run rail.RunID
	// Where is set where a message is concerned.
	Where feed.Position
	Err   error
}

// Replica is one loaded copy. It is a feed.Sink; its reading side is safe for any number of goroutines.
type Replica struct {
	opts      Options
	roster    roster
	purses    purses
	writers   [rail.Partitions]*writer
	freshness freshness
	ready     chan struct{}

	index    atomic.Pointer[timetable.Index]
	location atomic.Pointer[time.Location]
	mu       sync.RWMutex // guards what follows
	network  *timetable.Network
	lines    map[rail.PatternID]*line
	patterns []*timetable.Pattern // by number
	unlisted bool                 // the index lacks a pattern, or is of an older network

	// repairs are of runs that are shown, and go before searches: for those of which only deltas have come, and for what digests have asked.
	repairs, searches chan repair
}

var _ feed.Sink = (*Replica)(nil)

// New is an empty replica, not ready.
func New(o Options) *Replica {
	r := &Replica{opts: o.orDefault(), ready: make(chan struct{}), lines: map[rail.PatternID]*line{}, repairs: make(chan repair, maxRepairs), searches: make(chan repair, maxRepairs)}
	r.purses.fill(r.opts.Limits)
	r.freshness.clock = r.opts.Clock
	r.location.Store(time.UTC) // until a network comes
	for p := range r.writers {
		r.writers[p] = &writer{replica: r, proof: &r.freshness.partition[p], entries: map[rail.RunID]*entry{}, troubled: map[*entry]struct{}{}, told: map[rail.Date]bool{}, lacking: map[rail.Date]bool{}, number: rail.Partition(p), early: map[rail.Date]*event.Versions{}, digests: map[rail.Date]*event.Digest{}}
	}
	return r
}

// Ready is closed when the replica may answer (R6).
func (r *Replica) Ready() <-chan struct{} { return r.ready }

func (r *Replica) isReady() bool { return r.freshness.ready.Load() }

// Index is the timetable; nil before the replica is ready.
func (r *Replica) Index() *timetable.Index { return r.index.Load() }

// Calendar is the service dates that have runs now.
func (r *Replica) Calendar() Calendar { return Calendar{r.roster.days.Load()} }

// Day is the runs of a service date; nil if there are none.
func (r *Replica) Day(date rail.Date) *Day { return r.roster.day(date) }

// Dates are the service dates that have runs, in order.
func (r *Replica) Dates() []rail.Date { return slices.Sorted(maps.Keys(r.roster.all())) }

// Run is a run that can be shown; nil if the replica has none of that id.
func (r *Replica) Run(id rail.RunID) *Run {
	if r.Day(id.Date) == nil {
		return nil
	}
	return r.writers[id.Partition()].find(id)
}

// AsOf is the time up to which the replica is known to be complete, on the publisher's clock, but not after ours; false if nothing proves any (R7).
func (r *Replica) AsOf() (time.Time, bool) {
	at, _, ok := r.freshness.asOf()
	return at, ok
}

// Proof is AsOf with the moment, on our clock, at which it was heard.
func (r *Replica) Proof() (asOf, seen time.Time, proved bool) { return r.freshness.asOf() }

// Age is how old the data may be: the longer of the time since AsOf and the time since its proof was heard, so that a publisher's fast
// clock does not make them younger than they are.
func (r *Replica) Age(now time.Time) (time.Duration, bool) {
	at, seen, ok := r.freshness.asOf()
	return max(now.Sub(at), now.Sub(seen), 0), ok
}

// Lag is how many messages of the delta stream the partition that is farthest behind has before it, as far as the publisher's heartbeats tell. They come every 250 ms.
func (r *Replica) Lag() (messages uint64) {
	for i := range r.freshness.partition {
		messages = max(messages, r.freshness.partition[i].lag())
	}
	return messages
}

// Heartbeat takes a proof of freshness (R7). The error says that the stream that was read is not the publisher's (R9).
func (r *Replica) Heartbeat(h *event.Heartbeat) error { return r.freshness.heartbeat(h) }

// Loaded makes the replica ready (R6): what was seen at the start is in.
func (r *Replica) Loaded(end uint64, created map[string]time.Time) {
	r.Reindex()
	r.freshness.loaded(end)
	r.freshness.created.Store(&created)
	r.freshness.ready.Store(true)
	close(r.ready)
}

// Broken counts events that could not be understood (R5) and reports them.
func (r *Replica) Broken(p rail.Partition, events int, where feed.Position, err error) {
	r.count(p, Stats{Received: uint64(events), Broken: uint64(events)})
	r.opts.OnFault(Fault{Kind: "broken", Where: where, Err: err})
}

// Spoiled counts a RunState that could not be understood (R5), and has a good one asked for (R11).
func (r *Replica) Spoiled(p rail.Partition, run rail.RunID, where feed.Position, err error) {
	w := r.writers[p]
	defer w.settle()
	w.tally.Received++
	w.tally.Broken++
	r.opts.OnFault(Fault{Kind: "broken", Run: run, Where: where, Err: err})
	e, full := w.entry(run)
	if full != nil {
		w.lack(run, full)
		return
	}
	e.troubled(w).spoiled = true
	w.judge(e)
}

// Expire forgets the service dates that are over: days before today whose last train arrived more than an hour ago.
func (r *Replica) Expire() {
	index := r.index.Load()
	if index == nil {
		return
	}
	now := r.opts.Clock()
	today := rail.DateOf(now, index.Location())
	for date, day := range r.roster.all() {
		if date < today && now.Unix() > day.over.Load()+3600 {
			r.roster.close(date)
		}
	}
}

// reaches reports whether the replica has every run of another one, at no older version. It takes some milliseconds for a whole country.
func (r *Replica) reaches(other *Replica) bool {
	for _, w := range other.writers {
		if !w.within(r) {
			return false
		}
	}
	return true
}

// Stats of a replica since it was made. Counters count events: RunStates, RunDeltas, Networks and Patterns, and messages that
// could not be read at all.
type Stats struct {
	// Received = Applied + Duplicate + Held + Broken (R5). Held is a level, the others only rise, but that a held event becomes one of the others.
	Received, Applied, Duplicate, Held, Broken uint64
	// Gaps counts the times a run fell behind; Repaired those it came back.
	Gaps, Repaired uint64
	// Digests were compared; Differing of them were not equal.
	Digests, Differing uint64
	// Refused are those of the Broken for which there was no room, or which are of a date on which no run can be (R12).
	Refused uint64
	// Lacking is a level: dates of a partition of which runs are missing for want of room.
	Lacking uint64
	// Behind, Quarantined and Unseen are levels: runs in trouble, and those of which only deltas have come. Runs is a level too.
	Behind, Quarantined, Unseen, Runs uint64
}

func (s *Stats) add(t Stats) {
	s.Received += t.Received
	s.Applied += t.Applied
	s.Duplicate += t.Duplicate
	s.Held += t.Held // levels fall by adding their two's complement
	s.Broken += t.Broken
	s.Gaps += t.Gaps
	s.Repaired += t.Repaired
	s.Digests += t.Digests
	s.Differing += t.Differing
	s.Refused += t.Refused
	s.Lacking += t.Lacking
	s.Behind += t.Behind
	s.Quarantined += t.Quarantined
	s.Unseen += t.Unseen
	s.Runs += t.Runs
}

func (r *Replica) count(p rail.Partition, t Stats) {
	w := r.writers[p]
	w.mu.Lock()
	w.stats.add(t)
	w.mu.Unlock()
}

// Stats is a snapshot in which R5 holds.
func (r *Replica) Stats() (all Stats) {
	for _, w := range r.writers {
		w.mu.Lock()
		all.add(w.stats)
		w.mu.Unlock()
	}
	return all
}
