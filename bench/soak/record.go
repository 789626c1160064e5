//go:build linux

package main

import (
	"errors"
	"maps"
	"net"
	"net/rpc"
	"slices"
	"sync"
	"time"

	"github.com/yupiao/yupiao/pkg/country"
	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// record is the booking system: the book, the outbox, and the clock of the railway. It never fails; publishers come and go.
type record struct {
	book     *country.Book
	schedule *timetable.Schedule
	location *time.Location

	mu        sync.Mutex // guards what follows and the book's acts
	outbox    []committed
	taken     int           // of the outbox, by the present publisher
	term      int           // the how many-th publisher it is
	bookmark  feed.Bookmark // as far as it has come
	acked     uint64
	committed uint64
	withheld  uint64 // acts for which the outbox had no room
	rolls     []roll // the first is the beginning
	witnesses map[rail.RunID]*witness
	last      committed // of acts
}

// committed is a change with the moment of its commit.
type committed struct {
	change feed.Change
	at     time.Time
}

// roll is a jump of the railway's clock.
type roll struct {
	at    time.Time
	ahead time.Duration
}

// maxOutbox: a backend that falls behind sells no more until the outbox is shorter.
const maxOutbox = 500_000

func newRecord(book *country.Book, s *timetable.Schedule, location *time.Location) *record {
	return &record{book: book, schedule: s, location: location, rolls: []roll{{}}, witnesses: map[rail.RunID]*witness{}}
}

// ahead is how far the railway's clock is. The caller holds mu.
func (r *record) ahead() time.Duration { return r.rolls[len(r.rolls)-1].ahead }

// now is the railway's time.
func (r *record) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.ahead())
}

// today is the railway's date.
func (r *record) today() rail.Date { return rail.DateOf(r.now(), r.location) }

// real is when it was a time of the railway's clock. Times that the clock has jumped over are the moment of the jump.
func (r *record) real(at time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, roll := range slices.Backward(r.rolls) {
		if i == 0 || !at.Before(roll.at.Add(roll.ahead)) {
			at = at.Add(-roll.ahead)
			break
		}
		if !at.Before(roll.at.Add(r.rolls[i-1].ahead)) {
			return roll.at
		}
	}
	return at
}

// act lets so many people buy, or give back.
func (r *record) act(acts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range acts {
		if len(r.outbox) >= maxOutbox {
			r.withheld++
			continue
		}
		at := time.Now()
		c, ok := r.book.Act()
		if !ok {
			r.withheld++
			continue
		}
		r.last = committed{c, at}
		r.outbox = append(r.outbox, r.last)
		r.committed++
		if w := r.witnesses[c.Delta.Run]; w != nil {
			w.note(r.book, at)
		}
	}
}

// open puts a date on sale. The caller holds mu.
func (r *record) open(d rail.Date) {
	at := time.Now()
	r.book.Open(d)
	for c := range r.book.States(d) {
		r.outbox = append(r.outbox, committed{c, at})
		r.committed++
	}
}

// openFirst opens so many dates from today on.
func (r *record) openFirst(from rail.Date, days int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d := from; d < from+rail.Date(days); d++ {
		r.open(d)
	}
}

// roll moves the clock a day on: the day's date goes off sale, the next comes on, and dates that nodes keep no longer are closed. It tells these.
func (r *record) roll() (closed []rail.Date) {
	before := r.today()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rolls = append(r.rolls, roll{time.Now(), r.ahead() + 24*time.Hour})
	r.open(before + country.SaleDays)
	r.book.Depart(before)
	now := time.Now().Add(r.ahead())
	for d := before - 7; d <= before; d++ {
		if r.count(d) > 0 && !now.Before(d.At(r.over(d), r.location)) {
			r.book.Close(d)
			closed = append(closed, d)
		}
	}
	return closed
}

// count is how many runs of a date there are.
func (r *record) count(d rail.Date) (n int) {
	for range r.book.Versions(d) {
		n++
	}
	return n
}

// over is when nodes let a date go: an hour after its last arrival, and not before the day has ended.
func (r *record) over(d rail.Date) rail.Minutes {
	over := rail.Day
	for i := range r.schedule.Trips {
		t := &r.schedule.Trips[i]
		if _, runs := slices.BinarySearch(t.Dates, d); runs {
			over = max(over, t.Pattern.Arrival())
		}
	}
	return over + 61
}

// dates that are not closed, around a day.
func (r *record) dates(today rail.Date) (all []rail.Date) {
	for d := today - 7; d < today+country.SaleDays+1; d++ {
		if r.count(d) > 0 {
			all = append(all, d)
		}
	}
	return all
}

// kept are the dates that nodes keep for some minutes more.
func (r *record) kept() []rail.Date {
	now := r.now()
	return slices.DeleteFunc(r.dates(rail.DateOf(now, r.location)), func(d rail.Date) bool { return !now.Before(d.At(r.over(d)-5, r.location)) })
}

// versions of all runs of some dates.
func (r *record) versions(dates []rail.Date) map[rail.RunID]rail.Version {
	all := make(map[rail.RunID]rail.Version, 1<<18)
	for _, d := range dates {
		maps.Insert(all, r.book.Versions(d))
	}
	return all
}

// figures are counters and the outbox's length.
type figures struct {
	acked, committed, withheld uint64
	outbox                     int
	last                       committed
}

func (r *record) figures() figures {
	r.mu.Lock()
	defer r.mu.Unlock()
	return figures{r.acked, r.committed, r.withheld, len(r.outbox), r.last}
}

// Serve answers publishers on a listener until it is closed.
func (r *record) serve(l net.Listener) {
	s := rpc.NewServer()
	if err := s.RegisterName("Record", &desk{r}); err != nil {
		panic(err) // its methods are as they should be; held by the tests
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.ServeConn(conn)
	}
}

// desk is the record as a publisher sees it, from another process.
type desk struct{ record *record }

// Term is what a publisher begins with.
type Term struct {
	Number    int
	Bookmark  feed.Bookmark
	Published []event.RunVersion
	Ahead     time.Duration
}

// Batch is the next of the outbox.
type Batch struct {
	Changes  []feed.Change
	Complete time.Time // by the railway's clock: when these are published, all is that was committed up to then
	All      bool      // nothing is left
	Ahead    time.Duration
}

// Progress is what a publisher has published.
type Progress struct {
	Term, Published int
	Bookmark        feed.Bookmark
}

// Found is the state of a run as the feed encodes it, or nothing: that is much less work than what rpc itself would do.
type Found []byte

// errFenced: another publisher has come.
var errFenced = errors.New("the record has another publisher")

// Begin makes the caller the publisher.
func (d *desk) Begin(_ struct{}, t *Term) error {
	r := d.record
	today := r.today()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.term++
	r.taken = 0
	*t = Term{Number: r.term, Bookmark: r.bookmark, Ahead: r.ahead()}
	unpublished := map[rail.RunID]rail.Version{} // the first version of each that is in the outbox
	for i := range r.outbox {
		if delta := &r.outbox[i].change.Delta; unpublished[delta.Run] == (rail.Version{}) {
			unpublished[delta.Run] = delta.Version
		}
	}
	for run, v := range r.versions(r.dates(today)) {
		if first, some := unpublished[run]; some {
			v = rail.Version{Epoch: first.Epoch, Revision: first.Revision - 1}
		}
		if v.Revision > 0 {
			t.Published = append(t.Published, event.RunVersion{Run: run, Version: v})
		}
	}
	return nil
}

// Take is the next changes, at most so many as the caller wants of its term.
func (d *desk) Take(want Progress, b *Batch) error {
	r := d.record
	r.mu.Lock()
	defer r.mu.Unlock()
	if want.Term != r.term {
		return errFenced
	}
	next := r.outbox[r.taken:]
	next = next[:min(len(next), want.Published)]
	for i := range next {
		b.Changes = append(b.Changes, next[i].change)
	}
	r.taken += len(next)
	b.Complete, b.Ahead = time.Now(), r.ahead()
	if b.All = r.taken == len(r.outbox); !b.All {
		b.Complete = r.outbox[r.taken].at.Add(-1)
	}
	b.Complete = b.Complete.Add(r.aheadAt(b.Complete))
	return nil
}

// aheadAt is how far the clock was ahead at a moment. The caller holds mu.
func (r *record) aheadAt(at time.Time) time.Duration {
	for _, roll := range slices.Backward(r.rolls) {
		if !at.Before(roll.at) {
			return roll.ahead
		}
	}
	return 0
}

// Done takes what was published out of the outbox.
func (d *desk) Done(p Progress, _ *struct{}) error {
	r := d.record
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Term != r.term || p.Published > r.taken {
		return errFenced
	}
	r.outbox = slices.Delete(r.outbox, 0, p.Published)
	r.taken -= p.Published
	r.acked += uint64(p.Published)
	r.bookmark = p.Bookmark
	return nil
}

// States are runs as they are now.
func (d *desk) States(runs []rail.RunID, found *[]Found) error {
	for _, run := range runs {
		var f Found
		if s, known := d.record.book.State(run); known {
			var err error
			if f, err = event.EncodeState(&s, event.Protobuf); err != nil {
				return err
			}
		}
		*found = append(*found, f)
	}
	return nil
}
