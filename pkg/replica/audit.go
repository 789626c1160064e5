package replica

import (
	"errors"
	"fmt"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/rail"
)

// auditRounds is how many digests must agree on a finding that no event explains.
const auditRounds = 3

// errUnknownRun and errOlder are what a digest can find in a run that no event would mend.
var (
	errUnknownRun = errors.New("the booking system does not know this run")
	errOlder      = errors.New("the booking system's history of this run is older than ours and its epoch was not raised")
)

// auditor remembers what digests said of a run that is not behind.
type auditor struct {
	// listed is the lower Version that the booking system holds, zero if it does not know the run; since how many rounds, and at which Version of ours.
	listed rail.Version
	ours   rail.Version
	rounds int
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

// audited reports whether a run of the date is under suspicion from an earlier round, or has been repaired in vain.
func (w *writer) audited(date rail.Date) bool {
	for e := range w.troubled {
		if e.run.ID.Date == date && (e.trouble.ahead != (auditor{}) || e.trouble.tries > 1) {
			return true
		}
	}
	return false
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
