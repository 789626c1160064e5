package inventory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/yupiao/yupiao/pkg/rail"
)

// seatMap is the naive twin of a Windows bucket: every place, every segment.
type seatMap struct {
	stops int
	free  [][]bool
}

func newSeatMap(stops, places int) *seatMap {
	m := &seatMap{stops: stops}
	for range places {
		m.free = append(m.free, slices.Repeat([]bool{true}, stops-1))
	}
	return m
}

func (m *seatMap) covers(place int, from, to rail.StopIndex) bool {
	return !slices.Contains(m.free[place][from:to], false)
}

func (m *seatMap) remaining(from, to rail.StopIndex) (n rail.SeatCount) {
	for p := range m.free {
		if m.covers(p, from, to) {
			n++
		}
	}
	return n
}

// window is the free window of a place around a free stretch.
func (m *seatMap) window(place int, from, to rail.StopIndex) (l, r rail.StopIndex) {
	l, r = from, to
	for l > 0 && m.free[place][l-1] {
		l--
	}
	for int(r) < m.stops-1 && m.free[place][r] {
		r++
	}
	return l, r
}

func (m *seatMap) set(place int, from, to rail.StopIndex, free bool) {
	for s := from; s < to; s++ {
		m.free[place][s] = free
	}
}

func (m *seatMap) spans() (out []Span) {
	for p := range m.free {
		for s := rail.StopIndex(0); int(s) < m.stops-1; s++ {
			if m.free[p][s] && (s == 0 || !m.free[p][s-1]) {
				_, r := m.window(p, s, s+1)
				out = append(out, Span{From: s, To: r, Count: 1})
			}
		}
	}
	return out
}

func negate(adjusts []Adjust) []Adjust {
	for i := range adjusts {
		adjusts[i].By = -adjusts[i].By
	}
	return adjusts
}

// world is a run in both forms: seat maps and segments on one side, a Table on the other.
type world struct {
	stops   int
	classes []Class
	maps    map[[2]int]*seatMap
	pools   map[[2]int][]rail.SeatCount
	counts  map[[2]int]map[[2]rail.StopIndex]rail.SeatCount
	table   *Table
	writer  Writer
}

func newWorld(t require, r *rand.Rand, stops int) *world {
	w := &world{stops: stops, maps: map[[2]int]*seatMap{}, pools: map[[2]int][]rail.SeatCount{}, counts: map[[2]int]map[[2]rail.StopIndex]rail.SeatCount{}}
	for c := range 1 + r.IntN(6) {
		class := Class{Class: rail.Class(string(rune('A' + c)))}
		for b := range 1 + r.IntN(2) {
			class.Buckets = append(class.Buckets, w.newBucket(r, c, b))
		}
		w.classes = append(w.classes, class)
	}
	w.table = must(NewTable(stops, w.state()))(t)
	return w
}

func (w *world) newBucket(r *rand.Rand, c, b int) Bucket {
	key, places := [2]int{c, b}, 1+r.IntN(6)
	bucket := Bucket{Kind: Kind(r.IntN(3)), Capacity: rail.SeatCount(places)}
	if r.IntN(3) == 0 {
		last := rail.StopIndex(w.stops - 1)
		bucket.Quotas = []Quota{{FromLast: rail.StopIndex(r.IntN(w.stops)), ToFirst: rail.StopIndex(r.IntN(w.stops)), ToLast: last}}
	}
	switch bucket.Kind {
	case Windows:
		w.maps[key] = newSeatMap(w.stops, places)
	case Pool:
		w.pools[key] = slices.Repeat([]rail.SeatCount{rail.SeatCount(places)}, w.stops-1)
	case Counts:
		w.counts[key] = map[[2]rail.StopIndex]rail.SeatCount{}
	}
	return bucket
}

// state is the world as a RunState tells it.
func (w *world) state() []Class {
	out := slices.Clone(w.classes)
	for c := range out {
		out[c].Buckets = slices.Clone(out[c].Buckets)
		for b := range out[c].Buckets {
			out[c].Buckets[b].Spans = w.spans([2]int{c, b})
		}
	}
	return out
}

func (w *world) spans(key [2]int) (out []Span) {
	if m := w.maps[key]; m != nil {
		return m.spans()
	}
	for s, n := range w.pools[key] {
		out = append(out, Span{From: rail.StopIndex(s), To: rail.StopIndex(s + 1), Count: n})
	}
	for od, n := range w.counts[key] {
		out = append(out, Span{From: od[0], To: od[1], Count: n})
	}
	return out
}

// step makes one random change in the naive form and returns it as adjusts; nil if it was not possible.
func (w *world) step(r *rand.Rand) []Adjust {
	c := r.IntN(len(w.classes))
	b := r.IntN(len(w.classes[c].Buckets))
	key, code := [2]int{c, b}, w.classes[c].Class
	from := rail.StopIndex(r.IntN(w.stops - 1))
	to := from + 1 + rail.StopIndex(r.IntN(w.stops-1-int(from)))
	switch capacity := w.classes[c].Buckets[b].Capacity; w.classes[c].Buckets[b].Kind {
	case Windows:
		return w.maps[key].step(r, code, uint8(b), from, to)
	case Pool:
		by := rail.SeatCount(1 - 2*r.IntN(2))
		for _, n := range w.pools[key][from:to] {
			if n+by < 0 || n+by > capacity {
				return nil
			}
		}
		for s := from; s < to; s++ {
			w.pools[key][s] += by
		}
		return []Adjust{{Class: code, Bucket: uint8(b), From: from, To: to, By: by}}
	default:
		od := [2]rail.StopIndex{from, to}
		by := rail.SeatCount(r.IntN(int(capacity)+1)) - w.counts[key][od]
		w.counts[key][od] += by
		return []Adjust{{Class: code, Bucket: uint8(b), From: from, To: to, By: by}}
	}
}

func (m *seatMap) step(r *rand.Rand, code rail.Class, bucket uint8, from, to rail.StopIndex) []Adjust {
	place := r.IntN(len(m.free))
	switch {
	case m.covers(place, from, to): // sell
		l, rr := m.window(place, from, to)
		m.set(place, from, to, false)
		return Sell(code, bucket, l, rr, from, to)
	case !slices.Contains(m.free[place][from:to], true): // refund
		m.set(place, from, to, true)
		l, rr := m.window(place, from, to)
		return negate(Sell(code, bucket, l, rr, from, to))
	}
	return nil
}

func (w *world) remaining(c int, from, to rail.StopIndex) (n rail.SeatCount) {
	for b := range w.classes[c].Buckets {
		bucket, key := &w.classes[c].Buckets[b], [2]int{c, b}
		if !bucket.Allows(from, to) {
			continue
		}
		switch bucket.Kind {
		case Windows:
			n += w.maps[key].remaining(from, to)
		case Pool:
			n += slices.Min(w.pools[key][from:to])
		case Counts:
			n += w.counts[key][[2]rail.StopIndex{from, to}]
		}
	}
	return n
}

func (w *world) compare(t require, table *Table) {
	t.Helper()
	for from := rail.StopIndex(0); int(from) < w.stops-1; from++ {
		for to := from + 1; int(to) < w.stops; to++ {
			counts := table.Counts(nil, from, to)
			for c := range w.classes {
				if want := w.remaining(c, from, to); counts[c] != want {
					t.Fatalf("class %s [%d,%d): table has %d, seat map has %d", w.classes[c].Class, from, to, counts[c], want)
				}
			}
		}
	}
}

type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

func must[T any](v T, err error) func(require) T {
	return func(t require) T {
		t.Helper()
		if err != nil {
			t.Fatalf("unexpected error: %v", err)
		}
		return v
	}
}

// I1, I4, I5: whatever is sold and refunded, the table shows what the seat maps hold, and so does a table made from the present state.
func TestTableEqualsSeatMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		w := newWorld(rt, r, rapid.IntRange(2, 70).Draw(rt, "stops"))
		w.compare(rt, w.table)
		for range 60 {
			adjusts := w.step(r)
			r.Shuffle(len(adjusts), func(i, j int) { adjusts[i], adjusts[j] = adjusts[j], adjusts[i] })
			if err := w.writer.Apply(w.table, adjusts); err != nil {
				rt.Fatalf("apply %v: %v", adjusts, err)
			}
		}
		w.compare(rt, w.table)
		w.compare(rt, must(NewTable(w.stops, w.state()))(rt))
	})
}

// I4: many changes at once are the sum of the changes, in any order.
func TestManyChangesAtOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 50 {
		w := newWorld(t, r, 2+r.IntN(20))
		var all []Adjust
		for range 100 {
			all = append(all, w.step(r)...)
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if err := w.writer.Apply(w.table, all); err != nil {
			t.Fatal(err)
		}
		w.compare(t, w.table)
	}
}

func oneClass(kind Kind, capacity rail.SeatCount, spans ...Span) []Class {
	return []Class{{Class: "O", Buckets: []Bucket{{Kind: kind, Capacity: capacity, Spans: spans}}}}
}

// I1, I2: what would break a bound is refused whole, and says what and where.
func TestRefused(t *testing.T) {
	adjust := func(from, to rail.StopIndex, by rail.SeatCount) Adjust {
		return Adjust{Class: "O", From: from, To: to, By: by}
	}
	tests := []struct {
		name    string
		classes []Class
		change  []Adjust
		want    error
		text    string
	}{
		{"negative", oneClass(Windows, 2, Span{0, 3, 1}), []Adjust{adjust(0, 3, -2)}, ErrBreach, `class "O" bucket 0 stops [0, 1) would have -1; want 0 to 2`},
		{"above capacity", oneClass(Windows, 2, Span{0, 3, 2}), []Adjust{adjust(1, 2, 1)}, ErrBreach, `stops [1, 2) would have 3; want 0 to 2`},
		{"longer has more", oneClass(Windows, 3, Span{0, 3, 2}), []Adjust{adjust(0, 1, 1), adjust(1, 2, -1)}, ErrBreach, "stops [1, 2) would have 1; want no fewer than on a longer OD"},
		{"pool negative", oneClass(Pool, 2, Span{0, 3, 1}), []Adjust{adjust(0, 1, -1), adjust(1, 3, -2)}, ErrBreach, "stops [1, 2) would have -1"},
		{"counts above capacity", oneClass(Counts, 2, Span{0, 3, 1}), []Adjust{adjust(0, 3, 2)}, ErrBreach, "would have 3"},
		{"unknown class", oneClass(Windows, 2), []Adjust{{Class: "X", To: 1, By: 1}}, ErrAdjust, `class "X" bucket 0 is not in the run`},
		{"unknown bucket", oneClass(Windows, 2), []Adjust{{Class: "O", Bucket: 1, To: 1, By: 1}}, ErrAdjust, "bucket 1 is not in the run"},
		{"backwards", oneClass(Windows, 2), []Adjust{adjust(2, 1, 1)}, ErrAdjust, "stops [2, 1); want from < to < 4"},
		{"past the end", oneClass(Windows, 2), []Adjust{adjust(0, 4, 1)}, ErrAdjust, "want from < to < 4"},
		{"huge", oneClass(Windows, 2), []Adjust{adjust(0, 3, 70000)}, ErrAdjust, "by 70000"},
		{"overflowing", oneClass(Counts, 2), slices.Repeat([]Adjust{adjust(0, 3, rail.MaxCount)}, 1<<16), ErrBreach, "add up to"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := must(NewTable(4, tt.classes))(t)
			before := everything(table)
			var w Writer
			err := w.Apply(table, tt.change)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v; want %v with %q", err, tt.want, tt.text)
			}
			if after := everything(table); !slices.Equal(before, after) {
				t.Errorf("a refused change left %v, was %v", after, before)
			}
			if err := w.Apply(table, nil); err != nil {
				t.Errorf("the writer is spoilt: %v", err)
			}
		})
	}
}

func everything(t *Table) (out []rail.SeatCount) {
	for from := range t.Stops() - 1 {
		for to := from + 1; to < t.Stops(); to++ {
			out = t.Counts(out, rail.StopIndex(from), rail.StopIndex(to))
		}
	}
	return out
}

func TestBadStates(t *testing.T) {
	for name, classes := range map[string][]Class{
		"capacity":      oneClass(Windows, rail.MaxCount+1),
		"kind":          oneClass(Counts+1, 1),
		"span":          oneClass(Windows, 1, Span{2, 9, 1}),
		"over capacity": oneClass(Windows, 1, Span{0, 2, 2}),
		"negative":      oneClass(Windows, 1, Span{0, 2, -1}),
		"classes":       slices.Repeat([]Class{{Class: "O"}}, rail.MaxClasses+1),
		"twice":         slices.Repeat([]Class{{Class: "O"}}, 2),
		"sum":           {{Class: "O", Buckets: slices.Repeat([]Bucket{{Capacity: 40000}}, 2)}},
	} {
		if _, err := NewTable(4, classes); !errors.Is(err, ErrAdjust) && !errors.Is(err, ErrBreach) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	vast := make([]Class, rail.MaxClasses)
	for i := range vast {
		vast[i] = Class{Class: rail.Class(fmt.Sprint(i)), Buckets: make([]Bucket, MaxBuckets)}
	}
	if _, err := NewTable(rail.MaxStops, vast); !errors.Is(err, ErrAdjust) || !strings.Contains(err.Error(), "take 544194560 bytes; want at most 16777216") {
		t.Errorf("a table of half a gigabyte: %v", err)
	}
	if _, err := NewTable(1, nil); !errors.Is(err, ErrAdjust) {
		t.Errorf("one stop: got %v", err)
	}
}

// I3: a delta that sells two classes of an OD is never seen by halves.
func TestReaderSeesWholeChange(t *testing.T) {
	classes := []Class{
		{Class: "O", Buckets: []Bucket{{Capacity: 100, Spans: []Span{{0, 9, 100}}}}},
		{Class: "M", Buckets: []Bucket{{Capacity: 100, Spans: []Span{{0, 9, 100}}}, {Kind: Pool, Capacity: 1}}},
	}
	table := must(NewTable(10, classes))(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var w Writer
		for i := range 20000 {
			by := rail.SeatCount(1 - 2*((i+1)%2))
			if err := w.Apply(table, []Adjust{{Class: "O", To: 9, By: by}, {Class: "M", To: 9, By: by}}); err != nil {
				t.Error(err)
			}
		}
	}()
	var counts [2]rail.SeatCount
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		got := table.Counts(counts[:0], rail.StopIndex(i%9), 9)
		if got[0] != got[1] {
			t.Fatalf("half a change: %v", got)
		}
	}
}

// I3 (and with it R8 of package replica): what several adjusts do to one cell is seen as their sum. A sale takes the whole window away and gives its ends back, so that
// nothing changes there; a place that moves from one bucket of a class to another changes nothing at all.
func TestReaderSeesNetChange(t *testing.T) {
	full := Bucket{Capacity: 100, Spans: []Span{{0, 9, 50}}}
	table := must(NewTable(10, []Class{{Class: "O", Buckets: []Bucket{full}}, {Class: "M", Buckets: []Bucket{full, full}}}))(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var w Writer
		sale := append(Sell("O", 0, 0, 9, 3, 6), Adjust{Class: "O", From: 6, To: 9, By: 1}, Adjust{Class: "O", From: 6, To: 9, By: -1})
		move := []Adjust{{Class: "M", To: 9, By: -1}, {Class: "M", Bucket: 1, To: 9, By: 1}}
		for range 1000 {
			for _, change := range [][]Adjust{sale, move, negate(slices.Clone(sale)), negate(slices.Clone(move)), slices.Concat(sale, move), negate(slices.Concat(sale, move))} {
				if err := w.Apply(table, change); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	var counts [2]rail.SeatCount
	still := [][2]rail.StopIndex{{0, 1}, {0, 3}, {2, 3}, {6, 7}, {6, 9}, {8, 9}} // beside the part that is sold
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		od := still[i%len(still)]
		if got := table.Counts(counts[:0], od[0], od[1]); got[0] != 50 || got[1] != 100 {
			t.Fatalf("%v: %v; want 50 and 100 at all times", od, got)
		}
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	table := must(NewTable(12, oneClass(Windows, 100, Span{0, 11, 100})))(t)
	var w Writer
	sell, refund := Sell("O", 0, 0, 11, 2, 7), negate(Sell("O", 0, 0, 11, 2, 7))
	if n := testing.AllocsPerRun(100, func() {
		_, _ = w.Apply(table, sell), w.Apply(table, refund)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkApply(b *testing.B) {
	for _, stops := range []int{2, 10, 26, 61} {
		for _, buckets := range []int{1, 2} {
			b.Run(fmt.Sprintf("stops=%d/buckets=%d", stops, buckets), func(b *testing.B) {
				full := Bucket{Capacity: 1000, Spans: []Span{{0, rail.StopIndex(stops - 1), 1000}}}
				classes := []Class{{Class: "O", Buckets: slices.Repeat([]Bucket{full}, buckets)}, {Class: "M"}, {Class: "9"}, {Class: "WZ"}}
				table := must(NewTable(stops, classes))(b)
				var w Writer
				last := rail.StopIndex(stops - 1)
				sell := Sell("O", 0, 0, last, last/4, last/4+1+last/2)
				refund := negate(slices.Clone(sell))
				b.ReportAllocs()
				for b.Loop() {
					if err := errors.Join(w.Apply(table, sell), w.Apply(table, refund)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2, "ns/change")
			})
		}
	}
}

func BenchmarkCounts(b *testing.B) {
	classes := slices.Repeat(oneClass(Windows, 1000, Span{0, 25, 1000}), 4)
	for i := range classes {
		classes[i].Class = rail.Class(rune('A' + i))
	}
	table := must(NewTable(26, classes))(b)
	dst := make([]rail.SeatCount, 0, 4)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = table.Counts(dst[:0], rail.StopIndex(i%13), rail.StopIndex(14+i%12))
	}
}
