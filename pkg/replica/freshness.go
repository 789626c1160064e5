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

	// fallen: the publisher has published everything again since this reader was ready, because a stream had fallen back.
	fallen atomic.Bool
}

// proof is one partition's part.
type proof struct {
	// applied is the stream sequence up to which every message of the partition was applied, held aside or set aside.
	applied atomic.Uint64
	// awaited is the lowest mark that would prove more; 0 if there is none.
	awaited atomic.Uint64
	// begun is the stream sequence of the last message of deltas of which anything may be visible (Position).
	begun atomic.Uint64
	// publisher is who last published in the partition; nil as long as nobody gave a name.
	publisher atomic.Pointer[author]

	mu      sync.Mutex // guards changes of pending and lastMark
	pending atomic.Pointer[[]beat]
	marks   map[string]uint64 // by publisher: its last mark
}

// author is a publisher and its history (see event.DeltaBatch).
type author struct {
	name    string
	history uint64
}

// beat is a heartbeat as a partition sees it.
type beat struct {
	at   time.Time // of the publisher's clock
	seen time.Time // of ours
	mark uint64
}

// maxPending bounds the heartbeats kept; at one every 250 ms it is half a minute of lag, after which every other is forgotten.
const maxPending = 128

// reached notes that a partition has dealt with everything up to a sequence.
func (f *freshness) reached(p *proof, sequence uint64) {
	if sequence <= p.applied.Load() {
		return
	}
	p.applied.Store(sequence)
	if mark := p.awaited.Load(); mark != 0 && sequence >= mark {
		f.prove()
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
		p.awaited.Store(mark)
		if mark == 0 || p.applied.Load() < mark {
			return b, proved
		}
	}
}

// add takes a heartbeat. A mark lower than the same publisher's last one shows that the stream went back (R9).
func (p *proof) add(h *event.Heartbeat, mark uint64, seen time.Time) error {
	if a := p.publisher.Load(); a != nil && a.name != h.Publisher {
		return nil // not in charge: it cannot know what is complete
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marks == nil {
		p.marks = map[string]uint64{}
	}
	if last := p.marks[h.Publisher]; mark < last {
		return fmt.Errorf("heartbeat mark went back from %d to %d", last, mark)
	}
	if _, known := p.marks[h.Publisher]; !known {
		clear(p.marks) // a new one in charge; names of former ones must not pile up
	}
	p.marks[h.Publisher] = mark
	p.keep(beat{at: h.Time, seen: seen, mark: mark})
	return nil
}

// keep puts a beat in front and drops all behind the newest one that is proved.
func (p *proof) keep(b beat) {
	next := append(make([]beat, 0, 8), b)
	if old := p.pending.Load(); old != nil {
		for _, o := range *old {
			next = append(next, o)
			if o.mark <= p.applied.Load() {
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
func (p *proof) asOf() (b beat, next uint64, proved bool) {
	pending := p.pending.Load()
	if pending == nil {
		return beat{}, 0, false
	}
	applied := p.applied.Load()
	for _, b := range *pending {
		if b.mark <= applied {
			return b, next, true
		}
		next = b.mark
	}
	return beat{}, next, false
}

// lag is how many messages of the delta stream lie between what the partition has dealt with and what it has heard of.
func (p *proof) lag() uint64 {
	pending, applied := p.pending.Load(), p.applied.Load()
	if pending == nil || len(*pending) == 0 || (*pending)[0].mark <= applied {
		return 0
	}
	return (*pending)[0].mark - applied
}

// heartbeat takes a heartbeat for all its partitions.
func (f *freshness) heartbeat(h *event.Heartbeat) error {
	if ours := f.created.Load(); ours != nil {
		for name, created := range *ours {
			if theirs, said := h.Created[name]; said && !theirs.Equal(created) {
				return fmt.Errorf("the publisher writes to a %s of %s; this one is of %s", name, theirs, created)
			}
		}
	}
	if f.fallen.Load() {
		return errors.New("the publisher has published everything again")
	}
	seen := f.clock()
	defer f.prove()
	for _, m := range h.Marks {
		if err := f.partition[m.Partition].add(h, m.Sequence, seen); err != nil {
			return fmt.Errorf("partition %d: %w", m.Partition, err)
		}
	}
	return nil
}

// hear notes who published a batch. A publisher whose history has risen found that a stream had fallen back; what it published after the fall may
// have passed this reader by, since an ordered consumer goes on at the sequence it had reached (R9). While loading that cannot be: all is read.
func (f *freshness) hear(p *proof, b *event.DeltaBatch) {
	before := p.publisher.Load()
	if before != nil && before.name == b.Publisher && before.history == b.History {
		return
	}
	if before != nil && before.name == b.Publisher && f.ready.Load() {
		f.fallen.Store(true)
	}
	p.publisher.Store(&author{name: b.Publisher, history: b.History})
}

// asOf is the time up to which the replica is known complete, on the publisher's clock, and when that was proved, on ours.
func (f *freshness) asOf() (at, seen time.Time, ok bool) {
	b := f.proved.Load()
	if b == nil || !f.ready.Load() {
		return at, seen, false
	}
	return b.at, b.seen, true
}
