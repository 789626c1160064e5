package inventory

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/yupiao/yupiao/pkg/rail"
)

// Tables side by side in a slab, more than a block holds, do not touch each other: each equals its twin on the heap after the same changes.
func TestSlab(t *testing.T) {
	const tables = 200
	var s Slab
	var w Writer
	r := rand.New(rand.NewPCG(1, 1))
	inSlab, twins := make([]*Table, tables), make([]*Table, tables)
	for i := range inSlab {
		// A pool and two buckets, so that there are numbers beside the cells; up to 6 x 130,816 words, a quarter of a block.
		stops := []int{2, 3, 10, 200}[i%4]
		classes := []Class{
			{Class: "O", Buckets: []Bucket{{Capacity: 50, Spans: []Span{{0, rail.StopIndex(stops - 1), 50}}}}},
			{Class: "WZ", Buckets: []Bucket{{Kind: Pool, Capacity: 9, Spans: []Span{{0, rail.StopIndex(stops - 1), 9}}}}},
			{Class: "M", Buckets: []Bucket{{Capacity: 7, Spans: []Span{{0, 1, 7}}}, {Kind: Counts, Capacity: 5}}},
		}
		twins[i] = must(NewTable(stops, classes))(t)
		l := must(NewLayout(stops, classes))(t)
		if err := w.Build(l, classes); err != nil {
			t.Fatal(err)
		}
		inSlab[i] = s.Table(l)
		w.Store(inSlab[i])
	}
	for range 5000 {
		i := r.IntN(tables)
		last := rail.StopIndex(twins[i].Stops() - 1)
		change := []Adjust{{Class: []rail.Class{"O", "WZ"}[r.IntN(2)], To: last, By: rail.SeatCount(r.IntN(3) - 1)}, {Class: "M", Bucket: 1, To: last, By: rail.SeatCount(r.IntN(3) - 1)}}
		if a, b := w.Apply(twins[i], change), w.Apply(inSlab[i], change); (a == nil) != (b == nil) {
			t.Fatalf("on the heap %v, in the slab %v", a, b)
		}
	}
	for i := range inSlab {
		if !slices.Equal(everything(inSlab[i]), everything(twins[i])) || !slices.Equal(inSlab[i].counts(), twins[i].counts()) {
			t.Fatalf("table %d differs", i)
		}
	}
}

// A block is given back when its last table is gone, and not before.
func TestBlockEnds(t *testing.T) {
	l := must(NewLayout(10, oneClass(Windows, 100)))(t)
	freed := make(chan struct{})
	keep := func() *Table {
		var s Slab
		a, b := s.Table(l), s.Table(l)
		if a.keep != b.keep {
			t.Fatal("not side by side")
		}
		runtime.AddCleanup(a.keep, func(c chan struct{}) { close(c) }, freed)
		b.cells()[0].Store(42)
		return b
	}()
	for range 3 {
		runtime.GC()
	}
	select {
	case <-freed:
		t.Fatal("freed under a table")
	default:
	}
	if got := keep.Counts(nil, 0, 1); got[0] != 42 {
		t.Errorf("got %d", got)
	}
	runtime.KeepAlive(keep) // the last use
	for ended := false; !ended; {
		runtime.GC()
		select {
		case <-freed:
			ended = true
		default:
		}
	}
}

// I6: a state that is no good changes nothing, and leaves nothing behind in the Writer.
func TestBuildRefused(t *testing.T) {
	var w Writer
	good := oneClass(Windows, 100, Span{0, 3, 60})
	table := must(NewTable(4, good))(t)
	before := everything(table)
	if err := w.Build(table.Layout, oneClass(Windows, 100, Span{0, 3, 60}, Span{1, 2, 60})); !errors.Is(err, ErrBreach) {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(everything(table), before) {
		t.Error("changed")
	}
	if err := w.Build(table.Layout, oneClass(Windows, 100, Span{0, 3, 10})); err != nil {
		t.Fatal(err)
	}
	w.Store(table)
	if got := table.Counts(nil, 0, 3); got[0] != 10 {
		t.Errorf("got %d", got)
	}
}

// I6: a reader of a table into which states are stored sees each cell of one state or the other, with all classes of an OD at once.
func TestReaderSeesWholeState(t *testing.T) {
	state := func(n rail.SeatCount) (all []Class) {
		for _, c := range []rail.Class{"O", "M", "9", "WZ"} {
			all = append(all, Class{Class: c, Buckets: []Bucket{{Capacity: 100, Spans: []Span{{0, 9, n}}}}})
		}
		return all
	}
	states := [][]Class{state(3), state(97)}
	table := must(NewTable(10, states[0]))(t)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		var w Writer
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := w.Build(table.Layout, states[i%2]); err != nil {
				t.Error(err)
			}
			w.Store(table)
		}
	})
	var counts []rail.SeatCount
	for i := range 200_000 {
		counts = table.Counts(counts[:0], rail.StopIndex(i%9), 9)
		if n := counts[0]; n != 3 && n != 97 || counts[1] != n || counts[2] != n || counts[3] != n {
			t.Fatalf("saw %d", counts)
		}
	}
	close(stop)
	writer.Wait()
}

// Layouts fit what they were made of, and nothing else.
func TestFits(t *testing.T) {
	classes := func() []Class {
		return []Class{{Class: "O", Buckets: []Bucket{{Capacity: 5, Quotas: []Quota{{ToLast: 2}}}, {Kind: Pool, Capacity: 3}}}, {Class: "M"}}
	}
	l := must(NewLayout(4, classes()))(t)
	if !l.Fits(4, classes()) {
		t.Error("does not fit what it was made of")
	}
	if l.Fits(5, classes()) {
		t.Error("fits another number of stops")
	}
	for name, change := range map[string]func(c []Class) []Class{
		"a class less":      func(c []Class) []Class { return c[:1] },
		"another class":     func(c []Class) []Class { c[1].Class = "9"; return c },
		"another kind":      func(c []Class) []Class { c[0].Buckets[1].Kind = Counts; return c },
		"another capacity":  func(c []Class) []Class { c[0].Buckets[1].Capacity = 4; return c },
		"another quota":     func(c []Class) []Class { c[0].Buckets[0].Quotas[0].ToLast = 3; return c },
		"no quota":          func(c []Class) []Class { c[0].Buckets[0].Quotas = nil; return c },
		"a bucket more":     func(c []Class) []Class { c[1].Buckets = make([]Bucket, 1); return c },
		"in another order":  func(c []Class) []Class { c[0], c[1] = c[1], c[0]; return c },
		"an order of kinds": func(c []Class) []Class { b := c[0].Buckets; b[0], b[1] = b[1], b[0]; return c },
	} {
		if l.Fits(4, change(classes())) {
			t.Errorf("fits with %s", name)
		}
	}
}
