package answer

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/yupiao/yupiao/pkg/testkit"
	"github.com/yupiao/yupiao/pkg/trial"
)

// E5: a flood of keys that are asked once leaves the hot set where it is, and memory within its bound.
func TestFlood(t *testing.T) {
	if share := newRig(t, floodMemory).flood(20_000); share < 0.95 {
		t.Errorf("hit ratio of the hot set: %.3f", share)
	}
}

// BenchmarkFlood is TestFlood at the size of -benchtime.
func BenchmarkFlood(b *testing.B) {
	g := newRig(b, floodMemory)
	b.ResetTimer()
	b.ReportMetric(100*g.flood(b.N), "%hot-hits")
	b.ReportMetric(float64(g.cache.Stats().Bytes), "bytes-kept")
}

// E5: a key that is asked once is not kept.
func TestOnceIsNotKept(t *testing.T) {
	g := newRig(t, 1<<20)
	g.ask("once", Demand{})
	g.settle()
	if n := g.cache.Stats().Entries; n != 0 {
		t.Errorf("%d kept", n)
	}
	g.keepIn("twice")
	if n := g.cache.Stats().Entries; n != 1 {
		t.Errorf("%d kept", n)
	}
}

// E5: what is kept weighs no more than it is said to.
func TestWeight(t *testing.T) {
	const keys = 2000
	g := newRig(t, 64<<20)
	for range 2 {
		for i := range keys {
			g.ask(fmt.Sprint("warm", i), Demand{})
		}
		g.settle()
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, said := heap(), g.cache.Stats()
	for range 2 {
		for i := range keys {
			q := g.request(fmt.Sprint("k", i))
			query := *q.Query // each entry has its own, as from a parser
			q.Query = &query
			e := g.cache.Find(q.Key, g.replica.Index(), g.now)
			if e == nil {
				e = g.cache.Join(q, g.now)
			}
			s := e.Serve(g.replica, g.now, Demand{})
			for range 3 {
				s.In(Gzip)
				s.In(Zstd)
			}
		}
		g.settle()
	}
	after, now := heap(), g.cache.Stats()
	grown, told := float64(after)-float64(before), float64(now.Bytes-said.Bytes)
	t.Logf("%d entries: %.0f bytes each, %.0f said", now.Entries-said.Entries, grown/float64(now.Entries-said.Entries), told/float64(now.Entries-said.Entries))
	if now.Entries-said.Entries < keys*9/10 || grown > 1.1*told {
		t.Errorf("%d entries grew the heap by %.0f; %.0f were said", now.Entries-said.Entries, grown, told)
	}
}

// E5: entries of another timetable, and of days that are over, are let go; those that can be served stay.
func TestSweep(t *testing.T) {
	g := newRig(t, 1<<20)
	kept := func(want uint64) {
		t.Helper()
		g.settle()
		if n := g.cache.Stats().Entries; n != want {
			t.Errorf("%d entries are kept; want %d", n, want)
		}
	}
	for _, key := range []string{"a", "b"} {
		g.keepIn(key)
	}
	g.cache.Join(g.request("c"), g.now) // and nobody makes it
	g.cache.sweep(g.replica.Index(), g.now)
	kept(2)
	if len(g.cache.making) != 1 {
		t.Errorf("%d entries are being made; want 1", len(g.cache.making))
	}
	g.cache.sweep(testkit.Railway(func() time.Time { return g.now }).Index(), g.now)
	kept(0)
	if len(g.cache.making) != 0 {
		t.Errorf("%d entries of another timetable are being made", len(g.cache.making))
	}
	g.keepIn("a")
	kept(1)
	g.cache.sweep(g.replica.Index(), g.now.Add(18*time.Hour))
	kept(0)
	if s := g.ask("a", Demand{}); !bytes.Equal(s.Body, g.truth()) {
		t.Error("another answer after all was let go")
	}
}

// E5: an entry that is not kept is gone with all that it holds, though its key is in the sample that is recorded.
func TestSampleHoldsNoEntry(t *testing.T) {
	g := newRig(t, 1<<20)
	probe, gone := func() (trial.Probe, weak.Pointer[Entry]) {
		e := g.cache.Join(g.request("a"), g.now)
		e.Serve(g.replica, g.now, Demand{})
		return e.probe(), weak.Make(e)
	}()
	testkit.Eventually(t, "the entry is gone", func() bool {
		runtime.GC()
		return gone.Value() == nil
	})
	runtime.KeepAlive(probe)
}

// The traps of ristretto that this package steps around; if one of these fails, the library has changed and answer.go can be simpler.
func TestRistretto(t *testing.T) {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, int]{NumCounters: 1000, MaxCost: 100, BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Set(1, 1, 1)
	c.Set(1, 2, 1)
	c.Wait()
	if v, _ := c.Get(1); v != 1 {
		t.Errorf("of two Sets of a new key the second won: %d", v)
	}
	c.Set(1, 3, 1)
	if v, _ := c.Get(1); v != 3 {
		t.Errorf("a Set of a held key is not seen at once: %d", v)
	}
}

// Del is no barrier: a Set on the way when a key is deleted can come back. So an entry is never deleted to say that it is out of date.
func TestRistrettoDel(t *testing.T) {
	back := 0
	for range 2000 {
		c, err := ristretto.NewCache(&ristretto.Config[uint64, int]{NumCounters: 100, MaxCost: 10, BufferItems: 64, IgnoreInternalCost: true})
		if err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Go(func() { c.Set(1, 1, 1) })
		both.Go(func() { c.Del(1) })
		both.Wait()
		c.Wait()
		if _, found := c.Get(1); found {
			back++
		}
		c.Close()
	}
	t.Logf("a value outlived its Del in %d of 2000", back)
	if back == 0 {
		t.Error("a Del ends every Set before it: the library has changed")
	}
}
