package replica

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// freshness proves how old a replica is (R7). Each partition keeps the heartbeats whose marks it may not have reached yet; the newest that it
// has reached is its AsOf, and the oldest of the partitions' is the replica's. Reading is one load.
type freshness struct {
	clock     func() time.Time
	ready     atomic.Bool
	created   atomic.Pointer[map[string]time.Time] // birth of each stream that was read; nil before
	partition [rail.Partitions]proof
	proving   sync.Mutex           // held while proved is found anew
	proved    atomic.Pointer[beat] // the replica's, or nil

	latest atomic.Pointer[told] // heartbeat; nil before the first

	// history is the highest that was read; fallen: it has risen since all was read, because a stream had fallen back.
	history atomic.Uint64
	fallen  atomic.Bool
}

// proof is one partition's part.
type proof struct {
	// applied is the stream sequence up to which every message of the partition was applied, held aside or set aside.
	applied atomic.Uint64
	// tail is what was read of it: what marks are held against.
	tail tail
	// awaited is the lowest mark that would prove more; 0 if there is none.
	awaited atomic.Uint64
	// begun is the stream sequence of the last message of deltas of which anything may be visible (Position).
	begun atomic.Uint64
	// publisher is who last published in the partition; nil as long as nobody gave a name.
	publisher atomic.Pointer[string]

	mu      sync.Mutex // guards changes of pending and lastMark
	pending atomic.Pointer[[]beat]
	marks   map[string]uint64 // by publisher: its last mark
}

// beat is a heartbeat as a partition sees it.
type beat struct {
	at   time.Time // of the publisher's clock
	seen time.Time // of ours
	mark event.Place
}

// maxPending bounds the heartbeats kept; at one every 250 ms it is half a minute of lag, after which every other is forgotten.
const maxPending = 128

// read notes that a partition has dealt with a message. One of nobody's, such as nonsense, proves nothing: the publisher has no mark of it.
func (f *freshness) read(p *proof, b *event.DeltaBatch, sequence uint64) {
	if b.Publisher != "" || p.publisher.Load() == nil {
		p.tail.add(event.Place{Sequence: sequence, Sum: b.Sum})
	}
	p.reached(sequence)
	if mark := p.awaited.Load(); mark != 0 && sequence >= mark {
		f.prove()
	}
}

// loaded notes that all up to the end of the stream was read.
func (f *freshness) loaded(end uint64) {
	for i := range f.partition {
		f.partition[i].tail.finish(end)
		f.partition[i].reached(end)
	}
	f.prove()
}

// reached notes that a partition has dealt with everything up to a sequence. That proves nothing: see tail.
func (p *proof) reached(sequence uint64) {
	if sequence > p.applied.Load() {
		p.applied.Store(sequence)
	}
}

// prove finds out what is proved now. Whoever reaches a mark and whoever awaits one each look at the other's number after they have set their own, so that one of
// them sees both.
func (f *freshness) prove() {
	f.proving.Lock()
	defer f.proving.Unlock()
	oldest, all := beat{}, true
	for i := range f.partition {
		b, proved := f.partition[i].prove()
		switch {
		case !proved:
			all = false
		case i == 0:
			oldest = b
		default:
			oldest.at, oldest.seen = earlier(b.at, oldest.at), earlier(b.seen, oldest.seen)
		}
	}
	if all {
		f.proved.Store(&oldest)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// prove is the newest proved beat of the partition; false if there is none. What would prove more is awaited from now on. One goroutine at a time calls it.
func (p *proof) prove() (beat, bool) {
	for {
		b, mark, proved := p.asOf()
		p.awaited.Store(mark.Sequence)
		if reached, _ := p.tail.has(mark); mark.Sequence == 0 || !reached {
			return b, proved
		}
	}
}

// add takes a heartbeat. A mark lower than the same publisher's last one shows that the stream went back, as does one of a message that was not there when those around it were read (R9).
func (p *proof) add(h *event.Heartbeat, mark event.Place, seen time.Time) error {
	if a := p.publisher.Load(); a != nil && *a != h.Publisher {
		return nil // not in charge: it cannot know what is complete
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marks == nil {
		p.marks = map[string]uint64{}
	}
	if last := p.marks[h.Publisher]; mark.Sequence < last {
		return fmt.Errorf("heartbeat mark went back from %d to %d", last, mark.Sequence)
	}
	if _, lost := p.tail.has(mark); lost {
		return fmt.Errorf("message %d was not there when those around it were read, or was another one", mark.Sequence)
	}
	if _, known := p.marks[h.Publisher]; !known {
		clear(p.marks) // a new one in charge; names of former ones must not pile up
	}
	p.marks[h.Publisher] = mark.Sequence
	p.keep(beat{at: h.Time, seen: seen, mark: mark})
	return nil
}

// keep puts a beat in front and drops all behind the newest one that is proved.
func (p *proof) keep(b beat) {
	next := append(make([]beat, 0, 8), b)
	if old := p.pending.Load(); old != nil {
		for _, o := range *old {
			next = append(next, o)
			if reached, _ := p.tail.has(o.mark); reached {
				break
			}
		}
	}
	if len(next) > maxPending {
		next = thin(next)
	}
	p.pending.Store(&next)
}

// thin forgets every other beat but keeps the last, which is the proved one.
func thin(beats []beat) []beat {
	out := beats[:0]
	for i, b := range beats {
		if i%2 == 0 || i == len(beats)-1 {
			out = append(out, b)
		}
	}
	return out
}

// asOf is the newest proved beat, false if there is none, and the mark of the next; 0 if there is none.
func (p *proof) asOf() (b beat, next event.Place, proved bool) {
	pending := p.pending.Load()
	if pending == nil {
		return beat{}, next, false
	}
	for _, b := range *pending {
		if reached, _ := p.tail.has(b.mark); reached {
			return b, next, true
		}
		next = b.mark
	}
	return beat{}, next, false
}

// lag is how many messages of the delta stream lie between what the partition has dealt with and what it has heard of.
func (p *proof) lag() uint64 {
	pending, applied := p.pending.Load(), p.applied.Load()
	if pending == nil || len(*pending) == 0 || (*pending)[0].mark.Sequence <= applied {
		return 0
	}
	return (*pending)[0].mark.Sequence - applied
}

// heartbeat takes a heartbeat for all its partitions.
func (f *freshness) heartbeat(h *event.Heartbeat) error {
	seen := f.clock()
	if err := f.plausible(h, seen); err != nil {
		return err
	}
	f.latest.Store(&told{h.Publisher, h.Time})
	if ours := f.created.Load(); ours != nil {
		for name, created := range *ours {
			if theirs, said := h.Created[name]; said && !theirs.Equal(created) {
				return fmt.Errorf("the publisher writes to a %s of %s; this one is of %s", name, theirs, created)
			}
		}
	}
	if f.fallen.Load() || f.ready.Load() && h.History > f.history.Load() {
		return errors.New("everything was published again")
	}
	defer f.prove()
	for _, m := range h.Marks {
		if err := f.partition[m.Partition].add(h, m.Place, seen); err != nil {
			return fmt.Errorf("partition %d: %w", m.Partition, err)
		}
	}
	return nil
}

// What a heartbeat can say (R13).
const (
	// maxSkew is how far the clocks of a publisher and a node may be apart.
	maxSkew = time.Hour
	// maxUnread is how far a mark may be beyond what was read: half an hour of 9,000 messages a second.
	maxUnread = 1 << 24
)

// told is what a publisher's last heartbeat said.
type told struct {
	publisher string
	at        time.Time
}

// plausible says why a heartbeat proves nothing. The error wraps event.ErrBroken. A publisher whose outbox stands still may be far behind the clock, but it does not go back.
func (f *freshness) plausible(h *event.Heartbeat, now time.Time) error {
	bad := func(field string, value, want any) error {
		return fmt.Errorf("%w: heartbeat: %s is %v; want %v", event.ErrBroken, field, value, want)
	}
	if latest := now.Add(maxSkew); h.Time.After(latest) {
		return bad("time", h.Time, fmt.Sprintf("at most %s, an hour after this node's clock", latest.UTC().Format(time.RFC3339)))
	}
	if last := f.latest.Load(); last != nil && last.publisher == h.Publisher && h.Time.Before(last.at.Add(-maxSkew)) && h.Time.Before(now.Add(-maxSkew)) {
		return bad("time", h.Time, fmt.Sprintf("no more than an hour before the last one's, %s", last.at))
	}
	for _, m := range h.Marks {
		if read := f.partition[m.Partition].applied.Load(); f.ready.Load() && m.Sequence > read+maxUnread {
			return bad(fmt.Sprintf("mark of partition %d", m.Partition), m.Sequence, fmt.Sprintf("at most %d: %d were read", read+maxUnread, read))
		}
	}
	return nil
}

// hear notes who published a batch. A history that has risen tells that a stream was found to have fallen back; what was published after the fall may have passed this reader by, since an ordered
// consumer goes on at the sequence it had reached (R9).
func (f *freshness) hear(p *proof, b *event.DeltaBatch) {
	if before := p.publisher.Load(); before == nil || *before != b.Publisher {
		name := b.Publisher // the batch is lent
		p.publisher.Store(&name)
	}
	for known := f.history.Load(); b.History > known; known = f.history.Load() {
		if f.ready.Load() {
			f.fallen.Store(true)
		}
		f.history.CompareAndSwap(known, b.History)
	}
}

// asOf is the time up to which the replica is known complete, on the publisher's clock but not after ours, and when that was proved, on ours.
func (f *freshness) asOf() (at, seen time.Time, ok bool) {
	b := f.proved.Load()
	if b == nil || !f.ready.Load() {
		return at, seen, false
	}
	return earlier(b.at, b.seen), b.seen, true
}
