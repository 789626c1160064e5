package replica

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// Limits bound what a replica holds, whatever comes (R12). Zero values take the defaults.
type Limits struct {
	// Runs that are shown or were heard of; default 1,000,000, which is five times what a country has on sale. A quarter of them may be runs of which only deltas have come.
	Runs int
	// Memory in bytes; default 4 GiB. Five eighths of it are for the counts of runs, a quarter for patterns and their index, the rest for events that are kept aside.
	Memory int64
}

// The defaults of Limits. A run without anything takes about half a kilobyte beside what Memory counts.
const (
	DefaultRuns   = 1_000_000
	DefaultMemory = 4 << 30
)

const (
	// maxAlike is the most runs of one pattern on one date, all of which are in each answer that one of them is in. There is seldom more than one.
	maxAlike = 1024
	// A run of a date before oldest is over: the longest ride takes 14 days. One of a date after latest is on sale nowhere: sale_days is 400 at the most.
	oldest, latest = 15, 415
)

// errFull says that something does not fit, errUnseen a run that nobody can see yet; errDate that no run can be of that date.
var (
	errFull   = errors.New("the replica is full")
	errUnseen = fmt.Errorf("%w", errFull)
	errDate   = errors.New("no date of a run")
)

// purse is how much of something there may be. Safe for concurrent use.
type purse struct {
	most  int64
	spent atomic.Int64
}

// take spends n, which may be negative; false if there is not so much left.
func (p *purse) take(n int64) bool {
	if p.spent.Add(n) <= p.most || n <= 0 {
		return true
	}
	p.spent.Add(-n)
	return false
}

func (p *purse) give(n int64) { p.spent.Add(-n) }

// purses are a replica's, one for each kind of thing, so that one that is spent does no harm to the others.
type purses struct {
	runs, unseen              purse // in runs
	tables, reference, asides purse // in bytes
}

func (p *purses) fill(l Limits) {
	runs, memory := int64(cmp.Or(l.Runs, DefaultRuns)), cmp.Or(l.Memory, DefaultMemory)
	p.runs.most, p.unseen.most = runs, max(runs/4, 1)
	p.tables.most, p.reference.most = memory/8*5, memory/4
	p.asides.most = memory - p.tables.most - p.reference.most
}

// refusal says why there is no room for a run. It is put into words only if somebody reads them: there may be millions.
type refusal struct {
	kind        error
	run         rail.RunID
	most        int64
	first, last rail.Date
}

func (r *refusal) Unwrap() error { return r.kind }

func (r *refusal) Error() string {
	switch {
	case errors.Is(r.kind, errDate):
		return fmt.Sprintf("%v: run %s is of %s; want %s to %s", errDate, r.run, r.run.Date, r.first, r.last)
	case errors.Is(r.kind, errUnseen):
		return fmt.Sprintf("%v: run %s would be one more than %d of which only deltas have come; want no more (a quarter of feed.max_runs)", errFull, r.run, r.most)
	default:
		return fmt.Sprintf("%v: run %s would be one more than %d; want no more (feed.max_runs)", errFull, r.run, r.most)
	}
}

// sellable reports whether there can be a run of a date: it is from first to last.
func (r *Replica) sellable(date rail.Date) (first, last rail.Date, ok bool) {
	today := rail.DateOf(r.opts.Clock(), r.location.Load())
	first, last = today-oldest, today+latest
	return first, last, date >= first && date <= last
}

// room makes room for a run of which nothing was heard before, or says why there is none.
func (r *Replica) room(id rail.RunID) error {
	if first, last, ok := r.sellable(id.Date); !ok {
		return &refusal{kind: errDate, run: id, first: first, last: last}
	}
	if !r.purses.runs.take(1) {
		return &refusal{kind: errFull, run: id, most: r.purses.runs.most}
	}
	if !r.purses.unseen.take(1) {
		r.purses.runs.give(1)
		return &refusal{kind: errUnseen, run: id, most: r.purses.unseen.most}
	}
	return nil
}

// tablesFor makes room for the counts of a run's next sheet, or says that there is none.
func (w *writer) tablesFor(e *entry, s *event.RunState, plan *Plan) error {
	want, before := plan.layout.Bytes()+int64(len(s.Reason)), e.run.Sheet()
	slab := e.slab
	switch {
	case before == nil:
		slab = plan.layout.Bytes()
	case before.Plan == plan:
		want = e.charged + int64(len(s.Reason)-len(before.Reason))
	default:
		want += slab // which goes with its day only
	}
	if !w.replica.purses.tables.take(want - e.charged) {
		return fmt.Errorf("%w: state of %s at %s would take %d bytes more than the %d that counts may; want less (feed.max_memory_mib)", errFull, s.Run, s.Version, want-e.charged, w.replica.purses.tables.most)
	}
	e.slab, e.charged = slab, want
	return nil
}

// crowded says that a pattern has too many runs on the date of one that is not yet among them.
func (w *writer) crowded(e *entry, l *line) error {
	if sheet := e.run.Sheet(); sheet != nil && sheet.Pattern.ID == l.pattern.ID {
		return nil
	}
	if n := len(w.replica.roster.open(e.run.ID.Date).Runs(l.number)); n >= maxAlike {
		return fmt.Errorf("%w: run %s would be one more than %d runs of pattern %s on %s; want no more", errFull, e.run.ID, n, l.pattern.ID, e.run.ID.Date)
	}
	return nil
}

// refuse sets an event of a run aside for which there is no room, and has the date say that it is not complete. Of a date on which there can be no run nothing is lacking.
func (w *writer) refuse(id rail.RunID, why error) {
	w.tally.Broken++
	w.tally.Refused++
	w.lack(id, why)
}

func (w *writer) lack(id rail.RunID, why error) {
	w.replica.opts.OnFault(Fault{Kind: "full", Run: id, Where: w.where(id), Err: why})
	if w.lacking[id.Date] || errors.Is(why, errDate) {
		return
	}
	w.lacking[id.Date] = true
	w.tally.Lacking++
	day := w.replica.roster.open(id.Date)
	day.lacking.Add(1)
	day.generation.Add(1) // answers that are kept say that they are complete
}

// whole notes that nothing of a date is lacking: a digest was equal.
func (w *writer) whole(date rail.Date) {
	if !w.lacking[date] {
		return
	}
	w.unlack(date)
	if day := w.replica.roster.day(date); day != nil {
		day.lacking.Add(-1)
		day.generation.Add(1)
	}
}

func (w *writer) unlack(date rail.Date) {
	delete(w.lacking, date)
	w.tally.Lacking--
}

// keepAside counts an event in that waits; false if there is no room for it.
func (w *writer) keepAside(cost int64) bool {
	if !w.replica.purses.asides.take(cost) {
		return false
	}
	w.tally.Held++
	return true
}

// takeUp counts out what was kept aside.
func (w *writer) takeUp(cost int64) {
	w.replica.purses.asides.give(cost)
	w.tally.Held--
}

func deltaCost(d *event.RunDelta) int64 {
	return int64(unsafe.Sizeof(*d)) + int64(len(d.Adjusts))*int64(unsafe.Sizeof(inventory.Adjust{}))
}

func stateCost(s *event.RunState) int64 {
	n := int64(unsafe.Sizeof(*s)) + int64(len(s.Reason))
	for i := range s.Classes {
		n += int64(unsafe.Sizeof(s.Classes[i]))
		for k := range s.Classes[i].Buckets {
			b := &s.Classes[i].Buckets[k]
			n += int64(unsafe.Sizeof(*b)) + int64(len(b.Spans))*int64(unsafe.Sizeof(inventory.Span{})) + int64(len(b.Quotas))*int64(unsafe.Sizeof(inventory.Quota{}))
		}
	}
	return n
}

// patternCost is about what a pattern takes, with its legs in the index and what it takes to make one.
func patternCost(p *timetable.Pattern) int64 {
	n := int64(unsafe.Sizeof(*p)) + int64(len(p.Stops))*int64(unsafe.Sizeof(timetable.Stop{}))
	for i := range p.Classes {
		n += int64(unsafe.Sizeof(p.Classes[i])) + int64(len(p.Classes[i].Fares))*int64(unsafe.Sizeof(rail.Money(0)))
	}
	return n + int64(timetable.NumODs(len(p.Stops)))*4*int64(unsafe.Sizeof(timetable.Leg{}))
}
