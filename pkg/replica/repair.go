package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
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
	maxRepairs  = 1 << 10 // waiting, a second's; one more is asked for again later
	maxBackoff  = 10 * time.Second
	auditRounds = 3 // digests that must agree on a finding which no event explains
)

// auditor remembers what digests said of a run that is not behind.
type auditor struct {
	// listed is the lower Version that the booking system holds, zero if it does not know the run; since how many rounds, and at which Version of ours.
	listed rail.Version
	ours   rail.Version
	rounds int
}

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

// compare holds the partition against the publisher's digests at this very point of the delta stream (R10). A state that overtook its delta
// makes them differ for a moment, so a difference is only the reason to ask for the versions behind it.
func (w *writer) compare(p rail.Partition, digests []event.Digest) {
	var equal []rail.Date
	defer func() { w.toldAll(equal) }()
	for _, theirs := range digests {
		if w.replica.roster.day(theirs.Date) == nil {
			if _, _, ok := w.replica.sellable(theirs.Date); !ok {
				continue // there is nothing to be compared on such a date, or to be asked
			}
		}
		w.tally.Digests++
		ours := event.Digest{Date: theirs.Date}
		if d := w.digests[theirs.Date]; d != nil {
			ours = *d
		}
		if ours == theirs {
			equal = append(equal, theirs.Date)
			w.whole(theirs.Date)
			if !w.audited(theirs.Date) {
				continue
			}
		}
		if ours != theirs {
			w.tally.Differing++
		}
		w.replica.ask(repair{kind: askVersions, partition: p, date: theirs.Date})
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

// audited reports whether a run of the date is under suspicion from an earlier round, or has been repaired in vain.
func (w *writer) audited(date rail.Date) bool {
	for e := range w.troubled {
		if e.run.ID.Date == date && (e.trouble.ahead != (auditor{}) || e.trouble.tries > 1) {
			return true
		}
	}
	return false
}

// Versions holds the runs of a service date against the publisher's list (R10), once the deltas of which it tells have been read: the reply may overtake them.
func (r *Replica) Versions(p rail.Partition, date rail.Date, v *event.Versions) {
	w := r.writers[p]
	defer w.settle()
	if v.Through > w.proof.applied.Load() {
		w.early[date] = v
		return
	}
	w.match(date, v.Runs)
}

// due holds the lists that came too early against the runs, if it is time.
func (w *writer) due() {
	for date, v := range w.early {
		if v.Through <= w.proof.applied.Load() {
			delete(w.early, date)
			w.match(date, v.Runs)
		}
	}
}

// match holds the runs of a date against a list. A higher version in it is one that was lost: the run is behind. Ours above what the booking system holds, or a run that is not in the
// list, cannot be mended by an event: if it stays so, the run is quarantined.
func (w *writer) match(date rail.Date, runs []event.RunVersion) {
	present := make(map[rail.RunID]rail.Version, len(runs))
	lost, odd := 0, 0
	for _, l := range runs {
		if l.Run.Date != date || w.replica.writers[l.Run.Partition()] != w {
			continue
		}
		present[l.Run] = l.Version
		if l.Present.Above(l.Version) { // a state may be ahead of the deltas, but never of the booking system
			present[l.Run] = l.Present
		}
		e, err := w.entry(l.Run)
		if err != nil {
			w.lack(l.Run, err)
			continue
		}
		if l.Version.Above(e.run.version()) {
			e.hear(l.Version)
			w.judge(e)
			lost++
		}
	}
	for id, e := range w.entries {
		if id.Date == date && e.run.Sheet() != nil && w.audit(e, present[id]) {
			odd++
		}
	}
	if lost+odd > 0 {
		w.replica.opts.OnFault(Fault{Kind: "digest", Err: fmt.Errorf("%s: %d runs behind the publisher's list, %d ahead of it or not in it", date, lost, odd)})
	}
}

// audit notes what the list says of a run whose Version is not below it; true if it has been odd before: a run that sells may be ahead of any list for a moment.
func (w *writer) audit(e *entry, theirs rail.Version) bool {
	ours := e.run.version()
	if !ours.Above(theirs) {
		if e.trouble != nil {
			e.trouble.ahead = auditor{}
			if q := e.trouble.quarantine; errors.Is(q, errOlder) || errors.Is(q, errUnknownRun) {
				e.trouble.quarantine = nil
			}
			w.judge(e)
		}
		w.doubt(e, theirs)
		return false
	}
	t := e.troubled(w)
	if t.ahead.listed != theirs || t.ahead.ours != ours {
		t.ahead = auditor{listed: theirs, ours: ours}
	}
	if t.ahead.rounds++; t.ahead.rounds == auditRounds {
		why := errOlder
		if theirs.IsZero() {
			why = errUnknownRun
		}
		w.quarantine(e, why)
	}
	return t.ahead.rounds > 1
}

// doubt notes that a list has no version as high as one that was heard of. A delta that has overtaken the list is in the next one; if it is in none, it tells of what never was.
func (w *writer) doubt(e *entry, theirs rail.Version) {
	if !e.heard.Above(theirs) {
		return
	}
	t := e.troubled(w)
	if t.doubted != e.heard {
		t.doubted, t.doubts = e.heard, 0
	}
	if t.doubts++; t.doubts < auditRounds {
		return
	}
	w.replica.opts.OnFault(Fault{Kind: "digest", Run: e.run.ID, Err: fmt.Errorf("version %s was told of, the booking system has %s: it is not believed any more", e.heard, theirs)})
	if t.waiting != nil && t.waiting.Version.Above(theirs) {
		w.forgo(t)
	}
	w.tally.Broken += uint64(len(t.held))
	w.emptied(t)
	e.heard = theirs
	if e.told.Above(theirs) {
		e.told = theirs
	}
	t.doubted, t.doubts = rail.Version{}, 0
	w.judge(e)
}
