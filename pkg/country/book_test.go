package country

import (
	"reflect"
	"testing"
	"time"

	"github.com/yupiao/yupiao/pkg/event"
	"github.com/yupiao/yupiao/pkg/feed"
	"github.com/yupiao/yupiao/pkg/inventory"
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/replica"
	"github.com/yupiao/yupiao/pkg/timetable"
)

var _ feed.Authority = (*Book)(nil)

func newBook(t testing.TB, seed uint64, scale float64, days int) (*Book, *timetable.Schedule, []rail.Date) {
	t.Helper()
	s := newCountry(t, seed, scale).Schedule(first, days)
	b := NewBook(BookOptions{Seed: seed, Schedule: s, Today: first})
	var dates []rail.Date
	for d := first; d < first+rail.Date(days); d++ {
		b.Open(d)
		dates = append(dates, d)
	}
	return b, s, dates
}

// load feeds a real replica with what a publisher would.
func load(b *Book, s *timetable.Schedule, dates []rail.Date, onFault func(replica.Fault)) *replica.Replica {
	r := replica.New(replica.Options{OnFault: onFault, Clock: func() time.Time { return dates[0].At(0, time.UTC) }})
	r.Network(&s.Network)
	for _, p := range s.Patterns() {
		r.Pattern(p)
	}
	sequence := uint64(0)
	for _, d := range dates {
		for c := range b.States(d) {
			sequence++
			r.State(c.Delta.Run.Partition(), c.State)
			r.Deltas(c.Delta.Run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{c.Delta}}, sequence)
		}
	}
	r.Loaded(sequence, map[string]time.Time{})
	return r
}

// follow does so many acts and holds a real replica, and the naive counts of the book's windows, to them (C4, C5).
func follow(t *testing.T, b *Book, s *timetable.Schedule, dates []rail.Date, acts int) {
	t.Helper()
	r := load(b, s, dates, func(f replica.Fault) { t.Errorf("%s %s: %v", f.Kind, f.Run, f.Err) })
	opened, returned := r.Stats().Runs, 0
	versions := map[rail.RunID]rail.Version{}
	for i := range acts {
		c, ok := b.Act()
		if !ok {
			t.Fatalf("nothing is left after %d acts", i)
		}
		if before, known := versions[c.Delta.Run]; known && !c.Delta.Version.Follows(before) {
			t.Fatalf("%s: %s after %s", c.Delta.Run, c.Delta.Version, before)
		}
		if versions[c.Delta.Run] = c.Delta.Version; c.Delta.Adjusts[0].By > 0 {
			returned++
		}
		r.Deltas(c.Delta.Run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{c.Delta}}, uint64(i))
	}
	if part := float64(returned) / float64(acts); part < 0.08 || part > 0.13 {
		t.Errorf("%.1f %% of the acts gave places back; want about 12 %%", 100*part)
	}
	if st := r.Stats(); st.Quarantined+st.Behind+st.Unseen+st.Broken+st.Gaps > 0 || st.Runs != opened {
		t.Errorf("%+v", st)
	}
	for id := range versions {
		compare(t, b, r, id)
	}
}

// compare holds a replica's counts to those of a book's windows, counted one by one.
func compare(t *testing.T, b *Book, r *replica.Replica, id rail.RunID) {
	t.Helper()
	state, ok := b.State(id)
	sheet := r.Run(id).Sheet()
	if !ok || sheet.Version() != state.Version {
		t.Fatalf("%s: the replica is at %s, the book at %s (%t)", id, sheet.Version(), state.Version, ok)
	}
	var counts []rail.SeatCount
	for from := range rail.StopIndex(len(sheet.Pattern.Stops)) {
		for to := from + 1; int(to) < len(sheet.Pattern.Stops); to++ {
			counts = sheet.Counts.Counts(counts[:0], from, to)
			for i := range state.Classes {
				if want := naive(&state.Classes[i].Buckets[0], from, to); counts[i] != want {
					t.Fatalf("%s class %s stops %d to %d: the replica has %d, the book %d", id, state.Classes[i].Class, from, to, counts[i], want)
				}
			}
		}
	}
}

func naive(b *inventory.Bucket, from, to rail.StopIndex) (n rail.SeatCount) {
	if b.Kind == inventory.Pool {
		n = b.Capacity
		for at := from; at < to; at++ {
			left := rail.SeatCount(0)
			for _, s := range b.Spans {
				if s.From <= at && at < s.To {
					left += s.Count
				}
			}
			n = min(n, left)
		}
		return n
	}
	for _, s := range b.Spans {
		if s.From <= from && s.To >= to {
			n += s.Count
		}
	}
	return n
}

func TestReplicaFollowsTheBook(t *testing.T) {
	const seed = 1
	b, s, dates := newBook(t, seed, 0.02, SaleDays)
	t.Log("seed", seed, Measure(s, first))
	follow(t, b, s, dates, 100_000)
}

// All is sold out sooner or later, and then only returns are left (C5).
func TestUntilNothingIsLeft(t *testing.T) {
	b, s, dates := newBook(t, 2, 0.01, 1)
	r := load(b, s, dates, func(f replica.Fault) { t.Errorf("%s %s: %v", f.Kind, f.Run, f.Err) })
	acts := 0
	for c, ok := b.Act(); ok && acts < 300_000; c, ok = b.Act() {
		acts++
		r.Deltas(c.Delta.Run.Partition(), &event.DeltaBatch{Deltas: []event.RunDelta{c.Delta}}, uint64(acts))
	}
	if st := r.Stats(); st.Quarantined+st.Behind > 0 || acts < 1000 {
		t.Errorf("%d acts: %+v", acts, st)
	}
}

// C6: what was not touched is the same again; C1: so are the acts.
func TestBookIsTheSameAgain(t *testing.T) {
	b, _, _ := newBook(t, 3, 0.01, 2)
	same, _, _ := newBook(t, 3, 0.01, 2)
	for range 2000 {
		c, _ := b.Act()
		d, _ := same.Act()
		if !reflect.DeepEqual(c, d) {
			t.Fatalf("%+v and then %+v", c, d)
		}
	}
	for c := range b.States(first) {
		again, ok := same.State(c.Delta.Run)
		if !ok || !reflect.DeepEqual(*c.State, again) {
			t.Fatalf("%+v and then %+v", *c.State, again)
		}
	}
}

func TestDatesOpenAndClose(t *testing.T) {
	b, s, _ := newBook(t, 4, 0.01, 3)
	trips := b.Open(first)
	if n := Measure(s, first).Trains; trips != n {
		t.Errorf("%d runs are open; want %d", trips, n)
	}
	id := rail.RunID{Date: first, Trip: s.Trips[0].ID}
	if _, ok := b.State(id); !ok {
		t.Errorf("%s is not known", id)
	}
	b.Close(first)
	if _, ok := b.State(id); ok {
		t.Errorf("%s is known after its date was closed", id)
	}
	for range 500 {
		if c, ok := b.Act(); !ok || c.Delta.Run.Date == first {
			t.Fatalf("%+v %t", c.Delta, ok)
		}
	}
	for c := range b.States(first) {
		t.Fatalf("%s is told of", c.Delta.Run)
	}
	for d := range rail.Date(3) {
		b.Close(first + d)
	}
	if c, ok := b.Act(); ok {
		t.Errorf("%+v without a date", c.Delta)
	}
}

// Near dates are mostly sold on their hot sections, far ones mostly free.
func TestBookingShape(t *testing.T) {
	b, s, dates := newBook(t, 5, 0.05, SaleDays)
	sold := func(d rail.Date) float64 { // of the places, on the segment of each train on which fewest are left
		left, places := 0.0, 0.0
		for c := range b.States(d) {
			pattern := s.Trips[b.numbers[c.Delta.Run.Trip]].Pattern
			bucket := &c.State.Classes[0].Buckets[0]
			fewest := bucket.Capacity
			for at := range rail.StopIndex(len(pattern.Stops) - 1) {
				fewest = min(fewest, naive(bucket, at, at+1))
			}
			left, places = left+float64(fewest), places+float64(bucket.Capacity)
		}
		return 1 - left/places
	}
	before := 1.0
	for i, d := range dates {
		now := sold(d)
		if now > before+0.02 {
			t.Errorf("%d days ahead %.0f %% are sold, a day nearer %.0f %%", i, 100*now, 100*before)
		}
		before = now
	}
	if near, far := sold(dates[0]), sold(dates[SaleDays-1]); near < 0.7 || far > 0.15 {
		t.Errorf("%.0f %% are sold today and %.0f %% on the last day; want over 70 and under 15", 100*near, 100*far)
	}
}

func BenchmarkAct(b *testing.B) {
	book, _, _ := newBook(b, 1, 1, SaleDays)
	for b.Loop() {
		if _, ok := book.Act(); !ok {
			b.Fatal("nothing is left")
		}
	}
}

func BenchmarkStates(b *testing.B) {
	book, _, _ := newBook(b, 1, 1, 1)
	runs := 0
	for b.Loop() {
		for range book.States(first) {
			runs++
		}
	}
	b.ReportMetric(float64(runs)/b.Elapsed().Seconds(), "runs/s")
}

// Versions are those of the States; a date that has departed keeps its runs, which are sold no more from it on, and a closed one has none.
func TestVersionsAndDepart(t *testing.T) {
	b, s, dates := newBook(t, 1, 0.01, 3)
	for range 2000 {
		b.Act()
	}
	count := func(d rail.Date) (n int) {
		for run, v := range b.Versions(d) {
			if state, ok := b.State(run); !ok || state.Version != v {
				t.Fatalf("%s is at %s; want %s", run, v, state.Version)
			}
			n++
		}
		return n
	}
	runs := count(dates[0])
	if want := b.Open(dates[0]); runs != want {
		t.Errorf("%d runs; want %d", runs, want)
	}
	b.Depart(dates[0])
	b.sales = nil // returns of what was sold before go on
	for range 5000 {
		c, ok := b.Act()
		if !ok {
			t.Fatal("nothing is left")
		}
		if overnight := s.Trips[b.numbers[c.Delta.Run.Trip]].Pattern.Arrival() >= rail.Day; c.Delta.Run.Date == dates[0] && !overnight {
			t.Fatalf("%s is sold, which has departed", c.Delta.Run)
		}
	}
	if n := count(dates[0]); n != runs {
		t.Errorf("%d runs after the departure; want %d", n, runs)
	}
	b.Close(dates[0])
	if n := count(dates[0]); n != 0 {
		t.Errorf("%d runs of a closed date", n)
	}
}
