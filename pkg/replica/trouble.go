package replica

import (
	"errors"
	"slices"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// maxHeld is the most deltas of a run kept aside. A publisher's RunState every 200 deltas covers more than they can span.
const maxHeld = 512

// trouble is what a run in trouble needs.
type trouble struct {
	held       []event.RunDelta // kept aside, in order of Version
	waiting    *event.RunState  // of a pattern that is not known yet
	quarantine error            // why the numbers must not be shown
	tries      int
	next       time.Time       // of the next repair
	ahead      auditor         // what digests said
	doubted    rail.Version    // that was heard of, and that the booking system does not have,
	doubts     int             // as so many lists have said
	purged     []chan struct{} // those who wait until the run was read anew; if any, that is done whatever its Version (R11)
	spoiled    bool            // what the stream has of it cannot be understood (R11)
}

// troubled is the entry's trouble, new if it had none.
func (e *entry) troubled(w *writer) *trouble {
	if e.trouble == nil {
		o := w.replica.opts
		e.trouble = &trouble{next: o.Clock().Add(o.Grace + time.Duration(o.Jitter()*float64(o.Grace)))}
		w.troubled[e] = struct{}{}
	}
	return e.trouble
}

// hold keeps a delta aside, in order, once. Too many are let go: heard remembers that the run is behind.
func (w *writer) hold(e *entry, d *event.RunDelta) {
	t := e.troubled(w)
	if len(t.held) >= maxHeld {
		w.tally.Broken += uint64(len(t.held)) + 1
		w.emptied(t)
		return
	}
	i, twice := slices.BinarySearchFunc(t.held, d, func(a event.RunDelta, b *event.RunDelta) int { return a.Version.Compare(b.Version) })
	if twice {
		w.tally.Duplicate++
		return
	}
	if !w.keepAside(deltaCost(d)) {
		w.tally.Broken++
		return
	}
	t.held = slices.Insert(t.held, i, d.Clone())
}

// wait keeps a RunState until its pattern is known.
func (w *writer) wait(e *entry, s *event.RunState) {
	t := e.troubled(w)
	w.forgo(t)
	if w.keepAside(stateCost(s)) {
		t.waiting = s.Clone()
	} else {
		w.tally.Broken++
	}
	w.judge(e)
}

// emptied lets go of all that was kept aside but the state that waits.
func (w *writer) emptied(t *trouble) {
	for i := range t.held {
		w.takeUp(deltaCost(&t.held[i]))
	}
	t.held = nil
}

// forgo lets go of the state that waits, if there is one: it tells nothing new.
func (w *writer) forgo(t *trouble) {
	if t.waiting != nil {
		w.takeUp(stateCost(t.waiting))
		w.tally.Duplicate++
		t.waiting = nil
	}
}

// drain applies what was kept aside, as far as it follows.
func (w *writer) drain(e *entry) {
	for t := e.trouble; t != nil && len(t.held) > 0 && t.quarantine == nil; {
		d, held := t.held[0], e.run.version()
		switch {
		case !d.Version.Above(held):
			w.tally.Duplicate++
		case d.Version.Follows(held) && !d.Restated:
			w.change(e, &d)
		default:
			return
		}
		w.takeUp(deltaCost(&d))
		t.held = t.held[1:]
	}
}

// quarantine hides the numbers of a run until a good RunState comes (R4).
func (w *writer) quarantine(e *entry, why error) {
	t := e.troubled(w)
	t.quarantine = why
	w.judge(e)
	f := Fault{Kind: "quarantined", Run: e.run.ID, Err: why}
	if !errors.Is(why, errOlder) && !errors.Is(why, errUnknownRun) { // a message says it
		f.Where = w.where(e.run.ID)
	}
	w.replica.opts.OnFault(f)
}

func (e *entry) quarantined() bool { return e.trouble != nil && e.trouble.quarantine != nil }

// renews reports whether the run is to be read anew (R11).
func (e *entry) renews() bool { return e.trouble != nil && e.trouble.renews() }

func (t *trouble) renews() bool { return t.spoiled || len(t.purged) > 0 }

// judge brings a run's health in line with what is known of it.
func (w *writer) judge(e *entry) {
	before, now := e.run.Health(), Live
	switch {
	case e.quarantined():
		now = Quarantined
	case e.heard.Above(e.run.version()), e.renews():
		now = Behind
		e.troubled(w)
	}
	if now == Live && e.trouble != nil && e.trouble.ahead == (auditor{}) {
		e.trouble = nil
		delete(w.troubled, e)
	}
	if before == now {
		return
	}
	e.run.setHealth(now)
	w.level(before, -1)
	w.level(now, 1)
	switch {
	case before == Live:
		w.tally.Gaps++
	case now == Live:
		w.tally.Repaired++
	}
}

func (w *writer) level(h Health, by int64) {
	switch h {
	case Behind:
		w.tally.Behind += uint64(by)
	case Quarantined:
		w.tally.Quarantined += uint64(by)
	}
}
