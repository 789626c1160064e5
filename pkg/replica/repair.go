package replica

import (
	"context"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/rail"
)

// repair is a thing to ask of the feed (R3, R10).
type repair struct {
	kind      repairKind
	run       rail.RunID
	held      rail.Version
	pattern   rail.PatternID
	partition rail.Partition
	date      rail.Date
}

type repairKind uint8

const (
	fetchState repairKind = iota
	askState
	fetchPattern
	askVersions
)

const (
	maxRepairs = 1 << 10 // waiting, a second's; one more is asked for again later
	maxBackoff = 10 * time.Second
)

// Tick does what time alone does for a partition: it asks for repairs, takes up runs whose pattern has come and lets go of days that are over.
func (r *Replica) Tick(p rail.Partition, through uint64) {
	w := r.writers[p]
	defer w.settle()
	w.proof.reached(through)
	w.due()
	w.purge()
	if len(w.troubled) > 0 {
		w.tend()
	}
	if closed := r.roster.closed.Load(); closed != w.closed {
		w.closed = closed
		w.forget()
	}
}

// needy are the runs in trouble for which something can be done now, in order: there may be very many for which nothing can.
func (w *writer) needy(now time.Time) (all []*entry) {
	r := w.replica
	for e := range w.troubled {
		t, queue := e.trouble, r.queue(e.run.Sheet() != nil)
		due := e.run.Health() != Live && !now.Before(t.next) && len(queue) < cap(queue)
		if due || t.waiting != nil && r.line(t.waiting.Pattern) != nil {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, byRun)
	return all
}

// tend looks after every run in trouble.
func (w *writer) tend() {
	now := w.replica.opts.Clock()
	for _, e := range w.needy(now) {
		t := e.trouble
		if t.waiting != nil && w.replica.line(t.waiting.Pattern) != nil {
			state := t.waiting
			t.waiting = nil
			w.takeUp(stateCost(state))
			w.state(e, state)
		}
		if e.trouble != nil && e.run.Health() != Live && !now.Before(t.next) {
			w.mend(e, now)
		}
	}
}

// mend asks for what a run lacks: first the stream's last state, then the publisher's. Each try doubles the wait, with jitter.
func (w *writer) mend(e *entry, now time.Time) {
	t := e.trouble
	want := repair{kind: fetchState, run: e.run.ID, held: e.run.version()}
	switch {
	case t.waiting != nil:
		want.kind, want.pattern = fetchPattern, t.waiting.Pattern
	case t.tries > 0, t.renews(): // the stream's last state is older than what is to be replaced, or spoiled
		want.kind = askState
	}
	if !w.replica.ask(want) {
		return
	}
	o := w.replica.opts
	wait := min(o.Grace<<min(t.tries, 10), maxBackoff)
	t.tries++
	t.next = now.Add(wait + time.Duration(o.Jitter()*float64(wait)))
}

// queue is where a repair waits, whether of a run that is shown or another one.
func (r *Replica) queue(shown bool) chan repair {
	if shown {
		return r.repairs
	}
	return r.searches
}

// wanted is the next repair to be carried out.
func (r *Replica) wanted(ctx context.Context) (repair, error) {
	select {
	case want := <-r.repairs:
		return want, nil
	default:
	}
	select {
	case want := <-r.repairs:
		return want, nil
	case want := <-r.searches:
		return want, nil
	case <-ctx.Done():
		return repair{}, ctx.Err()
	}
}

// ask queues a repair; false if too many are waiting.
func (r *Replica) ask(want repair) bool {
	select {
	case r.queue(!want.held.IsZero()) <- want:
		return true
	default:
		return false
	}
}

// unwanted is a run to be read anew, and what is closed when it was.
type unwanted struct {
	run  rail.RunID
	done chan struct{}
}

// Purge has a run read anew from the booking system, as if nothing of it were known (R11). Until then the run is behind; done is closed when it was read, or its day has ended. Nil: the
// replica has no run of that day. Safe for concurrent use.
func (r *Replica) Purge(id rail.RunID) (done <-chan struct{}) {
	if r.Day(id.Date) == nil {
		return nil
	}
	u := unwanted{id, make(chan struct{})}
	w := r.writers[id.Partition()]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unwanted = append(w.unwanted, u)
	return u.done
}

// purge begins with what Purge was told.
func (w *writer) purge() {
	w.mu.Lock()
	all := w.unwanted
	w.unwanted = nil
	w.mu.Unlock()
	for _, u := range all {
		if w.replica.Day(u.run.Date) == nil {
			close(u.done) // it has ended
			continue
		}
		e, err := w.entry(u.run)
		if err != nil {
			close(u.done) // there is nothing that could be read anew
			continue
		}
		t := e.troubled(w)
		t.purged, t.tries, t.next = append(t.purged, u.done), 0, w.replica.opts.Clock()
		w.judge(e)
		w.mend(e, t.next)
	}
}

// renewed tells those who wait that the run was read anew.
func (t *trouble) renewed() {
	for _, done := range t.purged {
		close(done)
	}
	t.purged, t.spoiled = nil, false
}
