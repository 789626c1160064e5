package replica

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
)

// writer is the writing side of one partition. All but what is guarded belongs to the partition's one goroutine.
type writer struct {
	replica  *Replica
	proof    *proof
	entries  map[rail.RunID]*entry
	troubled map[*entry]struct{}
	apply    inventory.Writer
	tally    Stats                         // of the event under way
	closed   uint64                        // days that forget has seen let go
	told     map[rail.Date]bool            // days of which a digest was equal
	early    map[rail.Date]*event.Versions // lists of what has not been read yet
	lacking  map[rail.Date]bool            // days of which there was no room for a run (R12)
	sequence uint64                        // of the deltas under way; 0 for a state
	number   rail.Partition
	digests  map[rail.Date]*event.Digest // of what is shown (R10), kept up to date: to sum it up anew would stop the lane for milliseconds

	mu       sync.Mutex // guards what follows
	stats    Stats
	unwanted []unwanted // to be read anew (R11)

	finding sync.RWMutex // guards entries against those who find: the writer changes them under it, and reads them without
}

// find is a run that can be shown; nil if there is none of that id.
func (w *writer) find(id rail.RunID) *Run {
	w.finding.RLock()
	defer w.finding.RUnlock()
	if e := w.entries[id]; e != nil && e.run.Sheet() != nil {
		return &e.run
	}
	return nil
}

// within reports whether another replica has every run that can be shown here, at no older version.
func (w *writer) within(other *Replica) bool {
	w.finding.RLock()
	defer w.finding.RUnlock()
	for id, e := range w.entries {
		if e.run.Sheet() == nil {
			continue
		}
		if theirs := other.Run(id); theirs == nil || e.run.version().Above(theirs.version()) {
			return false
		}
	}
	return true
}

// entry is a run as its writer sees it.
type entry struct {
	run Run
	// heard is the highest Version of which anything came. Above the held one, the run is behind (R3).
	heard rail.Version
	// told is the highest Version that the delta stream has told. A run that is shown at a higher one is ahead (Position).
	told rail.Version
	// trouble is nil for a run that is live.
	trouble *trouble
	// charged is what its counts take of the replica's memory (R12), slab how much of it until its day is over.
	charged, slab int64
}

// State takes a RunState (R1).
func (r *Replica) State(p rail.Partition, s *event.RunState) {
	w := r.writers[p]
	defer w.settle()
	w.tally.Received++
	e, err := w.entry(s.Run)
	if err != nil {
		w.refuse(s.Run, err)
		return
	}
	w.state(e, s)
}

// Deltas takes a batch (R2), holds it against its digests (R10) and then counts the sequence as reached (R7).
func (r *Replica) Deltas(p rail.Partition, b *event.DeltaBatch, sequence uint64) {
	w := r.writers[p]
	defer w.settle()
	w.proof.begun.Store(sequence)
	w.sequence = sequence
	for i := range b.Deltas {
		w.tally.Received++
		w.heard(&b.Deltas[i])
	}
	w.sequence = 0
	if len(b.Digests) > 0 && r.isReady() {
		w.compare(p, b.Digests)
	}
	if b.Publisher != "" {
		r.freshness.hear(w.proof, b)
	}
	r.freshness.read(w.proof, b, sequence)
	if len(w.early) > 0 {
		w.due()
	}
}

// settle makes the tally of an event visible at once (R5).
func (w *writer) settle() {
	w.mu.Lock()
	w.stats.add(w.tally)
	w.mu.Unlock()
	w.tally = Stats{}
}

// entry is that of a run, made if there was none. The error says that there is no room for it (R12).
func (w *writer) entry(id rail.RunID) (*entry, error) {
	if e := w.entries[id]; e != nil {
		return e, nil
	}
	if err := w.replica.room(id); err != nil {
		return nil, err
	}
	e := &entry{run: Run{ID: id}}
	w.finding.Lock()
	w.entries[id] = e
	w.finding.Unlock()
	w.tally.Unseen++
	day := w.replica.roster.open(id.Date)
	day.unseen.Add(1)
	day.generation.Add(1) // answers that are kept may lack it
	return e, nil
}

// where is the message under way, for a log: the state stream keeps one on the subject of a run.
func (w *writer) where(id rail.RunID) feed.Position {
	if w.sequence > 0 {
		return feed.DeltaPosition(w.number, w.sequence)
	}
	return feed.StatePosition(id)
}

func (w *writer) state(e *entry, s *event.RunState) {
	if t := e.trouble; !e.wants(s.Version) || t != nil && t.waiting != nil && !s.Version.Above(t.waiting.Version) {
		w.tally.Duplicate++
		return
	}
	e.hear(s.Version)
	line := w.replica.line(s.Pattern)
	if line == nil {
		w.wait(e, s)
		return
	}
	sheet, err := w.sheet(e, s, line)
	if errors.Is(err, errFull) && e.run.Sheet() == nil {
		w.drop(e)
		w.refuse(s.Run, err)
		return
	}
	if err != nil {
		w.tally.Broken++
		w.quarantine(e, err)
		return
	}
	w.tally.Applied++
	w.install(e, line, sheet)
}

// wants reports whether a RunState of a Version is to be taken: one above the held (R1), or as high if the run is to be read anew (R11).
func (e *entry) wants(v rail.Version) bool {
	held := e.run.version()
	return v.Above(held) || v == held && e.renews()
}

func (e *entry) hear(v rail.Version) {
	if v.Above(e.heard) {
		e.heard = v
	}
}

// sheet builds what a RunState says, all but its counts, which are ready to be stored. The error says that it contradicts itself or its pattern.
func (w *writer) sheet(e *entry, s *event.RunState, line *line) (*Sheet, error) {
	if err := w.crowded(e, line); err != nil {
		return nil, err
	}
	plan, err := line.plan(s)
	if err != nil {
		return nil, err
	}
	if err := w.apply.Build(plan.layout, s.Classes); err != nil {
		return nil, fmt.Errorf("state of %s at %s: %w", s.Run, s.Version, err)
	}
	if err := w.tablesFor(e, s, plan); err != nil {
		return nil, err
	}
	sheet := &Sheet{
		Plan: plan, Suspended: s.Suspended, Reason: s.Reason, SaleOpensAt: s.SaleOpensAt, SaleClosesBefore: s.SaleClosesBefore,
		Counts: w.table(e, plan), epoch: s.Version.Epoch,
	}
	sheet.revision.Store(s.Version.Revision)
	return sheet, nil
}

// table is where the counts of a run's next sheet are stored: where those of the present one are, if they are laid out alike. A run's first table lies with those of its day;
// what comes after a change of the layout does not, since that would fill up with what nobody uses.
func (w *writer) table(e *entry, plan *Plan) *inventory.Table {
	switch before := e.run.Sheet(); {
	case before == nil:
		return w.replica.roster.open(e.run.ID.Date).slab.Table(plan.layout)
	case before.Plan == plan:
		return before.Counts
	default:
		return (*inventory.Slab)(nil).Table(plan.layout)
	}
}

// install shows a new sheet with the counts that were built for it, and takes up what was kept aside (R3).
func (w *writer) install(e *entry, line *line, sheet *Sheet) {
	if sheet.Version().Above(e.told) {
		e.run.ahead.Store(true) // before anybody can see it
	}
	e.run.changes.Add(1)
	w.apply.Store(sheet.Counts) // before the sheet: its Version must not promise more (R8)
	held := e.run.version()
	before := e.run.sheet.Swap(sheet)
	if before == nil || before.Pattern != sheet.Pattern {
		w.list(e, before, line)
	}
	e.run.changes.Add(1)
	if d := w.digest(e.run.ID.Date); before == nil {
		d.Add(e.run.ID, sheet.Version())
	} else {
		d.Move(e.run.ID, held, sheet.Version())
	}
	if t := e.trouble; t != nil {
		t.quarantine, t.ahead = nil, auditor{}
		t.renewed()
		w.forgo(t) // of a lower Version, or it would have been taken instead
	}
	w.drain(e)
	w.judge(e)
	e.lead()
}

func (w *writer) list(e *entry, before *Sheet, now *line) {
	r := w.replica
	day, was := r.roster.open(e.run.ID.Date), (*line)(nil)
	if before != nil {
		was = r.known(before.Pattern.ID)
	}
	r.roster.list(&e.run, was, now, e.run.ID.Date.At(now.pattern.Arrival(), r.location.Load()))
	if before == nil {
		w.tally.Unseen--
		w.tally.Runs++
		r.purses.unseen.give(1)
		day.unseen.Add(-1)
	}
}

// heard takes a delta of a run, be it one of which nothing has come before.
func (w *writer) heard(d *event.RunDelta) {
	e, err := w.entry(d.Run)
	if err != nil {
		w.refuse(d.Run, err)
		return
	}
	w.delta(e, d)
}

// delta is rule R2.
func (w *writer) delta(e *entry, d *event.RunDelta) {
	held := e.run.version()
	e.hear(d.Version)
	e.tell(d.Version)
	switch {
	case !d.Version.Above(held):
		w.tally.Duplicate++
	case d.Version.Follows(held) && !d.Restated && !e.quarantined() && e.run.Sheet() != nil:
		w.change(e, d)
		w.drain(e)
		w.judge(e)
	default:
		w.hold(e, d)
		w.judge(e)
	}
}

// change applies a delta that is next: the counts first, then the Version, so that a Version never promises more than the counts hold (R8).
func (w *writer) change(e *entry, d *event.RunDelta) {
	sheet := e.run.Sheet()
	e.run.changes.Add(1)
	err := w.apply.Apply(sheet.Counts, d.Adjusts)
	if err == nil {
		w.digest(d.Run.Date).Move(e.run.ID, sheet.Version(), d.Version)
		sheet.revision.Store(d.Version.Revision)
	}
	e.run.changes.Add(1)
	if err != nil {
		w.tally.Broken++
		w.quarantine(e, fmt.Errorf("delta of %s at %s: %w", d.Run, d.Version, err))
		return
	}
	w.tally.Applied++
}

// digest is that of a service date.
func (w *writer) digest(date rail.Date) *event.Digest {
	d := w.digests[date]
	if d == nil {
		d = &event.Digest{Date: date}
		w.digests[date] = d
	}
	return d
}

// forget lets go of the runs of days that are over.
func (w *writer) forget() {
	for id, e := range w.entries {
		if w.replica.roster.day(id.Date) == nil {
			w.remove(e)
			e.run.sheet.Store(nil) // an answer that is kept must not keep the day's memory
			e.run.changed()
		}
	}
	over := func(date rail.Date) bool { return w.replica.roster.day(date) == nil }
	maps.DeleteFunc(w.told, func(date rail.Date, _ bool) bool { return over(date) })
	maps.DeleteFunc(w.digests, func(date rail.Date, _ *event.Digest) bool { return over(date) })
	maps.DeleteFunc(w.early, func(date rail.Date, _ *event.Versions) bool { return over(date) })
	for date := range w.lacking {
		if over(date) {
			w.unlack(date)
		}
	}
}

// remove lets go of a run, and of what was kept aside for it: that tells nothing new any more.
func (w *writer) remove(e *entry) {
	if t := e.trouble; t != nil {
		w.tally.Duplicate += uint64(len(t.held))
		w.emptied(t)
		w.forgo(t)
		t.renewed()
		delete(w.troubled, e)
		e.trouble = nil
	}
	w.level(e.run.Health(), -1)
	if e.run.Sheet() == nil {
		w.tally.Unseen--
		w.replica.purses.unseen.give(1)
	} else {
		w.tally.Runs--
	}
	w.replica.purses.runs.give(1)
	w.replica.purses.tables.give(e.charged)
	w.finding.Lock()
	delete(w.entries, e.run.ID)
	w.finding.Unlock()
}

// drop lets go of a run of which no state has come.
func (w *writer) drop(e *entry) {
	w.remove(e)
	if day := w.replica.roster.day(e.run.ID.Date); day != nil {
		day.unseen.Add(-1)
		day.generation.Add(1)
	}
}

// Gone is told that no RunState of a run will ever come. A run of which only deltas have come is none that a query could lack; one that is shown is for digests to judge (R10).
func (r *Replica) Gone(p rail.Partition, run rail.RunID) {
	w := r.writers[p]
	defer w.settle()
	if e := w.entries[run]; e != nil && e.run.Sheet() == nil && (e.trouble == nil || e.trouble.waiting == nil) {
		w.drop(e)
	}
}

func byRun(a, b *entry) int { return a.run.ID.Compare(b.run.ID) }
