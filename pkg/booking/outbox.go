package booking

import (
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
)

// Change is one committed change of a run, as it is to be published. Shared; do not modify.
type Change struct {
	Delta event.RunDelta
	// State is the run at the very version of Delta; set if Delta.Restated, else nil.
	State *event.RunState
	// Seq numbers the changes of an Outbox in the order of their commits.
	Seq int64
	// At is a moment before the commit and after every earlier one. Changes that were committed together have the same.
	At time.Time
}

// Outbox holds the committed changes until they are acknowledged, in the order of their commits. All methods are safe for concurrent use, but
// only one publisher may take and acknowledge, since both count from the oldest change. It grows while nobody does.
type Outbox struct {
	clock func() time.Time
	ready chan struct{}

	mu    sync.Mutex // guards what follows
	queue []Change   // not acknowledged, the oldest first
	taken int        // how many of them, from the front, are with the publisher
	last  time.Time  // the last time that tick gave
	seq   int64      // of the newest change
	acked int64      // up to which all are acknowledged
	held  time.Time  // the At of changes that are being stored; zero for none
}

func newOutbox(clock func() time.Time) *Outbox {
	return &Outbox{clock: clock, ready: make(chan struct{}, 1)}
}

// tick is a time after every one it gave before: the clock's, or where that stands or was set back, a nanosecond more than the last. It is the
// wall's time, without the monotonic part, because that is what other machines compare. The caller holds mu.
func (o *Outbox) tick() time.Time {
	now := o.clock().Round(0)
	if !now.After(o.last) {
		now = o.last.Add(1)
	}
	o.last = now
	return now
}

// stamp numbers changes and gives them their time. Only one call may be on its way between stamp and add.
func (o *Outbox) stamp(changes []Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stampLocked(changes)
	o.held = o.last
}

func (o *Outbox) stampLocked(changes []Change) {
	at := o.tick()
	for i := range changes {
		o.seq++
		changes[i].Seq, changes[i].At = o.seq, at
	}
}

// add commits changes. The caller holds the locks of their runs, so that nobody sees a change before it has its time.
func (o *Outbox) add(changes []Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(changes) > 0 && changes[0].Seq == 0 {
		o.stampLocked(changes)
	}
	o.held = time.Time{}
	o.queue = append(o.queue, changes...)
	if len(changes) > 0 {
		o.signal()
	}
}

// refill puts stored changes, in order, into an empty Outbox, whose numbers go on behind them and behind seq.
func (o *Outbox) refill(changes []Change, seq int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue, o.seq = slices.Clone(changes), seq
	if n := len(changes); n > 0 {
		o.seq, o.last = max(seq, changes[n-1].Seq), changes[n-1].At
		o.signal()
	}
}

// Acked is the number up to which all changes are acknowledged.
func (o *Outbox) Acked() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.acked
}

// signal makes Ready ready. A signal that was not received yet stands for this one too.
func (o *Outbox) signal() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// Ready gives a value after changes came or were returned. Take until it gives nothing, then receive again; a value may come for nothing.
func (o *Outbox) Ready() <-chan struct{} { return o.ready }

// Take hands the next changes to the publisher, up to limit of them, in the order of their commits; none if there are none or limit is below 1.
// It does not wait.
func (o *Outbox) Take(limit int) []Change {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.queue[o.taken:]
	next = next[:min(len(next), max(limit, 0))]
	o.taken += len(next)
	return slices.Clone(next)
}

// Ack says that the oldest n of the taken changes are published for good. A number above that of the taken ones, or below 0, counts as the nearest
// possible.
func (o *Outbox) Ack(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = max(min(n, o.taken), 0)
	if n > 0 {
		o.acked = o.queue[n-1].Seq
	}
	clear(o.queue[:n]) // lets the states go before the queue moves
	o.queue, o.taken = o.queue[n:], o.taken-n
}

// Return puts all taken changes that are not acknowledged back to the front, in their order: the next Take gives them again.
func (o *Outbox) Return() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken > 0 {
		o.signal()
	}
	o.taken = 0
}

// Len is the number of changes that are not acknowledged.
func (o *Outbox) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

// Complete is a moment up to which, itself included, every committed change is acknowledged: now if none is outstanding (B6).
//
// It cannot claim too much. Times are given by tick alone, under mu, and each is later than the one before. So with an empty queue, every change
// that has a time before this tick is acknowledged, and every other one will get its time after it. With changes outstanding, all that came before the
// oldest of them are acknowledged, and the claim ends a nanosecond before it. Changes that are being stored may be seen already, in the store: the claim
// ends before them. Any other change that is still on its way to add is not committed: nobody can see it, and its time will be later. After the clock was set back, the claims stand almost still until it has caught up.
func (o *Outbox) Complete() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.queue) > 0:
		return o.queue[0].At.Add(-1)
	case !o.held.IsZero():
		return o.held.Add(-1)
	default:
		return o.tick()
	}
}
